"""Refusals are told in the words of the form that was filled in."""

import pytest

from console.forms import figure
from console.refusals import in_words


def invalid(field: str, reason: str) -> dict[str, object]:
    return {"detail": "x", "errors": [{"field": field, "reason": reason}]}


@pytest.mark.parametrize(
    ("field", "reason", "told"),
    [
        ("body.name", "String should have at least 1 character", "Name: is missing"),
        (
            "body.billing_emails",
            "List should have at least 1 item after validation, not 0",
            "E-mail addresses: is missing",
        ),
        (
            "body.billing_emails.0",
            "Value error, 'x' is no address",
            "E-mail addresses, 1: 'x' is no address",
        ),
        (
            "body.tiers.1.unit_price",
            "Value error, must be written",
            "Tiers, 2, Price: must be written",
        ),
        ("body.from", "Value error, '' is not a date", "Day: give a day"),
        (
            "body.allocations.0.amount",
            "Input should be a valid decimal",
            "Invoices, 1, Amount: is not a number such as 1234.50",
        ),
        ("query.q", "String should have at most 300 characters", "Q: has more than 300"),
        ("path.period", "Value error, 2026-99 is not a month", "Month: 2026-99 is not a month"),
        ("body", "give either ends_on or quantity", "This form: give either ends_on or quantity"),
    ],
)
def test_what_validation_says_is_said_in_words(field: str, reason: str, told: str) -> None:
    assert in_words(invalid(field, reason)) == told


def test_a_pattern_is_never_shown() -> None:
    pattern = "String should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'"
    assert "[" not in in_words(invalid("body.account_number", pattern))


def test_the_same_about_two_fields_of_one_name_is_said_once() -> None:
    error = {"field": "body.note", "reason": "String should have at least 1 character"}
    assert in_words({"detail": "x", "errors": [error, error]}) == "Note: is missing"


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ("starts_on: overlaps another one.", "First day: overlaps another one."),
        ("INV-2026-02-0047 is paid.", "INV-2026-02-0047 is paid."),
        ("photo.jpg: is no statement.", "photo.jpg: is no statement."),
    ],
)
def test_a_refusal_of_ours_names_the_label(detail: str, told: str) -> None:
    assert in_words({"detail": detail}) == told


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1,000.50", "1000.50"),
        ("1 000", "1000"),
        ("19 %", "19"),
        ("12,50", "12,50"),  # twelve and a half, or mistyped: the API asks
        ("1,00,000", "1,00,000"),
        ("ten", "ten"),
        ("", ""),
    ],
)
def test_numbers_are_taken_as_people_write_them_where_they_can_mean_one_thing(
    written: str, meant: str
) -> None:
    assert figure(written) == meant
