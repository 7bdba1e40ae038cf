"""Subscriptions as people keep them: listed, added, ended, changed from a day on, withdrawn.

Whatever changes takes recurring revenue from that day on off the list. Where it reaches back into
months that were billed, the next cycle bills or gives back the difference that it makes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg.errors import ExclusionViolation
from sqlalchemy import ColumnElement, Connection, Row, delete, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from domain.errors import AlreadyBilled, Conflict, InvalidField, NotFound, TooLateToWithdraw
from domain.plans import Interval, PlanKind
from storage.late.months import months_that_count_late
from storage.late.reopening import contract_changed
from storage.master_data.billed_months import begin_writing, require_rated_anew
from storage.master_data.telling import tell, written_day
from storage.master_data.terms import require_customer
from storage.recurring import forget_from
from storage.tables import customers, plan_prices, pricing_plans, subscriptions

SUBJECT = "subscription"


@dataclass(frozen=True)
class KeptSubscription:
    """A customer's subscription on the days `[starts_on, ends_on)`; `ends_on` None: open-ended.

    `counts_late`: of one that was just changed, the billed months that the next cycle rates anew.
    """

    id: int
    account_number: str
    plan_code: str
    plan_name: str
    quantity: Decimal
    starts_on: date
    ends_on: date | None
    created_at: datetime
    counts_late: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """Its business key: what came before and after it has the same."""
        return f"{self.account_number}/{self.plan_code}"

    @property
    def days(self) -> str:
        until = f" to {self.ends_on}, exclusive" if self.ends_on else " on"
        return f"from {self.starts_on}{until}"


@dataclass(frozen=True)
class SubscriptionFilter:
    """Which subscriptions to list; None means any. `active_on`: those that cover the day."""

    account_number: str | None = None
    plan_code: str | None = None
    active_on: date | None = None


_KEPT = (
    select(
        subscriptions,
        customers.c.account_number,
        pricing_plans.c.code.label("plan_code"),
        pricing_plans.c.name.label("plan_name"),
        pricing_plans.c.kind,
        pricing_plans.c.interval,
    )
    .join(customers, customers.c.id == subscriptions.c.customer_id)
    .join(pricing_plans, pricing_plans.c.id == subscriptions.c.plan_id)
)
_ORDER = (customers.c.account_number, pricing_plans.c.code, subscriptions.c.starts_on)


def list_subscriptions(
    connection: Connection,
    wanted: SubscriptionFilter,
    *,
    after: tuple[str, str, date] | None = None,
    limit: int | None = None,
) -> list[KeptSubscription]:
    """The next `limit` behind `after`, by account number, plan and first day; None: all."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.account_number is not None:
        conditions.append(customers.c.account_number == wanted.account_number)
    if wanted.plan_code is not None:
        conditions.append(pricing_plans.c.code == wanted.plan_code)
    if wanted.active_on is not None:
        ends_on = subscriptions.c.ends_on
        conditions.append(subscriptions.c.starts_on <= wanted.active_on)
        conditions.append(or_(ends_on.is_(None), ends_on > wanted.active_on))
    if after is not None:
        conditions.append(tuple_(*_ORDER) > after)
    rows = connection.execute(_KEPT.where(*conditions).order_by(*_ORDER).limit(limit))
    return [_kept(row) for row in rows]


def add_subscription(
    connection: Connection,
    account_number: str,
    plan_code: str,
    quantity: Decimal,
    starts_on: date,
    ends_on: date | None,
    *,
    business_date: date,
    by: str,
) -> KeptSubscription:
    """Adds a subscription on the days `[starts_on, ends_on)`, with the audit entry.

    Raises InvalidField for an unknown customer or plan, a plan without a price in the customer's
    currency, or an end that is not after the beginning, AlreadyBilled where a month of it was
    billed and is not rated anew, and Conflict where another one overlaps.
    """
    begin_writing(connection)
    customer = require_customer(connection, account_number)
    plan_id = connection.execute(
        select(pricing_plans.c.id).where(pricing_plans.c.code == plan_code)
    ).scalar_one_or_none()
    if plan_id is None:
        raise InvalidField("plan_code", f"{plan_code} is no plan; add it first.")
    _require_after(starts_on, ends_on)
    _require_price(connection, plan_code, plan_id, customer.currency)
    require_rated_anew(connection, "starts_on", customer.id, starts_on, ends_on)
    added = _insert(connection, customer.id, plan_id, quantity, starts_on, ends_on)
    forget_from(connection, starts_on)
    tell(connection, SUBJECT, added.subject, "created", _details(added), business_date, by)
    return replace(added, counts_late=_reach_back(connection, customer.id, starts_on, ends_on, by))


def end_subscription(
    connection: Connection, id: int, ends_on: date | None, *, business_date: date, by: str
) -> KeptSubscription:
    """Lets it end on `ends_on`, its first day without; None takes the end away.

    The same end again changes nothing. Raises NotFound, InvalidField, AlreadyBilled where the days
    between both ends were billed and are not rated anew, and Conflict where another one follows.
    """
    begin_writing(connection)
    row = _row(connection, id)
    if row.ends_on == ends_on:
        return _kept(row)
    _require_after(row.starts_on, ends_on)
    first, after = _between(row.ends_on, ends_on)
    since = _given_back_since(row, first)
    require_rated_anew(connection, "ends_on", row.customer_id, since, after)
    with _naming_the_other(
        connection, "ends_on", row.customer_id, row.plan_id, row.starts_on, ends_on, but=id
    ):
        connection.execute(
            update(subscriptions).where(subscriptions.c.id == id).values(ends_on=ends_on)
        )
    forget_from(connection, first)
    details = {"id": id, "ends_on": {"from": written_day(row.ends_on), "to": written_day(ends_on)}}
    changed = load_subscription(connection, id)
    tell(connection, SUBJECT, changed.subject, "changed", details, business_date, by)
    return replace(changed, counts_late=_reach_back(connection, row.customer_id, since, after, by))


def change_quantity(
    connection: Connection, id: int, quantity: Decimal, first: date, *, business_date: date, by: str
) -> KeptSubscription:
    """From the day `first` on it is `quantity`: another subscription, which begins on that day and
    ends where this one would have; this one where `first` is its own first day.

    The quantity that it has changes nothing. Raises NotFound, InvalidField for a day that it does
    not cover, Conflict for a usage plan, which counts what is used, and AlreadyBilled.
    """
    begin_writing(connection)
    row = _row(connection, id)
    if row.quantity == quantity:
        return _kept(row)
    if row.kind == PlanKind.USAGE:
        raise Conflict(
            f"quantity: {row.plan_code} is priced by what is used, whatever the quantity; "
            "leave it as it is."
        )
    if first < row.starts_on or (row.ends_on is not None and first >= row.ends_on):
        days = _kept(row).days
        raise InvalidField("from", f"{first} is no day of the subscription, which is {days}.")
    since = _given_back_since(row, first)
    require_rated_anew(connection, "from", row.customer_id, since, row.ends_on)
    this = update(subscriptions).where(subscriptions.c.id == id)
    if first == row.starts_on:
        connection.execute(this.values(quantity=quantity))
        changed = load_subscription(connection, id)
    else:
        connection.execute(this.values(ends_on=first))
        changed = _insert(connection, row.customer_id, row.plan_id, quantity, first, row.ends_on)
    forget_from(connection, first)
    details = {
        "id": id,
        "now": changed.id,
        "first_day": written_day(first),
        "quantity": {"from": f"{row.quantity:f}", "to": f"{quantity:f}"},
    }
    tell(connection, SUBJECT, changed.subject, "changed", details, business_date, by)
    late = _reach_back(connection, row.customer_id, since, row.ends_on, by)
    return replace(changed, counts_late=late)


def withdraw_subscription(connection: Connection, id: int, *, business_date: date, by: str) -> None:
    """Takes it back as if it had never been, with the audit entry of what it was.

    Raises NotFound, and TooLateToWithdraw where a month of it was billed and is not rated anew.
    """
    begin_writing(connection)
    row = _row(connection, id)
    try:
        require_rated_anew(connection, "ends_on", row.customer_id, row.starts_on, row.ends_on)
    except AlreadyBilled as billed:
        raise TooLateToWithdraw(f"Subscription {id}", billed) from billed
    connection.execute(delete(subscriptions).where(subscriptions.c.id == id))
    forget_from(connection, row.starts_on)
    withdrawn = _kept(row)
    tell(
        connection, SUBJECT, withdrawn.subject, "withdrawn", _details(withdrawn), business_date, by
    )
    _reach_back(connection, row.customer_id, row.starts_on, row.ends_on, by)


def load_subscription(connection: Connection, id: int) -> KeptSubscription:
    """Raises NotFound."""
    return _kept(_row(connection, id))


def _given_back_since(row: Row[Any], first: date) -> date:
    """The first day whose month is rated anew where a subscription ends, or ended, on `first`: a
    paid year is given back in the month of the last day before.
    """
    yearly = row.interval == Interval.YEAR and first > row.starts_on
    return first - timedelta(days=1) if yearly else first


def _reach_back(
    connection: Connection, customer_id: int, first: date, after: date | None, by: str
) -> tuple[str, ...]:
    """Has the billed months with a day in `[first, after)` rated anew, and says which these are."""
    contract_changed(connection, [(customer_id, first, after)], person=by)
    return tuple(map(str, months_that_count_late(connection, customer_id, first, after)))


def _insert(
    connection: Connection,
    customer_id: int,
    plan_id: int,
    quantity: Decimal,
    starts_on: date,
    ends_on: date | None,
) -> KeptSubscription:
    with _naming_the_other(connection, "starts_on", customer_id, plan_id, starts_on, ends_on):
        id: int = connection.execute(
            insert(subscriptions)
            .values(
                customer_id=customer_id,
                plan_id=plan_id,
                quantity=quantity,
                starts_on=starts_on,
                ends_on=ends_on,
            )
            .returning(subscriptions.c.id)
        ).scalar_one()
    return load_subscription(connection, id)


@contextmanager
def _naming_the_other(
    connection: Connection,
    field: str,
    customer_id: int,
    plan_id: int,
    starts_on: date,
    ends_on: date | None,
    *,
    but: int | None = None,
) -> Iterator[None]:
    """Raises Conflict where the table refuses `[starts_on, ends_on)` for another subscription of
    the customer to the plan; `but` is the one that is changed.
    """
    try:
        with connection.begin_nested():
            yield
    except IntegrityError as error:
        if not isinstance(error.orig, ExclusionViolation):
            raise
        this = subscriptions.c
        conditions = [
            this.customer_id == customer_id,
            this.plan_id == plan_id,
            this.id.is_distinct_from(but),
            or_(this.ends_on.is_(None), this.ends_on > starts_on),
        ]
        if ends_on is not None:
            conditions.append(this.starts_on < ends_on)
        found = connection.execute(_KEPT.where(*conditions).order_by(this.starts_on).limit(1))
        other = _kept(found.one())
        raise Conflict(
            f"{field}: overlaps subscription {other.id} of {other.account_number} to "
            f"{other.plan_code}, which is {other.days}; end that one first, or choose other days."
        ) from error


def _row(connection: Connection, id: int) -> Row[Any]:
    row = connection.execute(_KEPT.where(subscriptions.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no subscription {id}.")
    return row


def _require_price(connection: Connection, plan_code: str, plan_id: int, currency: str) -> None:
    """Raises InvalidField where every cycle would fail the customer for want of a price."""
    priced = select(plan_prices.c.plan_id).where(
        plan_prices.c.plan_id == plan_id, plan_prices.c.currency == currency
    )
    if connection.execute(priced.limit(1)).first() is None:
        raise InvalidField(
            "plan_code",
            f"{plan_code} has no price in {currency}, the customer's currency; add one first.",
        )


def _require_after(starts_on: date, ends_on: date | None) -> None:
    if ends_on is not None and ends_on <= starts_on:
        raise InvalidField("ends_on", f"{ends_on} is not after {starts_on}, its first day.")


def _between(one: date | None, other: date | None) -> tuple[date, date | None]:
    """The days `[first, after)` that two different ends do not share."""
    if one is None or other is None:
        return one or other or date.min, None
    return min(one, other), max(one, other)


def _kept(row: Row[Any]) -> KeptSubscription:
    return KeptSubscription(
        **{
            name: getattr(row, name)
            for name in KeptSubscription.__dataclass_fields__
            if name != "counts_late"
        }
    )


def _details(kept: KeptSubscription) -> dict[str, Any]:
    return {
        "id": kept.id,
        "quantity": f"{kept.quantity:f}",
        "starts_on": written_day(kept.starts_on),
        "ends_on": written_day(kept.ends_on),
    }
