"""The command that proves a month: `proof`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby

from rich.console import Console
from rich.text import Text
from sqlalchemy import Engine

from activities.card_gateway import CardGateway
from activities.proof import ProofActivities
from domain.periods import BillingPeriod, BusinessCalendar
from domain.proof import LAWS, Difference, Measure, Proof, ProofStatus, Weighed
from settings import Settings, reveal
from storage.engine import transaction
from storage.proof.records import Reconciliation, last_reconciliation, load_proof
from workflows.contracts.proof import ProofOrder

DIFFERENCES_SHOWN = 200
_MARKS = {True: ("✓", "green"), False: ("✗", "bold red")}


def prove_now(engine: Engine, found: Settings, month: BillingPeriod) -> None:
    """Proves the month and keeps the proof, as the worker does behind a cycle."""
    office = ProofActivities(
        engine,
        gateway=CardGateway(reveal(found.stripe_api_key) or "", api_base=found.stripe_api_base),
        now=lambda: datetime.now(UTC),  # noqa: TID251 - the command's clock
        time_zone=found.seller_time_zone,
        currency=found.reporting_currency,
    )
    calendar = BusinessCalendar(found.seller_time_zone, found.day_seconds)
    office.prove_cycle(ProofOrder(str(month), calendar, "command line"))


def show_proof(engine: Engine, month: BillingPeriod, out: Console) -> Reconciliation:
    """Prints the last proof: every equation with both sides, and every difference."""
    with transaction(engine) as connection:
        last = last_reconciliation(connection, month)
        proof = load_proof(connection, last.id, differences=DIFFERENCES_SHOWN)
    out.print(_headline(last))
    if last.reason:
        out.print(last.reason, markup=False, highlight=False, soft_wrap=True)
    _print_equations(proof, out)
    if proof.differences:
        _print_differences(proof.differences, last.difference_count, out)
    return last


def _headline(last: Reconciliation) -> Text:
    words, style = {
        ProofStatus.BALANCED: ("everything balances", "green"),
        ProofStatus.ALARM: (_count(last.difference_count, "difference"), "bold red"),
        ProofStatus.INCOMPLETE: ("not everything could be checked", "yellow"),
    }[last.status]
    made = f"{last.period} as of {last.as_of}, proved {last.made_at:%Y-%m-%d %H:%M} UTC: "
    return Text(made).append(words, style)


def _print_equations(proof: Proof, out: Console) -> None:
    wrong = {row.equation for row in proof.differences}
    for part, rows in groupby(proof.equations, lambda row: LAWS[row.equation].part):
        out.print(Text(f"\n{part}", "bold"))
        for equation, same in groupby(rows, lambda row: row.equation):
            units = list(same)
            if units[0].not_checked:
                out.print(Text("? ", "yellow").append(LAWS[equation].sentence, "default"))
                out.print(Text(f"    not checked: {units[0].not_checked}"), soft_wrap=True)
                continue
            mark, style = _MARKS[equation not in wrong]
            out.print(Text(f"{mark} ", style).append(LAWS[equation].sentence, "default"))
            for row in units:
                sides = _sides(row) if row.unit else "there was nothing of it"
                out.print(Text(f"    {sides}"), soft_wrap=True)
                for named in row.parts:
                    out.print(
                        Text(f"        {figure(named.amount)} {named.name} ({named.count:,})"),
                        soft_wrap=True,
                    )


def _sides(row: Weighed) -> str:
    law = LAWS[row.equation]
    unit = "" if law.measure is Measure.THINGS else f" {row.unit}"
    sides = [
        f"{name} {figure(side)}" for name, side in ((law.left, row.left), (law.right, row.right))
    ]
    if row.difference:
        return f"{' ≠ '.join(sides)}{unit}: {_off(row.difference)}"
    return f"{' = '.join(sides)}{unit}"


def _print_differences(found: Sequence[Difference], count: int, out: Console) -> None:
    out.print(Text("\nDifferences", "bold"))
    for row in found:
        whose = row.account_number or "nobody known"
        about = f" ({row.subject})" if row.subject else ""
        out.print(
            Text(f"  {whose}{about}: ", "red")
            .append(
                f"expected {figure(row.expected)}, found {figure(row.found)} {row.unit}, "
                f"{_off(row.difference)}",
                "default",
            )
            .append(f"; {row.explanation}" if row.explanation else "", "default"),
            soft_wrap=True,
        )
    if count > len(found):
        out.print(f"  and {count - len(found):,} more")


def _off(difference: Decimal) -> str:
    return f"{figure(abs(difference))} too {'little' if difference < 0 else 'much'}"


def figure(number: Decimal) -> str:
    """With the digits that it has, thousands apart."""
    return f"{number:,f}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
