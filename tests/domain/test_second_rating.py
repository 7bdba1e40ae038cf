"""Two formulas that share nothing come to the same, whatever the contract; and where one is wrong,
they do not.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import charges
from domain.discounts import Discount
from domain.money import minor_digits
from domain.periods import BillingPeriod
from domain.plans import Charge, ChargeModel, Interval, PlanKind, PlanPrice, PriceBook, Tier
from domain.rating import Contract, DailyUsage, Subscription, rate_customer
from domain.second_rating import SecondRating, Terms, rate_again
from tests.builders import FEBRUARY, flat_plan, subscription, usage, usage_plan

MONTHS = st.builds(BillingPeriod, st.integers(2024, 2027), st.integers(1, 12))
PRICES = st.decimals(0, 100, places=4)
AMOUNTS = st.decimals("0.01", "500", places=2)


def second(
    contract: Contract,
    used: Iterable[DailyUsage],
    prices: Iterable[PlanPrice],
    month: BillingPeriod,
) -> SecondRating:
    versions: dict[str, list[PlanPrice]] = defaultdict(list)
    for price in prices:
        versions[price.code].append(price)
    metrics = {code: {m for p in found for m in p.metrics} for code, found in versions.items()}
    units: dict[Subscription, dict[str, D]] = {}
    for sub in contract.subscriptions:
        units[sub] = defaultdict(D)
        for entry in used:
            if entry.metric in metrics[sub.plan_code] and sub.covers(entry.day):
                units[sub][entry.metric] += entry.quantity
    return rate_again(
        Terms(
            contract.currency,
            minor_digits(contract.currency),
            month.start,
            contract.subscriptions,
            units,
            contract.discounts,
            versions,
        )
    )


def first(
    contract: Contract,
    used: Iterable[DailyUsage],
    prices: Iterable[PlanPrice],
    month: BillingPeriod,
) -> dict[str, D]:
    amounts: dict[str, D] = {}
    for line in rate_customer(contract, used, PriceBook(prices), month):
        amounts[line.plan_code] = amounts.get(line.plan_code, D(0)) + line.amount
    return amounts


def without_zeros(amounts: dict[str, D]) -> dict[str, D]:
    return {code: amount for code, amount in amounts.items() if amount}


@st.composite
def charge_of(draw: st.DrawFn, metric: str) -> Charge:
    model = draw(st.sampled_from(ChargeModel))
    if not model.has_tiers:
        size = draw(st.integers(1, 500)) if model is ChargeModel.PACKAGE else None
        return Charge(metric, model, unit_price=draw(PRICES), package_size=size)
    ends = sorted(draw(st.sets(st.integers(1, 5_000), max_size=3)))
    tiers = [Tier(f"to {end}", end, draw(PRICES)) for end in (*ends, None)]
    return Charge(metric, model, tuple(tiers))


@st.composite
def versions_of(draw: st.DrawFn, code: str, currency: str) -> list[PlanPrice]:
    """A plan's prices: one from ever, and perhaps a later one."""
    is_usage = code.startswith("usage")
    interval = Interval.YEAR if code == "yearly" else Interval.MONTH
    kind = PlanKind.USAGE if is_usage else PlanKind.FLAT
    days = [date.min, *draw(st.lists(st.dates(date(2023, 6, 1), date(2027, 12, 31)), max_size=1))]
    found = []
    for version, day in enumerate(days, 1):
        found.append(
            PlanPrice(
                code,
                code,
                kind,
                currency,
                unit_price=None if is_usage else draw(AMOUNTS),
                charges=(draw(charge_of(f"{code}-units")),) if is_usage else (),
                minimum=draw(st.none() | AMOUNTS) if is_usage else None,
                interval=interval,
                version=version,
                valid_from=day,
            )
        )
    return found


@st.composite
def spans(draw: st.DrawFn, month: BillingPeriod) -> list[tuple[date, date | None]]:
    """One subscription about the month, or two that follow one another in it."""
    begins = draw(st.dates(month.start - timedelta(days=800), month.last_day))
    if not draw(st.booleans()):
        return [(begins, None)]
    change = draw(st.dates(max(begins, month.start) + timedelta(days=1), month.end + timedelta(20)))
    follows = [(change, None)] if draw(st.booleans()) else []
    return [(begins, change), *follows]


@st.composite
def months(
    draw: st.DrawFn,
) -> tuple[Contract, list[DailyUsage], list[PlanPrice], BillingPeriod]:
    month = draw(MONTHS)
    currency = draw(st.sampled_from(["USD", "JPY", "KWD"]))
    codes = draw(st.sets(st.sampled_from(["usage-a", "usage-b", "monthly", "yearly"]), min_size=1))
    prices: list[PlanPrice] = []
    subscribed: list[Subscription] = []
    used: list[DailyUsage] = []
    for code in sorted(codes):
        prices += draw(versions_of(code, currency))
        for begins, ends in draw(spans(month)):
            quantity = D(1) if code.startswith("usage") else D(draw(st.integers(1, 9)))
            subscribed.append(Subscription(code, quantity, begins, ends))
        if code.startswith("usage"):
            days = [
                month.start + timedelta(days=day)
                for day in draw(st.sets(st.integers(0, month.days - 1), max_size=4))
            ]
            used += [
                DailyUsage(f"{code}-units", day, draw(st.decimals(0, 9_000, places=2)))
                for day in days
                if any(sub.plan_code == code and sub.covers(day) for sub in subscribed)
            ]
    discount = st.builds(
        _discount,
        st.sampled_from("abcd"),
        st.dates(month.start - timedelta(days=700), month.last_day),
        st.sampled_from([None, *sorted(codes)]),
        st.decimals("0.5", "100", places=1),
        st.booleans(),
        st.just(currency),
    )
    discounts = draw(st.lists(discount, max_size=3, unique_by=lambda it: (it.name, it.valid_from)))
    return Contract(currency, tuple(subscribed), tuple(discounts)), used, prices, month


def _discount(
    name: str, begins: date, code: str | None, figure: D, is_amount: bool, currency: str
) -> Discount:
    if is_amount:
        return Discount(name, begins, plan_code=code, amount=figure, currency=currency)
    return Discount(name, begins, plan_code=code, percent=figure)


@settings(max_examples=150)
@given(months())
def test_both_formulas_come_to_the_same_to_the_cent(
    case: tuple[Contract, list[DailyUsage], list[PlanPrice], BillingPeriod],
) -> None:
    contract, used, prices, month = case
    again = second(contract, used, prices, month)
    assert without_zeros(again.amounts) == without_zeros(first(contract, used, prices, month))
    units: dict[str, D] = defaultdict(D)
    for entry in used:
        units[entry.metric] += entry.quantity
    counted = {
        metric: again.free.get(metric, D(0)) + again.priced.get(metric, D(0)) for metric in units
    }
    assert without_zeros(counted) == without_zeros(units)


PLANS = [usage_plan(), flat_plan()]
KNOWN = Contract("USD", (subscription(), subscription("premium-support")))


def test_the_known_answer_comes_out_again() -> None:
    again = second(KNOWN, [usage(247_891)], PLANS, FEBRUARY)
    assert again.amounts == {"api-calls": D("163.95"), "premium-support": D("99.00")}
    assert (again.free, again.priced) == (
        {"api_calls": D(10_000)},
        {"api_calls": D(237_891)},
    )


@pytest.mark.parametrize(
    ("wrong", "billed"),
    [
        (lambda lines: lines[:-1], D("90.00")),
        (lambda lines: [replace(line, amount=line.amount / 2) for line in lines], D("81.975")),
    ],
    ids=["a tier is dropped", "half the price"],
)
def test_a_wrong_formula_comes_to_something_else(
    monkeypatch: pytest.MonkeyPatch, wrong: object, billed: D
) -> None:
    right = charges.rate_charge
    monkeypatch.setattr(
        "domain.rating.rate_charge",
        lambda *given: wrong(right(*given)),  # type: ignore[operator]
    )
    contract = Contract("USD", (subscription(),))
    assert first(contract, [usage(247_891)], PLANS, FEBRUARY) == {"api-calls": billed}
    again = second(contract, [usage(247_891)], PLANS, FEBRUARY)
    assert again.amounts == {"api-calls": D("163.95")}
