"""People who log in: their passwords kept as argon2 hashes, their sessions as hashes of tokens."""

import secrets
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_unless_there

from domain.errors import Conflict, InvalidValue, NotFound
from storage import audit
from storage.access import Caller, Role, fingerprint
from storage.importing.fields import emails, is_whole_text, required, text
from storage.tables import people, sessions

ROLES = (Role.ADMIN, Role.FINANCE, Role.VIEWER)
"""Those of people: `ingest` is for programs."""
SHORTEST_PASSWORD = 12
"""Characters. Length is what counts; rules of composition do not help (NIST SP 800-63B)."""
LARGEST_PASSWORD = 1_000
"""Bytes: room for any sentence, none for a body that keeps the hasher busy."""
IDLE = timedelta(hours=8)
"""A session that nobody used for a working day is over: its browser may have been left open."""
LONGEST = timedelta(days=7)
"""A session is over then, however much it is used: a token that was copied does not last."""
_SEEN_EVERY = timedelta(minutes=1)  # or each look would write; the idle time is true to it
_SWEPT_AT_ONCE = 100  # a login never waits for what a year has left
_LONGEST_NAME = 200  # characters

_hasher = PasswordHasher()
# Of a password that nobody knows, with the parameters of `_hasher`.
_NOBODYS = (
    "$argon2id$v=19$m=65536,t=3,p=4$wGeWUwcHoKzalitgKpJ6aQ"
    "$ET8YvAHHv9wD/v3A7ufKpH6zXyeZRTzUrnL5XWBAmkg"
)


@dataclass(frozen=True)
class Person:
    """Somebody with a login. `email`: in small letters."""

    id: int
    email: str
    name: str
    role: Role
    disabled: bool = False

    def as_caller(self) -> Caller:
        return Caller(self.name, self.role, self.email)


@dataclass(frozen=True)
class Change:
    """Who changes something about a person, and on which business date."""

    by: str
    business_date: date


@dataclass(frozen=True)
class Login:
    """Where a login was tried: the browser's address, and the business date."""

    client: str
    business_date: date


def add_person(
    connection: Connection, email: str, name: str, role: Role, password: str, change: Change
) -> Person:
    """Somebody who may log in from now on.

    Raises InvalidValue, and Conflict for an address with which somebody logs in already.
    """
    address, shown = canonical_address(email), _name(name)
    hashed = _hasher.hash(_acceptable(password))
    id = connection.execute(
        insert_unless_there(people)
        .values(email=address, name=shown, role=_role(role), password_hash=hashed)
        .on_conflict_do_nothing()
        .returning(people.c.id)
    ).scalar_one_or_none()
    if id is None:
        raise Conflict(f"{address} is there already; change the password or the role instead.")
    _record(connection, address, "added", change, to_state=role, details={"name": shown})
    return Person(id, address, shown, role)


def change_password(connection: Connection, email: str, password: str, change: Change) -> None:
    """Ends every session of the person, also the one in which it was asked.

    Raises NotFound, InvalidValue.
    """
    hashed = _hasher.hash(_acceptable(password))
    person = _locked(connection, email)
    _update(connection, person, password_hash=hashed)
    connection.execute(delete(sessions).where(sessions.c.person_id == person.id))
    _record(connection, person.email, "password_changed", change)


def change_role(connection: Connection, email: str, role: Role, change: Change) -> None:
    """Counts from the next request on. Raises NotFound, InvalidValue."""
    person = _locked(connection, email)
    if person.role == role:
        return
    _update(connection, person, role=_role(role))
    _record(connection, person.email, "role_changed", change, from_state=person.role, to_state=role)


def disable_person(connection: Connection, email: str, change: Change) -> None:
    """Ends the login with its sessions, for good. Raises NotFound."""
    person = _locked(connection, email)
    _update(connection, person, disabled_at=func.now())
    connection.execute(delete(sessions).where(sessions.c.person_id == person.id))
    _record(connection, person.email, "disabled", change)


def list_people(connection: Connection) -> list[Person]:
    """Everybody, those disabled among them, the oldest first."""
    return [_person(row) for row in connection.execute(select(people).order_by(people.c.id))]


def check_password(connection: Connection, email: str, password: str) -> Person | None:
    """Who logs in with that; None for an unknown address, a wrong password, a disabled person.

    One answer takes as long as the other. The person stays locked until the transaction ends: a
    password that is changed meanwhile ends the session that is opened behind this.
    """
    try:
        row = connection.execute(_active(canonical_address(email))).one_or_none()
    except InvalidValue:
        row = None
    try:
        _hasher.verify(_NOBODYS if row is None else row.password_hash, _typed(password))
    except VerificationError:
        return None
    if row is None:
        return None
    person = _person(row)
    if _hasher.check_needs_rehash(row.password_hash):
        _update(connection, person, password_hash=_hasher.hash(_typed(password)))
    return person


def record_login(connection: Connection, person: Person, login: Login) -> None:
    """Notes who came in, in the transaction that opens the session."""
    change = Change(person.as_caller().name, login.business_date)
    _record(connection, person.email, "logged_in", change, details={"client": login.client})


def record_failed_login(connection: Connection, email: str, login: Login) -> None:
    """Notes that nobody came in with an address that somebody has or had.

    One that nobody ever had leaves no entry, so that strangers cannot fill the log.
    """
    try:
        address = canonical_address(email)
    except InvalidValue:
        return
    known = select(people.c.id).where(people.c.email == address).limit(1)
    if connection.execute(known).one_or_none() is not None:
        change = Change(address, login.business_date)
        _record(connection, address, "login_failed", change, details={"client": login.client})


def open_session(connection: Connection, person: Person, *, now: datetime) -> str:
    """A new session's token: the only time that it can be read."""
    table = sessions.c
    over = (
        select(table.token_hash)
        .where(or_(table.expires_at <= now, table.last_seen_at <= now - IDLE))
        .limit(_SWEPT_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    connection.execute(delete(sessions).where(table.token_hash.in_(over)))
    token = secrets.token_urlsafe(32)
    connection.execute(
        insert(sessions).values(
            token_hash=fingerprint(token),
            person_id=person.id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + LONGEST,
        )
    )
    return token


def find_session(connection: Connection, token: str, *, now: datetime) -> Person | None:
    """Whose session it is, which counts as use of it; None for one that is over or never was."""
    table = sessions.c
    row = connection.execute(
        select(people, table.last_seen_at)
        .join(sessions, table.person_id == people.c.id)
        .where(
            table.token_hash == fingerprint(token),
            table.expires_at > now,
            table.last_seen_at > now - IDLE,
            people.c.disabled_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    if row.last_seen_at <= now - _SEEN_EVERY:
        connection.execute(
            update(sessions).where(table.token_hash == fingerprint(token)).values(last_seen_at=now)
        )
    return _person(row)


def end_session(connection: Connection, token: str) -> None:
    """Whether there is one or not."""
    connection.execute(delete(sessions).where(sessions.c.token_hash == fingerprint(token)))


def canonical_address(email: str) -> str:
    """The one form of an address under which a person is kept. Raises InvalidValue."""
    try:
        addresses = emails(text(email))
    except ValueError as error:
        raise InvalidValue(f"The e-mail address {error}.") from None
    if len(addresses) != 1:
        raise InvalidValue(f"{email!r} are several e-mail addresses; give one.")
    return addresses[0].lower()


def _name(name: str) -> str:
    try:
        shown: str = required(name)
    except ValueError as error:
        raise InvalidValue(f"The name {error}.") from None
    if len(shown) > _LONGEST_NAME or set(shown) & set("<>"):
        raise InvalidValue(f"A name has at most {_LONGEST_NAME} characters, and neither < nor >.")
    return shown


def _role(role: Role) -> Role:
    if role not in ROLES:
        raise InvalidValue(f"The role {role} is for programs; choose one of {', '.join(ROLES)}.")
    return role


def _acceptable(password: str) -> bytes:
    """A new password as it is hashed. Raises InvalidValue."""
    if not is_whole_text(password):
        raise InvalidValue("The password has half a character; type it anew.")
    typed = _typed(password)
    if len(typed.decode()) < SHORTEST_PASSWORD or len(typed) > LARGEST_PASSWORD:
        raise InvalidValue(
            f"A password has at least {SHORTEST_PASSWORD} characters and at most "
            f"{LARGEST_PASSWORD:,} bytes."
        )
    return typed


def _typed(password: str) -> bytes:
    # keyboards disagree on how to write one and the same letter
    return unicodedata.normalize("NFKC", password).encode(errors="replace")


def _active(address: str) -> Select[Any]:
    return (
        select(people)
        .where(people.c.email == address, people.c.disabled_at.is_(None))
        .with_for_update(key_share=True)
    )


def _locked(connection: Connection, email: str) -> Person:
    address = canonical_address(email)
    row = connection.execute(_active(address)).one_or_none()
    if row is None:
        raise NotFound(f"Nobody logs in with {address}.")
    return _person(row)


def _update(connection: Connection, person: Person, **values: Any) -> None:
    connection.execute(update(people).where(people.c.id == person.id).values(**values))


def _person(row: Row[Any]) -> Person:
    return Person(row.id, row.email, row.name, Role(row.role), row.disabled_at is not None)


def _record(connection: Connection, email: str, event: str, change: Change, **more: Any) -> None:
    entry = audit.AuditEntry(change.business_date, change.by, "person", email, event, **more)
    audit.record(connection, entry)
