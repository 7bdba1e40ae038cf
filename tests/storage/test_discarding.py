"""A plan thrown away before its issue begins, and never behind it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, func, select, text

from domain.errors import Conflict, NotFound
from storage.cycles import find_cycle, load_cycle, move_cycle, open_cycle, take_up_cycle
from storage.discarding import discard_plan, plan_to_discard
from storage.documents import store_document
from storage.engine import transaction
from storage.planning import Cycle
from storage.posting import issue_invoice
from storage.tables import billing_cycle_items, billing_cycles, invoice_line_items, invoices
from tests.builders import (
    ACTOR,
    FEBRUARY,
    FRENCH,
    KNOWN_ANSWER,
    Subscriber,
    page_of_plan,
    plan_all,
    subscribers,
)
from tests.storage.behind import behind

OpenCycle = Callable[..., Cycle]

PERSON = "Greta Finance"


def discard(engine: Engine, cycle: Cycle) -> int:
    with transaction(engine) as connection:
        return discard_plan(connection, FEBRUARY, cycle.id, actor=PERSON)


def planned(engine: Engine, cycle: Cycle) -> Cycle:
    plan_all(engine, cycle)
    with transaction(engine) as connection:
        move_cycle(connection, FEBRUARY, "planned", actor=ACTOR)
    return cycle


def begin_issue(connection: Connection) -> None:
    move_cycle(connection, FEBRUARY, "issuing", actor=ACTOR)


def open_anew(engine: Engine) -> Cycle:
    with transaction(engine) as connection:
        return open_cycle(
            connection,
            FEBRUARY,
            issued_on=date(2026, 3, 9),
            terms_days=14,
            hold_reminders=True,
            pause_before_issue=True,
            actor=ACTOR,
        )


def invoices_of(engine: Engine) -> list[tuple[Any, ...]]:
    """What the drafts say, but for their dates."""
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT i.number, i.total, i.customer, i.tax_lines, "
                "array_agg((l.description, l.quantity, l.amount)::text ORDER BY l.position) "
                "FROM invoices i JOIN invoice_line_items l ON l.invoice_id = i.id "
                "GROUP BY i.id ORDER BY i.number"
            )
        )
        return [tuple(row) for row in found]


def told(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT event, actor, from_state, to_state, details -> 'drafts' FROM audit_log "
                "WHERE subject_kind = 'cycle' ORDER BY id"
            )
        )
        return [tuple(row) for row in found]


def counted(engine: Engine) -> dict[str, int]:
    tables = (billing_cycles, billing_cycle_items, invoices, invoice_line_items)
    with engine.connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables
        }


def test_a_discarded_plan_leaves_nothing_but_its_entries(
    engine: Engine, february: OpenCycle
) -> None:
    cycle = planned(
        engine, february(Subscriber("1001"), FRENCH, Subscriber("1003", calls=0), KNOWN_ANSWER)
    )
    assert discard(engine, cycle) == 2
    assert set(counted(engine).values()) == {0}
    assert told(engine) == [
        ("opened", ACTOR, None, "planning", None),
        ("planned", ACTOR, "planning", "planned", None),
        ("discarded", PERSON, "planned", None, 2),
    ]
    with transaction(engine) as connection:
        assert find_cycle(connection, FEBRUARY) is None


def test_a_plan_can_be_discarded_while_it_is_made(engine: Engine, february: OpenCycle) -> None:
    cycle = february(*subscribers(3))
    page_of_plan(engine, cycle, limit=2)
    assert discard(engine, cycle) == 2
    assert set(counted(engine).values()) == {0}


def test_the_same_data_give_the_same_invoices_again(engine: Engine, february: OpenCycle) -> None:
    cycle = planned(engine, february(*subscribers(2), KNOWN_ANSWER))
    before = invoices_of(engine)
    discard(engine, cycle)
    plan_all(engine, open_anew(engine))
    assert invoices_of(engine) == before
    assert [invoice[0] for invoice in before] == [f"INV-2026-02-000{n}" for n in (1, 2, 3)]
    with engine.connect() as connection:
        days = connection.execute(text("SELECT DISTINCT issued_on, due_on FROM invoices")).one()
    assert tuple(days) == (date(2026, 3, 9), date(2026, 3, 23))


def test_a_discard_that_comes_twice_answers_the_same(engine: Engine, february: OpenCycle) -> None:
    cycle = planned(engine, february(*subscribers(2)))
    assert [discard(engine, cycle) for _ in range(2)] == [2, 2]
    assert [entry[0] for entry in told(engine)].count("discarded") == 1


def test_a_discard_that_comes_late_leaves_the_next_plan_alone(
    engine: Engine, february: OpenCycle
) -> None:
    cycle = planned(engine, february(*subscribers(2)))
    discard(engine, cycle)
    plan_all(engine, open_anew(engine))
    with pytest.raises(Conflict, match="2026-02 was started anew"):
        discard(engine, cycle)
    assert counted(engine)["invoices"] == 2


def test_what_was_never_there_is_not_found(engine: Engine, february: OpenCycle) -> None:
    cycle = planned(engine, february(KNOWN_ANSWER))
    discard(engine, cycle)
    with transaction(engine) as connection:
        with pytest.raises(NotFound, match="start it first"):
            discard_plan(connection, FEBRUARY, cycle.id + 1, actor=PERSON)
        with pytest.raises(NotFound, match="start it first"):
            plan_to_discard(connection, FEBRUARY)
        with pytest.raises(NotFound, match="start it first"):
            take_up_cycle(connection, FEBRUARY, actor=PERSON)


def issue_first(connection: Connection) -> None:
    pdf = store_document(connection, b"pdf")
    issue_invoice(connection, "INV-2026-02-0001", pdf, actor=ACTOR)


def issue_all(connection: Connection) -> None:
    issue_first(connection)
    pdf = store_document(connection, b"pdf")
    issue_invoice(connection, "INV-2026-02-0002", pdf, actor=ACTOR)


def close_and_take_up(connection: Connection) -> None:
    issue_all(connection)
    move_cycle(connection, FEBRUARY, "closed", actor=ACTOR)
    take_up_cycle(connection, FEBRUARY, actor=ACTOR)


def plan_again(connection: Connection) -> None:
    """As a cycle that broke down while it issued, and was started again."""
    move_cycle(connection, FEBRUARY, "planned", actor=ACTOR)


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (lambda connection: None, "The issue of 2026-02 has begun"),
        (plan_again, "The issue of 2026-02 has begun"),
        (issue_first, "1 invoice of 2026-02 is issued; credit or void"),
        (issue_all, "2 invoices of 2026-02 are issued; credit or void"),
        (close_and_take_up, "2 invoices of 2026-02 are issued; credit or void"),
    ],
)
def test_once_the_issue_has_begun_nothing_is_discarded(
    engine: Engine, february: OpenCycle, then: Callable[[Connection], None], reason: str
) -> None:
    cycle = planned(engine, february(*subscribers(2)))
    with transaction(engine) as connection:
        begin_issue(connection)
        then(connection)
    before = counted(engine)
    with transaction(engine) as connection, pytest.raises(Conflict, match=reason):
        plan_to_discard(connection, FEBRUARY)
    with pytest.raises(Conflict, match=reason):
        discard(engine, cycle)
    assert counted(engine) == before


def test_a_discard_behind_the_beginning_of_the_issue_is_refused(
    engine: Engine, february: OpenCycle
) -> None:
    cycle = planned(engine, february(KNOWN_ANSWER))
    refused = behind(engine, begin_issue, lambda engine: discard(engine, cycle)).exception()
    assert isinstance(refused, Conflict)
    assert counted(engine)["invoices"] == 1


def test_an_issue_behind_a_discard_finds_nothing_to_begin(
    engine: Engine, february: OpenCycle
) -> None:
    cycle = planned(engine, february(KNOWN_ANSWER))

    def begin(engine: Engine) -> None:
        with transaction(engine) as connection:
            begin_issue(connection)

    def throw_away(connection: Connection) -> None:
        discard_plan(connection, FEBRUARY, cycle.id, actor=PERSON)

    assert isinstance(behind(engine, throw_away, begin).exception(), NotFound)
    assert set(counted(engine).values()) == {0}


def test_a_page_behind_a_discard_writes_nothing(engine: Engine, february: OpenCycle) -> None:
    cycle = february(*subscribers(2))

    def rate(engine: Engine) -> None:
        with transaction(engine) as connection:
            load_cycle(connection, FEBRUARY, for_update=True)

    def throw_away(connection: Connection) -> None:
        discard_plan(connection, FEBRUARY, cycle.id, actor=PERSON)

    assert isinstance(behind(engine, throw_away, rate).exception(), NotFound)


def test_of_many_discards_and_one_issue_either_all_or_none_is_done(
    engine: Engine, february: OpenCycle
) -> None:
    cycle = planned(engine, february(*subscribers(2)))

    def begin() -> int:
        with transaction(engine) as connection:
            begin_issue(connection)
        return 0

    with ThreadPoolExecutor(5) as threads:
        discards: list[Future[int]] = [threads.submit(discard, engine, cycle) for _ in range(2)]
        issue = threads.submit(begin)
        discards += [threads.submit(discard, engine, cycle) for _ in range(2)]
    if isinstance(issue.exception(), NotFound):
        assert [future.result() for future in discards] == [2] * 4
        assert set(counted(engine).values()) == {0}
    else:
        assert [type(future.exception()) for future in discards] == [Conflict] * 4
        assert counted(engine)["invoices"] == 2
