"""The cycle's effects: opened, planned page by page, numbered, closed."""

from sqlalchemy import Engine
from temporalio import activity

from domain.periods import BillingPeriod
from domain.tax import TaxPolicy
from storage import cycles, discarding, planning
from storage.approval import require_approved
from storage.dating import date_by_issue
from storage.drafts import drafts_to_issue
from storage.engine import transaction
from storage.late.credits import ask_for_credits
from storage.late.returns import return_prepaid
from storage.price_list import load_price_list
from workflows.contracts.cycle import (
    ClosedCycle,
    CycleOrder,
    CycleStep,
    DiscardedPlan,
    DiscardOrder,
    DraftsOrder,
    DraftsPage,
    DraftToIssue,
    PlannedPage,
    PlanPageOrder,
)


class CycleActivities:
    def __init__(self, engine: Engine, *, tax_policy: TaxPolicy) -> None:
        self._engine = engine
        self._tax_policy = tax_policy

    @activity.defn
    def open_cycle(self, order: CycleOrder) -> None:
        period = BillingPeriod.parse(order.period)
        with transaction(self._engine) as connection:
            if not order.opens:
                cycles.take_up_cycle(connection, period, actor=order.requested_by)
                return
            cycles.open_cycle(
                connection,
                period,
                issued_on=order.issued_on,
                terms_days=order.terms_days,
                hold_reminders=order.hold_reminders,
                pause_before_issue=order.pause_before_issue,
                approval_required=order.approval_required,
                dated_by_issue=order.dated_by_issue,
                actor=order.requested_by,
            )

    @activity.defn(no_thread_cancel_exception=True)
    def plan_page(self, order: PlanPageOrder) -> PlannedPage:
        with transaction(self._engine) as connection:
            page = planning.plan_page(
                connection,
                cycles.load_cycle(connection, BillingPeriod.parse(order.period), for_update=True),
                load_price_list(connection, self._tax_policy),
                after_account=order.after_account,
                limit=order.limit,
                failed_again=order.failed_again,
            )
        return PlannedPage(page.last_account, page.drafted, page.skipped, page.failed, page.late)

    @activity.defn
    def finish_plan(self, step: CycleStep) -> int:
        period = BillingPeriod.parse(step.period)
        with transaction(self._engine) as connection:
            numbered = planning.number_drafts(connection, cycles.load_cycle(connection, period).id)
            cycles.move_cycle(connection, period, "planned", actor=step.actor)
        return numbered

    @activity.defn
    def begin_issue(self, step: CycleStep) -> None:
        period = BillingPeriod.parse(step.period)
        with transaction(self._engine) as connection:
            cycle = cycles.load_cycle(connection, period, for_update=True)
            require_approved(connection, cycle)
            if step.today is not None:
                date_by_issue(connection, cycle, step.today, actor=step.actor)
            cycles.move_cycle(connection, period, "issuing", actor=step.actor)
            ask_for_credits(connection, cycle.id, person=step.actor)
            return_prepaid(
                connection, cycle.id, on=step.today or cycle.issued_on, person=step.actor
            )

    @activity.defn(no_thread_cancel_exception=True)
    def discard_plan(self, order: DiscardOrder) -> DiscardedPlan:
        with transaction(self._engine) as connection:
            drafts = discarding.discard_plan(
                connection,
                BillingPeriod.parse(order.period),
                order.cycle_id,
                actor=order.actor,
            )
        return DiscardedPlan(drafts)

    @activity.defn
    def list_drafts(self, order: DraftsOrder) -> DraftsPage:
        with transaction(self._engine) as connection:
            drafts = drafts_to_issue(
                connection,
                cycles.load_cycle(connection, BillingPeriod.parse(order.period)).id,
                after_account=order.after_account,
                limit=order.limit,
                unowned_too=order.unowned_too,
            )
        return DraftsPage(
            tuple(DraftToIssue(draft.account_number, draft.number, draft.part) for draft in drafts)
        )

    @activity.defn
    def close_cycle(self, step: CycleStep) -> ClosedCycle:
        period = BillingPeriod.parse(step.period)
        with transaction(self._engine) as connection:
            cycles.move_cycle(connection, period, "closed", actor=step.actor)
            summary = cycles.summarize_cycle(connection, period)
        return ClosedCycle(
            step.period,
            summary.issued,
            summary.skipped,
            summary.failed,
            summary.drafted,
            late_left=summary.late_failed + summary.late_drafted,
        )
