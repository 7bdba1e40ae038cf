"""Months are proved behind their cycles and anew, as a process."""

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from domain.periods import BusinessCalendar
from tests.workflows.conftest import TASK_QUEUE, BillingOffice, accounts, staffed
from tests.workflows.proof_office import ProofOffice
from tests.workflows.test_billing_cycle import PERIOD, begin, order
from workflows.contracts.proof import NoProof, ProofOrder, ReconciliationOrder
from workflows.reconciliation import Reconciliation
from workflows.starting import retry_cycle


async def run(client: Client, proofs: ProofOffice, *periods: str) -> int:
    async with staffed(client, proofs=proofs):
        looked_at: int = await client.execute_workflow(
            Reconciliation.run,
            ReconciliationOrder(periods, actor="Ada"),
            id="reconciliation",
            task_queue=TASK_QUEUE,
        )
    return looked_at


async def test_a_cycle_that_is_closed_is_proved(skipping: WorkflowEnvironment) -> None:
    office, proofs = BillingOffice(accounts(3)), ProofOffice()
    calendar = BusinessCalendar("Europe/Berlin")
    async with staffed(skipping.client, office, proofs=proofs):
        wanted = order(calendar=calendar, requested_by="Ada")
        closed = await (await begin(skipping.client, wanted)).result()
    assert closed.issued == 3
    assert proofs.proved == [ProofOrder(PERIOD, calendar, "Ada")]


async def test_a_retry_is_proved_again(skipping: WorkflowEnvironment) -> None:
    office, proofs = BillingOffice(accounts(3), unratable={"1002"}), ProofOffice()
    async with staffed(skipping.client, office, proofs=proofs):
        handle = await begin(skipping.client, order())
        await handle.result()
        office.unratable = set()
        await retry_cycle(skipping.client, order(), task_queue=TASK_QUEUE)
        again = skipping.client.get_workflow_handle(handle.id)
        await again.result()
    assert [made.period for made in proofs.proved] == [PERIOD, PERIOD]


async def test_a_proof_that_breaks_down_fails_no_cycle_and_is_told(
    skipping: WorkflowEnvironment,
) -> None:
    office, proofs = BillingOffice(accounts(3)), ProofOffice(defects={PERIOD})
    async with staffed(skipping.client, office, proofs=proofs):
        closed = await (await begin(skipping.client, order())).result()
    assert closed.issued == 3
    reason = "the proof broke down: defect: a formula of ours"
    assert proofs.unproved == [NoProof(ProofOrder(PERIOD), reason)]


async def test_not_even_what_cannot_be_written_down_fails_a_cycle(
    skipping: WorkflowEnvironment,
) -> None:
    office, proofs = BillingOffice(accounts(3)), ProofOffice(defects={PERIOD}, is_deaf=True)
    async with staffed(skipping.client, office, proofs=proofs):
        assert (await (await begin(skipping.client, order())).result()).issued == 3


async def test_an_alarm_is_told_and_what_balances_is_not(skipping: WorkflowEnvironment) -> None:
    proofs = ProofOffice(("2026-01", PERIOD), alarms={PERIOD})
    assert await run(skipping.client, proofs) == 2
    assert proofs.told == [PERIOD]


async def test_an_alarm_that_nobody_can_be_told_fails_no_cycle(
    skipping: WorkflowEnvironment,
) -> None:
    office, proofs = BillingOffice(accounts(3)), ProofOffice(alarms={PERIOD}, no_mail=True)
    async with staffed(skipping.client, office, proofs=proofs):
        assert (await (await begin(skipping.client, order())).result()).issued == 3
    assert (len(proofs.proved), proofs.told) == (1, [])


async def test_the_schedule_proves_what_is_due_and_one_defect_holds_up_no_other(
    skipping: WorkflowEnvironment,
) -> None:
    due = ("2026-01", PERIOD, "2026-03")
    proofs = ProofOffice(due, defects={PERIOD})
    assert await run(skipping.client, proofs) == 3
    assert [made.period for made in proofs.proved] == ["2026-01", "2026-03"]
    assert [report.order.period for report in proofs.unproved] == [PERIOD]


async def test_a_month_may_be_proved_by_hand(skipping: WorkflowEnvironment) -> None:
    proofs = ProofOffice(due=("2026-01",))
    assert await run(skipping.client, proofs, PERIOD) == 1
    assert proofs.proved == [ProofOrder(PERIOD, actor="Ada")]
