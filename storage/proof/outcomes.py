"""Who was to be billed, and what became of them: one outcome, one invoice, no number missing."""

from collections.abc import Iterator
from decimal import Decimal

from sqlalchemy import Connection, text

from domain.invoice import invoice_number, parse_invoice_number
from domain.proof import Entry, Equation, Proof, weigh
from storage.proof.sides import Scope, entries


def customers_and_numbers(connection: Connection, scope: Scope) -> Proof:
    billed_once = entries(
        connection,
        _BILLED_ONCE,
        scope.parameters,
        explanation="billed more than once; void what is too much",
    )
    return (
        weigh(Equation.OUTCOMES, _outcomes(connection, scope))
        + weigh(Equation.BILLED_ONCE, billed_once)
        + weigh(Equation.NUMBERS, _numbers(connection, scope))
    )


def _outcomes(connection: Connection, scope: Scope) -> Iterator[Entry]:
    """Everybody with usage or a subscription of the month, with the outcome that they have."""
    one, none = Decimal(1), Decimal(0)
    for row in connection.execute(_OUTCOMES, scope.parameters):
        if row.outcome is None and row.is_new:
            yield Entry("customers", row.account_number, one, one, parts=((_NEW, one),))
        elif row.outcome is None:
            missing = "has no outcome; retry the cycle, which bills whoever is new"
            yield Entry("customers", row.account_number, one, none, explanation=missing)
        elif row.outcome == "issued" and row.invoice_id is None:
            missing = "counts as billed and has no invoice of the month"
            yield Entry("customers", row.account_number, one, none, explanation=missing)
        else:
            words = _OUTCOME_WORDS[row.outcome]
            name = f"{words}: {row.reason_code.replace('_', ' ')}" if row.reason_code else words
            yield Entry("customers", row.account_number, one, one, parts=((name, one),))


_NEW = "new since; the next cycle bills them"
_OUTCOME_WORDS = {
    "issued": "invoiced",
    "drafted": "waits to be issued",
    "skipped": "skipped",
    "failed": "failed",
}


def _numbers(connection: Connection, scope: Scope) -> Iterator[Entry]:
    """Each number from the cycle's first to its last; those before it came from an older system."""
    used = {
        parse_invoice_number(row.number)[1]: row.ours
        for row in connection.execute(
            _NUMBERS, {**scope.parameters, "prefix": f"INV-{scope.period}-%"}
        )
    }
    ours = [place for place, is_ours in used.items() if is_ours]
    last = max([*ours, connection.execute(_LAST, scope.parameters).scalar_one()])
    before = max(
        (place for place in used if not used[place] and place < min(ours, default=1)), default=0
    )
    for place in range(before + 1, last + 1):
        found = Decimal(1 if place in used else 0)
        number = invoice_number(scope.period, place)
        yield Entry(
            "numbers",
            "",
            Decimal(1),
            found,
            number,
            explanation="" if found else "no invoice has this number any more",
        )


_OUTCOMES = text("""
    WITH billable AS (
        SELECT customer_id FROM usage_monthly WHERE month = :month AND quantity <> 0
        UNION
        SELECT customer_id FROM subscriptions
        WHERE starts_on < CAST(:month AS date) + interval '1 month'
          AND (ends_on IS NULL OR ends_on > :month)
    )
    SELECT customer.account_number,
           customer.created_at > cycle.planned_at AS is_new, item.outcome, item.reason_code,
           invoice.id AS invoice_id
    FROM billable
    JOIN customers customer ON customer.id = billable.customer_id
    JOIN billing_cycles cycle ON cycle.id = :cycle
    LEFT JOIN billing_cycle_items item
        ON item.cycle_id = :cycle AND item.customer_id = billable.customer_id AND item.part = ''
    LEFT JOIN invoices invoice
        ON invoice.id = item.invoice_id AND invoice.customer_id = billable.customer_id
        AND invoice.status <> 'draft'
    ORDER BY customer.account_number
""")
_BILLED_ONCE = """
    SELECT 'invoices' AS unit, customer.account_number,
           string_agg(invoice.number, ', ' ORDER BY invoice.number) AS subject,
           1::numeric AS expected, count(*)::numeric AS found
    FROM invoices invoice JOIN customers customer ON customer.id = invoice.customer_id
    WHERE invoice.period_start = :month AND invoice.status NOT IN ('draft', 'void')
    GROUP BY customer.account_number, invoice.kind, invoice.service_month
"""
_NUMBERS = text("""
    SELECT number, cycle_id IS NOT DISTINCT FROM :cycle AS ours FROM invoices
    WHERE number LIKE :prefix
""")
_LAST = text("SELECT last_sequence FROM billing_cycles WHERE id = :cycle")
