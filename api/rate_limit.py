"""How often somebody may ask: a bucket of tokens for each, in this process's memory."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from domain.errors import BillwrightError


class TooManyRequests(BillwrightError):
    """Asked again too soon; `retry_after`: in how many whole seconds to come back."""

    code = "too_many_requests"

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"That was too often; try again in {retry_after} s.")
        self.retry_after = retry_after


class RateLimit:
    """`burst` requests at once, then one every `seconds`, for each key.

    `clock`: seconds that only grow. `keys`: how many are remembered; whoever asked longest ago is
    forgotten first, which costs at most a burst more. Several processes count separately.
    """

    def __init__(
        self,
        burst: int,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        keys: int = 10_000,
    ) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        self._keys = keys
        self._buckets: OrderedDict[int, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, *key: Hashable) -> None:
        """Counts one request. Raises TooManyRequests, and then does not count it."""
        with self._lock:
            now = self._clock()
            # a hash, so that nobody fills the memory with long keys
            left, since = self._buckets.pop(hash(key), (float(self._burst), now))
            left = min(self._burst, left + (now - since) / self._seconds)
            allowed = left >= 1
            self._buckets[hash(key)] = (left - 1 if allowed else left, now)
            if len(self._buckets) > self._keys:
                self._buckets.popitem(last=False)
        if not allowed:
            raise TooManyRequests(math.ceil((1 - left) * self._seconds))
