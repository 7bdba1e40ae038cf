"""The reports: what the money did, as of a business day, as JSON or CSV."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import Connection

from api.csv_answers import AS_CSV, Accept, Format, csv_file, wants_csv
from api.dependencies import App, Viewer
from api.report_schemas import (
    ChurnRiskOut,
    CollectionsOut,
    MrrOut,
    OutstandingOut,
    RevenueByCustomerOut,
)
from api.schemas import Day, Period
from domain.periods import BillingPeriod
from domain.reporting import AGING_BUCKETS, ExchangeRate, RecoveryStep
from storage.engine import transaction
from storage.exports import csv_lines
from storage.reports.churn import ChurnRisk, churn_risk
from storage.reports.collections import Collections, collections
from storage.reports.mrr import Mrr, mrr
from storage.reports.outstanding import Outstanding, outstanding
from storage.reports.revenue import RevenueByCustomer, revenue_by_customer

router = APIRouter(prefix="/api/billing", tags=["reports"])

_EARLIEST, _LATEST = date(2001, 1, 1), date(2200, 1, 1)  # as far as billing periods reach
_TOP_DEBTORS, _TOP_CUSTOMERS, _MOST = 100, 20, 1_000
_HALF_A_YEAR, _TWO_YEARS = 6, 24
Report = TypeVar("Report")
Shown = TypeVar("Shown")
Table = tuple[Sequence[str], Iterable[Sequence[Any]]]
"""A header, and the rows under it."""


class _Reader:
    """Who asks for a report, of which day, in which currency and form."""

    def __init__(
        self,
        app: App,
        caller: Viewer,
        as_of: Annotated[
            Day | None,
            Query(
                ge=_EARLIEST,
                le=_LATEST,
                description="Business day; today's in the seller's zone if left out.",
            ),
        ] = None,
        currency: Annotated[
            str | None,
            Query(pattern="^[A-Z]{3}$", description="Of all amounts; the seller's if left out."),
        ] = None,
        format: Format = None,
        accept: Accept = "",
    ) -> None:
        self._app = app
        self._as_csv = wants_csv(format, accept)
        self.as_of = as_of or app.today()
        self.currency = currency or app.settings.reporting_currency
        self.churn_threshold = app.settings.churn_threshold_percent / 100

    def limit(self, asked: int) -> int | None:
        """A file has everything."""
        return None if self._as_csv else asked

    def answer(
        self,
        name: str,
        read: Callable[[Connection], Report],
        shown: Callable[[Report], Shown],
        table: Callable[[Report], Table],
    ) -> Shown | Response:
        with transaction(self._app.engine) as connection:
            report = read(connection)
        if not self._as_csv:
            return shown(report)
        header, rows = table(report)
        return csv_file(f"{name}-{self.as_of}", csv_lines(header, rows))


Reader = Annotated[_Reader, Depends()]


@router.get(
    "/outstanding",
    summary="What is owed, by age",
    response_model=OutstandingOut,
    responses=AS_CSV,
)
def read_outstanding(
    reader: Reader,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Of the debtors.")] = _TOP_DEBTORS,
) -> OutstandingOut | Response:
    """Open balances at the end of the day by days past due, and the customers behind them.

    Later payments do not change the answer for a day that is over. The CSV file has every
    customer who owes something, one a row.
    """
    return reader.answer(
        "outstanding",
        lambda connection: outstanding(
            connection,
            as_of=reader.as_of,
            currency=reader.currency,
            limit=reader.limit(limit),
        ),
        _outstanding_out,
        _outstanding_table,
    )


@router.get(
    "/revenue-by-customer",
    summary="Who the revenue comes from",
    response_model=RevenueByCustomerOut,
    responses=AS_CSV,
)
def read_revenue(
    reader: Reader,
    period: Annotated[
        Period | None, Query(description="The month; the one before `as_of`'s if left out.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = _TOP_CUSTOMERS,
) -> RevenueByCustomerOut | Response:
    """Net revenue of a month by customer, beside the month before. The CSV file has everybody."""
    month = BillingPeriod.parse(period) if period else BillingPeriod.of(reader.as_of).previous()
    return reader.answer(
        f"revenue-{month}",
        lambda connection: revenue_by_customer(
            connection,
            month,
            as_of=reader.as_of,
            currency=reader.currency,
            limit=reader.limit(limit),
        ),
        _revenue_out,
        _revenue_table,
    )


@router.get("/mrr", summary="Monthly recurring revenue", response_model=MrrOut, responses=AS_CSV)
def read_mrr(
    reader: Reader,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Of the movers.")] = _TOP_CUSTOMERS,
) -> MrrOut | Response:
    """Recurring revenue on a day, its weekly trend, and what it grew and shrank by.

    The CSV file has the trend, one point a row.
    """
    return reader.answer(
        "mrr",
        lambda connection: mrr(
            connection, as_of=reader.as_of, currency=reader.currency, limit=limit
        ),
        lambda report: MrrOut.model_validate(asdict(report)),
        _mrr_table,
    )


@router.get(
    "/churn-risk",
    summary="Who may be about to leave",
    response_model=ChurnRiskOut,
    responses=AS_CSV,
)
def read_churn_risk(
    reader: Reader, limit: Annotated[int, Query(ge=1, le=_MOST)] = _TOP_DEBTORS
) -> ChurnRiskOut | Response:
    """Customers flagged for falling usage or a failed payment, with the figures behind the flag.

    The CSV file has everybody who is flagged.
    """
    return reader.answer(
        "churn-risk",
        lambda connection: churn_risk(
            connection,
            as_of=reader.as_of,
            currency=reader.currency,
            threshold=reader.churn_threshold,
            limit=reader.limit(limit),
        ),
        _churn_out,
        _churn_table,
    )


@router.get(
    "/collections",
    summary="What the reminders achieve",
    response_model=CollectionsOut,
    responses=AS_CSV,
)
def read_collections(
    reader: Reader,
    months: Annotated[
        int, Query(ge=1, le=_TWO_YEARS, description="How many; that of `as_of` is the last.")
    ] = _HALF_A_YEAR,
) -> CollectionsOut | Response:
    """Late invoices by month: how many, what brought their money, and how long money takes.

    Later events do not change the answer for a day that is over. The CSV file has one month a row.
    """
    return reader.answer(
        "collections",
        lambda connection: collections(
            connection, as_of=reader.as_of, currency=reader.currency, months=months
        ),
        _collections_out,
        _collections_table,
    )


def _outstanding_out(report: Outstanding) -> OutstandingOut:
    found = asdict(report)
    for debtor in found["debtors"]:
        names = (bucket.name for bucket in AGING_BUCKETS)
        debtor["by_bucket"] = dict(zip(names, debtor["by_bucket"], strict=True))
    return OutstandingOut.model_validate(found)


def _outstanding_table(report: Outstanding) -> Table:
    buckets = (bucket.name for bucket in AGING_BUCKETS)
    header = ("account_number", "name", "currency", "amount", *buckets, "invoices")
    return (*header, "oldest_due_on", "rates"), (
        (
            *(debtor.account_number, debtor.name, report.currency, debtor.amount),
            *debtor.by_bucket,
            *(debtor.invoices, debtor.oldest_due_on, _rates(report.rates)),
        )
        for debtor in report.debtors
    )


def _revenue_out(report: RevenueByCustomer) -> RevenueByCustomerOut:
    return RevenueByCustomerOut.model_validate(asdict(report) | {"period": str(report.period)})


def _revenue_table(report: RevenueByCustomer) -> Table:
    header = "period account_number name segment currency revenue before change growth share rates"
    return header.split(), (
        (
            *(str(report.period), row.account_number, row.name, row.segment, report.currency),
            *(row.revenue, row.before, row.change, row.growth, row.share, _rates(report.rates)),
        )
        for row in report.customers
    )


def _mrr_table(report: Mrr) -> Table:
    header = "day currency mrr usage subscriptions customers growth rates".split()
    return header, (
        (
            *(point.day, report.currency, point.mrr, point.usage, point.subscriptions),
            *(point.customers, point.growth, _rates(report.rates)),
        )
        for point in report.trend
    )


def _churn_out(report: ChurnRisk) -> ChurnRiskOut:
    found = asdict(report)
    found["threshold_percent"] = found.pop("threshold") * 100
    found["months"] = [str(month) for month in report.months]
    for customer, shown in zip(report.customers, found["customers"], strict=True):
        shown["declines"] = [
            {
                "metric": decline.metric,
                "per_day": [_rounded(units) for units in decline.per_day],
                "fall": _rounded(decline.fall * 100),
            }
            for decline in customer.declines
        ]
    return ChurnRiskOut.model_validate(found)


def _churn_table(report: ChurnRisk) -> Table:
    header = "account_number name segment currency revenue declines failed_payments rates".split()
    return header, (
        (
            *(customer.account_number, customer.name, customer.segment, report.currency),
            customer.revenue,
            "; ".join(
                f"{decline.metric} per day {' '.join(f'{_rounded(u):f}' for u in decline.per_day)}"
                for decline in customer.declines
            ),
            "; ".join(
                f"{failed.number} on {failed.first_failed_on}"
                for failed in customer.failed_payments
            ),
            _rates(report.rates),
        )
        for customer in report.customers
    )


def _rounded(figure: Decimal) -> Decimal:
    """To a tenth, for a reader."""
    return figure.quantize(Decimal("0.1"), ROUND_HALF_UP)


def _collections_out(report: Collections) -> CollectionsOut:
    found = asdict(report)
    for shown, month in zip(found["months"], report.months, strict=True):
        shown["month"] = str(month.month)
    return CollectionsOut.model_validate(found)


def _collections_table(report: Collections) -> Table:
    header = (
        *("month", "until", "currency", "opened", "settled"),
        *(f"settled_{step}" for step in RecoveryStep),
        *("recovered", *(f"recovered_{step}" for step in RecoveryStep)),
        *("unaided", "unaided_change", "open_cases", "open_amount"),
        *("receivables", "billed", "dso", "dso_change", "rates"),
    )
    return header, (
        (
            *(str(row.month), row.until, report.currency, row.opened, row.settled),
            *(step.settled for step in row.steps),
            *(row.recovered, *(step.recovered for step in row.steps)),
            *(row.unaided, row.unaided_change, row.open_cases, row.open_amount),
            *(row.receivables, row.billed, row.dso, row.dso_change, _rates(report.rates)),
        )
        for row in report.months
    )


def _rates(rates: Iterable[ExchangeRate]) -> str:
    return "; ".join(f"{rate.base} {rate.rate:f} from {rate.valid_from}" for rate in rates)
