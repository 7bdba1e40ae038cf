"""The reports' amounts in one currency."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, select, text

from domain.money import minor_digits, round_money
from domain.reporting import ExchangeRate, ExchangeRates
from storage.tables import exchange_rates

INVOICED_CURRENCIES = text("""
    WITH RECURSIVE known AS (
        (SELECT currency FROM invoices ORDER BY currency LIMIT 1)
        UNION ALL
        SELECT (SELECT currency FROM invoices WHERE currency > known.currency
                ORDER BY currency LIMIT 1)
        FROM known WHERE known.currency IS NOT NULL
    )
    SELECT currency FROM known WHERE currency IS NOT NULL
""")
"""Each once, from one entry of the index to the next."""

RATES = """
    unnest(CAST(:currencies AS text[]), CAST(:rates AS numeric[])) AS rates (currency, rate)
"""
"""What a query joins by currency; `Conversion.parameters` are its parameters."""


class Conversion:
    """What a report's query multiplies by, and which rates it then has to show.

    A query joins `RATES` and rounds to `:digits`, half away from zero, as
    `domain.money.round_money` does.
    """

    def __init__(self, rates: ExchangeRates, currencies: Iterable[str]) -> None:
        used = [rates.of(currency) for currency in sorted(set(currencies))]
        self._rates = {rate.base: rate.rate for rate in used}
        self.currency = rates.currency
        self.shown: Sequence[ExchangeRate] = [rate for rate in used if rate.valid_from is not None]
        self.parameters = {
            "currencies": [rate.base for rate in used],
            "rates": [rate.rate for rate in used],
            "digits": minor_digits(rates.currency),
        }

    def of(self, amount: Decimal, currency: str) -> Decimal:
        """`amount`, which is in one of the currencies given, in the report's."""
        return round_money(amount * self._rates[currency], self.currency)

    @property
    def nothing(self) -> Decimal:
        """0.00 in the report's currency."""
        return Decimal(0).scaleb(-minor_digits(self.currency))


def load_rates(connection: Connection, currency: str, on: date) -> ExchangeRates:
    """The rates into `currency` that are valid on a day. Raises InvalidValue for no currency."""
    minor_digits(currency)
    latest = connection.execute(
        select(exchange_rates)
        .distinct(exchange_rates.c.base)
        .where(exchange_rates.c.quote == currency, exchange_rates.c.valid_from <= on)
        .order_by(exchange_rates.c.base, exchange_rates.c.valid_from.desc())
    )
    found = [ExchangeRate(row.base, row.rate, row.valid_from) for row in latest]
    return ExchangeRates(currency, on, found)
