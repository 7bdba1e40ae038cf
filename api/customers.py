"""Customers over HTTP: found, read, added, changed."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import TypeAdapter
from sqlalchemy import Connection

from api.cursors import read_position, write_position
from api.customer_schemas import (
    CustomerChange,
    CustomerDetail,
    CustomerOut,
    CustomerRequest,
    CustomerStatus,
    PaymentMethod,
)
from api.dependencies import App, Finance, Viewer
from api.invoices import business_date
from api.master_data_values import AccountPath, Country, Cursor, Limit, Words
from api.schemas import Page, page_of
from storage.engine import transaction
from storage.master_data.customers import (
    CustomerFilter,
    add_customer,
    change_customer,
    credit_of,
    list_customers,
    load_customer,
    open_amounts_of,
)
from storage.master_data.subscriptions import SubscriptionFilter, list_subscriptions

router = APIRouter(prefix="/api/billing/customers", tags=["customers"])

_POSITION = TypeAdapter(tuple[str])


@router.get("", summary="List customers")
def list_page(
    app: App,
    caller: Viewer,
    q: Annotated[
        Words | None,
        Query(
            description="The beginning of an account number, or a part of a name or of an e-mail "
            "address; capitals do not matter."
        ),
    ] = None,
    status: Annotated[CustomerStatus | None, Query()] = None,
    payment_method: Annotated[PaymentMethod | None, Query()] = None,
    country: Annotated[Country | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[CustomerOut]:
    """By account number, compared as text."""
    wanted = CustomerFilter(q or None, status, payment_method, country)
    after = read_position(cursor, _POSITION)[0] if cursor is not None else None
    with transaction(app.engine) as connection:
        found = list_customers(connection, wanted, after=after, limit=limit + 1)
    return page_of(
        found, limit, CustomerOut.model_validate, lambda last: write_position(last.account_number)
    )


@router.get("/{account_number}", summary="Read a customer")
def show(account_number: AccountPath, app: App, caller: Viewer) -> CustomerDetail:
    """With all its subscriptions, its credit, and what it owes."""
    with transaction(app.engine) as connection:
        return _detail(connection, account_number)


@router.post("", status_code=201, summary="Add a customer")
def add(request: CustomerRequest, app: App, caller: Finance) -> CustomerDetail:
    """Billed from the first cycle on that finds a subscription or usage of it."""
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        add_customer(connection, request.model_dump(), business_date=today, by=caller.name)
        return _detail(connection, request.account_number)


@router.patch("/{account_number}", summary="Change a customer")
def change(
    account_number: AccountPath, request: CustomerChange, app: App, caller: Finance
) -> CustomerDetail:
    """Changes the fields given, and those alone.

    Never retroactive: an invoice that was drafted or issued keeps the customer as it was then, its
    address and its tax included. How an open invoice is collected, by card or not and from which
    card, follows the customer from its next step on.
    """
    changes = request.model_dump(include=request.model_fields_set)
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        change_customer(connection, account_number, changes, business_date=today, by=caller.name)
        return _detail(connection, account_number)


def _detail(connection: Connection, account_number: str) -> CustomerDetail:
    """Raises NotFound."""
    subscribed = list_subscriptions(connection, SubscriptionFilter(account_number))
    customer = load_customer(connection, account_number)
    return CustomerDetail.model_validate(
        {
            **vars(customer),
            "subscriptions": subscribed,
            "credit": credit_of(connection, account_number),
            "open": open_amounts_of(connection, account_number),
        }
    )
