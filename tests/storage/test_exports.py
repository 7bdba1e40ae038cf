"""What goes out: the columns that are promised, numbers as numbers, no formulas."""

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, insert, select, text

from domain.crediting import RefundTo
from domain.instructions import InstructionKind
from domain.periods import BillingPeriod
from storage.charges import begin_attempt, record_provider_id, record_success
from storage.collection import LockedInvoice
from storage.crediting import CreditRequest, credit_invoice, void_invoice
from storage.documents import store_document
from storage.emails import EmailKey, prepare_email, record_sent
from storage.engine import transaction
from storage.exports import EXPORTS, harmless, write_export
from storage.instructions import ask, carry_out
from storage.planning import Cycle
from storage.posting import issue_invoice
from storage.tables import bank_matches, bank_transactions, invoices
from tests.builders import (
    ACTOR,
    FEBRUARY,
    ISSUED_ON,
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
    "total amount_paid status collection_state issued_on due_on discounts late service_month",
    "lines": "number position kind description quantity unit_price amount service_month",
    "payments": "number method status amount currency provider_id failure_code business_date "
    "allocated returned attempt",
    "credit-notes": "number invoice currency subtotal tax total reason business_date refund_to "
    "returned_amount voids",
    "audit": "id at business_date actor subject_kind subject event from_state to_state reason "
    "details",
    "cycle-items": "account_number outcome reason number late_month",
    "emails": "number kind step message_id recipients subject business_date prepared_at sent_at",
    "instructions": "id number kind details note person asked_at decided_at outcome answer",
    "bank-transactions": "bank_reference booked_on amount currency payer_name payer_iban "
    "remittance end_to_end_id status match_kind invoices note decided_by",
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
        "discounts": "0.00",
        "late": "0.00",
        "service_month": "2026-02",
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


# --- what was collected


@pytest.fixture
def issued(engine: Engine, draft_1047: str) -> str:
    """The number of account 1047's invoice: 312.91 USD, issued on 1 March 2026."""
    with transaction(engine) as connection:
        issue_invoice(connection, draft_1047, store_document(connection, b"pdf"), actor=ACTOR)
    return draft_1047


def locked(connection: Connection, number: str) -> LockedInvoice:
    return LockedInvoice(connection, number, business_date=ISSUED_ON, actor=ACTOR)


def charged(engine: Engine, number: str) -> None:
    """Charges the card on file with what is open."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "UPDATE customers SET payment_method = 'card', stripe_customer_id = 'cus_1', "
                "stripe_payment_method_id = 'pm_1'"
            )
        )
        attempt = begin_attempt(locked(connection, number), 1)
        assert attempt is not None
        record_provider_id(locked(connection, number), attempt, "pi_1")
        record_success(locked(connection, number), attempt.id)


def test_a_payment_tells_where_its_money_went(engine: Engine, issued: str) -> None:
    charged(engine, issued)
    with transaction(engine) as connection:
        request = CreditRequest("goodwill", RefundTo.CARD, Decimal("11.90"))
        credit_invoice(locked(connection, issued), request)
    (row,) = export(engine, "payments", FEBRUARY)
    assert row == {
        "number": issued,
        "method": "card",
        "status": "succeeded",
        "amount": "312.91",
        "currency": "USD",
        "provider_id": "pi_1",
        "failure_code": "",
        "business_date": "2026-03-01",
        "allocated": "301.01",
        "returned": "11.90",
        "attempt": "1",
    }


def test_a_credit_note_tells_what_was_returned_and_whether_it_voids(
    engine: Engine, issued: str
) -> None:
    charged(engine, issued)
    with transaction(engine) as connection:
        request = CreditRequest("=goodwill", RefundTo.CARD, Decimal("11.90"))
        credit_invoice(locked(connection, issued), request)
        void_invoice(locked(connection, issued), reason="billed twice")
    told = [
        {name: row[name] for name in ("number", "total", "refund_to", "returned_amount", "voids")}
        for row in export(engine, "credit-notes", FEBRUARY)
    ]
    assert told == [
        {
            "number": "CN-2026-03-0001",
            "total": "11.90",
            "refund_to": "card",
            "returned_amount": "11.90",
            "voids": "false",
        },
        {
            "number": "CN-2026-03-0002",
            "total": "301.01",
            "refund_to": "credit",
            "returned_amount": "301.01",
            "voids": "true",
        },
    ]
    assert export(engine, "credit-notes")[0]["reason"] == "'=goodwill"


def test_an_e_mail_is_one_row_sent_or_not(engine: Engine, issued: str) -> None:
    with transaction(engine) as connection:
        for kind in ("invoice", "reminder"):
            prepare_email(
                connection,
                EmailKey(issued, kind, 0),
                recipients=["a@b.example", "c@d.example"],
                subject=f"The {kind}",
                business_date=ISSUED_ON,
            )
        record_sent(connection, EmailKey(issued, "invoice", 0), business_date=ISSUED_ON, actor="x")
    sent, waiting = export(engine, "emails", FEBRUARY)
    assert (sent["kind"], sent["recipients"]) == ("invoice", "a@b.example; c@d.example")
    assert sent["message_id"] == EmailKey(issued, "invoice", 0).message_id
    assert datetime.fromisoformat(sent["sent_at"]) >= datetime.fromisoformat(sent["prepared_at"])
    assert (waiting["subject"], waiting["sent_at"]) == ("The reminder", "")
    assert export(engine, "emails", BillingPeriod(2026, 1)) == []


def test_an_instruction_tells_who_asked_and_what_came_of_it(engine: Engine, issued: str) -> None:
    with transaction(engine) as connection:
        kinds = InstructionKind
        details = {"refund_to": "credit", "amount": "11.90"}
        credit = ask(
            connection, issued, kinds.CREDIT_NOTE, note="=x", person="Ada", details=details
        )
        refused = ask(connection, issued, kinds.WRITE_OFF, note="lost", person="Grace")
        ask(connection, issued, kinds.HOLD, note="", person="Ada")
        for instruction in (credit, refused):
            carry_out(connection, issued, instruction, business_date=ISSUED_ON)
    rows = export(engine, "instructions", FEBRUARY)
    told = [(row["kind"], row["person"], row["note"], row["outcome"]) for row in rows]
    assert told == [
        ("credit_note", "Ada", "'=x", "done"),
        ("write_off", "Grace", "lost", "refused"),
        ("hold", "Ada", "", ""),
    ]
    assert rows[0]["answer"] == "CN-2026-03-0001"
    assert json.loads(rows[0]["details"]) == details
    assert "not in manual review" in rows[1]["answer"]


def test_a_bank_transaction_names_the_invoices_that_it_pays(engine: Engine, issued: str) -> None:
    with transaction(engine) as connection:
        wires = [
            connection.execute(
                insert(bank_transactions)
                .values(
                    bank_reference=reference,
                    booked_on=ISSUED_ON,
                    amount=Decimal("312.91"),
                    currency="USD",
                    payer_name="Brandt & Söhne",
                    payer_iban="",
                    remittance=remittance,
                    status=status,
                )
                .returning(bank_transactions.c.id)
            ).scalar_one()
            for reference, remittance, status in (("B1", issued, "matched"), ("B2", "-", "ignored"))
        ]
        invoice = connection.execute(select(invoices.c.id)).scalar_one()
        connection.execute(
            insert(bank_matches).values(
                bank_transaction_id=wires[0], invoice_id=invoice, amount=Decimal("312.91")
            )
        )
    matched, ignored = export(engine, "bank-transactions")
    assert (matched["bank_reference"], matched["amount"], matched["invoices"]) == (
        *("B1", "312.91", issued),
    )
    assert (ignored["invoices"], ignored["remittance"]) == ("", "'-")
    assert export(engine, "bank-transactions", FEBRUARY) == [matched]
    assert export(engine, "bank-transactions", BillingPeriod(2026, 1)) == []


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
