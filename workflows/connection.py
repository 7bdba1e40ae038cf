"""The connection to Temporal: one data converter, one preparation of the namespace."""

from collections.abc import Awaitable
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import CompositePayloadConverter, DataConverter
from temporalio.service import RPCError, RPCStatusCode

from workflows.ids import SEARCH_ATTRIBUTES

_PYDANTIC = PydanticPayloadConverter()


class SharedPydanticConverter(CompositePayloadConverter):
    """Pydantic's conversion, one for the process.

    The SDK makes a converter for each workflow, and Pydantic's builds the schema of every type
    anew: a fifth of the worker's time, until they share one.
    """

    def __init__(self) -> None:
        super().__init__(*_PYDANTIC.converters.values())


DATA_CONVERTER = DataConverter(payload_converter_class=SharedPydanticConverter)
"""Carries Decimal and date; used by clients, workers and replays alike."""


async def connect(
    address: str,
    namespace: str,
    *,
    api_key: str | None = None,
    tls: bool = False,
    lazy: bool = False,
) -> Client:
    """A client of the Temporal cluster at `address` ("host:port").

    Raises RuntimeError from the SDK if the cluster does not answer; with `lazy` only when it is
    first called.
    """
    return await Client.connect(
        address,
        namespace=namespace,
        api_key=api_key,
        tls=tls,
        lazy=lazy,
        data_converter=DATA_CONVERTER,
    )


async def prepare_namespace(client: Client, *, retention: timedelta) -> None:
    """Sets how long closed workflows stay readable, and registers the search attributes.

    The dev server's own default keeps them for one day. Safe at every start. Where a cluster
    does not let us (Temporal Cloud), both are set in its console; a search attribute that is
    missing then fails the first workflow with its name.
    """
    retention_ttl = Duration()
    retention_ttl.FromTimedelta(retention)
    await _unless_not_ours(
        client.workflow_service.update_namespace(
            UpdateNamespaceRequest(
                namespace=client.namespace,
                config=NamespaceConfig(workflow_execution_retention_ttl=retention_ttl),
            )
        )
    )
    await _unless_not_ours(
        client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace,
                search_attributes={
                    key.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
                    for key in SEARCH_ATTRIBUTES
                },
            )
        )
    )


async def _unless_not_ours(call: Awaitable[object]) -> None:
    """Passes over a cluster that reserves the call to its own console, or has done it already."""
    try:
        await call
    except RPCError as refusal:
        if refusal.status not in (
            RPCStatusCode.PERMISSION_DENIED,
            RPCStatusCode.UNIMPLEMENTED,
            RPCStatusCode.ALREADY_EXISTS,
        ):
            raise
