"""The connection to the mail server."""

import smtplib
import threading
from email.message import Message

Refusals = dict[str, tuple[int, bytes]]
"""By address: the mail server's code and its words."""


class Mailer:
    """Sends over SMTP, one connection a thread, kept open between messages.

    `sender`: the From address. With `start_tls` the connection is encrypted before login.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        sender: str,
        username: str | None = None,
        password: str | None = None,
        start_tls: bool = False,
    ) -> None:
        self._host = host
        self._port = port
        self.sender = sender
        self._credentials = (username, password) if username and password else None
        self._start_tls = start_tls
        self._of_thread = threading.local()

    def send(self, message: Message) -> Refusals:
        """Returns once the server has taken the message; for whom it would not, with the reason.

        Raises smtplib.SMTPRecipientsRefused if it takes it for nobody, SMTPDataError if it does
        not take the message itself, SMTPNotSupportedError for an address beyond ASCII, other
        SMTPException or OSError for trouble that may pass.
        """
        if not message["To"].isascii():
            raise smtplib.SMTPNotSupportedError(f"{message['To']}: only ASCII can be delivered to")
        connection = self._connection()
        try:
            return connection.send_message(message)
        except smtplib.SMTPRecipientsRefused:
            raise
        except (smtplib.SMTPException, OSError):
            self._of_thread.connection = None
            connection.close()
            raise

    def _connection(self) -> smtplib.SMTP:
        kept: smtplib.SMTP | None = getattr(self._of_thread, "connection", None)
        if kept is not None and self._alive(kept):
            return kept
        connection = smtplib.SMTP(self._host, self._port, timeout=30)
        if self._start_tls:
            connection.starttls()
        if self._credentials:
            connection.login(*self._credentials)
        self._of_thread.connection = connection
        return connection

    @staticmethod
    def _alive(connection: smtplib.SMTP) -> bool:
        try:
            return connection.noop()[0] == 250
        except (smtplib.SMTPException, OSError):
            return False
