"""An invoice's totals, number and due date."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue, NoTaxRate, UsageWithoutPlan
from domain.invoice import (
    InvoiceDraft,
    draft_invoice,
    due_date,
    invoice_number,
    parse_invoice_number,
)
from domain.lines import InvoiceSum
from domain.money import minor_digits
from domain.periods import BillingPeriod
from domain.plans import PlanPrice
from domain.rating import Contract, DailyUsage, Subscription
from domain.tax import TaxRule, TaxSubject
from tests.builders import FEBRUARY, flat_plan, price_list, subscription, usage, usage_plan

GERMANY = TaxSubject("DE")
PERIODS = st.builds(BillingPeriod, st.integers(2001, 2199), st.integers(1, 12))


def draft(
    subscriptions: list[Subscription],
    *used: DailyUsage,
    currency: str = "USD",
    plans: tuple[PlanPrice, ...] = (),
) -> InvoiceDraft | None:
    contract = Contract(currency, tuple(subscriptions))
    return draft_invoice(GERMANY, contract, used, price_list(*plans), FEBRUARY)


def totals(invoice: InvoiceDraft | None) -> list[str]:
    assert invoice is not None
    return [f"{amount:f}" for amount in (invoice.subtotal, invoice.tax, invoice.total)]


def test_account_1047_owes_312_91() -> None:
    invoice = draft([subscription(), subscription("premium-support")], usage(247_891))
    assert totals(invoice) == ["262.95", "49.96", "312.91"]


def test_an_invoice_names_the_rule_of_its_tax() -> None:
    invoice = draft([subscription("premium-support")])
    assert invoice is not None
    (line,) = invoice.tax_lines
    assert (line.treatment.rule, line.taxable) == (TaxRule.DOMESTIC, Decimal("99.00"))


def test_an_invoice_knows_the_sums_that_make_it() -> None:
    half = subscription("premium-support", starts_on=date(2026, 2, 15))
    invoice = draft([subscription(), half], usage(20_000))
    assert invoice is not None
    amounts = [f"{invoice.amount_of(part):f}" for part in InvoiceSum]
    assert amounts == ["10.00", "99.00", "-49.50", "0.00", "0.00"]


def test_usage_inside_the_free_tier_is_an_invoice_of_nothing() -> None:
    assert totals(draft([subscription()], usage(500))) == ["0.00", "0.00", "0.00"]


def test_nothing_to_bill_is_no_invoice() -> None:
    assert draft([]) is None
    assert draft([subscription()]) is None
    assert draft([subscription("premium-support", ends_on=date(2026, 2, 1))]) is None


def test_nothing_to_bill_asks_for_no_tax_rate() -> None:
    assert (
        draft_invoice(TaxSubject("FR"), Contract("USD", ()), [], price_list(taxes=[]), FEBRUARY)
        is None
    )


def test_a_customer_who_cannot_be_taxed_is_refused() -> None:
    contract = Contract("USD", (subscription("premium-support"),))
    with pytest.raises(NoTaxRate, match="FR"):
        draft_invoice(TaxSubject("FR"), contract, [], price_list(), FEBRUARY)


def test_usage_that_nobody_priced_is_refused() -> None:
    with pytest.raises(UsageWithoutPlan):
        draft([], usage(1))


@pytest.mark.parametrize(
    ("currency", "price", "expected"),
    [
        ("JPY", "1055", ["1055", "200", "1255"]),
        ("KWD", "1.005", ["1.005", "0.191", "1.196"]),
        ("USD", "10", ["10.00", "1.90", "11.90"]),
    ],
)
def test_amounts_show_the_digits_of_their_currency(
    currency: str, price: str, expected: list[str]
) -> None:
    plan = flat_plan("seat", price, currency=currency)
    assert totals(draft([subscription("seat")], currency=currency, plans=(plan,))) == expected


@given(
    calls=st.integers(1, 10**9),
    quantity=st.integers(1, 500),
    days=st.integers(1, 28),
    currency=st.sampled_from(["JPY", "USD", "KWD"]),
)
def test_an_invoices_parts_add_up(calls: int, quantity: int, days: int, currency: str) -> None:
    plans = (
        usage_plan(code="calls", currency=currency),
        flat_plan("seat", "12.345", currency=currency),
    )
    seats = subscription("seat", quantity=Decimal(quantity), ends_on=date(2026, 2, days))
    invoice = draft([subscription("calls"), seats], usage(calls), currency=currency, plans=plans)
    assert invoice is not None
    assert sum(invoice.amount_of(part) for part in InvoiceSum) == invoice.subtotal
    assert sum(line.amount for line in invoice.lines) == invoice.subtotal
    assert invoice.subtotal + invoice.tax == invoice.total
    shown = [*(line.amount for line in invoice.lines), invoice.tax, invoice.total]
    assert {-amount.as_tuple().exponent for amount in shown} == {minor_digits(currency)}


# --- numbers and dates


def test_a_number_names_its_month_and_place() -> None:
    assert invoice_number(FEBRUARY, 47) == "INV-2026-02-0047"


@pytest.mark.parametrize(
    ("place", "number"), [(9_999, "INV-2026-02-9999"), (10_000, "INV-2026-02-10000")]
)
def test_a_month_may_have_more_than_9999_invoices(place: int, number: str) -> None:
    assert invoice_number(FEBRUARY, place) == number


@given(PERIODS, st.integers(1, 10**7))
def test_a_number_is_read_as_it_was_written(period: BillingPeriod, place: int) -> None:
    assert parse_invoice_number(invoice_number(period, place)) == (period, place)


@pytest.mark.parametrize("place", [0, -1])
def test_the_first_invoice_of_a_month_is_number_one(place: int) -> None:
    with pytest.raises(InvalidValue, match="the first is 1"):
        invoice_number(FEBRUARY, place)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "INV-2026-02",
        "INV-2026-02-47",
        "INV-2026-13-0001",
        "inv-2026-02-0047",
        "INV-2026-02-0047 ",
        "INV-2026-02-0000",
        "INV-2026-02-00047",
        "INV-\u0662\u0660\u0662\u0666-\u0660\u0662-\u0660\u0660\u0664\u0667",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_invoice_number(text)


@pytest.mark.parametrize(
    ("issued_on", "terms", "due_on"),
    [
        (date(2026, 3, 1), 30, date(2026, 3, 31)),
        (date(2026, 1, 31), 30, date(2026, 3, 2)),
        (date(2026, 3, 1), 0, date(2026, 3, 1)),
    ],
)
def test_net_terms_are_counted_in_days(issued_on: date, terms: int, due_on: date) -> None:
    assert due_date(issued_on, terms) == due_on
