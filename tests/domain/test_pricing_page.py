"""docs/pricing.md says what the rules come to: every line of its examples is computed here."""

from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from domain.discounts import Discount
from domain.lines import RatedLine, figure
from domain.periods import BillingPeriod
from domain.plans import Charge, ChargeModel, Interval, PlanPrice, Tier
from domain.prepaid import PrepaidGrant, draw_down, purchase_lines
from domain.rating import Contract, Subscription, rate_customer
from tests.builders import FEBRUARY, TIERS, flat_plan, price_book, subscription, usage, usage_plan

PAGE = Path(__file__).parents[2] / "docs" / "pricing.md"
HEAD = ["| line | quantity | unit price | amount |", "|---|---:|---:|---:|"]
VOLUME = (
    Tier("Up to 100,000", 100_000, Decimal("0.001")),
    Tier("Over 100,000", None, Decimal("0.0005")),
)
CALLS = Charge("api_calls", tiers=TIERS, name="API calls")
STORAGE = Charge("GB", ChargeModel.PACKAGE, unit_price=Decimal("4.00"), package_size=100)
MESSAGES = Charge("sms", ChargeModel.PER_UNIT, unit_price=Decimal("0.05"))
PLATFORM = flat_plan("platform", "1200.00", interval=Interval.YEAR)
LAUNCH = Discount(
    "Launch offer", date(2026, 2, 1), date(2026, 8, 1), plan_code="api-calls", percent=Decimal(20)
)
LOYALTY = Discount("Loyalty", date(2026, 1, 1), amount=Decimal("10.00"), currency="USD")


def rate(
    *plans: PlanPrice,
    used: Iterable[tuple[str, int]] = (),
    subscribed: Subscription | None = None,
    discounts: tuple[Discount, ...] = (),
    month: BillingPeriod = FEBRUARY,
    also: tuple[str, ...] = (),
) -> list[RatedLine]:
    """The month of a customer who subscribes to the first of `plans`, and to the codes `also`."""
    own = subscribed or subscription(plans[0].code)
    contract = Contract("USD", (own, *(subscription(code) for code in also)), discounts)
    days = [usage(units, metric=metric) for metric, units in used]
    return rate_customer(contract, days, price_book(*plans), month)


def prepaid() -> list[RatedLine]:
    sold = PrepaidGrant(
        1,
        "USD",
        Decimal("200.00"),
        Decimal("180.00"),
        date(2026, 2, 1),
        date(2027, 2, 1),
        Decimal("200.00"),
    )
    lines = rate(usage_plan(), used=[("api_calls", 247_891)], also=("premium-support",))
    lines += purchase_lines([sold], "USD", FEBRUARY)
    return lines + [draw.line for draw in draw_down([sold], lines, "USD", FEBRUARY)]


EXAMPLES: dict[str, Callable[[], list[RatedLine]]] = {
    "Graduated tiers": lambda: rate(usage_plan(), used=[("api_calls", 247_891)]),
    "Volume": lambda: rate(
        usage_plan(Charge("api_calls", ChargeModel.VOLUME, VOLUME)), used=[("api_calls", 247_891)]
    ),
    "Packages": lambda: rate(
        usage_plan(STORAGE, code="storage", name="Storage"), used=[("GB", 1_247)]
    ),
    "Per unit": lambda: rate(
        usage_plan(MESSAGES, code="messages", name="Messages"), used=[("sms", 1_250)]
    ),
    "Several metrics, and a minimum": lambda: rate(
        usage_plan(CALLS, STORAGE, code="growth", name="Growth", minimum=Decimal("200.00")),
        used=[("api_calls", 50_000), ("GB", 1_247)],
        subscribed=subscription("growth", starts_on=date(2026, 2, 8)),
    ),
    "Monthly fees": lambda: rate(
        flat_plan(), subscribed=subscription("premium-support", starts_on=date(2026, 2, 15))
    ),
    "Yearly fees": lambda: [
        *rate(PLATFORM, subscribed=subscription("platform", starts_on=date(2026, 2, 15))),
        *rate(
            PLATFORM,
            subscribed=subscription(
                "platform", starts_on=date(2026, 2, 15), ends_on=date(2026, 9, 1)
            ),
            month=BillingPeriod(2026, 8),
        ),
    ],
    "Discounts": lambda: rate(
        usage_plan(),
        used=[("api_calls", 247_891)],
        discounts=(LAUNCH, LOYALTY),
        also=("premium-support",),
    ),
    "Prepaid credit": prepaid,
}


def sections() -> dict[str, list[str]]:
    """The lines of the page by the heading above them."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        found.setdefault(heading, []).append(line)
    return found


def table(lines: list[RatedLine]) -> list[str]:
    return HEAD + [
        f"| {line.description} | {figure(line.quantity)} "
        f"| {'' if line.unit_price is None else figure(line.unit_price)} | {line.amount:,f} |"
        for line in lines
    ]


@pytest.mark.parametrize("heading", EXAMPLES)
def test_an_example_is_what_the_rules_come_to(heading: str) -> None:
    shown = [line for line in sections()[heading] if line.startswith("|")]
    assert shown == table(EXAMPLES[heading]())


def test_every_section_with_a_table_is_computed() -> None:
    with_tables = {
        heading for heading, lines in sections().items() if any(HEAD[0] in line for line in lines)
    }
    assert with_tables == EXAMPLES.keys()
