"""A draft becomes an invoice: once, unchanged, paid from the customer's credit."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Connection, Engine, update

from domain.dunning import CollectionState
from domain.errors import Conflict, NotFound
from domain.invoice import InvoiceStatus
from storage.documents import fetch_document, store_document
from storage.emails import EmailKey, prepare_email, record_refused, record_sent
from storage.engine import transaction
from storage.invoices import Invoice, load_invoice, load_timeline
from storage.planning import Cycle
from storage.posting import Posted, issue_invoice, posted_invoice
from storage.tables import invoices
from tests.builders import ACTOR, DUE_ON, ISSUED_ON, Subscriber, plan_all
from tests.storage import collecting
from tests.storage.collecting import FIRST, ON, TOTAL, add_draft, credit, receive, told, wrongs

OpenCycle = Callable[..., Cycle]
APRIL = date(2026, 4, 1)


def issue(engine: Engine, number: str) -> Posted:
    with transaction(engine) as connection:
        return issue_invoice(connection, number, store_document(connection, b"pdf"), actor=ACTOR)


def read(engine: Engine, number: str) -> Invoice:
    with transaction(engine) as connection:
        return load_invoice(connection, number)


def history(engine: Engine, number: str) -> list[tuple[str, str | None, str | None]]:
    with transaction(engine) as connection:
        return told(connection, number)


def test_issuing_posts_the_draft_unchanged(engine: Engine, draft_1047: str) -> None:
    draft = read(engine, draft_1047)
    posted = issue(engine, draft_1047)
    assert (posted.issued_on, posted.due_on) == (ISSUED_ON, DUE_ON)
    assert (posted.case.state, posted.case.open_amount) == (CollectionState.ISSUED, TOTAL)
    issued = read(engine, draft_1047)
    assert (issued.status, issued.collection_state) == ("issued", "issued")
    assert (issued.total, issued.tax_lines, issued.customer) == (
        draft.total,
        draft.tax_lines,
        draft.customer,
    )


def test_issuing_twice_is_issuing_once(engine: Engine, draft_1047: str) -> None:
    first = issue(engine, draft_1047)
    before = read(engine, draft_1047)
    assert issue(engine, draft_1047) == first
    assert read(engine, draft_1047) == before
    assert history(engine, draft_1047) == [("issued", "draft", "issued")]


def test_an_invoice_of_nothing_is_paid_at_once(engine: Engine, february: OpenCycle) -> None:
    plan_all(engine, february(Subscriber("1001", calls=500)))
    assert issue(engine, FIRST).case.is_settled
    assert issue(engine, FIRST).case.is_settled
    invoice = read(engine, FIRST)
    assert (invoice.status, invoice.settled_on) == ("paid", ISSUED_ON)
    assert history(engine, FIRST) == [("issued", "draft", "issued"), ("settled", "issued", "paid")]


def test_what_was_never_drafted_cannot_be_issued(engine: Engine, draft_1047: str) -> None:
    with pytest.raises(NotFound, match="INV-2026-02-9999"):
        issue(engine, "INV-2026-02-9999")


def test_a_void_draft_cannot_be_issued(engine: Engine, draft_1047: str) -> None:
    with transaction(engine) as connection:
        connection.execute(update(invoices).values(status="void", collection_state="void"))
    with pytest.raises(Conflict, match="is void"):
        issue(engine, draft_1047)


def test_what_was_posted_is_read_again_and_a_draft_is_not(by_wire: Connection) -> None:
    draft = add_draft(by_wire, "INV-2026-03-0001", date(2026, 3, 1))
    assert posted_invoice(by_wire, draft) is None
    posted = posted_invoice(by_wire, FIRST)
    assert posted is not None
    assert (posted.due_on, posted.case.status) == (DUE_ON, InvoiceStatus.ISSUED)
    with pytest.raises(NotFound):
        posted_invoice(by_wire, "INV-2026-02-9999")


# --- the customer's credit


@pytest.mark.parametrize(
    ("excess", "paid", "state", "left"),
    [
        ("100.00", "100.00", "issued", "0"),
        ("312.91", "312.91", "paid", "0"),
        ("400.00", "312.91", "paid", "87.09"),
    ],
)
def test_an_invoice_is_paid_from_credit_as_far_as_it_goes(
    by_wire: Connection, excess: str, paid: str, state: str, left: str
) -> None:
    receive(by_wire, TOTAL + Decimal(excess), "wire/1")
    march = add_draft(by_wire, "INV-2026-03-0001", date(2026, 3, 1))
    collecting.issue(by_wire, march)
    collecting.issue(by_wire, march)
    assert collecting.standing(by_wire, march) == (state, Decimal(paid), Decimal(0))
    assert credit(by_wire) == Decimal(left)
    assert wrongs(by_wire) == []


def test_credit_pays_the_next_invoice_once(by_wire: Connection) -> None:
    receive(by_wire, "412.91", "wire/1")
    for number in ("INV-2026-03-0001", "INV-2026-04-0001"):
        month = date.fromisoformat(f"{number[4:11]}-01")
        collecting.issue(by_wire, add_draft(by_wire, number, month))
    assert collecting.standing(by_wire, "INV-2026-03-0001")[1] == Decimal(100)
    assert collecting.standing(by_wire, "INV-2026-04-0001")[1] == Decimal(0)


def test_credit_in_another_currency_pays_nothing(by_wire: Connection) -> None:
    collecting.rows(
        by_wire,
        "INSERT INTO credit_balances SELECT id, 'EUR', 500 FROM customers RETURNING balance",
    )
    march = add_draft(by_wire, "INV-2026-03-0001", date(2026, 3, 1))
    collecting.issue(by_wire, march)
    assert collecting.standing(by_wire, march) == ("issued", Decimal(0), Decimal(0))


# --- documents and e-mails


def test_a_document_is_stored_once(engine: Engine) -> None:
    with transaction(engine) as connection:
        hashes = {store_document(connection, b"%PDF") for _ in range(2)}
        (sha256,) = hashes
        assert fetch_document(connection, sha256) == b"%PDF"
        with pytest.raises(NotFound, match="no document"):
            fetch_document(connection, "0" * 64)


def test_an_email_is_sent_once_and_told_once(by_wire: Connection) -> None:
    key = EmailKey(FIRST, "reminder", 2)
    values = {"recipients": ["a@b.example"], "subject": "s", "business_date": ON}
    assert prepare_email(by_wire, key, **values)
    for _ in range(2):
        record_sent(by_wire, key, business_date=ON, actor=ACTOR)
    assert not prepare_email(by_wire, key, **values)
    assert told(by_wire)[1:] == [("reminder_email_sent", None, None)]


def test_a_refused_email_is_told_once_with_its_reason(by_wire: Connection) -> None:
    key = EmailKey(FIRST, "reminder", 2)
    for _ in range(2):
        record_refused(by_wire, key, reason="no such mailbox", business_date=ON, actor=ACTOR)
    (_, entry) = load_timeline(by_wire, FIRST)
    assert (entry.event, entry.reason) == ("reminder_email_refused", "no such mailbox")
