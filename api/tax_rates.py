"""Tax rates over HTTP: listed, added, ended, withdrawn."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import TypeAdapter

from api.cursors import read_position, write_position
from api.dependencies import App, Finance, Viewer
from api.invoices import business_date
from api.master_data_values import Country, Cursor, Day, Id, Limit
from api.schemas import Page, page_of
from api.tax_rate_schemas import TaxRateChange, TaxRateOut, TaxRateRequest
from domain.tax import TaxRate
from storage.engine import transaction
from storage.master_data.tax_rates import (
    TaxRateFilter,
    add_tax_rate,
    end_tax_rate,
    list_tax_rates,
    withdraw_tax_rate,
)

router = APIRouter(prefix="/api/billing/tax-rates", tags=["tax rates"])

Identity = Annotated[Id, Path(description="The rate's id.")]
_POSITION = TypeAdapter(tuple[str, str, date])


@router.get("", summary="List tax rates")
def list_page(
    app: App,
    caller: Viewer,
    country: Annotated[Country | None, Query()] = None,
    on: Annotated[Day | None, Query(description="Those that are valid on the day.")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[TaxRateOut]:
    """By country, then by region and first day."""
    after = read_position(cursor, _POSITION) if cursor is not None else None
    with transaction(app.engine) as connection:
        wanted = TaxRateFilter(country, on)
        found = list_tax_rates(connection, wanted, after=after, limit=limit + 1)
    return page_of(
        found,
        limit,
        TaxRateOut.model_validate,
        lambda last: write_position(last.country, last.region, last.valid_from),
    )


@router.post("", status_code=201, summary="Add a tax rate")
def add(request: TaxRateRequest, app: App, caller: Finance) -> TaxRateOut:
    """An invoice is taxed by the rate of its month's last day.

    Refused where a month was billed that it would tax otherwise. Customers who failed for want of a
    rate are billed by the cycle's `retry`.
    """
    rate = TaxRate(
        request.country,
        request.region,
        request.rate_percent,
        request.name,
        request.valid_from,
        request.valid_to,
    )
    with transaction(app.engine) as connection:
        added = add_tax_rate(
            connection,
            rate,
            ends_previous=request.ends_previous,
            business_date=business_date(app, connection),
            by=caller.name,
        )
    return TaxRateOut.model_validate(added)


@router.patch("/{id}", summary="Let a tax rate end")
def change(id: Identity, request: TaxRateChange, app: App, caller: Finance) -> TaxRateOut:
    """Refused where a month was billed that would be taxed otherwise."""
    with transaction(app.engine) as connection:
        changed = end_tax_rate(
            connection,
            id,
            request.valid_to,
            business_date=business_date(app, connection),
            by=caller.name,
        )
    return TaxRateOut.model_validate(changed)


@router.delete("/{id}", status_code=204, summary="Withdraw a tax rate")
def withdraw(id: Identity, app: App, caller: Finance) -> None:
    """Takes back what was added by mistake. The rate that it ended by `ends_previous` stays ended:
    give that one its end back by PATCH, with `valid_to` null.

    Refused where a month was billed by it: let it end instead.
    """
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        withdraw_tax_rate(connection, id, business_date=today, by=caller.name)
