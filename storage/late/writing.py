"""Late months as a plan writes them: drafts of their own, what is given back, what is counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert

from domain.periods import BillingPeriod
from domain.prepaid import PrepaidDraw
from domain.true_up import settle_with
from storage.billed_usage import Rating
from storage.drafts import Cycle, DraftToWrite, void_draft, write_drafts
from storage.late.planning import CustomersLate
from storage.late.rating import RatedMonth
from storage.tables import planned_credits

Values = dict[str, Any]
"""A row, by column."""


@dataclass(frozen=True)
class WrittenLate:
    """The outcomes of late parts for `billing_cycle_items`, what they account for, and what each of
    their drafts, by its id, draws from prepaid credit.
    """

    outcomes: list[Values]
    ratings: list[Rating]
    draws: list[tuple[int, Sequence[PrepaidDraw]]]


def write_late_months(
    connection: Connection,
    cycle: Cycle,
    seller_version: int,
    late: Mapping[int, CustomersLate],
    *,
    regular_ids: Mapping[int, int],
    reopened: Mapping[int, int],
) -> WrittenLate:
    """Writes what is late of a page's customers, but for the late lines of their regular drafts.

    By customer id: `regular_ids` are these drafts, and `reopened` the last reopenings that were
    known.
    """
    own = [(id, month) for id, entry in late.items() for month in entry.on_its_own]
    invoice_ids = write_drafts(
        connection, cycle, seller_version, [_draft(id, month, late[id]) for id, month in own]
    )
    charged: list[tuple[int, RatedMonth, int | None]] = [
        (id, month, where) for (id, month), where in zip(own, invoice_ids, strict=True)
    ]
    outcomes = [_outcome(id, month.period, "drafted", where) for id, month, where in charged]
    credits: list[Values] = []
    for id, entry in late.items():
        charged += [(id, month, regular_ids[id]) for month in entry.on_regular]
        charged += [(id, month, None) for month in (*entry.given_back, *entry.free)]
        credits += [row for month in entry.given_back for row in _credits(cycle, id, month)]
        outcomes += _without_a_draft(connection, cycle, id, entry)
    if credits:
        connection.execute(insert(planned_credits), credits)
    ratings = [
        Rating(id, month.period, where, reopened.get(id, 0), month.used)
        for id, month, where in charged
    ]
    draws: list[tuple[int, Sequence[PrepaidDraw]]] = [
        (where, late[id].drafts[month.period].draws)
        for (id, month), where in zip(own, invoice_ids, strict=True)
    ]
    return WrittenLate(outcomes, ratings, draws)


def _draft(customer_id: int, month: RatedMonth, late: CustomersLate) -> DraftToWrite:
    return DraftToWrite(
        customer_id,
        month.customer,
        late.drafts[month.period],
        held_id=late.held.get(month.period),
        service_month=month.period,
    )


def _without_a_draft(
    connection: Connection, cycle: Cycle, customer_id: int, late: CustomersLate
) -> list[Values]:
    """The outcomes of months that failed, and of those that need no invoice any more."""
    outcomes = [
        _outcome(
            customer_id,
            month.period,
            "failed",
            late.held.get(month.period),
            month.code,
            month.reason,
        )
        for month in late.failed
    ]
    for part in late.left_over:
        reason = f"nothing is left to bill of {part.period}"
        kept = part.draft_id if part.number is not None else None
        if part.draft_id is not None:
            void_draft(connection, cycle, part.draft_id, part.number, reason)
        outcomes.append(
            _outcome(customer_id, part.period, "skipped", kept, "nothing_to_bill", reason)
        )
    return outcomes


def _outcome(
    customer_id: int,
    period: BillingPeriod,
    outcome: str,
    invoice_id: int | None,
    code: str = "",
    reason: str = "",
) -> Values:
    return {
        "customer_id": customer_id,
        "part": str(period),
        "outcome": outcome,
        "reason_code": code,
        "reason": reason,
        "invoice_id": invoice_id,
    }


def _credits(cycle: Cycle, customer_id: int, month: RatedMonth) -> list[Values]:
    """A planned credit for each invoice that the month's difference is settled with."""
    assert month.late is not None  # there is something to give back
    lines = month.late.lines
    units = {line.plan_code: line.quantity for line in lines}
    billed = month.billed.invoices
    given = settle_with([invoice.lines for invoice in billed], month.late)
    return [
        {
            "cycle_id": cycle.id,
            "customer_id": customer_id,
            "month": month.period.start,
            "invoice_id": invoice.id,
            "lines": [
                {
                    "plan_code": code,
                    "quantity": f"{units.pop(code, Decimal(0)):f}",
                    "amount": f"{-amount:f}",
                }
                for code, amount in part.by_plan.items()
            ],
            "credit": {str(position): f"{net:f}" for position, net in part.by_line.items()},
            "net": part.net,
            "reason": "; ".join(line.description for line in lines),
        }
        for invoice, part in zip(billed, given, strict=True)
        if part.by_plan
    ]
