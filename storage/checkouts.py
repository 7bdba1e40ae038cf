"""Pages of the card processor on which a payer may pay or leave a card."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from storage.tables import checkout_sessions, invoices

USABLE_FOR = timedelta(minutes=30)
"""A page is handed out again only if it stays open at least this long."""


@dataclass(frozen=True)
class OpenPage:
    """A page that was open when last looked at. `amount` is zero for one that only sets a card."""

    session_id: str
    url: str
    amount: Decimal


def open_pages(connection: Connection, number: str, mode: str) -> list[OpenPage]:
    """The invoice's pages of `mode` ("payment" or "setup") that may still be open."""
    session = checkout_sessions
    rows = connection.execute(
        select(session.c.session_id, session.c.url, session.c.amount)
        .join(invoices, invoices.c.id == session.c.invoice_id)
        .where(invoices.c.number == number, session.c.status == "open", session.c.mode == mode)
        .order_by(session.c.created_at)
    )
    return [OpenPage(*row) for row in rows]


def usable_page(
    connection: Connection, number: str, mode: str, amount: Decimal, *, now: datetime
) -> str | None:
    """The address of a page over just this amount that stays open for a while."""
    session = checkout_sessions
    return connection.execute(
        select(session.c.url)
        .join(invoices, invoices.c.id == session.c.invoice_id)
        .where(
            invoices.c.number == number,
            session.c.mode == mode,
            session.c.status == "open",
            session.c.amount == amount,
            session.c.expires_at > now + USABLE_FOR,
        )
        .order_by(session.c.created_at.desc())
        .limit(1)
    ).scalar_one_or_none()


def next_page_key(connection: Connection, number: str, mode: str) -> str:
    """The key of the invoice's next page: `INV-2026-02-0047/payment-page/1`."""
    session = checkout_sessions
    count = connection.execute(
        select(func.count())
        .select_from(session)
        .join(invoices, invoices.c.id == session.c.invoice_id)
        .where(invoices.c.number == number, session.c.mode == mode)
    ).scalar_one()
    return f"{number}/{mode}-page/{count + 1}"


def keep_page(
    connection: Connection,
    number: str,
    mode: str,
    *,
    session_id: str,
    url: str,
    amount: Decimal,
    expires_at: datetime,
) -> None:
    """Keeps a page that was opened; one that is kept already stays as it is."""
    connection.execute(
        insert(checkout_sessions)
        .values(
            session_id=session_id,
            invoice_id=select(invoices.c.id).where(invoices.c.number == number).scalar_subquery(),
            mode=mode,
            url=url,
            amount=amount,
            status="open",
            expires_at=expires_at,
        )
        .on_conflict_do_nothing()
    )


def record_page(connection: Connection, session_id: str, status: str) -> None:
    """Keeps what became of a page: "complete" or "expired"."""
    connection.execute(
        update(checkout_sessions)
        .where(checkout_sessions.c.session_id == session_id)
        .values(status=status)
    )
