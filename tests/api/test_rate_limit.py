"""A bucket for each who asks: full at first, filled again by time."""

import threading

import pytest

from api.rate_limit import RateLimit, TooManyRequests


class Clock:
    """A clock that stands until it is moved; seconds."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def take(limit: RateLimit, *key: str, times: int = 1) -> int:
    """How many of `times` requests are let through."""
    allowed = 0
    for _ in range(times):
        try:
            limit.take(*key)
            allowed += 1
        except TooManyRequests:
            pass
    return allowed


def test_a_burst_is_let_through_and_no_more(clock: Clock) -> None:
    assert take(RateLimit(5, 10, clock=clock), "a", times=8) == 5


def test_the_refusal_says_when_to_come_back(clock: Clock) -> None:
    limit = RateLimit(1, 10, clock=clock)
    limit.take("a")
    clock.now += 2.5
    with pytest.raises(TooManyRequests, match="8 s") as refused:
        limit.take("a")
    assert refused.value.retry_after == 8
    clock.now += 8
    limit.take("a")


def test_time_fills_the_bucket_up_to_its_burst(clock: Clock) -> None:
    limit = RateLimit(5, 10, clock=clock)
    take(limit, "a", times=5)
    clock.now += 20
    assert take(limit, "a", times=5) == 2
    clock.now += 100_000
    assert take(limit, "a", times=9) == 5


def test_a_refused_request_costs_nothing(clock: Clock) -> None:
    limit = RateLimit(1, 10, clock=clock)
    assert take(limit, "a", times=100) == 1
    clock.now += 10
    assert take(limit, "a") == 1


def test_each_key_has_its_own(clock: Clock) -> None:
    limit = RateLimit(2, 10, clock=clock)
    assert take(limit, "a", "x", times=3) == 2
    assert take(limit, "a", "y", times=3) == 2
    assert take(limit, "b", "x", times=3) == 2


def test_only_so_many_are_remembered_and_the_latest_are(clock: Clock) -> None:
    limit = RateLimit(1, 10, clock=clock, keys=3)
    for key in "abcd":
        limit.take(key)
    assert [take(limit, key) for key in "dcb"] == [0, 0, 0]
    assert take(limit, "a") == 1


def test_threads_share_one_bucket() -> None:
    limit, counts = RateLimit(100, 3_600), []
    threads = [
        threading.Thread(target=lambda: counts.append(take(limit, "a", times=50))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 100
