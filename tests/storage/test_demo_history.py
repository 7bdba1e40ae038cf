"""The demonstration's months around February fit each other and the rules that bill February."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest
from sqlalchemy import Engine, select, text

from demo.dataset import (
    BILLED_MONTH,
    NEXT_MONTH,
    MonthOfUsage,
    events_of,
    read_usage_by_month,
    write_dataset,
)
from demo.known_answers import MARCH as MARCH_ANSWERS
from domain.invoice import InvoiceDraft, draft_invoice
from domain.lines import InvoiceSum
from domain.money import round_money
from domain.periods import BillingPeriod
from domain.rating import Contract, DailyUsage
from domain.reporting import growth
from domain.tax import TaxPolicy, determine_tax
from storage.customers import billed_customer, subscriptions_of, usage_of
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.price_list import load_price_list
from storage.reports.outstanding import outstanding
from storage.tables import customers, invoices
from tests.builders import NOW

NOVEMBER, DECEMBER, JANUARY, MARCH = (
    BillingPeriod(2025, 11),
    BillingPeriod(2025, 12),
    BillingPeriod(2026, 1),
    BillingPeriod(2026, 3),
)
DUE = {
    NOVEMBER: date(2025, 12, 31),
    DECEMBER: date(2026, 1, 31),
    JANUARY: date(2026, 3, 3),
}


@pytest.fixture(scope="module")
def imported(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("demo")
    write_dataset(folder)
    with fresh_engine() as engine:
        assert import_directory(engine, folder, now=NOW).late == {}
        yield engine


def _drafts(
    engine: Engine, period: BillingPeriod, used: Mapping[int, Sequence[DailyUsage]]
) -> dict[int, InvoiceDraft]:
    """By customer id, what the rules make of the subscriptions and of `used`."""
    with transaction(engine) as connection:
        rules = load_price_list(connection, TaxPolicy())
        rows = connection.execute(select(customers)).all()
        subscribed = subscriptions_of(connection, [row.id for row in rows], period)
    drafts = {
        row.id: draft_invoice(
            billed_customer(row).tax_subject,
            Contract(row.currency, tuple(subscribed.get(row.id, ()))),
            used.get(row.id, ()),
            rules,
            period,
        )
        for row in rows
    }
    return {customer: draft for customer, draft in drafts.items() if draft is not None}


@pytest.mark.parametrize("period", [DECEMBER, JANUARY], ids=str)
def test_an_old_invoice_is_what_the_rules_make_of_the_usage(
    imported: Engine, period: BillingPeriod
) -> None:
    with transaction(imported) as connection:
        ids = connection.execute(select(customers.c.id)).scalars().all()
        used = {id: it.days for id, it in usage_of(connection, ids, period).items()}
        old = {
            row.customer_id: row
            for row in connection.execute(
                select(invoices).where(invoices.c.period_start == period.start)
            )
        }
    expected = {
        customer: (*(draft.amount_of(part) for part in InvoiceSum), draft.tax, draft.total)
        for customer, draft in _drafts(imported, period, used).items()
    }
    assert {
        customer: (
            invoice.usage_amount,
            invoice.subscription_amount,
            invoice.proration_amount,
            invoice.discount_amount,
            invoice.late_amount,
            invoice.tax,
            invoice.total,
        )
        for customer, invoice in old.items()
    } == expected


@pytest.mark.parametrize("period", DUE, ids=str)
def test_a_months_old_invoices_are_numbered_dated_and_taxed(
    imported: Engine, period: BillingPeriod
) -> None:
    with transaction(imported) as connection:
        rules = load_price_list(connection, TaxPolicy())
        rows = connection.execute(
            select(invoices, customers)
            .join(customers, customers.c.id == invoices.c.customer_id)
            .where(invoices.c.period_start == period.start)
            .order_by(customers.c.account_number)
        ).all()
    numbers = [f"INV-{period}-{place:04d}" for place in range(1, len(rows) + 1)]
    assert [row.number for row in rows] == numbers
    assert {(row.issued_on, row.due_on) for row in rows} == {(period.end, DUE[period])}
    for row in rows:
        subject = billed_customer(row).tax_subject
        rate = determine_tax(subject, rules.taxes, TaxPolicy(), period.last_day).rate_percent
        assert row.tax == round_money(row.subtotal * rate / 100, row.currency)


def test_each_month_is_larger_than_the_one_before(imported: Engine) -> None:
    with transaction(imported) as connection:
        billed = connection.execute(
            text("SELECT sum(total) FROM invoices GROUP BY period_start ORDER BY period_start")
        ).scalars()
        totals = [*billed, Decimal("47829.14")]
    assert totals == sorted(totals)
    assert growth(totals[-1], totals[-2]) == Decimal("4.2")


def test_only_five_old_invoices_are_open_when_february_is_billed(imported: Engine) -> None:
    with transaction(imported) as connection:
        owed = outstanding(connection, as_of=date(2026, 3, 1), currency="USD", limit=None)
    assert {aged.bucket: (aged.invoices, str(aged.amount)) for aged in owed.buckets} == {
        "current": (0, "0.00"),
        "1-30": (4, "984.00"),
        "31-60": (1, "246.00"),
        "60+": (0, "0.00"),
    }
    debtors = {debtor.account_number for debtor in owed.debtors}
    assert debtors == {"1043", "1053", "1075", "1131", "1154"}


def until_february() -> list[MonthOfUsage]:
    return [usage for usage in read_usage_by_month() if usage.month <= BILLED_MONTH]


def test_three_customers_use_less_from_month_to_month() -> None:
    per_day: dict[str, dict[str, Decimal]] = {}
    for usage in until_february():
        days = BillingPeriod.parse(usage.month).days
        per_day.setdefault(usage.account_number, {})[usage.month] = Decimal(usage.quantity) / days
    in_all = {account: list(months.values()) for account, months in per_day.items()}
    declining = {
        account
        for account, months in in_all.items()
        if len(months) == 3
        and all(now <= before * Decimal("0.9") for before, now in pairwise(months))
    }
    assert declining == {"1032", "1141", "1166"}
    months = [usage for usage in until_february() if usage.account_number == "1032"]
    assert [(usage.month, usage.quantity) for usage in months] == [
        ("2025-12", 100_000),
        ("2026-01", 50_000),
        ("2026-02", 20_000),
    ]


def test_march_is_februarys_usage_but_for_three_customers() -> None:
    quantities: dict[str, dict[str, int]] = {}
    for usage in read_usage_by_month():
        quantities.setdefault(usage.month, {})[usage.account_number] = usage.quantity
    february, march = quantities[BILLED_MONTH], quantities[NEXT_MONTH]
    changed = {
        account: (quantity, march.get(account, 0))
        for account, quantity in february.items()
        if march.get(account) != quantity
    }
    assert changed == {"1159": (526_581, 1_126_581), "1037": (179_047, 49_047), "1179": (95_377, 0)}
    assert march.keys() <= february.keys()
    sent = list(events_of(NEXT_MONTH))
    assert sum(quantity for *_, quantity in sent) == sum(march.values())
    assert len({event_id for event_id, *_ in sent}) == len(sent)
    assert {instant[:7] for *_, instant, _ in sent} == {NEXT_MONTH}


def test_march_comes_to_what_was_worked_out_by_hand(imported: Engine) -> None:
    with transaction(imported) as connection:
        ids = {
            row.account_number: row.id
            for row in connection.execute(select(customers.c.account_number, customers.c.id))
        }
    used = {
        ids[usage.account_number]: [DailyUsage(usage.metric, MARCH.start, Decimal(usage.quantity))]
        for usage in read_usage_by_month()
        if usage.month == NEXT_MONTH
    }
    drafts = _drafts(imported, MARCH, used).values()
    known = dict(MARCH_ANSWERS)
    for name, part in (
        ("usage charges", InvoiceSum.USAGE),
        ("flat subscriptions", InvoiceSum.SUBSCRIPTIONS),
    ):
        assert f"{sum(draft.amount_of(part) for draft in drafts):,f}" == known[name]
    late, its_tax = Decimal("10.00") - Decimal("5.00"), Decimal("1.90")
    assert f"{sum(draft.tax for draft in drafts) + its_tax:,f}" == known["tax"]
    total = sum(draft.total for draft in drafts) + late + its_tax
    assert f"{total:,f}" == known["total, USD"].partition(" / ")[0]
