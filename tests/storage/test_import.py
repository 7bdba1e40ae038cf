"""What comes in: everything once, however often and in how many parts."""

import gzip
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text

from demo.dataset import write_dataset
from domain.tax import TaxPolicy
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.importing.fields import COUNTRIES
from storage.price_list import load_price_list
from storage.sellers import current_seller, seller_version
from storage.tables import customers, metadata, pricing_plans
from tests.builders import (
    NOW,
    PLANS,
    SELLER,
    Subscriber,
    customer_row,
    invoice_row,
    plan_entry,
    seed_billing,
    subscription_row,
    tax_rate_row,
    usage_plan_entry,
    usage_row,
    write_billing_files,
    write_csv,
    write_json,
)

DATABASE_TABLES = sorted(metadata.tables)


def row_counts(engine: Engine) -> dict[str, int]:
    with transaction(engine) as connection:
        return {
            name: connection.execute(
                select(func.count()).select_from(metadata.tables[name])
            ).scalar_one()
            for name in DATABASE_TABLES
        }


def add(engine: Engine, directory: Path) -> dict[str, int]:
    return import_directory(engine, directory, now=NOW).added


def test_the_demo_data_set_imports_once(engine: Engine, tmp_path: Path) -> None:
    write_dataset(tmp_path)
    heard: list[int] = []
    added = import_directory(engine, tmp_path, now=NOW, progress=heard.append).added
    assert added["customers.csv"] == 200
    assert added["seller.json"] == 1
    assert added["usage.csv.gz"] == sum(heard) > 0
    before = row_counts(engine)
    assert set(add(engine, tmp_path).values()) == {0}
    assert row_counts(engine) == before


def test_the_same_directory_again_adds_nothing(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    write_csv(tmp_path / "invoices.csv", [invoice_row()])
    assert add(engine, tmp_path) == {
        "seller.json": 1,
        "plans.json": 3,
        "tax_rates.csv": 1,
        "customers.csv": 1,
        "subscriptions.csv": 2,
        "invoices.csv": 1,
        "usage.csv": 3,
    }
    before = row_counts(engine)
    assert set(add(engine, tmp_path).values()) == {0}
    assert row_counts(engine) == before


def test_files_may_come_one_by_one(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path / "all")
    for name in ("seller.json", "plans.json", "customers.csv", "subscriptions.csv", "usage.csv"):
        (tmp_path / name).mkdir()
        (tmp_path / "all" / name).rename(tmp_path / name / name)
        assert sum(add(engine, tmp_path / name).values()) > 0


def test_an_event_that_stands_twice_counts_once(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    again = usage_row(occurred_at="2026-02-03T15:05:00.000+01:00", quantity="247891.00")
    write_csv(tmp_path / "usage.csv", [usage_row(), usage_row(), again])
    assert add(engine, tmp_path)["usage.csv"] == 1
    with transaction(engine) as connection:
        total = connection.execute(text("SELECT sum(quantity) FROM billing_events")).scalar_one()
    assert total == 247_891


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2026-02-03T14:05:00Z", "2026-02-03 14:05:00+00"),
        ("2026-02-03t14:05:00z", "2026-02-03 14:05:00+00"),
        ("2026-02-03 14:05:00+00:00", "2026-02-03 14:05:00+00"),
        ("2026-02-03T14:05:00.25-05:00", "2026-02-03 19:05:00.25+00"),
        ("2026-02-03T14:05:00+23:59", "2026-02-02 14:06:00+00"),
        ("2026-01-31T23:59:59.999999999Z", "2026-01-31 23:59:59.999999+00"),
    ],
)
def test_times_are_rfc_3339(engine: Engine, tmp_path: Path, written: str, instant: str) -> None:
    write_billing_files(tmp_path)
    write_csv(tmp_path / "usage.csv", [usage_row(occurred_at=written)])
    add(engine, tmp_path)
    with transaction(engine) as connection:
        kept = connection.execute(text("SELECT occurred_at::text FROM billing_events")).scalar_one()
    assert kept == instant


def test_an_account_number_may_hold_a_backslash(engine: Engine, tmp_path: Path) -> None:
    seed_billing(engine, tmp_path, [Subscriber("10\\47", calls=0)])
    write_csv(tmp_path / "usage.csv", [usage_row(account_number="10\\47")])
    assert add(engine, tmp_path)["usage.csv"] == 1


def test_usage_of_long_ago_gets_its_partition(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    write_csv(tmp_path / "usage.csv", [usage_row(occurred_at="2003-05-06T00:00:00Z")])
    assert add(engine, tmp_path)["usage.csv"] == 1


def test_files_may_be_packed_marked_and_in_any_column_order(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    rows = (tmp_path / "usage.csv").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "usage.csv").unlink()
    (tmp_path / "usage.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + rows))
    turned = dict(reversed(customer_row(po_number="PO-7", billing_email="a@b.co; c@d.co").items()))
    write_csv(tmp_path / "customers.csv", [turned])
    assert add(engine, tmp_path)["usage.csv.gz"] == 3
    with transaction(engine) as connection:
        row = connection.execute(select(customers)).one()
    assert (row.po_number, row.billing_emails) == ("PO-7", ["a@b.co", "c@d.co"])


@pytest.mark.parametrize(
    ("country", "tax_id", "valid"),
    [
        ("DE", "DE811907980", True),
        ("DE", "", False),
        ("GR", "EL094259216", True),
        ("US", "12-3456789", False),
    ],
)
def test_a_vat_id_is_checked_when_a_customer_is_taken_in(
    engine: Engine, tmp_path: Path, country: str, tax_id: str, valid: bool
) -> None:
    write_billing_files(tmp_path)
    region = "NY" if country == "US" else ""
    row = customer_row(country=country, region=region, tax_id=tax_id)
    write_csv(tmp_path / "customers.csv", [row])
    add(engine, tmp_path)
    with transaction(engine) as connection:
        assert connection.execute(select(customers.c.tax_id_valid)).scalar_one() is valid


def test_every_member_state_is_a_country() -> None:
    assert {"DE", "GR", "GB", "US", "XK"} <= COUNTRIES
    assert len(COUNTRIES) == 250


@pytest.mark.parametrize("region", ["NY", "DC", "PR"])
def test_a_us_state_stands_under_its_code(engine: Engine, tmp_path: Path, region: str) -> None:
    write_billing_files(tmp_path)
    write_csv(tmp_path / "customers.csv", [customer_row(country="US", region=region)])
    write_csv(tmp_path / "tax_rates.csv", [tax_rate_row(country="US", region=region)])
    added = add(engine, tmp_path)
    assert (added["customers.csv"], added["tax_rates.csv"]) == (1, 1)


def test_a_region_elsewhere_is_free_text(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    write_csv(tmp_path / "customers.csv", [customer_row(country="JP", region="Kantō")])
    assert add(engine, tmp_path)["customers.csv"] == 1


def test_a_plan_may_have_prices_in_several_currencies(engine: Engine, tmp_path: Path) -> None:
    euros = [usage_plan_entry(currency="EUR"), plan_entry(currency="EUR", unit_price="89.00")]
    write_json(tmp_path / "plans.json", [*PLANS, *euros])
    assert add(engine, tmp_path) == {"plans.json": 5}
    with transaction(engine) as connection:
        assert len(connection.execute(select(pricing_plans)).all()) == 3
        prices = load_price_list(connection, TaxPolicy()).prices
    assert prices.price("premium-support", "EUR", NOW.date()).unit_price == Decimal("89.00")
    assert prices.price("premium-support", "EUR", NOW.date()).version == 1


def test_a_new_price_is_a_new_version_from_its_day(engine: Engine, tmp_path: Path) -> None:
    write_json(tmp_path / "plans.json", PLANS)
    add(engine, tmp_path)
    dearer = plan_entry(unit_price="120.00", valid_from="2026-03-01")
    write_json(tmp_path / "plans.json", [*PLANS, dearer])
    assert add(engine, tmp_path) == {"plans.json": 1}
    assert add(engine, tmp_path) == {"plans.json": 0}
    with transaction(engine) as connection:
        prices = load_price_list(connection, TaxPolicy()).prices
    versions = [
        (price.version, price.unit_price)
        for price in (
            prices.price("premium-support", "USD", day)
            for day in (date(2026, 2, 28), date(2026, 3, 1))
        )
    ]
    assert versions == [(1, Decimal("99.00")), (2, Decimal("120.00"))]


def test_a_tax_rate_follows_the_one_that_ends(engine: Engine, tmp_path: Path) -> None:
    rates = [
        tax_rate_row(valid_to="2020-07-01"),
        tax_rate_row(rate_percent="16", valid_from="2020-07-01", valid_to="2021-01-01"),
        tax_rate_row(valid_from="2021-01-01"),
    ]
    write_csv(tmp_path / "tax_rates.csv", rates)
    assert add(engine, tmp_path) == {"tax_rates.csv": 3}
    with transaction(engine) as connection:
        taxes = load_price_list(connection, TaxPolicy()).taxes
    rate = taxes.rate("DE", "", date(2020, 12, 31))
    assert rate is not None
    assert rate.rate_percent == 16


def test_a_changed_seller_is_a_new_version(engine: Engine, tmp_path: Path) -> None:
    write_json(tmp_path / "seller.json", SELLER)
    add(engine, tmp_path)
    write_json(tmp_path / "seller.json", {**SELLER, "phone": "+49 30 1"})
    add(engine, tmp_path)
    with transaction(engine) as connection:
        version, seller = current_seller(connection)
        first = seller_version(connection, 1)
    assert (version, seller.phone, first.phone) == (2, "+49 30 1", SELLER["phone"])


def test_a_logo_is_read_from_the_file_beside(engine: Engine, tmp_path: Path) -> None:
    write_json(tmp_path / "seller.json", {**SELLER, "logo_svg": "logo.svg"})
    (tmp_path / "logo.svg").write_text("<svg>\n</svg>\n")
    add(engine, tmp_path)
    with transaction(engine) as connection:
        assert current_seller(connection)[1].logo_svg == "<svg>\n</svg>"


# --- usage of a month that is planned


@pytest.fixture
def planned_february(engine: Engine, draft_1047: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE billing_cycles SET status = 'planned'"))


MORE_USAGE = (
    usage_row("evt-jan", occurred_at="2026-01-31T23:30:00Z"),
    usage_row("evt-feb-1", occurred_at="2026-02-01T00:00:00Z"),
    usage_row("evt-feb-2", occurred_at="2026-02-28T22:59:59Z"),
    usage_row("evt-feb-2", occurred_at="2026-02-28T22:59:59Z"),
)


def late(engine: Engine, directory: Path, time_zone: str = "UTC") -> dict[str, int]:
    """Imports `MORE_USAGE` into a database with other usage."""
    directory.mkdir(exist_ok=True)
    write_csv(directory / "usage.csv", MORE_USAGE)
    return import_directory(engine, directory, now=NOW, time_zone=time_zone).late


def test_new_usage_of_a_planned_month_is_reported_as_late(
    engine: Engine, planned_february: None, tmp_path: Path
) -> None:
    assert late(engine, tmp_path / "more") == {"2026-02": 2}
    assert late(engine, tmp_path / "more") == {}


def test_late_is_what_belongs_to_the_sellers_month(
    engine: Engine, planned_february: None, tmp_path: Path
) -> None:
    assert late(engine, tmp_path / "more", "Europe/Berlin") == {"2026-02": 3}


def test_usage_is_not_late_while_its_month_is_being_planned(
    engine: Engine, draft_1047: str, tmp_path: Path
) -> None:
    assert late(engine, tmp_path / "more") == {}


def test_usage_is_not_late_before_its_month_is_billed(engine: Engine, tmp_path: Path) -> None:
    seed_billing(engine, tmp_path / "files")
    assert late(engine, tmp_path / "more") == {}


def test_subscriptions_may_adjoin(engine: Engine, tmp_path: Path) -> None:
    write_billing_files(tmp_path)
    rows = [
        subscription_row(ends_on="2026-02-15"),
        subscription_row(starts_on="2026-02-15", quantity="2"),
    ]
    write_csv(tmp_path / "subscriptions.csv", rows)
    assert add(engine, tmp_path)["subscriptions.csv"] == 2
