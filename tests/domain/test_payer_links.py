"""Tokens of payer links: read as made, and never guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NotFound
from domain.payer_links import LinkPurpose, payer_token, read_payer_token

NUMBER = "INV-2026-02-0047"
TOKEN = payer_token("secret", LinkPurpose.PAY, NUMBER, 1)


def read(token: str, secret: str = "secret") -> tuple[str, int]:
    return read_payer_token(secret, LinkPurpose.PAY, token)


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
    token = payer_token("secret", "card", NUMBER, 1)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        read(token)


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
