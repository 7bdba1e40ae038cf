"""Workflows on a server whose clock skips, with fakes that carry the activities' own names."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from stack.test_server import test_server_path as find_test_server
from tests.workflows.booked_invoice import BookedInvoice
from tests.workflows.collection_office import DEFECT, CollectionOffice
from tests.workflows.proof_office import ProofOffice
from tests.workflows.revenue_office import RevenueOffice
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
    DiscardedPlan,
    DiscardOrder,
    DraftsOrder,
    DraftsPage,
    DraftToIssue,
    PlannedPage,
    PlanPageOrder,
)
from workflows.contracts.lifecycle import NoticeOrder
from workflows.ids import card_queue, mail_queue, report_queue

TASK_QUEUE = "billing"
_STARTS = 4
ISSUED_ON = date(2026, 3, 1)
DUE_ON = date(2126, 3, 31)
"""So far off that the invoices of a cycle keep still."""


@dataclass
class BillingOffice:
    """The activities, in memory. `broken` accounts' PDFs will not render.

    `collection`: keeps what was posted; every customer pays by wire.
    `together`: each rendering waits until that many run at once, or until no more can come.
    `page_may_end`, `discard_may_end`: what is done is not told before; set unless a test clears it.
    """

    accounts: list[str]
    broken: set[str] = field(default_factory=set)
    unratable: set[str] = field(default_factory=set)
    together: int = 1
    outcome: dict[str, str] = field(default_factory=dict)
    posted: list[str] = field(default_factory=list)
    collection: CollectionOffice = field(default_factory=CollectionOffice)
    fails_behind_posting: set[str] = field(default_factory=set)
    record_is_broken: bool = False
    plan_is_broken: bool = False
    rendering: int = 0
    most_rendering: int = 0
    rendered: int = 0
    pages_planned: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    issue_began_on: date | None = None

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()
        self.page_is_begun, self.discard_is_done = asyncio.Event(), asyncio.Event()
        self.page_may_end, self.discard_may_end = asyncio.Event(), asyncio.Event()
        self.page_may_end.set()
        self.discard_may_end.set()

    def number_of(self, account: str) -> str:
        return f"INV-2026-02-{self.accounts.index(account) + 1:04d}"

    def account_of(self, number: str) -> str:
        return self.accounts[int(number[-4:]) - 1]

    @activity.defn
    async def open_cycle(self, order: CycleOrder) -> None:
        self.steps.append("open")

    @activity.defn
    async def plan_page(self, order: PlanPageOrder) -> PlannedPage:
        self.page_is_begun.set()
        await self.page_may_end.wait()
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
        self.issue_began_on = step.today

    @activity.defn
    async def discard_plan(self, order: DiscardOrder) -> DiscardedPlan:
        """Refused where the issue has begun, as by the real one."""
        if "issuing" in self.steps:
            raise ApplicationError("the issue has begun", type="conflict", non_retryable=True)
        self.steps.append("discarded")
        drafts = list(self.outcome.values()).count("drafted")
        self.outcome.clear()
        self.discard_is_done.set()
        await self.discard_may_end.wait()
        return DiscardedPlan(drafts)

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

    async def render_one_by_one(self) -> None:
        async with self._changed:
            self.together = 1
            self._changed.notify_all()

    def _nobody_else_can_come(self) -> bool:
        waiting = len(self.accounts) - self.rendered
        return self.rendering >= min(self.together, waiting)

    @activity.defn
    async def post_invoice(self, order: PostOrder) -> PostedInvoice:
        account = self.account_of(order.number)
        self.outcome[account] = "issued"
        self.posted.append(order.number)
        if account in self.fails_behind_posting:
            self._post(order.number, on_hold=order.on_hold)
            raise DEFECT
        return self._post(order.number, on_hold=order.on_hold)

    @activity.defn
    async def record_failure(self, report: FailureReport) -> FailureRecorded:
        if self.record_is_broken:
            raise DEFECT
        account = self.account_of(report.number)
        if self.outcome[account] == "issued":
            return FailureRecorded(self._posted(report.number))
        self.outcome[account] = "failed"
        return FailureRecorded()

    def _post(self, number: str, *, on_hold: bool) -> PostedInvoice:
        invoice = BookedInvoice(number, self.account_of(number), ISSUED_ON, DUE_ON)
        self.collection.keep(invoice).on_hold = on_hold
        return self._posted(number)

    def _posted(self, number: str) -> PostedInvoice:
        return PostedInvoice(ISSUED_ON, DUE_ON, self.collection.invoices[number].case())

    def activities(self) -> list[Callable[..., Awaitable[object]]]:
        return [
            self.open_cycle,
            self.plan_page,
            self.finish_plan,
            self.begin_issue,
            self.discard_plan,
            self.list_drafts,
            self.close_cycle,
            self.render_invoice,
            self.post_invoice,
            self.record_failure,
        ]


def accounts(count: int) -> list[str]:
    return [str(1001 + place) for place in range(count)]


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server of its own for each test, because its clock is global."""
    async with await start_server() as environment:
        await prepare_namespace(environment.client, retention=timedelta(days=1))
        yield environment


async def start_server() -> WorkflowEnvironment:
    """The SDK gives the server five seconds to start, which a busy machine may need and more."""
    path = find_test_server()
    for attempt in range(1, _STARTS + 1):
        try:
            return await WorkflowEnvironment.start_time_skipping(
                data_converter=DATA_CONVERTER,
                test_server_existing_path=str(path) if path else None,
            )
        except RuntimeError:
            if attempt == _STARTS:
                raise
    raise AssertionError("started or raised")


@asynccontextmanager
async def staffed(
    client: Client,
    office: BillingOffice | None = None,
    collection: CollectionOffice | None = None,
    revenue: RevenueOffice | None = None,
    proofs: ProofOffice | None = None,
) -> AsyncIterator[None]:
    """Workers of all task queues, whose activities are the offices'."""
    collection = collection or (office.collection if office else CollectionOffice())
    revenue, proofs = revenue or RevenueOffice(), proofs or ProofOffice()
    billing = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=[
            *(office.activities() if office else ()),
            *collection.of_the_billing_queue(),
            revenue.find_missing_days,
            proofs.record_no_proof,
            proofs.find_due_proofs,
        ],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    mail = Worker(
        client,
        task_queue=mail_queue(TASK_QUEUE),
        activities=[collection.send_notice, proofs.send_alarm],
    )
    cards = Worker(
        client, task_queue=card_queue(TASK_QUEUE), activities=collection.of_the_card_queue()
    )
    reports = Worker(
        client,
        task_queue=report_queue(TASK_QUEUE),
        activities=[revenue.work_out_day, proofs.prove_cycle],
    )
    async with billing, mail, cards, reports:
        yield


def names(orders: Iterable[NoticeOrder]) -> list[str]:
    return [order.number for order in orders]
