"""Which months are proved anew: those of which something may have changed."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine

from domain.crediting import RefundTo
from domain.periods import BillingPeriod
from domain.proof import Proof
from storage.crediting import CreditRequest, credit_invoice
from storage.engine import transaction
from storage.proof.due import due_proofs
from storage.proof.records import record_proof
from tests.builders import ACTOR, FEBRUARY, Subscriber
from tests.storage.collecting import lock, receive
from tests.storage.late_months import APRIL, MARCH, bill_month, use
from tests.storage.proved import bill_and_close, number_of

BEHIND_IT_ALL = date(2026, 9, 1)


@pytest.fixture
def settled(engine: Engine, tmp_path: Path) -> Engine:
    """February and March billed, paid and proved, long ago."""
    bill_and_close(engine, tmp_path / "files", [Subscriber("1001", 20_000)])
    bill_month(engine, MARCH)
    with transaction(engine) as connection:
        receive(connection, "11.90", "by hand", number=number_of(connection, "1001"))
        for month in (FEBRUARY, MARCH):
            record_proof(connection, month, Proof((), ()), as_of=BEHIND_IT_ALL, made_by=ACTOR)
    assert due(engine) == [MARCH], "the newest"
    return engine


def due(engine: Engine) -> list[BillingPeriod]:
    with transaction(engine) as connection:
        return due_proofs(connection)


def test_a_settled_month_is_proved_anew_once_a_later_cycle_billed_more_of_it(
    settled: Engine,
) -> None:
    use(settled, "1001", FEBRUARY, 5_000)
    bill_month(settled, APRIL)
    assert FEBRUARY in due(settled)


def test_a_settled_month_that_no_later_cycle_looked_at_is_left_alone(settled: Engine) -> None:
    use(settled, "1001", MARCH, 5_000)
    bill_month(settled, APRIL)
    assert FEBRUARY not in due(settled)


def test_a_settled_month_of_which_something_is_given_back_is_proved_anew(settled: Engine) -> None:
    with transaction(settled) as connection:
        invoice = lock(connection, number_of(connection, "1001"))
        credit_invoice(invoice, CreditRequest("agreed", RefundTo.CREDIT, Decimal("5.00")))
    assert due(settled) == [FEBRUARY, MARCH]
