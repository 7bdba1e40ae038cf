"""Discounts over HTTP: listed, added, ended, withdrawn."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import TypeAdapter

from api.cursors import read_position, write_position
from api.dependencies import App, Finance, Viewer
from api.discount_schemas import DiscountChange, DiscountOut, DiscountRequest
from api.invoices import business_date
from api.master_data_values import Cursor, Day, Id, Limit, Words
from api.schemas import Page, page_of
from storage.engine import transaction
from storage.master_data.discounts import (
    DiscountFilter,
    add_discount,
    end_discount,
    list_discounts,
    withdraw_discount,
)

router = APIRouter(prefix="/api/billing/discounts", tags=["discounts"])

Identity = Annotated[Id, Path(description="The discount's id.")]
_POSITION = TypeAdapter(tuple[str, date, int])
_KNOWN: dict[int | str, dict[str, Any]] = {
    200: {"model": DiscountOut, "description": "Known already: nothing was changed."}
}


@router.get("", summary="List discounts")
def list_page(
    app: App,
    caller: Viewer,
    account_number: Annotated[Words | None, Query()] = None,
    on: Annotated[Day | None, Query(description="Those that are valid on the day.")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[DiscountOut]:
    """By account number, then by first day."""
    wanted = DiscountFilter(account_number, on)
    after = read_position(cursor, _POSITION) if cursor is not None else None
    with transaction(app.engine) as connection:
        found = list_discounts(connection, wanted, after=after, limit=limit + 1)
    return page_of(
        found,
        limit,
        DiscountOut.model_validate,
        lambda last: write_position(last.account_number, last.valid_from, last.id),
    )


@router.post("", status_code=201, summary="Add a discount", responses=_KNOWN)
def add(request: DiscountRequest, app: App, caller: Finance, response: Response) -> DiscountOut:
    """A negative line right behind what it is taken off, and never more than that comes to.

    Refused where it reaches back into a month for which the customer was billed.
    """
    discount = request.as_discount()
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        kept, is_new = add_discount(
            connection, request.account_number, discount, business_date=today, by=caller.name
        )
    if not is_new:
        response.status_code = 200
    return DiscountOut.model_validate(kept)


@router.patch("/{id}", summary="Let a discount end")
def change(id: Identity, request: DiscountChange, app: App, caller: Finance) -> DiscountOut:
    """Refused where it would change what a month was billed for."""
    with transaction(app.engine) as connection:
        changed = end_discount(
            connection,
            id,
            request.valid_to,
            business_date=business_date(app, connection),
            by=caller.name,
        )
    return DiscountOut.model_validate(changed)


@router.delete("/{id}", status_code=204, summary="Withdraw a discount")
def withdraw(id: Identity, app: App, caller: Finance) -> None:
    """Takes back what was added by mistake.

    Refused where the customer was billed for a month of it: let it end instead.
    """
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        withdraw_discount(connection, id, business_date=today, by=caller.name)
