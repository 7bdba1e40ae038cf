"""How a workflow has a month proved."""

from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from domain.proof import ProofStatus
from workflows import ids, policies
from workflows.contracts import proof as contract
from workflows.contracts.proof import NoProof, ProofOrder


async def prove(order: ProofOrder) -> None:
    """Proves the month, and tells of an alarm; where that breaks down it is kept that there is no
    proof, and why.

    Whoever calls goes on in any case: what was billed is billed.
    """
    try:
        made = await workflow.execute_activity(
            contract.prove_cycle,
            order,
            task_queue=ids.report_queue(workflow.info().task_queue),
            summary=f"Prove {order.period}",
            **policies.PROVE,
        )
    except ActivityError as failure:
        with suppress(ActivityError, ApplicationError):
            await workflow.execute_local_activity(
                contract.record_no_proof,
                NoProof(order, f"the proof broke down: {failure.cause or failure}"),
                summary=f"Record that {order.period} is not proved",
                **policies.RECORD,
            )
        return
    if made.status == ProofStatus.ALARM and workflow.patched("tell-of-alarm"):
        with suppress(ActivityError):
            await workflow.execute_activity(
                contract.send_alarm,
                order,
                task_queue=ids.mail_queue(workflow.info().task_queue),
                summary=f"Tell that {order.period} does not balance",
                **policies.SEND_ALARM,
            )
