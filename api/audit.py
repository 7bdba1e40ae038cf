"""The audit log over HTTP: in pages as JSON, or whole as CSV."""

from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool

from api.collection_schemas import AuditOut
from api.csv_answers import AS_CSV, Accept, Format, csv_file, wants_csv
from api.dependencies import App, Finance, Services
from api.schemas import Day, Page, page_of
from domain.errors import InvalidValue
from storage.audit import AuditFilter, Order, list_entries
from storage.engine import transaction
from storage.exports import stream_audit

router = APIRouter(prefix="/api/billing", tags=["audit"])


@router.get("/audit", summary="Read the audit log", response_model=Page[AuditOut], responses=AS_CSV)
async def read(
    app: App,
    caller: Finance,
    subject_kind: Annotated[str | None, Query(examples=["invoice"])] = None,
    subject: Annotated[str | None, Query(examples=["INV-2026-02-0047"])] = None,
    actor: Annotated[str | None, Query(description="Who did it.")] = None,
    event: Annotated[str | None, Query(examples=["written_off"])] = None,
    from_date: Annotated[
        Day | None, Query(alias="from", description="First business date.")
    ] = None,
    to_date: Annotated[
        Day | None, Query(alias="to", description="Last business date, inclusive.")
    ] = None,
    order: Annotated[Order, Query(description="Which entry comes first.")] = "oldest",
    cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    format: Format = None,
    accept: Accept = "",
) -> Page[AuditOut] | Response:
    """Everything that happened, by the filters given.

    `format=csv`, or `Accept: text/csv`, answers every entry as a file, the oldest first; pages are
    for JSON alone.
    """
    wanted = AuditFilter(subject_kind, subject, actor, event, from_date, to_date)
    if wants_csv(format, accept):
        lines = stream_audit(app.engine, wanted)
        first = await run_in_threadpool(next, lines)  # an outage is told before the answer begins
        return csv_file("audit", chain([first], lines))
    return await run_in_threadpool(_page, app, wanted, order, _position(cursor), limit)


def _page(
    app: Services, wanted: AuditFilter, order: Order, after: int | None, limit: int
) -> Page[AuditOut]:
    with transaction(app.engine) as connection:
        found = list_entries(connection, wanted, after=after, order=order, limit=limit + 1)
    return page_of(found, limit, AuditOut.model_validate, lambda last: str(last.id))


def _position(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise InvalidValue("cursor: not one of ours; take next_cursor of a page.")
    return int(cursor)
