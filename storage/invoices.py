"""Invoices as they are read: one whole, a page of many, their document and their timeline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    any_,
    func,
    literal,
    not_,
    or_,
    select,
    text,
    tuple_,
    union_all,
)

from domain.errors import NotFound
from domain.invoice import InvoiceStatus, TaxLine, open_amount
from domain.lines import LineKind
from domain.parties import BilledCustomer
from domain.periods import BillingPeriod
from storage.receivables import IS_OPEN
from storage.snapshots import customer_from_json, tax_lines_from_json
from storage.tables import audit_log, customers, invoice_line_items, invoices


@dataclass(frozen=True)
class InvoiceLine:
    """A line as it is kept. `unit_price` is None where the amount is no product.

    `service_month`: what it is about, before the invoice's own month on a line of kind late.
    """

    position: int
    kind: LineKind
    description: str
    quantity: Decimal
    unit_price: Decimal | None
    amount: Decimal
    plan_code: str
    plan_version: int
    service_month: BillingPeriod


@dataclass(frozen=True)
class Invoice:
    """One invoice without its lines. Amounts are in `currency`; `due_on` is inclusive.

    `number` is None only for a draft of a plan that is still being made. `period` is the cycle's,
    `service_month` what it is about: the same, or a month before it for one of kind late.
    """

    id: int
    number: str | None
    account_number: str
    period: BillingPeriod
    service_month: BillingPeriod
    kind: str
    status: str
    collection_state: str | None
    currency: str
    usage: Decimal
    subscriptions: Decimal
    proration: Decimal
    discounts: Decimal
    late: Decimal
    subtotal: Decimal
    tax: Decimal
    total: Decimal
    tax_lines: tuple[TaxLine, ...]
    amount_paid: Decimal
    amount_credited: Decimal
    customer: BilledCustomer
    seller_version: int
    issued_on: date
    due_on: date
    pdf_sha256: str | None
    link_version: int
    settled_on: date | None
    on_hold: bool
    disputed: bool

    @property
    def is_brought_along(self) -> bool:
        """Whether an older system issued it: there is no document and no line of it here, and its
        card is not charged by itself.
        """
        return self.status != InvoiceStatus.DRAFT and self.pdf_sha256 is None

    @property
    def open_amount(self) -> Decimal:
        """What is still to be paid; zero for a draft and for a settled invoice."""
        return open_amount(
            InvoiceStatus(self.status),
            self.total,
            paid=self.amount_paid,
            credited=self.amount_credited,
        )


@dataclass(frozen=True)
class Overdue:
    """Whether it `is_so` that something should have been paid before the business date `on`."""

    is_so: bool
    on: date


@dataclass(frozen=True)
class InvoiceFilter:
    """Which invoices to list; None means any.

    Attributes:
        sought: an invoice number or its beginning, an account number, or a part of the customer's
            present name, in capitals or not. Blank: any.
        open: whether something is still to be paid.
    """

    period: BillingPeriod | None = None
    status: str | None = None
    account_number: str | None = None
    sought: str = ""
    collection_state: str | None = None
    open: bool | None = None
    overdue: Overdue | None = None
    on_hold: bool | None = None
    disputed: bool | None = None


@dataclass(frozen=True)
class ListPosition:
    """The last invoice that a reader of the list has seen."""

    period_start: date
    account_number: str
    id: int


@dataclass(frozen=True)
class TimelineEntry:
    """One thing that happened to an invoice; `details` are the event's own."""

    at: datetime
    business_date: date
    actor: str
    event: str
    from_state: str | None
    to_state: str | None
    reason: str
    details: Mapping[str, Any]


_MANY = 500  # customers: PostgreSQL looks at each of a list before it begins
_BEHIND_ALL = "\U0010ffff"
_COLUMNS = select(invoices, customers.c.account_number).join(
    customers, customers.c.id == invoices.c.customer_id
)


def load_invoice(connection: Connection, number: str) -> Invoice:
    """Raises NotFound."""
    row = connection.execute(_COLUMNS.where(invoices.c.number == number)).one_or_none()
    if row is None:
        raise NotFound(f"There is no invoice {number}.")
    return _invoice(row)


def load_lines(connection: Connection, invoice_id: int) -> list[InvoiceLine]:
    """The invoice's lines by position."""
    return [line for _, line in lines_of(connection, [invoice_id])]


def lines_of(
    connection: Connection, invoice_ids: Sequence[int]
) -> Iterator[tuple[int, InvoiceLine]]:
    """The lines of several invoices, each with its invoice's id; of one by position."""
    line = invoice_line_items
    rows = connection.execute(
        select(line)
        .where(line.c.invoice_id.in_(invoice_ids))
        .order_by(line.c.invoice_id, line.c.position)
    )
    for row in rows:
        yield (
            row.invoice_id,
            InvoiceLine(
                position=row.position,
                kind=LineKind(row.kind),
                description=row.description,
                quantity=row.quantity,
                unit_price=row.unit_price,
                amount=row.amount,
                plan_code=row.plan_code,
                plan_version=row.plan_version,
                service_month=BillingPeriod.of(row.service_month),
            ),
        )


def list_invoices(
    connection: Connection, wanted: InvoiceFilter, *, after: ListPosition | None, limit: int
) -> list[Invoice]:
    """The next `limit` invoices behind `after`, the newest period first, then by account."""
    # the way to what is rare is no way to what is common, and the other way round
    connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
    sought = wanted.sought.strip()
    owners = _ids_of_like(connection, sought) if sought else []
    query = page_of(wanted, owners, after=after, limit=limit)
    return [_invoice(row) for row in connection.execute(query)]


def page_of(
    wanted: InvoiceFilter,
    owners: Sequence[int],
    *,
    after: ListPosition | None,
    limit: int,
) -> Select[Any]:
    """The query of `list_invoices`; `owners`: what `_ids_of_like` finds."""
    conditions = [*_conditions(wanted), *_behind(after)]
    order = (invoices.c.period_start.desc(), customers.c.account_number, invoices.c.id)
    if sought := wanted.sought.strip():
        # each has an index of its own, which one condition with OR would keep from its order
        found = [
            select(
                select(invoices.c.id)
                .join(customers, customers.c.id == invoices.c.customer_id)
                .where(*conditions, of_it)
                .order_by(*order)
                .limit(limit)
                .subquery()
            )
            for of_it in (_begins_with(sought), _belongs_to(owners, sought))
        ]
        conditions = [invoices.c.id.in_(union_all(*found))]
    return _COLUMNS.where(*conditions).order_by(*order).limit(limit)


def _conditions(wanted: InvoiceFilter) -> list[ColumnElement[bool]]:
    column = invoices.c
    equal = (
        (column.period_start, wanted.period and wanted.period.start),
        (column.status, wanted.status),
        (customers.c.account_number, wanted.account_number),
        (column.collection_state, wanted.collection_state),
    )
    either = [
        (IS_OPEN, wanted.open),
        (column.on_hold, wanted.on_hold),
        (column.disputed, wanted.disputed),
    ]
    if overdue := wanted.overdue:
        either.append((and_(IS_OPEN, column.due_on < overdue.on), overdue.is_so))
    return [
        *(is_so == value for is_so, value in equal if value is not None),
        *(is_so if value else not_(is_so) for is_so, value in either if value is not None),
    ]


def _behind(after: ListPosition | None) -> list[ColumnElement[bool]]:
    if after is None:
        return []
    column = invoices.c
    in_its_month = and_(
        column.period_start == after.period_start,
        tuple_(customers.c.account_number, column.id) > (after.account_number, after.id),
    )
    return [or_(column.period_start < after.period_start, in_its_month)]


def _ids_of_like(connection: Connection, sought: str) -> Sequence[int]:
    """The customers that it names, as far as they are few enough to be looked up one by one."""
    return (
        connection.execute(select(customers.c.id).where(_is_like(sought)).limit(_MANY))
        .scalars()
        .all()
    )


def _is_like(sought: str) -> ColumnElement[bool]:
    column = customers.c
    named = column.name.icontains(sought, autoescape=True)
    return or_(func.lower(column.account_number) == sought.lower(), named)


def _belongs_to(owners: Sequence[int], sought: str) -> ColumnElement[bool]:
    if len(owners) < _MANY:
        return invoices.c.customer_id == any_(literal(owners, ARRAY(BigInteger)))
    return _is_like(sought)


def _begins_with(sought: str) -> ColumnElement[bool]:
    """As a range, which an index serves whatever wildcards are in it. Numbers are in capitals."""
    first = sought.upper()
    return and_(invoices.c.number >= first, invoices.c.number < first + _BEHIND_ALL)


def load_timeline(connection: Connection, number: str) -> Sequence[TimelineEntry]:
    """Everything the audit log knows of the invoice, in the order in which it happened."""
    rows = connection.execute(
        select(
            audit_log.c.at,
            audit_log.c.business_date,
            audit_log.c.actor,
            audit_log.c.event,
            audit_log.c.from_state,
            audit_log.c.to_state,
            audit_log.c.reason,
            audit_log.c.details,
        )
        .where(audit_log.c.subject_kind == "invoice", audit_log.c.subject == number)
        .order_by(audit_log.c.id)
    )
    return [TimelineEntry(*row) for row in rows]


def _invoice(row: Row[Any]) -> Invoice:
    return Invoice(
        id=row.id,
        number=row.number,
        account_number=row.account_number,
        period=BillingPeriod.of(row.period_start),
        service_month=BillingPeriod.of(row.service_month or row.period_start),
        kind=row.kind,
        status=row.status,
        collection_state=row.collection_state,
        currency=row.currency,
        usage=row.usage_amount,
        subscriptions=row.subscription_amount,
        proration=row.proration_amount,
        discounts=row.discount_amount,
        late=row.late_amount,
        subtotal=row.subtotal,
        tax=row.tax,
        total=row.total,
        tax_lines=tax_lines_from_json(row.tax_lines),
        amount_paid=row.amount_paid,
        amount_credited=row.amount_credited,
        customer=customer_from_json(row.customer),
        seller_version=row.seller_version,
        issued_on=row.issued_on,
        due_on=row.due_on,
        pdf_sha256=row.pdf_sha256,
        link_version=row.link_version,
        settled_on=row.settled_on,
        on_hold=row.on_hold,
        disputed=row.disputed,
    )
