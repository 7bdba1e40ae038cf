"""Tokens of payer links: read as made, and never guessed."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue, NotFound
from domain.payer_links import LinkPurpose, payer_token, read_payer_token

NUMBER = "INV-2026-02-0047"
TOKEN = payer_token("secret", LinkPurpose.PAY, NUMBER, 1)


LAST_DAY = date(2026, 3, 15)
CARD_TOKEN = payer_token("secret", LinkPurpose.CARD, NUMBER, 1, expires_on=LAST_DAY)


def read(token: str, secret: str = "secret") -> tuple[str, int]:
    return read_payer_token(secret, LinkPurpose.PAY, token)


def read_card(token: str, today: date | None = LAST_DAY) -> tuple[str, int]:
    return read_payer_token("secret", LinkPurpose.CARD, token, today=today)


@given(st.text(min_size=1), st.integers(0, 999_999_999), st.integers(1, 99_999))
def test_a_token_is_read_as_it_was_made(secret: str, version: int, place: int) -> None:
    number = f"INV-2026-02-{place:04d}"
    token = payer_token(secret, LinkPurpose.PAY, number, version)
    assert read(token, secret) == (number, version)


def test_a_reminder_prints_the_token_again() -> None:
    assert payer_token("secret", LinkPurpose.PAY, NUMBER, 1) == TOKEN


def test_a_new_version_is_another_token() -> None:
    assert payer_token("secret", LinkPurpose.PAY, NUMBER, 2) != TOKEN


def test_another_secret_opens_nothing() -> None:
    with pytest.raises(NotFound):
        read(TOKEN, "another")


def test_another_purpose_opens_nothing() -> None:
    with pytest.raises(NotFound):
        read(CARD_TOKEN)
    with pytest.raises(NotFound):
        read_card(TOKEN)
    # the facts alike: only the purpose inside the signature tells them apart
    facts = CARD_TOKEN.rpartition(".")[0]
    with pytest.raises(NotFound):
        read_card(f"{facts}.{TOKEN.rpartition('.')[2]}")


@pytest.mark.parametrize(
    "token",
    [
        TOKEN.replace("0047", "0048"),
        TOKEN.replace(".1.", ".2."),
        TOKEN.replace(".1.", ".01."),
        TOKEN.replace(".1.", ".\u0661."),
        TOKEN.replace(".1.", ".-1."),
        TOKEN.replace(".1.", f".{'9' * 5_000}."),
        TOKEN[:-1],
        f"{TOKEN}.",
        f"{TOKEN}.x",
        f" {TOKEN}",
        f"{TOKEN}\n",
        TOKEN.rpartition(".")[0] + ".",
        TOKEN.rpartition(".")[0],
        NUMBER,
        "",
        "..",
        "\ud800.1.x",
        f"{NUMBER}.1.\udfff",
    ],
)
def test_a_token_that_was_changed_opens_nothing(token: str) -> None:
    with pytest.raises(NotFound, match="ask the sender"):
        read(token)


def test_the_form_of_the_links_in_old_e_mails_stays() -> None:
    assert TOKEN == "INV-2026-02-0047.1.71j8IRX6YleQAObudeqrBb8C"


@given(st.dates(), st.integers(0, 40))
def test_a_card_link_opens_through_its_last_day(last_day: date, later: int) -> None:
    token = payer_token("secret", LinkPurpose.CARD, NUMBER, 7, expires_on=last_day)
    assert read_card(token, last_day) == (NUMBER, 7)
    if later and last_day <= date.max - timedelta(later):
        with pytest.raises(NotFound):
            read_card(token, last_day + timedelta(later))
    assert read_card(token, date.min) == (NUMBER, 7)


def test_a_card_link_shows_its_last_day() -> None:
    assert CARD_TOKEN.startswith(f"{NUMBER}.1.20260315.")


@pytest.mark.parametrize(
    "token",
    [
        CARD_TOKEN.replace("20260315", "20260316"),
        CARD_TOKEN.replace("20260315", "99991231"),
        CARD_TOKEN.replace(".20260315", ""),
        CARD_TOKEN.replace("20260315", "20260315.20260315"),
        CARD_TOKEN.replace("20260315", ""),
        CARD_TOKEN.replace("20260315", "2026-03-15"),
        CARD_TOKEN.replace("0047", "0048"),
        CARD_TOKEN.replace(".1.", ".2."),
        CARD_TOKEN[:-1],
        f"{CARD_TOKEN}\n",
        TOKEN,
        "...",
        "",
    ],
)
def test_a_card_link_that_was_changed_opens_nothing(token: str) -> None:
    with pytest.raises(NotFound, match="ask the sender"):
        read_card(token)


def test_whoever_names_no_day_opens_nothing_that_expires() -> None:
    with pytest.raises(NotFound):
        read_card(CARD_TOKEN, None)


def test_every_reason_is_refused_in_the_same_words() -> None:
    refusals = set()
    for token, today in [(CARD_TOKEN, date(2026, 3, 16)), (CARD_TOKEN, None), ("x", LAST_DAY)]:
        with pytest.raises(NotFound) as refused:
            read_card(token, today)
        refusals.add(str(refused.value))
    assert len(refusals) == 1


def test_a_link_has_a_last_day_exactly_where_its_purpose_expires() -> None:
    with pytest.raises(InvalidValue, match="needs its last day"):
        payer_token("secret", LinkPurpose.CARD, NUMBER, 1)
    with pytest.raises(InvalidValue, match="has no last day"):
        payer_token("secret", LinkPurpose.PAY, NUMBER, 1, expires_on=LAST_DAY)


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_no_character_of_a_token_may_change(place: int, character: str) -> None:
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]
    if changed == TOKEN:
        assert read(changed) == (NUMBER, 1)
    else:
        with pytest.raises(NotFound):
            read(changed)


@given(st.text(st.characters(codec=None)) | st.from_regex(r"INV-\d{4}-\d\d-\d{4}\.\d+\.\w*"))
def test_garbage_opens_nothing(token: str) -> None:
    with pytest.raises(NotFound):
        read(token)
