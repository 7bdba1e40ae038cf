"""Prepaid credit as planning draws it down: what is left of it, and what an invoice took."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from sqlalchemy import Connection, delete, func, insert, select, text

from domain.prepaid import PrepaidDraw, PrepaidGrant
from domain.true_up import DrawnCredit
from storage.tables import invoices, prepaid_draws, prepaid_grants, prepaid_returns


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
    """By grant id: what invoices drew, drafts included and void ones aside, less what came back."""
    draw, back = prepaid_draws.c, prepaid_returns.c
    returned = (
        select(func.sum(back.amount))
        .where(
            back.invoice_id == draw.invoice_id,
            back.grant_id == draw.grant_id,
            back.returned_at.is_not(None),
        )
        .scalar_subquery()
    )
    rows = connection.execute(
        select(draw.grant_id, func.sum(draw.amount - func.coalesce(returned, 0)).label("drawn"))
        .join(invoices, invoices.c.id == draw.invoice_id)
        .where(
            draw.grant_id.in_(grant_ids),
            draw.invoice_id.not_in(list(but_for)),
            invoices.c.status != "void",
        )
        .group_by(draw.grant_id)
    )
    return {row.grant_id: row.drawn for row in rows}


def drawn_by(connection: Connection, invoice_ids: Sequence[int]) -> dict[int, list[DrawnCredit]]:
    """By invoice id: the credit that it drew, in that order, less what came back or is to."""
    if not invoice_ids:
        return {}
    found: dict[int, list[DrawnCredit]] = defaultdict(list)
    for row in connection.execute(_DRAWN_BY, {"invoices": list(invoice_ids)}):
        found[row.invoice_id].append(DrawnCredit(row.grant_id, row.amount))
    return found


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


_DRAWN_BY = text("""
    SELECT draw.invoice_id, draw.grant_id, draw.amount - coalesce(back.amount, 0) AS amount
    FROM prepaid_draws draw JOIN prepaid_grants granted ON granted.id = draw.grant_id
    LEFT JOIN LATERAL (
        SELECT sum(amount) AS amount FROM prepaid_returns
        WHERE invoice_id = draw.invoice_id AND grant_id = draw.grant_id
    ) back ON true
    WHERE draw.invoice_id = ANY(:invoices) AND draw.amount > coalesce(back.amount, 0)
    ORDER BY draw.invoice_id, granted.expires_on NULLS LAST, granted.valid_from, granted.id
""")
