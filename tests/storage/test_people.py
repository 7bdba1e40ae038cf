"""People: who may log in, with which password, as what, and for how long."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Connection, Engine, func, select, text, update

from domain.errors import BillwrightError, Conflict, InvalidValue, NotFound
from storage import people as module
from storage.access import Caller, Role
from storage.audit import AuditFilter, list_entries
from storage.engine import transaction
from storage.people import (
    IDLE,
    LARGEST_PASSWORD,
    LONGEST,
    Change,
    Person,
    add_person,
    change_password,
    change_role,
    check_password,
    disable_person,
    end_session,
    find_session,
    list_people,
    open_session,
)
from storage.tables import people, sessions
from tests.builders import ISSUED_ON, NOW

EMAIL = "ada@billwright.example"
PASSWORD = "a sentence of some length"
BY_TEST = Change("test", ISSUED_ON)
SECOND = timedelta(seconds=1)


@pytest.fixture
def connection(module_engine: Engine) -> Iterator[Connection]:
    """A transaction, rolled back after the test."""
    with module_engine.connect() as opened:
        yield opened


def ada(connection: Connection, role: Role = Role.FINANCE, password: str = PASSWORD) -> Person:
    return add_person(connection, "Ada@Billwright.example", "Ada Lovelace", role, password, BY_TEST)


def history(connection: Connection) -> list[tuple[Any, ...]]:
    entries = list_entries(connection, AuditFilter(subject_kind="person"), limit=100)
    return [
        (entry.subject, entry.event, entry.from_state, entry.to_state, entry.actor)
        for entry in entries
    ]


# --- who is there


def test_a_person_logs_in_with_the_password_that_was_set(connection: Connection) -> None:
    person = ada(connection)
    assert check_password(connection, EMAIL, PASSWORD) == person
    assert person.as_caller() == Caller("Ada Lovelace", Role.FINANCE, "ada@billwright.example")
    assert person.as_caller().name == "Ada Lovelace <ada@billwright.example>"


def test_capital_letters_of_an_address_make_no_difference(connection: Connection) -> None:
    person = ada(connection)
    assert check_password(connection, " ADA@billwright.EXAMPLE ", PASSWORD) == person
    with pytest.raises(Conflict, match="is there already"):
        add_person(connection, "ADA@BILLWRIGHT.EXAMPLE", "Ada", Role.VIEWER, PASSWORD, BY_TEST)


def test_the_database_keeps_addresses_in_small_letters(connection: Connection) -> None:
    ada(connection)
    with pytest.raises(Exception, match="people_email_check"):
        connection.execute(update(people).values(email="Ada@billwright.example"))


def test_of_a_password_only_an_argon2_hash_is_kept(connection: Connection) -> None:
    ada(connection)
    kept = connection.execute(select(func.row_to_json(people.table_valued()))).scalar_one()
    assert kept["password_hash"].startswith("$argon2id$")
    assert PASSWORD not in str(kept)


@pytest.mark.parametrize(
    "wrong", ["", "a sentence of some lengt", "A sentence of some length", "x" * 16_000, "\x00"]
)
def test_another_password_opens_nothing(connection: Connection, wrong: str) -> None:
    ada(connection)
    assert check_password(connection, EMAIL, wrong) is None


@pytest.mark.parametrize("nobody", ["", "eve@billwright.example", "ada", "a@b.c\x00", "\ud800@b.c"])
def test_an_address_of_nobody_opens_nothing(connection: Connection, nobody: str) -> None:
    ada(connection)
    assert check_password(connection, nobody, PASSWORD) is None


@pytest.mark.parametrize("role", [Role.ADMIN, Role.FINANCE, Role.VIEWER])
def test_a_person_has_a_role_of_people(connection: Connection, role: Role) -> None:
    ada(connection, role)
    found = check_password(connection, EMAIL, PASSWORD)
    assert found is not None
    assert found.role is role


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"email": "ada"}, "'ada' is not an e-mail address"),
        ({"email": ""}, "give at least one address"),
        ({"email": "a@b.example; c@d.example"}, "give one"),
        ({"email": "a@b.example\x00"}, "control character"),
        ({"name": " "}, "is empty"),
        ({"name": "Ada\nLovelace"}, "control character"),
        ({"name": "Eve <ada@billwright.example>"}, "neither < nor >"),
        ({"name": "A" * 201}, "at most 200 characters"),
        ({"role": Role.INGEST}, "is for programs; choose one of admin, finance, viewer"),
        ({"password": "eleven char"}, "at least 12 characters"),
        ({"password": "x" * (LARGEST_PASSWORD + 1)}, "at most 1,000 bytes"),
        ({"password": "é" * (LARGEST_PASSWORD // 2 + 1)}, "at most 1,000 bytes"),
        ({"password": "half a character \ud800"}, "half a character"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(
    connection: Connection, change: dict[str, Any], remedy: str
) -> None:
    wanted = {"email": EMAIL, "name": "Ada", "role": Role.VIEWER, "password": PASSWORD} | change
    with pytest.raises(InvalidValue, match=remedy):
        add_person(connection, **wanted, change=BY_TEST)
    assert list_people(connection) == []


@pytest.mark.parametrize(
    "password", ["twelve chars", "x" * LARGEST_PASSWORD, "é" * (LARGEST_PASSWORD // 2), "密" * 12]
)
def test_any_password_of_the_right_length_will_do(connection: Connection, password: str) -> None:
    person = ada(connection, password=password)
    assert check_password(connection, EMAIL, password) == person


def test_a_letter_is_the_same_however_the_keyboard_writes_it(connection: Connection) -> None:
    person = ada(connection, password="caf\u00e9 in the morning")
    assert check_password(connection, EMAIL, "cafe\u0301 in the morning") == person


# --- what takes time


def test_an_unknown_address_costs_a_verification_too(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Any:
            verified.append(str(hash))
            return super().verify(hash, password)

    ada(connection)
    monkeypatch.setattr(module, "_hasher", Watched())
    for email in ("eve@billwright.example", "no address", EMAIL):
        assert check_password(connection, email, "a wrong password") is None
    assert len(verified) == 3
    assert len({hash.rpartition("p=4")[0] for hash in verified}) == 1, "the same parameters"


def test_what_stands_for_nobody_has_the_parameters_of_today() -> None:
    assert not PasswordHasher().check_needs_rehash(module._NOBODYS)


def test_a_hash_of_older_parameters_is_renewed_by_the_next_login(connection: Connection) -> None:
    person = ada(connection)
    weak = PasswordHasher(time_cost=1, memory_cost=32).hash(PASSWORD)
    connection.execute(update(people).values(password_hash=weak))
    assert check_password(connection, EMAIL, "a wrong password") is None
    assert connection.execute(select(people.c.password_hash)).scalar_one() == weak
    assert check_password(connection, EMAIL, PASSWORD) == person
    renewed = connection.execute(select(people.c.password_hash)).scalar_one()
    assert not PasswordHasher().check_needs_rehash(renewed)
    assert check_password(connection, EMAIL, PASSWORD) == person
    assert connection.execute(select(people.c.password_hash)).scalar_one() == renewed


# --- changes


def test_every_change_is_in_the_audit_log_with_who_made_it(connection: Connection) -> None:
    ada(connection, Role.VIEWER)
    change_role(connection, EMAIL, Role.FINANCE, Change("Grace", ISSUED_ON))
    change_role(connection, EMAIL, Role.FINANCE, Change("nothing to change", ISSUED_ON))
    change_password(connection, EMAIL, "another long sentence", Change("Ada", ISSUED_ON))
    disable_person(connection, EMAIL, Change("Grace", ISSUED_ON))
    assert history(connection) == [
        (EMAIL, "added", None, "viewer", "test"),
        (EMAIL, "role_changed", "viewer", "finance", "Grace"),
        (EMAIL, "password_changed", None, None, "Ada"),
        (EMAIL, "disabled", None, None, "Grace"),
    ]
    entries = list_entries(connection, AuditFilter(subject_kind="person"), limit=9)
    assert all(secret not in str(entries) for secret in ("argon2", PASSWORD, "another long"))


def test_a_change_that_does_not_come_to_pass_leaves_no_entry(engine: Engine) -> None:
    def add_and_fail() -> None:
        with transaction(engine) as connection:
            ada(connection)
            raise LookupError

    with pytest.raises(LookupError):
        add_and_fail()
    with transaction(engine) as connection:
        assert (history(connection), list_people(connection)) == ([], [])


def test_a_new_password_ends_the_old_one_and_every_session(connection: Connection) -> None:
    person = ada(connection)
    tokens = [open_session(connection, person, now=NOW) for _ in range(2)]
    change_password(connection, EMAIL, "another long sentence", BY_TEST)
    assert [find_session(connection, token, now=NOW) for token in tokens] == [None, None]
    assert check_password(connection, EMAIL, PASSWORD) is None
    assert check_password(connection, EMAIL, "another long sentence") == person


def test_a_new_role_counts_for_the_sessions_that_are_open(connection: Connection) -> None:
    token = open_session(connection, ada(connection, Role.FINANCE), now=NOW)
    change_role(connection, EMAIL, Role.VIEWER, BY_TEST)
    found = find_session(connection, token, now=NOW)
    assert found is not None
    assert found.role is Role.VIEWER
    with pytest.raises(InvalidValue, match="for programs"):
        change_role(connection, EMAIL, Role.INGEST, BY_TEST)


def test_who_is_disabled_neither_logs_in_nor_stays_in(connection: Connection) -> None:
    person = ada(connection)
    token = open_session(connection, person, now=NOW)
    disable_person(connection, EMAIL, BY_TEST)
    assert find_session(connection, token, now=NOW) is None
    assert check_password(connection, EMAIL, PASSWORD) is None
    assert connection.execute(select(func.count()).select_from(sessions)).scalar_one() == 0


def test_no_session_of_somebody_disabled_counts_however_it_got_there(
    connection: Connection,
) -> None:
    token = open_session(connection, ada(connection), now=NOW)
    connection.execute(update(people).values(disabled_at=NOW))
    assert find_session(connection, token, now=NOW) is None


def test_who_comes_back_is_added_anew(connection: Connection) -> None:
    before = ada(connection, Role.ADMIN)
    disable_person(connection, EMAIL, BY_TEST)
    after = ada(connection, Role.VIEWER, "another long sentence")
    assert [(p.id, p.role, p.disabled) for p in list_people(connection)] == [
        (before.id, Role.ADMIN, True),
        (after.id, Role.VIEWER, False),
    ]
    assert check_password(connection, EMAIL, PASSWORD) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda connection: change_password(connection, EMAIL, PASSWORD, BY_TEST),
        lambda connection: change_role(connection, EMAIL, Role.VIEWER, BY_TEST),
        lambda connection: disable_person(connection, EMAIL, BY_TEST),
    ],
    ids=["password", "role", "disable"],
)
def test_nobody_is_changed_who_is_not_there_or_is_disabled(
    connection: Connection, change: Callable[[Connection], None]
) -> None:
    with pytest.raises(NotFound, match=EMAIL):
        change(connection)
    ada(connection)
    disable_person(connection, EMAIL, BY_TEST)
    with pytest.raises(BillwrightError, match="Nobody logs in with"):
        change(connection)


# --- sessions


def test_a_session_tells_whose_it_is_until_it_is_ended(connection: Connection) -> None:
    person = ada(connection)
    mine, other = (open_session(connection, person, now=NOW) for _ in range(2))
    assert find_session(connection, mine, now=NOW) == person
    end_session(connection, mine)
    assert find_session(connection, mine, now=NOW) is None
    assert find_session(connection, other, now=NOW) == person
    end_session(connection, mine)  # there is none left: nothing happens


@pytest.mark.parametrize("token", ["", "x", "\x00", "é"])
def test_a_token_that_was_never_given_is_nobodys(connection: Connection, token: str) -> None:
    open_session(connection, ada(connection), now=NOW)
    assert find_session(connection, token, now=NOW) is None


def test_the_tokens_themselves_are_not_kept(connection: Connection) -> None:
    token = open_session(connection, ada(connection), now=NOW)
    kept = connection.execute(text("SELECT row_to_json(s) FROM sessions s")).scalar_one()
    assert token not in str(kept)
    assert find_session(connection, kept["token_hash"], now=NOW) is None


def test_a_session_that_nobody_uses_is_over_after_eight_hours(connection: Connection) -> None:
    person = ada(connection)
    token = open_session(connection, person, now=NOW)
    assert find_session(connection, token, now=NOW + IDLE) is None
    last = NOW + IDLE - SECOND
    assert find_session(connection, token, now=last) == person
    assert find_session(connection, token, now=last + IDLE - SECOND) == person
    assert find_session(connection, token, now=last + 3 * IDLE) is None


def test_a_session_is_over_after_seven_days_however_much_it_is_used(
    connection: Connection,
) -> None:
    person = ada(connection)
    token = open_session(connection, person, now=NOW)
    used = [NOW + hours * timedelta(hours=1) for hours in range(7 * 24)]
    assert {find_session(connection, token, now=now) for now in used} == {person}
    assert find_session(connection, token, now=NOW + LONGEST - SECOND) == person
    assert find_session(connection, token, now=NOW + LONGEST) is None


def test_looking_again_at_once_writes_nothing(connection: Connection) -> None:
    token = open_session(connection, ada(connection), now=NOW)

    def seen() -> Any:
        return connection.execute(select(sessions.c.last_seen_at)).scalar_one()

    find_session(connection, token, now=NOW + 59 * SECOND)
    assert seen() == NOW
    find_session(connection, token, now=NOW + 60 * SECOND)
    assert seen() == NOW + 60 * SECOND


def test_a_login_sweeps_away_what_is_over_and_no_more_than_a_hundred(
    connection: Connection,
) -> None:
    person = ada(connection)
    live = open_session(connection, person, now=NOW + 2 * LONGEST - IDLE + SECOND)
    connection.execute(
        text(
            "INSERT INTO sessions SELECT 'old ' || n, :person, :at, :at, :at "
            "FROM generate_series(1, 150) n"
        ),
        {"person": person.id, "at": NOW},
    )
    counted = select(func.count()).select_from(sessions)
    open_session(connection, person, now=NOW + 2 * LONGEST)
    assert connection.execute(counted).scalar_one() == 2 + 50
    open_session(connection, person, now=NOW + 2 * LONGEST)
    assert connection.execute(counted).scalar_one() == 3
    assert find_session(connection, live, now=NOW + 2 * LONGEST) == person


def test_a_login_under_way_does_not_outlive_a_change_of_the_password(engine: Engine) -> None:
    """The change waits for the login and then ends its session."""
    with transaction(engine) as connection:
        ada(connection)
    with engine.connect() as login, engine.connect() as change:
        person = check_password(login, EMAIL, PASSWORD)
        assert person is not None
        change.execute(text("SET lock_timeout = '50ms'"))
        with pytest.raises(Exception, match="lock timeout"):
            change_password(change, EMAIL, "another long sentence", BY_TEST)
        change.rollback()
        token = open_session(login, person, now=NOW)
        login.commit()
        change_password(change, EMAIL, "another long sentence", BY_TEST)
        change.commit()
    with transaction(engine) as connection:
        assert find_session(connection, token, now=NOW) is None
