"""Prepaid credit: sold or given, drawn down by usage, never beyond what there is."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.discounts import Discount
from domain.errors import PrepaidInAnotherCurrency
from domain.invoice import InvoiceDraft, draft_invoice
from domain.lines import InvoiceSum, LineKind, RatedLine, sum_of
from domain.periods import BillingPeriod
from domain.prepaid import PrepaidGrant, after_draws, draw_down, purchase_lines
from domain.rating import Contract
from domain.tax import TaxSubject
from tests.builders import FEBRUARY, price_list, subscription, usage

AMOUNTS = st.decimals(min_value="0.01", max_value="999.99", places=2)


def grant(amount: str | Decimal = "100.00", **changes: Any) -> PrepaidGrant:
    """A gift of January 2026, not drawn yet."""
    terms = {
        "id": 1,
        "currency": "USD",
        "amount": Decimal(amount),
        "price": Decimal(0),
        "valid_from": date(2026, 1, 15),
        "expires_on": None,
    }
    terms |= changes
    return PrepaidGrant(**{"left": terms["amount"], **terms})


def line(amount: str | Decimal, kind: LineKind = LineKind.USAGE, plan: str = "api") -> RatedLine:
    return RatedLine(kind, "x", Decimal(1), None, Decimal(amount), plan, 1)


def drawn(lines: list[RatedLine], *grants: PrepaidGrant) -> list[tuple[int, str]]:
    return [
        (draw.grant_id, f"{draw.amount:f}") for draw in draw_down(grants, lines, "USD", FEBRUARY)
    ]


def draft(*grants: PrepaidGrant, calls: int = 247_891, **terms: Any) -> InvoiceDraft:
    contract = Contract("USD", (subscription(), subscription("premium-support")), **terms)
    found = draft_invoice(
        TaxSubject("DE"), contract, [usage(calls)], price_list(), FEBRUARY, grants=grants
    )
    assert found is not None
    return found


def test_usage_draws_the_credit_down_before_tax() -> None:
    invoice = draft(grant())
    assert [(line.description, f"{line.amount:f}") for line in invoice.lines[-2:]] == [
        ("Premium support", "99.00"),
        ("Prepaid credit from 2026-01-15, 0.00 of 100.00 left", "-100.00"),
    ]
    assert [f"{amount:f}" for amount in (invoice.subtotal, invoice.tax, invoice.total)] == [
        "162.95",
        "30.96",
        "193.91",
    ]
    assert invoice.amount_of(InvoiceSum.DISCOUNTS) == Decimal("-100.00")
    assert [draw.grant_id for draw in invoice.draws] == [1]


def test_flat_charges_are_not_paid_by_it() -> None:
    invoice = draft(grant("500.00"))
    assert invoice.subtotal == Decimal("99.00")
    assert invoice.lines[-1].description.endswith("336.05 of 500.00 left")


def test_what_expires_soonest_goes_first() -> None:
    last, first, later = (
        grant("30.00", id=1),
        grant("30.00", id=2, expires_on=date(2026, 6, 1)),
        grant("30.00", id=3, expires_on=date(2026, 6, 1), valid_from=date(2026, 2, 1)),
    )
    assert drawn([line("70.00")], last, later, first) == [
        (2, "30.00"),
        (3, "30.00"),
        (1, "10.00"),
    ]


@pytest.mark.parametrize(
    ("valid_from", "expires_on", "pays"),
    [
        (date(2026, 2, 28), None, True),
        (date(2026, 3, 1), None, False),
        (date(2025, 1, 1), date(2026, 2, 1), False),
        (date(2025, 1, 1), date(2026, 2, 2), True),
    ],
)
def test_it_pays_for_each_month_that_has_a_day_of_it(
    valid_from: date, expires_on: date | None, pays: bool
) -> None:
    found = drawn([line("5.00")], grant(valid_from=valid_from, expires_on=expires_on))
    assert bool(found) is pays


def test_credit_in_another_currency_stays_where_it_is() -> None:
    assert drawn([line("5.00")], grant(currency="EUR")) == []


def test_it_pays_for_what_discounts_on_usage_leave() -> None:
    lines = [line("100.00"), line("-30.00", LineKind.DISCOUNT), line("50.00", LineKind.FLAT, "ip")]
    assert drawn(lines, grant("500.00")) == [(1, "70.00")]


def test_it_pays_for_a_minimum_commitment_too() -> None:
    lines = [line("10.00"), line("40.00", LineKind.MINIMUM)]
    assert drawn(lines, grant("500.00")) == [(1, "50.00")]


def test_it_never_draws_an_invoice_below_zero() -> None:
    lines = [line("100.00"), line("-80.00", LineKind.PRORATION, "platform")]
    assert drawn(lines, grant("500.00")) == [(1, "20.00")]
    below_zero = [line("100.00"), line("-180.00", LineKind.PRORATION, "platform")]
    assert drawn(below_zero, grant("500.00")) == []


def test_a_discount_on_everything_is_kept() -> None:
    half = Discount("Half", date(2025, 1, 1), percent=Decimal(50))
    invoice = draft(grant("500.00"), discounts=(half,))
    assert invoice.subtotal == 0
    assert invoice.draws[0].amount == Decimal("131.47")  # half of 262.95 was taken off


def test_its_price_is_billed_in_the_month_from_which_it_is_valid() -> None:
    sold = grant("1000.00", price=Decimal("900.00"), expires_on=date(2027, 1, 15))
    (bought,) = purchase_lines([sold, grant(id=2)], "USD", BillingPeriod(2026, 1))
    assert (bought.kind, bought.description, f"{bought.amount:f}") == (
        LineKind.PREPAID_PURCHASE,
        "Prepaid credit of 1,000.00 from 2026-01-15, expires on 2027-01-15",
        "900.00",
    )
    assert bought.kind.counts_to is InvoiceSum.SUBSCRIPTIONS
    assert purchase_lines([sold], "USD", FEBRUARY) == []


def test_who_only_buys_credit_is_billed_for_it() -> None:
    sold = grant(price=Decimal("90.00"), valid_from=date(2026, 2, 10))
    contract = Contract("USD", ())
    invoice = draft_invoice(TaxSubject("DE"), contract, [], price_list(), FEBRUARY, grants=[sold])
    assert invoice is not None
    assert (f"{invoice.total:f}", invoice.draws) == ("107.10", ())


def test_credit_that_was_sold_in_another_currency_is_the_customers_error() -> None:
    sold = grant(price=Decimal(5), currency="EUR", valid_from=date(2026, 2, 1))
    with pytest.raises(PrepaidInAnotherCurrency, match="sold in EUR"):
        purchase_lines([sold], "USD", FEBRUARY)


GRANTS = st.lists(
    st.builds(
        grant,
        AMOUNTS,
        expires_on=st.none() | st.dates(date(2026, 1, 16), date(2026, 12, 31)),
    ),
    max_size=5,
).map(lambda grants: [grant(**vars(one) | {"id": place}) for place, one in enumerate(grants)])
PLANS = st.sampled_from(["api", "ip"])
CHARGED = st.sampled_from([LineKind.USAGE, LineKind.MINIMUM, LineKind.FLAT])
LINES = st.lists(
    st.builds(line, AMOUNTS, CHARGED, PLANS)
    | st.builds(
        line,
        AMOUNTS.map(lambda amount: -amount),
        st.sampled_from([LineKind.DISCOUNT, LineKind.PRORATION]),
        PLANS,
    ),
    max_size=6,
)


@given(GRANTS, LINES)
def test_no_draw_passes_what_is_left_the_usage_or_the_invoice(
    grants: list[PrepaidGrant], lines: list[RatedLine]
) -> None:
    draws = draw_down(grants, lines, "USD", FEBRUARY)
    left = {one.id: one.left for one in grants}
    assert all(0 < draw.amount <= left[draw.grant_id] for draw in draws)
    taken = sum((draw.amount for draw in draws), Decimal(0))
    usage = sum_of(one for one in lines if one.kind.counts_to is InvoiceSum.USAGE)
    assert taken == 0 or sum_of(lines) - taken >= 0
    assert taken <= max(usage, Decimal(0))
    assert [draw.line.amount for draw in draws] == [-draw.amount for draw in draws]


@given(GRANTS, st.lists(LINES, max_size=5), st.randoms(use_true_random=False))
def test_any_number_of_invoices_in_any_order_draws_no_more_than_was_granted(
    grants: list[PrepaidGrant], invoices: list[list[RatedLine]], shuffler: Any
) -> None:
    shuffler.shuffle(invoices)
    now = tuple(grants)
    total: dict[int, Decimal] = {}
    for lines in invoices:
        draws = draw_down(now, lines, "USD", FEBRUARY)
        for draw in draws:
            total[draw.grant_id] = total.get(draw.grant_id, Decimal(0)) + draw.amount
        now = after_draws(now, draws)
    for one, rest in zip(grants, now, strict=True):
        assert total.get(one.id, Decimal(0)) + rest.left == one.amount
        assert rest.left >= 0


@given(GRANTS, AMOUNTS)
def test_usage_draws_all_it_can(grants: list[PrepaidGrant], amount: Decimal) -> None:
    draws = draw_down(grants, [line(amount)], "USD", FEBRUARY)
    there = sum((one.left for one in grants if one.pays_for(FEBRUARY, "USD")), Decimal(0))
    assert sum((draw.amount for draw in draws), Decimal(0)) == min(amount, there)
