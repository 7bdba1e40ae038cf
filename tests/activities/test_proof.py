"""A month proved against the card processor's own account."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from activities.proof import ProofActivities
from domain.proof import Equation
from storage.cycles import move_cycle
from storage.engine import transaction
from storage.proof.records import list_reconciliations, load_proof
from storage.tables import billing_cycles
from tests.activities.card_house import CUSTOMER, CardHouse
from tests.activities.cards import card_sandbox
from tests.activities.conftest import Plan
from tests.builders import ACTOR, FEBRUARY, Subscriber
from workflows.contracts.proof import NoProof, ProofOrder, ReconciliationOrder

ORDER = ProofOrder(str(FEBRUARY), actor="Ada")
CARDS = Equation.CARD_PAYMENTS
CARD = "pm_card_visa_1001"


@pytest.fixture
def house(plan: Plan, tmp_path: Path) -> Iterator[CardHouse]:
    """An invoice of 195.10 USD charged to its card, its cycle closed."""
    columns = {
        "payment_method": "card",
        "stripe_customer_id": CUSTOMER,
        "stripe_payment_method_id": CARD,
    }
    with card_sandbox(tmp_path) as cards:
        cards.seed(CUSTOMER, CARD)
        house = CardHouse(plan(Subscriber("1001", 247_891, columns=columns)), cards)
        with transaction(house.books.engine) as connection:
            move_cycle(connection, FEBRUARY, "issuing", actor=ACTOR)
        house.books.issue()
        with transaction(house.books.engine) as connection:
            move_cycle(connection, FEBRUARY, "closed", actor=ACTOR)
        house.charge()
        yield house


def office(house: CardHouse) -> ProofActivities:
    return ProofActivities(
        house.books.engine,
        gateway=house.cards.gateway(),
        now=lambda: datetime.now(UTC) + timedelta(hours=2),  # nothing is on its way any more
        time_zone="UTC",
        currency="USD",
    )


def proved(house: CardHouse) -> dict[str, Any]:
    """Status, both sides and the differences of the card payments in a proof made now."""
    made = office(house).prove_cycle(ORDER)
    with transaction(house.books.engine) as connection:
        proof = load_proof(connection, made.reconciliation_id)
    (row,) = [row for row in proof.equations if row.equation is CARDS]
    return {
        "status": made.status,
        "sides": (row.left, row.right),
        "parts": {part.name: part.amount for part in row.parts},
        "not_checked": row.not_checked,
        "named": [
            (difference.account_number, difference.expected, difference.found)
            for difference in proof.differences
            if difference.equation is CARDS
        ],
    }


def test_charges_refunds_and_disputes_are_those_of_the_processor(house: CardHouse) -> None:
    paid = Decimal("195.10")
    assert proved(house)["sides"] == (paid, paid)
    note = house.books.credit("10.00", to_card=True)
    house.refund(note)
    (intent,) = house.cards.objects("payment_intents")
    house.cards.dispute(intent["id"])
    house.take_in_events()
    found = proved(house)
    assert found["parts"] == {
        "charges": paid,
        "refunds": Decimal("-10.00"),
        "disputes": Decimal("-185.10"),
    }
    assert (found["status"], found["sides"]) == ("balanced", (Decimal(0), Decimal(0)))
    house.cards.dispute(intent["id"], status="won")
    house.take_in_events()
    assert proved(house)["sides"] == (Decimal("185.10"), Decimal("185.10"))


def test_the_second_in_which_the_issue_began_belongs_to_the_month(house: CardHouse) -> None:
    """The processor tells whole seconds: a moment in the midst of one would cut it in two."""
    (charge,) = house.cards.gateway().list_movements(datetime.now(UTC) - timedelta(days=1))
    with transaction(house.books.engine) as connection:
        connection.execute(
            update(billing_cycles).values(
                issue_began_at=charge.made_at + timedelta(seconds=0.999999)
            )
        )
    (intent,) = house.cards.objects("payment_intents")
    house.cards.dispute(intent["id"])
    house.take_in_events()
    found = proved(house)
    assert found["parts"]["charges"] == Decimal("195.10")
    assert found["status"] == "balanced"


def test_a_payment_that_was_told_weeks_later_is_found_where_it_was_made(house: CardHouse) -> None:
    """Behind an outage it may be booked in the time of the next month."""
    house.books.ask(
        "UPDATE billing_cycles SET issue_began_at = issue_began_at + interval '20 days' RETURNING 1"
    )
    house.books.ask("UPDATE payments SET created_at = created_at + interval '21 days' RETURNING 1")
    found = proved(house)
    assert (found["status"], found["parts"]) == ("balanced", {"charges": Decimal("195.10")})


def test_a_charge_that_nobody_here_knows_is_an_alarm(house: CardHouse) -> None:
    house.cards.seed("cus_stranger", "pm_card_visa_stranger")
    gateway = house.cards.gateway()
    made = gateway.create_payment(
        number="no invoice",
        attempt=1,
        customer_id="cus_stranger",
        payment_method_id="pm_card_visa_stranger",
        amount=Decimal("33.00"),
        currency="USD",
        key="stranger",
    )
    gateway.confirm_payment(made.id, key="stranger/confirm")
    found = proved(house)
    assert found["status"] == "alarm"
    assert found["named"] == [("", Decimal(0), Decimal("33.00"))]


def test_a_payment_that_the_processor_does_not_have_is_an_alarm(house: CardHouse) -> None:
    house.books.ask("UPDATE payments SET provider_id = 'pi_invented' RETURNING 1")
    found = proved(house)
    assert found["named"] == [
        ("1001", Decimal("195.10"), Decimal(0)),
        ("1001", Decimal(0), Decimal("195.10")),
    ]


def test_what_a_processor_that_is_away_has_is_not_checked_and_never_zero(house: CardHouse) -> None:
    house.cards.fault("error_before", "/v1/balance_transactions", times=2, method="GET")
    found = proved(house)
    assert found["status"] == "incomplete"
    assert found["not_checked"].startswith("the card processor could not be asked: Stripe (500)")
    assert proved(house)["status"] == "balanced"


def test_a_proof_that_broke_down_is_kept_with_its_reason_and_made_again(house: CardHouse) -> None:
    proofs = office(house)
    assert proofs.find_due_proofs(ReconciliationOrder()).periods == ("2026-02",)
    proofs.record_no_proof(NoProof(ORDER, "the proof broke down: a defect"))
    proofs.prove_cycle(ORDER)
    with transaction(house.books.engine) as connection:
        cycle = house.books.ask("SELECT id FROM billing_cycles")[0][0]
        made = list_reconciliations(connection, cycle, before=None, limit=9)
    assert [(one.status, one.reason) for one in made] == [
        ("balanced", ""),
        ("incomplete", "the proof broke down: a defect"),
    ]
    assert proofs.find_due_proofs(ReconciliationOrder()).periods == ("2026-02",), "the newest"
