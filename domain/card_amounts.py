"""Amounts as Stripe counts them: integers, mostly of the currency's minor unit.

Source: docs.stripe.com/currencies (zero-decimal and three-decimal currencies, special cases,
minimum and maximum charge). Where Stripe and ISO 4217 disagree, our side is ISO's (`round_money`)
and Stripe's side is Stripe's: 500 ISK is 500 here and 50000 there.
"""

from decimal import Decimal

from domain.errors import BillwrightError, InvalidValue
from domain.money import minor_digits, round_money

_ZERO_DECIMAL = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())
_WHOLE_IN_HUNDREDTHS = frozenset(["ISK", "UGX"])
_THREE_DECIMAL = frozenset("BHD JOD KWD OMR TND".split())

_MINIMUMS = {
    **dict.fromkeys("AUD BRL CAD CHF EUR INR NZD SGD USD".split(), Decimal("0.50")),
    **dict.fromkeys("AED PLN RON".split(), Decimal("2.00")),
    **dict.fromkeys("NOK SEK".split(), Decimal("3.00")),
    "BGN": Decimal("1.00"),
    "CZK": Decimal("15.00"),
    "DKK": Decimal("2.50"),
    "GBP": Decimal("0.30"),
    "HKD": Decimal("4.00"),
    "HUF": Decimal("175.00"),
    "JPY": Decimal("50"),
    "MXN": Decimal("10.00"),
    "MYR": Decimal("2.00"),
    "THB": Decimal("10.00"),
}
_LARGEST_UNITS = 99_999_999


class NotChargeable(BillwrightError):
    """No card can be charged that amount in that currency."""

    code = "not_chargeable"


def to_stripe(amount: Decimal, currency: str) -> int:
    """`amount` in Stripe's units: 312.91 USD is 31291, 500 JPY is 500, 500 ISK is 50000.

    Raises NotChargeable if Stripe cannot express it: a fraction of a unit, a third digit of a
    three-decimal currency that is not 0, a currency that it does not take. InvalidValue if
    `amount` is no number.
    """
    digits = _stripe_digits(currency)
    if not amount.is_finite():
        raise InvalidValue(f"{amount} is not an amount of money.")
    units = amount.scaleb(digits)
    if units != units.to_integral_value() or int(units) % _step(currency):
        step = Decimal(_step(currency)).scaleb(-digits)
        raise NotChargeable(
            f"A card cannot be charged {amount:f} {currency}, only multiples of {step:f}; have it "
            "paid by bank transfer."
        )
    return int(units)


def from_stripe(units: int, currency: str) -> Decimal:
    """The amount that Stripe counts as `units`, with the digits that `round_money` shows.

    Raises InvalidValue if ISO 4217 has no such amount in `currency`: 50050 for ISK.
    """
    amount = Decimal(units).scaleb(-_stripe_digits(currency))
    rounded = round_money(amount, currency)
    if rounded != amount:
        raise InvalidValue(f"{amount:f} {currency} has a fraction of a minor unit.")
    return rounded


def minimum_charge(currency: str) -> Decimal | None:
    """The least that Stripe charges in `currency`, inclusive; None where it documents none.

    Stripe compares after conversion to the currency of the seller's bank account, so that it may
    ask for somewhat more where the two differ.
    """
    return _MINIMUMS.get(currency)


def chargeable(amount: Decimal, currency: str) -> bool:
    """Whether a card can be charged exactly `amount`: more than nothing, not less than Stripe's
    minimum, at most eight digits, and an amount that Stripe can express.
    """
    try:
        units = to_stripe(amount, currency)
    except (NotChargeable, InvalidValue):
        return False
    return 0 < units <= _LARGEST_UNITS and amount >= (minimum_charge(currency) or 0)


def _step(currency: str) -> int:
    """Stripe's units come in multiples of this."""
    if currency in _WHOLE_IN_HUNDREDTHS:
        return 100
    return 10 if currency in _THREE_DECIMAL else 1


def _stripe_digits(currency: str) -> int:
    digits = minor_digits(currency)
    if currency in _ZERO_DECIMAL:
        return 0
    if currency in _THREE_DECIMAL:
        return 3
    if digits == 2 or currency in _WHOLE_IN_HUNDREDTHS:
        return 2
    raise NotChargeable(
        f"Stripe takes no cards in {currency}; have the invoice paid by bank transfer."
    )
