"""Keys of programs that call the API, hashed at rest."""

import secrets

from sqlalchemy import Connection, func, insert, select, update

from domain.errors import NotFound
from storage.access import Caller, Role, fingerprint
from storage.tables import api_keys


def create_key(connection: Connection, name: str, role: Role) -> str:
    """Makes a key and returns it: the only time that it can be read."""
    key = f"bw_{secrets.token_urlsafe(32)}"
    connection.execute(insert(api_keys).values(name=name, role=role, key_hash=fingerprint(key)))
    return key


def caller_of(connection: Connection, key: str) -> Caller | None:
    """Whose key it is; None for one that was never made or is revoked."""
    row = connection.execute(
        select(api_keys.c.name, api_keys.c.role).where(
            api_keys.c.key_hash == fingerprint(key), api_keys.c.revoked_at.is_(None)
        )
    ).one_or_none()
    return None if row is None else Caller(row.name, Role(row.role))


def revoke_keys(connection: Connection, name: str) -> int:
    """Revokes every key called `name`. Raises NotFound if there is none left to revoke."""
    revoked = connection.execute(
        update(api_keys)
        .where(api_keys.c.name == name, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    ).rowcount
    if not revoked:
        raise NotFound(f"There is no valid key called {name!r}.")
    return revoked


def list_keys(connection: Connection) -> list[tuple[str, str, bool]]:
    """(name, role, whether it is valid) of every key, the oldest first."""
    rows = connection.execute(select(api_keys).order_by(api_keys.c.id))
    return [(row.name, row.role, row.revoked_at is None) for row in rows]
