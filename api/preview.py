"""A plan's preview over HTTP: what stands out of it, customer by customer, and its approval."""

from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import TypeAdapter
from sqlalchemy import Connection

from api.csv_answers import AS_CSV, Accept, Format, csv_file, wants_csv
from api.cursors import read_position, write_position
from api.cycle_schemas import ApprovalOut
from api.dependencies import App, Finance, Viewer
from api.invoices import invoice_line, tax_line
from api.master_data_values import Words
from api.preview_schemas import (
    ApprovalRequest,
    BeforeOut,
    ComparedTotalsOut,
    FindingOut,
    PlanFindingOut,
    PreviewCustomer,
    PreviewOut,
    SumOut,
    ToApproveOut,
    table,
)
from api.schemas import CycleCustomer, Page, Period, Totals, page_of
from domain.periods import BillingPeriod
from domain.standing_out import FindingKind
from storage.approval import approve, list_approvals, to_approve
from storage.cycles import load_cycle
from storage.engine import transaction
from storage.exports import csv_lines
from storage.preview import (
    ComparedTotals,
    Preview,
    load_preview,
    load_whole,
    thresholds,
)
from storage.preview_customers import PlannedCustomer, customer_names, planned_customers

router = APIRouter(prefix="/api/billing/cycles", tags=["preview"])

PeriodPath = Annotated[Period, Path(description="The month, YYYY-MM.")]
Outcome = Literal["drafted", "issued", "skipped", "failed"]
_POSITION = TypeAdapter(tuple[str, str])
_MOST = 1_000_000_000


@router.get(
    "/{period}/preview",
    summary="A plan before it is issued, and what stands out of it",
    response_model=PreviewOut,
    responses=AS_CSV,
)
def show(
    period: PeriodPath,
    app: App,
    caller: Viewer,
    kind: Annotated[FindingKind | None, Query(description="Findings of one kind alone.")] = None,
    cursor: Annotated[
        int, Query(ge=0, le=_MOST, description="next_cursor of the page before.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=500, description="Of the findings.")] = 100,
    format: Format = None,
    accept: Accept = "",
) -> PreviewOut | Response:
    """The plan held against the last month as a whole and, customer by customer, against what is
    usual in the last three: sums by currency, and what stands out, with figures.

    The CSV file has the findings, all of them or those of `kind`. A cycle that is issued shows what
    stood out. Refused while the plan is being made.
    """
    month = BillingPeriod.parse(period)
    with transaction(app.engine) as connection:
        found = load_preview(
            connection,
            month,
            thresholds(app.settings),
            currency=app.settings.reporting_currency,
        )
        wanted = [it for it in found.findings if kind in (None, it.kind)]
        if wants_csv(format, accept):
            names = customer_names(connection, {it.account_number for it in wanted})
            header, rows = table(wanted, names)
            return csv_file(f"preview-{month}", csv_lines(header, rows))
        page = wanted[cursor : cursor + limit]
        names = customer_names(connection, {it.account_number for it in page})
        more = cursor + limit < len(wanted)
        return PreviewOut(
            **_whole(found),
            **_approval(connection, found),
            findings=[FindingOut.of(it, names.get(it.account_number, "")) for it in page],
            next_cursor=str(cursor + limit) if more else None,
        )


@router.get("/{period}/preview/customers", summary="What each customer of a plan is billed for")
def list_customers(
    period: PeriodPath,
    app: App,
    caller: Viewer,
    outcome: Annotated[Outcome | None, Query()] = None,
    account_number: Annotated[Words | None, Query()] = None,
    cursor: Annotated[str, Query(description="next_cursor of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Page[PreviewCustomer]:
    """In the order of their account numbers, each with the lines of the draft and the invoice of
    the month that the plan is held against.
    """
    after = read_position(cursor, _POSITION) if cursor else ("", "")
    with transaction(app.engine) as connection:
        found = planned_customers(
            connection,
            BillingPeriod.parse(period),
            outcome=outcome,
            account_number=account_number,
            after=after,
            limit=limit + 1,
        )
    return page_of(
        found,
        limit,
        _customer,
        lambda last: write_position(last.outcome.account_number, last.outcome.late_month or ""),
    )


@router.post("/{period}/approve", summary="Approve a plan")
def approve_plan(
    period: PeriodPath, request: ApprovalRequest, app: App, caller: Finance
) -> ApprovalOut:
    """Lets what `digest` names be issued; `resume` then issues it.

    Refused where that is no longer what waits to be approved, and while the plan is being made.
    Drafts that come about later, by a retry, are approved by another approval, and retried.
    """
    month = BillingPeriod.parse(period)
    with transaction(app.engine) as connection:
        whole = load_whole(connection, month, thresholds(app.settings))
        made = approve(
            connection,
            month,
            digest=request.digest,
            note=request.note,
            person=caller.name,
            business_date=app.today(),
            by_another=app.settings.approval_by_another,
            note_required=bool(whole),
        )
    return ApprovalOut.model_validate(made)


def _whole(found: Preview) -> dict[str, object]:
    return {
        "period": str(found.period),
        "status": found.status,
        "compared_with": str(found.compared_with) if found.compared_with else None,
        "customers": found.customers,
        "customers_before": found.customers_before,
        "totals": [_compared(totals) for totals in found.totals],
        "whole": [PlanFindingOut.model_validate(it) for it in found.whole],
        "counts": found.counts,
    }


def _compared(totals: ComparedTotals) -> ComparedTotalsOut:
    return ComparedTotalsOut(
        currency=totals.currency,
        now=totals.now and Totals.model_validate(totals.now),
        before=totals.before and Totals.model_validate(totals.before),
        difference=totals.difference,
        percent=totals.percent,
    )


def _approval(connection: Connection, found: Preview) -> dict[str, object]:
    cycle = load_cycle(connection, found.period)
    waiting = to_approve(connection, cycle.id)
    return {
        "approval_required": cycle.approval_required,
        "to_approve": ToApproveOut(
            drafts=waiting.drafts,
            totals=_sums(waiting.totals),
            credits=waiting.credits,
            credited=_sums(waiting.credited),
            digest=waiting.digest,
            note_required=bool(found.whole),
        ),
        "approvals": [
            ApprovalOut.model_validate(it) for it in list_approvals(connection, cycle.id)
        ],
    }


def _sums(sums: dict[str, Decimal]) -> list[SumOut]:
    return [SumOut(currency=currency, amount=amount) for currency, amount in sums.items()]


def _customer(planned: PlannedCustomer) -> PreviewCustomer:
    return PreviewCustomer(
        **vars(CycleCustomer.model_validate(planned.outcome)),
        before=planned.before and BeforeOut.model_validate(planned.before),
        lines=[invoice_line(line) for line in planned.lines],
        tax_lines=[tax_line(line) for line in planned.tax_lines],
    )
