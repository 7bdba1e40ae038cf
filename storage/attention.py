"""What waits for a person now: cases, money that nobody matched, mail that nobody got, months that
nobody billed, or whose proof does not balance.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, func, select, text

from domain.periods import BillingPeriod
from storage.proof.records import UnprovedMonth, unproved_months
from storage.receivables import IS_OPEN
from storage.tables import bank_transactions, billing_cycles, invoices
from storage.usage.set_aside import count_waiting


@dataclass(frozen=True)
class CurrencyAmount:
    """A sum in one currency."""

    currency: str
    amount: Decimal


@dataclass(frozen=True)
class WaitingMoney:
    """How many things of a kind wait, and what they come to, by currency."""

    count: int
    amounts: tuple[CurrencyAmount, ...]


@dataclass(frozen=True)
class FailedCustomers:
    """How many customers a period's cycle could not bill, or not for a past month."""

    period: str
    failed: int


@dataclass(frozen=True)
class RunningCycle:
    """A cycle that is not closed."""

    period: str
    status: str


@dataclass(frozen=True)
class Attention:
    """What waits for a person.

    Attributes:
        review_cases, held_invoices: with what is still to be paid on them.
        disputes: with the totals of the invoices, which may have been paid.
        unmatched_transactions: with what came in, less what was taken back.
        failed_customers, running_cycles, unproved_months: the newest period first.
        undelivered_emails: refused by the mail server, or not taken by it for more than a day,
            where no later one about the same invoice went out.
        set_aside_events: usage of accounts that nobody had when it came.
        unbilled_periods: the oldest first; each is over, has something to bill, and neither a
            cycle nor invoices of an older system.
    """

    review_cases: WaitingMoney
    disputes: WaitingMoney
    unmatched_transactions: WaitingMoney
    held_invoices: WaitingMoney
    undelivered_emails: int
    set_aside_events: int
    failed_customers: tuple[FailedCustomers, ...]
    unbilled_periods: tuple[str, ...]
    running_cycles: tuple[RunningCycle, ...]
    unproved_months: tuple[UnprovedMonth, ...]


def what_waits(connection: Connection, *, business_date: date) -> Attention:
    """What waits as PostgreSQL has it now; months are over by `business_date`."""
    column, wire = invoices.c, bank_transactions.c
    still_open = column.total - column.amount_paid - column.amount_credited
    in_review = column.collection_state == "manual_review"
    unmatched = wire.status == "unmatched"
    return Attention(
        review_cases=_money(connection, column.currency, still_open, in_review),
        disputes=_money(connection, column.currency, column.total, column.disputed),
        unmatched_transactions=_money(connection, wire.currency, wire.amount, unmatched),
        held_invoices=_money(connection, column.currency, still_open, column.on_hold, IS_OPEN),
        undelivered_emails=connection.execute(_UNDELIVERED).scalar_one(),
        set_aside_events=count_waiting(connection),
        failed_customers=tuple(
            FailedCustomers(_period(row.period_start), row.failed)
            for row in connection.execute(_FAILED)
        ),
        unbilled_periods=_unbilled(connection, business_date),
        running_cycles=_running(connection),
        unproved_months=tuple(unproved_months(connection)),
    )


def _money(
    connection: Connection,
    currency: ColumnElement[str],
    amount: ColumnElement[Decimal],
    *conditions: ColumnElement[bool],
) -> WaitingMoney:
    found = connection.execute(
        select(currency, func.count(), func.sum(amount))
        .where(*conditions)
        .group_by(currency)
        .order_by(currency)
    ).all()
    return WaitingMoney(
        sum(count for _, count, _ in found),
        tuple(CurrencyAmount(code, total) for code, _, total in found),
    )


def _unbilled(connection: Connection, business_date: date) -> tuple[str, ...]:
    """From the first month that has a cycle on; without any, the latest month alone."""
    latest = BillingPeriod.of(business_date).previous()
    first = connection.execute(select(func.min(billing_cycles.c.period_start))).scalar_one()
    months = {"first": first or latest.start, "latest": latest.start}
    return tuple(_period(start) for start in connection.execute(_UNBILLED, months).scalars())


def _running(connection: Connection) -> tuple[RunningCycle, ...]:
    rows = connection.execute(
        select(billing_cycles.c.period_start, billing_cycles.c.status)
        .where(billing_cycles.c.status != "closed")
        .order_by(billing_cycles.c.period_start.desc())
    )
    return tuple(RunningCycle(_period(row.period_start), row.status) for row in rows)


def _period(start: date) -> str:
    return str(BillingPeriod.of(start))


_UNDELIVERED = text("""
    SELECT count(*)
    FROM emails email JOIN invoices invoice ON invoice.id = email.invoice_id
    WHERE email.sent_at IS NULL
      AND (email.created_at < now() - interval '1 day' OR EXISTS (
           SELECT FROM audit_log
           WHERE subject_kind = 'invoice' AND subject = invoice.number
             AND event = email.kind || '_email_refused'
             AND details ->> 'message_id' = email.message_id))
      AND NOT EXISTS (
           SELECT FROM emails later
           WHERE later.invoice_id = email.invoice_id AND later.id > email.id
             AND later.sent_at IS NOT NULL)
""")
_FAILED = text("""
    SELECT period_start, failed
    FROM billing_cycles, LATERAL (
        SELECT count(DISTINCT account_number) AS failed FROM billing_cycle_items
        WHERE cycle_id = billing_cycles.id AND outcome = 'failed'
    ) of_cycle
    WHERE failed > 0
    ORDER BY period_start DESC
""")
_UNBILLED = text("""
    SELECT month::date AS period_start
    FROM generate_series(CAST(:first AS date), CAST(:latest AS timestamp), interval '1 month') month
    WHERE NOT EXISTS (SELECT FROM billing_cycles WHERE period_start = month::date)
      AND NOT EXISTS (SELECT FROM invoices WHERE period_start = month::date)
      AND (EXISTS (SELECT FROM usage_monthly usage WHERE usage.month = month.month::date)
           OR EXISTS (
               SELECT FROM subscriptions JOIN pricing_plans plan ON plan.id = plan_id
               WHERE plan.kind = 'flat' AND starts_on < month + interval '1 month'
                 AND (ends_on IS NULL OR ends_on > month)))
    ORDER BY month
""")
