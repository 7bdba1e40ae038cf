"""invoices.csv: invoices brought along from an older system."""

from collections.abc import Container
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select

from domain.errors import BillwrightError, InvalidValue
from domain.invoice import InvoiceKind, InvoiceStatus, parse_invoice_number
from domain.money import round_money
from domain.periods import BillingPeriod
from storage import audit, receivables
from storage.customers import billed_customer
from storage.importing import fields
from storage.importing.problems import Problems
from storage.importing.reading import ACTOR, Record, read_records
from storage.sellers import current_seller
from storage.snapshots import customer_to_json
from storage.tables import customers, invoices, payments

_AMOUNTS = ("usage", "subscriptions", "proration", "tax", "total", "amount_paid")
_STATUSES = tuple(
    status.value
    for status in InvoiceStatus
    if status not in (InvoiceStatus.DRAFT, InvoiceStatus.UNCOLLECTIBLE)
)


def _period(value: str) -> BillingPeriod:
    try:
        return BillingPeriod.parse(value.strip())
    except InvalidValue as refusal:
        raise ValueError(refusal.message) from None


COLUMNS = {
    "number": fields.required,
    "account_number": fields.required,
    "period": _period,
    "issued_on": fields.day,
    "due_on": fields.day,
    "currency": fields.currency,
    **dict.fromkeys(_AMOUNTS, fields.amount),
    "status": fields.one_of(_STATUSES),
}
OPTIONAL = {
    "paid_on": fields.optional_day,
    "discounts": lambda value: fields.amount(value) if value.strip() else Decimal(0),
}
_FROZEN = (
    *(name for name in COLUMNS if name not in ("number", "amount_paid", "status")),
    "discounts",
)
"""What an invoice keeps for good: payments and reminders change the rest in Billwright."""


def read_history(
    connection: Connection,
    path: Path,
    problems: Problems,
    *,
    accounts: Container[str],
    today: date,
) -> list[dict[str, Any]]:
    """The invoices that are new; one that is known must be the same in what does not change.

    A customer has one invoice a period, void ones aside. `today`: the day of the import, behind
    which nothing can have been paid.
    """
    known = _known_invoices(connection)
    seen: dict[str, Record] = {}
    taken = _billed_periods(connection)
    new: list[dict[str, Any]] = []
    for record in read_records(path, COLUMNS, problems, optional=OPTIONAL):
        row = record.values
        if row["account_number"] not in accounts:
            problems.add(
                path.name, record.line, "account_number", f"{row['account_number']} is no customer"
            )
        elif row["number"] in seen:
            first = seen[row["number"]]
            where = f"stands in line {first.line}"
            _same(path.name, record, problems, first.values, (*COLUMNS, *OPTIONAL), where)
        elif row["number"] in known:
            seen[row["number"]] = record
            _same(path.name, record, problems, known[row["number"]], _FROZEN, "is known")
        else:
            seen[row["number"]] = record
            sound = _sound(path.name, record, problems, today)
            if sound and _alone(path.name, record, problems, taken):
                new.append(row)
    return new


def write_history(connection: Connection, rows: list[dict[str, Any]], *, today: date) -> None:
    """Adds the invoices, what was paid on them as one payment each, and their audit entries.

    A payment without its day counts as made on the due date, and on `today`, the day of the
    import, where that comes first.
    """
    if not rows:
        return
    seller_version, _ = current_seller(connection)
    by_account = {row.account_number: row for row in connection.execute(select(customers)).all()}
    for row in rows:
        customer = by_account[row["account_number"]]
        invoice_id = connection.execute(
            insert(invoices)
            .values(_invoice_values(row, customer, seller_version, today))
            .returning(invoices.c.id)
        ).scalar_one()
        if row["status"] != "void":
            total = max(row["total"], Decimal(0))
            receivables.enter(connection, invoice_id, on=row["issued_on"], amount=total)
        if row["amount_paid"] > 0:
            paid_on = _paid_on(row, today)
            receivables.enter(connection, invoice_id, on=paid_on, amount=-row["amount_paid"])
            connection.execute(
                insert(payments).values(
                    invoice_id=invoice_id,
                    method="other",
                    status="succeeded",
                    amount=row["amount_paid"],
                    allocated=row["amount_paid"],
                    currency=row["currency"],
                    idempotency_key=f"{row['number']}/import",
                    business_date=paid_on,
                )
            )
        audit.record(
            connection,
            audit.AuditEntry(
                row["issued_on"], ACTOR, "invoice", row["number"], "imported", None, row["status"]
            ),
        )


def _known_invoices(connection: Connection) -> dict[str, dict[str, Any]]:
    """What is kept for good of each numbered invoice, under the columns of the file."""
    rows = connection.execute(
        select(
            invoices.c.number,
            customers.c.account_number,
            invoices.c.period_start,
            invoices.c.issued_on,
            invoices.c.due_on,
            invoices.c.currency,
            invoices.c.usage_amount.label("usage"),
            invoices.c.subscription_amount.label("subscriptions"),
            invoices.c.proration_amount.label("proration"),
            invoices.c.discount_amount.label("discounts"),
            invoices.c.tax,
            invoices.c.total,
        )
        .join(customers, customers.c.id == invoices.c.customer_id)
        .where(invoices.c.number.is_not(None))
    )
    return {
        row.number: {**row._asdict(), "period": BillingPeriod.of(row.period_start)} for row in rows
    }


def _same(
    file: str,
    record: Record,
    problems: Problems,
    known: dict[str, Any],
    columns: tuple[str, ...],
    where: str,
) -> None:
    """Complains of the first of `columns` in which the row is another invoice than `known`."""
    number = record.values["number"]
    for name in columns:
        if record.values[name] != known[name]:
            found = "nothing" if known[name] is None else known[name]
            reason = f"{number} {where} with {found}; an invoice does not change by import"
            problems.add(file, record.line, name, reason)
            return


def _sound(file: str, record: Record, problems: Problems, today: date) -> bool:
    """Whether the row's figures and dates fit each other."""
    row = record.values
    before = problems.count
    try:
        parse_invoice_number(row["number"])
    except BillwrightError as refusal:
        problems.add(file, record.line, "number", refusal.message)
    _check_amounts(file, record, problems)
    _check_days(file, record, problems, today)
    return problems.count == before


def _check_amounts(file: str, record: Record, problems: Problems) -> None:
    row = record.values
    for name in (*_AMOUNTS, "discounts"):
        if round_money(row[name], row["currency"]) != row[name]:
            problems.add(file, record.line, name, f"has a fraction of a {row['currency']} cent")
    net = row["usage"] + row["subscriptions"] + row["proration"] + row["discounts"]
    parts = net + row["tax"]
    if parts != row["total"]:
        problems.add(file, record.line, "total", f"is {row['total']} and its parts sum to {parts}")
    if not 0 <= row["amount_paid"] <= max(row["total"], Decimal(0)):
        problems.add(file, record.line, "amount_paid", "is not between 0 and the total")
    elif row["status"] == "void":
        if row["amount_paid"] > 0:
            reason = "is above 0 on a void invoice; give 0, or the status that it was paid in"
            problems.add(file, record.line, "amount_paid", reason)
    elif (row["status"] == "paid") != (row["amount_paid"] == row["total"]):
        problems.add(file, record.line, "status", "does not fit amount_paid")


def _check_days(file: str, record: Record, problems: Problems, today: date) -> None:
    row = record.values
    if row["due_on"] < row["issued_on"]:
        problems.add(file, record.line, "due_on", "is before issued_on")
    if row["paid_on"] is None:
        return
    if row["amount_paid"] == 0:
        problems.add(file, record.line, "paid_on", "is given and amount_paid is 0; leave it empty")
    elif row["paid_on"] < row["issued_on"]:
        problems.add(file, record.line, "paid_on", "is before issued_on")
    elif row["paid_on"] > today:
        problems.add(file, record.line, "paid_on", f"lies in the future; today is {today}")


def _paid_on(row: dict[str, Any], today: date) -> date:
    paid_on: date = row["paid_on"] or min(row["due_on"], today)
    return paid_on


def _billed_periods(connection: Connection) -> dict[tuple[str, BillingPeriod], str]:
    """The number of each customer's regular invoice by account and period, void ones aside."""
    rows = connection.execute(
        select(customers.c.account_number, invoices.c.period_start, invoices.c.number)
        .join(customers, customers.c.id == invoices.c.customer_id)
        .where(invoices.c.status != "void", invoices.c.kind == InvoiceKind.REGULAR.value)
    )
    return {
        (row.account_number, BillingPeriod.of(row.period_start)): row.number or "a draft"
        for row in rows
    }


def _alone(
    file: str,
    record: Record,
    problems: Problems,
    taken: dict[tuple[str, BillingPeriod], str],
) -> bool:
    """Whether the customer has no other invoice of the period; takes the place if so."""
    row = record.values
    if row["status"] == "void":
        return True
    place = (row["account_number"], row["period"])
    if place in taken:
        reason = f"{row['account_number']} has {taken[place]} for {row['period']}"
        problems.add(file, record.line, "period", reason)
        return False
    taken[place] = row["number"]
    return True


def _invoice_values(
    row: dict[str, Any], customer: Any, seller_version: int, today: date
) -> dict[str, Any]:
    settled = row["status"] in ("paid", "void")
    return {
        "number": row["number"],
        "customer_id": customer.id,
        "period_start": row["period"].start,
        "kind": InvoiceKind.REGULAR.value,
        "status": row["status"],
        "collection_state": row["status"] if settled else "issued",
        "currency": row["currency"],
        "usage_amount": row["usage"],
        "subscription_amount": row["subscriptions"],
        "proration_amount": row["proration"],
        "discount_amount": round_money(row["discounts"], row["currency"]),
        "subtotal": row["total"] - row["tax"],
        "tax": row["tax"],
        "total": row["total"],
        "tax_lines": [],
        "amount_paid": row["amount_paid"],
        "segment": customer.segment,
        "customer": customer_to_json(billed_customer(customer)),
        "seller_version": seller_version,
        "issued_on": row["issued_on"],
        "due_on": row["due_on"],
        "issued_at": func.now(),
        "settled_on": _paid_on(row, today) if row["status"] == "paid" else None,
        # nobody is dunned for what an older system sent until a person says so
        "on_hold": not settled,
    }
