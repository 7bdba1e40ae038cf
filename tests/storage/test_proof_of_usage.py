"""Every unit of a month is somewhere: billed, free, late, set aside, or left out for a reason; and
a wrong formula is caught by the second one.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from domain import charges
from domain.crediting import RefundTo
from domain.lines import RatedLine
from domain.periods import BillingPeriod
from domain.proof import Equation, ProofStatus
from storage.crediting import CreditRequest, credit_invoice
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.instructions import carry_out
from tests.builders import (
    FEBRUARY,
    FRENCH,
    NOW,
    Subscriber,
    subscribers,
    usage_row,
    write_billing_files,
    write_csv,
)
from tests.storage.collecting import ON, lock, rows
from tests.storage.late_months import (
    MARCH,
    begin_issue,
    bill_month,
    change_customer,
    plan_month,
    use,
)
from tests.storage.proved import (
    behind_its_back,
    bill_and_close,
    bill_rich_month,
    named,
    number_of,
    prove,
    shown,
)

BILLED = Equation.USAGE_BILLED


def parts(
    connection: Connection,
    equation: Equation = BILLED,
    month: BillingPeriod = FEBRUARY,
    time_zone: str = "UTC",
) -> dict[str, str]:
    """What the found side of the month's calls is made of, where the month balances."""
    proof = prove(connection, month, time_zone=time_zone)
    assert proof.differences == (), shown(proof.differences)
    (row,) = [row for row in proof.equations if row.equation is equation]
    assert sum(part.amount for part in row.parts) == row.left
    return {part.name: f"{part.amount:f}" for part in row.parts}


@pytest.fixture(scope="module")
def month(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    with fresh_engine() as engine:
        bill_rich_month(engine, tmp_path_factory.mktemp("proved") / "files")
        yield engine


@pytest.fixture
def books(month: Engine) -> Iterator[Connection]:
    with month.connect() as connection:
        yield connection


def test_units_are_billed_free_or_left_out_for_a_reason(books: Connection) -> None:
    assert parts(books) == {
        "billed at a price": "407891",
        "billed and free: inside a free tier": "40500",
        "customer failed: usage without plan": "5000",
    }
    assert parts(books, Equation.UNITS_PRICED) == {"free": "40500", "at a price": "407891"}


def test_what_was_set_aside_waits_or_was_dismissed(books: Connection) -> None:
    books.execute(
        text(
            "INSERT INTO set_aside_events (event_id, account_number, metric, occurred_at, quantity,"
            " received_by, dismissed_at, decided_by, note) VALUES"
            " ('a', '9999', 'api_calls', '2026-02-03', 70, 'ingest', NULL, NULL, ''),"
            " ('b', '9998', 'api_calls', '2026-02-03', 30, 'ingest', now(), 'Ada', 'a test'),"
            " ('c', '9999', 'api_calls', '2026-03-03', 50, 'ingest', NULL, NULL, '')"
        )
    )
    found = parts(books)
    assert found["set aside: nobody has the account"] == "70"
    assert found["set aside and dismissed by a person"] == "30"


@pytest.mark.parametrize(
    ("statement", "name", "units"),
    [
        (
            "UPDATE invoices SET status = 'void', collection_state = 'void', settled_on = issued_on"
            " WHERE number = 'INV-2026-02-0003'",
            "its invoice was taken back",
            "500",
        ),
        (
            "UPDATE billing_cycle_items SET outcome = 'skipped', reason_code = 'already_invoiced'"
            " WHERE account_number = '1005'",
            "billed by an older system",
            "5000",
        ),
        (
            "UPDATE billing_cycle_items SET outcome = 'drafted', reason_code = '', reason = ''"
            " WHERE account_number = '1005'",
            "in a draft that is not issued",
            "5000",
        ),
    ],
)
def test_units_that_are_not_billed_are_told_with_the_reason(
    books: Connection, statement: str, name: str, units: str
) -> None:
    books.execute(text(statement))
    assert parts(books)[name] == units


def import_usage(engine: Engine, directory: Path, *rows: dict[str, str]) -> None:
    directory.mkdir()
    write_csv(directory / "usage.csv", rows)
    import_directory(engine, directory, now=NOW)


def test_what_arrives_behind_the_bill_waits_for_the_next_cycle(
    engine: Engine, tmp_path: Path
) -> None:
    bill_and_close(engine, tmp_path / "files", [Subscriber("1001", 20_000)])
    late = usage_row("late", account_number="1001", quantity="300")
    import_usage(engine, tmp_path / "late", late)
    with engine.connect() as connection:
        assert parts(connection) == {
            "billed at a price": "10000",
            "billed and free: inside a free tier": "10000",
            "arrived since; the next cycle bills it": "300",
        }
        assert parts(connection, Equation.UNITS_PRICED) == {"free": "10000", "at a price": "10000"}
        rows = prove(connection).equations
    assert [row.not_checked for row in rows if row.not_checked] == []


@pytest.mark.parametrize(
    ("zone", "inside", "outside"),
    [
        ("Europe/Berlin", "2026-01-31T23:30:00Z", "2026-02-28T23:30:00Z"),
        ("America/New_York", "2026-03-01T04:30:00Z", "2026-02-01T04:30:00Z"),
    ],
)
def test_the_month_is_that_of_the_sellers_zone(
    engine: Engine, tmp_path: Path, zone: str, inside: str, outside: str
) -> None:
    bill_and_close(engine, tmp_path / "files", [Subscriber("1001", 20_000)])
    late = [
        usage_row("in", account_number="1001", quantity="11", occurred_at=inside),
        usage_row("out", account_number="1001", quantity="13", occurred_at=outside),
    ]
    (tmp_path / "late").mkdir()
    write_csv(tmp_path / "late" / "usage.csv", late)
    import_directory(engine, tmp_path / "late", now=NOW, time_zone=zone)
    with engine.connect() as connection:
        found = parts(connection, time_zone=zone)
    assert found["arrived since; the next cycle bills it"] == "11"


def test_what_was_set_aside_before_the_bill_and_assigned_behind_it_waits_as_well(
    engine: Engine, tmp_path: Path
) -> None:
    bill_and_close(engine, tmp_path / "files", [Subscriber("1001", 20_000)])
    use(engine, "1001", FEBRUARY, 50)
    use(engine, "1001", FEBRUARY, 7)
    with transaction(engine) as connection:
        connection.execute(
            text("UPDATE billing_events SET received_at = '2026-02-11' WHERE quantity = 50")
        )
        connection.execute(
            text(
                "INSERT INTO set_aside_events (event_id, account_number, metric, occurred_at,"
                " quantity, received_at, received_by, assigned_to, assigned_at, decided_by)"
                " SELECT event_id, '9999', metric, occurred_at, quantity, received_at, 'ingest',"
                " customer_id, now(), 'Ada' FROM billing_events WHERE quantity = 50"
            )
        )
    with engine.connect() as connection:
        assert parts(connection)["arrived since; the next cycle bills it"] == "57"
    bill_month(engine, MARCH)
    use(engine, "1001", FEBRUARY, 3)
    with engine.connect() as connection:
        found = parts(connection)
    assert found["billed late, with a later invoice"] == "57"
    assert found["arrived since; the next cycle bills it"] == "3"


def test_a_customer_who_came_behind_the_bill_is_the_next_cycles(
    engine: Engine, tmp_path: Path
) -> None:
    bill_and_close(engine, tmp_path / "files", [Subscriber("1001", 20_000)])
    bill_new = [Subscriber("1001", 20_000), Subscriber("1002", 400)]
    write_billing_files(tmp_path / "new", bill_new)
    import_directory(engine, tmp_path / "new", now=NOW)
    with engine.connect() as connection:
        assert parts(connection, Equation.OUTCOMES) == {
            "invoiced": "1",
            "new since; the next cycle bills them": "1",
        }


def test_the_first_units_of_a_metric_that_arrive_behind_the_bill_wait_as_well(
    engine: Engine, tmp_path: Path
) -> None:
    bill_and_close(engine, tmp_path / "files", [Subscriber("1001", 0, ("premium-support",))])
    use(engine, "1001", FEBRUARY, 50_000)
    with engine.connect() as connection:
        assert parts(connection) == {"arrived since; the next cycle bills it": "50000"}
        assert parts(connection, Equation.RATED_AGAIN) == {"rated a second time": "99.00"}


@pytest.fixture
def two_months(engine: Engine, tmp_path: Path) -> Callable[[int, int], Connection]:
    """February billed with 20,000 calls, of which more or less come late, then March."""
    bill_and_close(engine, tmp_path / "files", [Subscriber("1001", 20_000, ("premium-support",))])

    def bill_march(late: int, march: int) -> Connection:
        use(engine, "1001", FEBRUARY, late)
        if march:
            use(engine, "1001", MARCH, march)
        bill_month(engine, MARCH)
        return engine.connect()

    return bill_march


def test_what_came_late_is_billed_with_the_next_month_and_rated_as_one(
    two_months: Callable[[int, int], Connection],
) -> None:
    with two_months(200_000, 50_000) as connection:
        assert parts(connection) == {
            "billed at a price": "10000",
            "billed and free: inside a free tier": "10000",
            "billed late, with a later invoice": "200000",
        }
        assert parts(connection, Equation.UNITS_PRICED) == {"free": "10000", "at a price": "210000"}
        assert parts(connection, month=MARCH) == {
            "billed at a price": "40000",
            "billed and free: inside a free tier": "10000",
        }


def test_what_was_corrected_behind_its_bill_is_taken_back_in_its_own_month(
    two_months: Callable[[int, int], Connection],
) -> None:
    with two_months(-5_000, 50_000) as connection:
        assert parts(connection) == {
            "billed at a price": "10000",
            "billed and free: inside a free tier": "10000",
            "billed late, with a later invoice": "-5000",
        }
        assert parts(connection, Equation.RATED_AGAIN) == {"rated a second time": "104.00"}


def test_what_arrives_behind_what_was_billed_late_waits_again(
    two_months: Callable[[int, int], Connection], engine: Engine
) -> None:
    with two_months(200_000, 50_000):
        use(engine, "1001", FEBRUARY, 7)
    with engine.connect() as connection:
        found = parts(connection)
    assert found["billed late, with a later invoice"] == "200000"
    assert found["arrived since; the next cycle bills it"] == "7"


def test_late_units_that_a_line_leaves_out_are_named(
    two_months: Callable[[int, int], Connection],
) -> None:
    with two_months(200_000, 50_000) as connection:
        behind_its_back(connection, "DELETE FROM invoice_line_items WHERE kind = 'late'")
        wrong = [row for row in prove(connection).differences]
    (row,) = [row for row in wrong if row.equation is Equation.RATED_AGAIN]
    assert (row.account_number, row.expected, row.found) == ("1001", D("150.00"), D("10.00"))


def test_what_an_invoice_refused_to_give_back_waits_for_the_next_cycle(
    engine: Engine, tmp_path: Path
) -> None:
    bill_and_close(engine, tmp_path / "files", [Subscriber("1001", 20_000)])
    use(engine, "1001", FEBRUARY, -15_000)
    plan_month(engine, MARCH)
    with transaction(engine) as connection:
        number = number_of(connection, "1001")
        credit_invoice(lock(connection, number), CreditRequest("goodwill", RefundTo.CREDIT))
    begin_issue(engine, MARCH)
    with transaction(engine) as connection:
        ((asked,),) = rows(connection, "SELECT id FROM instructions WHERE outcome IS NULL")
        assert carry_out(connection, number, asked, business_date=ON).outcome == "refused"
        found = parts(connection)
        assert found["arrived since; the next cycle bills it"] == "-15000"


WRONGED = [*(Subscriber(str(2001 + n), 666_000) for n in range(11)), Subscriber("2012", 674_000)]
"""Twelve customers far above the last tier's begin: 3,400.00 USD of it."""


def without_the_last_tier(right: Callable[..., list[RatedLine]]) -> Callable[..., list[RatedLine]]:
    def wrong(*given: Any) -> list[RatedLine]:
        return right(*given)[:2]

    return wrong


def test_a_wrong_formula_that_undercharges_twelve_customers_is_caught_at_once(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.rating.rate_charge", without_the_last_tier(charges.rate_charge))
    bill_and_close(engine, tmp_path / "files", [*subscribers(8), *WRONGED])
    monkeypatch.undo()
    with engine.connect() as connection:
        proof = prove(connection)
    assert proof.status is ProofStatus.ALARM
    assert {row.equation for row in proof.differences} == {Equation.RATED_AGAIN}
    assert [(row.account_number, row.difference) for row in proof.differences] == [
        *((str(2001 + n), D("-283.00")) for n in range(11)),
        ("2012", D("-287.00")),
    ]
    (sums,) = [row for row in proof.equations if row.equation is Equation.RATED_AGAIN]
    assert sums.difference == D("-3400.00")


def test_a_formula_that_forgets_a_plan_and_so_skips_its_customer_is_caught(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.rating.rate_month", lambda *given: [])
    bill_and_close(
        engine, tmp_path / "files", [Subscriber("1001", 0, ("premium-support",), plans=())]
    )
    monkeypatch.undo()
    with engine.connect() as connection:
        assert named(prove(connection)) == [
            (Equation.RATED_AGAIN, "1001", "premium-support", D("99.00"), D("0"))
        ]


def test_who_had_nothing_to_bill_in_a_currency_of_before_is_no_alarm(
    engine: Engine, tmp_path: Path
) -> None:
    bill_and_close(engine, tmp_path / "files", [Subscriber("1001"), Subscriber("1002", 0)])
    change_customer(engine, "1002", currency="JPY")
    with engine.connect() as connection:
        proof = prove(connection)
    assert proof.differences == (), shown(proof.differences)


SUBSCRIBERS = st.builds(
    Subscriber,
    calls=st.sampled_from([0, 1, 9_999, 10_000, 10_001, 100_000, 100_001]) | st.integers(0, 10**6),
    flat_plans=st.sets(st.sampled_from(["premium-support", "dedicated-ip"])).map(tuple),
    plans=st.sampled_from([("api-calls",), ()]),
    columns=st.sampled_from([{}, {"tax_exempt": "true"}, FRENCH.columns]),
)


@settings(max_examples=5)
@given(st.lists(SUBSCRIBERS, min_size=1, max_size=8), st.integers(0, 10**5))
def test_any_month_that_was_billed_by_the_rules_balances(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[Subscriber],
    late: int,
) -> None:
    customers = [
        Subscriber(str(1001 + n), one.calls, one.flat_plans, plans=one.plans, columns=one.columns)
        for n, one in enumerate(drawn)
    ]
    folder = tmp_path_factory.mktemp("drawn")
    with fresh_engine() as engine:
        bill_and_close(engine, folder / "files", customers)
        if late:
            row = usage_row("late", account_number="1001", quantity=str(late))
            import_usage(engine, folder / "late", row)
        with transaction(engine) as connection:
            proof = prove(connection)
    assert proof.status is ProofStatus.BALANCED, shown(proof.differences)
