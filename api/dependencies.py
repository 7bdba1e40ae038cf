"""What a route receives: the database, the Temporal client, the settings, the caller."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine
from temporalio.client import Client

from settings import Settings
from storage.access import Caller, Role
from storage.api_keys import caller_of
from storage.engine import transaction

_bearer = HTTPBearer(auto_error=False, description="An API key, made by `billwright keys create`.")
_MAY_ALSO = {
    Role.ADMIN: frozenset(Role),
    Role.FINANCE: frozenset({Role.FINANCE, Role.VIEWER}),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.INGEST: frozenset({Role.INGEST}),
}


@dataclass(frozen=True)
class Services:
    """What the application is made of; `now` gives the present instant.

    A route opens its transaction inside the function that runs in a thread, never as a dependency:
    a request that holds a connection while it waits for a thread, or for a second connection to
    look up its key, locks up the pool as soon as enough readers come at once.
    """

    engine: Engine
    temporal: Client
    settings: Settings
    now: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: TID251 - the API's one clock

    def today(self) -> date:
        """The present date in the seller's zone."""
        return self.now().astimezone(ZoneInfo(self.settings.seller_time_zone)).date()


def services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


def _caller(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    if credentials is not None:
        with transaction(services(request).engine) as opened:
            caller = caller_of(opened, credentials.credentials)
        if caller is not None:
            return caller
    raise HTTPException(
        401, "Send a valid key as Authorization: Bearer.", {"WWW-Authenticate": "Bearer"}
    )


def require(role: Role) -> Callable[..., Caller]:
    """A dependency that lets in only callers who may act as `role`, and tells who calls."""

    def check(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
        if role not in _MAY_ALSO[caller.role]:
            raise HTTPException(
                403, f"This needs the role {role}; the key {caller.name!r} has {caller.role}."
            )
        return caller

    return check


App = Annotated[Services, Depends(services)]
Viewer = Annotated[Caller, Depends(require(Role.VIEWER))]
Finance = Annotated[Caller, Depends(require(Role.FINANCE))]
