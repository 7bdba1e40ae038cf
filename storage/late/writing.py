"""Late months as a plan writes them: drafts of their own, what is given back, what is counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert

from domain.periods import BillingPeriod
from domain.prepaid import PrepaidDraw
from domain.true_up import GivenBack
from storage.billed_usage import Rating
from storage.drafts import Cycle, DraftToWrite, void_draft, write_drafts
from storage.late.planning import CustomersLate
from storage.late.rating import RatedMonth
from storage.tables import planned_credits, prepaid_returns

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
    credits: list[_Credit] = []
    for id, entry in late.items():
        charged += [(id, month, regular_ids[id]) for month in entry.on_regular]
        charged += [(id, month, None) for month in (*entry.given_back, *entry.free)]
        for month in entry.given_back:
            credits += _credits(cycle, id, month, entry.given[month.period])
        for month in (*entry.on_regular, *entry.on_its_own, *entry.given_back, *entry.free):
            credits += _counted(cycle, id, month)
        outcomes += _without_a_draft(connection, cycle, id, entry)
    _write_credits(connection, credits)
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


@dataclass(frozen=True)
class _Credit:
    """A row of `planned_credits`, and what of it goes back to prepaid credit, by grant."""

    row: Values
    by_grant: Mapping[int, Decimal] = field(default_factory=dict)


def _credits(
    cycle: Cycle, customer_id: int, month: RatedMonth, given: Sequence[GivenBack]
) -> list[_Credit]:
    """What each invoice that billed the month gives back: by a credit note, and beside it to
    prepaid credit, so that either is carried out by itself.
    """
    assert month.late is not None  # there is something to give back
    lines = month.late.lines
    units = {line.plan_code: line.quantity for line in lines}
    reason = "; ".join(line.description for line in lines)
    found = []
    for invoice, part in zip(month.billed.invoices, given, strict=True):
        row = _row(cycle, customer_id, month, invoice.id, reason)
        if part.by_plan:
            credit = {str(position): f"{net:f}" for position, net in part.by_line.items()}
            of_plans = _of_plans(part.by_plan, units)
            found.append(_Credit({**row, "lines": of_plans, "credit": credit, "net": part.net}))
        if part.returned:
            row["lines"] = _of_plans(part.returned, units)
            found.append(_Credit(row, part.by_grant))
    return found


def _counted(cycle: Cycle, customer_id: int, month: RatedMonth) -> list[_Credit]:
    """What people gave back before, counted with the first invoice that billed the month."""
    if not month.counted:
        return []
    first, reason = month.billed.invoices[0], f"credited of {month.period} before"
    row = _row(cycle, customer_id, month, first.id, reason)
    units = {entry.plan_code: entry.quantity for entry in month.counted}
    row["lines"] = _of_plans({entry.plan_code: -entry.amount for entry in month.counted}, units)
    return [_Credit({**row, "credited_before": True})]


def _row(cycle: Cycle, customer_id: int, month: RatedMonth, invoice_id: int, reason: str) -> Values:
    """Of which nobody is asked for a credit note."""
    return {
        "cycle_id": cycle.id,
        "customer_id": customer_id,
        "month": month.period.start,
        "invoice_id": invoice_id,
        "credit": {},
        "net": Decimal(0),
        "reason": reason,
        "credited_before": False,
    }


def _of_plans(amounts: Mapping[str, Decimal], units: dict[str, Decimal]) -> list[dict[str, str]]:
    """As lines of `planned_credits`; a plan's units go with what is given back of it first."""
    return [
        {
            "plan_code": code,
            "quantity": f"{units.pop(code, Decimal(0)):f}",
            "amount": f"{-amount:f}",
        }
        for code, amount in amounts.items()
    ]


def _write_credits(connection: Connection, credits: Sequence[_Credit]) -> None:
    if not credits:
        return
    ids = connection.execute(
        insert(planned_credits).returning(planned_credits.c.id, sort_by_parameter_order=True),
        [credit.row for credit in credits],
    ).scalars()
    returns = [
        {
            "planned_credit_id": id,
            "grant_id": grant_id,
            "invoice_id": credit.row["invoice_id"],
            "amount": amount,
        }
        for id, credit in zip(ids, credits, strict=True)
        for grant_id, amount in credit.by_grant.items()
    ]
    if returns:
        connection.execute(insert(prepaid_returns), returns)
