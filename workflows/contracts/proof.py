"""The proof that a month was billed, made behind its cycle and anew while money comes in."""

from dataclasses import dataclass, field

from temporalio import activity

from domain.periods import BusinessCalendar


@dataclass(frozen=True)
class ProofOrder:
    """Prove the month `period`. `calendar`: says as of which business day.

    `actor`: who wants it, as the audit log has them.
    """

    period: str
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)
    actor: str = "billing-cycle"


@dataclass(frozen=True)
class ReconciliationOrder:
    """Prove `periods` anew, one after another; those of which something may have changed for none.

    `calendar`, `actor`: as `ProofOrder` has them.
    """

    periods: tuple[str, ...] = ()
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)
    actor: str = "reconciliation"


@dataclass(frozen=True)
class MadeProof:
    """A proof as it was kept. `status`: balanced, alarm or incomplete."""

    reconciliation_id: int
    status: str
    differences: int = 0


@dataclass(frozen=True)
class NoProof:
    """A month that could not be proved, and why."""

    order: ProofOrder
    reason: str


@dataclass(frozen=True)
class DueProofs:
    """Months to be proved anew, the oldest first."""

    periods: tuple[str, ...]


@activity.defn
def prove_cycle(order: ProofOrder) -> MadeProof:
    """Gathers both sides of every equation and keeps what came of it."""
    raise NotImplementedError


@activity.defn
def record_no_proof(report: NoProof) -> MadeProof:
    """Keeps that the month could not be proved, which is an alarm too."""
    raise NotImplementedError


@activity.defn
def send_alarm(order: ProofOrder) -> None:
    """Tells the finance team of the month's alarm, unless they know or it is none any more."""
    raise NotImplementedError


@activity.defn
def find_due_proofs(order: ReconciliationOrder) -> DueProofs:
    """Finds the months of which something may have changed since they were proved."""
    raise NotImplementedError
