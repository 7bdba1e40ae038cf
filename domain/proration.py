"""Proration by day: the part of a flat charge that is taken back for days not used."""

from decimal import Decimal

from domain.errors import InvalidValue
from domain.money import round_money


def proration_credit(
    full_charge: Decimal, days_used: int, days_in_period: int, currency: str
) -> Decimal:
    """The amount, zero or negative, that leaves `days_used` of `days_in_period` days charged.

    Computed as `full_charge x (D - d) / D` and rounded once, half-up away from zero, so that the
    full line stays readable on the invoice. Raises InvalidValue unless 0 <= d <= D and D > 0.
    """
    if not 0 <= days_used <= days_in_period or days_in_period == 0:
        raise InvalidValue(f"{days_used} of {days_in_period} days is no part of a period.")
    unused = Decimal(days_in_period - days_used)
    return round_money(-(full_charge * unused / days_in_period), currency)
