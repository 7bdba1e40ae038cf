"""What a route receives: the database, the Temporal client, the settings, the caller."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.requests import HTTPConnection
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from sqlalchemy import Engine
from temporalio.client import Client

from api.sessions import PLAIN_COOKIE, SECURE_COOKIE, session_token, why_not_our_own
from domain.periods import BusinessCalendar
from settings import Settings
from storage.access import Caller, Role
from storage.api_keys import caller_of
from storage.engine import transaction
from storage.people import find_session

_bearer = HTTPBearer(auto_error=False, description="An API key, made by `billwright keys create`.")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
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

    @property
    def calendar(self) -> BusinessCalendar:
        return BusinessCalendar(self.settings.seller_time_zone, self.settings.day_seconds)

    def today(self) -> date:
        """The present date in the seller's zone."""
        return self.calendar.real_date(self.now())


def services(request: HTTPConnection) -> Services:
    found: Services = request.app.state.services
    return found


class _SessionCookie(APIKeyCookie):
    """The session's token, under the name that the cookie has in this installation."""

    async def __call__(self, request: HTTPConnection) -> str | None:
        return session_token(request, services(request).settings)


_session = _SessionCookie(
    name=SECURE_COOKIE,
    scheme_name="Session",
    description=f"The session of a person who logged in at /login; without TLS, {PLAIN_COOKIE}. "
    "What changes something must come from the same origin: Sec-Fetch-Site or Origin tells.",
)


def _caller(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    token: Annotated[str | None, Depends(_session)],
) -> Caller:
    app = services(request)
    scheme, _ = get_authorization_scheme_param(request.headers.get("Authorization"))
    caller = None
    if scheme.lower() == "bearer":
        caller = _owner(credentials, app)
    elif token is not None:
        caller = _person(request, token, app)
    if caller is None:
        raise HTTPException(
            401,
            "Send a valid key as Authorization: Bearer, or log in at /login.",
            {"WWW-Authenticate": "Bearer"},
        )
    return caller


def _owner(credentials: HTTPAuthorizationCredentials | None, app: Services) -> Caller | None:
    if credentials is None:
        return None
    with transaction(app.engine) as opened:
        return caller_of(opened, credentials.credentials)


def _person(request: Request, token: str, app: Services) -> Caller | None:
    """Raises 403 for what another site may have made the person's browser ask."""
    if request.method not in _READING and (reason := why_not_our_own(request, app.settings)):
        raise HTTPException(403, reason)
    with transaction(app.engine) as opened:
        person = find_session(opened, token, now=app.now())
    return None if person is None else person.as_caller()


def may_act_as(caller: Caller, role: Role) -> bool:
    return role in _MAY_ALSO[caller.role]


def require(role: Role) -> Callable[..., Caller]:
    """A dependency that lets in only callers who may act as `role`, and tells who calls."""

    def check(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
        if not may_act_as(caller, role):
            raise HTTPException(
                403, f"This needs the role {role}; {caller.name!r} has {caller.role}."
            )
        return caller

    return check


App = Annotated[Services, Depends(services)]
Viewer = Annotated[Caller, Depends(require(Role.VIEWER))]
Finance = Annotated[Caller, Depends(require(Role.FINANCE))]
