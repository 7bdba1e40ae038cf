"""The e-mails of collection: what each must say."""

import re
from decimal import Decimal
from typing import Any

import pytest

from activities.messages import subject
from domain.emails import EmailKind
from tests.activities.mail_server import text_of
from tests.activities.notices import (
    AGAIN,
    CARD,
    CASE,
    DECLINED,
    DOCUMENT,
    MESSAGE_ID,
    NOTHING,
    NUMBER,
    OPEN,
    PAY,
    assert_never_says,
    assert_says,
    links,
    notice,
    sent,
    words,
)

LATE = {"days_late": 7}
SITUATIONS = {
    "bank": {},
    "bank, late": LATE,
    "card": {"by_card": True},
    "card, declined": {"by_card": True, "reason": DECLINED, "next_step": AGAIN},
    "card, late": {"by_card": True, "reason": DECLINED, **LATE},
    "part paid": {"paid": Decimal("112.91"), "open_amount": Decimal("200.00")},
    "part credited": {"credited": Decimal("112.91"), "open_amount": Decimal("200.00")},
    "all paid": {"paid": Decimal("312.91"), "open_amount": NOTHING},
    "all credited": {"credited": Decimal("312.91"), "open_amount": NOTHING},
    "of nothing": {"total": NOTHING, "open_amount": NOTHING},
    "no links": {"pay_url": "", "card_url": "", "case_url": ""},
}


# --- every e-mail


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
@pytest.mark.parametrize("kind", EmailKind)
def test_every_kind_can_be_said_of_every_invoice(
    kind: EmailKind, situation: dict[str, Any]
) -> None:
    """A template that names something unknown raises."""
    said = notice(kind, **situation)
    assert_says(said, NUMBER, "Meridian API GmbH")
    assert "None" not in " ".join(words(said))
    for line in text_of(sent(said), "plain").splitlines():
        assert len(line) <= 72 or line.startswith("https://")


@pytest.mark.parametrize(
    "kind", [EmailKind.REMINDER, EmailKind.URGENT_NOTICE, EmailKind.REVIEW_NOTICE]
)
@pytest.mark.parametrize("by_card", [True, False])
@pytest.mark.parametrize(("late", "said_as"), [(1, "1 day late"), (2, "2 days late")])
def test_a_late_payment_is_named_with_its_amount_days_and_link(
    kind: EmailKind, by_card: bool, late: int, said_as: str
) -> None:
    said = notice(kind, days_late=late, by_card=by_card)
    assert_says(said, NUMBER, "February 2026", OPEN, said_as)
    assert links(said)[0] == (CASE if kind is EmailKind.REVIEW_NOTICE else PAY)


@pytest.mark.parametrize("kind", EmailKind)
def test_nothing_in_the_html_comes_from_elsewhere(kind: EmailKind) -> None:
    said = notice(kind, by_card=True, reason=DECLINED, next_step=AGAIN, days_late=3)
    html = text_of(sent(said), "html")
    assert set(links(said)) <= {PAY, CARD, CASE}
    assert not re.search(r"<(img|script|link|iframe|form)|src=|url\(|@import", html)


@pytest.mark.parametrize("kind", EmailKind)
def test_the_first_words_of_the_html_are_the_preview(kind: EmailKind) -> None:
    html = text_of(sent(notice(kind)), "html").partition("<body")[2]
    found = re.search(r'<div style="display:none[^>]*>(.*?)</div>', html, re.DOTALL)
    assert found
    preview = re.sub(r"<[^>]*>", "", found[1])
    assert 20 < len(preview) < 120
    assert "\n" not in preview


@pytest.mark.parametrize("kind", EmailKind)
def test_said_again_it_is_the_same_e_mail(kind: EmailKind) -> None:
    first, second = sent(notice(kind)), sent(notice(kind))
    assert first["Message-ID"] == second["Message-ID"] == MESSAGE_ID
    assert first["Subject"] == second["Subject"]
    assert [text_of(first, part) for part in ("plain", "html")] == [
        text_of(second, part) for part in ("plain", "html")
    ]


def test_subjects_differ_between_kinds() -> None:
    assert len({subject(notice(kind)) for kind in EmailKind}) == len(EmailKind)
    assert all(NUMBER in subject(notice(kind)) for kind in EmailKind)


# --- the invoice


def test_a_bank_customer_reads_how_to_transfer() -> None:
    said = notice()
    assert subject(said) == f"Invoice {NUMBER} from Meridian API GmbH"
    assert_says(
        said,
        f"Please pay {OPEN} by 31 March 2026, by bank transfer or online.",
        "Account holder Meridian API GmbH",
        "IBAN DE89 3704 0044 0532 0130 00",
        "BIC COBADEFFXXX",
        f"Reference {NUMBER}",
    )
    assert links(said) == [PAY]


def test_a_declined_card_is_told_why_and_what_happens() -> None:
    said = notice(by_card=True, reason=DECLINED, next_step=AGAIN)
    assert_says(said, DECLINED, AGAIN, "did not go through")
    assert_never_says(said, "you need not do anything", "IBAN")
    assert links(said) == [PAY, CARD]


def test_a_card_that_was_not_tried_yet_need_not_be_thought_of() -> None:
    said = notice(by_card=True)
    assert_says(said, f"We charge {OPEN} to your card on file; you need not do anything.")
    assert links(said) == [PAY]


def test_an_invoice_below_zero_says_what_becomes_of_it() -> None:
    said = notice(total=Decimal("-5.00"), open_amount=NOTHING)
    assert_says(said, "There is nothing to pay.", "is your credit, for your next invoices")


def test_an_invoice_of_nothing_asks_for_nothing() -> None:
    said = notice(total=NOTHING, open_amount=NOTHING)
    assert_says(said, "USD 0.00", "There is nothing to pay.")
    assert_never_says(said, "IBAN", "31 March")
    assert links(said) == []


def test_credit_leaves_the_rest_to_pay() -> None:
    said = notice(credited=Decimal("100.00"), open_amount=Decimal("212.91"))
    assert_says(said, "Credit USD −100.00", "Left to pay USD 212.91", "Please pay USD 212.91")
    assert_never_says(said, f"Please pay {OPEN}")


def test_credit_that_covers_all_leaves_nothing() -> None:
    said = notice(credited=Decimal("312.91"), open_amount=NOTHING)
    assert_says(said, "Your credit covers it: nothing is left to pay.")
    assert links(said) == []


def test_an_amount_has_the_digits_of_its_currency() -> None:
    yen = Decimal(312_910)
    assert_says(notice(currency="JPY", total=yen, open_amount=yen), "Please pay JPY 312,910 by")


# --- the others


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"paid_by": "card", "paid": Decimal("312.91")}, "we received USD 312.91 by card"),
        (
            {"paid_by": "bank transfer", "paid": Decimal("312.91")},
            "we received USD 312.91 by bank transfer",
        ),
        ({"paid": Decimal("312.91")}, "we received USD 312.91 for"),
        ({"credited": Decimal("312.91")}, "Your credit covers invoice"),
    ],
)
def test_a_receipt_says_how_it_was_settled(changes: dict[str, Any], expected: str) -> None:
    said = notice(EmailKind.RECEIPT, open_amount=NOTHING, **changes)
    assert_says(said, expected, "Left to pay USD 0.00")
    assert links(said) == []


def test_a_receipt_for_a_part_asks_for_the_rest() -> None:
    part, rest = Decimal("200.00"), Decimal("112.91")
    said = notice(EmailKind.RECEIPT, paid=part, open_amount=rest)
    assert_says(said, "we received USD 200.00", "USD 112.91 is still open", "IBAN")
    assert links(said) == [PAY]


def test_an_expired_card_leads_straight_to_a_new_one() -> None:
    said = notice(
        EmailKind.UPDATE_PAYMENT_METHOD,
        by_card=True,
        reason="Your card has expired.",
        next_step=AGAIN,
    )
    assert_says(said, OPEN, "Your card has expired.", AGAIN)
    assert links(said) == [CARD, PAY]


def test_a_bank_that_asks_leads_to_the_confirmation() -> None:
    said = notice(EmailKind.AUTHENTICATE, by_card=True)
    assert_says(said, OPEN, "confirm", "Until you do, the card is not charged.")
    assert links(said)[0] == PAY


@pytest.mark.parametrize("by_card", [True, False])
def test_a_reminder_assumes_the_best(by_card: bool) -> None:
    said = notice(EmailKind.REMINDER, days_late=3, by_card=by_card, reason=DECLINED)
    assert_says(said, "This may have crossed with your payment", "thank you")


def test_an_urgent_notice_has_its_button_before_anything_else() -> None:
    said = notice(EmailKind.URGENT_NOTICE, days_late=7)
    for part in ("html", "plain"):
        content = text_of(sent(said), part)
        assert content.index(PAY) < content.index("Hello")
    assert subject(said).endswith("is 7 days late")
    assert_says(said, "If it stays unpaid, our finance team")


def test_an_urgent_notice_states_what_happens_next_instead_of_the_usual() -> None:
    said = notice(EmailKind.URGENT_NOTICE, days_late=7, next_step="We pause the account on 5 May.")
    assert_says(said, "We pause the account on 5 May.")
    assert_never_says(said, "If it stays unpaid")


@pytest.mark.parametrize("kind", [EmailKind.REMINDER, EmailKind.URGENT_NOTICE])
def test_no_notice_threatens(kind: EmailKind) -> None:
    assert not re.search(
        r"legal|lawyer|court|immediate|failure to|must|debt|!", " ".join(words(notice(kind)))
    )


def test_the_review_notice_holds_the_case() -> None:
    tried = ("1 March 2026: charge declined", "4 March 2026: charge declined; reminder sent")
    said = notice(
        EmailKind.REVIEW_NOTICE, days_late=14, by_card=True, reason="No retry left.", history=tried
    )
    assert_says(said, "Brandt & Söhne GmbH", "Account 1047", OPEN, "No retry left.", *tried)
    assert links(said) == [CASE]
    assert "Brandt & Söhne GmbH" in subject(said)


def test_a_credit_note_says_what_it_takes_off_and_what_is_left() -> None:
    said = notice(EmailKind.CREDIT_NOTE, credited=Decimal("109.00"), open_amount=Decimal("203.91"))
    assert_says(said, "CN-2026-0003 over USD 99.00", "Credited USD −109.00", "pay USD 203.91")
    assert "CN-2026-0003" in subject(said)


def test_only_an_attached_document_is_spoken_of() -> None:
    for kind in EmailKind:
        assert_never_says(notice(kind), "attached")
    for kind in set(EmailKind) - {EmailKind.REVIEW_NOTICE}:
        assert_says(notice(kind), "attached", attachments=[DOCUMENT])
