"""What stands out of a plan: examples of each kind, and what holds for any numbers."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.standing_out import (
    CustomerInPlan,
    Finding,
    FindingKind,
    MonthsBill,
    PastMonth,
    PriceChange,
    Thresholds,
    customer_findings,
    ranked,
)
from domain.whole_plan import PlanFinding, PlanFindingKind, WholeMonth, plan_findings

USUAL = Thresholds()
OF_THE_MONTH = frozenset(FindingKind) - {
    FindingKind.TAX_CHANGED,
    FindingKind.PRICE_CHANGED,
    FindingKind.LATE,
}


def bill(net: str | Decimal = "200.00", usage: str | Decimal = "100.00", **changes: Any) -> Any:
    """At Germany's 19 %."""
    amount = Decimal(net)
    tax = (amount * 19 / 100).quantize(Decimal("0.01"))
    usual = MonthsBill("USD", amount, Decimal(usage), amount, tax, "domestic", Decimal(19))
    return replace(usual, **changes)


def customer(now: Any = None, *before: Any, **changes: Any) -> CustomerInPlan:
    """With usage; `before`: the last month first."""
    usual = CustomerInPlan("1047", "USD", now, before, units=Decimal(1))
    return replace(usual, **changes)


def found(customer: CustomerInPlan, thresholds: Thresholds = USUAL) -> list[tuple[Any, ...]]:
    return [
        (finding.kind.value, finding.before, finding.now, finding.difference, finding.percent)
        for finding in customer_findings(customer, thresholds)
    ]


def D(number: str) -> Decimal:
    return Decimal(number)


@pytest.mark.parametrize(
    ("customer", "expected"),
    [
        (customer(bill(), bill()), []),
        (customer(bill("300.00"), bill()), [("jump", D("200"), D("300"), D("100"), D("50.0"))]),
        (customer(bill("299.99"), bill()), []),
        (customer(bill("100.00"), bill()), [("drop", D("200"), D("100"), D("-100"), D("-50.0"))]),
        (customer(bill("89.99", "40"), bill("40.00", "40")), []),  # 49.99 more
        (
            customer(bill("90.00", "40"), bill("40.00", "40")),
            [("jump", D("40"), D("90"), D("50"), D("125.0"))],
        ),
        (customer(bill(), None, None, None), [("new", None, D("200"), D("200"), None)]),
        (
            customer(None, bill(), has_nothing=True, is_subscribed=False),
            [("gone", D("200"), None, D("-200"), D("-100.0"))],
        ),
        (
            customer(None, bill(), has_nothing=True),  # still subscribed
            [("zero_usage", D("100"), D("0"), D("-100"), D("-100.0"))],
        ),
        (
            customer(None, bill("200", "49.99"), has_nothing=True),
            [("gone", D("200"), None, D("-200"), D("-100.0"))],
        ),
        (customer(None, None, bill(), has_nothing=True), []),  # the month before told it
        (customer(None, bill()), []),  # invoiced elsewhere
        (
            customer(bill("100", "0"), bill(), units=D("0")),
            [("zero_usage", D("100"), D("0"), D("-100"), D("-100.0"))],
        ),
        (customer(bill("151", "0"), bill("200", "49.99"), units=D("0")), []),  # it was little
        (
            customer(bill("300", "100"), bill("200", "0"), bill("200", "0")),
            [("first_usage", D("0"), D("100"), D("100"), None)],
        ),
        (
            customer(bill(), bill("90.00", currency="EUR")),
            [("currency_changed", D("90"), D("200"), None, None)],
        ),
        (
            customer(None, bill(), failure="no price"),
            [("failed", D("200"), None, D("-200"), D("-100.0"))],
        ),
        (customer(None, failure="no price"), [("failed", None, None, None, None)]),
    ],
)
def test_a_customers_month_is_held_against_what_is_usual(
    customer: CustomerInPlan, expected: list[tuple[Any, ...]]
) -> None:
    assert found(customer) == expected


def test_where_nobody_was_billed_before_nobody_is_new() -> None:
    assert found(customer(bill())) == []


def test_one_odd_month_neither_stands_out_twice_nor_hides_what_follows() -> None:
    odd = bill("2000.00")
    assert [kind for kind, *_ in found(customer(odd, bill(), bill(), bill()))] == ["jump"]
    assert found(customer(bill(), odd, bill(), bill())) == []
    assert [kind for kind, *_ in found(customer(odd, odd, bill(), bill()))] == ["jump"]


def test_of_two_months_the_later_one_is_usual() -> None:
    assert [before for _, before, *_ in found(customer(bill("900"), bill("300"), bill("100")))] == [
        D("300")
    ]


def test_thresholds_are_the_sellers() -> None:
    sharp = Thresholds(percent=D("10"), amount=D("5"))
    assert [kind for kind, *_ in found(customer(bill("220.00"), bill()), sharp)] == ["jump"]
    assert found(customer(bill("219.99"), bill()), sharp) == []


def test_another_tax_is_shown_as_what_the_former_one_would_be() -> None:
    reverse = bill(tax=D("0.00"), tax_rule="reverse_charge", tax_percent=D("0"))
    (finding,) = customer_findings(customer(reverse, bill()), USUAL)
    assert (finding.kind, finding.before, finding.now) == ("tax_changed", D("38.00"), D("0.00"))
    assert finding.explanation == "domestic 19 %; now reverse charge"


@pytest.mark.parametrize(
    ("tax", "stands_out"), [("38.00", False), ("38.05", False), ("38.06", True), ("0.00", True)]
)
def test_the_tax_of_an_older_system_is_held_against_the_present_rate(
    tax: str, stands_out: bool
) -> None:
    brought_along = bill(tax=D(tax), tax_rule="", tax_percent=None)
    kinds = [finding.kind for finding in customer_findings(customer(bill(), brought_along), USUAL)]
    assert kinds == (["tax_changed"] if stands_out else [])


def test_another_version_of_a_price_is_named_with_what_the_customer_pays() -> None:
    changed = customer(bill("210"), bill(), prices=[PriceChange("api-calls", 1, 2)])
    (finding,) = customer_findings(changed, USUAL)
    assert (finding.kind, finding.before, finding.now) == ("price_changed", D("200"), D("210"))
    assert finding.explanation == "api-calls: version 1, now 2"


def test_each_past_month_is_a_finding_with_its_month() -> None:
    past = [
        PastMonth("2026-01", "USD", D("12.00"), "Usage for 2026-01, arrived late"),
        PastMonth("2025-12", "EUR", D("-3.00"), "an invoice of its own"),
        PastMonth("2025-11", "USD", None, "no price"),
    ]
    findings = customer_findings(customer(bill(), bill(), past_months=past), USUAL)
    assert [(it.kind, it.currency, it.now, it.explanation) for it in findings] == [
        ("late", "USD", D("12.00"), "Usage for 2026-01, arrived late"),
        ("late", "EUR", D("-3.00"), "2025-12: an invoice of its own"),
        ("failed", "USD", None, "2025-11: no price"),
    ]


AMOUNTS = st.decimals("-500", "5000", places=2)
BILLS = st.builds(
    bill,
    AMOUNTS,
    st.decimals("0", "3000", places=2),
    currency=st.sampled_from(["USD", "EUR"]),
)
CUSTOMERS = st.builds(
    lambda now, before, **more: customer(now, *before, **more),
    st.none() | BILLS,
    st.lists(st.none() | BILLS, max_size=3),
    failure=st.sampled_from(["", "no price"]),
    has_nothing=st.booleans(),
    units=st.sampled_from([D("0"), D("7")]),
)


@given(CUSTOMERS)
def test_a_customers_month_is_at_most_one_finding(customer: CustomerInPlan) -> None:
    kinds = [finding.kind for finding in customer_findings(customer, USUAL)]
    assert sum(kind in OF_THE_MONTH for kind in kinds) <= 1
    assert (FindingKind.FAILED in kinds) == bool(customer.failure)


@given(CUSTOMERS)
def test_figures_add_up(customer: CustomerInPlan) -> None:
    for finding in customer_findings(customer, USUAL):
        if finding.difference is not None:
            assert (finding.before or 0) + finding.difference == (finding.now or 0)
        if finding.percent:
            assert finding.difference
            assert (finding.percent > 0) == (finding.difference > 0)
        assert finding.money >= 0


@given(AMOUNTS, AMOUNTS)
def test_lower_thresholds_hide_nothing_that_higher_ones_show(now: Decimal, before: Decimal) -> None:
    one = customer(bill(now), bill(before))
    shown = found(one, Thresholds(D("50"), D("50")))
    assert set(shown) <= set(found(one, Thresholds(D("10"), D("10"))))


@given(AMOUNTS)
def test_what_does_not_change_does_not_stand_out(amount: Decimal) -> None:
    assert found(customer(bill(amount), bill(amount), bill(amount), bill(amount))) == []


def finding(kind: str, account: str, now: str | None, currency: str = "USD") -> Finding:
    return Finding(FindingKind(kind), account, currency, None, D(now) if now else None)


def test_findings_are_ranked_by_money_behind_who_failed() -> None:
    findings = [
        finding("late", "1001", "-30.00"),
        finding("new", "1002", "500", "JPY"),
        finding("failed", "1003", None),
        finding("new", "1004", "40.00"),
        finding("late", "1000", "30.00"),
    ]
    worth = {"USD": D("1"), "JPY": D("0.01")}
    order = [it.account_number for it in ranked(findings, worth.__getitem__)]
    assert order == ["1003", "1004", "1000", "1001", "1002"]


# --- the plan as a whole


def whole(
    customers: int = 100, usage: str = "1000", total: str = "2000", calls: str = "9000"
) -> WholeMonth:
    return WholeMonth(customers, {"USD": D(usage)}, {"USD": D(total)}, {"calls": D(calls)})


def told(findings: list[PlanFinding]) -> list[tuple[str, str, Any]]:
    return [(finding.kind.value, finding.unit, finding.percent) for finding in findings]


def test_usage_of_nothing_for_everybody_stands_at_the_top() -> None:
    assert told(plan_findings(whole(usage="0", total="1000", calls="0"), whole(), USUAL)) == [
        ("no_usage", "units", D("-100.0")),
        ("usage_fell", "calls", D("-100.0")),
        ("usage_fell", "USD", D("-100.0")),
        ("total_fell", "USD", D("-50.0")),
    ]


def test_usage_of_nothing_stands_out_of_the_very_first_plan() -> None:
    nothing = WholeMonth(3, {"USD": D("0")}, {"USD": D("297")})
    assert told(plan_findings(nothing, None, USUAL)) == [("no_usage", "units", None)]
    brought_along = WholeMonth(3, {"USD": D("90")}, {"USD": D("297")})
    assert told(plan_findings(nothing, brought_along, USUAL))[0] == ("no_usage", "units", None)


def test_usage_of_nothing_stands_out_where_it_leaves_nobody_to_bill() -> None:
    assert plan_findings(WholeMonth(), whole(), USUAL)[0].kind is PlanFindingKind.NO_USAGE
    assert plan_findings(WholeMonth(), None, USUAL) == []


def test_who_never_bills_usage_is_not_told_so_each_month() -> None:
    flat = WholeMonth(3, {"USD": D("0")}, {"USD": D("297")})
    assert plan_findings(flat, flat, USUAL) == []


def test_falls_come_before_rises_and_the_greatest_first() -> None:
    now = whole(customers=75, usage="2000", total="400")
    assert told(plan_findings(now, whole(), USUAL)) == [
        ("total_fell", "USD", D("-80.0")),
        ("customers_fell", "customers", D("-25.0")),
        ("usage_rose", "USD", D("100.0")),
    ]


def test_small_changes_of_the_whole_pass() -> None:
    assert plan_findings(whole(81, "1190", "1601", "10799"), whole(), USUAL) == []


def test_a_currency_that_nobody_is_billed_in_any_more_stands_out() -> None:
    before = replace(whole(), totals={"EUR": D("50"), "USD": D("2000")})
    assert told(plan_findings(whole(), before, USUAL)) == [("total_fell", "EUR", D("-100.0"))]


@given(st.integers(1, 1000), st.integers(0, 1000))
def test_customers_stand_out_exactly_from_the_threshold_on(before: int, now: int) -> None:
    kinds = [it.kind for it in plan_findings(whole(now), whole(before), USUAL)]
    changed = abs(now - before) * 5 >= before
    expected = PlanFindingKind.CUSTOMERS_FELL if now < before else PlanFindingKind.CUSTOMERS_ROSE
    assert kinds == ([expected] if changed else [])
