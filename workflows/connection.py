"""The connection to Temporal: one data converter, one preparation of the namespace."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from workflows.ids import SEARCH_ATTRIBUTES

DATA_CONVERTER = pydantic_data_converter
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

    The dev server's own default keeps them for one day. Safe at every start. A cluster that does
    not let us (Temporal Cloud) answers PERMISSION_DENIED or UNIMPLEMENTED: there, both are set
    in its console, and a missing search attribute fails the first workflow with its name.
    """
    retention_ttl = Duration()
    retention_ttl.FromTimedelta(retention)
    try:
        await client.workflow_service.update_namespace(
            UpdateNamespaceRequest(
                namespace=client.namespace,
                config=NamespaceConfig(workflow_execution_retention_ttl=retention_ttl),
            )
        )
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace,
                search_attributes={
                    key.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
                    for key in SEARCH_ATTRIBUTES
                },
            )
        )
    except RPCError as refusal:
        if refusal.status not in (
            RPCStatusCode.PERMISSION_DENIED,
            RPCStatusCode.UNIMPLEMENTED,
            RPCStatusCode.ALREADY_EXISTS,
        ):
            raise
