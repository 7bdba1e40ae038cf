"""What runs by itself: schedules, made at a worker's start and brought to its settings."""

from dataclasses import replace
from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
)
from temporalio.service import RPCError, RPCStatusCode

from workflows import ids
from workflows.collection_sweep import CollectionSweep
from workflows.contracts.collection import SweepOrder
from workflows.contracts.monthly_billing import MonthlyBillingOrder
from workflows.contracts.proof import ReconciliationOrder
from workflows.contracts.recurring_revenue import RecurringRevenueOrder
from workflows.monthly_billing import MonthlyBilling
from workflows.reconciliation import Reconciliation
from workflows.recurring_revenue import RecurringRevenue

_CATCHUP = timedelta(days=1)
"""Each run looks for all that is to be done, so behind an outage the last missed one will do."""


async def keep_sweeping(
    client: Client, order: SweepOrder, *, every: timedelta, task_queue: str
) -> None:
    """The collection looks for what waits."""
    sweep = ScheduleActionStartWorkflow(
        CollectionSweep.run, order, id=ids.SWEEP, task_queue=task_queue
    )
    await _keep(client, sweep, _every(every))


async def keep_recurring_revenue(
    client: Client, order: RecurringRevenueOrder, *, every: timedelta, task_queue: str
) -> None:
    """Recurring revenue is worked out before somebody waits for it."""
    work = ScheduleActionStartWorkflow(
        RecurringRevenue.run, order, id=ids.RECURRING_REVENUE, task_queue=task_queue
    )
    await _keep(client, work, _every(every))


async def keep_reconciling(
    client: Client, order: ReconciliationOrder, *, every: timedelta, task_queue: str
) -> None:
    """Months are proved anew, since money comes in behind their cycles."""
    work = ScheduleActionStartWorkflow(
        Reconciliation.run, order, id=ids.RECONCILIATION, task_queue=task_queue
    )
    await _keep(client, work, _every(every))


async def keep_billing(client: Client, order: MonthlyBillingOrder, *, task_queue: str) -> None:
    """Months are billed by themselves.

    It is looked each day, though a month is due on one: what was missed, since Temporal itself was
    away or a cycle broke down, is made up for a day later and not a month.
    """
    bill = ScheduleActionStartWorkflow(
        MonthlyBilling.run, order, id=ids.MONTHLY_BILLING, task_queue=task_queue
    )
    rule = order.rule
    each_day = ScheduleCalendarSpec(
        hour=[ScheduleRange(rule.at.hour)],
        minute=[ScheduleRange(rule.at.minute)],
        second=[ScheduleRange(rule.at.second)],
        comment=f"Each day; a month is due from day {rule.day} of the next one on",
    )
    await _keep(
        client,
        bill,
        ScheduleSpec(calendars=[each_day], time_zone_name=order.calendar.time_zone),
    )


async def stop_billing(client: Client) -> None:
    """No month is billed by itself any more. A cycle that runs goes on; no other follows it."""
    schedule = client.get_schedule_handle(ids.MONTHLY_BILLING)
    try:
        running = (await schedule.describe()).info.running_actions
        await schedule.delete()
        for action in running:
            if isinstance(action, ScheduleActionExecutionStartWorkflow):
                await client.get_workflow_handle(action.workflow_id).cancel()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # there is none, or its run has ended
            raise


def _every(interval: timedelta) -> ScheduleSpec:
    return ScheduleSpec(intervals=[ScheduleIntervalSpec(interval)])


async def _keep(client: Client, action: ScheduleActionStartWorkflow, spec: ScheduleSpec) -> None:
    """Makes the schedule, which has the id of what it starts, or brings it to the present settings.

    While a run lasts, such as through an outage, no other is started. One that a person has paused
    in the Web UI stays paused.
    """
    schedule = Schedule(
        action=action,
        spec=spec,
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=_CATCHUP),
    )
    try:
        await client.create_schedule(action.id, schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(action.id).update(
            lambda found: ScheduleUpdate(replace(schedule, state=found.description.schedule.state))
        )
