"""The activities that prove a month, in memory."""

from dataclasses import dataclass, field

from temporalio import activity
from temporalio.exceptions import ApplicationError

from workflows.contracts.proof import (
    DueProofs,
    MadeProof,
    NoProof,
    ProofOrder,
    ReconciliationOrder,
)


@dataclass
class ProofOffice:
    """`due`: months to be proved anew. `defects`: those that cannot be proved; `alarms`: those that
    do not balance.

    `is_deaf`: not even that can be written down. `no_mail`: nobody can be told.
    `proved`, `unproved`, `told`: what was done, in order.
    """

    due: tuple[str, ...] = ()
    defects: set[str] = field(default_factory=set)
    alarms: set[str] = field(default_factory=set)
    is_deaf: bool = False
    no_mail: bool = False
    proved: list[ProofOrder] = field(default_factory=list)
    unproved: list[NoProof] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @activity.defn
    async def prove_cycle(self, order: ProofOrder) -> MadeProof:
        if order.period in self.defects:
            raise ApplicationError("a formula of ours", type="defect", non_retryable=True)
        self.proved.append(order)
        status = "alarm" if order.period in self.alarms else "balanced"
        return MadeProof(len(self.proved), status)

    @activity.defn
    async def send_alarm(self, order: ProofOrder) -> None:
        if self.no_mail:
            raise ApplicationError("550 unknown", type="refused", non_retryable=True)
        self.told.append(order.period)

    @activity.defn
    async def record_no_proof(self, report: NoProof) -> MadeProof:
        if self.is_deaf:
            raise ApplicationError("a table of ours", type="defect", non_retryable=True)
        self.unproved.append(report)
        return MadeProof(len(self.unproved), "incomplete")

    @activity.defn
    async def find_due_proofs(self, order: ReconciliationOrder) -> DueProofs:
        return DueProofs(self.due)
