"""Billing cycles over HTTP: start, follow, pause, resume, discard, retry."""

import asyncio
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import TypeAdapter
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.cursors import read_position, write_position
from api.cycle_orders import order_cycle, order_discard, order_retry, plan_waits
from api.cycle_schemas import ApprovalOut, CycleDetail, DeviationOut
from api.dependencies import App, Finance, Services, Viewer
from api.invoice_signals import reason_of
from api.schemas import (
    CycleCustomer,
    CycleOut,
    CycleRequest,
    Discarded,
    Failure,
    Page,
    Period,
    ToCollectOut,
    Totals,
    page_of,
)
from api.web_ui import web_ui_url
from domain.errors import Conflict, NotFound
from domain.periods import BillingPeriod
from storage import cycles
from storage.approval import list_approvals, list_deviations, require_approved
from storage.engine import transaction
from workflows.billing_cycle import BillingCycle
from workflows.contracts.collection import ReleaseOrder
from workflows.contracts.cycle import CycleProgress
from workflows.ids import billing_cycle_id
from workflows.starting import discard_plan, release_cycle, retry_cycle, start_cycle

router = APIRouter(prefix="/api/billing/cycles", tags=["billing cycles"])

PeriodPath = Annotated[Period, Path(description="The month, YYYY-MM.")]
Outcome = Literal["drafted", "issued", "skipped", "failed"]
_POSITION = TypeAdapter(tuple[str, str])
_QUERY_PATIENCE = timedelta(seconds=2)
_DISCARD_SECONDS = 30.0


@router.post("", status_code=202, summary="Start a billing cycle")
async def start(
    request: CycleRequest, app: App, caller: Finance, response: Response
) -> CycleDetail:
    """Rates the period for every customer and issues the invoices.

    A second request for the same period answers the cycle that exists. While its plan waits to be
    issued, one that orders something else is refused: `discard` the plan first.
    """
    period = BillingPeriod.parse(request.period)
    order = await run_in_threadpool(
        order_cycle,
        app.engine,
        app.settings,
        period,
        now=app.now(),
        requested_by=caller.name,
        issued_on=request.issued_on,
        hold_reminders=request.hold_reminders,
        pause_before_issue=request.pause_before_issue,
        approval_required=request.approval_required,
    )
    await start_cycle(app.temporal, order, task_queue=app.settings.task_queue)
    response.headers["Location"] = f"{router.prefix}/{period}"
    return await _detail(app, period)


@router.get("", summary="List the billing cycles")
async def list_page(
    app: App,
    caller: Viewer,
    cursor: Annotated[
        Period | None, Query(description="next_cursor of the page before: a month.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=120)] = 24,
) -> Page[CycleOut]:
    """The newest period first, each with its totals."""
    before = BillingPeriod.parse(cursor) if cursor is not None else None

    def read() -> Page[CycleOut]:
        with transaction(app.engine) as connection:
            found = cycles.list_cycles(connection, before=before, limit=limit + 1)
            return page_of(
                found,
                limit,
                lambda cycle: CycleOut(
                    **vars(cycle), totals=_totals(connection, BillingPeriod.parse(cycle.period))
                ),
                lambda last: last.period,
            )

    return await run_in_threadpool(read)


@router.get("/{period}", summary="Follow a billing cycle")
async def show(period: PeriodPath, app: App, caller: Viewer) -> CycleDetail:
    """Progress, totals by currency (drafts included) and failures with their reason."""
    return await _detail(app, BillingPeriod.parse(period))


@router.get("/{period}/customers", summary="What a billing cycle did for each customer")
def list_customers(
    period: PeriodPath,
    app: App,
    caller: Viewer,
    outcome: Annotated[Outcome | None, Query()] = None,
    cursor: Annotated[str, Query(description="next_cursor of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Page[CycleCustomer]:
    """In the order of their account numbers. A cycle that is queued has none yet and is not found.

    Customers have an outcome once the plan has come to them; behind it stand those of past months
    that have an invoice of their own.
    """
    after = read_position(cursor, _POSITION) if cursor else ("", "")
    with transaction(app.engine) as connection:
        found = cycles.cycle_outcomes(
            connection,
            BillingPeriod.parse(period),
            outcome=outcome,
            after=after,
            limit=limit + 1,
        )
    return page_of(
        found,
        limit,
        CycleCustomer.model_validate,
        lambda last: write_position(last.account_number, last.late_month or ""),
    )


@router.post("/{period}/pause", summary="Pause a billing cycle")
async def pause(period: PeriodPath, app: App, caller: Finance) -> CycleDetail:
    """No further customer is begun; those in flight are finished."""
    return await _signal(app, period, BillingCycle.pause)


@router.post("/{period}/resume", summary="Resume a billing cycle")
async def resume(period: PeriodPath, app: App, caller: Finance) -> CycleDetail:
    """Goes on after a pause, or issues a plan that waited to be read.

    Refused for one that is to be approved first, and is not.
    """
    await run_in_threadpool(_require_approved, app, BillingPeriod.parse(period))
    return await _signal(app, period, BillingCycle.resume)


@router.post("/{period}/retry", status_code=202, summary="Bill what failed once more")
async def retry(period: PeriodPath, app: App, caller: Finance) -> CycleDetail:
    """Bills who failed, once the cause is mended; also who was skipped, left over, or is new.

    Refused while the plan waits to be issued.
    """
    parsed = BillingPeriod.parse(period)
    order = await run_in_threadpool(
        order_retry, app.engine, app.settings, parsed, requested_by=caller.name
    )
    if await _waits_to_be_issued(app, parsed):
        raise plan_waits(parsed)
    await retry_cycle(app.temporal, order, task_queue=app.settings.task_queue)
    return await _detail(app, parsed)


@router.post("/{period}/discard", summary="Throw a plan away")
async def discard(period: PeriodPath, app: App, caller: Finance) -> Discarded:
    """Deletes a plan of which nothing was issued, with its drafts; the month has no cycle then.

    Master data of the month may be changed, and the month started anew, with other dates if
    wanted; the numbers of the invoices begin anew too. Refused once the issue has begun.
    """
    parsed = BillingPeriod.parse(period)
    order, discarding = await run_in_threadpool(
        order_discard, app.engine, app.settings, parsed, requested_by=caller.name
    )
    try:
        async with asyncio.timeout(_DISCARD_SECONDS):
            plan = await discard_plan(
                app.temporal, order, discarding, task_queue=app.settings.task_queue
            )
    except WorkflowUpdateFailedError as failure:
        raise Conflict(reason_of(failure)) from failure
    except WorkflowAlreadyStartedError as error:
        raise Conflict(f"The cycle of {parsed} is closed; credit or void what is wrong.") from error
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise Conflict(
            f"The plan of {parsed} is not discarded yet, since no worker has answered; "
            "look at the cycle again in a minute."
        ) from error
    return Discarded(period=str(parsed), drafts=plan.drafts)


@router.post("/{period}/release", status_code=202, summary="Release held reminders")
async def release(period: PeriodPath, app: App, caller: Finance) -> CycleDetail:
    """The invoices of a cycle that was started with `hold_reminders` are dunned from now on.

    The steps count from this moment; one that was released before is left as it is.
    """
    parsed = BillingPeriod.parse(period)
    detail = await _detail(app, parsed)
    await release_cycle(
        app.temporal,
        ReleaseOrder(str(parsed), caller.name),
        task_queue=app.settings.task_queue,
    )
    return detail


def _require_approved(app: Services, period: BillingPeriod) -> None:
    """Raises PlanNotApproved where the issue may not begin."""
    with transaction(app.engine) as connection:
        cycle = cycles.find_cycle(connection, period)
        if cycle is not None:
            require_approved(connection, cycle)


async def _signal(app: Services, period: str, signal: Any) -> CycleDetail:
    parsed = BillingPeriod.parse(period)
    handle = app.temporal.get_workflow_handle(billing_cycle_id(str(parsed)))
    try:
        await handle.signal(signal)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise Conflict(f"The cycle of {parsed} is not running.") from error
        raise
    return await _detail(app, parsed)


async def _detail(app: Services, period: BillingPeriod) -> CycleDetail:
    """The cycle by PostgreSQL, and by its workflow where it goes beyond that.

    A cycle that was just started has no row yet, and one that is retried is still `closed` in its
    row: both show what their workflow is about to do.
    """
    running = await _is_running(app, period)
    detail = await run_in_threadpool(_read, app, period)
    if detail is None:
        if not running:
            raise NotFound(f"There is no billing cycle for {period}; start it first.")
        return CycleDetail(
            period=str(period), status="queued", workflow_url=workflow_url(app, period)
        )
    if running and detail.status == "closed":
        progress = await _progress(app, period)
        detail.proving = progress is not None and progress.phase in ("close", "prove")
        detail.status = "closed" if detail.proving else "planning"
    elif running and (progress := await _progress(app, period)):
        detail.paused = progress.paused
        detail.in_flight = list(progress.in_flight)
    return detail


async def _waits_to_be_issued(app: Services, period: BillingPeriod) -> bool:
    """Whether a plan of which nothing is issued was paused."""

    def read() -> bool:
        with transaction(app.engine) as connection:
            return not cycles.load_cycle(connection, period).issue_began

    if not await run_in_threadpool(read) or not await _is_running(app, period):
        return False
    progress = await _progress(app, period)
    return progress is not None and progress.paused


def workflow_url(app: Services, period: BillingPeriod) -> str:
    return web_ui_url(app, billing_cycle_id(str(period)))


def _read(app: Services, period: BillingPeriod) -> CycleDetail | None:
    with transaction(app.engine) as connection:
        try:
            summary = cycles.summarize_cycle(connection, period)
        except NotFound:
            return None
        cycle = cycles.load_cycle(connection, period)
        return CycleDetail(
            **vars(summary),
            totals=_totals(connection, period),
            to_collect=[
                ToCollectOut.model_validate(t) for t in cycles.cycle_to_collect(connection, period)
            ],
            failures=[Failure.model_validate(f) for f in cycles.cycle_failures(connection, period)],
            approval_required=cycle.approval_required,
            approvals=[
                ApprovalOut.model_validate(it) for it in list_approvals(connection, cycle.id)
            ],
            deviations=[
                DeviationOut.model_validate(it) for it in list_deviations(connection, cycle)
            ],
            workflow_url=workflow_url(app, period),
        )


def _totals(connection: Connection, period: BillingPeriod) -> list[Totals]:
    return [Totals.model_validate(sums) for sums in cycles.cycle_totals(connection, period)]


async def _is_running(app: Services, period: BillingPeriod) -> bool | None:
    """Whether the period's workflow runs; None if there is none or Temporal does not answer."""
    try:
        found = await app.temporal.get_workflow_handle(billing_cycle_id(str(period))).describe()
    except (RPCError, RuntimeError):  # RuntimeError: never connected
        return None
    return found.status is WorkflowExecutionStatus.RUNNING


async def _progress(app: Services, period: BillingPeriod) -> CycleProgress | None:
    """What the workflow is doing now; None if no worker answers in time."""
    handle = app.temporal.get_workflow_handle(billing_cycle_id(str(period)))
    try:
        return await handle.query(BillingCycle.progress, rpc_timeout=_QUERY_PATIENCE)
    except (RPCError, WorkflowQueryFailedError):
        return None
