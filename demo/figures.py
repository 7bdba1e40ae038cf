"""The figures of a billed month, read back from the database."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from domain.periods import BillingPeriod
from domain.tax import EU_MEMBER_STATES
from storage import cycles
from storage.invoices import load_invoice


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: str


def february_figures(connection: Connection, period: str) -> list[Figure]:
    """What was billed for `period`, in one currency, with account 1047 as the example."""
    month = BillingPeriod.parse(period)
    cycle = cycles.summarize_cycle(connection, month)
    (totals,) = cycles.cycle_totals(connection, month)
    counts = {
        row.what: row.count
        for row in connection.execute(
            text("""
                SELECT customer ->> 'payment_method' AS what, count(*) AS count FROM invoices
                WHERE period_start = :start AND status <> 'void' GROUP BY 1
                UNION ALL
                SELECT CASE WHEN customer -> 'address' ->> 'country' = ANY(:eu) THEN 'eu'
                            ELSE customer -> 'address' ->> 'country' END,
                       count(DISTINCT (customer -> 'address' ->> 'country',
                             CASE WHEN customer -> 'address' ->> 'country' = 'US'
                                  THEN customer -> 'address' ->> 'region' END))
                FROM invoices
                WHERE period_start = :start AND status <> 'void' AND tax > 0 GROUP BY 1
            """),
            {"start": month.start, "eu": sorted(EU_MEMBER_STATES)},
        )
    }
    subscribed = {
        row.description: row
        for row in connection.execute(
            text("""
                SELECT line.description, count(*) AS count, min(line.unit_price) AS price
                FROM invoice_line_items line JOIN invoices ON invoices.id = line.invoice_id
                WHERE period_start = :start AND status <> 'void' AND line.kind = 'flat'
                GROUP BY 1 ORDER BY 2 DESC
            """),
            {"start": month.start},
        )
    }
    flat = ", ".join(f"{row.count} {name} at {row.price:f}" for name, row in subscribed.items())
    example = load_invoice(connection, "INV-2026-02-0047")
    return [
        Figure(
            "customers processed / invoiced / skipped / failed",
            f"{cycle.customers} / {cycle.issued} / {cycle.skipped} / {cycle.failed}",
        ),
        Figure("usage charges", f"{totals.usage:,f}"),
        Figure(f"flat subscriptions ({flat})", f"{totals.subscriptions:,f}"),
        Figure("proration", f"{totals.proration:,f}"),
        Figure(
            f"tax, over customers in {counts.get('eu', 0)} EU countries "
            f"and {counts.get('US', 0)} US states",
            f"{totals.tax:,f}",
        ),
        Figure(f"total, {totals.currency}", f"{totals.total:,f}"),
        Figure(
            "card on file / bank transfer",
            f"{counts.get('card', 0)} / {counts.get('bank_transfer', 0)}",
        ),
        Figure(
            f"{example.number}, account {example.account_number}, {example.customer.name}",
            f"{example.total:,f}",
        ),
    ]
