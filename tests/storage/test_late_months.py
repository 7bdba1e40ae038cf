"""What comes late for a billed month, and where it goes: each customer of one story has a case."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from storage.collection import LockedInvoice
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.instructions import carry_out
from storage.master_data.subscriptions import add_subscription
from tests.builders import (
    ACTOR,
    FEBRUARY,
    NOW,
    Subscriber,
    usage_plan_entry,
    write_billing_files,
    write_json,
)
from tests.storage.late_months import (
    APRIL,
    JANUARY,
    MARCH,
    accounted_for,
    bill_month,
    billed_in_all,
    change_customer,
    change_subscription,
    credits_of,
    invoices_of,
    issue_month,
    late_lines,
    numbers_of,
    outcomes_of,
    plan_month,
    use,
)

LATE, FREE, CORRECTED, GIVEN_BACK = "1001", "1002", "1003", "1004"
GONE, OTHER_MONEY, MOVED, SKIPPED = "1005", "1006", "1007", "1008"
FAILED, CONTRACT, UNCOVERED, TWICE = "1009", "1010", "1011", "1012"
NOTHING = "1013"
ACCOUNTS = (LATE, FREE, CORRECTED, GIVEN_BACK, GONE, OTHER_MONEY, MOVED, SKIPPED)
ACCOUNTS += (FAILED, CONTRACT, UNCOVERED, TWICE, NOTHING)
IN_FEBRUARY = {
    LATE: 20_000,
    FREE: 2_000,
    CORRECTED: 120_000,
    GIVEN_BACK: 120_000,
    GONE: 20_000,
    OTHER_MONEY: 20_000,
    MOVED: 20_000,
    FAILED: 20_000,
    CONTRACT: 20_000,
    UNCOVERED: 20_000,
    TWICE: 20_000,
    NOTHING: 20_000,
}
LATE_FOR_FEBRUARY = {
    LATE: 30_000,
    FREE: 3_000,
    CORRECTED: -25_000,
    GIVEN_BACK: -100_000,
    GONE: 10_000,
    OTHER_MONEY: 10_000,
    MOVED: 10_000,
    SKIPPED: 50_000,
    FAILED: 5_000,
    TWICE: 10_000,
}


def tell_the_story(engine: Engine, directory: Path) -> None:
    """January and February billed, what comes late for them, March billed."""
    customers = [
        Subscriber(
            account,
            calls=0,
            plans=() if account == FAILED else ("api-calls",),
            flat_plans=("premium-support",) if account == CORRECTED else (),
        )
        for account in ACCOUNTS
    ]
    write_billing_files(directory, customers)
    more = directory / "more"
    more.mkdir()
    write_json(more / "plans.json", [usage_plan_entry(currency="EUR")])
    for files in (directory, more):
        import_directory(engine, files, now=NOW)
    use(engine, TWICE, JANUARY, 12_000)
    bill_month(engine, JANUARY)
    change_subscription(engine, UNCOVERED, starts_on=date(2026, 2, 10))
    for account, units in IN_FEBRUARY.items():
        use(engine, account, FEBRUARY, units, day=12)
    bill_month(engine, FEBRUARY)
    for account, units in LATE_FOR_FEBRUARY.items():
        use(engine, account, FEBRUARY, units, day=13)
    use(engine, UNCOVERED, FEBRUARY, 100, day=5)
    use(engine, TWICE, JANUARY, 4_000)
    change_customer(engine, OTHER_MONEY, currency="EUR")
    change_customer(engine, MOVED, country="CH", region="")
    with transaction(engine) as connection:
        add_subscription(
            connection,
            CONTRACT,
            "premium-support",
            Decimal(1),
            date(2026, 2, 15),
            None,
            business_date=date(2026, 3, 20),
            by="Greta Finance",
        )
    change_subscription(engine, GONE, ends_on=date(2026, 3, 1))
    for account in ACCOUNTS:
        if account not in (GONE, FAILED):
            use(engine, account, MARCH, 11_000)
    plan_month(engine, MARCH)
    issue_month(engine, MARCH)


@pytest.fixture(scope="module")
def told(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    with fresh_engine() as engine:
        tell_the_story(engine, tmp_path_factory.mktemp("late"))
        yield engine


@pytest.mark.parametrize(
    ("account", "lines"),
    [
        (LATE, [("2026-02", "Usage for 2026-02, arrived late: API calls", "30.00")]),
        (CORRECTED, [("2026-02", "Usage for 2026-02, corrected: API calls", "-15.00")]),
        (SKIPPED, [("2026-02", "Usage for 2026-02, arrived late: API calls", "40.00")]),
        (CONTRACT, [("2026-02", "Change of contract for 2026-02: Premium support", "49.50")]),
        (
            TWICE,
            [
                ("2026-01", "Usage for 2026-01, arrived late: API calls", "4.00"),
                ("2026-02", "Usage for 2026-02, arrived late: API calls", "10.00"),
            ],
        ),
        *((account, []) for account in (FREE, GIVEN_BACK, FAILED, UNCOVERED, NOTHING)),
    ],
)
def test_a_difference_is_a_line_of_the_next_invoice(
    told: Engine, account: str, lines: list[tuple[str, str, str]]
) -> None:
    assert late_lines(told, account, MARCH) == lines


def test_the_next_invoice_is_taxed_with_its_late_lines(told: Engine) -> None:
    (invoice,) = invoices_of(told, LATE, MARCH)
    assert invoice == ("regular", "2026-03", "issued", "USD", "31.00", "5.89", "36.89")


@pytest.mark.parametrize(
    ("account", "regular", "late"),
    [
        (GONE, [], ("USD", "10.00", "1.90", "11.90")),
        (OTHER_MONEY, [("EUR", "1.00", "0.19", "1.19")], ("USD", "10.00", "1.90", "11.90")),
        (MOVED, [("USD", "1.00", "0.00", "1.00")], ("USD", "10.00", "1.90", "11.90")),
    ],
)
def test_who_is_billed_otherwise_or_no_more_gets_an_invoice_of_its_own(
    told: Engine, account: str, regular: list[tuple[str, ...]], late: tuple[str, ...]
) -> None:
    found = invoices_of(told, account, MARCH)
    assert [row[3:] for row in found if row[0] == "regular"] == regular
    assert [row for row in found if row[0] == "late"] == [("late", "2026-02", "issued", *late)]


def test_a_late_invoice_keeps_the_place_that_its_tax_rests_on(told: Engine) -> None:
    with told.connect() as connection:
        places = connection.execute(
            text(
                "SELECT kind, invoice.customer -> 'address' ->> 'country' FROM invoices invoice "
                "JOIN customers ON customers.id = customer_id "
                "WHERE account_number = :account AND period_start = '2026-03-01' ORDER BY kind"
            ),
            {"account": MOVED},
        ).all()
    assert [tuple(row) for row in places] == [("late", "DE"), ("regular", "CH")]


def test_numbers_follow_the_accounts_and_the_regular_invoice_comes_first(told: Engine) -> None:
    given = numbers_of(told, MARCH)
    assert [number for number, *_ in given] == [
        f"INV-2026-03-{place:04d}" for place in range(1, len(given) + 1)
    ]
    order = [(account, month) for _, account, month in given]
    assert order == sorted(order)
    assert [month for account, month in order if account == MOVED] == ["", "2026-02"]


def test_what_the_next_invoice_cannot_bear_is_asked_of_the_one_that_billed_it(
    told: Engine,
) -> None:
    assert credits_of(told, GIVEN_BACK) == [("2026-03", "2026-02", "90.00", "asked")]
    assert invoices_of(told, GIVEN_BACK, MARCH)[0][4] == "1.00"


def test_free_usage_that_comes_late_is_counted_and_costs_nothing(told: Engine) -> None:
    assert accounted_for(told, FREE, FEBRUARY) == [
        ("2026-02", "INV-2026-02-0002", 2_000),
        ("2026-03", "", 3_000),
    ]


def test_who_failed_is_left_to_the_retry_of_the_month(told: Engine) -> None:
    assert outcomes_of(told, FAILED, MARCH) == [("", "skipped", "nothing_to_bill")]
    assert accounted_for(told, FAILED, FEBRUARY) == []


def test_a_month_that_cannot_be_rated_fails_alone(told: Engine) -> None:
    assert outcomes_of(told, UNCOVERED, MARCH) == [
        ("", "issued", ""),
        ("2026-02", "failed", "usage_without_plan"),
    ]


def test_february_stays_as_it_was_billed(told: Engine) -> None:
    with told.connect() as connection:
        figures = connection.execute(
            text(
                "SELECT count(*), sum(total), sum(late_amount) FROM invoices "
                "WHERE period_start = '2026-02-01'"
            )
        ).one()
    assert tuple(figures) == (11, Decimal("451.01"), 0)


@pytest.mark.parametrize(
    ("account", "net"),
    [
        (LATE, "40.00"),
        (FREE, "0.00"),
        (CORRECTED, "184.00"),
        (GIVEN_BACK, "10.00"),
        (GONE, "20.00"),
        (OTHER_MONEY, "20.00"),
        (MOVED, "20.00"),
        (SKIPPED, "40.00"),
        (CONTRACT, "59.50"),
        (TWICE, "20.00"),
        (NOTHING, "10.00"),
    ],
)
def test_a_month_costs_what_it_would_have_cost_in_one_go(
    told: Engine, account: str, net: str
) -> None:
    assert billed_in_all(told, account, FEBRUARY) == net


def test_every_unit_is_accounted_for_once(told: Engine) -> None:
    with told.connect() as connection:
        left = connection.execute(
            text("""
                SELECT account_number, used.month, used.quantity - coalesce(sum(billed.quantity), 0)
                FROM usage_monthly used JOIN customers ON customers.id = used.customer_id
                LEFT JOIN billed_usage billed
                    USING (customer_id, month, metric)
                GROUP BY account_number, used.month, used.quantity
                HAVING used.quantity <> coalesce(sum(billed.quantity), 0) ORDER BY 1
            """)
        ).all()
    assert [(row[0], row[2]) for row in left] == [(FAILED, 25_000), (UNCOVERED, 100)]


def test_the_next_cycle_bills_nothing_of_it_again(
    told: Engine,
) -> None:
    plan_month(told, APRIL)
    with told.connect() as connection:
        late = connection.execute(
            text(
                "SELECT count(*) FROM invoices WHERE period_start = '2026-04-01' "
                "AND (kind = 'late' OR late_amount <> 0)"
            )
        ).scalar_one()
        credits = connection.execute(text("SELECT count(*) FROM planned_credits")).scalar_one()
    assert (late, credits) == (0, 1)
    assert outcomes_of(told, UNCOVERED, APRIL)[1:] == [("2026-02", "failed", "usage_without_plan")]


def test_the_credit_note_takes_back_the_upper_tiers_with_their_tax(told: Engine) -> None:
    number = "INV-2026-02-0004"
    with told.connect() as connection:
        ((instruction, person),) = connection.execute(
            text(
                "SELECT asked.id, person FROM instructions asked "
                "JOIN invoices ON invoices.id = invoice_id WHERE number = :number"
            ),
            {"number": number},
        ).all()
        done = carry_out(connection, number, instruction, business_date=date(2026, 4, 2))
        assert (done.outcome, person) == ("done", ACTOR)
        note = connection.execute(
            text("SELECT subtotal, tax, total, lines, reason FROM credit_notes")
        ).one()
        assert LockedInvoice(
            connection, number, business_date=date(2026, 4, 2), actor=ACTOR
        ).uncovered == Decimal("11.90")
    assert (note.subtotal, note.tax, note.total) == (
        Decimal("90.00"),
        Decimal("17.10"),
        Decimal("107.10"),
    )
    assert [line["amount"] for line in note.lines] == ["80.00", "10.00"]
    assert note.reason == "Usage for 2026-02, corrected: API calls"
