"""A statement is uploaded, what waits is listed, and a person decides it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from storage.access import Role
from storage.importing.statements.reading import LARGEST
from tests.api.conftest import Json, Product, TemporalServer, assert_problem, bearer, running
from tests.builders import csv_text
from tests.storage.banked import row, seed_invoices

STATEMENTS = "/api/billing/bank-statements"
TRANSACTIONS = "/api/billing/bank-transactions"
SAMPLES = Path(__file__).parent.parent / "statements"


@pytest.fixture(scope="module")
async def bank(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    temporal_server: TemporalServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Product]:
    """An application without a worker; each test uploads entries of its own."""
    with fresh_engine() as engine:
        seed_invoices(engine, tmp_path_factory.mktemp("bank") / "files")
        async with running(engine, await temporal_server.client()) as product:
            yield product


async def upload(bank: Product, content: bytes | str, **options: Any) -> httpx.Response:
    sent = content.encode() if isinstance(content, str) else content
    return await bank.http.post(STATEMENTS, files={"file": ("statement.csv", sent)}, **options)


async def waiting(bank: Product, reference: str, **changes: str) -> Json:
    """A transaction that waits for a person."""
    entry = row(reference, remittance="no idea", amount="20.00", **changes)
    answer = await upload(bank, csv_text([entry]))
    assert answer.status_code == 200, answer.text
    page = await bank.get(TRANSACTIONS, params={"limit": 1})
    found: Json = page["items"][0]
    assert found["bank_reference"] == reference
    return found


async def test_a_statement_is_stored_and_its_invoices_are_told(bank: Product) -> None:
    rows = csv_text([row("A-1"), row("A-2", amount="77.77", remittance="no idea")])
    answer = await upload(bank, rows)
    assert answer.status_code == 200, answer.text
    stored = answer.json()
    assert stored == {
        "statement_id": stored["statement_id"],
        "new": 2,
        "known_before": 0,
        "matched": 1,
        "waiting": 1,
        "reversed": 0,
        "invoices": ["INV-2026-01-0047"],
    }
    told = await bank.temporal.get_workflow_handle("invoice/INV-2026-01-0047").describe()
    assert told.workflow_type == "InvoiceLifecycle"
    again = (await upload(bank, rows)).json()
    assert (again["statement_id"], again["new"], again["known_before"]) == (
        stored["statement_id"],
        0,
        2,
    )


@pytest.mark.parametrize("name", ["camt053_v08.xml", "swift.sta"])
async def test_each_format_is_told_by_its_content(bank: Product, name: str) -> None:
    answer = await upload(bank, (SAMPLES / name).read_bytes())
    assert answer.status_code == 200, answer.text
    assert answer.json()["new"] > 0


async def test_what_waits_is_listed_with_its_proposals(bank: Product) -> None:
    wire = await waiting(bank, "B-1", payer_name="Nordlicht Energie AG", payer_iban="")
    assert (wire["status"], wire["amount"], wire["currency"]) == ("unmatched", "20.00", "EUR")
    assert wire["why_not"] == "No open invoice is named."
    assert wire["candidates"][0]["number"] == "INV-2026-01-0048"
    assert wire["candidates"][0]["reasons"] == ["the payer's name is 100 % alike"]


async def test_the_list_is_filtered_and_comes_in_pages(bank: Product) -> None:
    for n in range(3):
        await waiting(bank, f"C-{n}")
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await bank.get(
            TRANSACTIONS,
            params={"status": "unmatched", "limit": 2, **({"cursor": cursor} if cursor else {})},
        )
        assert len(page["items"]) <= 2
        assert all(wire["status"] == "unmatched" for wire in page["items"])
        seen += [wire["bank_reference"] for wire in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen[:3] == ["C-2", "C-1", "C-0"]
    assert len(set(seen)) == len(seen)


async def test_a_person_assigns_a_transaction_once(bank: Product) -> None:
    wire = await waiting(bank, "D-1")
    order = {
        "allocations": [{"number": "INV-2026-01-0048", "amount": "20.00"}],
        "note": "by telephone",
    }
    answer = await bank.http.post(f"{TRANSACTIONS}/{wire['id']}/assign", json=order)
    assert answer.status_code == 200, answer.text
    assigned = answer.json()
    assert (assigned["status"], assigned["match_kind"]) == ("matched", "person")
    assert assigned["decided_by"] == "the finance key"
    assert assigned["allocations"] == [
        {"number": "INV-2026-01-0048", "amount": "20.00", "booked": False}
    ]
    await bank.temporal.get_workflow_handle("invoice/INV-2026-01-0048").describe()
    again = await bank.http.post(f"{TRANSACTIONS}/{wire['id']}/assign", json=order)
    assert_problem(again, 409, "is matched already")


@pytest.mark.parametrize(
    ("allocations", "status", "reason"),
    [
        ([], 422, "allocations"),
        ([{"number": "INV-2026-01-0048", "amount": "19.99"}], 422, "come to 19.99"),
        ([{"number": "INV-2026-01-0048", "amount": "NaN"}], 422, "amount"),
        ([{"number": "INV-2026-01-0048", "amount": "1e400"}], 422, "amount"),
        ([{"number": "INV-2026-01-0048", "amount": "-20"}], 422, "above zero"),
        ([{"number": "INV-2026-01-0049", "amount": "20.00"}], 409, "in USD"),
        ([{"number": "INV-2026-01-0051", "amount": "20.00"}], 409, "is void"),
        ([{"number": "INV-2026-01-0999", "amount": "20.00"}], 404, "INV-2026-01-0999"),
        ([{"number": "x\x00", "amount": "20.00"}], 422, "control character"),
    ],
)
async def test_an_assignment_that_does_not_fit_is_refused(
    bank: Product,
    request: pytest.FixtureRequest,
    allocations: list[dict[str, str]],
    status: int,
    reason: str,
) -> None:
    wire = await waiting(bank, f"E-{request.node.name[-60:]}".replace("\x00", "").replace("\\", ""))
    answer = await bank.http.post(
        f"{TRANSACTIONS}/{wire['id']}/assign", json={"allocations": allocations}
    )
    assert_problem(answer, status, reason)


async def test_a_person_ignores_a_transaction_with_a_note(bank: Product) -> None:
    wire = await waiting(bank, "F-1")
    path = f"{TRANSACTIONS}/{wire['id']}/ignore"
    assert_problem(await bank.http.post(path, json={"note": ""}), 422, "note")
    answer = await bank.http.post(path, json={"note": "a refund of the landlord's"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "ignored"
    assert_problem(await bank.http.post(path, json={"note": "again"}), 409, "is ignored already")


async def test_what_does_not_exist_is_not_found(bank: Product) -> None:
    answer = await bank.http.post(f"{TRANSACTIONS}/999999/ignore", json={"note": "x"})
    assert_problem(answer, 404, "999999")
    answer = await bank.http.post(f"{TRANSACTIONS}/{2**63}/ignore", json={"note": "x"})
    assert_problem(answer, 422, "id")


# --- refusals of an upload


async def test_a_statement_that_cannot_be_read_is_refused_with_its_place(bank: Product) -> None:
    answer = await upload(bank, csv_text([row("G-1"), row("G-2", amount="NaN")]))
    assert_problem(answer, 422, "statement.csv, line 3, entry 2, amount", "1234.50")
    assert answer.json()["type"] == "urn:billwright:statement_refused"


async def test_a_reference_that_is_known_with_other_content_is_refused(bank: Product) -> None:
    await waiting(bank, "H-1")
    answer = await upload(bank, csv_text([row("H-1", amount="21.00", remittance="no idea")]))
    assert_problem(answer, 409, "Bank reference H-1", "another amount")


async def test_a_file_that_is_too_large_is_refused_while_it_is_read(bank: Product) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        while True:
            sent += 1_000_000
            yield b"x" * 1_000_000

    answer = await bank.http.post(
        STATEMENTS,
        content=endless(),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert_problem(answer, 422, "file: is larger than 20,000,000 bytes")
    assert sent < 2 * LARGEST


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"json": {"file": "x"}},
        {"data": {"file": "text"}},
        {"files": {"other": ("a.csv", b"x")}},
        {"files": {"file": (None, b"a field and no file")}},
        {"files": [("file", ("a", b"x")), ("file", ("b", b"y"))]},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"x", "headers": {b"Content-Type": b"multipart/form-data; boundary=\xff"}},
        {
            "content": b"x",
            "headers": {b"Content-Type": b"multipart/form-data; charset=k; boundary=x"},
        },
    ],
)
async def test_an_upload_without_its_file_is_refused(
    bank: Product, request_: dict[str, Any]
) -> None:
    answer = await bank.http.post(STATEMENTS, **request_)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@settings(max_examples=40)
@given(content=st.binary(max_size=300), cursor=st.text(max_size=50), status=st.text(max_size=10))
async def test_any_upload_and_any_filter_are_answered_in_form(
    bank: Product, content: bytes, cursor: str, status: str
) -> None:
    assert (await upload(bank, content)).status_code == 422
    for params in ({"cursor": cursor}, {"status": status}, {"limit": cursor}):
        listed = await bank.http.get(TRANSACTIONS, params=_sendable(params))
        assert listed.status_code in (200, 422)


@settings(max_examples=60)
@given(
    head=st.binary(max_size=60) | st.text(max_size=60).map(str.encode),
    body=st.binary(max_size=60),
    charset=st.sampled_from(["", "; charset=utf-16", "; charset=klingon"]),
)
async def test_any_multipart_body_is_answered_in_form(
    bank: Product, head: bytes, body: bytes, charset: str
) -> None:
    part = b"--x\r\nContent-Disposition: form-data; name=file; filename=" + head
    answer = await bank.http.post(
        STATEMENTS,
        content=part + b"\r\n\r\n" + body + b"\r\n--x--\r\n",
        headers={"Content-Type": f"multipart/form-data; boundary=x{charset}"},
    )
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def _sendable(params: dict[str, str]) -> dict[str, str]:
    return {name: value.encode(errors="replace").decode() for name, value in params.items()}


# --- who may


@pytest.mark.parametrize("role", [Role.VIEWER, Role.INGEST])
async def test_only_the_finance_team_uploads_and_decides(bank: Product, role: Role) -> None:
    headers = {"Authorization": bearer(bank.engine, role)}
    assert_problem(await upload(bank, b"x", headers=headers), 403, "finance")
    for action in ("assign", "ignore"):
        answer = await bank.http.post(
            f"{TRANSACTIONS}/1/{action}",
            json={"note": "x", "allocations": []},
            headers=headers,
        )
        assert_problem(answer, 403, "finance")
    listed = await bank.http.get(TRANSACTIONS, headers=headers)
    assert listed.status_code == (200 if role is Role.VIEWER else 403)
