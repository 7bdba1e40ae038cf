"""customers.csv and subscriptions.csv."""

from collections import defaultdict
from collections.abc import Container
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from domain.errors import InvalidField
from domain.periods import overlap
from storage.importing import fields
from storage.importing.problems import Problems
from storage.importing.reading import ACTOR, Record, read_records
from storage.late.reopening import contract_changed
from storage.master_data.customer_rules import (
    KEPT_HERE,
    PAYMENT_METHODS,
    STATUSES,
    checked_customer,
)
from storage.tables import customers, pricing_plans, subscriptions

CUSTOMER_COLUMNS = {
    "account_number": fields.required,
    "name": fields.required,
    "billing_email": fields.emails,
    "country": fields.country,
    "region": fields.text,
    "address_line1": fields.required,
    "postal_code": fields.text,
    "city": fields.required,
    "tax_id": fields.text,
    "tax_exempt": fields.yes_or_no,
    "currency": fields.currency,
    "segment": fields.required,
    "payment_method": fields.one_of(PAYMENT_METHODS),
    "stripe_customer_id": fields.text,
    "stripe_payment_method_id": fields.text,
    "status": fields.one_of(STATUSES),
}
SUBSCRIPTION_COLUMNS = {
    "account_number": fields.required,
    "plan_code": fields.required,
    "quantity": fields.positive,
    "starts_on": fields.day,
    "ends_on": fields.optional_day,
}


OPTIONAL_CUSTOMER_COLUMNS = {"po_number": fields.text, "dunning_policy": fields.text}


def read_customers(
    connection: Connection, path: Path, problems: Problems, *, policies: Container[str]
) -> list[dict[str, Any]]:
    """The customers that are new, as rows of `customers`; a changed one is a problem.

    `policies` are the dunning policies known, those of the same import included.
    """
    known = {
        row.account_number: row._asdict() for row in connection.execute(select(customers)).all()
    }
    seen: dict[str, int] = {}
    new: list[dict[str, Any]] = []
    for record in read_records(
        path, CUSTOMER_COLUMNS, problems, optional=OPTIONAL_CUSTOMER_COLUMNS
    ):
        account = record.values["account_number"]
        if account in seen:
            problems.add(
                path.name,
                record.line,
                "account_number",
                f"{account} stands in line {seen[account]}",
            )
            continue
        seen[account] = record.line
        customer = _customer(path.name, record, problems, policies)
        if customer is None:
            continue
        if account not in known:
            new.append(customer)
        elif changed := _changed(customer, known[account]):
            problems.add(
                path.name,
                record.line,
                "billing_email" if changed[0] == "billing_emails" else changed[0],
                f"account {account} exists with another value; change it there, not by import",
            )
    return new


def write_customers(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(customers), rows)


def read_subscriptions(
    connection: Connection,
    path: Path,
    problems: Problems,
    *,
    accounts: Container[str],
    plan_codes: Container[str],
) -> list[dict[str, Any]]:
    """The subscriptions that are new, with `account_number` and `plan_code`.

    `accounts` and `plan_codes` are those known, the ones of the same import included. Two
    subscriptions of one account and plan may not overlap.
    """
    known = _known_subscriptions(connection)
    new: list[dict[str, Any]] = []
    for record in read_records(path, SUBSCRIPTION_COLUMNS, problems):
        row = record.values
        if row["account_number"] not in accounts:
            problems.add(
                path.name, record.line, "account_number", f"{row['account_number']} is no customer"
            )
        elif row["plan_code"] not in plan_codes:
            problems.add(path.name, record.line, "plan_code", f"{row['plan_code']} is no plan")
        elif row["ends_on"] is not None and row["ends_on"] <= row["starts_on"]:
            problems.add(path.name, record.line, "ends_on", "is not after starts_on (exclusive)")
        else:
            others = known[row["account_number"], row["plan_code"]]
            if row in others:
                continue
            if any(overlap(_days(row), _days(other)) for other in others):
                problems.add(
                    path.name,
                    record.line,
                    "starts_on",
                    f"overlaps another subscription of {row['account_number']} "
                    f"to {row['plan_code']}",
                )
                continue
            others.append(row)
            new.append(row)
    return new


def write_subscriptions(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Adds subscriptions; their accounts and plans are in the tables by now.

    Billed months that they reach back into are rated anew by the next cycle.
    """
    if not rows:
        return
    ids = customer_ids(connection)
    plans = {
        row.code: row.id
        for row in connection.execute(select(pricing_plans.c.code, pricing_plans.c.id))
    }
    connection.execute(
        insert(subscriptions),
        [
            {
                "customer_id": ids[row["account_number"]],
                "plan_id": plans[row["plan_code"]],
                "quantity": row["quantity"],
                "starts_on": row["starts_on"],
                "ends_on": row["ends_on"],
            }
            for row in rows
        ],
    )
    contract_changed(
        connection,
        [(ids[row["account_number"]], row["starts_on"], row["ends_on"]) for row in rows],
        person=ACTOR,
    )


def customer_ids(connection: Connection) -> dict[str, int]:
    """Id by account number, of all customers."""
    rows = connection.execute(select(customers.c.account_number, customers.c.id))
    return {row.account_number: row.id for row in rows}


def _changed(customer: dict[str, Any], known: dict[str, Any]) -> list[str]:
    return [name for name in customer if customer[name] != known[name] and name not in KEPT_HERE]


def _customer(
    file: str, record: Record, problems: Problems, policies: Container[str]
) -> dict[str, Any] | None:
    row = dict(record.values)
    row["billing_emails"] = row.pop("billing_email")
    try:
        return checked_customer(row, policies=policies)
    except InvalidField as refusal:
        problems.add(file, record.line, refusal.field, refusal.reason)
        return None


def _known_subscriptions(connection: Connection) -> dict[tuple[str, str], list[dict[str, Any]]]:
    rows = connection.execute(
        select(
            customers.c.account_number,
            pricing_plans.c.code.label("plan_code"),
            subscriptions.c.quantity,
            subscriptions.c.starts_on,
            subscriptions.c.ends_on,
        )
        .join(customers, customers.c.id == subscriptions.c.customer_id)
        .join(pricing_plans, pricing_plans.c.id == subscriptions.c.plan_id)
    )
    known: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        known[row.account_number, row.plan_code].append(row._asdict())
    return known


def _days(row: dict[str, Any]) -> tuple[date, date | None]:
    return row["starts_on"], row["ends_on"]
