"""The real application on a real database, a real Temporal server and a real worker."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.billing_cycle import CycleActivities
from activities.card_gateway import CardGateway
from activities.charging import ChargingActivities
from activities.collection import CollectionActivities
from activities.credit_notes import CreditNoteActivities
from activities.delivery import DeliveryActivities, Office
from activities.issuing import IssuingActivities
from activities.mailer import Mailer
from activities.monthly_billing import MonthlyBillingActivities
from activities.payer_links import PayerLinks
from activities.pdf import PrintedDocument, render_pdf
from activities.proof import ProofActivities
from activities.proof_notice import ProofNoticeActivities
from activities.recurring_revenue import RecurringRevenueActivities
from activities.sweeping import SweepingActivities
from api.app import create_app
from api.dependencies import Services
from domain.tax import TaxPolicy
from settings import Settings, reveal
from stack.ports import HOST
from stack.temporal import ensure_server
from storage.access import Role
from storage.api_keys import create_key
from storage.engine import make_engine, transaction
from tests.activities.mail_server import MailServer, mail_server
from tests.api.cards import STRIPE_KEY, CardSandbox, sandbox_in
from tests.builders import NOW, Subscriber, seed_billing
from tests.ports import reserved_port
from worker import THREADS_IN_ALL, Activities, build_workers
from workflows.collection_sweep import CollectionSweep
from workflows.connection import connect
from workflows.contracts.collection import SweepOrder
from workflows.ids import SEARCH_ATTRIBUTES, billing_cycle_id

if TYPE_CHECKING:
    from tests.api.collected import Month

SECRET = "the secret of the tests"
WEBHOOK_SECRET = "whsec_of_the_tests"
SENDER = "billing@billwright.example"
FINANCE_TEAM = "finance@billwright.example"
CYCLES = "/api/billing/cycles"
INVOICES = "/api/billing/invoices"
FEBRUARY = {"period": "2026-02", "issued_on": "2026-03-01"}
PATIENCE = 60  # seconds that a test waits for something to become true
NAMESPACES = 400
"""More than there are tests that ask for one: a process may run them all."""

Json = dict[str, Any]


@dataclass
class TemporalServer:
    """One server a session; each application has a namespace of it to itself."""

    address: str
    unused: Iterator[str]

    async def client(self) -> Client:
        return await connect(self.address, next(self.unused))


@dataclass
class Product:
    """The application, reached over HTTP with the finance team's key."""

    http: httpx.AsyncClient
    engine: Engine
    temporal: Client
    settings: Settings
    app: FastAPI

    async def get(self, path: str, **options: Any) -> Json:
        answer = await self.http.get(path, **options)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def follow(self, until: Callable[[Json], bool], period: str = "2026-02") -> Json:
        """Asks for the cycle until it is as wanted."""
        async with asyncio.timeout(PATIENCE):
            while not until(cycle := await self.get(f"{CYCLES}/{period}")):
                await asyncio.sleep(0.05)
        return cycle

    async def closed(self, period: str = "2026-02") -> Json:
        """The cycle once its workflow has ended."""
        async with asyncio.timeout(PATIENCE):
            await self.temporal.get_workflow_handle(billing_cycle_id(period)).result()
        return await self.get(f"{CYCLES}/{period}")

    async def bill(self, **order: Any) -> Json:
        """Starts February and follows it to its end."""
        answer = await self.http.post(CYCLES, json={**FEBRUARY, **order})
        assert answer.status_code == 202, answer.text
        return await self.closed()

    async def sweep(self) -> int:
        """Looks for what waits, however shortly; how many invoices were woken."""
        return await self.temporal.execute_workflow(
            CollectionSweep.run,
            SweepOrder(older_than_seconds=0),
            id="collection-sweep-of-the-test",
            task_queue=self.settings.task_queue,
        )

    async def retry(self) -> Json:
        answer = await self.http.post(f"{CYCLES}/2026-02/retry")
        assert answer.status_code == 202, answer.text
        return await self.closed()


@pytest.fixture(scope="session")
async def temporal_server() -> AsyncIterator[TemporalServer]:
    names = [f"test-{number}" for number in range(NAMESPACES)]
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(ensure_server(print)),
        dev_server_log_level="error",
        search_attributes=SEARCH_ATTRIBUTES,
        dev_server_extra_args=[part for name in names for part in ("--namespace", name)],
    )
    async with environment:
        address = environment.client.service_client.config.target_host
        yield TemporalServer(address, iter(names))


@pytest.fixture(scope="session")
def card_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CardSandbox]:
    with sandbox_in(tmp_path_factory.mktemp("cards")) as sandbox:
        yield sandbox


@pytest.fixture
async def product(
    engine: Engine, temporal_server: TemporalServer, card_sandbox: CardSandbox
) -> AsyncIterator[Product]:
    """The application without a worker, on a database without rows."""
    async with running(engine, await temporal_server.client(), card_sandbox) as product:
        yield product


@pytest.fixture(scope="session")
async def sellerless(
    fresh_engine: Callable[[], AbstractContextManager[Engine]], temporal_server: TemporalServer
) -> AsyncIterator[Product]:
    """An application that can start nothing, because there is no seller; for many requests."""
    with fresh_engine() as engine:
        async with running(engine, await temporal_server.client()) as product:
            yield product


@pytest.fixture
async def books(engine: Engine) -> AsyncIterator[Product]:
    """The application on a database without rows, for what needs no Temporal."""
    async with running(engine, await nobody()) as product:
        yield product


@pytest.fixture
async def mailbox() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


@pytest.fixture
async def office(product: Product, mailbox: MailServer) -> AsyncIterator[Product]:
    """The application with its worker."""
    async with working(product, mailbox):
        yield product


@dataclass
class BilledMonth:
    """February, billed and delivered, for tests that only read."""

    product: Product
    cycle: Json
    mailbox: MailServer


BILLED = (
    *(Subscriber(str(1001 + n), 20_000 + 1_000 * n) for n in range(4)),
    Subscriber("1005", 500),
    Subscriber("1006", columns={"name": "<script>alert(1)</script> & \"Söhne\" 'GmbH'"}),
    Subscriber(
        "1007", columns={"payment_method": "card", "country": "US", "region": "CA", "tax_id": ""}
    ),
    Subscriber("1008", 0, plans=()),
    Subscriber("1047", 247_891, ("premium-support",)),
)
"""Eight invoices: 1005's is of 0.00, 1008 has nothing to bill."""


@pytest.fixture(scope="session")
async def billed(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    temporal_server: TemporalServer,
    card_sandbox: CardSandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[BilledMonth]:
    with fresh_engine() as engine:
        seed_billing(engine, tmp_path_factory.mktemp("billed") / "files", BILLED)
        async with (
            mail_server() as mailbox,
            running(engine, await temporal_server.client(), card_sandbox) as product,
            working(product, mailbox),
        ):
            cycle = await product.bill()
            await until(lambda: len(mailbox.mails) == cycle["issued"])
            yield BilledMonth(product, cycle, mailbox)


@pytest.fixture
async def stranger(billed: BilledMonth) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    transport = httpx.ASGITransport(billed.product.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://billing.example") as http:
        yield http


@pytest.fixture(scope="session")
async def month(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    temporal_server: TemporalServer,
    card_sandbox: CardSandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator["Month"]:
    """A month in collection, of which each test takes invoices of its own."""
    from tests.api.collected import collecting  # it stands on this module

    files = tmp_path_factory.mktemp("collected") / "files"
    with fresh_engine() as engine:
        async with (
            mail_server() as mailbox,
            running(engine, await temporal_server.client(), card_sandbox) as product,
            collecting(product, mailbox, card_sandbox, files) as month,
        ):
            yield month


@asynccontextmanager
async def running(
    engine: Engine,
    temporal: Client,
    sandbox: CardSandbox | None = None,
    *,
    now: Callable[[], datetime] = lambda: NOW,
) -> AsyncIterator[Product]:
    """The application over `engine` and `temporal`, started and stopped.

    `sandbox` None: a card processor that nobody asks.
    """
    settings = Settings(
        temporal_namespace=temporal.namespace,
        temporal_ui_url="http://temporal.example",
        public_url="http://billing.example",
        secret=SecretStr(SECRET),
        stripe_api_key=SecretStr(STRIPE_KEY),
        stripe_api_base=sandbox.address if sandbox else None,
        stripe_webhook_secret=SecretStr(WEBHOOK_SECRET),
        day_seconds=86_400,  # business dates count from the date of issue, whatever today is
        customers_per_page=3,
    )

    @asynccontextmanager
    async def open_services() -> AsyncIterator[Services]:
        yield Services(engine, temporal, settings, now=now)

    app = create_app(open_services)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://billing.example", timeout=PATIENCE
        ) as http,
    ):
        http.headers["Authorization"] = bearer(engine, Role.FINANCE)
        yield Product(http, engine, temporal, settings, app)


at_the_printer = threading.Lock()
"""Whoever holds it keeps every document waiting."""


def _render(document: PrintedDocument) -> bytes:
    with at_the_printer:  # in the product each renderer is a process
        return render_pdf(document)


@asynccontextmanager
async def working(product: Product, mailbox: MailServer) -> AsyncIterator[None]:
    """The workers of the product, with mail going to `mailbox`."""
    engine, settings = product.engine, product.settings
    links = PayerLinks(settings.public_url, SECRET)
    issuing = IssuingActivities(engine, render=_render, links=links)
    gateway = CardGateway(reveal(settings.stripe_api_key) or "", api_base=settings.stripe_api_base)
    activities = Activities(
        CycleActivities(engine, tax_policy=TaxPolicy()),
        issuing,
        CollectionActivities(engine),
        CreditNoteActivities(engine, render=_render, issuing=issuing),
        ChargingActivities(engine, gateway=gateway, now=lambda: datetime.now(UTC)),
        DeliveryActivities(
            engine,
            mailer=Mailer("127.0.0.1", mailbox.port, sender=SENDER),
            links=links,
            office=Office(FINANCE_TEAM, str, settings.card_link_days, today=date.today),
        ),
        SweepingActivities(engine),
        RecurringRevenueActivities(engine, now=lambda: NOW),
        ProofActivities(
            engine,
            gateway=gateway,
            now=lambda: datetime.now(UTC),
            time_zone="UTC",
            currency="USD",
        ),
        MonthlyBillingActivities(engine),
        ProofNoticeActivities(
            engine,
            mailer=Mailer("127.0.0.1", mailbox.port, sender=SENDER),
            finance_email=FINANCE_TEAM,
            public_url=settings.public_url,
        ),
    )
    with ThreadPoolExecutor(THREADS_IN_ALL) as threads:
        workers = build_workers(
            product.temporal,
            settings.task_queue,
            threads,
            activities,
            mails_per_second=1_000,
            rendering=lambda: False,
        )
        async with workers.billing, workers.mail, workers.cards, workers.reports:
            yield


def closed_port() -> int:
    return reserved_port()


async def nobody() -> Client:
    """A client that finds no Temporal where it looks for it."""
    return await connect(f"{HOST}:{closed_port()}", "default", lazy=True)


def nowhere() -> Engine:
    """An engine that finds no PostgreSQL where it looks for it."""
    return make_engine(f"postgresql://billwright@{HOST}:{closed_port()}/billwright")


def bearer(engine: Engine, role: Role, name: str = "") -> str:
    """The Authorization header of a new key."""
    with transaction(engine) as connection:
        return f"Bearer {create_key(connection, name or f'the {role} key', role)}"


async def until(condition: Callable[[], bool]) -> None:
    """Asks until the answer is true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.05)


_folders = itertools.count()


@pytest.fixture
def seed(engine: Engine, tmp_path: Path) -> Callable[..., None]:
    """Imports customers into the test's own database."""

    def seed(customers: Sequence[Subscriber]) -> None:
        seed_billing(engine, tmp_path / f"files-{next(_folders)}", customers)

    return seed


def assert_problem(answer: httpx.Response, status: int, *words: str) -> None:
    """A problem+json of `status` whose detail holds all of `words`."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["type"].startswith("urn:billwright:")
    for word in words:
        assert word in problem["detail"]
