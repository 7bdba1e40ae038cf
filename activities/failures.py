"""The only place that decides which failure of an activity is retried."""

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from domain.errors import BillwrightError

ATTEMPTS_AT_THE_UNKNOWN = 5
"""How often a failure that we have no name for is tried before it counts as a defect."""


class FailurePolicy(Interceptor):
    """Sorts what an activity raises.

    - A refusal of ours (`BillwrightError`) is final: the same call gives the same answer. Its
      `code` is the failure's type.
    - An outage (`outages`: exceptions of the database's, the mail server's and the operating
      system's making) is retried for as long as the workflow's policy says.
    - Anything else is retried a few times and is then final, so that a defect ends as a failure
      with its reason and not as a silent, endless loop.
    """

    def __init__(self, outages: tuple[type[Exception], ...]) -> None:
        self._outages = outages

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _SortedFailures(next, self._outages)


class _SortedFailures(ActivityInboundInterceptor):
    def __init__(
        self, next: ActivityInboundInterceptor, outages: tuple[type[Exception], ...]
    ) -> None:
        super().__init__(next)
        self._outages = outages

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except BillwrightError as refusal:
            raise ApplicationError(
                refusal.message, type=refusal.code, non_retryable=True
            ) from refusal
        except Exception as failure:
            outage = isinstance(failure, (FailureError, *self._outages))
            if outage or activity.info().attempt < ATTEMPTS_AT_THE_UNKNOWN:
                raise
            raise ApplicationError(
                f"{type(failure).__name__}: {failure}", type="defect", non_retryable=True
            ) from failure
