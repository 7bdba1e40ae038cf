"""February 2026 as a user runs it, and as it must end whatever is killed."""

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from demo.known_answers import FIRST_DAY, MARCH
from storage.importing.directory import import_directory
from tests.builders import subscribers, write_billing_files
from tests.end_to_end.conftest import ORDER, Bill, open_house

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Bill]]:
    """What `make demo EXIT=1` printed, and what its database holds when it is opened again."""
    home = tmp_path_factory.mktemp("demo")
    told = subprocess.run(
        [sys.executable, "-m", "demo", "--exit", "--day-seconds", "4"],
        cwd=ROOT,
        env={**os.environ, "BILLWRIGHT_HOME": str(home), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    with open_house(home / "demo") as house:
        yield told.stdout, house.bill()


def test_the_demonstration_prints_the_known_figures(demonstration: tuple[str, Bill]) -> None:
    printed = re.sub(r"\s+", " ", demonstration[0])
    for figure in (
        "200 / 187 / 13 / 0",
        "31,204.50",
        "143 Premium support at 99.00, 15 Dedicated IP at 49.00) │ 14,892.00",
        "-412.36",
        "14 EU countries and 3 US states │ 2,145.00",
        "47,829.14",
        "142 / 45",
        "INV-2026-02-0047, account 1047, Kranich Datentechnik GmbH │ 312.91",
    ):
        assert figure in printed


def test_the_demonstration_compares_february_with_the_months_before(
    demonstration: tuple[str, Bill],
) -> None:
    printed = re.sub(r"\s+", " ", demonstration[0])
    for figure in (
        "billed for 2026-02, tax included / growth │ 47,829.14 / +4.2 %",
        "revenue of 2026-02 without tax / growth │ 45,684.14 / +4.2 %",
        "usage + subscriptions │ 31,204.50 + 14,892.00 = 46,096.50",
        "usage fell by 10 % two months running │ 1166, 1141, 1032",
        "outstanding: 56 invoices of 53 customers │ 8,200.00",
        "current: 51 of 56 invoices / share │ 6,970.00 / 85.0 %",
        "1-30: 4 of 56 invoices / share │ 984.00 / 12.0 %",
        "31-60: 1 of 56 invoices / share │ 246.00 / 3.0 %",
        "60+: 0 of 56 invoices / share │ 0.00 / 0.0 %",
    ):
        assert figure in printed


def test_the_demonstration_checks_itself_and_leads_to_the_console_of_that_day(
    demonstration: tuple[str, Bill],
) -> None:
    printed = re.sub(r"\s+", " ", demonstration[0])
    assert f"{len(FIRST_DAY)} of these figures were checked" in printed
    assert re.search(r"Console http://\S+/console/ \(finance@billwright.example, \S+\)", printed)
    assert "/console/?as_of=2026-03-01" in printed


def test_the_demonstration_tells_what_became_of_every_invoice(
    demonstration: tuple[str, Bill],
) -> None:
    printed = re.sub(r"\s+", " ", demonstration[0])
    for figure in (
        "cards charged / succeeded │ 142 / 136",
        "received by card │ 40,859.14",
        "expired card / insufficient funds / declined │ 3 / 2 / 1",
        "45 transfers, 6 cards │ 6,970.00",
        "45 wires, 45 matched by reference, 0 wait for a person",
        "replaced and paid by 2026-03-08 │ 4 of 6",
        "wires booked by reference │ 45 of 45",
        "received by wire │ 6,247.75",
        "manual review: INV-2026-02-0011, account 1011",
        "manual review: INV-2026-02-0041, account 1041",
        "of 2026-02 still open │ 380.66",
    ):
        assert figure in printed
    for figure in (
        "54,456,144 = 54,456,144",
        "second rating = invoice lines │ 45,689.14 = 45,689.14",
        "our books = card processor │ 41,200.73 = 41,200.73",
        "6,247.75 = 6,247.75",
        "late, in a plan that is not issued │ 10,000",
        "equations that balance │ 24 of 24",
    ):
        assert figure in printed
    for account in ("1011", "1041"):
        assert len(re.findall(rf"{account} INV-2026-02-00\d\d reminder sent", printed)) == 1
        assert len(re.findall(rf"{account} INV-2026-02-00\d\d urgent notice sent", printed)) == 1
        assert len(re.findall(rf"{account} INV-2026-02-00\d\d review due", printed)) == 1


def test_the_demonstration_goes_on_to_march_and_leaves_february_as_it_was(
    demonstration: tuple[str, Bill],
) -> None:
    printed = re.sub(r"\s+", " ", demonstration[0])
    for told in (
        "44,831 usage events of 2026-03 sent over HTTP in 5 batches",
        "0 accepted, 10,000 known already",
        "20 events of 2026-02 for account 1047, 20,000 calls, come behind its bill",
        "20 events of 2026-02 of account 1168 amended, 10,000 calls less",
        f"{len(MARCH)} of these figures were checked",
        "1179, Prairie Crocus Energy Ltd., zero usage",
        "The figures of 2026-02 are those of its bill still.",
    ):
        assert told in printed


def test_the_exported_invoices_sum_to_the_known_figures(
    demonstration: tuple[str, Bill],
) -> None:
    invoices = list(csv.DictReader(io.StringIO(demonstration[1].invoices)))
    sums = {
        column: sum(Decimal(invoice[column]) for invoice in invoices)
        for column in ("usage", "subscriptions", "proration", "subtotal", "tax", "total")
    }
    assert {name: str(amount) for name, amount in sums.items()} == {
        "usage": "31204.50",
        "subscriptions": "14892.00",
        "proration": "-412.36",
        "subtotal": "45684.14",
        "tax": "2145.00",
        "total": "47829.14",
    }
    numbers = [invoice["number"] for invoice in invoices]
    assert numbers == [f"INV-2026-02-{place:04d}" for place in range(1, 188)]


def test_account_1047_is_billed_line_by_line_as_known(demonstration: tuple[str, Bill]) -> None:
    lines = [
        line
        for line in csv.DictReader(io.StringIO(demonstration[1].lines))
        if line["number"] == "INV-2026-02-0047"
    ]
    assert [(line["quantity"], line["unit_price"], line["amount"]) for line in lines] == [
        ("10000", "0", "0.00"),
        ("90000", "0.001", "90.00"),
        ("147891", "0.0005", "73.95"),
        ("1", "99.00", "99.00"),
    ]


@pytest.mark.parametrize("victim", ["worker", "temporal", "postgres"])
def test_a_cycle_ends_the_same_though_a_part_is_killed_in_the_middle(
    victim: str, demonstration: tuple[str, Bill], tmp_path: Path
) -> None:
    with open_house(tmp_path / "home") as house:
        house.import_february(tmp_path / "data")
        assert house.http.post("/api/billing/cycles", json=ORDER).status_code == 202
        house.until("a third issued", lambda: house.cycle().get("issued", 0) >= 60)
        assert house.cycle()["status"] == "issuing"
        house.stack.kill(victim)
        closed = house.closed()
        assert (closed["issued"], closed["skipped"], closed["failed"]) == (187, 13, 0)
        # another database, another secret, a killed part: the same invoices to the cent
        assert house.bill() == demonstration[1]
        house.until("all mailed", lambda: len(set(house.mails())) == 187)
        assert house.charges() == {"succeeded": 136, "failed": 6}


def test_fifty_starts_at_once_are_one_cycle(tmp_path: Path) -> None:
    write_billing_files(tmp_path / "data", subscribers(20))
    with open_house(tmp_path / "home") as house:
        import_directory(house.engine, tmp_path / "data", now=datetime.now(UTC))

        def press(_: int) -> int:
            return house.http.post("/api/billing/cycles", json=ORDER).status_code

        with ThreadPoolExecutor(50) as people:
            answers = list(people.map(press, range(50)))
        assert answers == [202] * 50
        assert house.closed()["issued"] == 20
        invoices = csv.DictReader(io.StringIO(house.bill().invoices))
        numbers = [f"INV-2026-02-{place:04d}" for place in range(1, 21)]
        assert [invoice["number"] for invoice in invoices] == numbers
        house.until("all mailed", lambda: len(house.mails()) >= 20)
        assert len(house.mails()) == len(set(house.mails())) == 20
