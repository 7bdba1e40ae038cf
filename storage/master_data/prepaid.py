"""Prepaid credit as people keep it: listed with what is left, added, ended, withdrawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    delete,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from domain.errors import AlreadyBilled, Conflict, InvalidField, NotFound, TooLateToWithdraw
from storage.master_data.billed_months import (
    begin_writing,
    require_no_cycle_since,
    require_unbilled,
    require_undrawn,
)
from storage.master_data.telling import tell, written_day
from storage.master_data.terms import (
    require_customer,
    require_customers_currency,
    require_whole_cents,
)
from storage.prepaid import drawn_of
from storage.tables import customers, invoices, prepaid_draws, prepaid_grants

SUBJECT = "prepaid"


@dataclass(frozen=True)
class Granted:
    """What is to be granted: `amount` of credit for `price`, 0 for a gift, both in `currency`.

    `reference`: what the customer knows it by, such as an order's number; theirs once. It pays for
    the usage of each month with a day in `[valid_from, expires_on)`.
    Raises InvalidField where the days or the amounts do not fit.
    """

    reference: str
    currency: str
    amount: Decimal
    price: Decimal
    valid_from: date
    expires_on: date | None
    note: str = ""

    def __post_init__(self) -> None:
        if self.amount <= 0:
            raise InvalidField("amount", f"{self.amount:f} must be above 0.")
        if self.price < 0:
            raise InvalidField("price", f"{self.price:f} must not be below 0; a gift costs 0.")
        require_whole_cents("amount", self.amount, self.currency)
        require_whole_cents("price", self.price, self.currency)
        _require_after(self.valid_from, self.expires_on)


@dataclass(frozen=True)
class KeptGrant:
    """Prepaid credit with what is `left` of it; drafts draw too, void invoices do not."""

    id: int
    account_number: str
    reference: str
    currency: str
    amount: Decimal
    price: Decimal
    left: Decimal
    valid_from: date
    expires_on: date | None
    note: str
    person: str
    created_at: datetime

    @property
    def subject(self) -> str:
        return f"{self.account_number}/{self.reference}"


_KEPT = select(prepaid_grants, customers.c.account_number).join(
    customers, customers.c.id == prepaid_grants.c.customer_id
)


def list_grants(
    connection: Connection,
    account_number: str | None,
    *,
    after: tuple[str, date, int] | None,
    limit: int,
) -> list[KeptGrant]:
    """The next `limit` behind `after`, by account number, first day and id; None: of everybody."""
    this = prepaid_grants.c
    conditions: list[ColumnElement[bool]] = []
    if account_number is not None:
        conditions.append(customers.c.account_number == account_number)
    order = (customers.c.account_number, this.valid_from, this.id)
    if after is not None:
        conditions.append(tuple_(*order) > tuple_(*(literal(value) for value in after)))
    rows = connection.execute(_KEPT.where(*conditions).order_by(*order).limit(limit)).all()
    return _kept(connection, rows)


def add_grant(
    connection: Connection, account_number: str, granted: Granted, *, business_date: date, by: str
) -> tuple[KeptGrant, bool]:
    """Grants it, with the audit entry; what is there, and False, for the same again.

    Raises InvalidField for an unknown customer or another currency than theirs, Conflict where the
    reference is that of other credit, and AlreadyBilled where the price would be billed in a month
    that has a cycle, or is behind one.
    """
    begin_writing(connection)
    customer = require_customer(connection, account_number)
    require_customers_currency(granted.currency, customer.currency)
    known = known_grant(connection, customer.id, granted)
    if known is not None:
        return load_grant(connection, known), False
    require_price_unbilled(connection, customer.id, granted)
    id = connection.execute(
        insert(prepaid_grants)
        .values(customer_id=customer.id, person=by, **vars(granted))
        .returning(prepaid_grants.c.id)
    ).scalar_one()
    added = load_grant(connection, id)
    tell(connection, SUBJECT, added.subject, "created", _details(added), business_date, by)
    return added, True


def known_grant(connection: Connection, customer_id: int, granted: Granted) -> int | None:
    """The id of the customer's credit that says the same; None where it is new.

    Raises Conflict where other credit has its reference.
    """
    this = prepaid_grants.c
    row = connection.execute(
        select(prepaid_grants).where(
            this.customer_id == customer_id, this.reference == granted.reference
        )
    ).one_or_none()
    if row is None:
        return None
    if any(getattr(row, name) != value for name, value in vars(granted).items()):
        raise Conflict(
            f"reference: prepaid credit {row.id} has the reference {granted.reference} and other "
            "terms; choose another one."
        )
    return int(row.id)


def require_price_unbilled(connection: Connection, customer_id: int, granted: Granted) -> None:
    """Raises AlreadyBilled where no cycle to come would bill the price."""
    if granted.price > 0:
        require_no_cycle_since(connection, "valid_from", granted.valid_from)
        day = granted.valid_from
        require_unbilled(connection, "valid_from", customer_id, day, day + timedelta(days=1))


def end_grant(
    connection: Connection, id: int, expires_on: date | None, *, business_date: date, by: str
) -> KeptGrant:
    """Lets what is left lapse on `expires_on`; None takes the end away.

    The same end again changes nothing. Raises NotFound, InvalidField for an end that is not after
    the beginning, and AlreadyBilled where an invoice of a later month drew it.
    """
    begin_writing(connection)
    kept = load_grant(connection, id)
    if kept.expires_on == expires_on:
        return kept
    _require_after(kept.valid_from, expires_on)
    if expires_on is not None:
        require_undrawn(connection, "expires_on", id, expires_on)
    this = update(prepaid_grants).where(prepaid_grants.c.id == id)
    connection.execute(this.values(expires_on=expires_on))
    details = {
        "id": id,
        "expires_on": {"from": written_day(kept.expires_on), "to": written_day(expires_on)},
    }
    tell(connection, SUBJECT, kept.subject, "changed", details, business_date, by)
    return load_grant(connection, id)


def withdraw_grant(connection: Connection, id: int, *, business_date: date, by: str) -> None:
    """Takes it back as if it had never been, with the audit entry of what it was.

    Raises NotFound, TooLateToWithdraw where its price was billed or an invoice drew it, and
    Conflict where one drew it that is void now.
    """
    begin_writing(connection)
    row = _row(connection, id)
    try:
        require_undrawn(connection, "expires_on", id, date.min)
        if row.price > 0:
            day = row.valid_from
            require_unbilled(
                connection, "expires_on", row.customer_id, day, day + timedelta(days=1)
            )
    except AlreadyBilled as billed:
        raise TooLateToWithdraw(f"Prepaid credit {id}", billed) from billed
    (kept,) = _kept(connection, [row])
    _forget_draws_of_drafts(connection, id)
    connection.execute(delete(prepaid_grants).where(prepaid_grants.c.id == id))
    tell(connection, SUBJECT, kept.subject, "withdrawn", _details(kept), business_date, by)


def tell_returned(
    connection: Connection, id: int, details: dict[str, Any], *, business_date: date, by: str
) -> None:
    """Notes that what an invoice had drawn came back to it; `details` say how much and why."""
    subject = load_grant(connection, id).subject
    tell(connection, SUBJECT, subject, "returned", {"id": id, **details}, business_date, by)


def load_grant(connection: Connection, id: int) -> KeptGrant:
    """Raises NotFound."""
    return _kept(connection, [_row(connection, id)])[0]


def _forget_draws_of_drafts(connection: Connection, id: int) -> None:
    """Drafts that failed are rated anew. Raises Conflict where a void invoice keeps a draw."""
    draw = prepaid_draws.c
    drafts = select(invoices.c.id).where(invoices.c.status == "draft")
    connection.execute(
        delete(prepaid_draws).where(draw.grant_id == id, draw.invoice_id.in_(drafts))
    )
    if connection.execute(select(draw.grant_id).where(draw.grant_id == id).limit(1)).first():
        raise Conflict(
            f"Prepaid credit {id} stands on an invoice that is void now; let it expire instead."
        )


def _require_after(valid_from: date, expires_on: date | None) -> None:
    if expires_on is not None and expires_on <= valid_from:
        raise InvalidField("expires_on", f"{expires_on} is not after {valid_from}, its first day.")


def _row(connection: Connection, id: int) -> Row[Any]:
    row = connection.execute(_KEPT.where(prepaid_grants.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no prepaid credit {id}.")
    return row


def _kept(connection: Connection, rows: Sequence[Row[Any]]) -> list[KeptGrant]:
    drawn = drawn_of(connection, [row.id for row in rows])
    names = [name for name in KeptGrant.__dataclass_fields__ if name != "left"]
    return [
        KeptGrant(
            **{name: getattr(row, name) for name in names},
            left=row.amount - drawn.get(row.id, Decimal(0)),
        )
        for row in rows
    ]


def _details(kept: KeptGrant) -> dict[str, Any]:
    return {
        "id": kept.id,
        "amount": f"{kept.amount:f}",
        "price": f"{kept.price:f}",
        "currency": kept.currency,
        "valid_from": written_day(kept.valid_from),
        "expires_on": written_day(kept.expires_on),
        "note": kept.note,
    }
