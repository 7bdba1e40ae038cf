"""The figures of a billed month, read back from the database and from the API's reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

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


def opening_figures(connection: Connection, period: str, issued_on: date) -> list[Figure]:
    """The charges of the first day and what of `period` is open on it, by business date."""
    month = BillingPeriod.parse(period).start
    row = connection.execute(_OPENING, {"month": month, "on": issued_on}).one()
    return [
        Figure("cards charged / succeeded", f"{row.charged} / {row.succeeded}"),
        Figure("received by card", f"{row.received:,f}"),
        Figure(
            "declined: expired card / insufficient funds / declined",
            f"{row.expired} / {row.insufficient} / {row.declined}",
        ),
        Figure(
            f"open as of {issued_on}: {row.open_wires} transfers, {row.open_cards} cards",
            f"{row.open_amount:,f}",
        ),
    ]


def revenue_figures(mrr: Mapping[str, Any], revenue: Mapping[str, Any]) -> list[Figure]:
    """What was billed, net of tax too, and what recurs, as the API reports it."""
    billed = mrr["billed"]
    return [
        Figure(
            f"billed for {billed['period']}, tax included / growth",
            f"{Decimal(billed['amount']):,f} / {_signed(billed['growth'])}",
        ),
        Figure(
            f"revenue of {revenue['period']} without tax / growth",
            f"{Decimal(revenue['revenue']):,f} / {_signed(revenue['growth'])}",
        ),
        Figure(
            f"recurring on {mrr['as_of']}: usage + subscriptions",
            f"{Decimal(mrr['usage']):,f} + {Decimal(mrr['subscriptions']):,f}"
            f" = {Decimal(mrr['mrr']):,f}",
        ),
    ]


def risk_figures(risk: Mapping[str, Any]) -> list[Figure]:
    """Who uses less and less, as the API reports it."""
    falling = [customer for customer in risk["customers"] if customer["declines"]]
    return [
        Figure(
            f"usage fell by {Decimal(risk['threshold_percent']):.0f} % two months running",
            ", ".join(customer["account_number"] for customer in falling),
        )
    ]


def owed_figures(owed: Mapping[str, Any]) -> list[Figure]:
    """What is open by days past due; `owed` as the API reports it."""
    return [
        Figure(
            f"outstanding: {owed['invoices']} invoices of {owed['customers']} customers",
            f"{Decimal(owed['total']):,f}",
        ),
        *(
            Figure(
                f"  {aged['bucket']}: {aged['invoices']} of {owed['invoices']} invoices / share",
                f"{Decimal(aged['amount']):,f} / {aged['share']} %",
            )
            for aged in owed["buckets"]
        ),
    ]


def closing_figures(connection: Connection, period: str, issued_on: date) -> list[Figure]:
    """How `period` stands on day 14."""
    month = BillingPeriod.parse(period).start
    week = issued_on + timedelta(days=7)
    row = connection.execute(_CLOSING, {"month": month, "week": week}).one()
    review = connection.execute(_IN_REVIEW, {"month": month}).all()
    still_open = sum((case.open_amount for case in review), Decimal(0))
    return [
        Figure(f"failed cards replaced and paid by {week}", f"{row.recovered} of {row.failed}"),
        Figure("wires booked by reference", f"{row.wires} of {row.statement_lines}"),
        Figure("received by wire", f"{row.wired:,f}"),
        Figure(
            "e-mails: receipts / update card / invoices / reminders / urgent / review",
            f"{row.receipts} / {row.updates} / {row.invoices} / {row.reminders} / {row.urgent}"
            f" / {row.reviews}",
        ),
        Figure("webhook events applied", f"{row.webhooks:,}"),
        *(
            Figure(
                f"manual review: {case.number}, account {case.account_number}, {case.name}",
                f"{case.open_amount:,f}",
            )
            for case in review
        ),
        Figure(
            f"of {period} still open",
            f"{still_open:,f}",
        ),
    ]


def plan_figures(preview: Mapping[str, Any], late: Sequence[Figure]) -> list[Figure]:
    """The sums of a plan in one currency, what is late in it, and what stands out of it; `preview`
    as the API has it.
    """
    (totals,) = preview["totals"]
    now, against = totals["now"], preview["compared_with"]
    return [
        Figure(
            f"drafts / against {against}",
            f"{preview['customers']} / {preview['customers_before']}",
        ),
        Figure("usage charges", money(now["usage"])),
        Figure("flat subscriptions", money(now["subscriptions"])),
        *late,
        Figure("tax", money(now["tax"])),
        Figure(
            f"total, {totals['currency']} / against {against}",
            f"{money(now['total'])} / {_signed(totals['percent'])}",
        ),
        *(
            Figure(
                f"stands out: {found['account_number']}, {found['customer']}, "
                f"{found['kind'].replace('_', ' ')}",
                f"{money(found['before'])} -> {money(found['now'])}",
            )
            for found in preview["findings"]
        ),
        Figure("waiting to be approved", f"{preview['to_approve']['drafts']} drafts"),
    ]


def money(amount: str | None) -> str:
    """An amount of the API's; "-" where it has none."""
    return "-" if amount is None else f"{Decimal(amount):,f}"


def _signed(percent: Decimal | str | None) -> str:
    return "-" if percent is None else f"{Decimal(percent):+} %"


_OPENING = text("""
    WITH first AS (
        SELECT payments.*, invoices.total FROM payments
        JOIN invoices ON invoices.id = payments.invoice_id
        WHERE payments.attempt = 1 AND invoices.period_start = :month
    ), balance AS (
        SELECT invoices.id, invoices.customer ->> 'payment_method' AS method,
               invoices.total - coalesce((
                   SELECT sum(allocated) FROM payments
                   WHERE invoice_id = invoices.id AND business_date <= :on), 0) AS amount
        FROM invoices
        WHERE period_start = :month AND number IS NOT NULL AND status <> 'void'
          AND issued_on <= :on
    )
    SELECT (SELECT count(*) FROM first) AS charged,
           (SELECT count(*) FROM first WHERE status = 'succeeded') AS succeeded,
           (SELECT sum(amount) FROM first WHERE status = 'succeeded') AS received,
           (SELECT count(*) FROM first WHERE failure_code = 'expired_card') AS expired,
           (SELECT count(*) FROM first WHERE failure_code = 'insufficient_funds') AS insufficient,
           (SELECT count(*) FROM first WHERE failure_code = 'declined') AS declined,
           (SELECT count(*) FROM balance WHERE amount > 0 AND method <> 'card') AS open_wires,
           (SELECT count(*) FROM balance WHERE amount > 0 AND method = 'card') AS open_cards,
           (SELECT sum(amount) FROM balance WHERE amount > 0) AS open_amount
""")

_CLOSING = text("""
    WITH failed AS (
        SELECT status, settled_on FROM invoices
        WHERE period_start = :month AND first_failed_on IS NOT NULL
    )
    SELECT (SELECT count(*) FROM failed) AS failed,
           (SELECT count(*) FROM failed WHERE status = 'paid' AND settled_on <= :week)
               AS recovered,
           (SELECT count(*) FROM bank_transactions WHERE amount > 0) AS statement_lines,
           (SELECT count(DISTINCT bank_transaction_id) FROM bank_matches
            WHERE booked_at IS NOT NULL AND payment_id IS NOT NULL) AS wires,
           (SELECT coalesce(sum(allocated), 0) FROM payments
            WHERE method = 'bank_transfer') AS wired,
           (SELECT count(*) FROM webhook_events WHERE outcome = 'applied') AS webhooks,
           count(*) FILTER (WHERE kind = 'receipt') AS receipts,
           count(*) FILTER (WHERE kind = 'update_payment_method') AS updates,
           count(*) FILTER (WHERE kind = 'invoice') AS invoices,
           count(*) FILTER (WHERE kind = 'reminder') AS reminders,
           count(*) FILTER (WHERE kind = 'urgent_notice') AS urgent,
           count(*) FILTER (WHERE kind = 'review_notice') AS reviews
    FROM emails WHERE sent_at IS NOT NULL
""")

_IN_REVIEW = text("""
    SELECT number, account_number, customers.name,
           total - amount_paid - amount_credited AS open_amount
    FROM invoices JOIN customers ON customers.id = invoices.customer_id
    WHERE period_start = :month AND invoices.status IN ('issued', 'overdue') ORDER BY number
""")


def proof_figures(proof: Mapping[str, Any]) -> list[Figure]:
    """Both sides of what matters most in the last proof, where the month's units are, and how many
    of its equations agree.
    """
    wrong = {row["equation"] for row in proof["differences"]}
    asked = {row["equation"] for row in proof["equations"] if not row["not_checked"]}
    figures = []
    for row in proof["equations"]:
        if row["equation"] not in ("usage_billed", "rated_again", "card_payments", "bank_payments"):
            continue
        sides = f"{money(row['left'])} = {money(row['right'])}"
        figures.append(Figure(f"{row['left_name']} = {row['right_name']}", sides))
        if row["equation"] == "usage_billed":
            figures += [Figure(f"  {it['name']}", money(it["amount"])) for it in row["parts"]]
    every = len({row["equation"] for row in proof["equations"]})
    agree = Figure("equations that balance", f"{len(asked - wrong)} of {every}")
    return [*figures, agree, Figure("differences", f"{proof['difference_count']}")]
