"""A month billed, what comes late for it, and the month after: with all workers, over HTTP."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pypdfium2
from sqlalchemy import Engine, text
from temporalio.client import WorkflowExecutionStatus

from tests.activities.mail_server import mail_server
from tests.api.conftest import (
    CYCLES,
    INVOICES,
    Json,
    Product,
    TemporalServer,
    running,
    until,
    working,
)
from tests.builders import FEBRUARY, Subscriber, seed_billing
from tests.storage.late_months import MARCH, use
from workflows.ids import customer_billing_id

MAY = datetime(2026, 5, 1, 8, tzinfo=UTC)
LATE, GONE, CORRECTED, ELSEWHERE = "1001", "1002", "1003", "1004"
ARRIVED = "Usage for 2026-02, arrived late: API calls"


async def bill(product: Product, period: str, issued_on: str) -> Json:
    order = {"period": period, "issued_on": issued_on}
    answer = await product.http.post(CYCLES, json=order)
    assert answer.status_code == 202, answer.text
    return await product.closed(period)


async def invoices_of(product: Product, account: str) -> list[Json]:
    """By number."""
    found = (await product.get(INVOICES, params={"account_number": account}))["items"]
    return sorted(found, key=lambda invoice: str(invoice["number"]))


async def text_of_pdf(product: Product, number: str) -> str:
    answer = await product.http.get(f"{INVOICES}/{number}/pdf")
    assert answer.status_code == 200, answer.text
    page = pypdfium2.PdfDocument(io.BytesIO(answer.content))[0]
    return str(page.get_textpage().get_text_bounded())


async def test_what_comes_late_for_february_is_billed_with_march(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    temporal_server: TemporalServer,
    tmp_path: Path,
) -> None:
    with fresh_engine() as engine:
        seed_billing(
            engine,
            tmp_path / "files",
            [Subscriber(account, 20_000) for account in (LATE, GONE, CORRECTED, ELSEWHERE)],
        )
        async with (
            mail_server() as mailbox,
            running(engine, await temporal_server.client(), now=lambda: MAY) as product,
            working(product, mailbox),
        ):
            await bill(product, "2026-02", "2026-03-01")
            for account, units in ((LATE, 30_000), (GONE, 10_000), (CORRECTED, -19_000)):
                use(engine, account, FEBRUARY, units)
            use(engine, ELSEWHERE, FEBRUARY.previous(), 50_000)  # of which there is no cycle here
            for account in (LATE, CORRECTED):
                use(engine, account, MARCH, 11_000)

            march = await bill(product, "2026-03", "2026-04-01")
            assert (march["issued"], march["skipped"], march["failed"]) == (2, 2, 0)
            assert (march["late_issued"], march["late_failed"]) == (1, 0)
            (totals,) = march["totals"]
            assert [totals[name] for name in ("invoices", "usage", "late", "subtotal")] == [
                3,
                "2.00",
                "40.00",
                "42.00",
            ]
            outcomes = (await product.get(f"{CYCLES}/2026-03/customers"))["items"]
            assert [(row["account_number"], row["late_month"]) for row in outcomes] == [
                (LATE, None),
                (GONE, None),
                (GONE, "2026-02"),
                (CORRECTED, None),
                (ELSEWHERE, None),
            ]

            _, with_line = await invoices_of(product, LATE)
            lines = (await product.get(f"{INVOICES}/{with_line['number']}"))["lines"]
            assert [(line["service_month"], line["description"]) for line in lines] == [
                ("2026-03", "API calls: Free tier"),
                ("2026-03", "API calls: Tier 1"),
                ("2026-02", ARRIVED),
            ]
            _, late = await invoices_of(product, GONE)
            assert (late["kind"], late["period"], late["service_month"]) == (
                "late",
                "2026-03",
                "2026-02",
            )
            child = customer_billing_id("2026-03", f"{GONE}/late-2026-02")
            described = await product.temporal.get_workflow_handle(child).describe()
            assert described.status is WorkflowExecutionStatus.COMPLETED
            assert "1–28 February 2026" in await text_of_pdf(product, late["number"])
            of_march = {"INV-2026-03-0001", "INV-2026-03-0002", "INV-2026-03-0003"}
            await until(
                lambda: of_march <= {n for n in of_march for m in mailbox.mails if n in str(m)}
            )

            february, _ = await invoices_of(product, CORRECTED)
            assert february["amount_credited"] == "0.00"
            await product.sweep()
            await until(lambda: credited(engine) == [("INV-2026-02-0003", "10.00", "1.90")])
            figures = await product.get(f"{CYCLES}/2026-02")
            assert figures["totals"][0]["subtotal"] == "40.00"

            april = await bill(product, "2026-04", "2026-05-01")
            assert (april["issued"], april["late_issued"], april["totals"]) == (0, 0, [])


def credited(engine: Engine) -> list[tuple[str, ...]]:
    """Invoice, net and tax of each credit note that has its document."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT invoice.number, note.subtotal::text, note.tax::text FROM credit_notes note "
                "JOIN invoices invoice ON invoice.id = invoice_id "
                "WHERE note.pdf_sha256 IS NOT NULL"
            )
        )
        return [tuple(row) for row in rows]
