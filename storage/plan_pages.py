"""A page of a plan as it is written: drafts, outcomes, and what they account for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.invoice import InvoiceDraft
from domain.prepaid import PrepaidDraw
from storage.billed_usage import Rating, forget_uncharged, record_ratings, whole_month
from storage.customers import UsedInMonth, billed_customer
from storage.drafts import Cycle, DraftToWrite, void_draft, write_drafts
from storage.late.planning import CustomersLate
from storage.late.writing import write_late_months
from storage.prepaid import write_draws
from storage.sellers import current_seller
from storage.tables import billing_cycle_items


@dataclass(frozen=True)
class Verdict:
    """One customer's outcome: a draft, or the reason why there is none."""

    customer: Row[Any]
    draft: InvoiceDraft | None
    outcome: str
    code: str = ""
    reason: str = ""

    @property
    def is_rated(self) -> bool:
        """The month was looked at as a whole, also where there was nothing to bill."""
        return self.outcome == "drafted" or self.code == "nothing_to_bill"


@dataclass(frozen=True)
class FoundOfPage:
    """What rating a page gave; by customer id, what was used, what is late, and the last
    reopening of past months that was known.
    """

    verdicts: Sequence[Verdict]
    used: Mapping[int, UsedInMonth]
    late: Mapping[int, CustomersLate]
    reopened: Mapping[int, int]


def write_page(
    connection: Connection, cycle: Cycle, found: FoundOfPage, accounts: Mapping[int, str]
) -> None:
    """Writes what was found, in the caller's transaction; `accounts`: by customer id.

    Where nothing can be billed any more, a draft that failed stays as it was beside its reason, and
    one that is skipped becomes void.
    """
    seller_version, _ = current_seller(connection)
    regular_ids = _write_regular(connection, cycle, seller_version, found)
    late = write_late_months(
        connection,
        cycle,
        seller_version,
        found.late,
        regular_ids=regular_ids,
        reopened=found.reopened,
    )
    rated = [verdict.customer.id for verdict in found.verdicts if verdict.is_rated]
    forget_uncharged(connection, rated, cycle.period)
    record_ratings(connection, cycle.id, [*_ratings(cycle, found, regular_ids), *late.ratings])
    write_draws(connection, [*_draws(found, regular_ids), *late.draws])
    outcomes = late.outcomes + [
        {
            "customer_id": verdict.customer.id,
            "part": "",
            "outcome": verdict.outcome,
            "reason_code": verdict.code,
            "reason": verdict.reason,
            "invoice_id": regular_ids.get(verdict.customer.id, verdict.customer.held_id),
        }
        for verdict in found.verdicts
    ]
    _write_outcomes(connection, cycle, outcomes, accounts)


def _write_regular(
    connection: Connection, cycle: Cycle, seller_version: int, found: FoundOfPage
) -> dict[int, int]:
    """The regular drafts' ids by customer id."""
    drafts = []
    for verdict in found.verdicts:
        row = verdict.customer
        if verdict.draft is not None:
            drafts.append(_regular_draft(row, verdict.draft, found.late.get(row.id)))
        elif verdict.outcome == "skipped" and row.held_id is not None:
            void_draft(connection, cycle, row.held_id, row.held_number, verdict.reason)
    ids = write_drafts(connection, cycle, seller_version, drafts)
    return {entry.customer_id: id for entry, id in zip(drafts, ids, strict=True)}


def _regular_draft(row: Row[Any], draft: InvoiceDraft, late: CustomersLate | None) -> DraftToWrite:
    months = [month.late for month in late.on_regular if month.late] if late else []
    return DraftToWrite(
        row.id,
        billed_customer(row),
        late.regular if late and late.regular else draft,
        held_id=row.held_id,
        late=[month.period for month in months for _ in month.lines],
    )


def _draws(
    found: FoundOfPage, regular_ids: Mapping[int, int]
) -> Iterator[tuple[int, Sequence[PrepaidDraw]]]:
    """What each regular draft, by its id, draws from prepaid credit."""
    for verdict in found.verdicts:
        id = verdict.customer.id
        late = found.late.get(id)
        draft = late.regular if late and late.regular else verdict.draft
        if draft is not None:
            yield regular_ids[id], draft.draws


def _ratings(cycle: Cycle, found: FoundOfPage, regular_ids: Mapping[int, int]) -> list[Rating]:
    """Of the cycle's own month. Where nothing was billed, usage alone is worth a note."""
    ratings = []
    for verdict in found.verdicts:
        id = verdict.customer.id
        used = whole_month(found.used.get(id, UsedInMonth()))
        if verdict.outcome == "drafted" or (verdict.is_rated and used):
            ratings.append(
                Rating(id, cycle.period, regular_ids.get(id), found.reopened.get(id, 0), used)
            )
    return ratings


def _write_outcomes(
    connection: Connection,
    cycle: Cycle,
    outcomes: Sequence[Mapping[str, Any]],
    accounts: Mapping[int, str],
) -> None:
    """What is issued stays issued."""
    if not outcomes:
        return
    item = upsert(billing_cycle_items)
    connection.execute(
        item.on_conflict_do_update(
            index_elements=["cycle_id", "account_number", "part"],
            set_={
                name: item.excluded[name]
                for name in ("outcome", "reason_code", "reason", "invoice_id")
            },
            where=billing_cycle_items.c.outcome != "issued",
        ),
        [
            {
                **outcome,
                "cycle_id": cycle.id,
                "account_number": accounts[outcome["customer_id"]],
            }
            for outcome in outcomes
        ],
    )
