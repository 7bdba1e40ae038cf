"""The card sandbox as a part of the stack."""

import os
import sys
from pathlib import Path

from stack.ports import HOST, listens
from stack.processes import Command


class CardSandbox:
    """This package in a process of its own, its state in `home/cards`.

    Args:
        home: Absolute; the folder of the stack.
        port: Of the API and of the hosted pages.
        api_key: What requests must carry.
        webhook_url: Where events are sent, until it answers 2xx.
        webhook_secret: Signs them.
    """

    name = "cards"

    def __init__(
        self, home: Path, port: int, *, api_key: str, webhook_url: str, webhook_secret: str
    ) -> None:
        self.ports = {"cards": port}
        self.log = home / "logs" / "cards.log"
        self._folder = home / "cards"
        self._webhook_url = webhook_url
        # Not as arguments: those can be read by every user of the machine.
        self._secrets = {
            "CARD_SANDBOX_API_KEY": api_key,
            "CARD_SANDBOX_WEBHOOK_SECRET": webhook_secret,
        }

    @property
    def url(self) -> str:
        """Where it answers; no slash at the end."""
        return f"http://{HOST}:{self.ports['cards']}"

    def command(self) -> Command:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
        return Command(
            argv=(
                *(sys.executable, "-m", "stack.card_sandbox", "--port", str(self.ports["cards"])),
                *("--data", str(self._folder / "cards.db"), "--webhook-url", self._webhook_url),
            ),
            env={**os.environ, **self._secrets, "PYTHONPATH": path},
            log=self.log,
            grace=5,
        )

    def prepare(self) -> None:
        """Makes the folder, closed to other users."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def is_ready(self, pid: int) -> bool:
        """Whether process `pid` accepts connections."""
        return listens(pid, self.ports["cards"])

    def check(self) -> None:
        """Nothing beyond readiness."""
