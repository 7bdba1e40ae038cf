"""The payer's page: opened by its link alone, changes nothing, tells nothing to others."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from html import unescape

import httpx
import pytest
from sqlalchemy import text, update

from domain.payer_links import LinkPurpose, payer_token
from storage.engine import transaction
from storage.tables import invoices
from tests.activities.mail_server import text_of
from tests.api.conftest import FEBRUARY, SECRET, BilledMonth, Product
from tests.builders import Subscriber

KNOWN, SETTLED, HOSTILE, CARD = (f"INV-2026-02-{n:04d}" for n in (8, 5, 6, 7))
NOT_VALID = "This link is not valid"


@pytest.fixture
async def payer(billed: BilledMonth) -> AsyncIterator[httpx.AsyncClient]:
    """A browser: it has no key."""
    transport = httpx.ASGITransport(billed.product.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://billing.example") as http:
        yield http


def link(number: str, version: int = 1, secret: str = SECRET) -> str:
    return f"/pay/{payer_token(secret, LinkPurpose.PAY, number, version)}"


def words(page: httpx.Response) -> str:
    """What a reader sees, blanks squeezed."""
    body = page.text.partition("<body>")[2]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def assert_private(answer: httpx.Response) -> None:
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-robots-tag"] == "noindex"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_the_link_of_the_e_mail_shows_the_invoice(
    billed: BilledMonth, payer: httpx.AsyncClient
) -> None:
    (mail,) = [mail for mail in billed.mailbox.mails if KNOWN in str(mail["Subject"])]
    (url,) = re.findall(r"http://billing\.example/pay/\S+", text_of(mail, "plain"))
    page = await payer.get(url)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert_private(page)
    seen = words(page)
    for expected in (
        f"Invoice {KNOWN}",
        "USD 312.91 To be paid by 31 March 2026",
        "February 2026, for Brandt & Söhne 1047 GmbH",
        "API calls: Tier 2 73.95",
        "Premium support 99.00",
        "VAT 19% on 262.95 49.96",
        "Total USD 312.91",
        "Account holder Meridian API GmbH",
        "IBAN DE89 3704 0044 0532 0130 00",
        "BIC COBADEFFXXX",
        f"Reference {KNOWN}",
    ):
        assert expected in seen


async def test_the_page_leads_to_the_document(
    billed: BilledMonth, payer: httpx.AsyncClient
) -> None:
    page = await payer.get(link(KNOWN))
    (href,) = re.findall(r'href="(/pay/[^"]+/pdf)"', page.text)
    document = await payer.get(href)
    assert document.headers["content-type"] == "application/pdf"
    assert document.content.startswith(b"%PDF")
    assert_private(document)


async def test_a_settled_invoice_asks_for_nothing(payer: httpx.AsyncClient) -> None:
    seen = words(await payer.get(link(SETTLED)))
    assert "Nothing is open" in seen
    assert "IBAN" not in seen


async def test_who_has_no_card_on_file_is_not_told_that_it_is_charged(
    payer: httpx.AsyncClient,
) -> None:
    seen = words(await payer.get(link(CARD)))
    assert "Pay" in seen
    assert "We charge your card" not in seen


async def test_a_hostile_name_stays_text(payer: httpx.AsyncClient) -> None:
    page = await payer.get(link(HOSTILE))
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "for <bdi><script>alert(1)</script> & \"Söhne\" 'GmbH'" in unescape(page.text)


GOOD = payer_token(SECRET, LinkPurpose.PAY, KNOWN, 1)


@pytest.mark.parametrize(
    "token",
    [
        GOOD[:-1],
        GOOD + "x",
        GOOD.replace("0008", "0007"),
        GOOD.replace(".1.", ".2."),
        GOOD.replace(".1.", ".01."),
        GOOD.lower(),
        payer_token("another secret", LinkPurpose.PAY, KNOWN, 1),
        payer_token(SECRET, LinkPurpose.PAY, KNOWN, 2),
        payer_token(SECRET, LinkPurpose.PAY, "INV-2026-02-9999", 1),
        payer_token(SECRET, LinkPurpose.PAY, "nonsense", 1),
        "garbage",
        "a.b.c",
        "...",
        "%00",
        "%F0%9F%92%B8",
        "x" * 5_000,
    ],
)
@pytest.mark.parametrize("part", ["", "/pdf"])
async def test_any_other_link_is_not_valid_and_says_no_more(
    payer: httpx.AsyncClient, token: str, part: str
) -> None:
    answer = await payer.get(f"/pay/{token}{part}")
    assert answer.status_code == 404
    assert NOT_VALID in answer.text
    assert_private(answer)
    assert answer.text == (await payer.get("/pay/unknown")).text


async def test_a_draft_has_no_page(
    office: Product, seed: Callable[[Sequence[Subscriber]], None]
) -> None:
    seed([Subscriber()])
    await office.http.post("/api/billing/cycles", json={**FEBRUARY, "pause_before_issue": True})
    await office.follow(lambda cycle: cycle["status"] == "planned" and cycle["paused"])
    answer = await office.http.get(link("INV-2026-02-0001"))
    assert (answer.status_code, NOT_VALID in answer.text) == (404, True)


async def test_raising_the_version_revokes_the_links_sent_before(
    office: Product, seed: Callable[[Sequence[Subscriber]], None]
) -> None:
    seed([Subscriber()])
    await office.bill()
    number = "INV-2026-02-0001"
    assert (await office.http.get(link(number))).status_code == 200
    with transaction(office.engine) as connection:
        connection.execute(update(invoices).values(link_version=2))
    assert (await office.http.get(link(number))).status_code == 404
    assert (await office.http.get(link(number, version=2))).status_code == 200


async def test_looking_changes_nothing(billed: BilledMonth, payer: httpx.AsyncClient) -> None:
    def everything() -> list[tuple[object, ...]]:
        with transaction(billed.product.engine) as connection:
            return [
                tuple(row)
                for table in ("invoices", "audit_log", "emails", "payments", "documents")
                for row in connection.execute(
                    text(f"SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} t")  # noqa: S608
                )
            ]

    before = everything()
    for part in ("", "/pdf"):
        assert (await payer.get(link(KNOWN) + part)).status_code == 200
        for method in ("POST", "PUT", "DELETE"):
            assert (await payer.request(method, link(KNOWN) + part)).status_code == 405
    assert everything() == before
