"""What the cookie of a person who is logged in opens, and what no other site does with it."""

import httpx
import pytest

from storage.access import Role
from tests.api.conftest import CYCLES, BilledMonth, Product, assert_problem, bearer
from tests.api.people import OWN_PAGE, session_cookie
from tests.api.routes import READS, WRITES, address


@pytest.fixture(scope="module")
def admins_cookie(billed: BilledMonth) -> str:
    """The Cookie header of an admin who is logged in."""
    return session_cookie(billed.product.engine, Role.ADMIN)


FOREIGN = {
    "nothing said": {},
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "a subdomain": {"Sec-Fetch-Site": "same-site"},
    "the address bar": {"Sec-Fetch-Site": "none"},
    "two answers": {"Sec-Fetch-Site": "same-origin, cross-site"},
    "another site that names us": {
        "Sec-Fetch-Site": "cross-site",
        "Origin": "http://billing.example",
    },
    "another origin": {"Origin": "http://evil.example"},
    "another port": {"Origin": "http://billing.example:8080"},
    "another scheme": {"Origin": "https://billing.example"},
    "a longer name": {"Origin": "http://billing.example.evil.example"},
    "a hidden origin": {"Origin": "null"},
    "no origin": {"Origin": ""},
    "no address": {"Origin": "http://[billing.example"},
    "no port": {"Origin": "http://billing.example:port"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_no_other_site_changes_anything_with_a_persons_cookie(
    billed: BilledMonth, admins_cookie: str, stranger: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for method, path in WRITES:
        answer = await stranger.request(
            method, address(path), headers={"Cookie": admins_cookie, **headers}, json={}
        )
        assert_problem(answer, 403, "Billwright's own pages")
    for path in READS:
        answer = await stranger.get(address(path), headers={"Cookie": admins_cookie, **headers})
        assert answer.status_code in (200, 404), path


OWN = {
    "said by the browser": {"Sec-Fetch-Site": "same-origin"},
    "and the origin does not count then": {
        "Sec-Fetch-Site": "same-origin",
        "Origin": "http://behind.a.proxy",
    },
    "the public address": {"Origin": "http://billing.example"},
    "in capitals, with its port": {"Origin": "HTTP://BILLING.EXAMPLE:80"},
    "the address that was asked": {"Origin": "http://inside.example:8000"},
}


@pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
async def test_our_own_pages_may_change_what_the_person_may(
    admins_cookie: str, stranger: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await stranger.put(
        "/api/billing/dunning-policies/standard",
        headers={"Cookie": admins_cookie, "Host": "inside.example:8000", **headers},
    )
    assert_problem(answer, 422, "body")


async def test_a_key_needs_no_origin_and_counts_before_a_cookie(
    billed: BilledMonth, admins_cookie: str, stranger: httpx.AsyncClient
) -> None:
    viewer = bearer(billed.product.engine, Role.VIEWER)
    headers = {"Cookie": admins_cookie, "Authorization": viewer, "Sec-Fetch-Site": "cross-site"}
    assert (await stranger.get(CYCLES, headers=headers)).status_code == 200
    assert_problem(await stranger.post(f"{CYCLES}/2026-02/pause", headers=headers), 403, "viewer")


@pytest.mark.parametrize("wrong", ["Bearer bw_wrong", "Bearer ", "Bearer", "bearer bw_wrong"])
async def test_a_wrong_key_is_not_mended_by_a_cookie(
    admins_cookie: str, stranger: httpx.AsyncClient, wrong: str
) -> None:
    headers = {"Cookie": admins_cookie, "Authorization": wrong, **OWN_PAGE}
    assert_problem(await stranger.get(CYCLES, headers=headers), 401, "Authorization: Bearer")


async def test_a_proxys_own_password_stands_beside_a_cookie(
    admins_cookie: str, stranger: httpx.AsyncClient
) -> None:
    headers = {"Cookie": admins_cookie, "Authorization": "Basic YTpi"}
    assert (await stranger.get(CYCLES, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "cookie", ["billwright_session=wrong", "billwright_session=", "other=1", "__Host-{}"]
)
async def test_no_other_cookie_opens_anything(
    admins_cookie: str, stranger: httpx.AsyncClient, cookie: str
) -> None:
    headers = {"Cookie": cookie.format(admins_cookie), **OWN_PAGE}
    answer = await stranger.get(CYCLES, headers=headers)
    assert_problem(answer, 401, "log in at /login")


async def test_what_a_person_asks_is_theirs_in_the_audit_log(books: Product) -> None:
    headers = {"Cookie": session_cookie(books.engine, Role.FINANCE), **OWN_PAGE}
    del books.http.headers["Authorization"]
    policy = {"steps": [{"after_days": 14, "notice": "review_notice"}]}
    answer = await books.http.put(
        "/api/billing/dunning-policies/patient", headers=headers, json=policy
    )
    assert answer.status_code == 200, answer.text
    audit = await books.http.get("/api/billing/audit?subject=patient", headers=headers)
    assert [entry["actor"] for entry in audit.json()["items"]] == [
        "The finance person <finance@billwright.example>"
    ]
