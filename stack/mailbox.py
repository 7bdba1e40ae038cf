"""A mailbox on this machine: an SMTP server that keeps every mail and sends none on.

`python -m stack.mailbox --port 1025 --mail-dir DIR` runs it; the stack does so in a process of
its own.
"""

import argparse
import asyncio
import email
import email.policy
import itertools
import os
import signal
import sys
import time
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from stack.ports import HOST, listens
from stack.processes import Command
from stack.state import sync_folder

_FOLDERS = ("tmp", "new", "cur")
_LARGEST = 32 * 1024 * 1024  # bytes in one mail
_serial = itertools.count()


def store(mail_dir: Path, sender: str, recipients: list[str], content: bytes) -> Path:
    """Keeps one mail in the Maildir `mail_dir`, on disk when this returns.

    The envelope goes into the headers Return-Path and Delivered-To.
    """
    name = f"{time.time_ns():020d}.P{os.getpid()}Q{next(_serial):06d}.billwright"
    draft, kept = mail_dir / "tmp" / name, mail_dir / "new" / name
    envelope = [f"Return-Path: <{sender}>", *(f"Delivered-To: {r}" for r in recipients)]
    with draft.open("xb") as file:
        file.write("\r\n".join([*envelope, ""]).encode() + content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(kept)
    sync_folder(kept.parent)
    return kept


def read_mails(mail_dir: Path, *, to: str | None = None) -> list[EmailMessage]:
    """All mails of a Maildir in the order they arrived; none where there is no such folder.

    Lines end in a line feed, whatever they ended in on the wire. `to`: only those delivered to
    this address, without a look into the others.
    """
    files = [f for folder in ("new", "cur") for f in mail_dir.glob(f"{folder}/*")]
    contents = (file.read_bytes() for file in sorted(files, key=lambda f: f.name))
    delivered = None if to is None else f"Delivered-To: {to}\r\n".encode()
    return [
        email.message_from_bytes(content.replace(b"\r\n", b"\n"), policy=email.policy.default)
        for content in contents
        if delivered is None or delivered in content
    ]


class _Keeper:
    """The handler that aiosmtpd calls."""

    def __init__(self, mail_dir: Path) -> None:
        self._mail_dir = mail_dir

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        # The sender may forget the mail once it reads 250; it must be on disk by then.
        content = envelope.original_content or b""
        try:
            await asyncio.to_thread(
                store, self._mail_dir, envelope.mail_from or "", envelope.rcpt_tos, content
            )
        except OSError as error:
            return f"451 not kept, try again later: {error.strerror}"
        return "250 kept"


async def serve(host: str, port: int, mail_dir: Path) -> None:
    """Takes mails until SIGTERM or SIGINT."""
    for folder in _FOLDERS:
        (mail_dir / folder).mkdir(parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    for request in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(request, told_to_stop.set)
    keeper = _Keeper(mail_dir)
    server = await loop.create_server(
        lambda: SMTP(
            keeper,
            hostname="localhost",
            data_size_limit=_LARGEST,
            enable_SMTPUTF8=True,
            loop=loop,
        ),
        host,
        port,
    )
    await told_to_stop.wait()
    server.close()


class Mailbox:
    """The mailbox as a part of the stack; mails are in `home/mail`."""

    name = "mailbox"

    def __init__(self, home: Path, port: int) -> None:
        self.mail_dir = home / "mail"
        self.ports = {"smtp": port}
        self.log = home / "logs" / "mailbox.log"

    def command(self) -> Command:
        """This module in a process of its own."""
        root = str(Path(__file__).parents[1])
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
        return Command(
            argv=(
                *(sys.executable, "-m", "stack.mailbox", "--port", str(self.ports["smtp"])),
                *("--mail-dir", str(self.mail_dir)),
            ),
            env={**os.environ, "PYTHONPATH": path},
            log=self.log,
            grace=5,
        )

    def prepare(self) -> None:
        """Makes the folder, closed to other users: mails are the customers' own."""
        self.mail_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    def is_ready(self, pid: int) -> bool:
        """Whether process `pid` accepts connections."""
        return listens(pid, self.ports["smtp"])

    def check(self) -> None:
        """Nothing beyond readiness."""


def main() -> int:
    """The command line; ends with 0 on SIGTERM, with 1 where the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m stack.mailbox", description=__doc__)
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--port", type=int, default=1025)
    parser.add_argument("--mail-dir", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        asyncio.run(serve(arguments.host, arguments.port, arguments.mail_dir))
    except OSError as error:
        print(f"The mailbox cannot listen on port {arguments.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
