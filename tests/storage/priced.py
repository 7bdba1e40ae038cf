"""An account with plans of every kind, and what became of its months."""

from datetime import date
from pathlib import Path

from sqlalchemy import Engine

from domain.periods import BillingPeriod
from domain.tax import TaxPolicy
from storage.cycles import open_cycle
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.invoices import Invoice, InvoiceLine, load_invoice, load_lines
from storage.master_data.prepaid import (
    KeptGrant,
    list_grants,
)
from storage.planning import Cycle, plan_page
from storage.price_list import load_price_list
from tests.builders import (
    ACTOR,
    FEBRUARY,
    ISSUED_ON,
    NOW,
    PLANS,
    Subscriber,
    plan_entry,
    usage_row,
    write_billing_files,
    write_csv,
    write_json,
)

FIRST = "INV-2026-02-0001"
MARCH = BillingPeriod(2026, 3)
GROWTH = plan_entry(
    "growth",
    kind="usage",
    minimum="500.00",
    charges=[
        {
            "metric": "api_calls",
            "model": "volume",
            "name": "API calls",
            "tiers": [
                {"name": "Up to 100,000", "up_to": 100_000, "unit_price": "0.001"},
                {"name": "Over 100,000", "up_to": None, "unit_price": "0.0005"},
            ],
        },
        {"metric": "GB", "model": "package", "unit_price": "4.00", "package_size": 100},
        {"metric": "sms", "model": "per_unit", "unit_price": "0.05"},
    ],
) | {"unit_price": None}
PLATFORM = plan_entry("platform", unit_price="1200.00", interval="year")


def put(
    engine: Engine,
    folder: Path,
    *,
    subscribed: list[dict[str, str]],
    used: list[dict[str, str]],
    discounts: list[dict[str, str]] | None = None,
    prepaid: list[dict[str, str]] | None = None,
) -> None:
    """Imports account 1047 with `subscribed` and `used`, beside the demo's plans and two more."""
    write_billing_files(folder, [Subscriber("1047", 0, plans=())])
    write_json(folder / "plans.json", [*PLANS, GROWTH, PLATFORM])
    write_csv(folder / "subscriptions.csv", subscribed)
    for name, found in (("usage", used), ("discounts", discounts), ("prepaid", prepaid)):
        if found:
            write_csv(folder / f"{name}.csv", found)
    import_directory(engine, folder, now=NOW)


def opened(engine: Engine, period: BillingPeriod = FEBRUARY) -> Cycle:
    with transaction(engine) as connection:
        return open_cycle(
            connection,
            period,
            issued_on=ISSUED_ON,
            terms_days=30,
            hold_reminders=False,
            actor=ACTOR,
        )


def read(engine: Engine, number: str = FIRST) -> tuple[Invoice, list[InvoiceLine]]:
    with transaction(engine) as connection:
        invoice = load_invoice(connection, number)
        return invoice, load_lines(connection, invoice.id)


def grants(engine: Engine) -> list[KeptGrant]:
    with transaction(engine) as connection:
        return list_grants(connection, None, after=None, limit=10)


def calls(quantity: int = 100_000, **changes: str) -> dict[str, str]:
    return usage_row(f"evt-{quantity}-{len(changes)}", quantity=str(quantity), **changes)


def plan_march(engine: Engine) -> None:
    with transaction(engine) as connection:
        plan_page(
            connection,
            open_cycle(
                connection,
                MARCH,
                issued_on=date(2026, 4, 1),
                terms_days=30,
                hold_reminders=False,
                actor=ACTOR,
            ),
            load_price_list(connection, TaxPolicy()),
            after_account="",
            limit=10,
            failed_again=False,
        )
