"""Files with something wrong, and what the import says of it: one line a mistake."""

import gzip
import json
from typing import Any

from tests.builders import (
    PLANS,
    SELLER,
    csv_text,
    customer_row,
    exchange_rate_row,
    invoice_row,
    plan_entry,
    policy_entry,
    subscription_row,
    tax_rate_row,
    usage_plan_entry,
    usage_row,
)

Case = tuple[str, str | bytes, int, str, str]
"""File, content, and what is said of it: line, column, reason (a part of it)."""


def rates(**changes: str) -> str:
    return csv_text([exchange_rate_row(**changes)])


def customers(**changes: str) -> str:
    return csv_text([customer_row(**changes)])


def subscriptions(**changes: str) -> str:
    return csv_text([subscription_row(**changes)])


def taxes(**changes: str) -> str:
    return csv_text([tax_rate_row(**changes)])


def used(**changes: str) -> str:
    return csv_text([usage_row(**changes)])


def history(**changes: str) -> str:
    return csv_text([invoice_row(**changes)])


def plans(**changes: Any) -> str:
    return json.dumps([*PLANS, plan_entry("gold", **changes)])


def tier(**changes: Any) -> str:
    tiers = [{"name": "all", "up_to": None, "unit_price": "0.1", **changes}]
    return json.dumps([*PLANS, usage_plan_entry(code="gold", tiers=tiers)])


def policies(**changes: Any) -> str:
    """A list with one policy, and one that differs from it."""
    return json.dumps([policy_entry("patient"), policy_entry("gold") | changes])


def steps(*changes: dict[str, Any]) -> str:
    return policies(steps=[policy_entry("gold")["steps"][0] | change for change in changes])


def seller(**changes: Any) -> str:
    return json.dumps({**SELLER, **changes})


def without(text: str, column: str) -> str:
    """CSV text without one of its columns, header and cells."""
    header, *rows = text.splitlines()
    place = header.split(",").index(column)
    lines = [line.split(",") for line in (header, *rows)]
    return "\n".join(",".join(cells[:place] + cells[place + 1 :]) for cells in lines)


HEADERS: list[Case] = [
    ("customers.csv", without(customers(), "city"), 1, "city", "missing from the header"),
    ("usage.csv", without(used(), "metric"), 1, "metric", "missing from the header"),
    ("tax_rates.csv", taxes().replace("\n", ",x\n"), 1, "x", "no column of this file"),
    ("usage.csv", used().replace("\n", ",metric\n", 1), 1, "metric", "stands twice"),
    ("subscriptions.csv", subscriptions() + "1047,api-calls\n", 3, "", "has 2 cells"),
    ("subscriptions.csv", subscriptions() + "a,b,1,2026-01-01,,x\n", 3, "", "has 6 cells"),
]
CUSTOMERS: list[Case] = [
    ("customers.csv", customers(name=""), 2, "name", "is empty"),
    ("customers.csv", customers(name="a\tb"), 2, "name", "control character"),
    ("customers.csv", customers(name="a\0b"), 2, "name", "control character"),
    ("customers.csv", customers(city="x" * 10_001), 2, "city", "longer than 10000"),
    ("customers.csv", customers(billing_email="nobody"), 2, "billing_email", "not an e-mail"),
    ("customers.csv", customers(billing_email="a@b.c;d"), 2, "billing_email", "'d' is not"),
    ("customers.csv", customers(billing_email=" ; "), 2, "billing_email", "at least one"),
    ("customers.csv", customers(country="Germany"), 2, "country", "ISO 3166"),
    ("customers.csv", customers(country="UK"), 2, "country", "ISO 3166"),
    ("customers.csv", customers(country="EL"), 2, "country", "Greece is GR"),
    (
        "customers.csv",
        customers(country="US", region="ny"),
        2,
        "region",
        "two capitals, such as NY",
    ),
    ("customers.csv", customers(country="US", region="New York"), 2, "region", "is no US state"),
    ("customers.csv", customers(country="US"), 2, "region", "needs its state, such as NY"),
    ("customers.csv", customers(tax_id="DE811907981"), 2, "tax_id", "no VAT id of DE"),
    ("customers.csv", customers(tax_id="FR40303265045"), 2, "tax_id", "no VAT id of DE"),
    ("customers.csv", customers(tax_exempt="maybe"), 2, "tax_exempt", "neither true nor false"),
    ("customers.csv", customers(currency="usd"), 2, "currency", "ISO 4217"),
    ("customers.csv", customers(payment_method="cash"), 2, "payment_method", "none of card"),
    ("customers.csv", customers(status="gone"), 2, "status", "none of active"),
    (
        "customers.csv",
        csv_text([customer_row(), customer_row()]),
        3,
        "account_number",
        "stands in line 2",
    ),
]
SUBSCRIPTIONS: list[Case] = [
    (
        "subscriptions.csv",
        csv_text([subscription_row(), subscription_row("9999")]),
        3,
        "account_number",
        "9999 is no customer",
    ),
    ("subscriptions.csv", subscriptions(plan_code="gold"), 2, "plan_code", "gold is no plan"),
    ("subscriptions.csv", subscriptions(quantity="0"), 2, "quantity", "above 0"),
    ("subscriptions.csv", subscriptions(quantity="1e3"), 2, "quantity", "not a number"),
    ("subscriptions.csv", subscriptions(quantity="\u0663"), 2, "quantity", "not a number"),
    ("subscriptions.csv", subscriptions(starts_on="2026-02-30"), 2, "starts_on", "not a date"),
    ("subscriptions.csv", subscriptions(starts_on="01.02.2026"), 2, "starts_on", "not a date"),
    ("subscriptions.csv", subscriptions(ends_on="2025-06-01"), 2, "ends_on", "not after"),
    (
        "subscriptions.csv",
        csv_text([subscription_row(), subscription_row(quantity="2", starts_on="2026-01-01")]),
        3,
        "starts_on",
        "overlaps",
    ),
]
USAGE: list[Case] = [
    ("usage.csv", used(account_number="9999"), 2, "account_number", "'9999' is no customer"),
    ("usage.csv", used(metric="emails"), 2, "metric", "counted by no plan"),
    ("usage.csv", used(quantity="-1"), 2, "quantity", "0 or more"),
    ("usage.csv", used(quantity="1.0000001"), 2, "quantity", "at most 6 decimals"),
    ("usage.csv", used(quantity="\u0663"), 2, "quantity", "is not a quantity"),
    ("usage.csv", used(event_id=""), 2, "event_id", "printable ASCII"),
    ("usage.csv", used(event_id="a\\b"), 2, "event_id", "printable ASCII"),
    ("usage.csv", used(event_id="e" * 201), 2, "event_id", "1 to 200"),
    ("usage.csv", used(occurred_at="yesterday"), 2, "occurred_at", "is not a time"),
    ("usage.csv", used(occurred_at="2026-02-03"), 2, "occurred_at", "is not a time"),
    ("usage.csv", used(occurred_at="2026-02-03T14:05:00"), 2, "occurred_at", "no time zone"),
    ("usage.csv", used(occurred_at="2026-02-03\t14:05:00Z"), 2, "occurred_at", "is not a time"),
    ("usage.csv", used(occurred_at="2026-W06-2T14:05:00Z"), 2, "occurred_at", "is not a time"),
    ("usage.csv", used(occurred_at="2026-02-30T14:05:00Z"), 2, "occurred_at", "is not a time"),
    ("usage.csv", used(occurred_at="2026-03-01T08:05:01Z"), 2, "occurred_at", "future"),
    ("usage.csv", used(occurred_at="1999-12-31T23:59:59Z"), 2, "occurred_at", "before 2000-01-02"),
    (
        "usage.csv",
        csv_text([usage_row(), usage_row("evt-2"), usage_row(quantity="5")]),
        4,
        "event_id",
        "evt-1 names another event in line 2",
    ),
]
PRICES: list[Case] = [
    ("plans.json", "[{", 1, "", "is not JSON"),
    ("plans.json", "{}", 1, "", "not a list"),
    ("plans.json", "[" * 100_000, 1, "", "is not JSON"),
    ("plans.json", json.dumps([*PLANS, 5]), 4, "", "is not a plan"),
    ("plans.json", plans(colour="red"), 4, "", "unknown keys colour"),
    ("plans.json", plans(kind="yearly"), 4, "", "yearly"),
    ("plans.json", plans(unit_price="9,99"), 4, "", "not a number"),
    ("plans.json", plans(unit_price=9.99), 4, "", "written as text"),
    ("plans.json", plans(unit_price=None), 4, "", "needs a unit_price"),
    ("plans.json", plans(name=5), 4, "", "name"),
    ("plans.json", plans(name="a\0b"), 4, "", "control character"),
    ("plans.json", plans(name="\ud800"), 4, "", "half a character"),
    ("plans.json", plans(metric={}), 4, "", "metric"),
    ("plans.json", plans(valid_from=2026), 4, "", "valid_from"),
    ("plans.json", plans(tiers="none"), 4, "", "not a list"),
    ("plans.json", tier(up_to=1.5), 4, "", "neither a whole number nor null"),
    ("plans.json", tier(up_to=10), 4, "", "up_to null"),
    ("plans.json", tier(colour="red"), 4, "", "exactly name, up_to and unit_price"),
    ("plans.json", json.dumps([*PLANS, plan_entry(unit_price="1.00")]), 4, "", "another price"),
    ("tax_rates.csv", taxes(rate_percent="119"), 2, "rate_percent", "between 0 and 100"),
    ("tax_rates.csv", taxes(country="US", region="tx"), 2, "region", "two capitals, such as NY"),
    ("tax_rates.csv", taxes(country="US", region="Texas"), 2, "region", "is no US state"),
    ("tax_rates.csv", taxes(country="US"), 2, "region", "needs its state, such as NY"),
    ("tax_rates.csv", taxes(valid_to="2007-01-01"), 2, "valid_to", "not after"),
    (
        "tax_rates.csv",
        csv_text([tax_rate_row(), tax_rate_row(valid_from="2020-07-01", rate_percent="16")]),
        3,
        "valid_from",
        "overlaps",
    ),
    ("exchange_rates.csv", rates(base="euro"), 2, "base", "not a currency"),
    ("exchange_rates.csv", rates(quote="EUR"), 2, "quote", "needs no rate"),
    ("exchange_rates.csv", rates(valid_from="1/2/2026"), 2, "valid_from", "not a date"),
    ("exchange_rates.csv", rates(rate="0"), 2, "rate", "above 0"),
    (
        "exchange_rates.csv",
        csv_text([exchange_rate_row(), exchange_rate_row(rate="1.2")]),
        3,
        "rate",
        "is known as 1.1",
    ),
    ("seller.json", "[]", 1, "", "not an object of texts"),
    ("seller.json", seller(iban="DE89370400440532013001"), 1, "iban", "check digits"),
    ("seller.json", seller(bic="COBA"), 1, "bic", "check digits or form"),
    ("seller.json", seller(vat="19"), 1, "vat", "is unknown"),
    ("seller.json", seller(name="a\0b"), 1, "name", "control character"),
    ("seller.json", seller(name="\ud800"), 1, "name", "half a character"),
    ("seller.json", seller(country="Germany"), 1, "country", "ISO 3166"),
    ("seller.json", seller(logo_svg="logo.svg"), 1, "logo_svg", "no file beside"),
    ("seller.json", seller(logo_svg="../logo.svg"), 1, "logo_svg", "no file beside"),
    ("seller.json", seller(logo_svg="l" * 5_000), 1, "logo_svg", "no file beside"),
    ("seller.json", seller(logo_svg="customers.csv"), 1, "logo_svg", "no SVG"),
]
HISTORY: list[Case] = [
    ("invoices.csv", history(number="R-17"), 2, "number", "not an invoice number"),
    ("invoices.csv", history(account_number="9"), 2, "account_number", "9 is no customer"),
    ("invoices.csv", history(period="January"), 2, "period", "YYYY-MM"),
    ("invoices.csv", history(total="214.21", amount_paid="214.21"), 2, "total", "sum to 214.20"),
    ("invoices.csv", history(amount_paid="300.00"), 2, "amount_paid", "between 0 and the total"),
    ("invoices.csv", history(amount_paid="1.00"), 2, "status", "does not fit"),
    (
        "invoices.csv",
        history(status="void", amount_paid="14.20"),
        2,
        "amount_paid",
        "above 0 on a void invoice; give 0",
    ),
    ("invoices.csv", history(due_on="2026-01-31"), 2, "due_on", "before issued_on"),
    ("invoices.csv", history(status="draft"), 2, "status", "none of"),
    ("invoices.csv", history(paid_on="soon"), 2, "paid_on", "is not a date"),
    ("invoices.csv", history(paid_on="2026-01-31"), 2, "paid_on", "before issued_on"),
    ("invoices.csv", history(paid_on="2999-01-01"), 2, "paid_on", "lies in the future"),
    (
        "invoices.csv",
        history(paid_on="2026-02-10", status="issued", amount_paid="0.00"),
        2,
        "paid_on",
        "amount_paid is 0",
    ),
    (
        "invoices.csv",
        csv_text([invoice_row(paid_on=""), invoice_row(paid_on="2026-02-10")]),
        3,
        "paid_on",
        "INV-2026-01-0001 stands in line 2 with nothing",
    ),
    (
        "invoices.csv",
        csv_text([invoice_row(), invoice_row("INV-2026-01-0002")]),
        3,
        "period",
        "1047 has INV-2026-01-0001 for 2026-01",
    ),
    (
        "invoices.csv",
        csv_text([invoice_row(), invoice_row(issued_on="2026-02-02")]),
        3,
        "issued_on",
        "INV-2026-01-0001 stands in line 2 with 2026-02-01",
    ),
    (
        "invoices.csv",
        csv_text([invoice_row(), invoice_row(status="issued", amount_paid="0")]),
        3,
        "amount_paid",
        "INV-2026-01-0001 stands in line 2 with 214.20",
    ),
]
UNREADABLE: list[Case] = [
    ("customers.csv", customers().encode("utf-16"), 0, "", "cannot be read as UTF-8 CSV"),
    ("customers.csv", customers(name="Söhne").encode("latin-1"), 0, "", "UTF-8"),
    ("customers.csv", customers(name='"').replace('""""', '"'), 0, "", "cannot be read"),
    ("usage.csv", used(event_id="e" * 200_000), 0, "", "field larger than field limit"),
    ("usage.csv.gz", gzip.compress(used().encode())[:-9], 0, "", "cannot be read"),
    ("usage.csv.gz", used().encode(), 0, "", "Not a gzipped file"),
    (
        "usage.csv.gz",
        gzip.compress(used().encode())[:12] + b"\xff" * 20,
        0,
        "",
        "cannot be read",
    ),
]
POLICIES: list[Case] = [
    ("dunning_policies.json", content, place, "", reason)
    for content, place, reason in (
        ("{}", 1, "is not a list of policies"),
        ('["gold"]', 1, "exactly code and steps"),
        ('[{"code": "gold"}]', 1, "exactly code and steps"),
        (policies(name="Gold"), 2, "exactly code and steps"),
        (policies(code=7), 2, "code 7 is not a text"),
        (policies(code="Gold"), 2, "no policy's code"),
        (policies(code="patient"), 2, "patient stands in place 1 too"),
        (policies(steps=None), 2, "steps is not a list"),
        (policies(steps=["reminder"]), 2, "a step has after_days and notice"),
        (policies(steps=[{"after_days": 3}]), 2, "a step has after_days and notice"),
        (steps({"day": 3}), 2, "a step has after_days and notice"),
        (steps({"after_days": "3"}), 2, "after_days '3' is not a whole number"),
        (steps({"after_days": 3.5}), 2, "is not a whole number"),
        (steps({"after_days": True}), 2, "is not a whole number"),
        (steps({"after_days": -1}), 2, "give 0 or more"),
        (steps({"after_days": 4_000}), 2, "give at most 3650"),
        (steps({}, {}), 2, "each must come later"),
        (steps({"notice": "review_notice"}, {"after_days": 19}), 2, "put it last"),
        (steps({"notice": "invoice"}), 2, "is no dunning notice"),
        (steps({"notice": None}), 2, "none of reminder"),
        (steps({"notice": []}), 2, "none of reminder"),
        (steps({"retry": "yes"}), 2, "neither true nor false"),
        (steps({"cc": "a@b.example"}), 2, "is not a list of e-mail addresses"),
        (steps({"cc": ["nobody"]}), 2, "'nobody' is not an e-mail address"),
        (steps({"cc": ["a@b.example;c@d.example"]}), 2, "holds several addresses"),
        (steps(*({"after_days": n} for n in range(51))), 2, "51 steps are too many"),
    )
]
POLICIES.append(
    (
        "customers.csv",
        customers(dunning_policy="gold"),
        2,
        "dunning_policy",
        "gold is no dunning policy; add it to dunning_policies.json",
    )
)
CASES = POLICIES + HEADERS + CUSTOMERS + SUBSCRIPTIONS + USAGE + PRICES + HISTORY


# Each fits its own directory; account 1047 is in the database already.
CONTRADICTIONS: list[Case] = [
    ("customers.csv", customers(name="Another GmbH"), 2, "name", "exists with another value"),
    ("customers.csv", customers(billing_email="x@y.example"), 2, "billing_email", "another value"),
    (
        "dunning_policies.json",
        json.dumps([policy_entry("patient", steps=[])]),
        1,
        "",
        "policy patient exists with other steps",
    ),
    ("plans.json", json.dumps([plan_entry(unit_price="1.00")]), 1, "", "another price in USD"),
    ("plans.json", json.dumps([plan_entry(name="Gold")]), 1, "", "another name, kind or interval"),
    (
        "subscriptions.csv",
        subscriptions(starts_on="2026-01-01"),
        2,
        "starts_on",
        "overlaps another subscription of 1047 to api-calls",
    ),
    (
        "tax_rates.csv",
        taxes(valid_from="2026-01-01", rate_percent="21"),
        2,
        "valid_from",
        "overlaps",
    ),
    (
        "usage.csv",
        used(event_id="evt-1047-2026-02-0"),
        2,
        "event_id",
        "received with other content before",
    ),
    *(
        (
            "invoices.csv",
            history(**changes),
            2,
            next(iter(changes)),
            "INV-2026-01-0001 is known with",
        )
        for changes in (
            {"account_number": "1048"},
            {"period": "2025-12"},
            {"issued_on": "2026-02-02"},
            {"due_on": "2026-03-04"},
            {"currency": "EUR"},
            {"usage": "99.00", "subscriptions": "90.00"},
            {"subscriptions": "98.00", "proration": "-8.00"},
            {"proration": "-8.00", "tax": "33.20"},
            {"tax": "34.21", "total": "214.21"},
            {"total": "214.21"},
        )
    ),
    (
        "invoices.csv",
        history(number="INV-2026-01-0009"),
        2,
        "period",
        "1047 has INV-2026-01-0001 for 2026-01",
    ),
]
