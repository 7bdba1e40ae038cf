"""Whatever is sent to whichever route, the answer is one that the API's description has.

Schemathesis makes the requests out of the description: valid ones, ones at the limits of what is
valid, and ones beyond them. A route takes part by being described.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from schemathesis.checks import CHECKS, load_all_checks
from sqlalchemy import Engine

from api.app import create_app
from api.dependencies import Services
from storage.access import Role
from storage.engine import transaction
from tests.activities.mail_server import mail_server
from tests.api.cards import CardSandbox
from tests.api.collected import Month, collecting
from tests.api.conftest import PATIENCE, Product, TemporalServer, bearer, running
from tests.builders import csv_text
from tests.storage.banked import row
from tests.storage.sending import send

CASES = 30
"""Drawn for each operation of whose request anything may vary; the limits come on top."""
STRANGERS = 20
"""Cases of each operation that are asked without a key too: what is asked makes no difference."""
KNOWN: dict[str, list[str | int]] = {
    "number": [
        *(f"INV-2026-02-{place:04d}" for place in (1, 2, 3, 15, 16, 17, 39, 40)),
        "CN-2026-03-0001",
        "CN-2026-03-0002",
    ],
    "period": ["2026-02", "2026-01", "2026-13"],
    "account_number": ["1000", "2000", "3000"],
    "code": ["at-once", "api-calls"],
    "id": [1, 2, 3],
    "event_id": ["evt-2000-2026-02-0", "stray-1", "stray-2"],
    "assign_to": ["1000"],
    "cursor": [base64.urlsafe_b64encode(b'["2026-02-01", "2000", 1]').decode()],
}
"""What the month has, by the name of the parameter or of the body's property: invoices in review,
open, and paid, some credited or void; the rest of the cases are about what nobody has."""
OFTEN = 0.6  # the share of cases that ask for what is known
Case = schemathesis.Case[Any]
load_all_checks()


@schemathesis.serializer("application/x-ndjson")
def _lines(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """Whatever was drawn as the lines of a batch, as it is."""
    return str(value).encode(errors="replace")


HELD_TO: list[Any] = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "response_headers_conformance",
        # What the description rules out is refused, so that it can be believed.
        "negative_data_rejection",
        # A method that a path does not have is 405, and Allow names those that it has.
        "unsupported_method",
    ]
)
"""`positive_data_acceptance` is left out: a period that is not over, or a currency without a rate,
fits the description and is refused all the same."""


@asynccontextmanager
async def _no_services() -> AsyncIterator[Services]:
    raise AssertionError("the description needs none")
    yield


schema = schemathesis.openapi.from_dict(
    create_app(_no_services).openapi(),
    config=schemathesis.Config.from_dict(
        {
            "dictionaries": {name: {"values": values} for name, values in KNOWN.items()},
            "parameters": {
                place: {"dictionary": name, "probability": OFTEN}
                for name in KNOWN
                for place in (name, f"body.{name}")
            },
            "generation": {
                "deterministic": True,
                "max-examples": CASES,
                "with-security-parameters": False,
            },
        }
    ),
)


@dataclass
class Office:
    """The application with its worker, which works while a request waits for its answer."""

    product: Product
    key: str
    loop: asyncio.AbstractEventLoop
    cases: int = 0
    strangers: Counter[str] = field(default_factory=Counter)
    """How often each operation was asked without a key."""

    def answer(self, case: Case, **headers: str) -> httpx.Response:
        """Raises what the application leaves unhandled, so that a defect fails with its cause."""
        address = self.product.settings.public_url
        made = requests.Request(**case.as_transport_kwargs(address, headers)).prepare()
        sent = httpx.Request(
            str(made.method),
            str(made.url),
            headers=[(_bytes(name), _bytes(value)) for name, value in made.headers.items()],
            content=made.body,  # type: ignore[arg-type]  # never a file
        )
        return self.loop.run_until_complete(self._send(sent))

    async def _send(self, request: httpx.Request) -> httpx.Response:
        transport = httpx.ASGITransport(self.product.app)
        async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as http:
            return await http.send(request)


def _bytes(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


@pytest.fixture(scope="module")
async def office(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    temporal_server: TemporalServer,
    card_sandbox: CardSandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Office]:
    files = tmp_path_factory.mktemp("described") / "files"
    with fresh_engine() as engine:
        async with (
            mail_server() as mailbox,
            running(engine, await temporal_server.client(), card_sandbox) as product,
            collecting(product, mailbox, card_sandbox, files) as month,
        ):
            await _let_things_happen(month)
            yield Office(product, bearer(engine, Role.ADMIN), asyncio.get_running_loop())


async def _let_things_happen(month: Month) -> None:
    """A credit note, a void invoice, and wires and usage that wait for a person."""
    await month.done(month.take("paid"), "credit-notes", reason="an outage", amount="5.00")
    await month.done(month.take("wired"), "void", reason="the wrong customer")
    wires = csv_text([row(f"W-{n}", remittance="no idea", amount="20.00") for n in range(9)])
    stored = await month.product.http.post(
        "/api/billing/bank-statements", files={"file": ("statement.csv", wires.encode())}
    )
    assert stored.json()["waiting"] == 9
    strays = [(f"stray-{n}", "9999", "2026-02-03T10:00:00Z", "5") for n in (1, 2)]
    with transaction(month.product.engine) as connection:
        send(connection, *strays)


@pytest.fixture(autouse=True)
def _counted(office: Office, record_property: Callable[[str, Any], None]) -> Iterator[None]:
    """What the run's last lines tell, of all operations."""
    before = office.cases
    yield
    if office.cases > before:
        record_property("cases of the description", office.cases - before)


# the worker of the same process draws its pauses between two tries while a case is being made
@pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")
@schema.parametrize()
def test_every_answer_is_one_that_is_described(case: Case, office: Office) -> None:
    office.cases += 1
    if _needs_a_key(case) and office.strangers[case.operation.label] < STRANGERS:
        office.strangers[case.operation.label] += 1
        refused = office.answer(case)
        assert refused.status_code == 401 or _has_no_meaning(refused), refused.text
        case.validate_response(refused, checks=HELD_TO)
    case.validate_response(office.answer(case, Authorization=office.key), checks=HELD_TO)


def _needs_a_key(case: Case) -> bool:
    return "security" in case.operation.definition.raw


def _has_no_meaning(answer: httpx.Response) -> bool:
    """Whether the path has no such method, or the body could not be read: nobody was looked up."""
    fields = [error["field"] for error in answer.json().get("errors", [])]
    return answer.status_code == 405 or (answer.status_code == 422 and fields[0][:4] == "body")


def test_every_operation_is_a_test_of_its_own(request: pytest.FixtureRequest) -> None:
    """Processes that share the tests run what has one id once."""
    ids = [item.nodeid for item in request.session.items if item.path == request.path]
    assert len(set(ids)) == len(ids)
