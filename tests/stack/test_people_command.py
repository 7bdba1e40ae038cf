"""`billwright people`: who may log in, from the command line."""

from collections.abc import Iterator

import pytest
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from cli import app
from domain.errors import Conflict, InvalidValue, NotFound
from settings import settings
from storage.access import Role
from storage.audit import AuditFilter, list_entries
from storage.engine import transaction
from storage.people import Person, check_password, find_session, list_people, open_session
from tests.builders import NOW

EMAIL = "ada@billwright.example"
PASSWORD = "a sentence of some length"
ANOTHER = "another long sentence"


class Shell:
    """Runs the command on the test's own database."""

    def run(self, *words: str, typed: str = "") -> Result:
        return CliRunner().invoke(app, words, input=typed)

    def add(self, *more: str) -> Result:
        words = ("people", "add", EMAIL, "--name", "Ada Lovelace", *more)
        return self.run(*words, "--password-stdin", typed=f"{PASSWORD}\n")


@pytest.fixture
def shell(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")  # which no command of these asks
    settings.cache_clear()
    yield Shell()
    settings.cache_clear()


def logged_in(engine: Engine, password: str) -> Person | None:
    with transaction(engine) as connection:
        return check_password(connection, EMAIL, password)


def test_a_password_is_asked_for_twice_and_not_shown(shell: Shell, engine: Engine) -> None:
    words = ("people", "add", EMAIL, "--name", "Ada Lovelace", "--role", "finance")
    done = shell.run(*words, typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert done.exit_code == 0
    assert f"{EMAIL} may log in as finance" in done.output
    assert PASSWORD not in done.output
    person = logged_in(engine, PASSWORD)
    assert person is not None
    assert (person.name, person.role) == ("Ada Lovelace", Role.FINANCE)


def test_a_password_that_was_typed_differently_is_asked_for_again(
    shell: Shell, engine: Engine
) -> None:
    typed = f"{PASSWORD}\n{ANOTHER}\n{ANOTHER}\n{ANOTHER}\n"
    assert shell.run("people", "add", EMAIL, "--name", "Ada", typed=typed).exit_code == 0
    assert logged_in(engine, PASSWORD) is None
    assert logged_in(engine, ANOTHER) is not None


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nthe next line"])
def test_a_password_is_the_first_line_of_standard_input(
    shell: Shell, engine: Engine, end: str
) -> None:
    words = ("people", "add", EMAIL, "--name", "Ada", "--password-stdin")
    assert shell.run(*words, typed=f" {PASSWORD} {end}").exit_code == 0
    assert logged_in(engine, PASSWORD) is None
    assert logged_in(engine, f" {PASSWORD} ") is not None


def test_somebody_reads_unless_more_is_said(shell: Shell, engine: Engine) -> None:
    shell.add()
    person = logged_in(engine, PASSWORD)
    assert person is not None
    assert person.role is Role.VIEWER


def test_everybody_is_listed(shell: Shell) -> None:
    shell.add("--role", "admin")
    shell.run("people", "disable", EMAIL)
    shell.add()
    assert shell.run("people", "list").output.splitlines() == [
        f"{EMAIL}  Ada Lovelace  admin  disabled",
        f"{EMAIL}  Ada Lovelace  viewer  valid",
    ]


def test_a_new_password_a_new_role_and_the_end_count_at_once(shell: Shell, engine: Engine) -> None:
    shell.add()
    person = logged_in(engine, PASSWORD)
    assert person is not None
    with transaction(engine) as connection:
        token = open_session(connection, person, now=NOW)
    done = shell.run("people", "password", EMAIL, "--password-stdin", typed=ANOTHER)
    assert done.exit_code == 0
    with transaction(engine) as connection:
        assert find_session(connection, token, now=NOW) is None
    assert shell.run("people", "role", EMAIL, "finance").exit_code == 0
    person = logged_in(engine, ANOTHER)
    assert person is not None
    assert person.role is Role.FINANCE
    assert shell.run("people", "disable", EMAIL).exit_code == 0
    assert logged_in(engine, ANOTHER) is None


def test_the_audit_log_names_the_command_line(shell: Shell, engine: Engine) -> None:
    shell.add()
    shell.run("people", "disable", EMAIL)
    with transaction(engine) as connection:
        entries = list_entries(connection, AuditFilter(subject=EMAIL), limit=9)
    assert [(entry.event, entry.actor) for entry in entries] == [
        ("added", "command line"),
        ("disabled", "command line"),
    ]


def test_what_is_refused_changes_nothing(shell: Shell, engine: Engine) -> None:
    assert isinstance(shell.add("--role", "ingest").exception, InvalidValue)
    words = ("people", "add", EMAIL, "--name", "Ada", "--password-stdin")
    assert isinstance(shell.run(*words, typed="short").exception, InvalidValue)
    for words in (("people", "disable", EMAIL), ("people", "role", EMAIL, "admin")):
        assert isinstance(shell.run(*words).exception, NotFound)
    with transaction(engine) as connection:
        assert list_people(connection) == []
    shell.add()
    assert isinstance(shell.add().exception, Conflict)
    with transaction(engine) as connection:
        assert len(list_people(connection)) == 1


def test_keys_are_made_listed_and_revoked_as_before(shell: Shell) -> None:
    key = shell.run("keys", "create", "robot", "--role", "ingest").output.strip()
    assert key.startswith("bw_")
    assert shell.run("keys", "list").output == "robot  ingest  valid\n"
    assert shell.run("keys", "revoke", "robot").output == "1 revoked\n"
    assert shell.run("keys", "list").output == "robot  ingest  revoked\n"
