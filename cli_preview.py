"""The command that shows a plan before it is issued: `preview`."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from cli_proof import figure
from domain.periods import BillingPeriod
from domain.standing_out import Finding
from domain.whole_plan import PlanFinding
from settings import Settings
from storage.approval import Approval, ToApprove, approve, to_approve
from storage.cycles import load_cycle
from storage.engine import transaction
from storage.preview import ComparedTotals, load_preview, load_whole, thresholds

FINDINGS_SHOWN = 50
ACTOR = "command line"


def show_preview(engine: Engine, found: Settings, month: BillingPeriod, out: Console) -> None:
    """Prints the plan's sums against the last month's, what stands out, and what is to be approved.

    Raises NotFound, and Conflict while the plan is being made.
    """
    with transaction(engine) as connection:
        preview = load_preview(
            connection, month, thresholds(found), currency=found.reporting_currency
        )
        cycle = load_cycle(connection, month)
        waiting = to_approve(connection, cycle.id) if cycle.approval_required else None
    against = f" against {preview.compared_with}" if preview.compared_with else ""
    out.print(
        Text(f"{month}{against}: {preview.customers:,} customers with an invoice").append(
            f", {preview.customers_before:,} before" if preview.compared_with else ""
        )
    )
    _print_totals(preview.totals, out)
    for whole in preview.whole:
        out.print(Text(f"! {_in_words(whole)}", "bold red"), soft_wrap=True)
    _print_findings(preview.findings, out)
    if waiting is not None:
        out.print(Text(_what_waits(month, waiting)), soft_wrap=True)


def approve_now(
    engine: Engine, found: Settings, month: BillingPeriod, *, note: str, today: date
) -> Approval:
    """Approves all that waits, as it is at this moment. Raises Conflict and InvalidField."""
    with transaction(engine) as connection:
        cycle = load_cycle(connection, month, for_update=True)
        return approve(
            connection,
            month,
            digest=to_approve(connection, cycle.id).digest,
            note=note,
            person=ACTOR,
            business_date=today,
            by_another=found.approval_by_another,
            note_required=bool(load_whole(connection, month, thresholds(found))),
        )


def _print_totals(totals: Sequence[ComparedTotals], out: Console) -> None:
    table = Table("currency", "invoices", "total", "before", "difference", "%")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in totals:
        table.add_row(
            row.currency,
            f"{row.now.invoices:,}" if row.now else "0",
            figure(row.now.total) if row.now else "–",
            figure(row.before.total) if row.before else "–",
            _signed(row.difference),
            _signed(row.percent),
        )
    out.print(table)


def _print_findings(findings: Sequence[Finding], out: Console) -> None:
    if not findings:
        out.print("No customer stands out.")
        return
    table = Table("account", "what", "usual", "now", "difference", "%", "currency", "why")
    for column in table.columns[2:6]:
        column.justify = "right"
    for row in findings[:FINDINGS_SHOWN]:
        before = figure(row.before) if row.before is not None else "–"
        table.add_row(
            row.account_number,
            row.kind.value.replace("_", " "),
            f"{before} {row.currency_before}".rstrip(),
            figure(row.now) if row.now is not None else "–",
            _signed(row.difference),
            _signed(row.percent),
            row.currency,
            Text(row.explanation),
        )
    out.print(table)
    if len(findings) > FINDINGS_SHOWN:
        out.print(f"and {len(findings) - FINDINGS_SHOWN:,} more")


def _in_words(finding: PlanFinding) -> str:
    name = finding.kind.value.replace("_", " ")
    if finding.before is None:
        return f"{name}, {finding.unit}: {figure(finding.now)}"
    by = f" ({_signed(finding.percent)} %)" if finding.percent is not None else ""
    return f"{name}, {finding.unit}: {figure(finding.before)} before, {figure(finding.now)} now{by}"


def _what_waits(month: BillingPeriod, waiting: ToApprove) -> str:
    if not waiting.digest:
        return "All of it is approved."
    return (
        f"{waiting.drafts:,} drafts and {waiting.credits:,} credits wait to be approved: "
        f"billwright preview {month} --approve NOTE."
    )


def _signed(number: Decimal | None) -> str:
    return "–" if number is None else f"{number:+,f}"
