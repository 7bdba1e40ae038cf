"""Usage that is set aside, over HTTP: listed, assigned, dismissed; and what came in lately."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import TypeAdapter

from api.cursors import read_position, write_position
from api.dependencies import App, Finance, Viewer
from api.invoices import business_date
from api.master_data_values import Cursor, Limit, Words
from api.schemas import Page, page_of
from api.set_aside_schemas import (
    AssignUsageRequest,
    DayOfArrivalsOut,
    DecidedOut,
    DismissUsageRequest,
    SetAsideAccountOut,
    SetAsideOut,
)
from storage.engine import transaction
from storage.usage.arrivals import arrivals_since
from storage.usage.set_aside import (
    AsideState,
    Chosen,
    assign_set_aside,
    dismiss_set_aside,
    list_accounts,
    list_set_aside,
)

router = APIRouter(prefix="/api/billing", tags=["usage"])

_EVENT = TypeAdapter(tuple[str, str])
_ACCOUNT = TypeAdapter(tuple[str])


@router.get("/set-aside-events", summary="List usage that is set aside")
def list_events(
    app: App,
    caller: Viewer,
    account_number: Annotated[Words | None, Query(description="As it was sent.")] = None,
    state: Annotated[AsideState, Query()] = AsideState.WAITING,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[SetAsideOut]:
    """Events of accounts that nobody had when they came, by account number and event id."""
    after = read_position(cursor, _EVENT) if cursor is not None else None
    with transaction(app.engine) as connection:
        found = list_set_aside(
            connection, state, account_number=account_number, after=after, limit=limit + 1
        )
    return page_of(
        found,
        limit,
        SetAsideOut.model_validate,
        lambda last: write_position(last.account_number, last.event_id),
    )


@router.get("/set-aside-accounts", summary="List accounts of which usage is set aside")
def list_of_accounts(
    app: App, caller: Viewer, cursor: Cursor = None, limit: Limit = 100
) -> Page[SetAsideAccountOut]:
    """How much waits of each, by account number."""
    after = read_position(cursor, _ACCOUNT)[0] if cursor is not None else None
    with transaction(app.engine) as connection:
        found = list_accounts(connection, after=after, limit=limit + 1)
    return page_of(
        found,
        limit,
        SetAsideAccountOut.model_validate,
        lambda last: write_position(last.account_number),
    )


@router.post("/set-aside-events/assign", summary="Say whose usage it is")
def assign(request: AssignUsageRequest, app: App, caller: Finance) -> DecidedOut:
    """From now on it counts for the customer, on the days on which it occurred.

    Of a month that is billed already, it is billed with the next cycle. An event that was
    dismissed can be assigned by its id.
    """
    with transaction(app.engine) as connection:
        decided = assign_set_aside(
            connection,
            Chosen(request.event_id, request.account_number),
            request.assign_to,
            note=request.note,
            by=caller.name,
            business_date=business_date(app, connection),
            time_zone=app.settings.seller_time_zone,
        )
    return DecidedOut.model_validate(decided)


@router.post("/set-aside-events/dismiss", summary="Say that usage is nobody's")
def dismiss(request: DismissUsageRequest, app: App, caller: Finance) -> DecidedOut:
    """It no longer waits, and counts for nobody; an event can still be assigned by its id."""
    with transaction(app.engine) as connection:
        decided = dismiss_set_aside(
            connection,
            Chosen(request.event_id, request.account_number),
            note=request.note,
            by=caller.name,
            business_date=business_date(app, connection),
        )
    return DecidedOut.model_validate(decided)


@router.get("/usage-arrivals", summary="See how much usage came in")
def arrivals(
    app: App, caller: Viewer, days: Annotated[int, Query(ge=1, le=366)] = 14
) -> list[DayOfArrivalsOut]:
    """By day of arrival, the last one first; a day on which nothing came is left out."""
    first = app.today() - timedelta(days=days - 1)
    with transaction(app.engine) as connection:
        found = arrivals_since(connection, first, time_zone=app.settings.seller_time_zone)
    return [DayOfArrivalsOut.model_validate(day) for day in found]
