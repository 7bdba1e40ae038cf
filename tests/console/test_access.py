"""Who may do what at the console is what the API says."""

from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import APIRoute

from console.app import PARTS
from storage.access import Role
from tests.api.conftest import CYCLES, BilledMonth
from tests.api.people import OWN_PAGE, session_cookie

EVENT = "evt-1001-2026-02-0"
KNOWN = {
    "period": "2026-02",
    "number": "INV-2026-02-0001",
    "account": "1001",
    "code": "api-calls",
    "id": "1",
}


def pages(method: str) -> list[str]:
    """The address of every route of the console for `method`, once for each order."""
    routes = [(part, route) for part in PARTS for route in part.router.routes]
    return [
        f"/console{route.path}".format(
            **KNOWN, order=order, what="amend" if "/event/" in route.path else "assign"
        )
        for part, route in routes
        if isinstance(route, APIRoute) and method in route.methods
        for order in (part._ORDERS if "{order}" in route.path else ("",))  # type: ignore[attr-defined]
    ]


FILLED_IN = {"what": "open", "was": "{}", "name": "Another name", "event_id": EVENT}
"""What a form must have before the API is asked."""
PAGES = [f"{page}?id={EVENT}" if page.endswith("/event") else page for page in pages("GET")]
FORMS = pages("POST")


def test_the_routes_are_found() -> None:
    assert {"/console/", "/console/billing/2026-02", "/console/bank"} <= set(PAGES)
    assert {"/console/invoices/INV-2026-02-0001/void", "/console/billing/2026-02/pause"} <= set(
        FORMS
    )


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_leads_a_stranger_to_the_login_and_back(
    stranger: httpx.AsyncClient, page: str
) -> None:
    answer = await stranger.get(page)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/login?next={quote(page, safe='')}",
    )


@pytest.mark.parametrize("form", FORMS)
async def test_a_form_of_a_stranger_does_nothing(stranger: httpx.AsyncClient, form: str) -> None:
    answer = await stranger.post(form, headers=OWN_PAGE)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=%2Fconsole%2F")


@pytest.mark.parametrize("page", PAGES)
async def test_whoever_may_read_reads_every_page_but_the_forms(
    billed: BilledMonth, stranger: httpx.AsyncClient, page: str
) -> None:
    cookie = {"Cookie": session_cookie(billed.product.engine, Role.VIEWER)}
    is_form = page.endswith(("/new-customer", "/new-plan", "/change"))
    assert (await stranger.get(page, headers=cookie)).status_code == (403 if is_form else 200)


async def test_a_program_with_a_key_is_no_person(billed: BilledMonth) -> None:
    assert (await billed.product.http.get(CYCLES)).status_code == 200
    assert (await billed.product.http.get("/console/")).status_code == 303


@pytest.mark.parametrize("form", FORMS)
async def test_a_viewer_changes_nothing(
    billed: BilledMonth, stranger: httpx.AsyncClient, form: str
) -> None:
    cookie = session_cookie(billed.product.engine, Role.VIEWER)
    answer = await stranger.post(form, data=FILLED_IN, headers={**OWN_PAGE, "Cookie": cookie})
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("origin", [{}, {"Origin": "https://evil.example"}])
@pytest.mark.parametrize("form", FORMS)
async def test_a_form_of_another_site_changes_nothing(
    billed: BilledMonth, stranger: httpx.AsyncClient, form: str, origin: dict[str, str]
) -> None:
    cookie = session_cookie(billed.product.engine, Role.ADMIN)
    answer = await stranger.post(form, data=FILLED_IN, headers={**origin, "Cookie": cookie})
    assert answer.status_code == 403


async def test_a_viewer_is_shown_no_button_that_changes_something(
    billed: BilledMonth, stranger: httpx.AsyncClient
) -> None:
    cookie = {"Cookie": session_cookie(billed.product.engine, Role.VIEWER)}
    for page in PAGES:
        forms = (await stranger.get(page, headers=cookie)).text.split("<form")[1:]
        posting = [form.split(">")[0] for form in forms if 'method="post"' in form.split(">")[0]]
        assert [form for form in posting if "/logout" not in form] == [], page


async def test_pages_are_kept_and_framed_by_nobody_and_load_nothing_from_elsewhere(
    billed: BilledMonth, stranger: httpx.AsyncClient
) -> None:
    cookie = {"Cookie": session_cookie(billed.product.engine, Role.FINANCE)}
    for page in PAGES:
        answer = await stranger.get(page, headers=cookie)
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert 'src="http' not in answer.text


async def test_a_cookie_of_another_application_disturbs_nothing(
    billed: BilledMonth, stranger: httpx.AsyncClient
) -> None:
    cookie = session_cookie(billed.product.engine, Role.FINANCE)
    headers = [(b"cookie", f"theirs=ü; {cookie}".encode())]
    assert (await stranger.get("/console/", headers=headers)).status_code == 200
    assert (await stranger.get("/console/", headers=headers[:0])).status_code == 303


async def test_what_a_customer_is_called_is_never_markup(
    billed: BilledMonth, stranger: httpx.AsyncClient
) -> None:
    cookie = {"Cookie": session_cookie(billed.product.engine, Role.FINANCE)}
    for page in ("/console/invoices", "/console/customers/1006", "/console/billing/2026-02"):
        answer = await stranger.get(page, headers=cookie)
        assert "&lt;script&gt;alert(1)" in answer.text
        assert "<script>alert" not in answer.text


async def test_an_endless_form_is_cut_off(billed: BilledMonth, stranger: httpx.AsyncClient) -> None:
    cookie = session_cookie(billed.product.engine, Role.FINANCE)
    answer = await stranger.post(
        "/console/billing", data={"period": "2" * 100_000}, headers={**OWN_PAGE, "Cookie": cookie}
    )
    assert answer.status_code == 413
    assert len((await billed.product.get(CYCLES))["items"]) == 1


async def test_what_was_sent_without_a_session_is_told_to_be_lost(
    billed: BilledMonth, stranger: httpx.AsyncClient
) -> None:
    came_from = {"Referer": "http://billing.example/console/customers/1001/change"}
    answer = await stranger.post(
        "/console/customers/1001/change", data=FILLED_IN, headers={**OWN_PAGE, **came_from}
    )
    assert answer.headers["location"] == "/login?next=%2Fconsole%2Fcustomers%2F1001%2Fchange"
    left = answer.headers["set-cookie"].partition(";")[0]
    cookie = f"{left}; {session_cookie(billed.product.engine, Role.FINANCE)}"
    assert "was not saved" in (await stranger.get("/console/", headers={"Cookie": cookie})).text
    assert "was not saved" not in (await stranger.get("/console/bank")).text


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("http://billing.example/console/bank?status=matched", "/console/bank?status=matched"),
        ("https://evil.example/console/bank", "/console/"),
        ("http://billing.example/login", "/console/"),
        ("javascript:alert(1)", "/console/"),
        ("http://[", "/console/"),
        ("", "/console/"),
    ],
)
async def test_a_refusal_leads_back_to_a_page_of_ours(
    billed: BilledMonth, stranger: httpx.AsyncClient, referer: str, back: str
) -> None:
    cookie = session_cookie(billed.product.engine, Role.FINANCE)
    answer = await stranger.get("/console/nowhere", headers={"Cookie": cookie, "Referer": referer})
    assert answer.status_code == 404
    assert f'href="{back}"' in answer.text
