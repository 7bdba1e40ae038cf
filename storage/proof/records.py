"""Reconciliations as they are kept: every making of a proof, of which the last one counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text

from domain.errors import NotFound
from domain.periods import BillingPeriod
from domain.proof import Difference, Equation, Part, Proof, ProofStatus, Weighed
from storage import audit
from storage.cycles import load_cycle
from storage.tables import (
    reconciliation_differences,
    reconciliation_equations,
    reconciliations,
)


@dataclass(frozen=True)
class Reconciliation:
    """One making of a month's proof.

    Attributes:
        as_of: the business day on which it was made; `made_at`: the clock's instant.
        reason: why there are no equations at all, where there are none.
        unchecked_count: of the equations that could not be checked.
    """

    id: int
    period: str
    as_of: date
    made_at: datetime
    made_by: str
    status: ProofStatus
    reason: str
    difference_count: int
    unchecked_count: int


def record_proof(
    connection: Connection, period: BillingPeriod, proof: Proof, *, as_of: date, made_by: str
) -> int:
    """Keeps a proof, with its audit entry; its id."""
    id = _record(connection, period, proof.status, as_of=as_of, made_by=made_by)
    if proof.equations:
        connection.execute(
            insert(reconciliation_equations),
            [
                {"reconciliation_id": id, "place": place, **_equation_values(row)}
                for place, row in enumerate(proof.equations)
            ],
        )
    if proof.differences:
        connection.execute(
            insert(reconciliation_differences),
            [
                {"reconciliation_id": id, "place": place, **_difference_values(row)}
                for place, row in enumerate(proof.differences)
            ],
        )
    return id


def record_no_proof(
    connection: Connection, period: BillingPeriod, reason: str, *, as_of: date, made_by: str
) -> int:
    """Keeps that the month could not be proved, and why; its id."""
    return _record(
        connection, period, ProofStatus.INCOMPLETE, as_of=as_of, made_by=made_by, reason=reason
    )


def last_reconciliation(connection: Connection, period: BillingPeriod) -> Reconciliation:
    """The one that counts. Raises NotFound if there is no cycle, or no proof of it yet."""
    cycle = load_cycle(connection, period)
    found = list_reconciliations(connection, cycle.id, before=None, limit=1)
    if not found:
        raise NotFound(f"The cycle of {period} was not reconciled yet; it is once it is closed.")
    return found[0]


def list_reconciliations(
    connection: Connection, cycle_id: int, *, before: int | None, limit: int
) -> list[Reconciliation]:
    """The next `limit` ones with an id below `before`, the newest first."""
    rows = connection.execute(_LIST, {"cycle": cycle_id, "before": before, "limit": limit})
    return [_reconciliation(row) for row in rows]


def load_proof(
    connection: Connection, id: int, *, differences: int | None = None, after: int = -1
) -> Proof:
    """What a reconciliation found; of its differences the next `differences` behind place `after`,
    all for None.
    """
    rows = connection.execute(
        select(reconciliation_equations)
        .where(reconciliation_equations.c.reconciliation_id == id)
        .order_by(reconciliation_equations.c.place)
    )
    equations = tuple(
        Weighed(
            Equation(row.equation),
            row.unit,
            row.left_side,
            row.right_side,
            tuple(Part(p["name"], Decimal(p["amount"]), p["count"]) for p in row.parts),
            row.not_checked,
        )
        for row in rows
    )
    found = connection.execute(
        select(reconciliation_differences)
        .where(
            reconciliation_differences.c.reconciliation_id == id,
            reconciliation_differences.c.place > after,
        )
        .order_by(reconciliation_differences.c.place)
        .limit(differences)
    )
    return Proof(equations, tuple(_difference(row) for row in found))


def _record(
    connection: Connection,
    period: BillingPeriod,
    status: ProofStatus,
    *,
    as_of: date,
    made_by: str,
    reason: str = "",
) -> int:
    id: int = connection.execute(
        insert(reconciliations)
        .values(
            cycle_id=load_cycle(connection, period).id,
            period=period.start,
            as_of=as_of,
            made_by=made_by,
            status=status.value,
            reason=reason,
        )
        .returning(reconciliations.c.id)
    ).scalar_one()
    audit.record(
        connection,
        audit.AuditEntry(
            as_of, made_by, "reconciliation", str(period), status.value, reason=reason
        ),
    )
    return id


def _equation_values(row: Weighed) -> dict[str, Any]:
    return {
        "equation": row.equation.value,
        "unit": row.unit,
        "left_side": row.left,
        "right_side": row.right,
        "parts": [
            {"name": part.name, "amount": f"{part.amount:f}", "count": part.count}
            for part in row.parts
        ],
        "not_checked": row.not_checked,
    }


def _difference_values(row: Difference) -> dict[str, Any]:
    return {
        "equation": row.equation.value,
        "unit": row.unit,
        "account_number": row.account_number,
        "subject": row.subject,
        "expected": row.expected,
        "found": row.found,
        "explanation": row.explanation,
    }


def _difference(row: Row[Any]) -> Difference:
    return Difference(
        Equation(row.equation),
        row.unit,
        row.account_number,
        row.subject,
        row.expected,
        row.found,
        row.explanation,
    )


def _reconciliation(row: Row[Any]) -> Reconciliation:
    return Reconciliation(
        id=row.id,
        period=str(BillingPeriod.of(row.period)),
        as_of=row.as_of,
        made_at=row.made_at,
        made_by=row.made_by,
        status=ProofStatus(row.status),
        reason=row.reason,
        difference_count=row.difference_count,
        unchecked_count=row.unchecked_count,
    )


_LIST = text("""
    SELECT made.*,
           (SELECT count(*) FROM reconciliation_differences
            WHERE reconciliation_id = made.id) AS difference_count,
           (SELECT count(*) FROM reconciliation_equations
            WHERE reconciliation_id = made.id AND not_checked <> '') AS unchecked_count
    FROM reconciliations made
    WHERE cycle_id = :cycle AND (CAST(:before AS bigint) IS NULL OR id < :before)
    ORDER BY id DESC LIMIT :limit
""")


@dataclass(frozen=True)
class UnprovedMonth:
    """A month whose last reconciliation is not balanced."""

    period: str
    status: ProofStatus
    difference_count: int


def unproved_months(connection: Connection) -> Sequence[UnprovedMonth]:
    """The newest first."""
    rows = connection.execute(_UNPROVED)
    return [
        UnprovedMonth(
            str(BillingPeriod.of(row.period)), ProofStatus(row.status), row.difference_count
        )
        for row in rows
    ]


_UNPROVED = text("""
    SELECT last.period, last.status,
           (SELECT count(*) FROM reconciliation_differences
            WHERE reconciliation_id = last.id) AS difference_count
    FROM billing_cycles cycle CROSS JOIN LATERAL (
        SELECT id, period, status FROM reconciliations
        WHERE cycle_id = cycle.id ORDER BY id DESC LIMIT 1
    ) last
    WHERE last.status <> 'balanced'
    ORDER BY last.period DESC
""")
