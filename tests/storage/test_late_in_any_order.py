"""Whatever comes late, in whatever order: in the end a customer has paid what is right.

Usage that is added and corrected, contracts that end and change behind their bills, invoices that
are taken back and issued anew, month after month. What is right is rated from what holds at the
end, month by month, as if nothing had ever been billed before.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from domain.crediting import RefundTo
from domain.errors import BillwrightError
from domain.lines import sum_of
from domain.periods import BillingPeriod
from domain.rating import Contract, rate_customer
from domain.tax import TaxPolicy
from storage.crediting import CreditRequest, credit_invoice
from storage.customers import UsedInMonth, discounts_of, subscriptions_of, usage_of
from storage.engine import transaction
from storage.master_data.subscriptions import change_quantity, end_subscription
from storage.price_list import load_price_list
from tests.builders import ACTOR, discount_row, prepaid_row, subscription_row
from tests.storage.collecting import lock
from tests.storage.late_months import (
    ask_void,
    bill_month,
    decide_credits,
    issue_month,
    paid,
    plan_month,
    use,
)
from tests.storage.priced import put
from tests.storage.proved import prove, shown

ACCOUNT = "1047"
MONTHS = [BillingPeriod(2026, month) for month in range(1, 8)]
LAST, SETTLING = 5, 2
"""Months of the story, and those billed behind it: what comes late in the last one, and what an
invoice refused to give back.
"""
DAYS = st.dates(date(2026, 1, 2), date(2026, 6, 30))
STEP = st.one_of(
    st.tuples(
        st.just("use"), st.integers(0, LAST - 1), st.sampled_from([5, 20]), st.integers(0, 40)
    ),
    st.tuples(st.just("end"), st.sampled_from(["platform", "premium-support"]), st.none() | DAYS),
    st.tuples(
        st.just("seats"),
        st.sampled_from(["platform", "premium-support"]),
        DAYS | st.just(date(2026, 2, 1)),
        st.integers(1, 3),
    ),
    st.tuples(st.just("anew"), st.integers(0, LAST - 1)),
    st.tuples(st.just("forgive"), st.integers(0, LAST - 1), st.integers(1, 150)),
    st.tuples(st.just("bill")),
    st.tuples(st.just("bill")),
)


class Story:
    """A customer with usage, seats and a paid year, a discount, and prepaid credit."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.billed = 0
        self.used: dict[tuple[int, int], int] = {}
        put(
            engine,
            folder,
            subscribed=[
                subscription_row(),
                subscription_row(plan_code="premium-support"),
                subscription_row(plan_code="platform", starts_on="2026-01-01"),
            ],
            used=[],
            discounts=[
                discount_row(plan_code="api-calls", valid_to="2026-04-01"),
                discount_row(name="Loyal", percent="", amount="10.00", currency="USD"),
            ],
            prepaid=[
                prepaid_row(),
                prepaid_row(reference="PO-2", valid_from="2026-02-01", expires_on="2026-03-01"),
            ],
        )

    def take(self, step: tuple[Any, ...]) -> None:
        name, *given = step
        getattr(self, f"_{name}")(*given)

    def _bill(self) -> None:
        if self.billed < LAST:
            self._bill_next()

    def settle(self) -> None:
        while self.billed < LAST + SETTLING:
            self._bill_next()

    def _bill_next(self) -> None:
        bill_month(self.engine, MONTHS[self.billed])
        self.billed += 1
        decide_credits(self.engine, self.today)

    def _use(self, month: int, day: int, thousands: int) -> None:
        """As much as this on the day, whatever it was before."""
        units = thousands * 5_000
        change = units - self.used.get((month, day), 0)
        self.used[month, day] = units
        use(self.engine, ACCOUNT, MONTHS[month], change, day=day)

    def _end(self, plan: str, ends_on: date | None) -> None:
        with suppress(BillwrightError), transaction(self.engine) as connection:
            end_subscription(
                connection, self._last_of(plan), ends_on, business_date=MONTHS[0].start, by=ACTOR
            )

    def _seats(self, plan: str, first: date, quantity: int) -> None:
        with suppress(BillwrightError), transaction(self.engine) as connection:
            change_quantity(
                connection,
                self._last_of(plan),
                Decimal(quantity),
                first,
                business_date=MONTHS[0].start,
                by=ACTOR,
            )

    def _anew(self, month: int) -> None:
        """The regular invoice of the month is taken back, and the cycle bills it anew."""
        if month >= self.billed:
            return
        with transaction(self.engine) as connection:
            number = self._regular(connection, month)
        if number is None:
            return
        ask_void(self.engine, number, reissue=True, on=self.today)
        plan_month(self.engine, MONTHS[month], again=True)
        issue_month(self.engine, MONTHS[month])
        decide_credits(self.engine, self.today)

    @property
    def today(self) -> date:
        """The day on which the last cycle is issued."""
        return MONTHS[self.billed - 1].end

    def _forgive(self, month: int, amount: int) -> None:
        """A person credits a part of the month's regular invoice, tax included."""
        with suppress(BillwrightError), transaction(self.engine) as connection:
            number = self._regular(connection, month)
            if number is not None:
                locked = lock(connection, number, on=self.today)
                request = CreditRequest("goodwill", RefundTo.CREDIT, Decimal(amount))
                credit_invoice(locked, request)

    @staticmethod
    def _regular(connection: Connection, month: int) -> str | None:
        number: str | None = connection.execute(
            text(
                "SELECT number FROM invoices WHERE period_start = :month "
                "AND kind = 'regular' AND status NOT IN ('draft', 'void')"
            ),
            {"month": MONTHS[month].start},
        ).scalar_one_or_none()
        return number

    def _last_of(self, plan: str) -> int:
        with self.engine.connect() as connection:
            return int(
                connection.execute(
                    text(
                        "SELECT max(sub.id) FROM subscriptions sub "
                        "JOIN pricing_plans plan ON plan.id = plan_id WHERE code = :plan"
                    ),
                    {"plan": plan},
                ).scalar_one()
            )

    @property
    def forgiven(self) -> Decimal:
        """What people gave beside what is right: their credit notes, less what of these was counted
        as a correction.
        """
        with self.engine.connect() as connection:
            return Decimal(connection.execute(_FORGIVEN).scalar_one())

    @property
    def right(self) -> Decimal:
        with transaction(self.engine) as connection:
            rules = load_price_list(connection, TaxPolicy())
            ids = [connection.execute(text("SELECT id FROM customers")).scalar_one()]
            (discounts,) = discounts_of(connection, ids).values()
            in_all = Decimal(0)
            for month in MONTHS:
                subscribed = subscriptions_of(connection, ids, month).get(ids[0], [])
                used = usage_of(connection, ids, month).get(ids[0], UsedInMonth())
                contract = Contract("USD", tuple(subscribed), tuple(discounts))
                in_all += sum_of(rate_customer(contract, used.days, rules.prices, month))
        return in_all


_FORGIVEN = text("""
    SELECT (SELECT coalesce(sum(note.subtotal), 0)
            FROM credit_notes note JOIN invoices ON invoices.id = note.invoice_id
            WHERE invoices.status <> 'void' AND note.reason = 'goodwill')
         + (SELECT coalesce(sum((line ->> 'amount')::numeric), 0)
            FROM planned_credits JOIN invoices ON invoices.id = invoice_id,
                 jsonb_array_elements(planned_credits.lines) line
            WHERE credited_before AND invoices.status <> 'void')
""")


@given(st.lists(STEP, min_size=4, max_size=16))
@example([("bill",), ("bill",), ("end", "platform", date(2026, 2, 1)), ("bill",)])
@example([("use", 1, 5, 20), ("bill",), ("bill",), ("use", 1, 5, 0), ("bill",)])
@settings(max_examples=12)
def test_in_the_end_a_customer_has_paid_what_is_right(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
    steps: Sequence[tuple[Any, ...]],
) -> None:
    with fresh_engine() as engine:
        story = Story(engine, tmp_path_factory.mktemp("story") / "files")
        for step in steps:
            story.take(step)
        story.settle()
        assert paid(engine) + story.forgiven == story.right
        with engine.connect() as connection:
            for month in MONTHS:
                found = prove(connection, month, as_of=story.today).differences
                assert found == (), (month, shown(found))
