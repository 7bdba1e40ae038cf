"""A plan held against the months before it: sums by currency, and what stands out.

All of it is read anew each time, by a few queries over the whole cycle, since the drafts are what
counts and may be replaced.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, TextClause, select, text

from domain.errors import Conflict
from domain.periods import BillingPeriod
from domain.reporting import MissingExchangeRate, percent
from domain.standing_out import (
    CustomerInPlan,
    Finding,
    MonthsBill,
    PastMonth,
    PriceChange,
    Thresholds,
    customer_findings,
    ranked,
)
from domain.whole_plan import PlanFinding, WholeMonth, plan_findings
from settings import Settings
from storage.approval import CODES_OF_APPROVAL
from storage.cycles import CycleTotals, load_cycle
from storage.drafts import Cycle
from storage.reports.currencies import load_rates
from storage.tables import billing_cycles

_LOOKED_BACK = 3  # months
_IS_BILLED = "(item.outcome IN ('drafted', 'issued') OR item.reason_code = ANY (:codes))"
"""What is issued, or will be once it is approved."""
_SUMS = """
    invoice.currency, count(*) AS invoices, sum(invoice.usage_amount) AS usage,
    sum(invoice.subscription_amount) AS subscriptions, sum(invoice.proration_amount) AS proration,
    sum(invoice.discount_amount) AS discounts, sum(invoice.late_amount) AS late,
    sum(invoice.subtotal) AS subtotal, sum(invoice.tax) AS tax, sum(invoice.total) AS total
"""
_SUMS_OF_PLAN = text(f"""
    SELECT {_SUMS}
    FROM billing_cycle_items item JOIN invoices invoice ON invoice.id = item.invoice_id
    WHERE item.cycle_id = :cycle AND {_IS_BILLED} GROUP BY invoice.currency
""")  # noqa: S608 - constants of ours, here and below
_SUMS_OF_MONTH = text(f"""
    SELECT {_SUMS} FROM invoices invoice
    WHERE invoice.period_start = :month AND invoice.status <> 'void' GROUP BY invoice.currency
""")  # noqa: S608
_CUSTOMERS_OF_PLAN = text(f"""
    SELECT count(*) FROM billing_cycle_items item
    WHERE item.cycle_id = :cycle AND item.part = '' AND {_IS_BILLED}
""")  # noqa: S608
_CUSTOMERS_OF_MONTH = text("""
    SELECT count(*) FROM invoices
    WHERE period_start = :month AND kind = 'regular' AND status <> 'void'
""")
_UNITS = text("""
    SELECT metric, sum(quantity) FROM usage_monthly WHERE month = :month
    GROUP BY metric ORDER BY metric
""")
_BILLED_MONTHS = text("""
    SELECT month FROM unnest(CAST(:months AS date[])) month
    WHERE EXISTS (SELECT FROM invoices WHERE period_start = month AND kind = 'regular'
                  AND status <> 'void')
    ORDER BY month DESC
""")
_BILL = """
    {it}.currency, {it}.subtotal - {it}.late_amount, {it}.usage_amount, {it}.subtotal, {it}.tax,
    coalesce({it}.tax_lines #>> '{{0,rule}}', ''),
    CAST({it}.tax_lines #>> '{{0,rate_percent}}' AS numeric)
"""
"""As `MonthsBill` has it."""
_BILL_COLUMNS = 7
_EARLIER = """
    LEFT JOIN invoices {it} ON {it}.customer_id = item.customer_id AND {it}.kind = 'regular'
        AND {it}.status <> 'void' AND {it}.period_start = :{it}
"""
_PRICES = text("""
    WITH priced AS (
        SELECT invoice.customer_id, invoice.period_start, line.plan_code,
               max(line.plan_version) AS version
        FROM invoices invoice JOIN invoice_line_items line ON line.invoice_id = invoice.id
        WHERE invoice.period_start IN (:now, :last) AND invoice.kind = 'regular'
            AND invoice.status <> 'void' AND line.kind <> 'late'
            -- a version that there was in both months all along is no change, and most are
            AND line.plan_code IN (
                SELECT code FROM plan_prices JOIN pricing_plans ON id = plan_id
                WHERE version > 1 AND valid_from > :last)
        GROUP BY invoice.customer_id, invoice.period_start, line.plan_code
    )
    SELECT now.customer_id, now.plan_code, last.version, now.version
    FROM priced now JOIN priced last USING (customer_id, plan_code)
    WHERE now.period_start = :now AND last.period_start = :last AND now.version <> last.version
    ORDER BY now.customer_id, now.plan_code
""")
_USED = text("""
    SELECT customer_id, sum(quantity) AS units FROM billed_usage
    WHERE cycle_id = :cycle AND month = :month GROUP BY customer_id
""")
_PAST_MONTHS = text(f"""
    -- lines of the regular invoice, what has an invoice of its own, and what is given back
    SELECT item.customer_id, line.service_month AS month, invoice.currency, line.amount,
           line.description AS why
    FROM billing_cycle_items item
    JOIN invoices invoice ON invoice.id = item.invoice_id
    JOIN invoice_line_items line ON line.invoice_id = invoice.id AND line.kind = 'late'
    WHERE item.cycle_id = :cycle AND item.part = '' AND {_IS_BILLED}
    UNION ALL
    SELECT item.customer_id, invoice.service_month, invoice.currency, invoice.subtotal,
           'an invoice of its own'
    FROM billing_cycle_items item JOIN invoices invoice ON invoice.id = item.invoice_id
    WHERE item.cycle_id = :cycle AND item.part <> '' AND {_IS_BILLED}
    UNION ALL
    SELECT planned.customer_id, planned.month, invoice.currency, -planned.net,
           planned.reason || ', as a credit note'
    FROM planned_credits planned JOIN invoices invoice ON invoice.id = planned.invoice_id
    WHERE planned.cycle_id = :cycle AND planned.net > 0
    UNION ALL
    SELECT planned.customer_id, planned.month, invoice.currency, -returned.amount,
           planned.reason || ', as prepaid credit'
    FROM planned_credits planned JOIN invoices invoice ON invoice.id = planned.invoice_id
    JOIN prepaid_returns returned ON returned.planned_credit_id = planned.id
    WHERE planned.cycle_id = :cycle
    UNION ALL
    SELECT item.customer_id, CAST(item.part || '-01' AS date), customer.currency, NULL, item.reason
    FROM billing_cycle_items item JOIN customers customer ON customer.id = item.customer_id
    WHERE item.cycle_id = :cycle AND item.part <> '' AND item.outcome = 'failed'
        AND NOT item.reason_code = ANY (:codes)
    ORDER BY month, why
""")  # noqa: S608


@dataclass(frozen=True)
class ComparedTotals:
    """One currency's sums in the plan and in the month that it is held against; None: no invoice
    there in that currency.
    """

    currency: str
    now: CycleTotals | None
    before: CycleTotals | None

    @property
    def difference(self) -> Decimal:
        """Of the totals."""
        now, before = (side.total if side else Decimal(0) for side in (self.now, self.before))
        return now - before

    @property
    def percent(self) -> Decimal | None:
        """To a tenth; None where there was nothing before."""
        return percent(self.difference, abs(self.before.total)) if self.before else None


@dataclass(frozen=True)
class Preview:
    """A plan and what stands out of it.

    Attributes:
        compared_with: the latest of the three months before that has invoices; None if none has.
        customers: with an invoice in the plan; `customers_before`: in that month.
        whole: what stands out of the plan as a whole, the greatest fall first.
        findings: what stands out of single customers, by the money in it.
    """

    period: BillingPeriod
    status: str
    compared_with: BillingPeriod | None
    totals: Sequence[ComparedTotals]
    customers: int
    customers_before: int
    whole: Sequence[PlanFinding]
    findings: Sequence[Finding]

    @property
    def counts(self) -> dict[str, int]:
        """Of findings, by kind."""
        return dict(Counter(finding.kind.value for finding in self.findings))


def thresholds(settings: Settings) -> Thresholds:
    """From where on something stands out, as the settings have it."""
    return Thresholds(
        settings.standing_out_percent,
        settings.standing_out_amount,
        settings.standing_out_whole_percent,
    )


def load_preview(
    connection: Connection, period: BillingPeriod, thresholds: Thresholds, *, currency: str
) -> Preview:
    """The plan of the period's cycle, or what became of it.

    `currency`: in which amounts of several currencies are compared to be ranked; those without a
    rate into it count as they are. Raises NotFound, and Conflict while the plan is being made.
    """
    cycle, status = load_planned(connection, period)
    months = months_before(connection, period)
    sums = _Sums.read(connection, cycle, months)
    findings = (
        finding
        for customer in _customers(connection, cycle, months)
        for finding in customer_findings(customer, thresholds)
    )
    return Preview(
        period,
        status,
        months[0] if months else None,
        sums.compared(),
        sums.now.customers,
        sums.before.customers if sums.before else 0,
        plan_findings(sums.now, sums.before, thresholds),
        ranked(findings, _worth(connection, cycle, currency)),
    )


def load_whole(
    connection: Connection, period: BillingPeriod, thresholds: Thresholds
) -> list[PlanFinding]:
    """What stands out of the plan as a whole, alone; raises as `load_preview`."""
    cycle, _ = load_planned(connection, period)
    sums = _Sums.read(connection, cycle, months_before(connection, period))
    return plan_findings(sums.now, sums.before, thresholds)


def load_planned(connection: Connection, period: BillingPeriod) -> tuple[Cycle, str]:
    """The period's cycle and its status, once its plan can be read.

    Raises NotFound, and Conflict before.
    """
    cycle = load_cycle(connection, period)
    status = connection.execute(
        select(billing_cycles.c.status).where(billing_cycles.c.id == cycle.id)
    ).scalar_one()
    if status == "planning":
        raise Conflict(f"The plan of {period} is still being made; read it once it is planned.")
    return cycle, status


@dataclass(frozen=True)
class _Sums:
    """The sums of the plan and of the month before it, by currency, and both as a whole."""

    plan: Mapping[str, CycleTotals]
    month: Mapping[str, CycleTotals]
    now: WholeMonth
    before: WholeMonth | None

    @classmethod
    def read(cls, connection: Connection, cycle: Cycle, months: Sequence[BillingPeriod]) -> "_Sums":
        def one(query: TextClause, month: BillingPeriod) -> dict[str, CycleTotals]:
            values = {**_of_cycle(cycle), "month": month.start}
            return {row.currency: CycleTotals(*row) for row in _rows(connection, query, values)}

        def whole(
            sums: Mapping[str, CycleTotals], customers: TextClause, month: BillingPeriod
        ) -> WholeMonth:
            values = {**_of_cycle(cycle), "month": month.start}
            units = _rows(connection, _UNITS, values)
            return WholeMonth(
                _rows(connection, customers, values)[0][0],
                {currency: sum.usage for currency, sum in sums.items()},
                {currency: sum.total for currency, sum in sums.items()},
                {row[0]: row[1] for row in units},
            )

        plan = one(_SUMS_OF_PLAN, cycle.period)
        now = whole(plan, _CUSTOMERS_OF_PLAN, cycle.period)
        if not months:
            return cls(plan, {}, now, None)
        month = one(_SUMS_OF_MONTH, months[0])
        return cls(plan, month, now, whole(month, _CUSTOMERS_OF_MONTH, months[0]))

    def compared(self) -> list[ComparedTotals]:
        return [
            ComparedTotals(currency, self.plan.get(currency), self.month.get(currency))
            for currency in sorted({*self.plan, *self.month})
        ]


def months_before(connection: Connection, period: BillingPeriod) -> list[BillingPeriod]:
    """Of the three months before, those that have an invoice, the latest first."""
    months, month = [], period
    for _ in range(_LOOKED_BACK):
        month = month.previous()
        months.append(month.start)
    return [
        BillingPeriod.of(row[0]) for row in _rows(connection, _BILLED_MONTHS, {"months": months})
    ]


def _customers(
    connection: Connection, cycle: Cycle, months: Sequence[BillingPeriod]
) -> Iterator[CustomerInPlan]:
    """Everybody who has an outcome."""
    values = _of_cycle(cycle)
    used = {row.customer_id: row.units for row in _rows(connection, _USED, values)}
    past_months: dict[int, list[PastMonth]] = defaultdict(list)
    for row in _rows(connection, _PAST_MONTHS, values):
        month = str(BillingPeriod.of(row.month))
        past_months[row.customer_id].append(PastMonth(month, row.currency, row.amount, row.why))
    prices: dict[int, list[PriceChange]] = defaultdict(list)
    if months:
        last = {"now": cycle.period.start, "last": months[0].start}
        for customer_id, *change in _rows(connection, _PRICES, last):
            prices[customer_id].append(PriceChange(*change))
    names = [f"ago{place}" for place in range(len(months))]
    starts = {name: month.start for name, month in zip(names, months, strict=True)}
    for row in _rows(connection, _bills(names), {**values, **starts}):
        is_failed = row.outcome == "failed" and not row.is_billed
        now, *before = _bills_of(row, 1 + len(months))
        yield CustomerInPlan(
            account_number=row.account_number,
            currency=row.customers_currency,
            now=now,
            before=before,
            failure=row.reason if is_failed else "",
            has_nothing=row.reason_code == "nothing_to_bill",
            is_subscribed=row.is_subscribed,
            units=used.get(row.customer_id, Decimal(0)),
            past_months=past_months.get(row.customer_id, ()),
            prices=prices.get(row.customer_id, ()),
        )


def _bills(earlier: Sequence[str]) -> TextClause:
    """Each customer's regular invoice of the plan, and those of the months before it; these at the
    end of each row.
    """
    columns = ", ".join(_BILL.format(it=it) for it in ("now", *earlier))
    joins = " ".join(_EARLIER.format(it=it) for it in earlier)
    return text(f"""
        SELECT item.account_number, item.customer_id, item.outcome, item.reason_code, item.reason,
               {_IS_BILLED} AS is_billed, customer.currency AS customers_currency,
               item.reason_code = 'nothing_to_bill' AND EXISTS (
                   SELECT FROM subscriptions WHERE customer_id = item.customer_id
                   AND starts_on < :until AND (ends_on IS NULL OR ends_on > :month)
               ) AS is_subscribed, {columns}
        FROM billing_cycle_items item
        JOIN customers customer ON customer.id = item.customer_id
        LEFT JOIN invoices now ON now.id = item.invoice_id AND {_IS_BILLED} {joins}
        WHERE item.cycle_id = :cycle AND item.part = ''
    """)  # noqa: S608


def _bills_of(row: Any, count: int) -> Iterator[MonthsBill | None]:
    first = len(row) - count * _BILL_COLUMNS
    for place in range(first, len(row), _BILL_COLUMNS):
        bill = row[place : place + _BILL_COLUMNS]
        yield None if bill[0] is None else MonthsBill(*bill)


def _worth(connection: Connection, cycle: Cycle, currency: str) -> Callable[[str], Decimal]:
    rates = load_rates(connection, currency, cycle.issued_on)

    def worth(of: str) -> Decimal:
        try:
            return rates.of(of).rate
        except MissingExchangeRate:
            return Decimal(1)

    return worth


def _of_cycle(cycle: Cycle) -> dict[str, Any]:
    return {
        "cycle": cycle.id,
        "month": cycle.period.start,
        "until": cycle.period.end,
        "codes": list(CODES_OF_APPROVAL),
    }


def _rows(connection: Connection, query: TextClause, values: Mapping[str, Any]) -> Sequence[Any]:
    """What `query` finds with those of `values` that it names."""
    named = {name: values[name] for name in query.compile().params}
    return connection.execute(query, named).all()
