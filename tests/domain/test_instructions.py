"""What may be asked of an invoice, and which event each resolution is."""

from typing import Any

import pytest

from domain.declines import DeclineClass
from domain.dunning import Case, CollectionState, Event, Moved, Refused, after
from domain.instructions import EVENT_OF_RESOLUTION, RESOLUTIONS, InstructionKind, why_not
from tests.builders import collection_case


def test_five_instructions_resolve_a_case() -> None:
    assert {kind.value for kind in InstructionKind if kind.is_resolution} == {
        "paid_elsewhere",
        "charge_again",
        "extend",
        "write_off",
        "void_by_credit_note",
    }


def test_every_resolution_is_an_event_or_a_void() -> None:
    assert {*EVENT_OF_RESOLUTION, InstructionKind.VOID_BY_CREDIT_NOTE} == set(RESOLUTIONS)
    assert len(set(EVENT_OF_RESOLUTION.values())) == len(EVENT_OF_RESOLUTION)


@pytest.mark.parametrize("kind", EVENT_OF_RESOLUTION)
@pytest.mark.parametrize("state", CollectionState)
def test_a_resolution_belongs_to_manual_review(
    kind: InstructionKind, state: CollectionState
) -> None:
    refused = isinstance(after(state, EVENT_OF_RESOLUTION[kind]), Refused)
    assert refused is (state is not CollectionState.MANUAL_REVIEW)


@pytest.mark.parametrize(
    ("kind", "to"),
    [
        (InstructionKind.PAID_ELSEWHERE, CollectionState.PAID),
        (InstructionKind.EXTEND, CollectionState.ISSUED),
        (InstructionKind.WRITE_OFF, CollectionState.UNCOLLECTIBLE),
    ],
)
def test_where_a_resolution_leads(kind: InstructionKind, to: CollectionState) -> None:
    assert after(CollectionState.MANUAL_REVIEW, EVENT_OF_RESOLUTION[kind]) == Moved(to)


def test_charging_again_leaves_the_case_where_it_is_until_the_bank_answers() -> None:
    verdict = after(CollectionState.MANUAL_REVIEW, Event.CHARGE_AGAIN)
    assert not isinstance(verdict, Moved | Refused)


# --- why not


def in_review(**changes: Any) -> Case:
    return collection_case(**{"state": CollectionState.MANUAL_REVIEW, "by_card": True, **changes})


@pytest.mark.parametrize("kind", RESOLUTIONS)
def test_a_case_in_review_can_be_resolved_in_every_way(kind: InstructionKind) -> None:
    assert why_not(kind, in_review(), card_on_file=True) is None


@pytest.mark.parametrize("kind", RESOLUTIONS)
@pytest.mark.parametrize("state", [s for s in CollectionState if s != "manual_review"])
def test_what_is_not_in_review_says_why_it_is_not_resolved(
    kind: InstructionKind, state: CollectionState
) -> None:
    reason = why_not(kind, collection_case(state=state), card_on_file=True)
    assert reason is not None
    assert reason.startswith("INV-2026-02-0001")


@pytest.mark.parametrize(
    ("case", "card_on_file", "reason"),
    [
        (in_review(by_card=False), True, "paid by bank transfer"),
        (in_review(), False, "no card on file"),
        (in_review(decline=DeclineClass.LOST_OR_STOLEN), True, "withdrew the card"),
        (in_review(chargeable_amount=False), True, "cannot be charged to a card"),
    ],
    ids=["bank", "no card", "withdrawn", "amount"],
)
def test_why_a_card_is_not_charged_again(case: Case, card_on_file: bool, reason: str) -> None:
    said = why_not(InstructionKind.CHARGE_AGAIN, case, card_on_file=card_on_file)
    assert said is not None
    assert reason in said
    for kind in RESOLUTIONS:
        if kind is not InstructionKind.CHARGE_AGAIN:
            assert why_not(kind, case, card_on_file=card_on_file) is None


def test_a_new_card_may_be_charged_though_the_last_one_was_withdrawn() -> None:
    case = in_review(decline=DeclineClass.LOST_OR_STOLEN, card_waiting=True)
    assert why_not(InstructionKind.CHARGE_AGAIN, case, card_on_file=True) is None
