"""`make demo`: February 2026 for 200 customers, on the real parts, from an empty database."""

import argparse
import os
import secrets
import shutil
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from demo import march
from demo.answers import answer_once, checked
from demo.behaviour import hand_over_cards
from demo.dataset import BILLED_MONTH, NEXT_MONTH, write_dataset
from demo.figures import (
    Figure,
    closing_figures,
    february_figures,
    opening_figures,
    owed_figures,
    plan_figures,
    proof_figures,
    revenue_figures,
    risk_figures,
)
from demo.known_answers import FIRST_DAY, MARCH, PROOF, Answers, check
from demo.story import LAST_DAY, Stage, tell_the_fortnight, wait_for_first_contact
from domain.errors import BillwrightError
from settings import Settings, settings
from stack.embedded import running_stack
from stack.errors import StackError
from stack.session import API, WORKER, at, embedded
from storage.access import Role
from storage.api_keys import create_key
from storage.engine import make_engine, transaction
from storage.importing.directory import import_directory
from storage.people import Change, add_person

PERIOD, ISSUED_ON = BILLED_MONTH, date(2026, 3, 1)
DAY_SECONDS = 1
"""How long a business day lasts, counted from the release of the reminders."""
MAILS_PER_SECOND = 100
PATIENCE_SECONDS = 600
LOGIN = "finance@billwright.example"

out = Console()


def main() -> None:
    """Tells the story on standard output. Exit status 1, with one sentence, where it fails."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="end after the story")
    parser.add_argument("--day-seconds", type=int, default=DAY_SECONDS, help="length of a day")
    wanted = parser.parse_args()
    try:
        _run(stay=not wanted.exit, day_seconds=wanted.day_seconds)
    except (StackError, BillwrightError) as refusal:
        raise SystemExit(str(refusal)) from refusal
    except KeyboardInterrupt:
        out.print("Stopped.")


def _run(*, stay: bool, day_seconds: int) -> None:
    home = (settings().home / "demo").absolute()
    if running_stack(home) is not None:
        raise StackError("A demonstration is running already; end it with Ctrl-C first.")
    shutil.rmtree(home, ignore_errors=True)
    configured = settings().model_copy(update={"home": home})
    began = time.monotonic()
    # inherited by worker and API
    os.environ["BILLWRIGHT_DAY_SECONDS"] = str(day_seconds)
    os.environ["BILLWRIGHT_MAILS_PER_SECOND"] = str(MAILS_PER_SECOND)
    with embedded(configured, parts=(WORKER, API)) as stack:
        out.print(f"Stack: PostgreSQL, Temporal, mailbox, worker and API, {_since(began)}")
        began = time.monotonic()
        key, meter_key, password, added = _import(at(configured, stack.addresses()))
        out.print(
            f"Import: {added['usage.csv.gz']:,} usage events and {added['invoices.csv']} invoices "
            f"of an older system, of {added['customers.csv']} customers, {_since(began)}",
            soft_wrap=True,
        )
        hand_over_cards(stack.addresses())
        engine = make_engine(stack.addresses().database_url, pool_size=2)
        api_url = stack.addresses().api_url
        with _caller(api_url, key) as client, _caller(api_url, meter_key) as meter:
            _wait_until_ready(client)
            mail_dir = stack.addresses().mail_dir
            stage = Stage(engine, client, mail_dir, PERIOD, ISSUED_ON, day_seconds, out)
            february = _tell(stage)
            _go_on(stage, meter, february)
        engine.dispose()
        addresses = stack.addresses()
        out.print(f"API           {addresses.api_url}/docs   (key {key})", soft_wrap=True)
        console = f"{addresses.api_url}/console/"
        out.print(f"Console       {console}   ({LOGIN}, {password})", soft_wrap=True)
        out.print(f"  that day    {console}?as_of={ISSUED_ON}", soft_wrap=True)
        out.print(f"  the plan    {console}billing/{NEXT_MONTH}", soft_wrap=True)
        out.print(f"Temporal UI   {addresses.temporal_ui_url}")
        out.print(f"Mailbox       {addresses.mail_dir}", soft_wrap=True)
        if stay:
            out.print("Ctrl-C ends the demonstration.")
            while True:
                time.sleep(3600)


def _caller(api_url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=api_url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


def _import(found: Settings) -> tuple[str, str, str, dict[str, int]]:
    """An admin's key, that of the meter, the password of `LOGIN`, and how many rows of each file
    were imported.
    """
    engine = make_engine(found.database_url or "", pool_size=2)
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder))
        report = import_directory(engine, Path(folder), now=datetime.now(UTC))
    with transaction(engine) as connection:
        key = create_key(connection, "demo", Role.ADMIN)
        meter_key = create_key(connection, "meter", Role.INGEST)
        password = secrets.token_urlsafe(12)
        change = Change("demo", ISSUED_ON)
        add_person(connection, LOGIN, "Finance Team", Role.ADMIN, password, change)
    engine.dispose()
    return key, meter_key, password, report.added


def _tell(stage: Stage) -> list[Figure]:
    """February, from the button to day 14; its figures as they were billed."""
    seconds = _bill(stage.api)
    with transaction(stage.engine) as connection:
        figures = february_figures(connection, PERIOD)
    took = Figure("the cycle, from the request to the last PDF stored", f"{seconds:.1f} s")
    _print(f"{PERIOD}, billed on {ISSUED_ON}, reminders held", [*figures, took])
    wait_for_first_contact(stage)
    with transaction(stage.engine) as connection:
        opening = opening_figures(connection, PERIOD, ISSUED_ON)
        _print(f"As of {ISSUED_ON}, {PERIOD} alone", opening)
    standing = _standing(stage.api)
    _print(f"As of {ISSUED_ON}, with the months before", standing)
    _check([*figures, *opening, *standing], FIRST_DAY)
    out.print(f"The reminders are released; from here on a day lasts {stage.day_seconds} s.")
    tell_the_fortnight(stage)
    with transaction(stage.engine) as connection:
        last = ISSUED_ON + timedelta(days=LAST_DAY)
        _print(f"As of {last}, day {LAST_DAY}", closing_figures(connection, PERIOD, ISSUED_ON))
    return figures


def _go_on(stage: Stage, meter: httpx.Client, february: list[Figure]) -> None:
    """March's usage and what comes late for February, March's plan, and the proof of February."""
    march.send_usage(meter, out)
    march.correct_february(stage.api, out)
    planned = plan_figures(march.plan(stage.api), march.late_lines(stage.api))
    _print(f"The plan of {NEXT_MONTH}, before anything of it is issued", planned)
    _check(planned, MARCH)
    with transaction(stage.engine) as connection:
        if february_figures(connection, PERIOD) != february:
            raise StackError(f"The bill of {PERIOD} has changed since. This is a defect.")
    out.print(f"The figures of {PERIOD} are those of its bill still.")
    proved = proof_figures(_prove(stage.api))
    _print(f"The proof of {PERIOD}, each figure found in another way", proved)
    _check(proved, PROOF)


def _check(figures: list[Figure], answers: Answers) -> None:
    count = check(figures, answers)
    out.print(f"{count} of these figures were checked against those worked out by hand.")


def _prove(client: httpx.Client) -> Any:
    """The month proved anew, with the money that came in since its cycle."""
    address = f"/api/billing/cycles/{PERIOD}"
    last = f"{address}/reconciliation"
    before = checked(client.get(last))["id"]
    checked(client.post(f"{address}/reconcile"))
    return answer_once(
        client,
        last,
        lambda proof: proof["id"] != before,
        "The proof was not made",
        patience_seconds=PATIENCE_SECONDS,
    )


def _standing(client: httpx.Client) -> list[Figure]:
    """Growth, ages and risks: what a month alone cannot tell. What recurs is that of its end."""

    def report(name: str, day: date) -> Any:
        return checked(client.get(f"/api/billing/{name}", params={"as_of": day.isoformat()}))

    recurring = report("mrr", ISSUED_ON - timedelta(days=1))
    recurring["billed"] = report("mrr", ISSUED_ON)["billed"]
    return [
        *revenue_figures(recurring, report("revenue-by-customer", ISSUED_ON)),
        *owed_figures(report("outstanding", ISSUED_ON)),
        *risk_figures(report("churn-risk", ISSUED_ON)),
    ]


def _wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if all(state == "ok" for state in client.get("/readyz").json().values()):
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise StackError("API and worker did not start in 60 s; see the logs in the demo's home.")


def _bill(client: httpx.Client) -> float:
    """Presses the button and follows; seconds from the request to the last PDF stored."""
    began = time.monotonic()
    order = {"period": PERIOD, "issued_on": ISSUED_ON.isoformat(), "hold_reminders": True}
    checked(client.post("/api/billing/cycles", json=order))
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=out,
        transient=True,
    )
    with bar:
        task = bar.add_task(f"Billing {PERIOD}", total=None)
        while time.monotonic() - began < PATIENCE_SECONDS:
            cycle = checked(client.get(f"/api/billing/cycles/{PERIOD}"))
            if cycle["status"] in ("issuing", "closed"):
                bar.update(
                    task, total=cycle["issued"] + cycle["drafted"], completed=cycle["issued"]
                )
            if cycle["status"] == "closed":
                return time.monotonic() - began
            time.sleep(0.5)
    raise StackError(f"The cycle did not end in {PATIENCE_SECONDS} s; see the worker's log.")


def _print(title: str, figures: list[Figure]) -> None:
    table = Table("figure", "value", title=title)
    table.columns[1].justify = "right"
    for figure in figures:
        table.add_row(figure.name, figure.value)
    out.print(table)


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"


if __name__ == "__main__":
    main()
