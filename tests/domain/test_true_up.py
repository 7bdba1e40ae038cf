"""Whatever comes late, in however many steps: a month costs what it would have cost in one go."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.invoice import draft_of
from domain.periods import BillingPeriod
from domain.plans import PriceBook
from domain.prepaid import PrepaidGrant
from domain.rating import Contract, DailyUsage, LineKind, RatedLine, Subscription, rate_customer
from domain.tax import TaxRule, TaxTreatment
from domain.true_up import (
    About,
    Bill,
    BilledLine,
    CreditableLine,
    Credited,
    Difference,
    DrawnCredit,
    LateMonth,
    Settlement,
    Terms,
    counted_before,
    differences,
    falls_short,
    give_back,
    invoice_of_its_own,
    late_month,
    settle,
    settle_with,
    with_late_months,
)
from tests.builders import FEBRUARY, flat_plan, price_book, subscription, usage_plan

JANUARY = BillingPeriod(2026, 1)
PRICES: PriceBook = price_book(usage_plan(code="bulk", name="Bulk calls"), flat_plan("seat", "7"))
VAT = TaxTreatment(TaxRule.DOMESTIC, Decimal(19), "VAT")
TERMS = Terms("USD", VAT, "DE", "")
HUNDRED = Decimal(100)
NAMES = {"api-calls": "API calls", "premium-support": "Premium support"}


@dataclass(frozen=True)
class Step:
    """What is known in one cycle: the contract, and the units of each day of February."""

    contract: Contract
    units: dict[int, int]

    def rated(self) -> list[RatedLine]:
        used = [
            DailyUsage("api_calls", date(2026, 2, day), Decimal(units))
            for day, units in self.units.items()
        ]
        return rate_customer(self.contract, used, PRICES, FEBRUARY)


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    """Usage by one plan, or by two with a change in mid-month, and flat plans of any days."""
    change = draw(st.none() | st.integers(2, 28))
    metered = [subscription()]
    if change is not None:
        day = date(2026, 2, change)
        metered = [subscription(ends_on=day), subscription("bulk", starts_on=day)]
    flat = draw(
        st.lists(
            st.builds(
                Subscription,
                st.sampled_from(["premium-support", "dedicated-ip", "seat"]),
                st.integers(1, 9).map(Decimal),
                st.integers(1, 28).map(lambda day: date(2026, 2, day)),
                st.none() | st.just(date(2026, 3, 1)),
            ),
            max_size=3,
            unique_by=lambda subscribed: subscribed.plan_code,
        )
    )
    return Contract("USD", (*metered, *flat))


STEPS = st.lists(
    st.builds(Step, contracts(), st.dictionaries(st.integers(1, 28), st.integers(0, 90_000))),
    min_size=1,
    max_size=5,
)
"""Any states in any order: usage that comes, falls or goes, contracts that change."""
REGULAR = st.none() | st.integers(0, 300).map(lambda net: (TERMS, Decimal(net)))


def as_billed(lines: Iterable[RatedLine], metered: Iterable[str] = ("api-calls", "bulk")):  # type: ignore[no-untyped-def]
    """As a later cycle reads them: a late line says by its plan what it is about."""
    usage = set(metered)
    return [
        BilledLine(
            About.USAGE if line.plan_code in usage else About.CONTRACT,
            line.plan_code,
            line.quantity,
            line.amount,
        )
        for line in lines
    ]


def late(found: list[Difference]) -> LateMonth:
    return late_month(FEBRUARY, TERMS, found, NAMES, usage_changed=True)


def by_plan(lines: Iterable[BilledLine]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        sums[line.plan_code] += line.amount
    return {code: amount for code, amount in sums.items() if amount}


def a_month(*amounts: str, period: BillingPeriod = JANUARY, terms: Terms = TERMS) -> LateMonth:
    lines = [
        RatedLine(LineKind.LATE, "", Decimal(1), None, Decimal(amount), f"plan-{place}", 1)
        for place, amount in enumerate(amounts)
    ]
    return LateMonth(period, terms, tuple(lines))


@given(STEPS, st.data())
def test_any_number_of_steps_bills_what_one_would_have(
    steps: list[Step], data: st.DataObject
) -> None:
    billed = as_billed(steps[0].rated())
    for step in steps[1:]:
        month = late(differences(billed, step.rated()))
        settled = settle([month], data.draw(REGULAR))
        (where,) = settled.on_regular + settled.on_its_own + settled.given_back
        billed += as_billed(where.lines)
    assert by_plan(billed) == by_plan(as_billed(steps[-1].rated()))
    assert differences(billed, steps[-1].rated()) == []


@given(st.lists(st.tuples(st.integers(1, 28), st.integers(1, 60_000)), max_size=12), st.data())
def test_events_in_any_batches_cost_the_same(
    events: list[tuple[int, int]], data: st.DataObject
) -> None:
    contract = Contract(
        "USD",
        (
            subscription(ends_on=date(2026, 2, 10)),
            subscription("bulk", starts_on=date(2026, 2, 10)),
        ),
    )
    cycle_of = [data.draw(st.integers(0, 3)) for _ in events]
    billed: list[BilledLine] = []
    units: dict[int, int] = defaultdict(int)
    for cycle in range(4):
        for (day, quantity), arrives in zip(events, cycle_of, strict=True):
            if arrives == cycle:
                units[day] += quantity
        found = differences(billed, Step(contract, units).rated())
        billed += as_billed(late(found).lines)
    whole: dict[int, int] = defaultdict(int)
    for day, quantity in events:
        whole[day] += quantity
    assert by_plan(billed) == by_plan(as_billed(Step(contract, whole).rated()))


def rated(units: int, *more: Subscription) -> list[RatedLine]:
    return Step(Contract("USD", (subscription(), *more)), {10: units}).rated()


def found(before: list[RatedLine], now: list[RatedLine]) -> list[tuple[str, str, str, str]]:
    return [
        (entry.about.value, entry.plan_code, f"{entry.quantity:f}", f"{entry.amount:f}")
        for entry in differences(as_billed(before), now)
    ]


def test_late_usage_costs_the_tiers_that_it_reaches() -> None:
    assert found(rated(95_000), rated(120_000)) == [("usage", "api-calls", "25000", "15.00")]


def test_a_correction_gives_back_the_upper_tiers() -> None:
    assert found(rated(120_000), rated(95_000)) == [("usage", "api-calls", "-25000", "-15.00")]


def test_usage_that_stays_in_the_free_tier_makes_no_difference() -> None:
    assert found(rated(2_000), rated(9_000)) == []


def test_usage_that_is_all_cancelled_gives_all_back() -> None:
    assert found(rated(20_000), []) == [("usage", "api-calls", "-20000", "-10.00")]


def test_a_contract_that_changed_in_the_past_differs_by_its_plan() -> None:
    half = subscription("premium-support", ends_on=date(2026, 2, 15))
    support = subscription("premium-support")
    address = subscription("dedicated-ip")
    assert found(rated(20_000, support), rated(30_000, half, address)) == [
        ("usage", "api-calls", "10000", "10.00"),
        ("contract", "dedicated-ip", "0", "49.00"),
        ("contract", "premium-support", "0", "-49.50"),
    ]


@pytest.mark.parametrize(
    ("entry", "usage_changed", "description", "quantity"),
    [
        ((About.USAGE, "api-calls", 5), True, "Usage for 2026-01, arrived late: API calls", 5),
        ((About.USAGE, "api-calls", -5), True, "Usage for 2026-01, corrected: API calls", -5),
        ((About.USAGE, "api-calls", 5), False, "Change of contract for 2026-01: API calls", 5),
        (
            (About.CONTRACT, "premium-support", 0),
            True,
            "Change of contract for 2026-01: Premium support",
            1,
        ),
        ((About.CONTRACT, "", 0), True, "Discounts for 2026-01, counted anew", 1),
    ],
)
def test_a_late_line_says_what_it_is_for(
    entry: tuple[About, str, int], usage_changed: bool, description: str, quantity: int
) -> None:
    about, code, units = entry
    difference = Difference(about, code, 3, Decimal(units), Decimal("1.50"))
    month = late_month(JANUARY, TERMS, [difference], NAMES, usage_changed=usage_changed)
    (line,) = month.lines
    assert (line.description, line.quantity) == (description, Decimal(quantity))
    assert (line.kind, line.amount, line.unit_price) == (LineKind.LATE, Decimal("1.50"), None)


# --- where it goes


@pytest.mark.parametrize(
    ("month", "regular", "where"),
    [
        (a_month("5"), (TERMS, Decimal(0)), "on_regular"),
        (a_month("-5"), (TERMS, Decimal(5)), "on_regular"),
        (a_month("-5.01"), (TERMS, Decimal(5)), "given_back"),
        (a_month("5", "-5"), (TERMS, Decimal(0)), "on_regular"),
        (a_month("5"), None, "on_its_own"),
        (a_month("-5"), None, "given_back"),
        (a_month("5", "-5"), None, "given_back"),
        (a_month("5"), (replace(TERMS, currency="EUR"), Decimal(9)), "on_its_own"),
        (a_month("5"), (replace(TERMS, country="FR"), Decimal(9)), "on_its_own"),
        (a_month("-5"), (replace(TERMS, currency="EUR"), Decimal(9)), "given_back"),
    ],
)
def test_a_difference_goes_where_it_belongs(
    month: LateMonth, regular: tuple[Terms, Decimal] | None, where: str
) -> None:
    assert settle([month], regular) == Settlement(**{where: (month,)})


def test_what_asks_for_money_makes_room_for_what_gives_it_back() -> None:
    january, february = a_month("-8"), a_month("5", period=FEBRUARY)
    assert settle([january, february], (TERMS, Decimal(3))) == Settlement((january, february))
    assert settle([january, february], (TERMS, Decimal(2))) == Settlement(
        (february,), given_back=(january,)
    )


@given(
    st.lists(st.lists(st.integers(-900, 900).map(str), min_size=1, max_size=3), max_size=5),
    st.integers(0, 900),
)
def test_no_invoice_comes_to_less_than_nothing(months: list[list[str]], subtotal: int) -> None:
    months_late = [
        a_month(*amounts, period=BillingPeriod(2025, place))
        for place, amounts in enumerate(months, start=1)
    ]
    settled = settle(months_late, (TERMS, Decimal(subtotal)))
    everywhere = settled.on_regular + settled.on_its_own + settled.given_back
    assert sorted(everywhere, key=lambda month: month.period) == months_late
    assert subtotal + sum(month.net for month in settled.on_regular) >= 0
    assert all(month.net > 0 for month in settled.on_its_own)
    assert all(month.net <= 0 for month in settled.given_back)


def test_late_lines_are_taxed_with_the_invoice() -> None:
    regular = draft_of(rated(20_000), "USD", VAT, FEBRUARY)
    invoice = with_late_months(regular, [a_month("5.00")], FEBRUARY)
    assert [line.amount for line in invoice.lines][-1] == Decimal("5.00")
    assert (invoice.subtotal, invoice.tax) == (Decimal("15.00"), Decimal("2.85"))


def test_prepaid_credit_pays_for_late_usage_too() -> None:
    gift = PrepaidGrant(1, "USD", Decimal(40), Decimal(0), date(2026, 1, 1), None, Decimal(40))
    regular = draft_of(rated(20_000), "USD", VAT, FEBRUARY, grants=[gift])
    support = Difference(About.CONTRACT, "premium-support", 1, Decimal(0), Decimal(99))
    usage = Difference(About.USAGE, "api-calls", 1, Decimal(5_000), Decimal(5))
    january = late_month(JANUARY, TERMS, [usage, support], NAMES, usage_changed=True)
    invoice = with_late_months(regular, [january], FEBRUARY, [gift])
    assert [f"{line.amount:f}" for line in invoice.lines[1:]] == ["10.00", "5", "99", "-15.00"]
    own = invoice_of_its_own(january, [gift])
    assert [f"{draw.amount:f}" for draw in own.draws] == ["5"]
    assert own.subtotal == Decimal(99)


# --- what an invoice can give back

LINES = (
    CreditableLine(1, "api-calls", Decimal(0)),
    CreditableLine(2, "api-calls", Decimal(90)),
    CreditableLine(3, "api-calls", Decimal(20)),
    CreditableLine(4, "support", Decimal(99)),
    CreditableLine(5, "support", Decimal(-49)),
    CreditableLine(6, "api-calls", Decimal(7), of_month=False),
)


@pytest.mark.parametrize(
    ("wanted", "at_most", "by_plan", "by_line"),
    [
        ({"api-calls": 15}, 15, {"api-calls": 15}, {3: 15}),
        ({"api-calls": 50}, 50, {"api-calls": 50}, {3: 20, 2: 30}),
        ({"api-calls": 200}, 200, {"api-calls": 110}, {2: 90, 3: 20}),
        ({"support": 20}, 20, {"support": 20}, {4: 20}),
        ({"support": 60}, 60, {"support": 50}, {4: 99, 5: -49}),
        ({"api-calls": 50, "support": 50}, 60, {"api-calls": 50, "support": 10}, None),
        ({"gone": 5}, 5, {}, {}),
    ],
)
def test_an_invoice_gives_back_what_its_lines_have_left(
    wanted: dict[str, int], at_most: int, by_plan: dict[str, int], by_line: dict[int, int] | None
) -> None:
    given_back = give_back(
        LINES, {code: Decimal(amount) for code, amount in wanted.items()}, Decimal(at_most)
    )
    assert given_back.by_plan == by_plan
    if by_line is not None:
        assert given_back.by_line == by_line
    assert given_back.net == sum(by_plan.values())


def test_what_empties_an_invoice_takes_each_of_its_lines() -> None:
    lines = (
        CreditableLine(1, "api-calls", Decimal(30)),
        CreditableLine(2, "support", Decimal(36)),
        CreditableLine(3, "support", Decimal(-36)),
    )
    all_of_it = give_back(lines, {"api-calls": Decimal(30)}, Decimal(30))
    assert all_of_it.by_line == {1: 30, 2: 36, 3: -36}


def test_more_than_is_left_of_an_invoice_is_not_given_back() -> None:
    lines = (CreditableLine(1, "a", Decimal(30)), CreditableLine(2, "", Decimal(-20)))
    assert give_back(lines, {"a": Decimal(25)}, Decimal(25)).net == 10
    spent = (CreditableLine(1, "a", Decimal(30)), CreditableLine(2, "", Decimal(-30)))
    assert give_back(spent, {"a": Decimal(25)}, Decimal(25)).by_line == {}


def a_bill(net: int, drawn: Sequence[int]) -> Bill:
    """One of `net` for usage before prepaid credit paid what it drew of each grant."""
    lines = [CreditableLine(1, "api-calls", Decimal(net))]
    lines += [
        CreditableLine(place, "", Decimal(-amount)) for place, amount in enumerate(drawn, start=2)
    ]
    return Bill(lines, [DrawnCredit(id, Decimal(amount)) for id, amount in enumerate(drawn)])


def a_correction(*amounts: tuple[str, int]) -> LateMonth:
    """Of usage of `api-calls`, and of what else is no usage."""
    lines = [
        RatedLine(LineKind.LATE, "", Decimal(1), None, Decimal(amount), code, 1)
        for code, amount in amounts
    ]
    return LateMonth(JANUARY, TERMS, tuple(lines), frozenset({"api-calls"}))


def test_money_comes_back_first_and_then_the_credit_that_was_drawn_last() -> None:
    (given_back,) = settle_with([a_bill(120, [60, 40])], a_correction(("api-calls", -70)))
    assert given_back.by_plan == {"api-calls": 20}
    assert given_back.by_line == {1: 120, 2: -60, 3: -40}
    assert given_back.returned == {"api-calls": 50}
    assert given_back.by_grant == {1: 40, 0: 10}


def test_prepaid_credit_pays_for_usage_and_for_nothing_else() -> None:
    (given_back,) = settle_with([a_bill(100, [100])], a_correction(("support", -30)))
    assert (given_back.by_grant, given_back.by_line) == ({}, {})
    assert given_back.by_plan == {"support": 30}


def test_what_a_month_owes_for_other_plans_is_kept_from_the_credit_as_well() -> None:
    month = a_correction(("api-calls", -50), ("support", 20))
    (given_back,) = settle_with([a_bill(100, [100])], month)
    assert given_back.returned == {"api-calls": 30}
    assert given_back.by_plan == {"api-calls": 20, "support": -20}


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.lists(st.integers(1, 80), max_size=3)),
        min_size=1,
        max_size=3,
    ),
    st.integers(-400, -1),
    st.integers(-50, 50),
)
def test_a_correction_is_settled_to_the_cent_and_nothing_gives_more_than_it_has(
    bills: list[tuple[int, list[int]]], usage: int, support: int
) -> None:
    month = a_correction(("api-calls", usage), ("support", min(support, -usage)))
    made = [a_bill(net + sum(drawn), drawn) for net, drawn in bills]
    given_back = settle_with(made, month)
    settled: dict[str, Decimal] = defaultdict(Decimal)
    for part, bill in zip(given_back, made, strict=True):
        for code, amount in (*part.by_plan.items(), *part.returned.items()):
            settled[code] -= amount
        assert 0 <= part.net <= sum(line.left for line in bill.lines)
        assert sum(part.returned.values()) == sum(part.by_grant.values())
        drawn = {credit.grant_id: credit.amount for credit in bill.drawn}
        assert all(0 < part.by_grant[id] <= drawn[id] for id in part.by_grant)
        assert part.returned.keys() <= {"api-calls"}
    expected = {line.plan_code: line.amount for line in month.lines if line.amount}
    assert {code: amount for code, amount in settled.items() if amount} == expected
    in_all = sum((part.net + sum(part.by_grant.values()) for part in given_back), Decimal(0))
    assert in_all <= -month.net
    if month.net < 0 and support >= 0:
        left = sum((net + sum(drawn) for net, drawn in bills), 0)
        assert in_all == min(-month.net, left)


def a_year_given_back(regular: tuple[Terms, Decimal] | None) -> Settlement:
    """Of a month of which nothing was billed."""
    month = replace(a_correction(("platform", -900)), below_zero=True)
    assert falls_short([], month)
    return settle([month], regular)


def test_what_no_invoice_of_the_month_has_charged_makes_one_less_than_nothing() -> None:
    (on_regular,) = a_year_given_back((TERMS, Decimal(50))).on_regular
    assert on_regular.net == -900
    (own,) = a_year_given_back(None).on_its_own
    assert invoice_of_its_own(own).total == Decimal("-1071.00")


def test_a_year_given_back_before_is_not_given_back_again() -> None:
    given_back = RatedLine(LineKind.PRORATION, "", Decimal(1), None, Decimal(-900), "platform", 1)
    billed = [BilledLine(About.CONTRACT, "platform", Decimal(0), Decimal(-900))]
    assert differences(billed, [given_back]) == []


def test_late_usage_draws_the_credit_of_its_own_month() -> None:
    lapsed = PrepaidGrant(
        1, "USD", HUNDRED, Decimal(0), date(2026, 1, 1), date(2026, 2, 1), HUNDRED
    )
    present = replace(lapsed, id=2, valid_from=date(2026, 2, 1), expires_on=None)
    month = a_correction(("api-calls", 30))
    regular = draft_of(rated(20_000), "USD", VAT, FEBRUARY, grants=[lapsed, present])
    both = with_late_months(regular, [month], FEBRUARY, [lapsed, present])
    assert [(draw.grant_id, draw.amount) for draw in both.draws] == [(1, 30), (2, 10)]
    assert both.subtotal == 0
    (own,) = invoice_of_its_own(month, [present, lapsed]).draws
    assert (own.grant_id, own.amount) == (1, 30)


def test_an_invoice_below_zero_takes_no_credit_note() -> None:
    lines = [
        CreditableLine(1, "api-calls", Decimal(100)),
        CreditableLine(2, "platform", Decimal(-90)),
    ]
    assert not falls_short([Bill(lines)], a_correction(("api-calls", -10)))
    assert falls_short([Bill(lines)], a_correction(("api-calls", -11)))
    assert not falls_short([a_bill(120, [60, 40])], a_correction(("api-calls", -120)))
    assert falls_short([a_bill(120, [60, 40])], a_correction(("api-calls", -121)))


def test_what_one_month_takes_of_an_invoice_is_not_there_for_another() -> None:
    bill = a_bill(100, [60])
    (first,) = settle_with([bill], a_correction(("api-calls", -50)))
    assert (first.net, sum(first.by_grant.values())) == (40, 10)
    assert not falls_short([bill.less(first)], a_correction(("api-calls", -50)))
    assert falls_short([bill.less(first)], a_correction(("api-calls", -51)))


def a_difference(amount: int, code: str = "api-calls", about: About = About.USAGE) -> Difference:
    return Difference(about, code, 1, Decimal(amount * 10), Decimal(amount))


@pytest.mark.parametrize(
    ("found", "by_plan", "of_usage", "left", "counted"),
    [
        ([-10], {"api-calls": 7}, 7, [-3], [-7]),
        ([-10], {"api-calls": 12}, 12, [], [-10]),
        ([-10], {"support": 12}, 0, [-10], []),
        ([10], {"api-calls": 7}, 7, [10], []),
        # a note on all of an invoice that prepaid credit had paid but for 15
        ([-95], {"api-calls": 115}, 15, [-80], [-15]),
    ],
)
def test_what_people_credited_before_counts_once(
    found: list[int],
    by_plan: dict[str, int],
    of_usage: int,
    left: list[int],
    counted: list[int],
) -> None:
    credited = Credited(
        {code: Decimal(amount) for code, amount in by_plan.items()}, Decimal(of_usage)
    )
    both = counted_before([a_difference(amount) for amount in found], credited)
    assert [[entry.amount for entry in part] for part in both] == [left, counted]
    assert sum(entry.quantity for part in both for entry in part) == sum(found) * 10
