"""Which months are billed by themselves, in which order, from which day on."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NoFirstMonth
from domain.monthly_billing import MonthlyRule
from domain.periods import BillingPeriod

FEBRUARY = BillingPeriod(2026, 2)
PERIODS = st.builds(BillingPeriod, st.integers(2001, 2100), st.integers(1, 12))
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "Asia/Beirut"]
)
RULES = st.builds(MonthlyRule, st.integers(1, 28), st.times())


def missed(rule: MonthlyRule, last: str | None, today: str) -> list[str]:
    behind = BillingPeriod.parse(last) if last else None
    return [str(period) for period in rule.missed(behind, date.fromisoformat(today))]


@pytest.mark.parametrize(
    ("day", "last", "today", "due"),
    [
        (1, "2026-01", "2026-02-28", []),
        (1, "2026-01", "2026-03-01", ["2026-02"]),
        (1, "2026-02", "2026-03-31", []),
        (3, "2026-01", "2026-03-02", []),
        (3, "2026-01", "2026-03-03", ["2026-02"]),
        (28, "2025-12", "2026-02-28", ["2026-01"]),
        (1, "2024-01", "2024-03-01", ["2024-02"]),
        (1, "2025-11", "2026-02-15", ["2025-12", "2026-01"]),
        (5, "2025-11", "2026-03-01", ["2025-12", "2026-01"]),
    ],
)
def test_a_month_is_due_from_its_day_of_the_next_one_on(
    day: int, last: str, today: str, due: list[str]
) -> None:
    assert missed(MonthlyRule(day), last, today) == due


def test_no_month_is_billed_before_the_first_one_that_is_wanted() -> None:
    rule = MonthlyRule(starts=FEBRUARY)
    assert missed(rule, None, "2026-04-01") == ["2026-02", "2026-03"]
    assert missed(rule, "2025-06", "2026-04-01") == ["2026-02", "2026-03"]
    assert missed(rule, "2026-02", "2026-04-01") == ["2026-03"]


def test_how_far_back_a_seller_bills_is_not_guessed() -> None:
    with pytest.raises(NoFirstMonth, match="BILLWRIGHT_BILLING_STARTS"):
        MonthlyRule().missed(None, date(2026, 3, 1))


@given(RULES, PERIODS, st.integers(0, 1_500))
def test_after_any_outage_every_month_is_due_once_and_in_order(
    rule: MonthlyRule, last: BillingPeriod, days: int
) -> None:
    today = last.end + timedelta(days=days)
    due = rule.missed(last, today)
    assert list(due) == _following(last, len(due))
    assert all(rule.due_on(period) <= today for period in due)
    assert rule.due_on(due[-1].next() if due else last.next()) > today


@given(RULES, PERIODS, ZONES)
def test_a_month_that_is_due_is_over_in_the_sellers_zone(
    rule: MonthlyRule, period: BillingPeriod, zone: str
) -> None:
    first_instant = datetime.combine(rule.due_on(period), time(), ZoneInfo(zone))
    period.require_over(first_instant.astimezone(UTC), zone)


@given(RULES, PERIODS, ZONES, st.integers(-40 * 86_400, 400 * 86_400))
def test_the_next_look_finds_the_month_due(
    rule: MonthlyRule, period: BillingPeriod, zone: str, seconds: int
) -> None:
    due = datetime.combine(rule.due_on(period), time(), ZoneInfo(zone)).astimezone(UTC)
    now = due + timedelta(seconds=seconds)
    look = rule.next_look(period, now, zone)
    assert look >= now
    assert look.astimezone(ZoneInfo(zone)).date() >= rule.due_on(period)
    assert look - max(now, due) <= timedelta(days=1, hours=2)  # a day of 25 hours, or a gap


@pytest.mark.parametrize(
    ("now", "look"),
    [
        ("2026-02-20T12:00:00Z", "2026-03-01T05:00:00Z"),
        ("2026-03-01T05:00:00Z", "2026-03-01T05:00:00Z"),
        ("2026-03-01T05:00:01Z", "2026-03-02T05:00:00Z"),
        ("2026-03-28T23:30:00Z", "2026-03-29T04:00:00Z"),  # the clocks go forward that night
        ("2026-10-24T22:30:00Z", "2026-10-25T05:00:00Z"),  # and back
    ],
)
def test_it_is_looked_by_the_sellers_clock(now: str, look: str) -> None:
    found = MonthlyRule().next_look(FEBRUARY, datetime.fromisoformat(now), "Europe/Berlin")
    assert found == datetime.fromisoformat(look)


def _following(last: BillingPeriod, count: int) -> list[BillingPeriod]:
    periods = []
    for _ in range(count):
        last = last.next()
        periods.append(last)
    return periods
