"""What a customer's terms have in common: the customer there is, and money of their currency."""

from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, select

from domain.errors import InvalidField
from domain.money import round_money
from storage.tables import customers


def require_customer(connection: Connection, account_number: str) -> Row[Any]:
    """The customer's row. Raises InvalidField where nobody has the number."""
    row: Row[Any] | None = connection.execute(
        select(customers).where(customers.c.account_number == account_number)
    ).one_or_none()
    if row is None:
        raise InvalidField("account_number", f"{account_number} is no customer; add it first.")
    return row


def require_customers_currency(currency: str, customers_own: str) -> None:
    """Raises InvalidField for any other."""
    if currency != customers_own:
        raise InvalidField(
            "currency", f"{currency} is not the customer's, who is billed in {customers_own}."
        )


def require_whole_cents(field: str, amount: Decimal, currency: str) -> None:
    """Raises InvalidField for a fraction of the currency's minor unit."""
    if round_money(amount, currency) != amount:
        raise InvalidField(field, f"{amount:f} has a fraction of a {currency} cent; round it.")
