"""The proof that a month was billed: the last one, all of them, and one made anew."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from starlette.concurrency import run_in_threadpool
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from api.csv_answers import AS_CSV, Accept, Format, csv_file, wants_csv
from api.dependencies import App, Finance, Services, Viewer
from api.proof_schemas import (
    DifferenceOut,
    EquationOut,
    ReconciliationDetail,
    ReconciliationOut,
    ReconciliationStarted,
    table,
)
from api.schemas import Page, Period, page_of
from api.web_ui import web_ui_url
from domain.errors import Conflict
from domain.periods import BillingPeriod
from storage.cycles import load_cycle, summarize_cycle
from storage.engine import transaction
from storage.exports import csv_lines
from storage.proof.records import last_reconciliation, list_reconciliations, load_proof
from workflows.contracts.proof import ReconciliationOrder
from workflows.ids import reconciliation_id
from workflows.starting import reconcile_cycle

router = APIRouter(prefix="/api/billing/cycles", tags=["proof"])

PeriodPath = Annotated[Period, Path(description="The month, YYYY-MM.")]
_SHOWN, _MOST = 200, 1_000
_LARGEST_ID = 2**63 - 1


@router.get(
    "/{period}/reconciliation",
    summary="Whether a month was billed right",
    response_model=ReconciliationDetail,
    responses=AS_CSV,
)
async def show(
    period: PeriodPath,
    app: App,
    caller: Viewer,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Of the differences.")] = _SHOWN,
    format: Format = None,
    accept: Accept = "",
) -> ReconciliationDetail | Response:
    """The last proof: each equation with both sides, and what does not agree, by customer.

    The CSV file has the differences, all of them. A month is proved when its cycle is closed, and
    anew while its invoices are being paid; before that there is nothing to be found.
    """
    month = BillingPeriod.parse(period)
    if wants_csv(format, accept):
        return await run_in_threadpool(_file, app, month)
    detail = await run_in_threadpool(_read, app, month, limit)
    detail.being_made_anew = await _is_running(app, month)
    return detail


@router.get("/{period}/reconciliations", summary="Every proof of a month that was made")
def list_page(
    period: PeriodPath,
    app: App,
    caller: Viewer,
    cursor: Annotated[
        int | None, Query(ge=1, le=_LARGEST_ID, description="next_cursor of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Page[ReconciliationOut]:
    """The newest first; earlier ones tell what the month was like on their day."""
    with transaction(app.engine) as connection:
        cycle = load_cycle(connection, BillingPeriod.parse(period))
        found = list_reconciliations(connection, cycle.id, before=cursor, limit=limit + 1)
    return page_of(found, limit, ReconciliationOut.model_validate, lambda last: str(last.id))


@router.post("/{period}/reconcile", status_code=202, summary="Prove a month anew")
async def reconcile(period: PeriodPath, app: App, caller: Finance) -> ReconciliationStarted:
    """Gathers both sides of every equation again; while that goes on, another request finds it.

    Refused while the cycle is not closed: it is proved when it is.
    """
    month = BillingPeriod.parse(period)
    await run_in_threadpool(_require_closed, app, month)
    await reconcile_cycle(
        app.temporal,
        str(month),
        ReconciliationOrder((str(month),), app.calendar, caller.name),
        task_queue=app.settings.task_queue,
    )
    return ReconciliationStarted(period=str(month), workflow_url=_workflow_url(app, month))


def _require_closed(app: Services, month: BillingPeriod) -> None:
    with transaction(app.engine) as connection:
        status = summarize_cycle(connection, month).status
    if status != "closed":
        raise Conflict(f"The cycle of {month} is {status}; it is proved when it is closed.")


def _read(app: Services, month: BillingPeriod, limit: int) -> ReconciliationDetail:
    with transaction(app.engine) as connection:
        last = last_reconciliation(connection, month)
        proof = load_proof(connection, last.id, differences=limit)
    return ReconciliationDetail(
        **vars(last),
        being_made_anew=False,
        equations=[EquationOut.of(row) for row in proof.equations],
        differences=[DifferenceOut.of(row) for row in proof.differences],
    )


def _file(app: Services, month: BillingPeriod) -> Response:
    with transaction(app.engine) as connection:
        last = last_reconciliation(connection, month)
        proof = load_proof(connection, last.id)
    header, rows = table(list(proof.differences))
    return csv_file(f"differences-{month}-{last.as_of}", csv_lines(header, rows))


async def _is_running(app: Services, month: BillingPeriod) -> bool:
    """Whether a proof that somebody asked for is under way, as far as Temporal answers."""
    handle = app.temporal.get_workflow_handle(reconciliation_id(str(month)))
    try:
        return (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    except (RPCError, RuntimeError):  # RuntimeError: never connected
        return False


def _workflow_url(app: Services, month: BillingPeriod) -> str:
    return web_ui_url(app, reconciliation_id(str(month)))
