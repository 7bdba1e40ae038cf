"""What goes out: the columns that are promised, numbers as numbers, no formulas."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from domain.periods import BillingPeriod
from storage.documents import store_document
from storage.engine import transaction
from storage.exports import EXPORTS, harmless, write_export
from storage.planning import Cycle
from storage.posting import issue_invoice
from tests.builders import (
    ACTOR,
    FEBRUARY,
    KNOWN_ANSWER,
    Subscriber,
    invoice_row,
    plan_all,
    seed_billing,
    write_csv,
)

OpenCycle = Callable[..., Cycle]
COLUMNS = {
    "invoices": "number account_number period currency usage subscriptions proration subtotal tax "
    "total amount_paid status collection_state issued_on due_on",
    "lines": "number position kind description quantity unit_price amount",
    "payments": "number method status amount currency provider_id failure_code business_date",
    "credit-notes": "number invoice currency subtotal tax total reason business_date",
    "audit": "id at business_date actor subject_kind subject event from_state to_state reason",
    "cycle-items": "account_number outcome reason number",
}


def export(engine: Engine, name: str, period: BillingPeriod | None = None) -> list[dict[str, str]]:
    target = io.StringIO()
    with transaction(engine) as connection:
        count = write_export(connection, name, period, target)
    rows = list(csv.DictReader(io.StringIO(target.getvalue())))
    assert len(rows) == count
    return rows


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_an_export_has_the_promised_columns(module_engine: Engine, name: str) -> None:
    target = io.StringIO()
    with transaction(module_engine) as connection:
        assert write_export(connection, name, None, target) == 0
    assert target.getvalue() == COLUMNS[name].replace(" ", ",") + "\n"


def test_an_invoice_is_one_row(engine: Engine, draft_1047: str) -> None:
    with transaction(engine) as connection:
        issue_invoice(connection, draft_1047, store_document(connection, b"pdf"), actor=ACTOR)
    (row,) = export(engine, "invoices", FEBRUARY)
    assert row == {
        "number": "INV-2026-02-0001",
        "account_number": "1047",
        "period": "2026-02",
        "currency": "USD",
        "usage": "163.95",
        "subscriptions": "99.00",
        "proration": "0.00",
        "subtotal": "262.95",
        "tax": "49.96",
        "total": "312.91",
        "amount_paid": "0.00",
        "status": "issued",
        "collection_state": "issued",
        "issued_on": "2026-03-01",
        "due_on": "2026-03-31",
    }


def test_lines_follow_their_position(engine: Engine, draft_1047: str) -> None:
    rows = export(engine, "lines", FEBRUARY)
    assert [(row["kind"], row["quantity"], row["unit_price"], row["amount"]) for row in rows] == [
        ("usage", "10000", "0", "0.00"),
        ("usage", "90000", "0.001", "90.00"),
        ("usage", "147891", "0.0005", "73.95"),
        ("flat", "1", "99.00", "99.00"),
    ]


def test_cycle_items_name_the_reason(engine: Engine, february: OpenCycle) -> None:
    plan_all(engine, february(Subscriber("1001"), Subscriber("1002", calls=0)))
    rows = export(engine, "cycle-items", FEBRUARY)
    assert [(row["account_number"], row["outcome"], row["number"]) for row in rows] == [
        ("1001", "drafted", "INV-2026-02-0001"),
        ("1002", "skipped", ""),
    ]
    assert rows[1]["reason"] == "no usage and no active subscription"


def test_a_period_leaves_the_others_out(engine: Engine, tmp_path: Path) -> None:
    write_csv(
        tmp_path / "invoices.csv",
        [invoice_row(), invoice_row("INV-2025-12-0001", period="2025-12")],
    )
    seed_billing(engine, tmp_path, [KNOWN_ANSWER])
    for name in ("invoices", "payments", "audit"):
        assert len(export(engine, name)) == 2
        assert len(export(engine, name, BillingPeriod(2025, 12))) == 1
        assert export(engine, name, FEBRUARY) == []


def test_the_audit_of_a_period_tells_of_its_cycle(engine: Engine, february: OpenCycle) -> None:
    february(KNOWN_ANSWER)
    (row,) = export(engine, "audit", FEBRUARY)
    assert (row["subject_kind"], row["subject"], row["event"]) == ("cycle", "2026-02", "opened")


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_formula_is_marked_as_text(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "Brandt & Söhne", "1-2", "a=b"])
def test_other_text_stays_as_it_is(cell: str) -> None:
    assert harmless(cell) == cell


def test_a_formula_in_an_account_number_reaches_no_spreadsheet(
    engine: Engine, february: OpenCycle
) -> None:
    plan_all(engine, february(Subscriber("=1+1", 20_000)))
    (row,) = export(engine, "invoices")
    assert (row["account_number"], row["total"]) == ("'=1+1", "11.90")


def test_a_negative_amount_stays_a_number(engine: Engine, draft_1047: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE invoice_line_items SET amount = -1.50 WHERE position = 1"))
    assert export(engine, "lines")[0]["amount"] == "-1.50"
