"""A month's proof, as far as our own books go, at one instant."""

from collections.abc import Callable
from datetime import date

from sqlalchemy import Connection

from domain.periods import BillingPeriod
from domain.proof import Proof
from storage.cycles import load_cycle
from storage.proof.banks import bank_transfers
from storage.proof.invoicing import invoices_in_themselves
from storage.proof.outcomes import customers_and_numbers
from storage.proof.rating import rated_again
from storage.proof.reports import reports_against_invoices
from storage.proof.settlement import payments_in_themselves
from storage.proof.sides import Scope, span_of
from storage.proof.usage import usage_accounted_for


def begin_proof(
    connection: Connection,
    period: BillingPeriod,
    *,
    as_of: date,
    time_zone: str,
    currency: str,
) -> Scope:
    """What is to be proved; in a `snapshot`, what comes in meanwhile is not seen.

    Raises NotFound if there is no cycle.
    """
    cycle = load_cycle(connection, period)
    return Scope(cycle.id, period, max(as_of, cycle.issued_on), time_zone, currency)


_GATHERERS: tuple[Callable[[Connection, Scope], Proof], ...] = (
    invoices_in_themselves,
    customers_and_numbers,
    reports_against_invoices,
    payments_in_themselves,
)


def prove_books(connection: Connection, scope: Scope) -> Proof:
    """All equations but those that need the card processor."""
    rating = rated_again(connection, scope)
    proof = usage_accounted_for(connection, scope, rating.free) + rating.proof
    for gather in _GATHERERS:
        proof += gather(connection, scope)
    return proof + bank_transfers(connection, span_of(connection, scope))
