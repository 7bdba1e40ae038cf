"""Numbers and dates as people read them on invoices and in e-mails."""

from datetime import date
from decimal import Decimal

from domain.money import minor_digits

_MONTHS = (
    "January February March April May June July August September October November December"
).split()


def format_amount(amount: Decimal, currency: str) -> str:
    """1,234.50 with the currency's digits; a minus sign, not a hyphen."""
    text = f"{amount:,.{minor_digits(currency)}f}"
    return text.removeprefix("-") if amount == 0 else text.replace("-", "\u2212")


def format_exact(number: Decimal, least_digits: int = 0) -> str:
    """The exact number with thousands separators and no more digits than it needs."""
    whole, _, fraction = f"{number:,f}".partition(".")
    fraction = fraction.rstrip("0").ljust(least_digits, "0")
    return (f"{whole}.{fraction}" if fraction else whole).replace("-", "\u2212")


def format_day(day: date) -> str:
    """1 March 2026"""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
