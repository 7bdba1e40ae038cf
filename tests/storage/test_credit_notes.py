"""Credit notes are numbered without gaps and doubles, and come back as they were written."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import IntegrityError

from domain.crediting import (
    CreditableInvoice,
    CreditedSoFar,
    CreditExceedsInvoice,
    CreditNoteDraft,
    InvoicedLine,
    NothingLeftToCredit,
    RefundTo,
    credit_amount,
    credit_in_full,
    credit_lines,
)
from domain.errors import Conflict, NotFound
from storage.credit_notes import (
    CreditNote,
    credit_notes_of,
    credited_so_far,
    load_credit_note,
    set_credit_note_pdf,
    write_credit_note,
)
from storage.documents import store_document
from storage.engine import transaction
from storage.invoices import Invoice, load_invoice, load_lines
from storage.planning import Cycle
from storage.posting import issue_invoice
from storage.tables import credit_notes
from tests.builders import ACTOR, plan_all, subscribers

OpenCycle = Callable[..., Cycle]
ON = date(2026, 3, 12)
WRITERS = 6


@pytest.fixture
def issued(engine: Engine, draft_1047: str) -> Invoice:
    """Account 1047's issued invoice of 312.91 USD."""
    return issue(engine, draft_1047)


def issue(engine: Engine, number: str) -> Invoice:
    with transaction(engine) as connection:
        issue_invoice(connection, number, store_document(connection, b"pdf"), actor=ACTOR)
        return load_invoice(connection, number)


def creditable(connection: Connection, invoice: Invoice) -> CreditableInvoice:
    lines = load_lines(connection, invoice.id)
    return CreditableInvoice(
        str(invoice.number),
        invoice.currency,
        tuple(InvoicedLine(line.position, line.description, line.amount) for line in lines),
        invoice.tax_lines,
    )


def write(
    connection: Connection, invoice: Invoice, draft: CreditNoteDraft, **changes: Any
) -> CreditNote:
    values = {
        "reason": "Support was not delivered.",
        "refund_to": RefundTo.NOWHERE,
        "returned_amount": Decimal(0),
        "voids": False,
        "business_date": ON,
        "by": ACTOR,
        **changes,
    }
    return write_credit_note(connection, invoice.id, draft, **values)


def credit(
    connection: Connection, invoice: Invoice, amount: str | None = "1.00", **changes: Any
) -> CreditNote:
    """A credit note of `amount`, or of all that is left."""
    whole, earlier = creditable(connection, invoice), credited_so_far(connection, invoice.id)
    draft = (
        credit_in_full(whole, earlier)
        if amount is None
        else credit_amount(whole, earlier, Decimal(amount))
    )
    return write(connection, invoice, draft, **changes)


def numbers(engine: Engine) -> list[str]:
    with transaction(engine) as connection:
        return list(connection.execute(select(credit_notes.c.number)).scalars())


# --- what is kept


def test_a_credit_note_comes_back_as_it_was_written(engine: Engine, issued: Invoice) -> None:
    with transaction(engine) as connection:
        draft = credit_lines(creditable(connection, issued), CreditedSoFar(), {4: None})
        written = write(
            connection,
            issued,
            draft,
            refund_to=RefundTo.CARD,
            returned_amount=Decimal("117.81"),
            voids=True,
        )
    assert written == CreditNote(
        number="CN-2026-03-0001",
        invoice_number="INV-2026-02-0001",
        draft=draft,
        reason="Support was not delivered.",
        refund_to=RefundTo.CARD,
        returned_amount=Decimal("117.81"),
        voids=True,
        business_date=ON,
        created_by=ACTOR,
        pdf_sha256=None,
    )
    with transaction(engine) as connection:
        assert load_credit_note(connection, written.number) == written
        assert credit_notes_of(connection, issued.id) == [written]
        row = connection.execute(select(credit_notes)).one()
    assert (row.subtotal, row.tax, row.total) == (draft.subtotal, draft.tax, draft.total)
    assert row.lines == [{"position": 4, "description": "Premium support", "amount": "99.00"}]


def test_an_invoice_without_credit_notes_has_nothing_credited(
    engine: Engine, issued: Invoice
) -> None:
    with transaction(engine) as connection:
        assert credited_so_far(connection, issued.id) == CreditedSoFar()


def test_notes_read_back_add_up_to_the_invoice(engine: Engine, issued: Invoice) -> None:
    for amount in ("0.05", "100.00", "33.33", None):
        with transaction(engine) as connection:
            credit(connection, issued, amount)
    with transaction(engine) as connection:
        credited = credited_so_far(connection, issued.id)
        lines = load_lines(connection, issued.id)
        with pytest.raises(NothingLeftToCredit):
            credit(connection, issued)
    assert credited.lines == {line.position: line.amount for line in lines if line.amount}
    assert credited.taxes == {tax.treatment: tax.amount for tax in issued.tax_lines}


def test_what_an_earlier_note_took_is_not_left_for_the_next(
    engine: Engine, issued: Invoice
) -> None:
    with transaction(engine) as connection:
        credit(connection, issued, "300.00")
    with (
        pytest.raises(CreditExceedsInvoice, match=r"12\.91 USD left"),
        transaction(engine) as connection,
    ):
        credit(connection, issued, "12.92")


def test_money_that_is_returned_names_its_way(engine: Engine, issued: Invoice) -> None:
    for changes in ({"refund_to": RefundTo.CARD}, {"returned_amount": Decimal("0.50")}):
        with pytest.raises(IntegrityError, match="check"), transaction(engine) as connection:
            credit(connection, issued, **changes)


def test_what_was_never_issued_is_not_found(engine: Engine) -> None:
    with transaction(engine) as connection:
        with pytest.raises(NotFound, match="CN-2026-03-0001"):
            load_credit_note(connection, "CN-2026-03-0001")
        with pytest.raises(NotFound, match="CN-2026-03-0001"):
            set_credit_note_pdf(connection, "CN-2026-03-0001", "0" * 64)


def test_a_credit_note_keeps_its_first_document(engine: Engine, issued: Invoice) -> None:
    with transaction(engine) as connection:
        note, other = credit(connection, issued), credit(connection, issued)
        first, second = (store_document(connection, content) for content in (b"1", b"2"))
        for _ in range(2):
            set_credit_note_pdf(connection, note.number, first)
        with pytest.raises(Conflict, match="keeps its document"):
            set_credit_note_pdf(connection, note.number, second)
        assert load_credit_note(connection, note.number).pdf_sha256 == first
        assert load_credit_note(connection, other.number).pdf_sha256 is None


# --- numbers


def test_each_month_has_its_own_series(engine: Engine, issued: Invoice) -> None:
    with transaction(engine) as connection:
        given = [
            credit(connection, issued, business_date=on).number
            for on in (ON, date(2026, 4, 1), date(2026, 3, 31), date(2026, 4, 30))
        ]
    assert given == ["CN-2026-03-0001", "CN-2026-04-0001", "CN-2026-03-0002", "CN-2026-04-0002"]


def test_the_ten_thousandth_note_follows_the_one_before(engine: Engine, issued: Invoice) -> None:
    with transaction(engine) as connection:
        credit(connection, issued)
        connection.execute(text("UPDATE credit_notes SET number = 'CN-2026-03-9999'"))
        given = [credit(connection, issued).number for _ in range(2)]
    assert given == ["CN-2026-03-10000", "CN-2026-03-10001"]


def give_up(engine: Engine, invoice: Invoice) -> str:
    """Writes a credit note, takes it back, and tells its number."""
    with engine.connect() as connection:
        number = credit(connection, invoice).number
        connection.rollback()
        return number


def test_a_number_that_was_rolled_back_is_given_to_the_next(
    engine: Engine, issued: Invoice
) -> None:
    assert give_up(engine, issued) == "CN-2026-03-0001"
    with transaction(engine) as connection:
        assert credit(connection, issued).number == "CN-2026-03-0001"


def test_many_writers_at_once_leave_no_gap_and_no_double(
    engine: Engine, february: OpenCycle
) -> None:
    plan_all(engine, february(*subscribers(WRITERS)))
    invoices = [issue(engine, f"INV-2026-02-{n:04d}") for n in range(1, WRITERS + 1)]
    start = Barrier(WRITERS)

    def write_some(invoice: Invoice) -> list[str]:
        start.wait(timeout=30)
        given = []
        for _ in range(4):
            give_up(engine, invoice)
            with transaction(engine) as connection:
                given.append(credit(connection, invoice).number)
        return given

    with ThreadPoolExecutor(WRITERS) as threads:
        given = [number for some in threads.map(write_some, invoices) for number in some]
    assert sorted(given) == sorted(numbers(engine))
    assert sorted(given) == [f"CN-2026-03-{n:04d}" for n in range(1, 4 * WRITERS + 1)]


@pytest.mark.parametrize(
    ("committed", "second"), [(True, "CN-2026-03-0002"), (False, "CN-2026-03-0001")]
)
def test_the_second_writer_waits_for_the_first(
    engine: Engine, february: OpenCycle, committed: bool, second: str
) -> None:
    plan_all(engine, february(*subscribers(2)))
    one, other = (issue(engine, f"INV-2026-02-000{n}") for n in (1, 2))

    def write_second() -> str:
        with transaction(engine) as connection:
            return credit(connection, other).number

    with ThreadPoolExecutor(1) as thread, engine.connect() as connection:
        first = connection.begin()
        assert credit(connection, one).number == "CN-2026-03-0001"
        waiting = thread.submit(write_second)
        wait_until_locked(engine)
        if committed:
            first.commit()
        else:
            first.rollback()
        assert waiting.result(timeout=30) == second


def test_months_do_not_wait_for_each_other(engine: Engine, issued: Invoice) -> None:
    with engine.connect() as march, engine.connect() as april:
        credit(march, issued)
        april.execute(text("SET LOCAL lock_timeout = '5s'"))
        given = credit(april, issued, business_date=date(2026, 4, 1)).number
    assert given == "CN-2026-04-0001"


def wait_until_locked(engine: Engine) -> None:
    """Returns once a session of this database waits for an advisory lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event = 'advisory'"
    )
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with transaction(engine) as connection:
            if connection.execute(waiting).scalar_one():
                return
        time.sleep(0.01)
    pytest.fail("no session waits for the series")
