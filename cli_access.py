"""The commands of the `billwright` command that say who may call: `keys` and `people`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from sqlalchemy import Connection

from settings import Settings, settings
from stack.session import database, session
from storage.access import Role
from storage.api_keys import create_key, list_keys, revoke_keys
from storage.engine import transaction
from storage.people import (
    Change,
    add_person,
    change_password,
    change_role,
    disable_person,
    list_people,
)

keys = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)
people = typer.Typer(
    help="People who log in: add, list, password, role, disable.", no_args_is_help=True
)
out = Console()

_FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


@keys.command("create")
def create(name: str, role: Annotated[Role, typer.Option()] = Role.VIEWER) -> None:
    """Makes an API key and prints it: the only time that it can be read."""
    with _connection() as (connection, _):
        print(create_key(connection, name, role))


@keys.command("list")
def show_keys() -> None:
    """Lists the API keys by name; the keys themselves are kept as hashes."""
    with _connection() as (connection, _):
        for name, role, valid in list_keys(connection):
            _tell(f"{name}  {role}  {'valid' if valid else 'revoked'}")


@keys.command("revoke")
def revoke(name: str) -> None:
    """Revokes every key of that name."""
    with _connection() as (connection, _):
        _tell(f"{revoke_keys(connection, name)} revoked")


@people.command("add")
def add(
    email: str,
    name: Annotated[str, typer.Option(help="As colleagues and the audit log know them.")],
    role: Annotated[Role, typer.Option(help="admin, finance or viewer.")] = Role.VIEWER,
    password_stdin: _FromStdin = False,
) -> None:
    """Adds somebody who may log in, with the password that is asked for."""
    password = _password(password_stdin)
    with _connection() as (connection, change):
        person = add_person(connection, email, name, role, password, change)
    _tell(f"{person.email} may log in as {person.role}")


@people.command("list")
def show_people() -> None:
    """Lists the people, those disabled among them."""
    with _connection() as (connection, _):
        for person in list_people(connection):
            standing = "disabled" if person.disabled else "valid"
            _tell(f"{person.email}  {person.name}  {person.role}  {standing}")


@people.command("password")
def set_password(email: str, password_stdin: _FromStdin = False) -> None:
    """Gives somebody a new password and ends their sessions."""
    password = _password(password_stdin)
    with _connection() as (connection, change):
        change_password(connection, email, password, change)
    _tell("The password is changed and every session ended")


@people.command("role")
def set_role(email: str, role: Annotated[Role, typer.Argument()]) -> None:
    """Gives somebody another role, from their next request on."""
    with _connection() as (connection, change):
        change_role(connection, email, role, change)
    _tell(f"The role is {role}")


@people.command("disable")
def disable(email: str) -> None:
    """Ends somebody's login and sessions, for good."""
    with _connection() as (connection, change):
        disable_person(connection, email, change)
    _tell("Disabled, and every session ended")


@contextmanager
def _connection() -> Iterator[tuple[Connection, Change]]:
    """A transaction, and how the audit log is to name what changes in it."""
    with (
        session(settings()) as found,
        database(found) as engine,
        transaction(engine) as connection,
    ):
        yield connection, _change(found)


def _change(found: Settings) -> Change:
    now = datetime.now(ZoneInfo(found.seller_time_zone))  # noqa: TID251 - the command's clock
    return Change("command line", now.date())


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password


def _tell(sentence: str) -> None:
    out.print(sentence, markup=False, highlight=False, soft_wrap=True)
