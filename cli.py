"""The `billwright` command."""

import asyncio
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from api.cycle_orders import order_cycle, order_retry
from cli_access import keys, people
from cli_preview import approve_now, show_preview
from cli_proof import prove_now, show_proof
from cli_usage import usage
from domain.errors import BillwrightError, NotFound
from domain.periods import BillingPeriod, BusinessCalendar
from domain.proof import ProofStatus
from settings import MissingSettings, reveal, settings
from stack.errors import StackError
from stack.session import API, WORKER, database, embedded, session
from storage import cycles
from storage.approval import require_approved
from storage.engine import transaction
from storage.exports import EXPORTS, write_export
from storage.importing.directory import import_directory
from storage.importing.problems import ImportRefused
from storage.schema import migrate
from workflows.billing_cycle import DISCARDED, BillingCycle
from workflows.connection import connect
from workflows.contracts.cycle import ClosedCycle
from workflows.ids import billing_cycle_id
from workflows.starting import retry_cycle, start_cycle

app = typer.Typer(
    help="Usage billing on durable workflows.", no_args_is_help=True, add_completion=False
)
app.add_typer(keys, name="keys")
app.add_typer(people, name="people")
app.add_typer(usage, name="usage")
out = Console()
err = Console(stderr=True)

BAD_ROWS_SHOWN = 50


def main() -> None:
    """Runs the command. Refusals go to standard error in one sentence, with exit status 1."""
    try:
        app()
    except ImportRefused as refused:
        for row in refused.problems.rows[:BAD_ROWS_SHOWN]:
            err.print(str(row), markup=False, highlight=False, soft_wrap=True)
        if refused.problems.count > BAD_ROWS_SHOWN:
            err.print(f"and {refused.problems.count - BAD_ROWS_SHOWN} more")
        _fail(refused.message)
    except BillwrightError as refusal:
        _fail(refusal.message)
    except (StackError, MissingSettings) as refusal:
        _fail(str(refusal))
    except OperationalError as outage:
        _fail(f"PostgreSQL does not answer ({outage.orig}); start it and try again.")
    except WorkflowFailureError as failure:
        if isinstance(failure.cause, ApplicationError) and failure.cause.type == DISCARDED:
            _fail(failure.cause.message)
        _fail(f"The cycle broke down ({failure.cause}); mend the cause and run the command again.")
    except (RPCError, RuntimeError) as outage:
        _fail(f"Temporal does not answer ({outage}); start it and try again.")


@app.command()
def up() -> None:
    """Runs the embedded stack with worker and API, its data kept, until Ctrl-C."""
    configured = settings()
    with embedded(configured, parts=(WORKER, API)) as stack:
        addresses = stack.addresses()
        out.print(f"API           {addresses.api_url}/docs")
        out.print(f"Temporal UI   {addresses.temporal_ui_url}")
        out.print(f"Mailbox       {addresses.mail_dir}")
        out.print("Ctrl-C ends it; the data stay in", str(addresses.home))
        _wait_for_the_end()


@app.command()
def cycle(
    period: Annotated[str, typer.Argument(help="The month to bill, such as 2026-02.")],
    issued_on: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="Date of the invoices; the day of their issue if left out."
        ),
    ] = None,
    hold_reminders: Annotated[
        bool | None, typer.Option(help="Send no reminder until released.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Bill again what failed.")] = False,
) -> None:
    """Runs a billing cycle, or follows the one that runs or has run."""
    month = BillingPeriod.parse(period)
    with session(settings(), parts=(WORKER,)) as found, database(found) as engine:
        if retry:
            order = order_retry(engine, found, month, requested_by="command line")
        else:
            order = order_cycle(
                engine,
                found,
                month,
                now=datetime.now(UTC),  # noqa: TID251 - the command's clock
                requested_by="command line",
                issued_on=issued_on.date() if issued_on else None,
                hold_reminders=hold_reminders,
            )

        async def run() -> ClosedCycle:
            client = await connect(
                found.temporal_address or "",
                found.temporal_namespace,
                api_key=reveal(found.temporal_api_key),
                tls=found.temporal_tls,
            )
            begin = retry_cycle if retry else start_cycle
            await begin(client, order, task_queue=found.task_queue)
            handle = client.get_workflow_handle(
                billing_cycle_id(order.period), result_type=ClosedCycle
            )
            result = asyncio.ensure_future(handle.result())
            await _show_progress(engine, month, result, handle)
            closed: ClosedCycle = await result
            return closed

        closed = asyncio.run(run())
        _print_totals(engine, month)
        failures = _failures(engine, month)
    for failure in failures:
        of = f", for {failure.late_month}" if failure.late_month else ""
        err.print(f"{failure.account_number}{of}: {failure.reason}", markup=False, soft_wrap=True)
    if left := closed.failed + closed.drafted + closed.late_left:
        _fail(
            f"{left} invoices could not be billed; mend the causes above and run "
            f"billwright cycle {period} --retry."
        )


@app.command()
def preview(
    period: Annotated[str, typer.Argument(help="The month of the plan, such as 2026-02.")],
    approve: Annotated[
        str | None,
        typer.Option(help="Approve all that waits to be; with a note, which may be empty."),
    ] = None,
) -> None:
    """Shows a plan before it is issued: sums against the last month, and what stands out."""
    month = BillingPeriod.parse(period)
    with session(settings()) as found, database(found) as engine:
        show_preview(engine, found, month, out)
        if approve is not None:
            now = datetime.now(UTC)  # noqa: TID251 - the command's clock
            calendar = BusinessCalendar(found.seller_time_zone, found.day_seconds)
            made = approve_now(engine, found, month, note=approve, today=calendar.real_date(now))
            out.print(f"Approved {made.drafts:,} drafts; billwright cycle {month} issues them.")


@app.command()
def proof(
    period: Annotated[str, typer.Argument(help="The month to prove, such as 2026-02.")],
    last: Annotated[
        bool, typer.Option("--last", help="Show the last proof; make none anew.")
    ] = False,
) -> None:
    """Proves that a month was billed right: each equation, and every difference by customer."""
    month = BillingPeriod.parse(period)
    with session(settings()) as found, database(found) as engine:
        if not last:
            prove_now(engine, found, month)
        made = show_proof(engine, month, out)
    if made.status is ProofStatus.ALARM:
        _fail(f"{period} does not balance; see to the differences above.")
    if made.status is ProofStatus.INCOMPLETE:
        _fail(f"{period} could not be proved as a whole; run the command again later.")


@app.command("import")
def import_files(
    directory: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
) -> None:
    """Imports plans, tax rates, customers, subscriptions, usage and invoices: all or nothing."""
    with session(settings()) as found, database(found) as engine, _bar() as bar:
        rows = bar.add_task("Usage rows", total=None)
        report = import_directory(
            engine,
            directory,
            now=datetime.now(UTC),  # noqa: TID251 - the command's clock
            time_zone=found.seller_time_zone,
            progress=lambda count: bar.advance(rows, count),
        )
    for name, count in report.added.items():
        out.print(f"{name}: {count:,} new")
    for month, count in report.late.items():
        err.print(
            f"{count:,} usage events are of {month}, which was planned before: "
            "they are billed with the next cycle"
        )


@app.command()
def export(
    what: Annotated[str, typer.Argument(help=", ".join(EXPORTS))],
    period: Annotated[str | None, typer.Option(help="Only this month; all if left out.")] = None,
) -> None:
    """Writes CSV to standard output."""
    if what not in EXPORTS:
        raise NotFound(f"There is no export {what!r}; choose one of {', '.join(EXPORTS)}.")
    month = BillingPeriod.parse(period) if period is not None else None
    with (
        session(settings()) as found,
        database(found) as engine,
        transaction(engine) as connection,
    ):
        write_export(connection, what, month, sys.stdout)


@app.command()
def worker() -> None:
    """Runs a Temporal worker until SIGTERM or Ctrl-C."""
    from worker import main as run_worker

    run_worker(settings())


@app.command()
def api() -> None:
    """Serves the HTTP interface."""
    import uvicorn

    from api.app import app_from

    configured = settings()
    uvicorn.run(
        app_from(configured),
        host=configured.api_host,
        port=configured.api_port,
        log_level="warning",
        proxy_headers=True,
    )


@app.command("migrate")
def migrate_database() -> None:
    """Brings the database to the present schema."""
    with session(settings()) as found, database(found) as engine:
        migrate(engine, today=datetime.now(UTC).date())  # noqa: TID251 - which partitions to make
    out.print("The database is at the present schema.")


def _fail(sentence: str) -> None:
    err.print(sentence, markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(1)


def _bar() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )


async def _show_progress(
    engine: Engine,
    period: BillingPeriod,
    result: "asyncio.Future[ClosedCycle]",
    handle: WorkflowHandle[Any, Any],
) -> None:
    """A bar over the customers, until the cycle has its result; a plan that was approved goes on.

    Raises PlanNotApproved for one that waits for it.
    """
    with _bar() as bar:
        task = bar.add_task(f"Planning {period}", total=None)
        while not result.done():
            await asyncio.wait([result], timeout=0.2)
            summary = await asyncio.to_thread(_summary, engine, period)
            planned = summary is not None and summary.status == "planned"
            if planned and await asyncio.to_thread(_waits_approved, engine, period):
                with suppress(RPCError):  # it has just ended
                    await handle.signal(BillingCycle.resume)
            if summary is not None and summary.status != "planning":
                issued = summary.issued + summary.late_issued
                bar.update(
                    task,
                    description=f"Issuing {period}",
                    total=issued + summary.drafted + summary.late_drafted,
                    completed=issued,
                )


def _summary(engine: Engine, period: BillingPeriod) -> cycles.CycleSummary | None:
    with transaction(engine) as connection:
        try:
            return cycles.summarize_cycle(connection, period)
        except NotFound:
            return None


def _waits_approved(engine: Engine, period: BillingPeriod) -> bool:
    """Whether the plan was to be approved, is, and only waits. Raises PlanNotApproved."""
    with transaction(engine) as connection:
        cycle = cycles.load_cycle(connection, period)
        require_approved(connection, cycle)
    return cycle.approval_required and not cycle.issue_began


def _failures(engine: Engine, period: BillingPeriod) -> list[cycles.CycleFailure]:
    with transaction(engine) as connection:
        return cycles.cycle_failures(connection, period)


def _print_totals(engine: Engine, period: BillingPeriod) -> None:
    with transaction(engine) as connection:
        summary = cycles.summarize_cycle(connection, period)
        totals = cycles.cycle_totals(connection, period)
    out.print(
        f"{period}: {summary.customers} customers, {summary.issued} invoiced, "
        f"{summary.skipped} skipped, {summary.failed} failed"
    )
    table = Table("currency", "invoices", *_SUMS)
    for name in ("invoices", *_SUMS):
        table.columns[["currency", "invoices", *_SUMS].index(name)].justify = "right"
    for total in totals:
        sums = [f"{getattr(total, name):,f}" for name in _SUMS]
        table.add_row(total.currency, str(total.invoices), *sums)
    out.print(table)


_SUMS = (
    *("usage", "subscriptions", "proration", "discounts", "late"),
    *("subtotal", "tax", "total"),
)


def _wait_for_the_end() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        out.print("Stopping")


if __name__ == "__main__":
    main()
