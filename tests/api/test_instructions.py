"""What the finance team asks of an invoice: done with its number, or refused with the reason."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api import invoice_signals
from storage.engine import transaction
from tests.activities.mail_server import MailServer, text_of
from tests.api.collected import TOTAL, Month
from tests.api.conftest import (
    INVOICES,
    PATIENCE,
    Product,
    assert_problem,
    nobody,
    running,
    until,
    working,
)
from tests.api.payers import issue_february
from tests.builders import Subscriber

NOTE = "agreed by telephone"


# --- resolutions


async def test_money_received_elsewhere_settles_the_case(month: Month) -> None:
    number = month.take("refused")
    done = await month.done(number, "resolve", resolution="paid_elsewhere", note=NOTE)
    assert done["invoice"]["status"] == "paid"
    assert (done["invoice"]["amount_paid"], done["invoice"]["open_amount"]) == (TOTAL, "0.00")
    assert done["instruction"]["person"] == "the finance key"
    assert done["credit_note"] is None
    *_, payment = await month.get(number, "/payments")
    assert (payment["method"], payment["allocated"], payment["note"]) == ("other", TOTAL, NOTE)


async def test_a_case_that_is_written_off_asks_for_nothing_more(month: Month) -> None:
    done = await month.done(
        month.take("refused"), "resolve", resolution="write_off", note="insolvent"
    )
    assert done["invoice"]["status"] == "uncollectible"
    assert done["invoice"]["open_amount"] == "0.00"
    assert done["invoice"]["next_step"] is None


async def test_a_case_that_is_extended_counts_from_the_day_given(month: Month) -> None:
    number = month.take("refused")
    done = await month.done(number, "resolve", resolution="extend", note=NOTE, until="2026-03-20")
    assert done["invoice"]["collection_state"] == "issued"
    assert done["invoice"]["next_step"] == {
        "on": "2026-03-20",
        "what": "review_notice",
        "charges_card": False,
    }


async def test_a_card_that_is_charged_again_and_declined_stays_in_review(month: Month) -> None:
    number = month.take("refused")
    await month.done(number, "resolve", resolution="charge_again", note=NOTE)
    await until(lambda: attempts(month.product, number) == ["failed", "failed"])
    assert (await month.get(number))["collection_state"] == "manual_review"


async def test_a_case_that_is_voided_names_its_credit_note(month: Month) -> None:
    number = month.take("refused")
    done = await month.done(number, "resolve", resolution="void_by_credit_note", note="never used")
    assert done["invoice"]["status"] == "void"
    assert done["credit_note"] == done["instruction"]["answer"]
    credit_note = await month.product.get(f"/api/billing/credit-notes/{done['credit_note']}")
    assert (credit_note["total"], credit_note["voids"]) == (TOTAL, True)


async def test_a_resolution_outside_manual_review_is_refused_with_the_reason(month: Month) -> None:
    number = month.take("wired")
    answer = await month.ask(number, "resolve", resolution="write_off", note=NOTE)
    assert_problem(answer, 409, number, "not in manual review")
    (asked,) = await month.get(number, "/instructions")
    assert (asked["outcome"], asked["kind"]) == ("refused", "write_off")
    *_, told = await month.get(number, "/timeline")
    assert (told["event"], told["details"]) == ("write_off_refused", {"note": NOTE})


async def test_a_day_that_is_over_extends_nothing(month: Month) -> None:
    number = month.take("refused")
    answer = await month.ask(number, "resolve", resolution="extend", note=NOTE, until="2026-02-01")
    assert_problem(answer, 409, "2026-02-01 is not after 2026-03-01")


# --- hold, release, resend


async def test_a_hold_stops_the_reminders_until_the_release(month: Month) -> None:
    number = month.take("wired")
    held = await month.done(number, "hold", note="quantity in dispute")
    assert held["invoice"]["on_hold"] is True
    assert held["invoice"]["next_step"] == {
        "on": "2026-04-01",
        "what": "overdue",
        "charges_card": False,
    }
    assert (await month.done(number, "release", note=NOTE))["invoice"]["on_hold"] is False
    assert_problem(await month.ask(number, "release", note=NOTE), 409, "not on hold")
    events = [entry["event"] for entry in await month.get(number, "/timeline")]
    assert events[-3:] == ["held", "released", "release_refused"]


async def test_the_invoice_is_sent_once_more(month: Month) -> None:
    number = month.take("wired")
    await until(lambda: len(mails(month, number)) == 1)
    await month.done(number, "resend")
    await until(lambda: len(mails(month, number)) == 2)
    emails = await month.get(number, "/emails")
    assert [mail["kind"] for mail in emails] == ["invoice", "invoice"]
    assert emails[0]["message_id"] != emails[1]["message_id"]
    assert emails[0]["recipients"]


async def test_renewed_links_close_the_page_of_the_old_one(month: Month) -> None:
    number = month.take("wired")
    await until(lambda: len(mails(month, number)) == 1)
    before = pay_link(month, number)
    assert (await month.product.http.get(before)).status_code == 200
    await month.done(number, "renew-links", note="forwarded to a stranger")
    assert (await month.product.http.get(before)).status_code == 404
    await month.done(number, "resend")
    await until(lambda: len(mails(month, number)) == 2)
    assert pay_link(month, number) != before
    assert (await month.product.http.get(pay_link(month, number))).status_code == 200


# --- credit notes and voids


async def test_a_credit_note_that_is_asked_for_twice_under_one_key_is_one(month: Month) -> None:
    number = month.take("wired")
    body = {"reason": "outage of 3 March", "amount": "11.90"}
    url, key = f"{INVOICES}/{number}/credit-notes", {"Idempotency-Key": "ticket-4711"}
    answers = await asyncio.gather(
        *(month.product.http.post(url, json=body, headers=key) for _ in range(5))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["credit_note"] for answer in answers}) == 1
    assert (await month.get(number))["open_amount"] == "11.90"
    other = await month.product.http.post(url, json=body | {"amount": "1.00"}, headers=key)
    assert_problem(other, 409, "'ticket-4711' was used for another request")


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\xe9"])
async def test_a_bad_key_is_refused_by_its_name(sellerless: Product, key: str) -> None:
    answer = await sellerless.http.post(
        f"{INVOICES}/INV-2026-02-0001/resend", headers={b"Idempotency-Key": key.encode("latin-1")}
    )
    assert_problem(answer, 422, "header.idempotency-key")


async def test_a_credit_of_an_open_invoice_reduces_what_is_owed(month: Month) -> None:
    number = month.take("wired")
    done = await month.done(number, "credit-notes", reason="outage of 3 March", amount="11.90")
    assert done["invoice"]["open_amount"] == "11.90"
    assert done["invoice"]["amount_credited"] == "11.90"
    (note,) = await month.get(number, "/credit-notes")
    assert note["number"] == done["credit_note"]
    assert (note["subtotal"], note["tax"], note["total"]) == ("10.00", "1.90", "11.90")
    assert (note["refund_to"], note["returned_amount"]) == ("", "0.00")
    assert (note["reason"], note["created_by"]) == ("outage of 3 March", "the finance key")


async def test_a_credit_of_lines_takes_back_what_is_left_of_them(month: Month) -> None:
    number = month.take("wired")
    done = await month.done(
        number, "credit-notes", reason="goodwill", lines=[{"position": 2, "amount": None}]
    )
    assert done["invoice"]["status"] == "paid"  # nothing is left of it
    (note,) = await month.get(number, "/credit-notes")
    assert [(line["position"], line["amount"]) for line in note["lines"]] == [(2, "20.00")]


async def test_a_credit_of_a_paid_invoice_is_refunded_to_its_card(month: Month) -> None:
    number = month.take("paid")
    done = await month.done(
        number, "credit-notes", reason="goodwill", amount="5.95", refund_to="card"
    )
    await until(lambda: refunds(month.product, number) == ["succeeded"])
    (payment,) = await month.get(number, "/payments")
    assert (payment["amount"], payment["allocated"], payment["returned"]) == (
        *(TOTAL, "17.85", "5.95"),
    )
    assert payment["attempt"] == 1
    (refund,) = payment["refunds"]
    assert (refund["amount"], refund["credit_note"]) == ("5.95", done["credit_note"])


async def test_a_credit_of_a_paid_invoice_becomes_credit_unless_asked_otherwise(
    month: Month,
) -> None:
    number = month.take("paid")
    await month.done(number, "credit-notes", reason="goodwill", amount="5.95")
    (payment,) = await month.get(number, "/payments")
    assert (payment["returned"], payment["kept_as_credit"]) == ("0", "5.95")
    (note,) = await month.get(number, "/credit-notes")
    assert (note["refund_to"], note["returned_amount"]) == ("credit", "5.95")


async def test_a_credit_of_more_than_is_left_is_refused(month: Month) -> None:
    answer = await month.ask(month.take("wired"), "credit-notes", reason="x", amount="23.81")
    assert_problem(answer, 409, "23.80 USD left to credit")


async def test_a_void_invoice_can_be_issued_anew_under_the_next_number(month: Month) -> None:
    number = month.take("wired")
    done = await month.done(number, "void", reason="wrong legal entity", reissue=True)
    assert done["invoice"]["status"] == "void"
    assert done["credit_note"].startswith("CN-2026-03-")
    account = done["invoice"]["account_number"]
    await month.product.retry()
    listed = await month.product.get(INVOICES, params={"account_number": account})
    statuses = {invoice["number"]: invoice["status"] for invoice in listed["items"]}
    assert statuses.pop(number) == "void"
    assert list(statuses.values()) == ["issued"]


async def test_a_void_invoice_is_not_voided_again(month: Month) -> None:
    number = month.take("wired")
    await month.done(number, "void", reason="wrong legal entity")
    assert_problem(await month.ask(number, "void", reason="again"), 409, number, "void")


async def test_a_settled_invoice_is_taken_up_again_for_what_is_asked(month: Month) -> None:
    number = month.take("paid")
    await until(lambda: len(mails(month, number)) == 1)  # then its workflow has ended
    done = await month.done(number, "void", reason="billed twice")
    assert done["invoice"]["status"] == "void"
    (payment,) = await month.get(number, "/payments")
    assert payment["kept_as_credit"] == TOTAL


# --- what is refused before it is asked


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        ("resolve", {"resolution": "forget", "note": NOTE}, "body.resolution"),
        ("resolve", {"resolution": "write_off"}, "body.note"),
        ("resolve", {"resolution": "write_off", "note": " \n "}, "body.note"),
        ("resolve", {"resolution": "write_off", "note": "x" * 1_001}, "body.note"),
        ("resolve", {"resolution": "write_off", "note": "a\0b"}, "body.note"),
        ("resolve", {"resolution": "extend", "note": NOTE}, "body.until"),
        ("resolve", {"resolution": "extend", "note": NOTE, "until": "soon"}, "body.until"),
        ("resolve", {"resolution": "write_off", "note": NOTE, "until": "2026-04-01"}, "body.until"),
        ("resolve", {"resolution": "write_off", "note": NOTE, "amount": "1"}, "body.amount"),
        ("hold", {"note": 7}, "body.note"),
        ("void", {"reason": ""}, "body.reason"),
        ("void", {"reason": NOTE, "reissue": "perhaps"}, "body.reissue"),
        ("credit-notes", {"amount": "1.00"}, "body.reason"),
        ("credit-notes", {"reason": NOTE, "amount": "0.00"}, "body.amount"),
        ("credit-notes", {"reason": NOTE, "amount": "-1.00"}, "body.amount"),
        ("credit-notes", {"reason": NOTE, "amount": 1.5}, "body.amount"),
        ("credit-notes", {"reason": NOTE, "amount": "1e2"}, "body.amount"),
        ("credit-notes", {"reason": NOTE, "amount": "NaN"}, "body.amount"),
        ("credit-notes", {"reason": NOTE, "amount": "9" * 16}, "body.amount"),
        ("credit-notes", {"reason": NOTE, "amount": "1.00001"}, "body.amount"),
        ("credit-notes", {"reason": NOTE, "refund_to": "cash"}, "body.refund_to"),
        ("credit-notes", {"reason": NOTE, "lines": []}, "body.lines"),
        (
            "credit-notes",
            {"reason": NOTE, "lines": [{"position": 0, "amount": None}]},
            "body.lines.0.position",
        ),
        (
            "credit-notes",
            {"reason": NOTE, "lines": [{"position": 1, "amount": None}] * 2},
            "body.lines",
        ),
        (
            "credit-notes",
            {"reason": NOTE, "amount": "1", "lines": [{"position": 1, "amount": None}]},
            "body",
        ),
    ],
)
async def test_a_bad_request_is_refused_by_the_name_of_the_field(
    sellerless: Product, what: str, body: dict[str, Any], field: str
) -> None:
    answer = await sellerless.http.post(f"{INVOICES}/INV-2026-02-0001/{what}", json=body)
    assert_problem(answer, 422, f"{field}: ")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_an_amount_has_no_more_digits_than_its_currency(month: Month) -> None:
    number = month.take("wired")
    answer = await month.ask(number, "credit-notes", reason=NOTE, amount="1.005")
    assert_problem(answer, 422, "amount: 1.005 USD has a fraction")
    lines = [{"position": 1, "amount": None}, {"position": 2, "amount": "1.005"}]
    answer = await month.ask(number, "credit-notes", reason=NOTE, lines=lines)
    assert_problem(answer, 422, "lines.1.amount: 1.005 USD has a fraction")
    assert await month.get(number, "/instructions") == []


async def test_a_mistyped_year_extends_nothing(month: Month) -> None:
    number = month.take("refused")
    for until_day in ("2062-04-01", "9999-12-31"):
        answer = await month.ask(number, "resolve", resolution="extend", note=NOTE, until=until_day)
        assert_problem(answer, 422, "until", "check the year")


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("resolve", {"resolution": "write_off", "note": NOTE}),
        ("hold", {"note": NOTE}),
        ("renew-links", {"note": NOTE}),
        ("void", {"reason": NOTE}),
        ("credit-notes", {"reason": NOTE, "amount": "1.00"}),
        ("resend", {}),
    ],
)
async def test_an_unknown_invoice_is_not_found(
    sellerless: Product, what: str, body: dict[str, Any]
) -> None:
    answer = await sellerless.http.post(f"{INVOICES}/INV-2026-02-9999/{what}", json=body)
    assert_problem(answer, 404, "INV-2026-02-9999")


async def test_an_instruction_belongs_to_its_invoice(month: Month) -> None:
    one, other = month.take("wired"), month.take("wired")
    asked = (await month.done(one, "hold", note=NOTE))["instruction"]["id"]
    shown = await month.get(one, f"/instructions/{asked}")
    assert (shown["instruction"]["kind"], shown["invoice"]["number"]) == ("hold", one)
    answer = await month.product.http.get(f"{INVOICES}/{other}/instructions/{asked}")
    assert_problem(answer, 404, other)


# --- while the workflow does not answer


@pytest.fixture
async def temporal_is_away(month: Month) -> AsyncIterator[Product]:
    """The API of the month, which finds nobody where it looks for Temporal."""
    async with running(month.product.engine, await nobody()) as product:
        yield product


async def test_what_is_asked_while_temporal_is_away_is_kept_and_done_later(
    month: Month, temporal_is_away: Product
) -> None:
    number = month.take("wired")
    answer = await temporal_is_away.http.post(f"{INVOICES}/{number}/hold", json={"note": NOTE})
    assert answer.status_code == 202, answer.text
    asked = answer.json()
    assert asked["instruction"]["outcome"] is None
    assert asked["invoice"]["on_hold"] is False
    assert (await month.product.get(answer.headers["Location"]))["instruction"]["outcome"] is None

    await month.product.sweep()

    shown = await decided(month.product, answer.headers["Location"])
    assert shown["instruction"]["outcome"] == "done"
    assert shown["invoice"]["on_hold"] is True


async def test_what_no_worker_takes_up_in_time_is_answered_as_it_stands_and_done_later(
    product: Product, mailbox: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invoice_signals, "_ANSWER_SECONDS", 0.3)
    issue_february(product.engine, tmp_path / "files", [Subscriber()])
    answer = await product.http.post(f"{INVOICES}/INV-2026-02-0001/hold", json={"note": NOTE})
    assert answer.status_code == 202, answer.text
    assert answer.json()["instruction"]["outcome"] is None
    async with working(product, mailbox):
        shown = await decided(product, answer.headers["Location"])
    assert shown["instruction"]["outcome"] == "done"
    assert shown["invoice"]["on_hold"] is True


async def decided(product: Product, location: str) -> dict[str, Any]:
    """The instruction at `location`, once it is decided."""
    async with asyncio.timeout(PATIENCE):
        while not (shown := await product.get(location))["instruction"]["outcome"]:
            await asyncio.sleep(0.05)
    return shown


def attempts(product: Product, number: str) -> list[str]:
    return _column(
        product, number, "SELECT status FROM payments WHERE invoice_id = :id ORDER BY id"
    )


def refunds(product: Product, number: str) -> list[str]:
    return _column(
        product,
        number,
        "SELECT refunds.status FROM refunds JOIN payments ON payments.id = payment_id "
        "WHERE invoice_id = :id",
    )


def _column(product: Product, number: str, query: str) -> list[str]:
    with transaction(product.engine) as connection:
        id = connection.execute(
            text("SELECT id FROM invoices WHERE number = :number"), {"number": number}
        ).scalar_one()
        return list(connection.execute(text(query), {"id": id}).scalars())


def mails(month: Month, number: str) -> list[str]:
    """Message-IDs of what arrived about the invoice."""
    return [
        str(mail["Message-ID"])
        for mail in month.mailbox.mails
        if f"<{number}." in str(mail["Message-ID"])
    ]


def pay_link(month: Month, number: str) -> str:
    """The payer's page that the latest e-mail about the invoice leads to."""
    *_, mail = [m for m in month.mailbox.mails if f"<{number}." in str(m["Message-ID"])]
    (link,) = set(re.findall(r"/pay/[^\s<>\"]+", text_of(mail, "plain")))
    return link


async def test_what_was_asked_first_is_done_first(month: Month) -> None:
    number = month.take("wired")
    async with running(month.product.engine, await nobody()) as away:
        assert (await away.http.post(f"{INVOICES}/{number}/hold", json={})).status_code == 202
    released = await month.done(number, "release")
    assert released["invoice"]["on_hold"] is False
