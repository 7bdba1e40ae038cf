"""The `billwright` command as a user types it, each call starting and stopping its own stack."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.builders import Subscriber, customer_row, subscribers, write_billing_files, write_csv

ROOT = Path(__file__).parents[2]


class Shell:
    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *words],
            cwd=ROOT,
            env={
                **os.environ,
                "BILLWRIGHT_HOME": str(self.home),
                "BILLWRIGHT_DAY_SECONDS": "86400",
                "COLUMNS": "160",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done

    def processes(self) -> list[str]:
        """What runs and names this home in its arguments or its environment."""
        found = []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), process.environ().get("BILLWRIGHT_HOME", "")]
            except psutil.Error:
                continue
            if any(str(self.home) in word for word in words):
                found.append(" ".join(process.cmdline()))
        return found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home")


def test_imports_bills_and_exports_a_month_and_leaves_no_process(
    shell: Shell, tmp_path: Path
) -> None:
    write_billing_files(tmp_path / "files", subscribers(3))
    assert "customers.csv: 3 new" in shell.run("import", str(tmp_path / "files")).stdout
    assert "customers.csv: 0 new" in shell.run("import", str(tmp_path / "files")).stdout

    billed = shell.run("cycle", "2026-02", "--issued-on", "2026-03-01")
    assert "3 customers, 3 invoiced, 0 skipped, 0 failed" in billed.stdout

    proved = shell.run("proof", "2026-02").stdout
    assert "everything balances" in proved
    assert "second rating" in proved

    exported = shell.run("export", "invoices", "--period", "2026-02").stdout
    rows = list(csv.DictReader(io.StringIO(exported)))
    assert [row["number"] for row in rows] == [f"INV-2026-02-000{place}" for place in (1, 2, 3)]
    assert list(rows[0]) == (
        "number,account_number,period,currency,usage,subscriptions,proration,subtotal,tax,total,"
        "amount_paid,status,collection_state,issued_on,due_on,discounts,late,service_month"
    ).split(",")
    assert shell.processes() == []


def test_a_customer_who_cannot_be_billed_is_named_and_retried_once_mended(
    shell: Shell, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    write_billing_files(files, [Subscriber("1001"), Subscriber("1002", columns={"country": "FR"})])
    shell.run("import", str(files))
    failed = shell.run("cycle", "2026-02", "--issued-on", "2026-03-01", status=1)
    assert "1002: No tax rate for FR on 2026-02-28" in failed.stderr
    assert "billwright cycle 2026-02 --retry" in failed.stderr

    mend = tmp_path / "mend"
    mend.mkdir()
    (mend / "tax_rates.csv").write_text(
        "country,region,rate_percent,name,valid_from,valid_to\nFR,,20,TVA,2014-01-01,\n"
    )
    shell.run("import", str(mend))
    assert "2 invoiced, 0 skipped, 0 failed" in shell.run("cycle", "2026-02", "--retry").stdout


def test_refusals_are_one_sentence_with_the_remedy_and_status_1(
    shell: Shell, tmp_path: Path
) -> None:
    write_csv(tmp_path / "customers.csv", [customer_row(country="Germany")])
    bad = shell.run("import", str(tmp_path), status=1).stderr
    assert "customers.csv, line 2, column country: 'Germany' is not an ISO 3166" in bad
    assert "1 row is bad and nothing was imported" in bad

    assert "give a month as YYYY-MM" in shell.run("cycle", "February", status=1).stderr
    assert "choose one of invoices" in shell.run("export", "all", status=1).stderr
