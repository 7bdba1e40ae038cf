"""Months proved anew: by a schedule, since money comes in behind their cycles, and by hand."""

from temporalio import workflow

from workflows import policies
from workflows.contracts import proof as contract
from workflows.contracts.proof import ProofOrder, ReconciliationOrder
from workflows.proving import prove


@workflow.defn
class Reconciliation:
    """One round of proofs, a month after another."""

    @workflow.run
    async def run(self, order: ReconciliationOrder) -> int:
        """How many months were looked at; one that could not be proved holds up no other."""
        periods = order.periods
        if not periods:
            due = await workflow.execute_local_activity(
                contract.find_due_proofs,
                order,
                summary="Find the months to prove anew",
                **policies.RECORD,
            )
            periods = due.periods
        for period in periods:
            await prove(ProofOrder(period, order.calendar, order.actor))
        return len(periods)
