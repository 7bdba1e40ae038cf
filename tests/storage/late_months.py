"""Months billed one after another, and what comes late for them."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from itertools import count
from typing import Any

from sqlalchemy import Connection, Engine, text

from activities.billing_cycle import CycleActivities
from domain.instructions import InstructionKind
from domain.periods import BillingPeriod
from domain.tax import TaxPolicy
from storage.cycles import load_cycle, move_cycle, open_cycle
from storage.documents import store_document
from storage.drafts import drafts_to_issue
from storage.engine import transaction
from storage.instructions import Asked, ask, carry_out
from storage.master_data.subscriptions import add_subscription
from storage.planning import Cycle, PageOfPlan
from storage.posting import issue_invoice
from tests.builders import ACTOR, plan_all
from workflows.contracts.cycle import CycleStep

JANUARY, MARCH, APRIL = (BillingPeriod(2026, month) for month in (1, 3, 4))
_EVENTS = count(1)


def use(engine: Engine, account: str, period: BillingPeriod, units: int, *, day: int = 10) -> None:
    """One event of the month, counted with it; below zero, the correction of another."""
    with transaction(engine) as connection:
        add_usage(connection, account, period, units, day=day)


def add_usage(
    connection: Connection, account: str, period: BillingPeriod, units: int, *, day: int = 10
) -> None:
    on = period.start.replace(day=day)
    values = {"account": account, "on": on, "month": period.start, "units": units}
    for statement in _USE:
        connection.execute(text(statement), {**values, "event": f"late-{next(_EVENTS)}"})


def open_month(engine: Engine, period: BillingPeriod, **terms: bool) -> Cycle:
    """Dated the first day behind it; `terms`: such as approval_required."""
    with transaction(engine) as connection:
        return open_cycle(
            connection,
            period,
            issued_on=period.end,
            terms_days=30,
            hold_reminders=False,
            actor=ACTOR,
            **terms,
        )


def plan_month(
    engine: Engine, period: BillingPeriod, *, again: bool = False, **terms: bool
) -> PageOfPlan:
    """Plans the month, for `again` who failed or was skipped once more; `terms` as `open_month`."""
    cycle = open_month(engine, period, **terms)
    page = plan_all(engine, cycle, failed_again=again)
    with transaction(engine) as connection:
        move_cycle(connection, period, "planned", actor=ACTOR)
    return page


def begin_issue(engine: Engine, period: BillingPeriod, *, today: date | None = None) -> None:
    office = CycleActivities(engine, tax_policy=TaxPolicy())
    office.begin_issue(CycleStep(str(period), ACTOR, today))


def issue_month(engine: Engine, period: BillingPeriod, *, but: Iterable[str] = ()) -> None:
    """Issues the drafts of a planned month, `but` those with these numbers."""
    begin_issue(engine, period)
    with transaction(engine) as connection:
        cycle = load_cycle(connection, period)
        pdf = store_document(connection, b"pdf")
        for draft in drafts_to_issue(connection, cycle.id, after_account="", limit=1000):
            if draft.number not in but:
                issue_invoice(connection, draft.number, pdf, actor=ACTOR)
        move_cycle(connection, period, "closed", actor=ACTOR)


def bill_month(engine: Engine, period: BillingPeriod) -> None:
    plan_month(engine, period)
    issue_month(engine, period)


def decide_credits(engine: Engine, on: date = date(2026, 5, 2)) -> list[tuple[str, str | None]]:
    """Has the invoices decide about what is asked of them: number and outcome of each."""
    with transaction(engine) as connection:
        asked = connection.execute(
            text(
                "SELECT number, asked.id FROM instructions asked "
                "JOIN invoices ON invoices.id = invoice_id WHERE outcome IS NULL ORDER BY asked.id"
            )
        ).all()
        return [
            (number, carry_out(connection, number, id, business_date=on).outcome)
            for number, id in asked
        ]


def ask_void(engine: Engine, number: str, *, reissue: bool, on: date = date(2026, 4, 3)) -> Asked:
    """What becomes of a person's wish to take an invoice back, and to bill it anew."""
    with transaction(engine) as connection:
        asked = ask(
            connection,
            number,
            InstructionKind.VOID,
            note="wrong",
            person="Greta Finance",
            details={"reissue": reissue},
        )
        return carry_out(connection, number, asked, business_date=on)


def subscribe(engine: Engine, account: str, plan_code: str, starts_on: date) -> int:
    """As a person adds it, without an end; the subscription's id."""
    with transaction(engine) as connection:
        return add_subscription(
            connection,
            account,
            plan_code,
            Decimal(1),
            starts_on,
            None,
            business_date=date(2026, 3, 20),
            by="Greta Finance",
        ).id


def change_customer(engine: Engine, account: str, **values: Any) -> None:
    columns = ", ".join(f"{name} = :{name}" for name in values)
    with transaction(engine) as connection:
        connection.execute(
            text(f"UPDATE customers SET {columns} WHERE account_number = :account"),  # noqa: S608
            {**values, "account": account},
        )


def change_subscription(engine: Engine, account: str, **values: Any) -> None:
    """As nobody can: without a trace, for what was so before."""
    columns = ", ".join(f"{name} = :{name}" for name in values)
    with transaction(engine) as connection:
        connection.execute(
            text(
                f"UPDATE subscriptions SET {columns} FROM customers "  # noqa: S608
                "WHERE customers.id = customer_id AND account_number = :account"
            ),
            {**values, "account": account},
        )


def late_lines(engine: Engine, account: str, period: BillingPeriod) -> list[tuple[str, str, str]]:
    """Service month, description and amount of each line of kind late in a cycle's invoices."""
    return _rows(engine, _LATE_LINES, account=account, month=period.start)


def invoices_of(engine: Engine, account: str, period: BillingPeriod) -> list[tuple[str, ...]]:
    """Kind, service month, status, currency, subtotal, tax and total, regular first."""
    return _rows(engine, _INVOICES, account=account, month=period.start)


def outcomes_of(engine: Engine, account: str, period: BillingPeriod) -> list[tuple[str, str, str]]:
    """Late month or nothing, outcome and code."""
    return _rows(engine, _OUTCOMES, account=account, month=period.start)


def credits_of(engine: Engine, account: str) -> list[tuple[str, str, str, str]]:
    """Cycle, service month, what of it is net, and what becomes of it."""
    return _rows(engine, _CREDITS, account=account)


def accounted_for(
    engine: Engine, account: str, period: BillingPeriod
) -> list[tuple[str, str, str]]:
    """Of a service month: the cycle, the invoice or nothing, and the quantity."""
    return _rows(engine, _ACCOUNTED_FOR, account=account, month=period.start)


def billed_in_all(engine: Engine, account: str, period: BillingPeriod) -> str:
    """The net of a service month on invoices that are not void, less what is given back of it."""
    ((net,),) = _rows(engine, _BILLED_IN_ALL, account=account, month=period.start)
    return str(net)


def paid(engine: Engine) -> Decimal:
    """The net of all invoices, less credit notes, and what prepaid credit paid beside it."""
    with engine.connect() as connection:
        return Decimal(connection.execute(_PAID).scalar_one())


def numbers_of(engine: Engine, period: BillingPeriod) -> list[tuple[str, str, str]]:
    """Number, account and late month or nothing, by number."""
    return _rows(engine, _NUMBERS, month=period.start)


def _rows(engine: Engine, query: str, **values: str | date) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


_USE = (
    """INSERT INTO billing_events (customer_id, metric, occurred_at, quantity, event_id)
       SELECT id, 'api_calls', CAST(:on AS date) + interval '12 hours', :units, :event
       FROM customers WHERE account_number = :account""",
    """INSERT INTO usage_daily (customer_id, metric, day, quantity)
       SELECT id, 'api_calls', :on, :units FROM customers WHERE account_number = :account
       ON CONFLICT (customer_id, metric, day)
       DO UPDATE SET quantity = usage_daily.quantity + excluded.quantity""",
    """INSERT INTO usage_monthly (month, customer_id, metric, quantity)
       SELECT :month, id, 'api_calls', :units FROM customers WHERE account_number = :account
       ON CONFLICT (month, customer_id, metric)
       DO UPDATE SET quantity = usage_monthly.quantity + excluded.quantity,
                     changes = usage_monthly.changes + 1""",
)
_OF = """
    FROM invoices invoice JOIN customers customer ON customer.id = invoice.customer_id
"""
_LATE_LINES = f"""
    SELECT to_char(line.service_month, 'YYYY-MM'), line.description, line.amount::text
    {_OF} JOIN invoice_line_items line ON line.invoice_id = invoice.id
    WHERE account_number = :account AND invoice.period_start = :month AND line.kind = 'late'
      AND invoice.status <> 'void'
    ORDER BY invoice.id, line.position
"""
_INVOICES = f"""
    SELECT kind, to_char(coalesce(service_month, period_start), 'YYYY-MM'), invoice.status,
           invoice.currency, subtotal::text, tax::text, total::text
    {_OF} WHERE account_number = :account AND period_start = :month
    ORDER BY invoice.number
"""
_OUTCOMES = """
    SELECT part, outcome, reason_code
    FROM billing_cycle_items item JOIN billing_cycles cycle ON cycle.id = item.cycle_id
    WHERE account_number = :account AND period_start = :month ORDER BY part
"""
_CREDITS = """
    SELECT to_char(period_start, 'YYYY-MM'), to_char(month, 'YYYY-MM'), net::text,
           CASE WHEN instruction_id IS NULL THEN 'planned' ELSE coalesce(outcome, 'asked') END
    FROM planned_credits planned
    JOIN billing_cycles ON billing_cycles.id = planned.cycle_id
    JOIN customers ON customers.id = planned.customer_id
    LEFT JOIN instructions ON instructions.id = instruction_id
    WHERE account_number = :account AND NOT credited_before ORDER BY planned.id
"""
_ACCOUNTED_FOR = """
    SELECT to_char(cycle.period_start, 'YYYY-MM'), coalesce(invoice.number, ''),
           billed.quantity::int
    FROM billed_usage billed
    JOIN billing_cycles cycle ON cycle.id = billed.cycle_id
    JOIN customers ON customers.id = billed.customer_id
    LEFT JOIN invoices invoice ON invoice.id = billed.invoice_id
    WHERE account_number = :account AND month = :month
    ORDER BY cycle.period_start, invoice.number
"""
_BILLED_IN_ALL = f"""
    SELECT (sum(line.amount) + coalesce((
        SELECT sum((given ->> 'amount')::numeric)
        FROM planned_credits planned JOIN customers ON customers.id = planned.customer_id
             LEFT JOIN instructions asked ON asked.id = instruction_id,
             jsonb_array_elements(lines) given
        WHERE account_number = :account AND month = :month
          AND asked.outcome IS DISTINCT FROM 'refused'), 0))::text
    {_OF} JOIN invoice_line_items line ON line.invoice_id = invoice.id
    WHERE account_number = :account AND line.service_month = :month AND invoice.status <> 'void'
      AND line.kind NOT LIKE 'prepaid%'
"""  # noqa: S608 - of constants
_NUMBERS = f"""
    SELECT number, account_number, coalesce(to_char(service_month, 'YYYY-MM'), '')
    {_OF} WHERE period_start = :month ORDER BY number
"""
_PAID = text("""
    SELECT (SELECT coalesce(sum(subtotal), 0) FROM invoices WHERE status <> 'void')
         - (SELECT coalesce(sum(note.subtotal), 0)
            FROM credit_notes note JOIN invoices ON invoices.id = note.invoice_id
            WHERE invoices.status <> 'void')
         + (SELECT coalesce(sum(draw.amount - coalesce((
                SELECT sum(amount) FROM prepaid_returns
                WHERE invoice_id = draw.invoice_id AND grant_id = draw.grant_id), 0)), 0)
            FROM prepaid_draws draw JOIN invoices ON invoices.id = draw.invoice_id
            WHERE invoices.status <> 'void')
""")
