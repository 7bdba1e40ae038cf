"""Figures for operators: what is open, what waits, and for how long."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from storage.engine import transaction
from tests.api.collected import KINDS, Month
from tests.api.conftest import PATIENCE, Product

Samples = dict[tuple[str, str], float]
WAITING = (
    *("webhook_events", "instructions", "unmatched_wires", "unbooked_wires", "charges"),
    *("refunds", "emails"),
)


async def samples(product: Product) -> Samples:
    """Value by name and label."""
    answer = await product.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name.removeprefix("billwright_"), "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_nothing_is_told_as_nothing(sellerless: Product) -> None:
    found = await samples(sellerless)
    assert set(found.values()) == {0}
    assert {label for name, label in found if name == "waiting"} == set(WAITING)
    assert {label for name, label in found if name == "open_invoices"} == {
        *("issued", "payment_attempted", "retry_scheduled", "reminder_sent", "urgent_notice"),
        "manual_review",
    }


async def test_open_invoices_are_counted_by_state(month: Month) -> None:
    number = month.take("wired")
    before = await samples(month.product)
    assert 0 < before["open_invoices", "manual_review"] <= KINDS["refused"]
    await month.done(number, "hold")
    after = await samples(month.product)
    assert after["invoices_on_hold", ""] == before["invoices_on_hold", ""] + 1
    await month.done(number, "void", reason="never ordered")
    voided = await samples(month.product)
    assert voided["open_invoices", "issued"] == before["open_invoices", "issued"] - 1
    assert voided["invoices_on_hold", ""] == before["invoices_on_hold", ""]


STORED = {
    "webhook_events": (
        "INSERT INTO webhook_events (event_id, type, payload, received_at) "
        "VALUES ('evt_1', 'x', '{}', now() - :age), ('evt_2', 'x', '{}', now())"
    ),
    "unmatched_wires": (
        "INSERT INTO bank_transactions (bank_reference, booked_on, amount, currency, payer_name, "
        "payer_iban, remittance, status, received_at) "
        "VALUES ('1', '2026-03-01', 1, 'USD', '', '', '', 'unmatched', now() - :age), "
        "('2', '2026-03-01', 1, 'USD', '', '', '', 'unmatched', now()), "
        "('3', '2026-03-01', 1, 'USD', '', '', '', 'ignored', now() - interval '1 year')"
    ),
}


@pytest.mark.parametrize("what", STORED)
async def test_what_waits_is_counted_with_the_age_of_the_oldest(
    books: Product, engine: Engine, what: str
) -> None:
    with transaction(engine) as connection:
        connection.execute(text(STORED[what]), {"age": timedelta(hours=2)})
    found = await samples(books)
    assert found["waiting", what] == 2
    assert 7_200 <= found["waiting_oldest_seconds", what] < 7_260
    assert sum(value for (name, _), value in found.items() if name == "waiting") == 2


async def emails_wait(month: Month, count: int) -> None:
    """Waits until so many e-mails wait: the month's own may be on their way beside the test's."""
    async with asyncio.timeout(PATIENCE):
        while (await samples(month.product))["waiting", "emails"] != count:
            await asyncio.sleep(0.05)


async def test_an_email_waits_until_it_is_sent_or_refused_for_good(month: Month) -> None:
    number = month.take("wired")
    await emails_wait(month, 0)
    with transaction(month.product.engine) as connection:
        connection.execute(
            text(
                "INSERT INTO emails (invoice_id, kind, step, message_id, recipients, subject, "
                "business_date) SELECT id, 'reminder', 77, '<reminder.77>', '{a@b.example}', 'x', "
                "'2026-03-01' FROM invoices WHERE number = :number"
            ),
            {"number": number},
        )
    await emails_wait(month, 1)
    with transaction(month.product.engine) as connection:
        connection.execute(
            text(
                "INSERT INTO audit_log (business_date, actor, subject_kind, subject, event, "
                "details) VALUES ('2026-03-01', 'x', 'invoice', :number, 'reminder_email_refused', "
                '\'{"message_id": "<reminder.77>"}\')'
            ),
            {"number": number},
        )
    await emails_wait(month, 0)
