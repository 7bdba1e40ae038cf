"""What moves an invoice: issue, payment, overdue. Each once, each in the audit log."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from domain.errors import Conflict, NotFound
from storage.documents import fetch_document, store_document
from storage.emails import EmailKey, prepare_email, record_refused, record_sent
from storage.engine import transaction
from storage.invoices import Invoice, load_invoice, load_timeline
from storage.planning import Cycle
from storage.posting import Posted, Standing, issue_invoice, mark_overdue, settle_if_paid
from storage.tables import invoices, payments
from tests.builders import ACTOR, ISSUED_ON, Subscriber, plan_all

OpenCycle = Callable[..., Cycle]
DUE_ON = date(2026, 3, 31)
PAID_ON = date(2026, 3, 5)


def issue(engine: Engine, number: str) -> Posted:
    with transaction(engine) as connection:
        return issue_invoice(connection, number, store_document(connection, b"pdf"), actor=ACTOR)


@pytest.fixture
def issued(engine: Engine, draft_1047: str) -> str:
    """The number of account 1047's issued invoice of 312.91 USD."""
    issue(engine, draft_1047)
    return draft_1047


def pay(engine: Engine, number: str, amount: str, status: str = "succeeded") -> Standing:
    with transaction(engine) as connection:
        invoice_id = load_invoice(connection, number).id
        count = len(connection.execute(select(payments)).all())
        connection.execute(
            insert(payments).values(
                invoice_id=invoice_id,
                method="bank_transfer",
                status=status,
                amount=Decimal(amount),
                currency="USD",
                idempotency_key=f"{number}/{count}",
                business_date=PAID_ON,
            )
        )
        return settle_if_paid(connection, number, business_date=PAID_ON, actor=ACTOR)


def read(engine: Engine, number: str) -> Invoice:
    with transaction(engine) as connection:
        return load_invoice(connection, number)


def told(engine: Engine, number: str) -> list[tuple[str, str | None, str | None]]:
    with transaction(engine) as connection:
        timeline = load_timeline(connection, number)
    return [(entry.event, entry.from_state, entry.to_state) for entry in timeline]


def overdue(engine: Engine, number: str, on: date) -> Standing:
    with transaction(engine) as connection:
        return mark_overdue(connection, number, business_date=on, actor=ACTOR)


def test_issuing_posts_the_draft_unchanged(engine: Engine, draft_1047: str) -> None:
    draft = read(engine, draft_1047)
    assert issue(engine, draft_1047) == Posted(ISSUED_ON, DUE_ON, nothing_to_pay=False)
    posted = read(engine, draft_1047)
    assert (posted.status, posted.collection_state) == ("issued", "issued")
    assert (posted.total, posted.tax_lines, posted.customer) == (
        draft.total,
        draft.tax_lines,
        draft.customer,
    )
    assert posted.open_amount == Decimal("312.91")


def test_issuing_twice_is_issuing_once(engine: Engine, issued: str) -> None:
    before = read(engine, issued)
    again = issue(engine, issued)
    assert again == Posted(ISSUED_ON, DUE_ON, nothing_to_pay=False)
    assert read(engine, issued) == before
    assert told(engine, issued) == [("issued", "draft", "issued")]


def test_an_invoice_of_nothing_is_paid_at_once(engine: Engine, february: OpenCycle) -> None:
    plan_all(engine, february(Subscriber("1001", calls=500)))
    number = "INV-2026-02-0001"
    assert issue(engine, number).nothing_to_pay
    assert issue(engine, number).nothing_to_pay
    invoice = read(engine, number)
    assert (invoice.status, invoice.settled_on) == ("paid", ISSUED_ON)
    assert told(engine, number) == [("issued", "draft", "issued"), ("paid", "issued", "paid")]


def test_what_was_never_drafted_cannot_be_issued(engine: Engine, draft_1047: str) -> None:
    with pytest.raises(NotFound, match="INV-2026-02-9999"):
        issue(engine, "INV-2026-02-9999")


def test_a_part_payment_leaves_the_rest_open(engine: Engine, issued: str) -> None:
    assert pay(engine, issued, "100.00") == Standing("issued", Decimal("212.91"))
    assert read(engine, issued).amount_paid == Decimal("100.00")
    assert told(engine, issued) == [("issued", "draft", "issued")]


def test_the_payment_that_covers_the_rest_settles(engine: Engine, issued: str) -> None:
    pay(engine, issued, "100.00")
    standing = pay(engine, issued, "212.91")
    assert standing == Standing("paid", Decimal(0))
    assert standing.settled
    assert read(engine, issued).settled_on == PAID_ON
    assert told(engine, issued)[-1] == ("paid", "issued", "paid")


@pytest.mark.parametrize("status", ["pending", "failed", "reversed"])
def test_only_money_that_came_counts(engine: Engine, issued: str, status: str) -> None:
    assert pay(engine, issued, "312.91", status) == Standing("issued", Decimal("312.91"))


def test_settling_again_changes_nothing(engine: Engine, issued: str) -> None:
    pay(engine, issued, "312.91")
    before = told(engine, issued)
    with transaction(engine) as connection:
        again = settle_if_paid(connection, issued, business_date=date(2026, 4, 9), actor=ACTOR)
    assert again == Standing("paid", Decimal(0))
    assert told(engine, issued) == before
    assert read(engine, issued).settled_on == PAID_ON


def test_what_exceeds_the_balance_is_refused(engine: Engine, issued: str) -> None:
    with pytest.raises(IntegrityError, match="check constraint"):
        pay(engine, issued, "312.92")
    assert read(engine, issued).amount_paid == 0


def test_a_credit_counts_towards_the_balance(engine: Engine, issued: str) -> None:
    with transaction(engine) as connection:
        connection.execute(invoices.update().values(amount_credited=Decimal("12.91")))
    assert pay(engine, issued, "300.00").status == "paid"


def test_a_draft_is_not_settled(engine: Engine, draft_1047: str) -> None:
    with transaction(engine) as connection:
        standing = settle_if_paid(connection, draft_1047, business_date=PAID_ON, actor=ACTOR)
    assert standing.status == "draft"


@pytest.mark.parametrize("on", [ISSUED_ON, DUE_ON])
def test_nothing_is_overdue_before_its_due_date_has_passed(
    engine: Engine, issued: str, on: date
) -> None:
    with pytest.raises(Conflict, match="is due on 2026-03-31 and not overdue"):
        overdue(engine, issued, on)


def test_an_open_invoice_is_overdue_the_day_after(engine: Engine, issued: str) -> None:
    pay(engine, issued, "100.00")
    assert overdue(engine, issued, date(2026, 4, 1)) == Standing("overdue", Decimal("212.91"))
    assert overdue(engine, issued, date(2026, 4, 2)).status == "overdue"
    assert told(engine, issued)[1:] == [("overdue", "issued", "overdue")]


def test_a_paid_invoice_does_not_become_overdue(engine: Engine, issued: str) -> None:
    pay(engine, issued, "312.91")
    assert overdue(engine, issued, date(2026, 4, 1)).status == "paid"


def test_an_overdue_invoice_is_settled_by_payment(engine: Engine, issued: str) -> None:
    overdue(engine, issued, date(2026, 4, 1))
    assert pay(engine, issued, "312.91").status == "paid"


def test_a_document_is_stored_once(engine: Engine) -> None:
    with transaction(engine) as connection:
        hashes = {store_document(connection, b"%PDF") for _ in range(2)}
        (sha256,) = hashes
        assert fetch_document(connection, sha256) == b"%PDF"
        with pytest.raises(NotFound, match="no document"):
            fetch_document(connection, "0" * 64)


def test_an_email_is_sent_once_and_told_once(engine: Engine, issued: str) -> None:
    key = EmailKey(issued, "reminder", 2)
    with transaction(engine) as connection:
        values = {"recipients": ["a@b.example"], "subject": "s", "business_date": PAID_ON}
        assert prepare_email(connection, key, **values)
        for _ in range(2):
            record_sent(connection, key, business_date=PAID_ON, actor=ACTOR)
        assert not prepare_email(connection, key, **values)
    assert told(engine, issued)[1:] == [("reminder_email_sent", None, None)]


def test_a_refused_email_is_told_with_its_reason(engine: Engine, issued: str) -> None:
    key = EmailKey(issued, "reminder", 2)
    with transaction(engine) as connection:
        record_refused(
            connection, key, reason="no such mailbox", business_date=PAID_ON, actor=ACTOR
        )
        (_, entry) = load_timeline(connection, issued)
    assert (entry.event, entry.reason) == ("reminder_email_refused", "no such mailbox")


def test_a_void_draft_cannot_be_issued(engine: Engine, draft_1047: str) -> None:
    with transaction(engine) as connection:
        connection.execute(update(invoices).values(status="void", collection_state="void"))
    with pytest.raises(Conflict, match="is void"):
        issue(engine, draft_1047)
