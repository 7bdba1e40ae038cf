"""The rules of the reports: ages, growth, shares, days of sales, and amounts in one currency."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from domain.errors import BillwrightError
from domain.periods import BillingPeriod

_TENTH = Decimal("0.1")


@dataclass(frozen=True)
class AgingBucket:
    """Open invoices by days past their due date; `from_day` is inclusive, and None has no end."""

    name: str
    from_day: int | None


AGING_BUCKETS = (
    AgingBucket("current", None),
    AgingBucket("1-30", 1),
    AgingBucket("31-60", 31),
    AgingBucket("60+", 61),
)
"""In their order: each reaches up to the next one's first day."""


class RecoveryStep(StrEnum):
    """What a case had come to when its money came, in the order of the process."""

    BEFORE_REMINDERS = "before_reminders"
    RETRY = "retry"
    REMINDER = "reminder"
    URGENT_NOTICE = "urgent_notice"
    MANUAL_REVIEW = "manual_review"


def percent(part: Decimal, whole: Decimal) -> Decimal | None:
    """`part` of `whole` in percent, to a tenth, half-up; None where the whole is nothing."""
    if not whole:
        return None
    return (part * 100 / whole).quantize(_TENTH, ROUND_HALF_UP)


def growth(now: Decimal, before: Decimal) -> Decimal | None:
    """By how many percent `now` is above `before`, to a tenth; None where there was nothing."""
    return percent(now - before, before)


def three_months_to(last: date) -> date:
    """First day of the three months that end with `last`, both inclusive.

    Of a month's last day they are whole calendar months. Where the day does not exist three months
    before, they begin with that month's last.
    """
    after = last + timedelta(days=1)
    month = BillingPeriod.of(after).previous().previous().previous()
    return month.start + timedelta(days=min(after.day, month.days) - 1)


def days_sales_outstanding(receivables: Decimal, billed: Decimal, days: int) -> Decimal | None:
    """How many days' billing is still owed, to a tenth, half-up; None where nothing was billed.

    `billed`: with tax, in the last `days` days up to the day of `receivables`.
    """
    if not billed:
        return None
    return (receivables * days / billed).quantize(_TENTH, ROUND_HALF_UP)


class MissingExchangeRate(BillwrightError):
    """A report would have to add amounts for which no rate is known."""

    code = "missing_exchange_rate"

    def __init__(self, base: str, quote: str, on: date) -> None:
        super().__init__(
            f"There is no exchange rate from {base} to {quote} on {on}; import it in "
            f"exchange_rates.csv, or ask for the report in another currency."
        )


@dataclass(frozen=True)
class ExchangeRate:
    """One unit of `base` is `rate` units of the report's currency, from `valid_from` on."""

    base: str
    rate: Decimal
    valid_from: date | None


class ExchangeRates:
    """What brings amounts into `currency` on the day `on`; its own needs no rate."""

    def __init__(self, currency: str, on: date, rates: Iterable[ExchangeRate]) -> None:
        self.currency = currency
        self.on = on
        self._rates = {rate.base: rate for rate in rates}

    def of(self, base: str) -> ExchangeRate:
        """Raises MissingExchangeRate."""
        if base == self.currency:
            return ExchangeRate(base, Decimal(1), None)
        try:
            return self._rates[base]
        except KeyError:
            raise MissingExchangeRate(base, self.currency, self.on) from None
