"""Who may do what, what is open to all, and what the API says of itself."""

from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from api.collection_schemas import (
    CreditNoteRequest,
    CustomerPolicyRequest,
    NoteRequest,
    PolicyRequest,
    ResolveRequest,
    VoidRequest,
)
from api.customer_schemas import CustomerChange, CustomerRequest
from api.plan_schemas import PlanRequest, PriceRequest
from api.schemas import CycleOut, CycleRequest
from api.set_aside_schemas import AssignUsageRequest, DismissUsageRequest
from api.subscription_schemas import SubscriptionChange, SubscriptionRequest
from api.tax_rate_schemas import TaxRateChange, TaxRateRequest
from api.usage_correction_schemas import AmendRequest, CancelRequest
from stack.temporal import ensure_server
from storage.access import Role
from storage.api_keys import revoke_keys
from storage.engine import transaction
from tests.api.conftest import (
    CYCLES,
    FEBRUARY,
    INVOICES,
    BilledMonth,
    Product,
    assert_problem,
    bearer,
    nobody,
    nowhere,
    running,
)
from tests.api.people import OWN_PAGE, session_cookie
from tests.api.routes import ACTING_AT_ONCE, EVERY_ROUTE, OPEN_TO_ALL, READS, SENDS, WRITES, address
from workflows.connection import connect


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
    answer = await stranger.request(method, address(path), headers=headers, json=FEBRUARY)
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


MAY = {
    Role.ADMIN: {Role.FINANCE, Role.VIEWER, Role.INGEST},
    Role.FINANCE: {Role.FINANCE, Role.VIEWER},
    Role.VIEWER: {Role.VIEWER},
    Role.INGEST: {Role.INGEST},
}


def as_program(engine: Engine, role: Role) -> dict[str, str]:
    return {"Authorization": bearer(engine, role)}


def as_person(engine: Engine, role: Role) -> dict[str, str]:
    return {"Cookie": session_cookie(engine, role), **OWN_PAGE}


@pytest.mark.parametrize(
    ("role", "proof"),
    [(role, as_program) for role in MAY]
    + [(role, as_person) for role in MAY if role is not Role.INGEST],
)
async def test_a_role_opens_its_routes_and_no_others(
    billed: BilledMonth,
    stranger: httpx.AsyncClient,
    role: Role,
    proof: Callable[[Engine, Role], dict[str, str]],
) -> None:
    headers = proof(billed.product.engine, role)
    for path, needed in READS.items():
        answer = await stranger.get(address(path), headers=headers)
        if needed in MAY[role]:
            assert answer.status_code in (200, 404), path  # the month has no credit note
        else:
            assert_problem(answer, 403, str(needed), str(role))
    for method, path in WRITES:
        if Role.FINANCE not in MAY[role]:
            answer = await stranger.request(method, address(path), headers=headers)
            assert_problem(answer, 403, "finance", str(role))
        elif not path.endswith(ACTING_AT_ONCE):
            # refused to those who may as well: no body, no cycle that runs, nothing of that id
            answer = await stranger.request(method, address(path), headers=headers)
            assert answer.status_code in (404, 409, 422), path

    for method, path in SENDS:
        answer = await stranger.request(method, address(path), headers=headers)
        if Role.INGEST in MAY[role]:
            assert_problem(answer, 422, "Content-Type")
        else:
            assert_problem(answer, 403, "ingest", str(role))


async def test_the_roles_of_every_route_are_known(stranger: httpx.AsyncClient) -> None:
    described = (await stranger.get("/openapi.json")).json()["paths"]
    routes = {(method.upper(), path) for path, methods in described.items() for method in methods}
    assert routes == {*EVERY_ROUTE, *OPEN_TO_ALL}


@pytest.mark.parametrize(("method", "path"), EVERY_ROUTE)
async def test_no_other_method_opens_a_route_with_whatever_key(
    billed: BilledMonth, stranger: httpx.AsyncClient, method: str, path: str
) -> None:
    key = {"Authorization": bearer(billed.product.engine, Role.ADMIN)}
    had = {other for other, known in EVERY_ROUTE if known == path}
    for other in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - had:
        for headers in ({}, key):
            answer = await stranger.request(other, address(path), headers=headers)
            assert answer.status_code == 405, (other, path)


async def test_what_describes_the_api_and_lets_people_in_needs_no_key(
    stranger: httpx.AsyncClient,
) -> None:
    for path in ("/openapi.json", "/docs", "/redoc", "/login"):
        for headers in ({}, {"Authorization": "Bearer bw_wrong"}):
            assert (await stranger.get(path, headers=headers)).status_code == 200, path


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


async def test_without_postgresql_it_lives_and_is_not_ready(
    product: Product,
) -> None:
    services = product.app.state.services
    product.app.state.services = replace(services, engine=nowhere())
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
    async with running(engine, await nobody()) as product:
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


def expected_problems(name: str) -> set[str]:
    if "/webhooks/" in name:
        return {"400", "413", "503"}
    if name.endswith("/metrics"):
        return {"401", "403", "503"}
    acts = name.startswith("POST") or "cycles" in name
    return {"401", "403", "404", "422", "503"} | ({"409"} if acts else set())


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
        problems = expected_problems(name)
        assert problems <= operation["responses"].keys(), name
        for status in problems:
            content = operation["responses"][status]["content"]
            assert content.keys() == {"application/problem+json"}, (name, status)
            example = content["application/problem+json"]["example"]
            assert example["status"] == int(status)
            assert example["detail"]
        proofs = [{"HTTPBearer": []}, {"Session": []}]
        assert operation.get("security", []) == ([] if "webhooks" in name else proofs), name
    assert "200" in operations["GET /readyz"]["responses"]
    assert "503" in operations["GET /readyz"]["responses"]
    assert not any(path.startswith(("/pay", "/log")) for path in description["paths"])
    session = description["components"]["securitySchemes"]["Session"]
    assert (session["in"], session["name"]) == ("cookie", "__Host-billwright_session")
    assert "without TLS, billwright_session" in session["description"]


async def test_the_requests_and_the_cycle_carry_examples_that_are_valid(
    stranger: httpx.AsyncClient,
) -> None:
    schemas = (await stranger.get("/openapi.json")).json()["components"]["schemas"]
    for request in (
        *(CycleRequest, ResolveRequest, NoteRequest, VoidRequest, CreditNoteRequest),
        *(PolicyRequest, CustomerPolicyRequest),
        *(CustomerRequest, CustomerChange, PlanRequest, PriceRequest),
        *(SubscriptionRequest, SubscriptionChange, TaxRateRequest, TaxRateChange),
        *(AmendRequest, CancelRequest, AssignUsageRequest, DismissUsageRequest),
    ):
        assert request.model_validate(schemas[request.__name__]["example"])
    assert CycleOut.model_validate(schemas["CycleOut"]["example"]).issued == 187
