"""People of the tests, and what their browsers send."""

from datetime import datetime

import httpx
from sqlalchemy import Engine, func, select

from storage.access import Role
from storage.engine import transaction
from storage.people import Change, Person, add_person, list_people, open_session
from storage.tables import sessions
from tests.api.conftest import CYCLES, Product
from tests.builders import ISSUED_ON, NOW

PASSWORD = "a sentence of some length"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
"""What a browser adds where one of our own pages asks."""
EMAIL = "finance@billwright.example"
"""Of whoever has the role finance."""
COOKIE = "billwright_session"
BY_TEST = Change("test", ISSUED_ON)


def somebody(engine: Engine, role: Role) -> Person:
    """The one person of that role, added if need be."""
    email = f"{role}@billwright.example"
    with transaction(engine) as connection:
        for person in list_people(connection):
            if person.email == email and not person.disabled:
                return person
        return add_person(connection, email, f"The {role} person", role, PASSWORD, BY_TEST)


def session_cookie(engine: Engine, role: Role, *, now: datetime = NOW) -> str:
    """The Cookie header of somebody of that role who has logged in at `now`."""
    person = somebody(engine, role)
    with transaction(engine) as connection:
        return f"{COOKIE}={open_session(connection, person, now=now)}"


class Browser:
    """A client that keeps its cookies and says where its requests come from."""

    def __init__(self, product: Product, address: str = "203.0.113.7") -> None:
        transport = httpx.ASGITransport(product.app, client=(address, 50_000))
        self.http = httpx.AsyncClient(
            transport=transport, base_url=product.settings.public_url, headers=OWN_PAGE
        )

    async def log_in(
        self, email: str = EMAIL, password: str = PASSWORD, **more: str
    ) -> httpx.Response:
        form = {"email": email, "password": password, **more}
        return await self.http.post("/login", data=form)

    @property
    def token(self) -> str | None:
        return self.http.cookies.get(COOKIE)

    async def is_in(self) -> bool:
        """Whether the API takes the cookie."""
        answer = await self.http.get(CYCLES)
        assert answer.status_code in (200, 401)
        return answer.status_code == 200


def how_many_sessions(engine: Engine) -> int:
    with transaction(engine) as connection:
        return connection.execute(select(func.count()).select_from(sessions)).scalar_one()
