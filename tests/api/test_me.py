"""Who calls, as the API tells it to a page of ours."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from storage.access import Role
from tests.api.conftest import Product, bearer
from tests.api.payers import issue_february
from tests.api.people import session_cookie
from tests.builders import Subscriber

ME = "/api/billing/me"


async def test_a_person_is_told_by_name_and_address(books: Product) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(books.app), base_url="http://billing.example"
    ) as http:
        answer = await http.get(ME, headers={"Cookie": session_cookie(books.engine, Role.VIEWER)})
    assert answer.json() == {
        "name": "The viewer person",
        "role": "viewer",
        "may_act": False,
        "email": "viewer@billwright.example",
        "business_date": "2026-03-01",
        "day_seconds": 86_400,
    }


async def test_a_key_has_a_name_and_no_address(books: Product) -> None:
    key = bearer(books.engine, Role.ADMIN, "month-end")
    found = await books.get(ME, headers={"Authorization": key})
    assert (found["name"], found["role"], found["email"]) == ("month-end", "admin", None)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.FINANCE, Role.ADMIN])
async def test_whoever_may_act_may_change_what_the_finance_team_may(
    books: Product, role: Role
) -> None:
    headers = {"Authorization": bearer(books.engine, role, "somebody")}
    tried = await books.http.post("/api/billing/plans", json={}, headers=headers)
    assert (await books.get(ME, headers=headers))["may_act"] is (tried.status_code != 403)


async def test_the_business_date_is_the_demonstrations_own(books: Product, tmp_path: Path) -> None:
    issue_february(books.engine, tmp_path / "files", [Subscriber()])
    services = books.app.state.services
    later = replace(services, now=lambda: datetime(2026, 7, 1, 12, tzinfo=UTC))
    books.app.state.services = later
    assert (await books.get(ME))["business_date"] == "2026-03-01"
    in_earnest = services.settings.model_copy(update={"day_seconds": None})
    books.app.state.services = replace(later, settings=in_earnest)
    assert (await books.get(ME))["business_date"] == "2026-07-01"
