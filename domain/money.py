"""Amounts of money: decimal, in one currency, rounded half-up to its minor unit.

Source: ISO 4217 for minor units.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from domain.errors import AmountTooLarge, CurrencyMismatch, InvalidValue

_USUAL_MINOR_DIGITS = 2
_MINOR_DIGITS = {
    **dict.fromkeys(
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0
    ),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}


def minor_digits(currency: str) -> int:
    """Digits after the decimal point of `currency` (ISO 4217 code): JPY 0, USD 2, KWD 3.

    Raises InvalidValue if `currency` is not three capital letters.
    """
    if not (
        len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()
    ):
        raise InvalidValue(f"{currency!r} is not a currency; give an ISO 4217 code such as USD.")
    return _MINOR_DIGITS.get(currency, _USUAL_MINOR_DIGITS)


def round_money(amount: Decimal, currency: str) -> Decimal:
    """`amount` rounded half-up (away from zero) to the minor unit of `currency`.

    The result always shows the currency's digits: 90 USD is 90.00. Nothing has no sign: what
    rounds to -0.00 is 0.00. Raises AmountTooLarge beyond 28 digits.
    """
    unit = Decimal(1).scaleb(-minor_digits(currency))
    try:
        rounded = amount.quantize(unit, rounding=ROUND_HALF_UP)
    except InvalidOperation:
        raise AmountTooLarge(amount, currency) from None
    return abs(rounded) if rounded.is_zero() else rounded


@dataclass(frozen=True, order=False)
class Money:
    """An exact amount in one currency; not necessarily rounded."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        minor_digits(self.currency)
        if not self.amount.is_finite():
            raise InvalidValue(f"{self.amount} is not an amount of money.")

    @classmethod
    def zero(cls, currency: str) -> "Money":
        return cls(Decimal(0), currency).rounded()

    @classmethod
    def from_minor(cls, units: int, currency: str) -> "Money":
        """From an integer of minor units, as Stripe counts: 31291 USD is 312.91."""
        return cls(Decimal(units).scaleb(-minor_digits(currency)), currency)

    def to_minor(self) -> int:
        """The amount in minor units. Raises InvalidValue if it has a fraction of one."""
        units = self.amount.scaleb(minor_digits(self.currency))
        if units != units.to_integral_value():
            raise InvalidValue(f"{self.amount} {self.currency} has a fraction of a minor unit.")
        return int(units)

    def rounded(self) -> "Money":
        return Money(round_money(self.amount, self.currency), self.currency)

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.amount - other.amount, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

    def _same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(self.currency, other.currency)


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum of `amounts`; zero in `currency` if there are none.

    Raises CurrencyMismatch if one of them has another currency.
    """
    result = Money.zero(currency)
    for amount in amounts:
        result = result + amount
    return result
