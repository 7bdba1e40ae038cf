"""Batches of usage: each event once for good, whoever sends it, however often, and at once."""

import itertools
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import ProgrammingError

from storage.engine import transaction
from storage.recurring import missing_days, work_out_in_advance
from storage.tables import billing_events, usage_daily, usage_monthly
from storage.usage.batches import so_far
from storage.usage.events import EARLIEST
from storage.usage.intake import Fate, Judged, SentEvent, TakenIn, take_in
from storage.usage.writing import _WRITE, lay_out
from tests.builders import NOW, Subscriber, seed_billing

ON_THE_3RD = datetime(2026, 2, 3, 14, 5, tzinfo=UTC)


def event(
    place: int,
    event_id: str = "",
    *,
    account: str = "1001",
    metric: str = "api_calls",
    at: datetime = ON_THE_3RD,
    quantity: str = "10",
) -> SentEvent:
    return SentEvent(place, event_id or f"e-{place}", account, metric, at, quantity)


def send(engine: Engine, *events: SentEvent, now: datetime = NOW) -> TakenIn:
    return take_in(engine, events, now=now, time_zone="UTC", received_by="meter")


def fates(taken: TakenIn) -> list[tuple[int, Fate]]:
    return [(judged.place, judged.fate) for judged in taken.others]


def units(engine: Engine) -> Decimal:
    """By all three counts, which are the same."""
    with transaction(engine) as connection:
        counted = [
            connection.execute(select(func.coalesce(func.sum(table.c.quantity), 0))).scalar_one()
            for table in (billing_events, usage_daily, usage_monthly)
        ]
    assert len(set(counted)) == 1
    return Decimal(counted[0])


@pytest.fixture
def usage(engine: Engine, tmp_path: Path) -> Engine:
    """A database with two customers, who used nothing yet."""
    seed_billing(engine, tmp_path, [Subscriber("1001", calls=0), Subscriber("1002", calls=0)])
    return engine


def test_events_are_taken_in_and_summed(usage: Engine) -> None:
    taken = send(usage, event(0), event(1, quantity="0.5"), event(2, account="1002"))
    assert (taken.accepted, taken.others) == (3, [])
    assert units(usage) == Decimal("20.5")


def test_a_batch_sent_again_is_all_duplicates(usage: Engine) -> None:
    batch = [event(0), event(1)]
    send(usage, *batch)
    assert fates(send(usage, *batch)) == [(0, Fate.DUPLICATE), (1, Fate.DUPLICATE)]
    assert units(usage) == 20


def test_an_event_that_waits_and_is_sent_again_is_a_duplicate_that_says_so(usage: Engine) -> None:
    send(usage, event(0, "stray", account="9999"), event(1, "known"))
    again = send(usage, event(0, "stray", account="9999"), event(1, "known"))
    reason = "account_number: '9999' is no customer; kept until somebody assigns it"
    assert again.others == [
        Judged(0, "stray", Fate.DUPLICATE, reason),
        Judged(1, "known", Fate.DUPLICATE, ""),
    ]


def test_one_event_twice_in_a_batch_counts_once(usage: Engine) -> None:
    assert fates(send(usage, event(0, "same"), event(1, "same"))) == [(1, Fate.DUPLICATE)]
    assert units(usage) == 10


def test_the_same_instant_in_another_zone_is_the_same_event(usage: Engine) -> None:
    send(usage, event(0))
    there = ON_THE_3RD.astimezone(datetime.fromisoformat("2026-02-03T00:00:00+05:00").tzinfo)
    again = send(usage, event(0, at=there, quantity="10.0"))
    assert fates(again) == [(0, Fate.DUPLICATE)]


def test_an_id_that_names_another_event_is_rejected_and_the_first_stays(usage: Engine) -> None:
    taken = send(usage, event(0, "same"), event(1, "same", quantity="99"))
    assert taken.others == [
        Judged(
            1,
            "same",
            Fate.REJECTED,
            "event_id: names another event at index 0; give it an id of its own",
        )
    ]
    later = send(usage, event(5, "same", account="1002"))
    assert fates(later) == [(5, Fate.REJECTED)]
    assert "other content before" in later.others[0].reason
    assert units(usage) == 10


def test_an_event_that_comes_again_behind_another_under_its_id_is_known(usage: Engine) -> None:
    """With an id of its own, as was the advice, it would count twice."""
    send(usage, event(0, "same"))
    again = send(usage, event(0, "same", quantity="99"), event(1, "same"))
    assert fates(again) == [(0, Fate.REJECTED), (1, Fate.DUPLICATE)]
    assert units(usage) == 10


def test_an_event_of_nobodys_account_is_kept_aside_once(usage: Engine) -> None:
    stray = event(0, account="9999")
    assert fates(send(usage, stray, event(1))) == [(0, Fate.SET_ASIDE)]
    assert fates(send(usage, stray)) == [(0, Fate.DUPLICATE)]
    assert units(usage) == 10
    with transaction(usage) as connection:
        kept = connection.execute(text("SELECT account_number, quantity FROM set_aside_events"))
        assert [tuple(row) for row in kept] == [("9999", 10)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (event(0, metric="tokens"), "counted by no plan"),
        (event(0, at=NOW + timedelta(minutes=6)), "in the future"),
        (event(0, at=datetime(2000, 1, 1, 23, 59, tzinfo=UTC)), "before 2000-01-02"),
    ],
)
def test_what_cannot_be_billed_is_rejected_and_the_rest_taken_in(
    usage: Engine, bad: SentEvent, reason: str
) -> None:
    taken = send(usage, bad, event(1))
    assert fates(taken) == [(0, Fate.REJECTED)]
    assert reason in taken.others[0].reason
    assert units(usage) == 10
    assert fates(send(usage, event(0))) == []  # its id is not taken


def test_a_clock_that_is_a_little_ahead_is_borne_with(usage: Engine) -> None:
    assert send(usage, event(0, at=NOW + timedelta(minutes=4))).accepted == 1


def test_a_month_without_a_partition_gets_one(usage: Engine) -> None:
    long_ago = datetime(2021, 5, 31, 23, 59, tzinfo=UTC)
    assert send(usage, event(0, at=long_ago)).accepted == 1
    assert units(usage) == 10


def test_the_first_instant_is_of_a_month_that_can_be_billed_wherever_the_seller_is(
    usage: Engine,
) -> None:
    """A month before 2000 is none, and one such event refused all that came with it."""
    for zone in ("Pacific/Niue", "Pacific/Kiritimati"):
        first = event(0, zone, at=EARLIEST)
        taken = take_in(usage, [first], now=NOW, time_zone=zone, received_by="meter")
        assert taken.accepted == 1


def test_names_with_a_backslash_are_kept_as_they_are(usage: Engine) -> None:
    send(usage, event(0, account="a\\tb"))
    with transaction(usage) as connection:
        kept = connection.execute(text("SELECT account_number FROM set_aside_events"))
        assert kept.scalar_one() == "a\\tb"


def test_clients_that_send_the_same_at_once_are_counted_once(usage: Engine) -> None:
    batch = [event(place, account=("1001", "1002")[place % 2]) for place in range(300)]
    answers: list[TakenIn] = []
    together = threading.Barrier(4)

    def client(turn: int) -> None:
        mine = batch[::-1] if turn % 2 else batch  # in another order, as other clients would
        together.wait()
        answers.append(send(usage, *mine))

    clients = [threading.Thread(target=client, args=(turn,)) for turn in range(4)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert len(answers) == 4
    assert sum(answer.accepted for answer in answers) == 300
    assert sum(answer.count(Fate.DUPLICATE) for answer in answers) == 900
    assert units(usage) == 3000


def test_each_batch_leaves_its_counts(usage: Engine) -> None:
    send(usage, event(0), event(1, account="9999"), event(2, metric="tokens"), event(3, "e-0"))
    with transaction(usage) as connection:
        batch = connection.execute(
            text(
                "SELECT received_by, first_day, accepted, duplicates, set_aside, rejected "
                "FROM usage_batches ORDER BY id DESC LIMIT 1"
            )
        ).one()
    assert tuple(batch) == ("meter", date(2026, 2, 3), 1, 1, 1, 1)


def test_usage_overtakes_the_days_behind_it_and_no_other(usage: Engine) -> None:
    days = [date(2026, 2, 2), date(2026, 2, 3), date(2026, 2, 20)]
    for day in days:
        with transaction(usage) as connection:
            work_out_in_advance(connection, day)
    with transaction(usage) as connection:
        assert missing_days(connection, days) == []
    send(usage, event(0))
    with transaction(usage) as connection:
        assert missing_days(connection, days) == days[1:]
    for day in days:
        with transaction(usage) as connection:
            work_out_in_advance(connection, day)
    with transaction(usage) as connection:
        assert missing_days(connection, days) == []


_RUNS = itertools.count()


@pytest.fixture(scope="module")
def module_usage(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """As `usage`, for many runs that take ids of their own."""
    seed_billing(module_engine, tmp_path_factory.mktemp("usage"), [Subscriber("1001", calls=0)])
    return module_engine


def test_a_look_at_the_last_batch_that_fails_holds_up_nobody(usage: Engine) -> None:
    with usage.connect() as connection:
        connection.execute(text("SET LOCAL search_path = nowhere"))
        with pytest.raises(ProgrammingError):
            so_far(connection)
        connection.rollback()
        held = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        assert connection.execute(text(held)).scalar_one() == 0


@given(
    batches=st.lists(
        st.lists(
            st.tuples(st.sampled_from("abcdef"), st.integers(1, 3), st.sampled_from(["1001", "x"])),
            max_size=8,
        ),
        max_size=4,
    )
)
def test_however_events_are_repeated_the_first_under_each_id_counts(
    module_usage: Engine, batches: list[list[tuple[str, int, str]]]
) -> None:
    run = next(_RUNS)
    before = units(module_usage)
    first: dict[str, tuple[int, str]] = {}
    for batch in batches:
        sent = [
            event(place, f"{run}-{name}", account=account, quantity=str(quantity))
            for place, (name, quantity, account) in enumerate(batch)
        ]
        taken = send(module_usage, *sent)
        told = dict(fates(taken))
        assert taken.accepted + len(told) == len(batch)
        for place, (name, quantity, account) in enumerate(batch):
            content = quantity, account
            if name not in first:
                first[name] = content
                as_new = Fate.ACCEPTED if account == "1001" else Fate.SET_ASIDE
                assert told.get(place, Fate.ACCEPTED) is as_new
            else:
                again = Fate.DUPLICATE if first[name] == content else Fate.REJECTED
                assert told[place] is again
    counted = sum(quantity for quantity, account in first.values() if account == "1001")
    assert units(module_usage) - before == counted


def test_a_file_of_any_size_is_gone_through_once(usage: Engine) -> None:
    """A million events were held one by one against those that were new."""
    with transaction(usage) as connection:
        lay_out(connection, [])
        connection.execute(
            text(
                "INSERT INTO incoming_usage SELECT n, 'e-' || n, '1001', 'api_calls', "
                "'2026-02-03T00:00Z', 1 FROM generate_series(1, 10000) n"
            )
        )
        connection.execute(text("SET LOCAL work_mem = '64kB'"))  # as a million beside the default
        rows = connection.execute(
            text(f"EXPLAIN {_WRITE.text}"), {"zone": "UTC", "by": "meter"}
        ).scalars()
        plan = "\n".join(rows)
    assert "Anti Join" in plan
    assert "SubPlan" not in plan
