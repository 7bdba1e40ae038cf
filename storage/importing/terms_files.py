"""discounts.csv and prepaid.csv."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert

from domain.discounts import Discount
from domain.errors import BillwrightError, InvalidField
from storage.importing import fields
from storage.importing.problems import Problems
from storage.importing.reading import ACTOR, read_records
from storage.master_data.billed_months import require_unbilled
from storage.master_data.discounts import known_discount, require_terms
from storage.master_data.prepaid import Granted, known_grant, require_price_unbilled
from storage.master_data.terms import require_customer, require_customers_currency
from storage.tables import discounts, prepaid_grants


def _optional(parse: fields.Parser) -> fields.Parser:
    return lambda value: parse(value) if value.strip() else None


DISCOUNT_COLUMNS: dict[str, fields.Parser] = {
    "account_number": fields.required,
    "plan_code": _optional(fields.required),
    "name": fields.required,
    "percent": _optional(fields.percent),
    "amount": _optional(fields.positive),
    "currency": _optional(fields.currency),
    "valid_from": fields.day,
    "valid_to": fields.optional_day,
}
GRANT_COLUMNS: dict[str, fields.Parser] = {
    "account_number": fields.required,
    "reference": fields.required,
    "currency": fields.currency,
    "amount": fields.positive,
    "price": fields.amount,
    "valid_from": fields.day,
    "expires_on": fields.optional_day,
    "note": fields.text,
}


@dataclass(frozen=True)
class NewTerms:
    """A row that is new. `values`: the columns of its table beside the customer."""

    customer_id: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Others:
    """What rows refer to: the accounts and plans that are known, those of the same import included.

    `written`: they are in the tables by now, which a bad row before prevents; what is there then
    can be checked.
    """

    accounts: Container[str]
    plan_codes: Container[str]
    written: bool


def read_discounts(
    connection: Connection, path: Path, problems: Problems, others: Others
) -> list[NewTerms]:
    """The discounts that are new. None may reach back into a month that was billed."""

    def unknown(customer: Row[Any], discount: Discount) -> bool:
        require_terms(connection, discount, customer.currency)
        if known_discount(connection, customer.id, discount) is not None:
            return False
        days = discount.valid_from, discount.valid_to
        require_unbilled(connection, "valid_from", customer.id, *days)
        return True

    return _read(
        connection,
        path,
        problems,
        others,
        DISCOUNT_COLUMNS,
        key=("account_number", "plan_code", "name", "valid_from"),
        make=Discount,
        is_new=unknown,
    )


def read_grants(
    connection: Connection, path: Path, problems: Problems, others: Others
) -> list[NewTerms]:
    """The prepaid credit that is new. Its price must be one that a cycle to come bills."""

    def unknown(customer: Row[Any], granted: Granted) -> bool:
        require_customers_currency(granted.currency, customer.currency)
        if known_grant(connection, customer.id, granted) is not None:
            return False
        require_price_unbilled(connection, customer.id, granted)
        return True

    return _read(
        connection,
        path,
        problems,
        others,
        GRANT_COLUMNS,
        key=("account_number", "reference"),
        make=Granted,
        is_new=unknown,
    )


def _read(
    connection: Connection,
    path: Path,
    problems: Problems,
    others: Others,
    columns: dict[str, fields.Parser],
    *,
    key: tuple[str, ...],
    make: Callable[..., Any],
    is_new: Callable[[Row[Any], Any], bool],
) -> list[NewTerms]:
    """The rows that `is_new` finds to be so; what it or `make` refuses is a problem of its row."""
    new: list[NewTerms] = []
    seen: dict[tuple[Any, ...], int] = {}
    for record in read_records(path, columns, problems):
        values = dict(record.values)
        first = seen.setdefault(tuple(values[name] for name in key), record.line)
        account, plan_code = values.pop("account_number"), values.get("plan_code")
        if first != record.line:
            problems.add(path.name, record.line, key[-1], f"stands in line {first} already")
        elif account not in others.accounts:
            problems.add(path.name, record.line, "account_number", f"{account} is no customer")
        elif plan_code is not None and plan_code not in others.plan_codes:
            problems.add(path.name, record.line, "plan_code", f"{plan_code} is no plan")
        else:
            try:
                terms = make(**values)
                if others.written:
                    customer = require_customer(connection, account)
                    if is_new(customer, terms):
                        new.append(NewTerms(customer.id, vars(terms)))
            except InvalidField as refusal:
                problems.add(path.name, record.line, refusal.field, refusal.reason)
            except BillwrightError as refusal:
                problems.add(path.name, record.line, "", refusal.message)
    return new


def write_discounts(connection: Connection, rows: list[NewTerms]) -> None:
    if rows:
        values = [{"customer_id": row.customer_id, **row.values} for row in rows]
        connection.execute(insert(discounts).values(created_by=ACTOR), values)


def write_grants(connection: Connection, rows: list[NewTerms]) -> None:
    if rows:
        values = [{"customer_id": row.customer_id, **row.values} for row in rows]
        connection.execute(insert(prepaid_grants).values(person=ACTOR), values)
