"""The only place that decides which failure of an activity is retried."""

import socket
from smtplib import SMTPException
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from activities.card_objects import CardGatewayUnavailable
from domain.errors import BillwrightError

ATTEMPTS_AT_THE_UNKNOWN = 5
"""How often a failure that we have no name for is tried before it counts as a defect."""

_PASSING = (
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    SMTPException,
    PoolTimeout,
    CardGatewayUnavailable,
)
# PostgreSQL, appendix A: connection, transaction rollback, resources, operator intervention
_PASSING_CLASSES = ("08", "40", "53", "57")
# read-only while a standby takes over; timeouts that end the session; a lock not had in time
_PASSING_STATES = ("25006", "25P03", "25P04", "55P03")


def is_outage(failure: Exception) -> bool:
    """Whether `failure` is of the world's making and passes: waiting cures it, not mending.

    Decided by what PostgreSQL says (SQLSTATE), not by the driver's class, which puts a failover
    and a defect into one. A missing file is no outage, though Python calls it an OSError. Of
    Stripe's errors those are that the gateway says may pass, among them an API key that is refused:
    charging goes on once it is mended. A declined card is no failure at all.
    """
    if isinstance(failure, DBAPIError):
        state = getattr(failure.orig, "sqlstate", None)
        if state is None:  # the connection broke before an answer, or there was none
            return True
        return state.startswith(_PASSING_CLASSES) or state in _PASSING_STATES
    return isinstance(failure, _PASSING)


class FailurePolicy(Interceptor):
    """Sorts what an activity raises.

    - A refusal of ours (`BillwrightError`) is final: the same call gives the same answer. Its
      `code` is the failure's type.
    - An outage is retried for as long as the workflow's policy says.
    - Anything else is retried a few times and is then final, so that a defect ends as a failure
      with its reason and not as a silent, endless loop.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _SortedFailures(next)


class _SortedFailures(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except FailureError:
            raise
        except BillwrightError as refusal:
            raise ApplicationError(
                refusal.message, type=refusal.code, non_retryable=True
            ) from refusal
        except Exception as failure:
            if is_outage(failure) or activity.info().attempt < ATTEMPTS_AT_THE_UNKNOWN:
                raise
            raise ApplicationError(
                f"{type(failure).__name__}: {failure}", type="defect", non_retryable=True
            ) from failure
