"""Which failure of an activity is retried."""

from dataclasses import replace
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from psycopg.errors import AdminShutdown, DeadlockDetected, ReadOnlySqlTransaction, UndefinedColumn
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.card_objects import CardGatewayUnavailable, CardGone
from activities.failures import ATTEMPTS_AT_THE_UNKNOWN, FailurePolicy
from activities.pdf import DocumentWillNotRender
from domain.errors import Conflict, NotFound


class Activity(ActivityInboundInterceptor):
    """Raises `failure`, or returns."""

    def __init__(self, failure: BaseException | None) -> None:
        self._failure = failure

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        if self._failure is not None:
            raise self._failure
        return "done"


async def attempt(failure: BaseException | None, number: int = 1) -> Any:
    """The activity's `number`-th attempt under the worker's own policy."""
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=number)
    sorted_ = FailurePolicy().intercept_activity(Activity(failure))
    call = ExecuteActivityInput(fn=lambda: None, args=[], executor=None, headers={})
    return await environment.run(sorted_.execute_activity, call)


async def test_a_result_passes() -> None:
    assert await attempt(None) == "done"


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (NotFound("There is no invoice INV-1."), "not_found"),
        (Conflict("not yet"), "conflict"),
        (DocumentWillNotRender("INV-1", "the logo"), "document_will_not_render"),
        (CardGone("Stripe (400): No such customer"), "card_gone"),
    ],
)
async def test_a_refusal_is_final_at_once_and_keeps_its_code(refusal: Any, code: str) -> None:
    with pytest.raises(ApplicationError) as raised:
        await attempt(refusal)
    assert raised.value.non_retryable
    assert (raised.value.type, raised.value.message) == (code, refusal.message)


@pytest.mark.parametrize(
    "outage",
    [
        OperationalError("SELECT 1", {}, Exception("the server is gone")),
        ConnectionResetError("by peer"),
        InterfaceError("SELECT 1", {}, Exception("the connection is closed")),
        PoolTimeout("no connection in 30 s"),
        SMTPServerDisconnected("gone"),
        CardGatewayUnavailable("Stripe (401): Invalid API Key provided."),
        DBAPIError("UPDATE", {}, ReadOnlySqlTransaction("a standby took over")),
        DBAPIError("UPDATE", {}, DeadlockDetected("deadlock")),
        DBAPIError("UPDATE", {}, AdminShutdown("terminating connection")),
    ],
    ids=lambda outage: type(getattr(outage, "orig", outage)).__name__,
)
@pytest.mark.parametrize("number", [1, ATTEMPTS_AT_THE_UNKNOWN, 1_000])
async def test_an_outage_is_retried_however_long_it_lasts(outage: Exception, number: int) -> None:
    with pytest.raises(type(outage)) as raised:
        await attempt(outage, number)
    assert raised.value is outage


@pytest.mark.parametrize(
    "defect",
    [
        FileNotFoundError("templates/invoice.css"),
        DBAPIError("SELECT x", {}, UndefinedColumn("there is no column x")),
    ],
    ids=lambda defect: type(getattr(defect, "orig", defect)).__name__,
)
async def test_what_only_looks_like_an_outage_is_a_defect(defect: Exception) -> None:
    with pytest.raises(ApplicationError) as raised:
        await attempt(defect, ATTEMPTS_AT_THE_UNKNOWN)
    assert raised.value.type == "defect"


@pytest.mark.parametrize("number", range(1, ATTEMPTS_AT_THE_UNKNOWN))
async def test_what_has_no_name_is_tried_again(number: int) -> None:
    with pytest.raises(ZeroDivisionError):
        await attempt(ZeroDivisionError("division by zero"), number)


async def test_what_has_no_name_ends_as_a_defect_with_its_reason() -> None:
    with pytest.raises(ApplicationError) as raised:
        await attempt(ZeroDivisionError("division by zero"), ATTEMPTS_AT_THE_UNKNOWN)
    assert raised.value.non_retryable
    assert raised.value.type == "defect"
    assert raised.value.message == "ZeroDivisionError: division by zero"
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


async def test_what_an_activity_sorted_itself_is_left_alone() -> None:
    own = ApplicationError("later", type="busy")
    with pytest.raises(ApplicationError) as raised:
        await attempt(own, ATTEMPTS_AT_THE_UNKNOWN)
    assert raised.value is own
