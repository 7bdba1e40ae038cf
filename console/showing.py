"""How figures, dates and words look on a page."""

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from babel.dates import format_date, format_datetime
from babel.numbers import (
    format_currency,
    format_decimal,
    get_currency_precision,
    get_currency_symbol,
)

_LOCALE = "en_US"
_PROCESSES = (
    *("billing-cycle", "customer-billing", "invoice-lifecycle", "collection-sweep"),
    "reconciliation",
)


def money(amount: Any, currency: str) -> str:
    """`"1234.5"`, `"USD"` as `$1,234.50`, rounded to the digits of the currency."""
    return _currency(Decimal(str(amount)), currency, get_currency_precision(currency))


def round_money(amount: Any, currency: str) -> str:
    """Without the fraction where it is nought, for the axis of a chart."""
    value = Decimal(str(amount))
    is_whole = value == value.to_integral_value()
    return _currency(value, currency, 0) if is_whole else money(value, currency)


def price(amount: Any, currency: str) -> str:
    """A unit price, with every digit that it has and at least those of the currency."""
    value = Decimal(str(amount))
    own = -int(value.normalize().as_tuple().exponent)
    return _currency(value, currency, max(own, get_currency_precision(currency)))


def _currency(value: Decimal, currency: str, digits: int) -> str:
    """With a blank behind a currency that has letters and no sign, such as KWD."""
    sign = get_currency_symbol(currency, _LOCALE)
    blank = "\xa0" if sign[-1].isalpha() else ""
    pattern = f"¤{blank}#,##0" + (f".{'0' * digits}" if digits else "")
    shown: str = format_currency(value, currency, pattern, _LOCALE, currency_digits=False)
    return shown


def number(value: Any) -> str:
    """`"247891"` as `247,891`, with the digits that it has."""
    shown: str = format_decimal(Decimal(str(value)), locale=_LOCALE, decimal_quantization=False)
    return shown


def whole(value: Any) -> str:
    """Rounded half-up to whole units."""
    return number(Decimal(str(value)).quantize(Decimal(1), ROUND_HALF_UP))


def percent(value: Any) -> str:
    """Percent as the API has it, `"4.2"`, as `4.2 %`; a dash where there is none."""
    return "–" if value is None else f"{number(value)} %"


def change(value: Any) -> str:
    """Percent with its sign: `+4.2 %`."""
    return "–" if value is None else f"{Decimal(str(value)):+,} %".replace("-", "−")


def difference(amount: Any, currency: str) -> str:
    """Money with its sign: `+$1,234.50`; a dash where there is none."""
    if amount is None:
        return "–"
    value = Decimal(str(amount))
    sign = "−" if value < 0 else "+" if value > 0 else ""
    return f"{sign}{money(abs(value), currency)}"


def day(value: Any) -> str:
    """An ISO date or instant as `1 Mar 2026`; a dash where there is none."""
    if not value:
        return "–"
    found = value if isinstance(value, date) else date.fromisoformat(str(value)[:10])
    shown: str = format_date(found, "d MMM y", locale=_LOCALE)
    return shown


def short_day(value: str) -> str:
    """`1 Mar`, for the axis of a chart."""
    shown: str = format_date(date.fromisoformat(value), "d MMM", locale=_LOCALE)
    return shown


def instant(value: str | None) -> str:
    """An instant to the minute, in UTC."""
    if value is None:
        return "–"
    shown: str = format_datetime(
        datetime.fromisoformat(value), "d MMM y, HH:mm 'UTC'", locale=_LOCALE
    )
    return shown


def month(value: str) -> str:
    """`"2026-02"` as `February 2026`."""
    shown: str = format_date(date.fromisoformat(f"{value}-01"), "MMMM y", locale=_LOCALE)
    return shown


def short_month(value: str) -> str:
    """`"2026-02"` as `Feb 2026`."""
    shown: str = format_date(date.fromisoformat(f"{value}-01"), "MMM y", locale=_LOCALE)
    return shown


def words(name: str | None) -> str:
    """`"manual_review"` as `manual review`."""
    return (name or "").replace("_", " ")


def actor(name: str) -> str:
    """Who did something: a person as the audit log has them, or Billwright by itself."""
    return "Billwright" if name in _PROCESSES else name


def plural(count: int, one: str, many: str = "") -> str:
    """`1 invoice`, `2 invoices`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


FILTERS = {
    "money": money,
    "round_money": round_money,
    "price": price,
    "number": number,
    "whole": whole,
    "percent": percent,
    "change": change,
    "difference": difference,
    "day": day,
    "instant": instant,
    "month": month,
    "short_month": short_month,
    "words": words,
    "actor": actor,
    "plural": plural,
}
