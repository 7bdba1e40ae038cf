"""The rules of the reports: ages, growth, shares, and amounts brought into one currency."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from domain.errors import BillwrightError

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


def percent(part: Decimal, whole: Decimal) -> Decimal | None:
    """`part` of `whole` in percent, to a tenth, half-up; None where the whole is nothing."""
    if not whole:
        return None
    return (part * 100 / whole).quantize(_TENTH, ROUND_HALF_UP)


def growth(now: Decimal, before: Decimal) -> Decimal | None:
    """By how many percent `now` is above `before`, to a tenth; None where there was nothing."""
    return percent(now - before, before)


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
