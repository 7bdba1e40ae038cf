"""Who may do what, what is open to all, and what the API says of itself."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from api.schemas import CycleOut, CycleRequest
from stack.ports import HOST, PortBook, Ports
from stack.temporal import ensure_server
from storage.api_keys import Role, revoke_keys
from storage.engine import make_engine, transaction
from tests.api.conftest import (
    CYCLES,
    FEBRUARY,
    INVOICES,
    BilledMonth,
    Product,
    assert_problem,
    bearer,
    running,
)
from workflows.connection import connect

READS = [
    CYCLES,
    f"{CYCLES}/2026-02",
    INVOICES,
    *(f"{INVOICES}/INV-2026-02-0001{part}" for part in ("", "/pdf", "/timeline")),
]
WRITES = [CYCLES, *(f"{CYCLES}/2026-02/{action}" for action in ("pause", "resume", "retry"))]
EVERY_ROUTE = [("GET", path) for path in READS] + [("POST", path) for path in WRITES]


@pytest.fixture
async def stranger(billed: BilledMonth) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    transport = httpx.ASGITransport(billed.product.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://billing.example") as http:
        yield http


@pytest.mark.parametrize(("method", "path"), EVERY_ROUTE)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer bw_wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "bw_wrong"},
    ],
    ids=["no key", "wrong key", "empty key", "other scheme", "no scheme"],
)
async def test_no_route_answers_without_a_valid_key(
    stranger: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await stranger.request(method, path, headers=headers, json=FEBRUARY)
    assert_problem(answer, 401, "Authorization: Bearer")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_revoked_key_opens_nothing_any_more(
    billed: BilledMonth, stranger: httpx.AsyncClient
) -> None:
    key = bearer(billed.product.engine, Role.ADMIN, "leaked")
    assert (await stranger.get(CYCLES, headers={"Authorization": key})).status_code == 200
    with transaction(billed.product.engine) as connection:
        revoke_keys(connection, "leaked")
    answer = await stranger.get(CYCLES, headers={"Authorization": key})
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("role", "may_read", "may_write"),
    [
        (Role.ADMIN, True, True),
        (Role.FINANCE, True, True),
        (Role.VIEWER, True, False),
        (Role.INGEST, False, False),
    ],
)
async def test_a_role_opens_its_routes_and_no_others(
    billed: BilledMonth, stranger: httpx.AsyncClient, role: Role, may_read: bool, may_write: bool
) -> None:
    headers = {"Authorization": bearer(billed.product.engine, role)}
    for path in READS:
        answer = await stranger.get(path, headers=headers)
        if may_read:
            assert answer.status_code == 200, path
        else:
            assert_problem(answer, 403, "viewer", str(role))
    for path in WRITES[:-1]:  # refused to those who may as well: no body, no cycle that runs
        answer = await stranger.post(path, headers=headers)
        if may_write:
            assert answer.status_code in (409, 422), path
        else:
            assert_problem(answer, 403, "finance", str(role))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.INGEST])
async def test_who_may_not_bill_may_not_retry(
    billed: BilledMonth, stranger: httpx.AsyncClient, role: Role
) -> None:
    headers = {"Authorization": bearer(billed.product.engine, role)}
    answer = await stranger.post(f"{CYCLES}/2026-02/retry", headers=headers)
    assert_problem(answer, 403, "finance", str(role))


async def test_an_unknown_address_and_a_wrong_method_are_problems(
    stranger: httpx.AsyncClient,
) -> None:
    assert_problem(await stranger.get("/nowhere"), 404)
    assert_problem(await stranger.delete(CYCLES), 405)


# --- health


async def test_health_needs_no_key(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/healthz")).json() == {"status": "ok"}
    ready = await stranger.get("/readyz")
    assert (ready.status_code, ready.json()) == (
        200,
        {"postgresql": "ok", "temporal": "ok", "worker": "ok"},
    )


def closed_port() -> int:
    return PortBook(Ports(), {}).take("smtp")


@pytest.fixture
def unreachable() -> Engine:
    return make_engine(f"postgresql://billwright@{HOST}:{closed_port()}/billwright")


async def test_without_postgresql_it_lives_and_is_not_ready(
    product: Product, unreachable: Engine
) -> None:
    product.app.state.services = type(product.app.state.services)(
        unreachable, product.temporal, product.settings
    )
    assert (await product.http.get("/healthz")).status_code == 200
    ready = await product.http.get("/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"postgresql": "no answer", "temporal": "ok", "worker": "none seen"}
    answer = await product.http.get(INVOICES)
    assert_problem(answer, 503, "PostgreSQL does not answer")
    assert answer.headers["retry-after"]


async def test_a_temporal_that_was_never_there_is_an_outage_and_the_books_stay_open(
    engine: Engine,
) -> None:
    nobody = await connect(f"{HOST}:{closed_port()}", "default", lazy=True)
    async with running(engine, nobody) as product:
        ready = await product.http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json() == {
            "postgresql": "ok",
            "temporal": "no answer",
            "worker": "none seen",
        }
        assert_problem(await product.http.post(f"{CYCLES}/2026-02/pause"), 503, "Temporal")
        assert (await product.http.get(CYCLES)).status_code == 200


async def test_a_temporal_that_went_away_is_an_outage(engine: Engine) -> None:
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(ensure_server(print)), dev_server_log_level="error"
    )
    async with environment:
        address = environment.client.service_client.config.target_host
        client = await connect(address, "default")
    async with running(engine, client) as product:
        assert (await product.http.get("/readyz")).status_code == 503
        assert_problem(await product.http.post(f"{CYCLES}/2026-02/pause"), 503, "Temporal")


# --- the description


async def test_the_description_has_every_routes_problems_and_examples(
    stranger: httpx.AsyncClient,
) -> None:
    description = (await stranger.get("/openapi.json")).json()
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    }
    for name, operation in operations.items():
        assert operation["summary"], name
        if name.endswith(("/healthz", "/readyz")):
            continue
        problems = {"401", "403", "404", "422", "503"} | ({"409"} if "cycles" in name else set())
        assert problems <= operation["responses"].keys(), name
        for status in problems:
            content = operation["responses"][status]["content"]
            assert content.keys() == {"application/problem+json"}, (name, status)
            example = content["application/problem+json"]["example"]
            assert example["status"] == int(status)
            assert example["detail"]
        assert operation["security"], name
    assert "200" in operations["GET /readyz"]["responses"]
    assert "503" in operations["GET /readyz"]["responses"]
    assert not any(path.startswith("/pay") for path in description["paths"])


async def test_the_requests_and_the_cycle_carry_examples_that_are_valid(
    stranger: httpx.AsyncClient,
) -> None:
    schemas = (await stranger.get("/openapi.json")).json()["components"]["schemas"]
    assert CycleRequest.model_validate(schemas["CycleRequest"]["example"]).period == "2026-02"
    assert CycleOut.model_validate(schemas["CycleOut"]["example"]).issued == 187
