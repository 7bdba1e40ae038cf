"""What makes an event one that can be billed, whichever way it comes."""

import re
from datetime import UTC, datetime, timedelta

EVENT_ID = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,200}")  # printable, no blank, no backslash
QUANTITY = re.compile(r"\d{1,15}(\.\d{1,6})?", re.ASCII)
EARLIEST = datetime(2000, 1, 2, tzinfo=UTC)
"""Periods begin with 2000, and in each seller's zone this lies in it."""
CLOCKS_DIFFER_BY = timedelta(minutes=5)
"""An event may be so much ahead of our clock."""

_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)

BAD_EVENT_ID = "must be 1 to 200 printable ASCII characters without blank or backslash"
BAD_QUANTITY = "is not a quantity of 0 or more with at most 6 decimals and 15 digits before them"
TOO_EARLY = f"lies before {EARLIEST:%Y-%m-%d}"
OTHER_CONTENT = "was received with other content before"
OTHER_IN_BATCH = "names another event"
"""Behind it stands where."""


def instant(value: str) -> datetime:
    """An RFC 3339 time, cut to microseconds. Raises ValueError with the reason for others."""
    try:
        moment = datetime.fromisoformat(value.upper() if _INSTANT.fullmatch(value) else "")
    except ValueError:
        raise ValueError(f"{value!r} is not a time; write it as 2026-02-03T14:05:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; end it with Z or an offset")
    return moment
