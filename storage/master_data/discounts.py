"""Discounts as people keep them: listed, added, ended, withdrawn.

Whatever changes takes recurring revenue from that day on off the list, and reaches back into no
month that was billed.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    delete,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from domain.discounts import Discount
from domain.errors import AlreadyBilled, Conflict, InvalidField, NotFound, TooLateToWithdraw
from storage.master_data.billed_months import begin_writing, require_unbilled
from storage.master_data.telling import tell, written_day
from storage.master_data.terms import (
    require_customer,
    require_customers_currency,
    require_whole_cents,
)
from storage.recurring import forget_from
from storage.tables import customers, discounts, pricing_plans

SUBJECT = "discount"


@dataclass(frozen=True)
class KeptDiscount:
    """A customer's discount on the days `[valid_from, valid_to)`, as `Discount` has it."""

    id: int
    account_number: str
    plan_code: str | None
    name: str
    percent: Decimal | None
    amount: Decimal | None
    currency: str | None
    valid_from: date
    valid_to: date | None
    created_at: datetime
    created_by: str

    @property
    def subject(self) -> str:
        return f"{self.account_number}/{self.name}"


@dataclass(frozen=True)
class DiscountFilter:
    """Which discounts to list; None means any. `on`: those that are valid on the day."""

    account_number: str | None = None
    on: date | None = None


_KEPT = select(discounts, customers.c.account_number).join(
    customers, customers.c.id == discounts.c.customer_id
)


def list_discounts(
    connection: Connection,
    wanted: DiscountFilter,
    *,
    after: tuple[str, date, int] | None,
    limit: int,
) -> list[KeptDiscount]:
    """The next `limit` behind `after`, by account number, first day and id."""
    this = discounts.c
    conditions: list[ColumnElement[bool]] = []
    if wanted.account_number is not None:
        conditions.append(customers.c.account_number == wanted.account_number)
    if wanted.on is not None:
        conditions.append(this.valid_from <= wanted.on)
        conditions.append(or_(this.valid_to.is_(None), this.valid_to > wanted.on))
    order = (customers.c.account_number, this.valid_from, this.id)
    if after is not None:
        conditions.append(tuple_(*order) > tuple_(*(literal(value) for value in after)))
    rows = connection.execute(_KEPT.where(*conditions).order_by(*order).limit(limit))
    return [_kept(row) for row in rows]


def add_discount(
    connection: Connection,
    account_number: str,
    discount: Discount,
    *,
    business_date: date,
    by: str,
) -> tuple[KeptDiscount, bool]:
    """Adds it, with the audit entry; what is there, and False, for the same again.

    Raises InvalidField for an unknown customer or plan, or an amount that is none of the customer's
    currency, Conflict where another discount has its name and first day, and AlreadyBilled where a
    month with a day of it was billed.
    """
    begin_writing(connection)
    customer = require_customer(connection, account_number)
    require_terms(connection, discount, customer.currency)
    known = known_discount(connection, customer.id, discount)
    if known is not None:
        return load_discount(connection, known), False
    require_unbilled(connection, "valid_from", customer.id, discount.valid_from, discount.valid_to)
    id = connection.execute(
        insert(discounts)
        .values(customer_id=customer.id, created_by=by, **vars(discount))
        .returning(discounts.c.id)
    ).scalar_one()
    forget_from(connection, discount.valid_from)
    added = load_discount(connection, id)
    tell(connection, SUBJECT, added.subject, "created", _details(added), business_date, by)
    return added, True


def require_terms(connection: Connection, discount: Discount, currency: str) -> None:
    """Raises InvalidField for a plan that nobody made, or an amount that is no money of `currency`,
    the customer's.
    """
    if discount.plan_code is not None:
        known = select(pricing_plans.c.id).where(pricing_plans.c.code == discount.plan_code)
        if connection.execute(known).first() is None:
            raise InvalidField("plan_code", f"{discount.plan_code} is no plan; add it first.")
    if discount.currency is not None and discount.amount is not None:
        require_customers_currency(discount.currency, currency)
        require_whole_cents("amount", discount.amount, currency)


def known_discount(connection: Connection, customer_id: int, discount: Discount) -> int | None:
    """The id of the customer's discount that says the same; None where it is new.

    Raises Conflict where another one has its plan, name and first day.
    """
    this = discounts.c
    row = connection.execute(
        select(discounts).where(
            this.customer_id == customer_id,
            this.plan_code.is_not_distinct_from(discount.plan_code),
            this.name == discount.name,
            this.valid_from == discount.valid_from,
        )
    ).one_or_none()
    if row is None:
        return None
    if any(getattr(row, name) != value for name, value in vars(discount).items()):
        raise Conflict(
            f"name: discount {row.id} is called {discount.name} and begins on "
            f"{discount.valid_from} too, with other terms; end that one, or choose another name."
        )
    return int(row.id)


def end_discount(
    connection: Connection, id: int, valid_to: date | None, *, business_date: date, by: str
) -> KeptDiscount:
    """Lets it end on `valid_to`, its first day without; None takes the end away.

    The same end again changes nothing. Raises NotFound, InvalidField for an end that is not after
    the beginning, and AlreadyBilled where a month between both ends was billed.
    """
    begin_writing(connection)
    row = _row(connection, id)
    if row.valid_to == valid_to:
        return _kept(row)
    if valid_to is not None and valid_to <= row.valid_from:
        raise InvalidField("valid_to", f"{valid_to} is not after {row.valid_from}, its first day.")
    ends = sorted(end for end in (row.valid_to, valid_to) if end is not None)
    after = ends[1] if len(ends) > 1 else None
    require_unbilled(connection, "valid_to", row.customer_id, ends[0], after)
    connection.execute(update(discounts).where(discounts.c.id == id).values(valid_to=valid_to))
    forget_from(connection, ends[0])
    details = {
        "id": id,
        "valid_to": {"from": written_day(row.valid_to), "to": written_day(valid_to)},
    }
    tell(connection, SUBJECT, _kept(row).subject, "changed", details, business_date, by)
    return load_discount(connection, id)


def withdraw_discount(connection: Connection, id: int, *, business_date: date, by: str) -> None:
    """Takes it back as if it had never been, with the audit entry of what it was.

    Raises NotFound, and TooLateToWithdraw where a month of it was billed for the customer.
    """
    begin_writing(connection)
    row = _row(connection, id)
    try:
        require_unbilled(connection, "valid_to", row.customer_id, row.valid_from, row.valid_to)
    except AlreadyBilled as billed:
        raise TooLateToWithdraw(f"Discount {id}", billed) from billed
    connection.execute(delete(discounts).where(discounts.c.id == id))
    forget_from(connection, row.valid_from)
    withdrawn = _kept(row)
    tell(
        connection, SUBJECT, withdrawn.subject, "withdrawn", _details(withdrawn), business_date, by
    )


def load_discount(connection: Connection, id: int) -> KeptDiscount:
    """Raises NotFound."""
    return _kept(_row(connection, id))


def _row(connection: Connection, id: int) -> Row[Any]:
    row = connection.execute(_KEPT.where(discounts.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no discount {id}.")
    return row


def _kept(row: Row[Any]) -> KeptDiscount:
    return KeptDiscount(**{name: getattr(row, name) for name in KeptDiscount.__dataclass_fields__})


def _details(kept: KeptDiscount) -> dict[str, Any]:
    return {
        "id": kept.id,
        "plan_code": kept.plan_code,
        "percent": None if kept.percent is None else f"{kept.percent:f}",
        "amount": None if kept.amount is None else f"{kept.amount:f}",
        "currency": kept.currency,
        "valid_from": written_day(kept.valid_from),
        "valid_to": written_day(kept.valid_to),
    }
