"""The envelope of an e-mail: who gets it, what is attached, and what no name may do to it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.messages import compose, subject
from domain.emails import EmailKind
from domain.errors import InvalidValue
from tests.activities.mail_server import text_of
from tests.activities.notices import (
    DOCUMENT,
    MESSAGE_ID,
    NUMBER,
    SELLER,
    notice,
    sent,
    words,
)


def test_documents_are_attached_as_they_are() -> None:
    credit = ("CN-2026-0003.pdf", b"%PDF-1.7 the credit note")
    mail = sent(notice(), attachments=[DOCUMENT, credit])
    attached = [(part.get_filename(), part.get_content()) for part in mail.iter_attachments()]
    assert attached == [DOCUMENT, credit]
    assert {part.get_content_type() for part in mail.iter_attachments()} == {"application/pdf"}


def test_copies_are_named() -> None:
    mail = sent(notice(), recipients=["a@x.example"], cc=["boss@x.example", "files@x.example"])
    assert mail["To"] == "a@x.example"
    assert mail["Cc"] == "boss@x.example, files@x.example"
    assert sent(notice())["Cc"] is None


def test_two_hundred_recipients_are_all_there() -> None:
    everybody = [f"person-{place}@department-{place % 7}.customer.example" for place in range(200)]
    mail = sent(notice(), recipients=everybody)
    assert [address.addr_spec for address in mail["To"].addresses] == everybody
    raw = compose(
        notice(), message_id=MESSAGE_ID, sender="s@x.example", recipients=everybody
    ).as_bytes()
    assert max(len(line) for line in raw.splitlines()) < 998  # RFC 5322, 2.1.1


def test_a_domain_beyond_ascii_is_written_as_the_dns_knows_it() -> None:
    mail = sent(notice(), recipients=["buero@söhne.example"], cc=["a@bücher.example"])
    assert mail["To"] == "buero@xn--shne-5qa.example"
    assert mail["Cc"] == "a@xn--bcher-kva.example"


@pytest.mark.parametrize(
    "address", ["a@x.example, thief@evil.example", "a@x.example\nBcc: t@evil.example", "A <a@x>"]
)
def test_one_address_never_becomes_two(address: str) -> None:
    with pytest.raises(InvalidValue, match="customer's data"):
        sent(notice(), recipients=[address])
    with pytest.raises(InvalidValue, match="customer's data"):
        sent(notice(), cc=[address])


# --- awkward names

HEADERS = ["Content-Type", "MIME-Version", "Subject", "From", "To", "Reply-To", "Message-ID"]


@given(
    name=st.text(st.characters(codec="utf-8"), max_size=60)
    | st.sampled_from(
        ["x\r\nBcc: thief@evil.example", "x\u2028\u0085Bcc: t@e.example", "=?utf-8?q?"]
    )
)
def test_no_name_adds_a_header_or_an_address(name: str) -> None:
    for kind in (EmailKind.INVOICE, EmailKind.REVIEW_NOTICE):
        said = notice(kind, customer=name, seller=replace(SELLER, name=name))
        assert len(subject(said).splitlines()) == 1
        mail = sent(said)
        assert list(mail.keys()) == [*HEADERS, "Date", "Auto-Submitted"]
        assert [address.addr_spec for address in mail["From"].addresses] == [
            "billing@billwright.example"
        ]
        assert mail["Subject"] == subject(said)


@pytest.mark.parametrize("kind", EmailKind)
def test_markup_in_whatever_comes_from_outside_stays_text(kind: EmailKind) -> None:
    evil = "<img src=x onerror=alert(1)>{{ number }}"
    said = notice(
        kind,
        customer=evil,
        seller=replace(SELLER, name=evil, bank_name=evil),
        reason=evil,
        next_step=evil,
        history=(evil,),
        by_card=True,
        pay_url='https://x.example/"><img>',
    )
    html = text_of(sent(said), "html")
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;{{ number }}" in html
    assert evil in words(said)[0]


def test_a_name_from_right_to_left_leaves_the_words_around_it() -> None:
    hebrew = 'שלום בע"מ'
    said = notice(customer=hebrew, seller=replace(SELLER, name=f"\u202e{hebrew}"))
    assert subject(said) == f"Invoice {NUMBER} from \u2068{hebrew}\u2069"
    mail = sent(said)
    assert f"Hello \u2068{hebrew}\u2069," in text_of(mail, "plain")
    assert "<bdi>שלום" in text_of(mail, "html")
    assert mail["From"].addresses[0].display_name == hebrew
    for part in ("plain", "html"):
        assert "\u202e" not in text_of(mail, part)


@pytest.mark.parametrize("name", ["Donaudampfschifffahrt" * 20, "Long and Longer " * 40, "x" * 900])
def test_a_very_long_name_is_whole_and_stays_in_its_lines(name: str) -> None:
    mail = sent(notice(EmailKind.REVIEW_NOTICE, customer=name))
    assert " ".join(name.split()) in " ".join(text_of(mail, "plain").split())
    assert max(len(line) for line in mail.as_bytes().splitlines()) < 998
