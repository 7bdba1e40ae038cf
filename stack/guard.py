"""Run as a script beside a supervisor: kills what the supervisor leaves behind.

Reads `+ GROUP` and `- GROUP` on standard input, whose other end only the supervisor holds. The
end of the input therefore means that the supervisor is gone, however it went.
"""

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    for request in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(request, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        change, group = line.split()
        if change == "+":
            groups.add(int(group))
        else:
            groups.discard(int(group))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
