"""Small things with sensible defaults, for all tests: February 2026, a German seller, US dollars.

Domain values come first, then the files of an import. Every builder takes what a test cares about
and fills in the rest.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from domain.dunning import Case, CollectionState
from domain.invoice import InvoiceStatus, PriceList
from domain.periods import BillingPeriod
from domain.plans import Charge, PlanKind, PlanPrice, PriceBook, Tier
from domain.rating import DailyUsage, Subscription
from domain.tax import TaxPolicy, TaxRate, TaxTable
from storage.cycles import open_cycle
from storage.engine import transaction
from storage.importing.directory import ImportReport, import_directory
from storage.planning import Cycle, PageOfPlan, number_drafts, plan_page
from storage.price_list import load_price_list

FEBRUARY = BillingPeriod(2026, 2)
ISSUED_ON = date(2026, 3, 1)
DUE_ON = date(2026, 3, 31)
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
"""The instant of every import in the tests: February is over."""
ACTOR = "test"

TIERS = (
    Tier("Free tier", 10_000, Decimal(0)),
    Tier("Tier 1", 100_000, Decimal("0.001")),
    Tier("Tier 2", None, Decimal("0.0005")),
)


# --- domain values


def usage_plan(*charges: Charge, tiers: tuple[Tier, ...] = TIERS, **changes: Any) -> PlanPrice:
    """`api-calls`: free to 10,000 calls, 0.001 USD to 100,000, 0.0005 USD above; or `charges`."""
    plan = PlanPrice(
        "api-calls",
        "API calls",
        PlanKind.USAGE,
        "USD",
        charges=charges or (Charge("api_calls", tiers=tiers),),
    )
    return replace(plan, **changes)


def flat_plan(
    code: str = "premium-support", unit_price: str = "99.00", **changes: Any
) -> PlanPrice:
    """`premium-support` at 99.00 USD a month."""
    name = code.replace("-", " ").capitalize()
    plan = PlanPrice(code, name, PlanKind.FLAT, "USD", Decimal(unit_price))
    return replace(plan, **changes)


def price_book(*more: PlanPrice) -> PriceBook:
    """The three plans of the demo data, and `more`."""
    return PriceBook([usage_plan(), flat_plan(), flat_plan("dedicated-ip", "49.00"), *more])


def tax_rate(country: str = "DE", rate_percent: str = "19", **changes: Any) -> TaxRate:
    """Germany's 19 % since 2007."""
    rate = TaxRate(country, "", Decimal(rate_percent), "VAT", date(2007, 1, 1))
    return replace(rate, **changes)


def price_list(*plans: PlanPrice, taxes: Iterable[TaxRate] | None = None) -> PriceList:
    """The demo's plans and `plans`; `taxes` None: Germany's 19 % alone."""
    rates = [tax_rate()] if taxes is None else taxes
    return PriceList(price_book(*plans), TaxTable(rates), TaxPolicy())


def subscription(plan_code: str = "api-calls", **changes: Any) -> Subscription:
    """One unit, since 2025 and without an end."""
    return replace(Subscription(plan_code, Decimal(1), date(2025, 1, 1)), **changes)


def usage(quantity: int | str = 1_000, day: int = 10, metric: str = "api_calls") -> DailyUsage:
    """Calls on one day of February 2026."""
    return DailyUsage(metric, date(2026, 2, day), Decimal(quantity))


def collection_case(**changes: Any) -> Case:
    """An invoice of 312.91 USD, just issued to a customer who pays by bank transfer."""
    total = Decimal("312.91")
    case = Case(
        number="INV-2026-02-0001",
        revision=1,
        state=CollectionState.ISSUED,
        status=InvoiceStatus.ISSUED,
        total=total,
        open_amount=total,
        amount_paid=Decimal(0),
        by_card=False,
        due_on=DUE_ON,
        dunning_from=DUE_ON,
    )
    return replace(case, **changes)


# --- files of an import

SELLER = {
    "name": "Meridian API GmbH",
    "address_line1": "Lindenstraße 12",
    "postal_code": "10969",
    "city": "Berlin",
    "region": "",
    "country": "DE",
    "email": "billing@meridian-api.example",
    "phone": "+49 30 5550 1840",
    "website": "meridian-api.example",
    "tax_number": "DE136695976",
    "registration": "HRB 204815 B, Amtsgericht Charlottenburg",
    "bank_name": "Commerzbank Berlin",
    "iban": "DE89370400440532013000",
    "bic": "COBADEFFXXX",
    "logo_svg": "",
}


def plan_entry(code: str = "premium-support", **changes: Any) -> dict[str, Any]:
    """An entry of plans.json: a flat plan at 99.00 USD."""
    return {
        "code": code,
        "name": code.replace("-", " ").capitalize(),
        "kind": "flat",
        "metric": None,
        "currency": "USD",
        "unit_price": "99.00",
        "tiers": [],
        **changes,
    }


def usage_plan_entry(**changes: Any) -> dict[str, Any]:
    """An entry of plans.json: the graduated plan `api-calls`."""
    tiers = [
        {"name": tier.name, "up_to": tier.up_to, "unit_price": f"{tier.unit_price:f}"}
        for tier in TIERS
    ]
    entry = plan_entry("api-calls", name="API calls", kind="usage", metric="api_calls")
    return {**entry, "unit_price": None, "tiers": tiers, **changes}


PLANS = (usage_plan_entry(), plan_entry(), plan_entry("dedicated-ip", unit_price="49.00"))


def policy_entry(code: str = "patient", **changes: Any) -> dict[str, Any]:
    """An entry of dunning_policies.json: a reminder after ten days."""
    return {"code": code, "steps": [{"after_days": 10, "notice": "reminder"}], **changes}


def tax_rate_row(**changes: str) -> dict[str, str]:
    row = {"country": "DE", "region": "", "rate_percent": "19", "name": "VAT"}
    return {**row, "valid_from": "2007-01-01", "valid_to": "", **changes}


def customer_row(account_number: str = "1047", **changes: str) -> dict[str, str]:
    """A German company that pays by bank transfer."""
    return {
        "account_number": account_number,
        "name": f"Brandt & Söhne {account_number} GmbH",
        "billing_email": f"accounts@{account_number}.example",
        "country": "DE",
        "region": "",
        "address_line1": "Hafenstraße 47",
        "postal_code": "20457",
        "city": "Hamburg",
        "tax_id": "",
        "tax_exempt": "false",
        "currency": "USD",
        "segment": "mid_market",
        "payment_method": "bank_transfer",
        "stripe_customer_id": "",
        "stripe_payment_method_id": "",
        "status": "active",
        **changes,
    }


def subscription_row(
    account_number: str = "1047", plan_code: str = "api-calls", **changes: str
) -> dict[str, str]:
    row = {"account_number": account_number, "plan_code": plan_code, "quantity": "1"}
    return {**row, "starts_on": "2025-06-01", "ends_on": "", **changes}


def discount_row(account_number: str = "1047", **changes: str) -> dict[str, str]:
    """A fifth off everything, since 2025."""
    row = {"account_number": account_number, "plan_code": "", "name": "Launch offer"}
    terms = {"percent": "20", "amount": "", "currency": ""}
    return {**row, **terms, "valid_from": "2025-01-01", "valid_to": "", **changes}


def prepaid_row(account_number: str = "1047", **changes: str) -> dict[str, str]:
    """A gift of 100.00 USD, since January 2026."""
    row = {"account_number": account_number, "reference": "PO-1", "currency": "USD"}
    terms = {"amount": "100.00", "price": "0", "valid_from": "2026-01-15", "expires_on": ""}
    return {**row, **terms, "note": "", **changes}


def usage_row(event_id: str = "evt-1", **changes: str) -> dict[str, str]:
    row = {"event_id": event_id, "account_number": "1047", "metric": "api_calls"}
    return {**row, "occurred_at": "2026-02-03T14:05:00Z", "quantity": "247891", **changes}


def invoice_row(number: str = "INV-2026-01-0001", **changes: str) -> dict[str, str]:
    """A paid invoice of January 2026, brought along from an older system."""
    return {
        "number": number,
        "account_number": "1047",
        "period": "2026-01",
        "issued_on": "2026-02-01",
        "due_on": "2026-03-03",
        "currency": "USD",
        "usage": "90.00",
        "subscriptions": "99.00",
        "proration": "-9.00",
        "tax": "34.20",
        "total": "214.20",
        "amount_paid": "214.20",
        "status": "paid",
        **changes,
    }


def exchange_rate_row(**changes: str) -> dict[str, str]:
    """From the beginning of 2026, a euro is 1.10 dollars."""
    row = {"base": "EUR", "quote": "USD", "valid_from": "2026-01-01", "rate": "1.1"}
    return {**row, **changes}


def csv_text(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with the same columns; the first one's order is the header's."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def write_csv(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """`csv_text` in UTF-8, packed where the name ends with .gz."""
    content = csv_text(rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


@dataclass(frozen=True)
class Subscriber:
    """A customer with a usage plan, flat plans and one month of calls.

    Attributes:
        calls: in `month`, spread over `events` events; 0 for no usage at all.
        flat_plans: codes; each from before the month and without an end.
        columns: other values of customers.csv.
    """

    account_number: str = "1047"
    calls: int = 247_891
    flat_plans: tuple[str, ...] = ()
    events: int = 3
    month: BillingPeriod = FEBRUARY
    plans: tuple[str, ...] = ("api-calls",)
    columns: dict[str, str] = field(default_factory=dict)

    def usage_rows(self) -> list[dict[str, str]]:
        """The month's events on its days 1, 2, 3 and so on."""
        count = min(self.events, self.calls)
        return [
            usage_row(
                f"evt-{self.account_number}-{self.month}-{n}",
                account_number=self.account_number,
                occurred_at=f"{self.month}-{1 + n % 28:02d}T12:00:00Z",
                quantity=str(self.calls // count + (1 if n < self.calls % count else 0)),
            )
            for n in range(count)
        ]


FRENCH = Subscriber("1002", columns={"country": "FR"})
"""Cannot be billed while France has no tax rate."""

KNOWN_ANSWER = Subscriber("1047", 247_891, ("premium-support",))
"""262.95 and 19 % VAT of 49.96 make 312.91."""


def subscribers(count: int, *, first: int = 1001) -> list[Subscriber]:
    """`count` customers, each with 1,000 calls more than the one before."""
    return [Subscriber(str(first + n), 20_000 + 1_000 * n) for n in range(count)]


def write_billing_files(directory: Path, customers: Sequence[Subscriber] = (KNOWN_ANSWER,)) -> None:
    """A seller, three plans, Germany's tax rate and `customers`, as `billwright import` reads."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "seller.json", SELLER)
    write_json(directory / "plans.json", PLANS)
    write_csv(directory / "tax_rates.csv", [tax_rate_row()])
    write_csv(
        directory / "customers.csv",
        [customer_row(customer.account_number, **customer.columns) for customer in customers],
    )
    subscribed = [
        subscription_row(customer.account_number, plan)
        for customer in customers
        for plan in (*customer.plans, *customer.flat_plans)
    ]
    if subscribed:
        write_csv(directory / "subscriptions.csv", subscribed)
    used = [row for customer in customers for row in customer.usage_rows()]
    if used:
        write_csv(directory / "usage.csv", used)


def seed_billing(
    engine: Engine, directory: Path, customers: Sequence[Subscriber] = (KNOWN_ANSWER,)
) -> ImportReport:
    """Imports `write_billing_files` through `directory`, a folder that holds nothing else."""
    write_billing_files(directory, customers)
    return import_directory(engine, directory, now=NOW)


# --- a cycle without workflows


def open_february(
    engine: Engine, directory: Path, customers: Sequence[Subscriber] = (KNOWN_ANSWER,)
) -> Cycle:
    """Imports `customers` and opens the cycle of February 2026, which is not planned."""
    seed_billing(engine, directory, customers)
    with transaction(engine) as connection:
        return open_cycle(
            connection,
            FEBRUARY,
            issued_on=ISSUED_ON,
            terms_days=30,
            hold_reminders=False,
            actor=ACTOR,
        )


def page_of_plan(
    engine: Engine, cycle: Cycle, after: str = "", limit: int = 100, *, failed_again: bool = False
) -> PageOfPlan:
    """One page of the plan, in a transaction of its own."""
    with transaction(engine) as connection:
        return plan_page(
            connection,
            cycle,
            load_price_list(connection, TaxPolicy()),
            after_account=after,
            limit=limit,
            failed_again=failed_again,
        )


def plan_all(
    engine: Engine, cycle: Cycle, *, failed_again: bool = False, limit: int = 100
) -> PageOfPlan:
    """Rates every customer page by page, numbers the drafts; the sums over all pages."""
    after, sums = "", PageOfPlan(None)
    while True:
        page = page_of_plan(engine, cycle, after, limit, failed_again=failed_again)
        if page.last_account is None:
            break
        after = page.last_account
        sums = PageOfPlan(
            after,
            sums.drafted + page.drafted,
            sums.skipped + page.skipped,
            sums.failed + page.failed,
            sums.late + page.late,
        )
    with transaction(engine) as connection:
        number_drafts(connection, cycle.id)
    return sums
