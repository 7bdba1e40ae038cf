"""The application: every router behind its role, every refusal a problem."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from api import (
    attention,
    audit,
    bank,
    credit_notes,
    customers,
    cycles,
    discounts,
    health,
    instructions,
    invoices,
    login,
    me,
    metrics,
    next_cycle,
    payer_pages,
    plans,
    policies,
    prepaid,
    preview,
    problems,
    proof,
    reports,
    review,
    set_aside,
    subscriptions,
    tax_rates,
    usage_corrections,
    usage_events,
    webhooks,
)
from api.dependencies import Services
from console.app import create_console
from settings import Settings, required, reveal
from storage.engine import make_engine
from workflows.connection import connect

DESCRIPTION = """
Bills the customers of a usage-priced API: one request rates a month, issues the invoices with
their PDFs, and starts each invoice's own durable workflow.

Money is a string with the currency's digits. Errors are `application/problem+json` (RFC 9457)
and name the field and the remedy. Lists come in pages: pass `next_cursor` as `cursor`.
"""


def create_app(open_services: Callable[[], AbstractAsyncContextManager[Services]]) -> FastAPI:
    """The application over the services that `open_services` opens at its start."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services() as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="Billwright",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
    )
    problems.install(app)
    refusals = problems.responses(401, 403, 404, 422, 503)
    for reading in (
        *(me, attention, next_cycle, invoices, credit_notes, review, reports, audit, policies),
    ):
        app.include_router(reading.router, responses=refusals)
    master_data = (customers, plans, subscriptions, discounts, prepaid, tax_rates)
    usage = (usage_corrections, set_aside)
    for acting in (cycles, preview, proof, instructions, bank, *master_data, *usage):
        app.include_router(acting.router, responses=refusals | problems.responses(409))
    app.include_router(usage_events.router, responses=refusals | problems.responses(409, 413))
    app.include_router(payer_pages.router)
    app.include_router(login.router)
    app.include_router(webhooks.router, responses=problems.responses(400, 413, 503))
    app.include_router(metrics.router, responses=problems.responses(401, 403, 503))
    app.include_router(health.router)
    app.mount("/console", create_console(app))
    return app


def app_from(settings: Settings) -> FastAPI:
    """The application over the parts that `settings` name. Raises MissingSettings."""
    needed = required(settings)

    @asynccontextmanager
    async def open_services() -> AsyncIterator[Services]:
        engine = make_engine(needed.database_url, pool_size=20)
        temporal = await connect(
            needed.temporal_address,
            settings.temporal_namespace,
            api_key=reveal(settings.temporal_api_key),
            tls=settings.temporal_tls,
            lazy=True,
        )
        yield Services(engine, temporal, settings)
        engine.dispose()

    return create_app(open_services)
