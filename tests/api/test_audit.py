"""The audit log over HTTP: filtered, in pages, and as a file that no spreadsheet runs."""

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from storage import audit, exports
from storage.audit import AuditEntry
from storage.engine import transaction
from tests.api.conftest import Product, assert_problem, nowhere

AUDIT = "/api/billing/audit"
COLUMNS = [
    *("id", "at", "business_date", "actor", "subject_kind", "subject", "event"),
    *("from_state", "to_state", "reason", "details"),
]
HOSTILE = '=HYPERLINK("http://x")'


@pytest.fixture
def entries(engine: Engine) -> list[AuditEntry]:
    """Thirty days of March, on which three people did two things to two invoices."""
    written = [
        AuditEntry(
            date(2026, 3, 1) + timedelta(days=n),
            actor=("Ada", "Grace", HOSTILE)[n % 3],
            subject_kind="invoice" if n % 5 else "customer",
            subject=f"INV-2026-02-000{1 + n % 2}",
            event=("held", "released")[n % 2],
            reason="=1+1" if n % 7 == 0 else f"day {n}, as agreed;\nsee below",
            details={"day": n, "who": "Süß"},
        )
        for n in range(30)
    ]
    with transaction(engine) as connection:
        audit.record(connection, *written)
    return written


async def pages(product: Product, **wanted: Any) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        page = await product.get(AUDIT, params=wanted | ({"cursor": cursor} if cursor else {}))
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def as_csv(product: Product, **wanted: Any) -> list[dict[str, str]]:
    answer = await product.http.get(AUDIT, params=wanted | {"format": "csv"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    reader = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert reader.fieldnames == COLUMNS
    return list(reader)


def days(found: Sequence[dict[str, Any]]) -> list[int]:
    return [int(entry["business_date"][-2:]) for entry in found]


FILTERS = [
    ({}, lambda n: True),
    ({"actor": "Grace"}, lambda n: n % 3 == 1),
    ({"event": "released"}, lambda n: n % 2 == 1),
    ({"subject_kind": "customer"}, lambda n: n % 5 == 0),
    ({"subject": "INV-2026-02-0001"}, lambda n: n % 2 == 0),
    ({"from": "2026-03-10"}, lambda n: n >= 9),
    ({"to": "2026-03-10"}, lambda n: n <= 9),
    ({"from": "2026-03-10", "to": "2026-03-10"}, lambda n: n == 9),
    ({"actor": "Ada", "event": "held", "to": "2026-03-20"}, lambda n: n % 6 == 0 and n < 20),
    ({"actor": "nobody"}, lambda n: False),
]


@pytest.mark.parametrize(("wanted", "fits"), FILTERS)
async def test_filters_narrow_pages_and_file_alike(
    books: Product, entries: list[AuditEntry], wanted: dict[str, str], fits: Any
) -> None:
    expected = [1 + n for n in range(30) if fits(n)]
    assert days(await pages(books, limit=7, **wanted)) == expected
    assert days(await pages(books, limit=4, order="newest", **wanted)) == expected[::-1]
    assert days(await as_csv(books, **wanted)) == expected


async def test_an_entry_is_told_whole(books: Product, entries: list[AuditEntry]) -> None:
    (first, *_) = await pages(books)
    assert {name: first[name] for name in COLUMNS[2:]} == {
        "business_date": "2026-03-01",
        "actor": "Ada",
        "subject_kind": "customer",
        "subject": "INV-2026-02-0001",
        "event": "held",
        "from_state": None,
        "to_state": None,
        "reason": "=1+1",
        "details": {"day": 0, "who": "Süß"},
    }


async def test_a_formula_reaches_no_spreadsheet(books: Product, entries: list[AuditEntry]) -> None:
    found = await as_csv(books)
    assert (found[0]["reason"], found[2]["actor"]) == ("'=1+1", f"'{HOSTILE}")
    assert found[1]["reason"] == "day 1, as agreed;\nsee below"
    assert found[1]["details"] == '{"day": 1, "who": "Süß"}'


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv"),
        ("Text/CSV;q=0.9, application/json", "text/csv"),
        ("application/json, text/csv", "application/json"),
        ("*/*", "application/json"),
    ],
)
async def test_the_client_may_ask_for_a_file_by_its_kind(
    books: Product, accept: str, kind: str
) -> None:
    answer = await books.http.get(AUDIT, headers={"Accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == kind
    forced = await books.http.get(AUDIT, headers={"Accept": accept}, params={"format": "json"})
    assert forced.headers["content-type"] == "application/json"


async def test_a_long_file_is_read_page_by_page_up_to_its_beginning(
    engine: Engine, entries: list[AuditEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_ENTRIES_AT_ONCE", 7)
    lines: Iterator[str] = exports.stream_audit(engine, audit.AuditFilter())
    next(lines)
    with transaction(engine) as connection:
        audit.record(connection, AuditEntry(date(2026, 5, 1), "Ada", "x", "y", "too late"))
    parts = []
    for part in lines:
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        parts.append(part)
    assert len(parts) == 5
    assert len(list(csv.reader(io.StringIO("".join(parts), newline="")))) == 30


async def test_an_outage_is_told_before_the_file_begins(books: Product) -> None:
    services = books.app.state.services
    books.app.state.services = type(services)(nowhere(), services.temporal, services.settings)
    assert_problem(await books.http.get(AUDIT, params={"format": "csv"}), 503, "PostgreSQL")


async def test_a_filter_that_no_text_has_is_refused_before_the_file_begins(books: Product) -> None:
    for name in ("subject_kind", "subject", "actor", "event"):
        answer = await books.http.get(AUDIT, params={"format": "csv", name: "\x00"})
        assert_problem(answer, 422, "no stored value has")


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"from": "March"}, "query.from"),
        ({"to": "2026-13-01"}, "query.to"),
        ({"to": "0"}, "query.to"),
        ({"from": "2026-03-01T00:00:00"}, "query.from"),
        ({"limit": "0"}, "query.limit"),
        ({"limit": "501"}, "query.limit"),
        ({"order": "random"}, "query.order"),
        ({"format": "xml"}, "query.format"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "-1"}, "cursor"),
        ({"cursor": "9" * 30}, "cursor"),
    ],
)
async def test_a_bad_filter_is_named(
    sellerless: Product, wanted: dict[str, str], field: str
) -> None:
    assert_problem(await sellerless.http.get(AUDIT, params=wanted), 422, field)
