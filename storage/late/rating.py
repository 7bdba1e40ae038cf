"""Past months rated anew, customer by customer, as far as something came late for them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from sqlalchemy import Connection, select

from domain.errors import CustomerCannotBeBilled
from domain.invoice import PriceList
from domain.parties import BilledCustomer
from domain.periods import BillingPeriod
from domain.rating import Contract, rate_customer
from domain.tax import determine_tax
from domain.true_up import (
    Difference,
    LateMonth,
    Terms,
    counted_before,
    differences,
    late_month,
)
from storage.customers import UsedInMonth, discounts_of, subscriptions_of, usage_of
from storage.late.billed import BilledMonth, CustomerMonth, billed_months, terms_of
from storage.tables import pricing_plans


@dataclass(frozen=True)
class RatedMonth:
    """A past month as it is known now, beside what was billed of it.

    Attributes:
        late: its difference; None where nothing is to be charged or given back.
        customer: as an invoice of the month's own would have it.
        used: by metric, the quantity that is new, and how often the counter was touched by now.
        counted: what of the difference people gave back before.
    """

    period: BillingPeriod
    late: LateMonth | None
    customer: BilledCustomer
    billed: BilledMonth
    used: Mapping[str, tuple[Decimal, int]]
    counted: Sequence[Difference] = ()


@dataclass(frozen=True)
class FailedMonth:
    """A past month that cannot be rated, and why; the customer's other invoices go out."""

    period: BillingPeriod
    code: str
    reason: str


@dataclass
class LateOfCustomer:
    """The past months of one customer, the oldest first."""

    rated: list[RatedMonth] = field(default_factory=list)
    failed: list[FailedMonth] = field(default_factory=list)


def rate_past_months(
    connection: Connection,
    wanted: Mapping[int, Sequence[BillingPeriod]],
    customers: Mapping[int, BilledCustomer],
    rules: PriceList,
    *,
    held: Sequence[int],
) -> dict[int, LateOfCustomer]:
    """By customer id, the months `wanted` of each as they are known now.

    `customers`: as they are now. `held`: drafts that are about to be written anew. A month of which
    a plan that waits charges a part is left for the next cycle.
    """
    by_month: dict[BillingPeriod, list[int]] = defaultdict(list)
    for customer_id, months in wanted.items():
        for period in months:
            by_month[period].append(customer_id)
    if not by_month:
        return {}
    pairs: list[CustomerMonth] = [(id, period) for period, ids in by_month.items() for id in ids]
    billed = billed_months(connection, pairs, held)
    names = _plan_names(connection)
    discounts = discounts_of(connection, list(wanted))
    found: dict[int, LateOfCustomer] = defaultdict(LateOfCustomer)
    for period, ids in sorted(by_month.items()):
        subscribed = subscriptions_of(connection, ids, period)
        used = usage_of(connection, ids, period)
        for id in ids:
            month = billed[id, period]
            currency = month.terms.currency if month.terms else customers[id].currency
            known = _Known(
                customers[id],
                Contract(currency, tuple(subscribed.get(id, ())), tuple(discounts.get(id, ()))),
                used.get(id, UsedInMonth()),
                month,
            )
            if not month.waits:
                _rate(found[id], known, rules, period, names)
    return found


@dataclass(frozen=True)
class _Known:
    """What is known of one customer's month; the contract is in the currency it was billed in."""

    customer: BilledCustomer
    contract: Contract
    used: UsedInMonth
    billed: BilledMonth


def _rate(
    late: LateOfCustomer,
    known: _Known,
    rules: PriceList,
    period: BillingPeriod,
    names: Mapping[str, str],
) -> None:
    try:
        late.rated.append(_rated(known, rules, period, names))
    except CustomerCannotBeBilled as refusal:
        late.failed.append(FailedMonth(period, refusal.code, refusal.message))
    except Exception as defect:  # of ours, met by one month: the others are billed
        reason = f"{type(defect).__name__}: {defect}; this is a defect, report it."
        late.failed.append(FailedMonth(period, "defect", reason))


def _rated(
    known: _Known, rules: PriceList, period: BillingPeriod, names: Mapping[str, str]
) -> RatedMonth:
    """Raises CustomerCannotBeBilled."""
    billed, used = known.billed, known.used
    new = {
        metric: (used.quantity(metric) - billed.usage.get(metric, Decimal(0)), changes)
        for metric, changes in used.changes.items()
    }
    anew = rate_customer(known.contract, used.days, rules.prices, period)
    found, counted = counted_before(differences(billed.lines, anew), billed.credited_by_people)
    if not found:
        return RatedMonth(period, None, known.customer, billed, new, counted)
    usage_changed = any(quantity != 0 for quantity, _ in new.values())
    terms = billed.terms or _present_terms(known.customer, rules, period)
    late = late_month(period, terms, found, names, usage_changed=usage_changed)
    return RatedMonth(period, late, _as_billed(known), billed, new, counted)


def _present_terms(customer: BilledCustomer, rules: PriceList, period: BillingPeriod) -> Terms:
    """Of a month that the customer was not billed for yet."""
    treatment = determine_tax(customer.tax_subject, rules.taxes, rules.tax_policy, period.last_day)
    return terms_of(customer, customer.currency, treatment)


def _as_billed(known: _Known) -> BilledCustomer:
    """Who they are and how they pay is as it is now; what the month's tax rests on, as it was."""
    before, now = known.billed.customer, known.customer
    if before is None:
        return now
    return replace(
        now,
        address=before.address,
        tax_id=before.tax_id,
        tax_id_valid=before.tax_id_valid,
        tax_exempt=before.tax_exempt,
        currency=before.currency,
    )


def _plan_names(connection: Connection) -> dict[str, str]:
    rows = connection.execute(select(pricing_plans.c.code, pricing_plans.c.name))
    return {row.code: row.name for row in rows}
