"""Prepaid credit over HTTP: listed with what is left, added, ended, withdrawn."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import TypeAdapter

from api.cursors import read_position, write_position
from api.dependencies import App, Finance, Viewer
from api.invoices import business_date
from api.master_data_values import Cursor, Id, Limit, Words
from api.prepaid_schemas import PrepaidChange, PrepaidOut, PrepaidRequest
from api.schemas import Page, page_of
from storage.engine import transaction
from storage.master_data.prepaid import add_grant, end_grant, list_grants, withdraw_grant

router = APIRouter(prefix="/api/billing/prepaid", tags=["prepaid credit"])

Identity = Annotated[Id, Path(description="The credit's id.")]
_POSITION = TypeAdapter(tuple[str, date, int])
_KNOWN: dict[int | str, dict[str, Any]] = {
    200: {"model": PrepaidOut, "description": "Known already: nothing was changed."}
}


@router.get("", summary="List prepaid credit")
def list_page(
    app: App,
    caller: Viewer,
    account_number: Annotated[Words | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[PrepaidOut]:
    """By account number, then by first day; what is used up or lapsed too."""
    after = read_position(cursor, _POSITION) if cursor is not None else None
    with transaction(app.engine) as connection:
        found = list_grants(connection, account_number, after=after, limit=limit + 1)
    return page_of(
        found,
        limit,
        PrepaidOut.model_validate,
        lambda last: write_position(last.account_number, last.valid_from, last.id),
    )


@router.post("", status_code=201, summary="Grant prepaid credit", responses=_KNOWN)
def add(request: PrepaidRequest, app: App, caller: Finance, response: Response) -> PrepaidOut:
    """What is sold must be valid from a month that has no cycle yet, which bills its price."""
    granted = request.as_granted()
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        kept, is_new = add_grant(
            connection, request.account_number, granted, business_date=today, by=caller.name
        )
    if not is_new:
        response.status_code = 200
    return PrepaidOut.model_validate(kept)


@router.patch("/{id}", summary="Let prepaid credit lapse")
def change(id: Identity, request: PrepaidChange, app: App, caller: Finance) -> PrepaidOut:
    """Refused where an invoice of a month behind that day drew it."""
    with transaction(app.engine) as connection:
        changed = end_grant(
            connection,
            id,
            request.expires_on,
            business_date=business_date(app, connection),
            by=caller.name,
        )
    return PrepaidOut.model_validate(changed)


@router.delete("/{id}", status_code=204, summary="Withdraw prepaid credit")
def withdraw(id: Identity, app: App, caller: Finance) -> None:
    """Takes back what was granted by mistake.

    Refused where its price was billed, or an invoice drew it: let it lapse instead.
    """
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        withdraw_grant(connection, id, business_date=today, by=caller.name)
