"""The same month without Temporal: a loop over the product's own functions, on two processes."""

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from activities.billing_cycle import CycleActivities
from activities.issuing import IssuingActivities
from activities.payer_links import PayerLinks
from activities.pdf import render_invoice_pdf
from benchmarks.house import FEBRUARY, ISSUED_ON
from domain.tax import TaxPolicy
from storage.engine import make_engine
from storage.importing.directory import import_directory
from storage.schema import migrate
from workflows.contracts.customer import PostOrder, RenderOrder
from workflows.contracts.cycle import (
    CycleOrder,
    CycleStep,
    DraftsOrder,
    PlanPageOrder,
)

PROCESSES = 2


@dataclass(frozen=True)
class MeasuredLoop:
    """`seconds`: from the first customer rated to the last PDF stored and invoice posted."""

    invoices: int
    seconds: float


def run_bare_loop(database_url: str, folder: Path) -> MeasuredLoop:
    """Bills the data in `folder` in the empty database at `database_url`."""
    engine = make_engine(database_url, pool_size=2)
    migrate(engine, today=datetime.now(UTC).date())
    import_directory(engine, folder, now=datetime.now(UTC))
    cycle = CycleActivities(engine, tax_policy=TaxPolicy())
    period, step = str(FEBRUARY), CycleStep(str(FEBRUARY), "bare loop")
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        # both processes have imported what they need before the clock starts, as the worker has
        list(pool.map(_issue, [database_url] * PROCESSES, [[]] * PROCESSES))
        began = time.monotonic()
        cycle.open_cycle(CycleOrder(period, ISSUED_ON))
        after: str | None = ""
        while after is not None:
            after = cycle.plan_page(PlanPageOrder(period, after, 100)).last_account
        cycle.finish_plan(step)
        cycle.begin_issue(step)
        drafts = cycle.list_drafts(DraftsOrder(period, "", 1_000_000)).drafts
        numbers = [draft.number for draft in drafts]
        halves = [numbers[place::PROCESSES] for place in range(PROCESSES)]
        issued = sum(pool.map(_issue, [database_url] * PROCESSES, halves))
        cycle.close_cycle(step)
        seconds = time.monotonic() - began
    engine.dispose()
    return MeasuredLoop(issued, seconds)


def _issue(database_url: str, numbers: list[str]) -> int:
    """Renders and posts each draft in turn, in this process."""
    engine = make_engine(database_url, pool_size=1, checked=False)
    links = PayerLinks("http://127.0.0.1", "bench")
    office = IssuingActivities(engine, render=render_invoice_pdf, links=links)
    for number in numbers:
        rendered = office.render_invoice(RenderOrder(number))
        office.post_invoice(PostOrder(number, rendered.pdf_sha256, "bare loop"))
    engine.dispose()
    return len(numbers)
