"""What makes an event one that can be billed, whichever way it comes."""

import re
from datetime import UTC, datetime, timedelta

EVENT_ID = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,200}")  # printable, no blank, no backslash
QUANTITY = re.compile(r"\d{1,15}(\.\d{1,6})?", re.ASCII)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
CLOCKS_DIFFER_BY = timedelta(minutes=5)
"""An event may be so much ahead of our clock."""

BAD_EVENT_ID = "must be 1 to 200 printable ASCII characters without blank or backslash"
BAD_QUANTITY = "is not a quantity of 0 or more with at most 6 decimals and 15 digits before them"
OTHER_CONTENT = "was received with other content before"
OTHER_IN_BATCH = "names another event"
"""Behind it stands where."""
