"""`python -m stack.card_sandbox --port 12111 --data FILE` runs the sandbox until SIGTERM.

The key and the webhook's secret may be given by the environment, where other users of the machine
cannot read them.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stack.card_sandbox.app import TRANSPORT, create_app
from stack.card_sandbox.webhooks import Endpoint
from stack.ports import HOST, is_free

API_KEY, WEBHOOK_SECRET = "CARD_SANDBOX_API_KEY", "CARD_SANDBOX_WEBHOOK_SECRET"


class _Protocol(HttpToolsProtocol):
    """Tells a request its connection, so that the sandbox can break it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[TRANSPORT] = self.transport


def server(
    port: int, data: Path, *, api_key: str, webhook_url: str = "", webhook_secret: str = ""
) -> uvicorn.Server:
    """The sandbox as a server of the loopback address; `serve()` or `run()` starts it."""
    endpoint = Endpoint(webhook_url, webhook_secret) if webhook_url else None
    base_url = f"http://{HOST}:{port}"
    app = create_app(data, api_key=api_key, base_url=base_url, endpoint=endpoint)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=HOST,
            port=port,
            http=_Protocol,
            ws="none",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=3,
        )
    )


def main() -> int:
    """The command line; ends with 0 on SIGTERM, with 1 where it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m stack.card_sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--api-key", default=os.environ.get(API_KEY, ""))
    parser.add_argument("--webhook-url", default="")
    parser.add_argument("--webhook-secret", default=os.environ.get(WEBHOOK_SECRET, ""))
    given = parser.parse_args()
    if not given.api_key:
        print(f"The card sandbox needs a key: give --api-key or {API_KEY}.", file=sys.stderr)
        return 1
    if not is_free(given.port):
        print(f"The card sandbox cannot listen on port {given.port}.", file=sys.stderr)
        return 1
    running = server(
        given.port,
        given.data,
        api_key=given.api_key,
        webhook_url=given.webhook_url,
        webhook_secret=given.webhook_secret,
    )
    asyncio.run(running.serve())
    return 0 if running.started else 1


if __name__ == "__main__":
    sys.exit(main())
