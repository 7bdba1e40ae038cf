"""How far back a change of master data may reach into what was billed.

A subscription may: the next cycle bills or gives back the difference that it makes. Prices and tax
rates, by which everybody is billed, may not. A month is billed for a customer who has an invoice of
it, drafts included, though a plan that only waits may be discarded. One who failed or was skipped
is rated anew at the cycle's next retry, so what mends that may reach back.
"""

from datetime import date

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, text

from domain.errors import AlreadyBilled
from domain.periods import BillingPeriod
from domain.tax import TaxRule
from storage.recurring import lock_writers
from storage.tables import billing_cycle_items, billing_cycles, invoices, prepaid_draws

_PATIENCE = "15s"
_ONLY_PLANNED = billing_cycles.c.issue_began_at.is_(None)


def begin_writing(connection: Connection) -> None:
    """Call it first: no import writes, and no cycle is opened or planned, until the transaction
    ends, so that what is checked stays true.

    Whoever waits longer than 15 seconds, as behind a large import, is refused as by an outage.
    """
    connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
    lock_writers(connection)
    # planning holds a cycle's row, and the opening of a cycle writes one
    connection.execute(text("LOCK TABLE billing_cycles IN EXCLUSIVE MODE"))


def require_unbilled(
    connection: Connection, field: str, customer_id: int, first: date, after: date | None
) -> None:
    """Raises AlreadyBilled if the customer was billed for a month with a day in `[first, after)`;
    `after` None: without an end.
    """
    _refuse_billed(connection, field, *_months_of(customer_id, first, after))


def require_rated_anew(
    connection: Connection, field: str, customer_id: int, first: date, after: date | None
) -> None:
    """As `require_unbilled`, for months alone that no cycle rates anew: billed by an older system,
    or by a plan that waits and may be discarded.
    """
    ours = and_(billing_cycles.c.id.is_not(None), ~_ONLY_PLANNED)
    _refuse_billed(connection, field, ~ours, *_months_of(customer_id, first, after))


def _months_of(customer_id: int, first: date, after: date | None) -> list[ColumnElement[bool]]:
    """A customer's invoices of months with a day in `[first, after)`."""
    months = [
        invoices.c.customer_id == customer_id,
        invoices.c.period_start >= first.replace(day=1),
    ]
    if after is not None:
        months.append(invoices.c.period_start < after)
    return months


def require_untaxed(
    connection: Connection, field: str, place: tuple[str, str], first: date, after: date | None
) -> None:
    """Raises AlreadyBilled if a customer of `place` (country, region or empty for the whole of it)
    was billed by the place's tax for a month whose last day is in `[first, after)`.

    The last day decides the tax. Exempt customers and those of the reverse charge need no rate,
    and an older system's invoices did not ask for ours.
    """
    country, region = place
    address = invoices.c.customer["address"]
    conditions = [
        address["country"].astext == country,
        invoices.c.period_start >= first.replace(day=1),
        invoices.c.tax_lines != [],
        *(
            ~invoices.c.tax_lines.contains([{"rule": rule.value}])
            for rule in (TaxRule.EXEMPT, TaxRule.REVERSE_CHARGE)
        ),
    ]
    if region:
        conditions.append(address["region"].astext == region)
    if after is not None:
        conditions.append(invoices.c.period_start < after.replace(day=1))
    _refuse_billed(connection, field, *conditions)


def require_undrawn(connection: Connection, field: str, grant_id: int, first: date) -> None:
    """Raises AlreadyBilled if an invoice of a month that begins on `first` or later draws the
    prepaid credit.
    """
    draws = select(prepaid_draws.c.invoice_id).where(prepaid_draws.c.grant_id == grant_id)
    _refuse_billed(connection, field, invoices.c.id.in_(draws), invoices.c.period_start >= first)


def require_no_cycle_since(connection: Connection, field: str, first: date) -> None:
    """Raises AlreadyBilled if there is a cycle of the month of `first`, or of a later one."""
    last = connection.execute(
        select(billing_cycles.c.period_start, _ONLY_PLANNED.label("planned"))
        .where(billing_cycles.c.period_start >= first.replace(day=1))
        .order_by(billing_cycles.c.period_start.desc())
        .limit(1)
    ).one_or_none()
    if last is not None:
        period = BillingPeriod.of(last.period_start)
        raise AlreadyBilled(
            field, str(period), f"the cycle of {period}", period.end, planned=last.planned
        )


def _refuse_billed(connection: Connection, field: str, *conditions: ColumnElement[bool]) -> None:
    last = connection.execute(_last_billed(*conditions)).one_or_none()
    if last is not None:
        period = BillingPeriod.of(last.period_start)
        raise AlreadyBilled(
            field, str(period), last.number or "a draft", period.end, planned=last.planned
        )


def _last_billed(*conditions: ColumnElement[bool]) -> Select[tuple[str | None, date, bool]]:
    item = billing_cycle_items
    rated_anew = and_(invoices.c.status == "draft", item.c.outcome.in_(("failed", "skipped")))
    # without a cycle it is an older system's, and issued
    planned = and_(billing_cycles.c.id.is_not(None), _ONLY_PLANNED)
    return (
        select(invoices.c.number, invoices.c.period_start, planned.label("planned"))
        .outerjoin(item, item.c.invoice_id == invoices.c.id)
        .outerjoin(billing_cycles, billing_cycles.c.id == invoices.c.cycle_id)
        .where(
            invoices.c.status != "void",
            or_(item.c.outcome.is_(None), ~rated_anew),
            *conditions,
        )
        .order_by(invoices.c.period_start.desc(), planned, invoices.c.number)
        .limit(1)
    )
