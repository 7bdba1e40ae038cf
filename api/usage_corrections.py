"""Usage events over HTTP, one by one: read with their history, amended, cancelled."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field, TypeAdapter
from starlette.convertors import Convertor, register_url_convertor

from api.cursors import read_position, write_position
from api.dependencies import App, Finance, Services, Viewer
from api.instructions import IdempotencyKey
from api.invoices import business_date
from api.master_data_values import Cursor, Limit, Words
from api.schemas import Page, Period, page_of
from api.usage_correction_schemas import (
    AmendRequest,
    CancelRequest,
    CorrectionOut,
    UsageEventOut,
)
from domain.periods import BillingPeriod
from storage.access import Caller
from storage.engine import transaction
from storage.usage.corrections import (
    CorrectionFilter,
    CorrectionOrder,
    correct_event,
    list_corrections,
)
from storage.usage.events import EVENT_ID
from storage.usage.kept_events import load_event


class _WholeId(Convertor[str]):
    """An event's id with the slashes that it may have, up to what is asked of the event."""

    regex = "(?:(?!/(?:amend|cancel)$).)+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("event_id", _WholeId())
router = APIRouter(prefix="/api/billing", tags=["usage"])
_EVENT = "/usage-events/{event_id:event_id}"
EventPath = Annotated[
    str,
    Path(
        pattern=f"^{EVENT_ID.pattern}$",
        description="As it was sent; what an address cannot hold is written in percent form.",
        examples=["evt-1047-1"],
    ),
]
_POSITION = TypeAdapter(tuple[Annotated[int, Field(ge=1, lt=2**63)]])


@router.get(_EVENT, summary="Read a usage event")
def show(event_id: EventPath, app: App, caller: Viewer) -> UsageEventOut:
    """As it was received and as it counts now, with who corrected it and why."""
    with transaction(app.engine) as connection:
        return UsageEventOut.model_validate(load_event(connection, event_id))


@router.post(f"{_EVENT}/amend", summary="Amend a usage event")
def amend(
    event_id: EventPath,
    request: AmendRequest,
    app: App,
    caller: Finance,
    idempotency_key: IdempotencyKey = None,
) -> UsageEventOut:
    """Gives it another quantity; the one that was received stays beside it.

    Before its month is billed, the bill changes; afterwards the difference is billed or credited
    with the next cycle. An event that is set aside is assigned first.
    """
    order = CorrectionOrder(event_id, request.quantity, request.reason, idempotency_key)
    return _correct(app, caller, order)


@router.post(f"{_EVENT}/cancel", summary="Cancel a usage event")
def cancel(
    event_id: EventPath,
    request: CancelRequest,
    app: App,
    caller: Finance,
    idempotency_key: IdempotencyKey = None,
) -> UsageEventOut:
    """Lets it count nothing; it can be amended again. What it changes is what `amend` would."""
    return _correct(app, caller, CorrectionOrder(event_id, None, request.reason, idempotency_key))


@router.get("/usage-corrections", summary="List corrections of usage")
def list_page(
    app: App,
    caller: Viewer,
    account_number: Annotated[Words | None, Query()] = None,
    month: Annotated[
        Period | None, Query(description="In which the usage occurred, YYYY-MM.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[CorrectionOut]:
    """The last one made first."""
    period = None if month is None else BillingPeriod.parse(month)
    before = read_position(cursor, _POSITION)[0] if cursor is not None else None
    with transaction(app.engine) as connection:
        found = list_corrections(
            connection,
            CorrectionFilter(account_number, period),
            time_zone=app.settings.seller_time_zone,
            before=before,
            limit=limit + 1,
        )
    return page_of(found, limit, CorrectionOut.model_validate, lambda last: write_position(last.id))


def _correct(app: Services, caller: Caller, order: CorrectionOrder) -> UsageEventOut:
    with transaction(app.engine) as connection:
        event = correct_event(
            connection,
            order,
            by=caller.name,
            business_date=business_date(app, connection),
            time_zone=app.settings.seller_time_zone,
        )
        return UsageEventOut.model_validate(event)
