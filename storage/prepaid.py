"""Prepaid credit as planning draws it down: what is left of it, and what an invoice takes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from sqlalchemy import Connection, delete, func, insert, select

from domain.prepaid import PrepaidDraw, PrepaidGrant
from storage.tables import invoices, prepaid_draws, prepaid_grants


def lock_grants(
    connection: Connection, customer_ids: Sequence[int], *, but_for: Iterable[int] = ()
) -> dict[int, list[PrepaidGrant]]:
    """By customer id: all credit that was ever granted, with what is left of it.

    The rows are locked until the transaction ends, so that of two plans made at once the second
    finds what the first one left. What void invoices drew is left again, and so is what the
    invoices `but_for` did: drafts that are about to be rated anew.
    """
    this = prepaid_grants
    rows = connection.execute(
        select(this)
        .where(this.c.customer_id.in_(customer_ids))
        .order_by(this.c.id)
        .with_for_update()
    ).all()
    if not rows:
        return {}
    # a statement of its own: it sees what those drew who held the rows before
    drawn = drawn_of(connection, [row.id for row in rows], but_for=but_for)
    found: dict[int, list[PrepaidGrant]] = defaultdict(list)
    for row in rows:
        found[row.customer_id].append(
            PrepaidGrant(
                id=row.id,
                currency=row.currency,
                amount=row.amount,
                price=row.price,
                valid_from=row.valid_from,
                expires_on=row.expires_on,
                left=row.amount - drawn.get(row.id, Decimal(0)),
            )
        )
    return found


def drawn_of(
    connection: Connection, grant_ids: Sequence[int], *, but_for: Iterable[int] = ()
) -> dict[int, Decimal]:
    """By grant id: what invoices drew, drafts included and void ones aside."""
    draw = prepaid_draws
    rows = connection.execute(
        select(draw.c.grant_id, func.sum(draw.c.amount).label("drawn"))
        .join(invoices, invoices.c.id == draw.c.invoice_id)
        .where(
            draw.c.grant_id.in_(grant_ids),
            draw.c.invoice_id.not_in(list(but_for)),
            invoices.c.status != "void",
        )
        .group_by(draw.c.grant_id)
    )
    return {row.grant_id: row.drawn for row in rows}


def write_draws(
    connection: Connection, draws_of: Iterable[tuple[int, Iterable[PrepaidDraw]]]
) -> None:
    """What each draft, by its id, draws; in place of what it drew before."""
    drafts = {invoice_id: list(draws) for invoice_id, draws in draws_of}
    connection.execute(delete(prepaid_draws).where(prepaid_draws.c.invoice_id.in_(list(drafts))))
    rows = [
        {"invoice_id": invoice_id, "grant_id": draw.grant_id, "amount": draw.amount}
        for invoice_id, draws in drafts.items()
        for draw in draws
    ]
    if rows:
        connection.execute(insert(prepaid_draws), rows)
