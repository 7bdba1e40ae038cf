"""Every timeout and retry policy, named by what it protects.

Only `activities/failures.py` decides what is retried; these say how long and how often.
"""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType


class LocalCall(TypedDict):
    start_to_close_timeout: timedelta
    local_retry_threshold: timedelta
    retry_policy: RetryPolicy


class RemoteCall(TypedDict):
    start_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy
    cancellation_type: ActivityCancellationType


class BoundedCall(RemoteCall):
    schedule_to_close_timeout: timedelta


_LIVES = timedelta(seconds=15)
"""A worker that was killed holds an activity up for this long; see `activities/heartbeats.py`."""

_SEE_IT_END = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
"""What a worker is at is waited for when it is given up; what waits to be tried again is not."""

_PATIENT = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=10),
)

RECORD = LocalCall(
    start_to_close_timeout=timedelta(seconds=20),
    local_retry_threshold=timedelta(seconds=5),
    retry_policy=_PATIENT,
)
"""A short transaction. Runs in the workflow's own worker; an outage of the database is waited
out, at first in the worker, then by durable timers."""

NUMBER = LocalCall(
    start_to_close_timeout=timedelta(minutes=10),
    local_retry_threshold=timedelta(seconds=5),
    retry_policy=_PATIENT,
)
"""A month's drafts numbered in one transaction: seconds for ten thousand of them."""

RENDER = LocalCall(
    start_to_close_timeout=timedelta(seconds=60),
    local_retry_threshold=timedelta(seconds=5),
    retry_policy=_PATIENT,
)
"""A document, with the time that it may wait for a free rendering process."""

RATE_PAGE = RemoteCall(
    start_to_close_timeout=timedelta(seconds=30),
    heartbeat_timeout=_LIVES,
    retry_policy=_PATIENT,
    cancellation_type=_SEE_IT_END,
)
"""A page of customers, rated in one transaction, in well under a second."""

DISCARD = RemoteCall(
    start_to_close_timeout=timedelta(minutes=5),
    heartbeat_timeout=_LIVES,
    retry_policy=_PATIENT,
    cancellation_type=_SEE_IT_END,
)
"""A month's drafts, deleted in one transaction: seconds for ten thousand of them."""

RATE_DAY = RemoteCall(
    start_to_close_timeout=timedelta(minutes=5),
    heartbeat_timeout=_LIVES,
    cancellation_type=_SEE_IT_END,
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=2,
        maximum_interval=timedelta(minutes=1),
    ),
)
"""All customers' recurring revenue on a day, in one transaction: a second for ten thousand of them.
An import, which keeps it waiting, is waited out by attempts."""

PROVE = BoundedCall(
    start_to_close_timeout=timedelta(hours=1),
    heartbeat_timeout=_LIVES,
    cancellation_type=_SEE_IT_END,
    schedule_to_close_timeout=timedelta(hours=6),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=2,
        maximum_interval=timedelta(minutes=5),
    ),
)
"""A month's events counted once and all its invoices held against them: seconds for two thousand
customers, and a request to the card processor for each hundred charges. A cycle waits for it."""

SEND_MAIL = RemoteCall(
    start_to_close_timeout=timedelta(seconds=60),
    heartbeat_timeout=_LIVES,
    cancellation_type=_SEE_IT_END,
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=2),
        backoff_coefficient=2,
        maximum_interval=timedelta(minutes=15),
    ),
)
"""A mail server may be away for hours; the invoice waits for it."""

CHARGE = BoundedCall(
    start_to_close_timeout=timedelta(minutes=4),
    heartbeat_timeout=_LIVES,
    cancellation_type=_SEE_IT_END,
    schedule_to_close_timeout=timedelta(hours=1),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=2,
        maximum_interval=timedelta(minutes=10),
    ),
)
"""A card processor may be away for hours; after each, the workflow orders anew. The first timeout
leaves room for three requests, each of which ends by itself within 70 s."""


SEND_ALARM = BoundedCall(
    start_to_close_timeout=timedelta(seconds=60),
    heartbeat_timeout=_LIVES,
    cancellation_type=_SEE_IT_END,
    schedule_to_close_timeout=timedelta(minutes=15),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=2),
        backoff_coefficient=2,
        maximum_interval=timedelta(minutes=1),
    ),
)
"""A cycle waits for it, and the next round of proofs tries again."""

OPEN_PAGE = BoundedCall(
    start_to_close_timeout=timedelta(seconds=20),
    heartbeat_timeout=_LIVES,
    cancellation_type=_SEE_IT_END,
    schedule_to_close_timeout=timedelta(seconds=40),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=5)
    ),
)
"""A payer waits for it before the screen."""

AFTER_A_DEFECT = timedelta(hours=1)
"""How long an invoice waits before it tries again what failed for a reason that we do not know."""

LONGEST_WAIT_FOR_EARLIER_CHILD = 300
"""Seconds between two looks at a customer whom an earlier, terminated cycle still bills."""
