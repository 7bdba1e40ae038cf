"""Amounts taken apart: over parts in proportion, into net and tax. In minor units, exactly."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor

from domain.money import round_money

_RATE_DIGITS = 12


def spread(amount: int, over: Sequence[int]) -> list[int]:
    """`amount` in shares proportional to `over`, none beyond its own part, that sum to it.

    `amount` is not below zero and not above the sum of `over`, whose parts may be negative. What
    rounding leaves goes to the largest remainders, the first among equals.
    """
    whole = sum(over)
    if whole == 0:
        return [0] * len(over)
    shares = [amount * part // whole for part in over]
    by_remainder = sorted(range(len(over)), key=lambda n: -(amount * over[n] % whole))
    for n in by_remainder[: amount - sum(shares)]:
        shares[n] += 1
    return shares


def contained_tax(gross: int, rate_percent: Decimal) -> int:
    """The tax in `gross`, rounded half-up; `gross` is not below zero.

    Where some net and its half-up tax make `gross`, this is that tax.
    """
    rate = Fraction(rate_percent)
    return floor(gross * rate / (100 + rate) + Fraction(1, 2))


def implied_rate(net: Decimal, tax: Decimal, currency: str) -> Decimal:
    """The shortest rate in percent whose half-up tax on `net` is `tax`; 0 where `net` is zero.

    34.20 on 180.00 is 19. After twelve digits the nearest has to do.
    """
    exact = tax * 100 / net if net else Decimal(0)
    rates = (round(exact, digits) for digits in range(_RATE_DIGITS + 1))
    nearest = Decimal(0)
    for nearest in rates:
        if round_money(net * nearest / 100, currency) == tax:
            break
    return nearest
