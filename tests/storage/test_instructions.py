"""What people ask of an invoice: stored first, done once or refused with the reason."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, text

from domain.declines import DeclineClass
from domain.dunning import CollectionState
from domain.errors import Conflict, InvalidValue, NotFound
from domain.instructions import RESOLUTIONS, InstructionKind
from storage.charges import record_decline
from storage.collection import begin_review, load_case
from storage.instructions import Asked, ask, ask_release_of_cycle, carry_out, find_instruction
from tests.builders import DUE_ON, FEBRUARY
from tests.storage.collecting import (
    FIRST,
    ON,
    TOTAL,
    add_draft,
    begin,
    charge,
    credit,
    everything,
    instruct,
    issue,
    lock,
    receive,
    rows,
    standing,
    take_in,
    told,
    wire,
    wrongs,
)

MARCH = "INV-2026-03-0001"
NOTHING = Decimal(0)


def in_review(connection: Connection) -> None:
    begin_review(lock(connection), place=3)


def refused(connection: Connection, kind: InstructionKind, **details: Any) -> str:
    """Asserts that it is refused, that nothing but the audit log changed; the reason."""
    before = everything(connection)
    asked = instruct(connection, kind, **details)
    after = everything(connection)
    assert asked.outcome == "refused"
    assert after[:6] == before[:6]
    assert told(connection)[-1] == (f"{kind.value}_refused", None, None)
    return asked.answer


# --- asking


def test_what_is_asked_is_kept_until_it_is_decided(by_wire: Connection) -> None:
    id_ = ask(by_wire, FIRST, InstructionKind.HOLD, note="on holiday", person="Ada")
    asked = find_instruction(by_wire, id_)
    assert (asked.number, asked.kind, asked.note, asked.person, asked.outcome) == (
        FIRST,
        InstructionKind.HOLD,
        "on holiday",
        "Ada",
        None,
    )
    with pytest.raises(NotFound):
        find_instruction(by_wire, id_ + 1)


def test_what_is_asked_twice_under_one_key_is_asked_once(by_wire: Connection) -> None:
    def credit_under(key: str | None, amount: str = "5.00") -> int:
        return ask(
            by_wire,
            FIRST,
            InstructionKind.CREDIT_NOTE,
            note="outage",
            person="Ada",
            details={"amount": amount},
            idempotency_key=key,
        )

    first = credit_under("k1")
    assert credit_under("k1") == first
    carry_out(by_wire, FIRST, first, business_date=ON)
    assert credit_under("k1") == first
    with pytest.raises(Conflict, match="'k1' was used for another request"):
        credit_under("k1", "6.00")
    assert len({first, credit_under("k2"), credit_under(None), credit_under(None)}) == 4


def test_a_key_belongs_to_one_invoice(by_wire: Connection) -> None:
    issue(by_wire, march := add_draft(by_wire, MARCH, date(2026, 3, 1)))
    kind = InstructionKind.HOLD
    asked = [
        ask(by_wire, number, kind, note="", person="Ada", idempotency_key="k1")
        for number in (FIRST, march)
    ]
    assert [find_instruction(by_wire, id_).number for id_ in asked] == [FIRST, march]


def test_renewed_links_end_those_of_before(by_wire: Connection) -> None:
    assert instruct(by_wire, InstructionKind.RENEW_LINKS, note="forwarded").outcome == "done"
    assert rows(by_wire, "SELECT link_version FROM invoices") == [(2,)]
    assert told(by_wire)[-1] == ("links_renewed", None, None)


@pytest.mark.parametrize("kind", RESOLUTIONS)
def test_a_resolution_needs_its_reason(by_wire: Connection, kind: InstructionKind) -> None:
    with pytest.raises(InvalidValue, match="needs a note"):
        ask(by_wire, FIRST, kind, note="  ", person="Ada")


def test_nothing_is_asked_of_a_draft_or_of_nothing(by_wire: Connection) -> None:
    draft = add_draft(by_wire, MARCH, date(2026, 3, 1))
    with pytest.raises(Conflict, match="is a draft"):
        ask(by_wire, draft, InstructionKind.HOLD, note="", person="Ada")
    with pytest.raises(NotFound):
        ask(by_wire, "INV-2026-02-9999", InstructionKind.HOLD, note="", person="Ada")


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        (InstructionKind.HOLD, {}),
        (InstructionKind.CREDIT_NOTE, {"amount": "10.00"}),
        (InstructionKind.VOID, {}),
        (InstructionKind.RESEND, {}),
        (InstructionKind.RELEASE, {}),
        (InstructionKind.WRITE_OFF, {}),
    ],
)
def test_what_was_decided_is_answered_as_it_was(
    by_wire: Connection, kind: InstructionKind, details: dict[str, str]
) -> None:
    first = instruct(by_wire, kind, **details)
    before = everything(by_wire)
    again = carry_out(by_wire, FIRST, first.id, business_date=ON)
    assert again == first
    assert first.outcome in ("done", "refused")
    assert everything(by_wire) == before


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        (InstructionKind.EXTEND, {}),
        (InstructionKind.EXTEND, {"until": "soon"}),
        (InstructionKind.CREDIT_NOTE, {"amount": "much"}),
        (InstructionKind.CREDIT_NOTE, {"lines": {"first": None}}),
        (InstructionKind.CREDIT_NOTE, {"lines": ["1"]}),
        (InstructionKind.CREDIT_NOTE, {"amount": "1.00", "refund_to": "the moon"}),
    ],
)
def test_what_cannot_be_read_is_refused_and_stops_nobody(
    by_wire: Connection, kind: InstructionKind, details: dict[str, Any]
) -> None:
    in_review(by_wire)
    assert "cannot be read" in refused(by_wire, kind, **details)
    assert instruct(by_wire, InstructionKind.HOLD).outcome == "done"


# --- hold and release


def test_a_hold_stops_the_steps_and_a_release_counts_them_anew(by_wire: Connection) -> None:
    instruct(by_wire, InstructionKind.HOLD)
    assert load_case(by_wire, FIRST).on_hold
    lock(by_wire).change(steps_taken=1)
    instruct(by_wire, InstructionKind.RELEASE, on=date(2026, 4, 20))
    case = load_case(by_wire, FIRST)
    assert (case.on_hold, case.dunning_from) == (False, date(2026, 4, 20))
    assert (case.round, case.steps_taken) == (0, 1), "they go on, they do not begin again"
    assert [name for name, *_ in told(by_wire)][1:] == ["held", "released"]


def test_a_release_before_the_due_date_counts_from_the_due_date(by_wire: Connection) -> None:
    instruct(by_wire, InstructionKind.HOLD)
    instruct(by_wire, InstructionKind.RELEASE, on=date(2026, 3, 10))
    assert load_case(by_wire, FIRST).dunning_from == DUE_ON


def test_what_is_not_on_hold_is_not_released(by_wire: Connection) -> None:
    assert "is not on hold" in refused(by_wire, InstructionKind.RELEASE)


def test_a_paid_invoice_is_not_held_but_a_hold_on_it_is_released(by_wire: Connection) -> None:
    instruct(by_wire, InstructionKind.HOLD)
    receive(by_wire, TOTAL, "wire/1")
    assert "it is paid" in refused(by_wire, InstructionKind.HOLD)
    assert load_case(by_wire, FIRST).on_hold
    assert instruct(by_wire, InstructionKind.RELEASE).outcome == "done"
    assert not load_case(by_wire, FIRST).on_hold


def release_page(connection: Connection, after: str = "", limit: int = 10) -> list[str]:
    asked = ask_release_of_cycle(
        connection, FEBRUARY, after=after, limit=limit, note="go", person="Ada"
    )
    return [number for number, _ in asked]


def hold_three(connection: Connection) -> list[str]:
    """Three open invoices of the cycle on hold, one that is not, and a paid one on hold."""
    held = []
    for month in range(3, 8):
        number = f"INV-2026-{month:02d}-0001"
        issue(connection, add_draft(connection, number, date(2026, month, 1)), on_hold=month > 3)
        held.append(number)
    receive(connection, TOTAL, "wire/1", number=held[-1])
    return held[1:4]


def test_a_cycle_is_released_page_by_page_each_invoice_asked_once(by_wire: Connection) -> None:
    held = hold_three(by_wire)
    first = release_page(by_wire, limit=2)
    assert first == held[:2]
    assert release_page(by_wire, limit=2) == first, "the same page again asks for nothing more"
    assert release_page(by_wire, after=first[-1], limit=2) == held[2:]
    assert rows(by_wire, "SELECT count(*) FROM instructions") == [(3,)]
    assert rows(by_wire, "SELECT hold_reminders FROM billing_cycles") == [(False,)]


def test_a_settled_invoice_of_a_released_cycle_is_no_longer_on_hold(by_wire: Connection) -> None:
    hold_three(by_wire)
    release_page(by_wire)
    assert rows(by_wire, "SELECT number FROM invoices WHERE on_hold AND status = 'paid'") == []
    assert len(rows(by_wire, "SELECT number FROM invoices WHERE on_hold")) == 3


# --- resolutions


def test_paid_elsewhere_books_what_is_open(by_wire: Connection) -> None:
    receive(by_wire, "100.00", "wire/1")
    in_review(by_wire)
    instruct(by_wire, InstructionKind.PAID_ELSEWHERE, note="by cheque")
    assert standing(by_wire) == ("paid", TOTAL, NOTHING)
    assert rows(by_wire, "SELECT amount, note FROM payments WHERE method = 'other'") == [
        (Decimal("212.91"), "by cheque")
    ]
    assert wrongs(by_wire) == []


def test_a_write_off_keeps_what_was_paid(by_wire: Connection) -> None:
    receive(by_wire, "100.00", "wire/1")
    in_review(by_wire)
    instruct(by_wire, InstructionKind.WRITE_OFF)
    assert standing(by_wire) == ("uncollectible", Decimal("100.00"), NOTHING)
    assert wrongs(by_wire) == []


def test_an_extension_begins_a_new_round_on_its_day(by_wire: Connection) -> None:
    in_review(by_wire)
    instruct(by_wire, InstructionKind.EXTEND, until="2026-05-01")
    case = load_case(by_wire, FIRST)
    assert (case.state, case.round, case.steps_taken) == (CollectionState.ISSUED, 1, 0)
    assert case.dunning_from == date(2026, 5, 1)


@pytest.mark.parametrize("until", ["2026-03-05", "2026-03-04"])
def test_an_extension_is_to_a_day_that_is_still_to_come(by_wire: Connection, until: str) -> None:
    in_review(by_wire)
    assert "still to come" in refused(by_wire, InstructionKind.EXTEND, until=until)


@pytest.mark.parametrize("kind", RESOLUTIONS)
def test_what_is_not_in_review_is_not_resolved(by_card: Connection, kind: InstructionKind) -> None:
    assert "not in manual review" in refused(by_card, kind, until="2026-05-01")


def declined_in_review(connection: Connection, decline: DeclineClass) -> None:
    attempt = begin(connection, "pi_1")
    record_decline(lock(connection), attempt.id, decline, "")
    in_review(connection)


def test_charging_again_is_for_the_workflow_to_do(by_card: Connection) -> None:
    declined_in_review(by_card, DeclineClass.DECLINED)
    assert instruct(by_card, InstructionKind.CHARGE_AGAIN).outcome == "done"
    assert told(by_card)[-1] == ("charge_again", "manual_review", "manual_review")


def test_a_withdrawn_card_is_charged_again_once_there_is_another(by_card: Connection) -> None:
    declined_in_review(by_card, DeclineClass.LOST_OR_STOLEN)
    assert "withdrew the card" in refused(by_card, InstructionKind.CHARGE_AGAIN)
    by_card.execute(text("UPDATE customers SET stripe_payment_method_id = 'pm_2'"))
    assert instruct(by_card, InstructionKind.CHARGE_AGAIN).outcome == "done"


def test_no_charge_without_a_card_or_over_an_amount_that_is_none_for_it(
    by_card: Connection,
) -> None:
    declined_in_review(by_card, DeclineClass.DECLINED)
    savepoint = by_card.begin_nested()
    by_card.execute(text("UPDATE customers SET stripe_payment_method_id = NULL"))
    assert "no card on file" in refused(by_card, InstructionKind.CHARGE_AGAIN)
    savepoint.rollback()
    receive(by_card, TOTAL - Decimal("0.20"), "wire/1")
    assert "cannot be charged to a card" in refused(by_card, InstructionKind.CHARGE_AGAIN)


def test_a_bank_customer_has_no_card_to_charge(by_wire: Connection) -> None:
    in_review(by_wire)
    assert "paid by bank transfer" in refused(by_wire, InstructionKind.CHARGE_AGAIN)


# --- void and resend


def cycle_item(connection: Connection) -> tuple[Any, ...]:
    (item,) = rows(connection, "SELECT outcome, reason_code FROM billing_cycle_items")
    return item


def test_a_void_frees_what_was_paid_and_leaves_the_cycle_alone(by_wire: Connection) -> None:
    receive(by_wire, "100.00", "wire/1")
    asked = instruct(by_wire, InstructionKind.VOID)
    assert asked.answer == "CN-2026-03-0001"
    assert standing(by_wire) == ("void", NOTHING, TOTAL)
    assert credit(by_wire) == Decimal("100.00")
    assert cycle_item(by_wire) == ("issued", "")
    assert wrongs(by_wire) == []


def test_a_void_that_is_to_be_issued_anew_fails_the_customer_for_the_retry(
    by_wire: Connection,
) -> None:
    instruct(by_wire, InstructionKind.VOID, reissue=True)
    assert cycle_item(by_wire) == ("failed", "voided")


def test_what_came_from_an_older_system_is_not_issued_anew(by_wire: Connection) -> None:
    march = add_draft(by_wire, MARCH, date(2026, 3, 1))
    by_wire.execute(text("UPDATE invoices SET cycle_id = NULL WHERE number = :n"), {"n": march})
    issue(by_wire, march)
    asked = instruct(by_wire, InstructionKind.VOID, number=march, reissue=True)
    assert (asked.outcome, standing(by_wire, march)[0]) == ("refused", "issued")
    assert rows(by_wire, "SELECT count(*) FROM credit_notes") == [(0,)]


def test_a_void_by_credit_note_ends_a_case_of_review(by_wire: Connection) -> None:
    in_review(by_wire)
    asked = instruct(by_wire, InstructionKind.VOID_BY_CREDIT_NOTE)
    assert asked.answer == "CN-2026-03-0001"
    assert told(by_wire)[-1] == ("voided", "manual_review", "void")


def test_a_void_invoice_is_not_voided_nor_sent_again(by_wire: Connection) -> None:
    instruct(by_wire, InstructionKind.VOID)
    assert "it is void" in refused(by_wire, InstructionKind.VOID)
    assert "is void" in refused(by_wire, InstructionKind.RESEND)


@pytest.mark.parametrize("kind", InstructionKind)
def test_whatever_is_asked_of_a_paid_invoice_leaves_its_money_right(
    by_card: Connection, kind: InstructionKind
) -> None:
    charge(by_card, "pi_1")
    asked: Asked = instruct(by_card, kind, until="2026-05-01")
    assert asked.outcome in ("done", "refused")
    assert wrongs(by_card) == []


def test_a_hold_outlives_a_wire_that_is_reversed(by_wire: Connection) -> None:
    instruct(by_wire, InstructionKind.HOLD)
    paid = wire(by_wire, "R1", {FIRST: TOTAL})
    take_in(by_wire)
    wire(by_wire, "R2", {FIRST: -TOTAL}, reversal_of=paid)
    take_in(by_wire)
    assert load_case(by_wire, FIRST).on_hold
