"""Customers as people keep them: found, read with what belongs to them, added, changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from domain.errors import Conflict, NotFound
from storage.master_data.billed_months import begin_writing
from storage.master_data.customer_rules import checked_customer
from storage.master_data.telling import tell
from storage.policies import policy_codes
from storage.receivables import IS_OPEN
from storage.recurring import forget_from
from storage.tables import credit_balances, customers, invoices, subscriptions

SUBJECT = "customer"


@dataclass(frozen=True)
class Customer:
    """A row of `customers`. `dunning_policy` None is the standard; the ids are the card
    processor's, None for none.
    """

    account_number: str
    name: str
    billing_emails: tuple[str, ...]
    country: str
    region: str
    address_line1: str
    postal_code: str
    city: str
    tax_id: str
    tax_id_valid: bool
    tax_exempt: bool
    currency: str
    segment: str
    payment_method: str
    stripe_customer_id: str | None
    stripe_payment_method_id: str | None
    status: str
    po_number: str
    dunning_policy: str | None
    created_at: datetime


@dataclass(frozen=True)
class CustomerFilter:
    """Which customers to list; None means any.

    `q`: the beginning of the account number, or a part of the name or of an e-mail address,
    whatever the case.
    """

    q: str | None = None
    status: str | None = None
    payment_method: str | None = None
    country: str | None = None


@dataclass(frozen=True)
class Balance:
    """An amount in one currency."""

    currency: str
    amount: Decimal


@dataclass(frozen=True)
class OpenAmount:
    """What is open in one currency, over so many invoices."""

    currency: str
    invoices: int
    amount: Decimal


def list_customers(
    connection: Connection, wanted: CustomerFilter, *, after: str | None, limit: int
) -> list[Customer]:
    """The next `limit` customers behind account number `after`, by account number as text."""
    column = customers.c
    conditions: list[ColumnElement[bool]] = [
        column[name] == value
        for name in ("status", "payment_method", "country")
        if (value := getattr(wanted, name)) is not None
    ]
    if wanted.q is not None:
        conditions.append(
            or_(
                column.account_number.istartswith(wanted.q, autoescape=True),
                column.name.icontains(wanted.q, autoescape=True),
                # no search has a line end in it, so none reaches from one address into the next
                func.array_to_string(column.billing_emails, "\n").icontains(
                    wanted.q, autoescape=True
                ),
            )
        )
    if after is not None:
        conditions.append(column.account_number > after)
    rows = connection.execute(
        select(customers).where(*conditions).order_by(column.account_number).limit(limit)
    )
    return [_customer(row) for row in rows]


def load_customer(connection: Connection, account_number: str) -> Customer:
    """Raises NotFound."""
    return _customer(customer_row(connection, account_number))


def customer_row(
    connection: Connection, account_number: str, *, for_change: bool = False
) -> Row[Any]:
    """The row itself, for what refers to it. `for_change`: others who change it wait; what refers
    to it is written meanwhile. Raises NotFound.
    """
    query = select(customers).where(customers.c.account_number == account_number)
    if for_change:
        query = query.with_for_update(key_share=True)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no customer {account_number}.")
    return row


def credit_of(connection: Connection, account_number: str) -> list[Balance]:
    """The customer's credit by currency, none that is used up."""
    balance = credit_balances.c
    rows = connection.execute(
        select(balance.currency, balance.balance)
        .join(customers, customers.c.id == balance.customer_id)
        .where(customers.c.account_number == account_number, balance.balance > 0)
        .order_by(balance.currency)
    )
    return [Balance(row.currency, row.balance) for row in rows]


def open_amounts_of(connection: Connection, account_number: str) -> list[OpenAmount]:
    """What the customer owes by currency, over the invoices of which something is open."""
    invoice = invoices.c
    rest = invoice.total - invoice.amount_paid - invoice.amount_credited
    rows = connection.execute(
        select(invoice.currency, func.count(), func.sum(rest))
        .join(customers, customers.c.id == invoice.customer_id)
        .where(customers.c.account_number == account_number, IS_OPEN)
        .group_by(invoice.currency)
        .order_by(invoice.currency)
    )
    return [OpenAmount(*row) for row in rows]


def add_customer(
    connection: Connection, values: Mapping[str, Any], *, business_date: date, by: str
) -> Customer:
    """Adds a customer with the columns `values`, with the audit entry.

    Raises Conflict where the account number is taken, InvalidField for values that do not fit.
    """
    row = checked_customer({**values, "dunning_policy": None}, policies=policy_codes(connection))
    account_number = row["account_number"]
    made = connection.execute(
        insert(customers)
        .values(row)
        .on_conflict_do_nothing(index_elements=["account_number"])
        .returning(customers)
    ).one_or_none()
    if made is None:
        raise Conflict(
            f"account_number: {account_number} is taken; change that customer, or give another "
            "number."
        )
    tell(connection, SUBJECT, account_number, "created", row, business_date, by)
    return _customer(made)


def change_customer(
    connection: Connection,
    account_number: str,
    changes: Mapping[str, Any],
    *,
    business_date: date,
    by: str,
) -> Customer:
    """Changes the columns that `changes` has, with one audit entry of what was otherwise before.

    Nothing that was drafted or issued changes by it: an invoice keeps the customer as it was then.
    What changes nothing is told nowhere. Raises NotFound, InvalidField for values that do not fit
    the others, and Conflict for a currency that was billed in.
    """
    row = customer_row(connection, account_number, for_change=True)
    before = {name: getattr(row, name) for name in customers.c.keys()}  # noqa: SIM118
    after = checked_customer({**before, **changes}, policies=policy_codes(connection))
    changed = {name: value for name, value in after.items() if value != before[name]}
    if not changed:
        return _customer(row)
    if "currency" in changed:
        begin_writing(connection)
        _leave_currency(connection, row)
    connection.execute(update(customers).where(customers.c.id == row.id).values(changed))
    details = {name: {"from": before[name], "to": value} for name, value in changed.items()}
    tell(connection, SUBJECT, account_number, "changed", details, business_date, by)
    return load_customer(connection, account_number)


def _leave_currency(connection: Connection, row: Row[Any]) -> None:
    """Raises Conflict once the customer has an invoice: its usage was rated in that currency, and
    so is what is paid and credited. Recurring revenue is worked out anew.
    """
    number = connection.execute(
        select(func.coalesce(invoices.c.number, "a draft"))
        .where(invoices.c.customer_id == row.id)
        .order_by(invoices.c.id)
        .limit(1)
    ).scalar_one_or_none()
    if number is not None:
        raise Conflict(
            f"currency: {row.account_number} was billed in {row.currency} ({number}); end its "
            "subscriptions and add a customer of its own for the other currency."
        )
    begins = connection.execute(
        select(func.min(subscriptions.c.starts_on)).where(subscriptions.c.customer_id == row.id)
    ).scalar_one()
    if begins is not None:
        forget_from(connection, begins)


def _customer(row: Row[Any]) -> Customer:
    values = {name: getattr(row, name) for name in Customer.__dataclass_fields__}
    return Customer(**{**values, "billing_emails": tuple(row.billing_emails)})
