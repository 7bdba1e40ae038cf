"""Months in the seller's time zone, and business dates in real and in demonstration time."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue, PeriodNotOver
from domain.periods import BillingPeriod, BusinessCalendar, overlap

FEBRUARY = BillingPeriod(2026, 2)
MARCH = BillingPeriod(2026, 3)
PERIODS = st.builds(BillingPeriod, st.integers(2001, 2199), st.integers(1, 12))
DAYS = st.dates(date(2001, 1, 1), date(2199, 12, 31))
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"]
)


def test_a_period_prints_as_it_is_written() -> None:
    assert str(BillingPeriod.parse("2026-02")) == "2026-02"


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-2", "2026-13", "2026-00", "02-2026", "2026-02-01", " 2026-02"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="YYYY-MM"):
        BillingPeriod.parse(text)


def test_only_western_digits_make_a_month() -> None:
    with pytest.raises(InvalidValue):
        BillingPeriod.parse("\u0662\u0660\u0662\u0666-\u0660\u0662")


@pytest.mark.parametrize("year", [1999, 2201, 0])
def test_a_year_far_off_is_refused(year: int) -> None:
    with pytest.raises(InvalidValue):
        BillingPeriod(year, 1)


@pytest.mark.parametrize(
    ("period", "days"), [("2026-02", 28), ("2024-02", 29), ("2026-04", 30), ("2026-12", 31)]
)
def test_a_period_has_the_days_of_its_month(period: str, days: int) -> None:
    assert BillingPeriod.parse(period).days == days


@given(PERIODS)
def test_next_and_previous_undo_each_other(period: BillingPeriod) -> None:
    assert period.next().previous() == period
    assert period.previous().next() == period


@given(PERIODS)
def test_each_period_begins_where_the_one_before_ends(period: BillingPeriod) -> None:
    assert period.end == period.next().start
    assert period.last_day + timedelta(days=1) == period.end
    assert period < period.next()


@given(DAYS)
def test_every_day_lies_in_its_period(day: date) -> None:
    period = BillingPeriod.of(day)
    assert period.start <= day < period.end
    assert BillingPeriod.parse(str(period)) == period


@pytest.mark.parametrize(
    ("period", "zone", "start", "end"),
    [
        ("2026-02", "UTC", "2026-02-01T00:00+00:00", "2026-03-01T00:00+00:00"),
        ("2026-02", "Europe/Berlin", "2026-01-31T23:00+00:00", "2026-02-28T23:00+00:00"),
        ("2026-03", "Europe/Berlin", "2026-02-28T23:00+00:00", "2026-03-31T22:00+00:00"),
        ("2026-10", "Europe/Berlin", "2026-09-30T22:00+00:00", "2026-10-31T23:00+00:00"),
        ("2026-03", "America/New_York", "2026-03-01T05:00+00:00", "2026-04-01T04:00+00:00"),
        ("2026-11", "America/New_York", "2026-11-01T04:00+00:00", "2026-12-01T05:00+00:00"),
    ],
)
def test_bounds_are_the_zones_midnights(period: str, zone: str, start: str, end: str) -> None:
    bounds = BillingPeriod.parse(period).bounds(zone)
    assert bounds == (datetime.fromisoformat(start), datetime.fromisoformat(end))


@given(PERIODS, ZONES)
def test_periods_of_one_zone_leave_no_gap(period: BillingPeriod, zone: str) -> None:
    assert period.bounds(zone)[1] == period.next().bounds(zone)[0]


@pytest.mark.parametrize(
    ("starts_on", "ends_on", "days"),
    [
        (date(2025, 1, 1), None, 28),
        (date(2026, 2, 1), date(2026, 3, 1), 28),
        (date(2026, 2, 15), None, 14),
        (date(2025, 1, 1), date(2026, 2, 11), 10),
        (date(2026, 2, 10), date(2026, 2, 11), 1),
        (date(2026, 2, 28), None, 1),
        (date(2026, 3, 1), None, 0),
        (date(2025, 1, 1), date(2026, 2, 1), 0),
    ],
)
def test_days_covered_count_the_first_and_not_the_last(
    starts_on: date, ends_on: date | None, days: int
) -> None:
    assert FEBRUARY.days_covered(starts_on, ends_on) == days


@given(DAYS, DAYS, PERIODS)
def test_days_covered_are_the_days_that_lie_inside(
    one: date, other: date, period: BillingPeriod
) -> None:
    first, after = min(one, other), max(one, other)
    month = (period.start + timedelta(days=n) for n in range(period.days))
    assert period.days_covered(first, after) == sum(first <= day < after for day in month)


def test_a_period_is_over_at_the_instant_of_its_end() -> None:
    end = datetime(2026, 2, 28, 23, tzinfo=UTC)
    FEBRUARY.require_over(end, "Europe/Berlin")
    with pytest.raises(PeriodNotOver, match="2026-02-28 in Europe/Berlin"):
        FEBRUARY.require_over(end - timedelta(microseconds=1), "Europe/Berlin")


def test_a_period_is_over_in_berlin_before_it_is_in_new_york() -> None:
    midnight_in_berlin = datetime(2026, 3, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    FEBRUARY.require_over(midnight_in_berlin, "Europe/Berlin")
    with pytest.raises(PeriodNotOver):
        FEBRUARY.require_over(midnight_in_berlin, "America/New_York")


# --- business dates

STARTED = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
ISSUED = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("zone", "due", "instant"),
    [
        ("UTC", date(2026, 3, 4), "2026-03-04T09:00+00:00"),
        # the clocks go forward on 29 March 2026 in Berlin, on 8 March in New York
        ("Europe/Berlin", date(2026, 3, 28), "2026-03-28T08:00+00:00"),
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-29T07:00+00:00"),
        ("Europe/Berlin", date(2026, 10, 25), "2026-10-25T08:00+00:00"),
        ("America/New_York", date(2026, 3, 7), "2026-03-07T14:00+00:00"),
        ("America/New_York", date(2026, 3, 8), "2026-03-08T13:00+00:00"),
    ],
)
def test_a_real_step_fires_at_nine_in_the_sellers_zone(zone: str, due: date, instant: str) -> None:
    fires = BusinessCalendar(zone).fires_at(due, counted_from=ISSUED, started_at=STARTED)
    assert fires == datetime.fromisoformat(instant)


def test_a_demonstrations_days_count_from_the_event_that_started_the_steps() -> None:
    calendar = BusinessCalendar("Europe/Berlin", day_seconds=2)
    fires = calendar.fires_at(date(2026, 3, 8), counted_from=ISSUED, started_at=STARTED)
    assert fires == STARTED + timedelta(seconds=14)


def test_a_demonstrations_day_lasts_until_the_next_begins() -> None:
    calendar = BusinessCalendar(day_seconds=2)
    shortly_before = STARTED + timedelta(seconds=4) - timedelta(microseconds=1)
    day = calendar.business_date(shortly_before, counted_from=ISSUED, started_at=STARTED)
    assert day == date(2026, 3, 2)


def test_a_real_business_day_is_the_date_in_the_sellers_zone() -> None:
    late_in_utc = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)
    dates = [
        BusinessCalendar(zone).business_date(late_in_utc, counted_from=ISSUED, started_at=STARTED)
        for zone in ("UTC", "Europe/Berlin", "America/New_York")
    ]
    assert dates == [date(2026, 3, 31), date(2026, 4, 1), date(2026, 3, 31)]


@given(
    ZONES,
    st.none() | st.integers(1, 86_400),
    DAYS,
    st.integers(0, 3_000),
    st.integers(0, 10**12).map(lambda us: STARTED + timedelta(microseconds=us)),
)
def test_a_step_fires_on_the_business_date_it_is_due(
    zone: str, day_seconds: int | None, first: date, days: int, started_at: datetime
) -> None:
    calendar = BusinessCalendar(zone, day_seconds)
    due = first + timedelta(days=days)
    fires = calendar.fires_at(due, counted_from=first, started_at=started_at)
    assert calendar.business_date(fires, counted_from=first, started_at=started_at) == due


@pytest.mark.parametrize(
    ("one", "other", "do"),
    [
        ((1, 5), (5, 9), False),
        ((1, 6), (5, 9), True),
        ((1, None), (5, 9), True),
        ((9, None), (5, 9), False),
        ((5, 9), (1, None), True),
        ((1, None), (2, None), True),
        ((3, 4), (1, 9), True),
    ],
)
def test_days_overlap_where_they_share_one(
    one: tuple[int, int | None], other: tuple[int, int | None], do: bool
) -> None:
    def days(span: tuple[int, int | None]) -> tuple[date, date | None]:
        return date(2026, 3, span[0]), None if span[1] is None else date(2026, 3, span[1])

    assert overlap(days(one), days(other)) is do
    assert overlap(days(other), days(one)) is do
