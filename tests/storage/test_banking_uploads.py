"""A statement is stored once: what is certain is matched, what is not waits and says why."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, Table, func, select

from storage.banking.uploads import EntryDiffers
from storage.documents import fetch_document
from storage.engine import transaction
from storage.tables import bank_matches, bank_statements, bank_transactions, documents
from tests.builders import csv_text
from tests.storage.banked import CLERK, audited, matches, row, seed_invoices, upload, wires

STATEMENTS = Path(__file__).parent.parent / "statements"


@pytest.fixture(autouse=True)
def _invoices(engine: Engine, tmp_path: Path) -> None:
    seed_invoices(engine, tmp_path / "files")


def count(engine: Engine, table: Table) -> int:
    with transaction(engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_a_certain_match_waits_to_be_booked(engine: Engine) -> None:
    stored = upload(engine, row())
    assert (stored.new, stored.matched, stored.waiting) == (1, 1, 0)
    assert stored.invoices == ("INV-2026-01-0047",)
    assert matches(engine) == {("W-1", "INV-2026-01-0047"): "312.91"}
    wire = wires(engine)["W-1"]
    assert (wire.status, wire.match_kind, wire.decided_at) == ("matched", "reference", None)
    assert [(b.number, str(b.amount), b.booked) for b in wire.allocations] == [
        ("INV-2026-01-0047", "312.91", False)
    ]
    assert audited(engine, "W-1") == [(CLERK, "matched", "matched", "")]


def test_the_statement_is_kept_as_it_came(engine: Engine) -> None:
    content = csv_text([row()]).encode()
    stored = upload(engine, content=content)
    with transaction(engine) as connection:
        found = connection.execute(
            select(bank_statements).where(bank_statements.c.id == stored.statement_id)
        ).one()
        assert fetch_document(connection, found.document_sha256) == content
    assert (found.format, found.entries, found.uploaded_by) == ("csv", 1, CLERK)


def test_the_same_file_again_changes_nothing(engine: Engine) -> None:
    first = upload(engine, row(), row("W-2", remittance="?"))
    again = upload(engine, row(), row("W-2", remittance="?"))
    assert (again.statement_id, again.new, again.known_before) == (first.statement_id, 0, 2)
    assert (again.matched, again.waiting) == (0, 0)
    assert again.invoices == first.invoices  # they may not have been told
    assert count(engine, bank_transactions) == 2
    assert count(engine, bank_matches) == 1
    assert len(audited(engine, "W-1")) == 1


def test_a_statement_that_overlaps_adds_what_is_new(engine: Engine) -> None:
    upload(engine, row())
    more = upload(
        engine, row(), row("W-2", amount="99.00", remittance="INV-2026-01-0048", payer_name="")
    )
    assert (more.new, more.known_before, more.matched) == (1, 1, 1)
    assert more.invoices == ("INV-2026-01-0048",)
    assert count(engine, bank_statements) == 2


@pytest.mark.parametrize(
    "change",
    [{"amount": "312.90"}, {"currency": "USD"}, {"booked_on": "2026-03-06"}, {"remittance": "x"}],
)
def test_a_known_reference_with_other_content_refuses_the_whole_file(
    engine: Engine, change: dict[str, str]
) -> None:
    upload(engine, row())
    with pytest.raises(EntryDiffers) as refused:
        upload(engine, row("W-0"), row(**change))
    name = next(iter(change))
    assert "Bank reference W-1 is stored as 312.91 EUR of 2026-03-05" in refused.value.message
    assert f"another {name}" in refused.value.message
    assert count(engine, bank_transactions) == 1
    assert count(engine, documents) == 1


def test_money_that_went_out_is_ignored_with_the_reason(engine: Engine) -> None:
    stored = upload(engine, row(amount="-30.50"))
    assert (stored.new, stored.matched, stored.waiting) == (1, 0, 0)
    wire = wires(engine)["W-1"]
    assert (wire.status, wire.note) == ("ignored", "money that went out")


def test_what_is_not_certain_waits_and_says_why(engine: Engine) -> None:
    stored = upload(engine, row(remittance="Rechnung Januar"))
    assert (stored.matched, stored.waiting, stored.invoices) == (0, 1, ())
    wire = wires(engine)["W-1"]
    assert (wire.status, wire.why_not) == ("unmatched", "No open invoice is named.")
    assert wire.candidates[0].number == "INV-2026-01-0047"
    assert audited(engine, "W-1")[0][3] == "No open invoice is named."


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("INV-2026-01-0050", "is paid already"),
        ("INV-2026-01-0051", "is void"),
        ("INV-2026-01-0049", "is in USD and the payment in EUR"),
        ("INV-2026-01-0999", "There is no open invoice INV-2026-01-0999"),
    ],
)
def test_an_invoice_that_cannot_be_paid_so_is_told(
    engine: Engine, number: str, reason: str
) -> None:
    upload(engine, row(remittance=number))
    assert reason in wires(engine)["W-1"].why_not


def test_a_second_wire_for_an_invoice_waits_though_the_first_is_not_booked(
    engine: Engine,
) -> None:
    stored = upload(engine, row(), row("W-2"))
    assert (stored.matched, stored.waiting) == (1, 1)
    later = upload(engine, row("W-3"))
    assert (later.matched, later.waiting) == (0, 1)
    assert "is paid already" in wires(engine)["W-3"].why_not


def test_the_account_of_an_earlier_wire_makes_its_payer_known(engine: Engine) -> None:
    upload(engine, row(amount="12.91"))
    mended = row("W-2", remittance="2026/01/0047", amount="250.00", payer_name="Treuhand")
    assert upload(engine, mended).matched == 1


def test_the_same_day_in_another_format_waits_for_a_person(engine: Engine) -> None:
    upload(engine, content=(STATEMENTS / "camt053_v02.xml").read_bytes())
    again = upload(engine, content=(STATEMENTS / "german.sta").read_bytes())
    repeated = [w for w in wires(engine).values() if w.statement_id == again.statement_id]
    notes = {str(wire.amount): wire.note for wire in repeated}
    assert "may be 2026030500001 again" in notes["312.91"]
    assert "may be 2026030500002/1 again" in notes["99.00"]
    assert again.matched == 0


# --- reversals


def test_a_reversal_takes_back_what_its_original_paid(engine: Engine) -> None:
    upload(engine, row())
    stored = upload(engine, row("R-1", amount="-312.91", remittance="recall", reverses="W-1"))
    assert (stored.new, stored.reversed, stored.waiting) == (1, 1, 0)
    assert stored.invoices == ("INV-2026-01-0047",)
    assert matches(engine)["R-1", "INV-2026-01-0047"] == "-312.91"
    found = wires(engine)
    assert found["W-1"].status == "reversed"
    assert found["R-1"].status == "matched"
    assert found["R-1"].reversal_of == found["W-1"].id
    assert audited(engine, "R-1")[0][1] == "reversal"
    # the invoice is open again for the next wire
    assert upload(engine, row("W-2")).matched == 1


def test_a_reversal_may_stand_in_the_file_of_its_original_and_before_it(engine: Engine) -> None:
    stored = upload(engine, row("R-1", amount="-312.91", reverses="W-1"), row())
    assert (stored.new, stored.matched, stored.reversed) == (2, 1, 1)
    assert sum(Decimal(amount) for amount in matches(engine).values()) == 0


def test_a_reversal_without_a_reference_finds_its_original_by_payer_and_id(
    engine: Engine,
) -> None:
    upload(engine, row(end_to_end_id="B-1"), row("W-2", remittance="other", end_to_end_id="B-2"))
    upload(engine, row("R-1", amount="-312.91", reverses="unknown", end_to_end_id="B-1"))
    found = wires(engine)
    assert found["R-1"].reversal_of == found["W-1"].id


@pytest.mark.parametrize(
    "change",
    [{"payer_iban": "DE75512108001245126199"}, {"amount": "-300.00"}, {"booked_on": "2026-03-04"}],
)
def test_a_reversal_of_something_unknown_waits(engine: Engine, change: dict[str, str]) -> None:
    upload(engine, row())
    stored = upload(engine, row("R-1", **{"amount": "-312.91", "reverses": "?", **change}))
    assert (stored.reversed, stored.waiting) == (0, 1)
    assert "no entry that is known" in wires(engine)["R-1"].why_not


def test_an_original_is_taken_back_once(engine: Engine) -> None:
    upload(engine, row())
    stored = upload(
        engine,
        row("R-1", amount="-312.91", reverses="W-1"),
        row("R-2", amount="-312.91", reverses="W-1"),
    )
    assert (stored.reversed, stored.waiting) == (1, 1)


def test_a_reversal_of_what_paid_nothing_pays_nothing_back(engine: Engine) -> None:
    upload(engine, row(remittance="?"))
    stored = upload(engine, row("R-1", amount="-312.91", reverses="W-1"))
    assert (stored.reversed, stored.invoices) == (1, ())
    found = wires(engine)
    assert (found["W-1"].status, found["R-1"].status) == ("reversed", "ignored")


# --- many at once


def test_uploads_at_once_store_and_match_each_entry_once(engine: Engine) -> None:
    rows = [row(), *(row(f"W-{n}", amount=f"{n}.00", remittance="?") for n in range(2, 30))]
    with ThreadPoolExecutor(4) as threads:
        uploads = [threads.submit(upload, engine, *rows[: 30 - n]) for n in range(4)]
        stored = [done.result() for done in uploads]
    assert sum(result.new for result in stored) == 29
    assert sum(result.matched for result in stored) == 1
    assert matches(engine) == {("W-1", "INV-2026-01-0047"): "312.91"}


def test_thousands_of_entries_are_stored_together(engine: Engine) -> None:
    rows = [
        row(f"W-{n}", amount="1.00", remittance=f"INV-2026-01-{n:04d}", payer_name=f"Payer {n}")
        for n in range(6_000)
    ]
    stored = upload(engine, *rows)
    assert (stored.new, count(engine, bank_transactions)) == (6_000, 6_000)
    assert upload(engine, *rows[1:]).known_before == 5_999


def test_a_statement_without_entries_is_stored(engine: Engine) -> None:
    header = csv_text([row()]).encode().split(b"\n")[0]
    stored = upload(engine, content=header)
    assert (stored.new, stored.invoices) == (0, ())


def test_entries_are_booked_on_their_own_day(engine: Engine) -> None:
    upload(engine, row(booked_on="2026-02-27"))
    assert wires(engine)["W-1"].booked_on == date(2026, 2, 27)
