"""A mail server in the test's own process: keeps what it takes, answers what it is told to."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class MailServer:
    """The handler that aiosmtpd calls.

    Attributes:
        port: on the loopback address.
        mails: what was taken, parsed; `recipients` the envelope of each.
        refused: the answer to an address that is not accepted, such as "550 unknown".
        answer: to the message itself; anything but 250 is not kept.
    """

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    answer: str = "250 kept"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            content = envelope.original_content or b""
            self.raw.append(content)
            self.mails.append(email.message_from_bytes(content, policy=email.policy.default))
            self.recipients.append(list(envelope.rcpt_tos))
        return self.answer


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    """Serves on a free port until the block ends; calls to it must come from other threads."""
    handler = MailServer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="localhost", loop=loop),
        "127.0.0.1",
        0,
    )
    handler.port = server.sockets[0].getsockname()[1]
    try:
        yield handler
    finally:
        server.close()


def text_of(mail: EmailMessage, subtype: str) -> str:
    """The body in plain text or in HTML."""
    part = mail.get_body([subtype])
    assert part is not None
    return str(part.get_content())


def attached_pdf(mail: EmailMessage) -> bytes:
    """The one attachment, which must be a PDF."""
    (part,) = mail.iter_attachments()
    assert part.get_content_type() == "application/pdf"
    content = part.get_content()
    assert isinstance(content, bytes)
    return content
