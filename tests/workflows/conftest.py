"""Workflows on a server whose clock skips, with fakes that carry the activities' own names."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from stack.test_server import test_server_path as find_test_server
from worker import WORKFLOWS
from workflows.connection import DATA_CONVERTER, prepare_namespace
from workflows.contracts.customer import (
    FailureRecorded,
    FailureReport,
    PostedInvoice,
    PostOrder,
    RenderedInvoice,
    RenderOrder,
)
from workflows.contracts.cycle import (
    ClosedCycle,
    CycleOrder,
    CycleStep,
    DraftsOrder,
    DraftsPage,
    DraftToIssue,
    PlannedPage,
    PlanPageOrder,
)
from workflows.contracts.lifecycle import InvoiceStanding, Occasion, UndeliveredReport
from workflows.ids import mail_queue

TASK_QUEUE = "billing"
DEFECT = ApplicationError("a defect", type="defect", non_retryable=True)
OPEN = InvoiceStanding("issued", Decimal("10.00"), settled=False)
ISSUED_ON, DUE_ON = date(2026, 3, 1), date(2026, 3, 31)


@dataclass
class BillingOffice:
    """The activities, in memory. `broken` accounts' PDFs will not render.

    `together`: each rendering waits until that many run at once, or until no more can come.
    """

    accounts: list[str]
    broken: set[str] = field(default_factory=set)
    unratable: set[str] = field(default_factory=set)
    together: int = 1
    outcome: dict[str, str] = field(default_factory=dict)
    posted: list[str] = field(default_factory=list)
    delivered: list[Occasion] = field(default_factory=list)
    overdue: list[Occasion] = field(default_factory=list)
    settle_calls: list[Occasion] = field(default_factory=list)
    standing: InvoiceStanding = field(default_factory=lambda: OPEN)
    nothing_to_pay: bool = False
    mail_is_down: bool = False
    mail_is_refused: bool = False
    undelivered: list[str] = field(default_factory=list)
    fails_behind_posting: set[str] = field(default_factory=set)
    record_is_broken: bool = False
    plan_is_broken: bool = False
    settling_is_broken: bool = False
    rendering: int = 0
    most_rendering: int = 0
    rendered: int = 0
    pages_planned: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()

    def number_of(self, account: str) -> str:
        return f"INV-2026-02-{self.accounts.index(account) + 1:04d}"

    def account_of(self, number: str) -> str:
        return self.accounts[int(number[-4:]) - 1]

    @activity.defn
    async def open_cycle(self, order: CycleOrder) -> None:
        self.steps.append("open")

    @activity.defn
    async def plan_page(self, order: PlanPageOrder) -> PlannedPage:
        if self.plan_is_broken:
            raise DEFECT
        self.pages_planned.append(order.after_account)
        wanted = [
            account
            for account in self.accounts
            if account > order.after_account
            and (
                account not in self.outcome
                or (order.failed_again and self.outcome[account] == "failed")
            )
        ][: order.limit]
        if not wanted:
            return PlannedPage(None)
        for account in wanted:
            self.outcome[account] = "failed" if account in self.unratable else "drafted"
        failed = sum(self.outcome[account] == "failed" for account in wanted)
        return PlannedPage(wanted[-1], drafted=len(wanted) - failed, failed=failed)

    @activity.defn
    async def finish_plan(self, step: CycleStep) -> int:
        self.steps.append("planned")
        return len(self.outcome)

    @activity.defn
    async def begin_issue(self, step: CycleStep) -> None:
        self.steps.append("issuing")

    @activity.defn
    async def list_drafts(self, order: DraftsOrder) -> DraftsPage:
        drafts = [
            DraftToIssue(account, self.number_of(account))
            for account in self.accounts
            if account > order.after_account and self.outcome[account] == "drafted"
        ]
        return DraftsPage(tuple(drafts[: order.limit]))

    @activity.defn
    async def close_cycle(self, step: CycleStep) -> ClosedCycle:
        self.steps.append("closed")
        outcomes = list(self.outcome.values())
        return ClosedCycle(
            step.period,
            outcomes.count("issued"),
            0,
            outcomes.count("failed"),
            outcomes.count("drafted"),
        )

    @activity.defn
    async def render_invoice(self, order: RenderOrder) -> RenderedInvoice:
        async with self._changed:
            self.rendering += 1
            self.most_rendering = max(self.most_rendering, self.rendering)
            self._changed.notify_all()
            await self._changed.wait_for(self._nobody_else_can_come)
            self.rendering -= 1
            self.rendered += 1
            self._changed.notify_all()
        account = self.account_of(order.number)
        if account in self.broken:
            raise ApplicationError(
                "the logo is no SVG", type="document_will_not_render", non_retryable=True
            )
        return RenderedInvoice("0" * 64)

    def _nobody_else_can_come(self) -> bool:
        waiting = len(self.accounts) - self.rendered
        return self.rendering >= min(self.together, waiting)

    @activity.defn
    async def post_invoice(self, order: PostOrder) -> PostedInvoice:
        account = self.account_of(order.number)
        self.outcome[account] = "issued"
        self.posted.append(order.number)
        if account in self.fails_behind_posting:
            raise DEFECT
        return self._posted

    @activity.defn
    async def record_failure(self, report: FailureReport) -> FailureRecorded:
        if self.record_is_broken:
            raise DEFECT
        account = self.account_of(report.number)
        if self.outcome[account] == "issued":
            return FailureRecorded(self._posted)
        self.outcome[account] = "failed"
        return FailureRecorded()

    @property
    def _posted(self) -> PostedInvoice:
        return PostedInvoice(ISSUED_ON, DUE_ON, self.nothing_to_pay)

    @activity.defn
    async def deliver_invoice(self, occasion: Occasion) -> None:
        if self.mail_is_down:
            raise OSError("the mail server does not answer")
        if self.mail_is_refused:
            raise DEFECT
        self.delivered.append(occasion)

    @activity.defn
    async def record_undelivered(self, report: UndeliveredReport) -> None:
        self.undelivered.append(report.reason)

    @activity.defn
    async def settle_invoice(self, occasion: Occasion) -> InvoiceStanding:
        if self.settling_is_broken:
            raise DEFECT
        self.settle_calls.append(occasion)
        return self.standing

    @activity.defn
    async def mark_overdue(self, occasion: Occasion) -> InvoiceStanding:
        self.overdue.append(occasion)
        return InvoiceStanding("overdue", self.standing.open_amount, settled=False)

    def activities(self) -> list[Callable[..., Awaitable[object]]]:
        return [
            self.open_cycle,
            self.plan_page,
            self.finish_plan,
            self.begin_issue,
            self.list_drafts,
            self.close_cycle,
            self.render_invoice,
            self.post_invoice,
            self.record_failure,
            self.settle_invoice,
            self.record_undelivered,
            self.mark_overdue,
        ]


def accounts(count: int) -> list[str]:
    return [str(1001 + place) for place in range(count)]


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server of its own for each test, because its clock is global."""
    path = find_test_server()
    environment = await WorkflowEnvironment.start_time_skipping(
        data_converter=DATA_CONVERTER,
        test_server_existing_path=str(path) if path else None,
    )
    async with environment:
        await prepare_namespace(environment.client, retention=timedelta(days=1))
        yield environment


@asynccontextmanager
async def staffed(client: Client, office: BillingOffice) -> AsyncIterator[None]:
    """Workers of both task queues, whose activities are the office's."""
    billing = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=office.activities(),
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    mail = Worker(client, task_queue=mail_queue(TASK_QUEUE), activities=[office.deliver_invoice])
    async with billing, mail:
        yield


def names(occasions: Iterable[Occasion]) -> list[str]:
    return [occasion.number for occasion in occasions]
