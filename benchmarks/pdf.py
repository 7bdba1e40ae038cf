"""The CPU of one invoice's PDF."""

import statistics
import time

from sqlalchemy import Engine

from activities.issuing import IssuingActivities
from activities.payer_links import PayerLinks
from activities.pdf import render_invoice_pdf
from storage.engine import transaction
from storage.invoices import load_invoice

RENDERINGS = 60
WARM_UP = 5


def median_pdf_cpu(engine: Engine) -> float:
    """Median CPU milliseconds of rendering one of the month's own invoices, after warm-up."""
    office = IssuingActivities(
        engine, render=render_invoice_pdf, links=PayerLinks("http://127.0.0.1", "bench")
    )
    costs = []
    for place in range(1, RENDERINGS + 1):
        with transaction(engine) as connection:
            invoice = load_invoice(connection, f"INV-2026-02-{place:04d}")
            document = office.document(connection, invoice)
        began = time.process_time()
        render_invoice_pdf(document)
        costs.append((time.process_time() - began) * 1000)
    return statistics.median(costs[WARM_UP:])
