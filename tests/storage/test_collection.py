"""An issued invoice in collection: what moves it, and the case as its workflow sees it."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Connection, Engine, insert, text

from domain.declines import DeclineClass
from domain.dunning import STANDARD_POLICY, CollectionState, DunningPolicy, DunningStep, Event
from domain.emails import EmailKind
from domain.errors import Conflict, InvalidValue, NotFound
from domain.instructions import InstructionKind
from domain.invoice import InvoiceStatus
from storage.charges import begin_attempt, record_decline
from storage.collection import begin_review, load_case, mark_overdue, policy_for
from storage.emails import EmailKey, prepare_email
from storage.instructions import ask
from storage.planning import Cycle
from storage.snapshots import policy_from_json, policy_to_json
from storage.tables import dunning_policies
from tests.builders import DUE_ON, ISSUED_ON
from tests.storage.collecting import (
    FIRST,
    ON,
    TOTAL,
    add_draft,
    begin,
    charge,
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

OpenCycle = Callable[..., Cycle]
PAST_DUE = date(2026, 4, 1)
MARCH = "INV-2026-03-0001"


# --- moves


def test_a_move_is_written_with_one_audit_entry(by_wire: Connection) -> None:
    lock(by_wire).move(Event.REMINDER_SENT, "as agreed", amount="1.00")
    assert standing(by_wire)[0] == "reminder_sent"
    (entry,) = rows(
        by_wire,
        "SELECT from_state, to_state, reason, details, actor, business_date FROM audit_log "
        "WHERE event = 'reminder_sent'",
    )
    assert entry == ("issued", "reminder_sent", "as agreed", {"amount": "1.00"}, "test", ON)


def test_a_refused_event_changes_nothing_and_says_why(by_wire: Connection) -> None:
    before = told(by_wire)
    with pytest.raises(Conflict, match=f"{FIRST}: written off is refused, it is not in manual"):
        lock(by_wire).move(Event.WRITTEN_OFF)
    assert told(by_wire) == before


def test_what_does_not_exist_or_is_a_draft_is_not_collected(by_wire: Connection) -> None:
    draft = add_draft(by_wire, MARCH, date(2026, 3, 1))
    for refused in (lock, load_case):
        with pytest.raises(NotFound, match="no invoice INV-2026-02-9999"):
            refused(by_wire, "INV-2026-02-9999")
        with pytest.raises(Conflict, match="is a draft; issue it first"):
            refused(by_wire, draft)


def test_whoever_only_refers_to_a_locked_invoice_does_not_wait(
    issued_by_wire: Engine, by_wire: Connection
) -> None:
    lock(by_wire)
    with issued_by_wire.connect() as other:
        other.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert ask(other, FIRST, InstructionKind.HOLD, note="", person="Ada") > 0


def test_the_day_on_which_an_invoice_was_settled_is_that_of_its_last_end(
    by_wire: Connection,
) -> None:
    def settled_on() -> date | None:
        ((day,),) = rows(by_wire, "SELECT settled_on FROM invoices")
        return None if day is None else date.fromisoformat(f"{day}")

    begin_review(lock(by_wire), place=3)
    lock(by_wire, on=date(2026, 5, 1)).move(Event.WRITTEN_OFF)
    assert settled_on() == date(2026, 5, 1)
    receive(by_wire, TOTAL, "late", on=date(2026, 6, 1))
    assert settled_on() == date(2026, 6, 1)
    lock(by_wire, on=date(2026, 6, 9)).move(Event.WIRE_REVERSED)
    assert settled_on() is None


# --- overdue and review


@pytest.mark.parametrize("on", [ISSUED_ON, DUE_ON])
def test_nothing_is_overdue_before_its_due_date_has_passed(by_wire: Connection, on: date) -> None:
    with pytest.raises(Conflict, match="is due on 2026-03-31 and not overdue"):
        mark_overdue(lock(by_wire, on=on))


def test_an_open_invoice_is_overdue_the_day_after_and_told_once(by_wire: Connection) -> None:
    receive(by_wire, "100.00", "wire/1")
    for _ in range(2):
        mark_overdue(lock(by_wire, on=PAST_DUE))
    case = load_case(by_wire, FIRST)
    assert (case.status, case.open_amount) == (InvoiceStatus.OVERDUE, Decimal("212.91"))
    assert told(by_wire)[2:] == [("overdue", "issued", "issued")]


def test_a_paid_invoice_does_not_become_overdue(by_wire: Connection) -> None:
    receive(by_wire, TOTAL, "wire/1")
    mark_overdue(lock(by_wire, on=PAST_DUE))
    assert load_case(by_wire, FIRST).status is InvoiceStatus.PAID


def test_an_invoice_that_is_open_again_after_its_due_date_is_overdue_at_once(
    by_wire: Connection,
) -> None:
    paid = wire(by_wire, "R1", {FIRST: TOTAL})
    take_in(by_wire)
    wire(by_wire, "R2", {FIRST: -TOTAL}, reversal_of=paid, on=PAST_DUE)
    take_in(by_wire, on=PAST_DUE)
    case = load_case(by_wire, FIRST)
    assert (case.state, case.status) == (CollectionState.ISSUED, InvoiceStatus.OVERDUE)


def test_a_case_is_handed_over_once(by_wire: Connection) -> None:
    for place in (3, 4):
        begin_review(lock(by_wire), place=place)
    case = load_case(by_wire, FIRST)
    assert (case.state, case.steps_taken) == (CollectionState.MANUAL_REVIEW, 3)
    assert [event for event, *_ in told(by_wire)] == ["issued", "review_due"]


def test_a_paid_invoice_is_not_handed_over(by_wire: Connection) -> None:
    receive(by_wire, TOTAL, "wire/1")
    begin_review(lock(by_wire), place=3)
    assert standing(by_wire)[0] == "paid"


# --- from which day the steps count


def test_a_bank_customers_steps_count_from_the_due_date(by_wire: Connection) -> None:
    assert load_case(by_wire, FIRST).dunning_from == DUE_ON


def test_a_cards_steps_count_once_it_was_refused(by_card: Connection) -> None:
    assert load_case(by_card, FIRST).dunning_from is None
    attempt = begin(by_card, "pi_1")
    record_decline(lock(by_card, on=ON), attempt.id, DeclineClass.DECLINED, "")
    case = load_case(by_card, FIRST)
    assert (case.first_failed_on, case.dunning_from) == (ON, ON)
    second = begin(by_card, "pi_2", attempt=2)
    record_decline(lock(by_card, on=PAST_DUE), second.id, DeclineClass.DECLINED, "")
    assert load_case(by_card, FIRST).first_failed_on == ON


def test_what_no_card_can_be_charged_is_waited_for_from_the_due_date(by_card: Connection) -> None:
    receive(by_card, TOTAL * 2 - Decimal("0.40"), "wire/1")
    march = add_draft(by_card, MARCH, date(2026, 3, 1))
    issue(by_card, march)
    case = load_case(by_card, march)
    assert (case.open_amount, case.may_be_charged) == (Decimal("0.40"), False)
    assert case.dunning_from == DUE_ON


def test_a_first_failed_charge_does_not_cut_an_extension_short(by_card: Connection) -> None:
    begin_review(lock(by_card), place=3)
    assert instruct(by_card, InstructionKind.EXTEND, until="2026-05-01").outcome == "done"
    attempt = begin(by_card, "pi_1")
    record_decline(lock(by_card, on=date(2026, 4, 10)), attempt.id, DeclineClass.DECLINED, "")
    case = load_case(by_card, FIRST)
    assert (case.first_failed_on, case.dunning_from) == (date(2026, 4, 10), date(2026, 5, 1))


def test_a_reversal_begins_a_new_round_from_its_own_day(by_wire: Connection) -> None:
    paid = wire(by_wire, "R1", {FIRST: TOTAL})
    lock(by_wire).change(steps_taken=2)
    take_in(by_wire)
    wire(by_wire, "R2", {FIRST: -TOTAL}, reversal_of=paid)
    take_in(by_wire, on=date(2026, 4, 20))
    case = load_case(by_wire, FIRST)
    assert (case.round, case.steps_taken, case.dunning_from) == (1, 0, date(2026, 4, 20))


def test_a_reversal_of_a_part_leaves_the_steps_of_an_open_invoice_alone(
    by_wire: Connection,
) -> None:
    paid = wire(by_wire, "R1", {FIRST: "100.00"})
    take_in(by_wire)
    lock(by_wire).change(steps_taken=2)
    wire(by_wire, "R2", {FIRST: "-100.00"}, reversal_of=paid)
    take_in(by_wire, on=date(2026, 4, 20))
    case = load_case(by_wire, FIRST)
    assert (case.round, case.steps_taken, case.dunning_from) == (0, 2, DUE_ON)


# --- policies


OWN = DunningPolicy((DunningStep(5, EmailKind.REMINDER, cc=("boss@seller.example",)),))


def keep_policy(connection: Connection, code: str, policy: DunningPolicy) -> None:
    connection.execute(insert(dunning_policies).values(code=code, steps=policy_to_json(policy)))


def policy(connection: Connection) -> DunningPolicy:
    ((customer_id,),) = rows(connection, "SELECT id FROM customers")
    return policy_for(connection, customer_id)


def test_a_customer_has_their_own_policy_or_the_standard_one(by_wire: Connection) -> None:
    assert policy(by_wire) == STANDARD_POLICY
    installed = DunningPolicy((DunningStep(1, EmailKind.URGENT_NOTICE),))
    keep_policy(by_wire, "standard", installed)
    assert policy(by_wire) == installed
    keep_policy(by_wire, "patient", OWN)
    by_wire.execute(text("UPDATE customers SET dunning_policy = 'patient'"))
    assert policy(by_wire) == OWN


def test_an_invoice_keeps_the_policy_that_it_was_issued_with(by_wire: Connection) -> None:
    keep_policy(by_wire, "patient", OWN)
    by_wire.execute(text("UPDATE customers SET dunning_policy = 'patient'"))
    march = add_draft(by_wire, MARCH, date(2026, 3, 1))
    issue(by_wire, march)
    by_wire.execute(text("UPDATE customers SET dunning_policy = NULL"))
    assert load_case(by_wire, march).policy == OWN
    assert load_case(by_wire, FIRST).policy == STANDARD_POLICY


@pytest.mark.parametrize("kept", [OWN, STANDARD_POLICY, DunningPolicy(())])
def test_a_policy_comes_back_from_json_as_it_was(kept: DunningPolicy) -> None:
    assert policy_from_json(policy_to_json(kept)) == kept


def test_steps_that_make_no_policy_are_refused() -> None:
    steps = policy_to_json(STANDARD_POLICY)
    with pytest.raises(InvalidValue, match="later than the last"):
        policy_from_json(reversed(steps))


# --- the case


def test_the_case_of_an_invoice_that_was_just_issued(by_card: Connection) -> None:
    case = load_case(by_card, FIRST)
    assert (case.total, case.open_amount, case.amount_paid) == (TOTAL, TOTAL, Decimal(0))
    assert (case.by_card, case.due_on, case.attempts) == (True, DUE_ON, 0)
    flags = (case.contacted, case.charge_pending, case.card_waiting, case.on_hold)
    assert not any(flags)
    assert case.may_be_charged


def test_every_change_makes_a_later_case(by_wire: Connection) -> None:
    revisions = [load_case(by_wire, FIRST).revision]
    receive(by_wire, "1.00", "wire/1")
    revisions.append(load_case(by_wire, FIRST).revision)
    lock(by_wire).note("looked_at")
    revisions.append(load_case(by_wire, FIRST).revision)
    assert revisions == sorted(set(revisions))


def test_a_customer_was_contacted_once_an_email_was_prepared(by_wire: Connection) -> None:
    key = EmailKey(FIRST, "invoice", 0)
    prepare_email(by_wire, key, recipients=["a@b.example"], subject="s", business_date=ON)
    assert load_case(by_wire, FIRST).contacted


def test_a_charge_is_pending_until_its_outcome_is_known(by_card: Connection) -> None:
    attempt = begin(by_card, "pi_1")
    pending = load_case(by_card, FIRST)
    assert (pending.charge_pending, pending.attempts, pending.decline) == (True, 1, None)
    record_decline(lock(by_card), attempt.id, DeclineClass.EXPIRED_CARD, "")
    declined = load_case(by_card, FIRST)
    assert (declined.charge_pending, declined.decline) == (False, DeclineClass.EXPIRED_CARD)


def test_a_card_waits_that_no_attempt_has_used(by_card: Connection) -> None:
    attempt = begin(by_card, "pi_1")
    record_decline(lock(by_card), attempt.id, DeclineClass.LOST_OR_STOLEN, "")
    assert not load_case(by_card, FIRST).card_waiting
    by_card.execute(text("UPDATE customers SET stripe_payment_method_id = 'pm_2'"))
    assert load_case(by_card, FIRST).card_waiting
    begin_attempt(lock(by_card), 2)
    assert not load_case(by_card, FIRST).card_waiting


def test_the_case_knows_what_people_asked_for_in_order(by_wire: Connection) -> None:
    asked = [
        ask(by_wire, FIRST, kind, note="", person="Ada")
        for kind in (InstructionKind.HOLD, InstructionKind.RELEASE)
    ]
    assert load_case(by_wire, FIRST).instructions == tuple(asked)


def test_a_credit_note_is_unfinished_until_its_email_is_prepared(by_wire: Connection) -> None:
    number = instruct(by_wire, InstructionKind.CREDIT_NOTE, amount="10.00").answer
    (unfinished,) = load_case(by_wire, FIRST).unfinished_credits
    assert unfinished.number == number
    key = EmailKey(FIRST, "credit_note", unfinished.id)
    prepare_email(by_wire, key, recipients=["a@b.example"], subject="s", business_date=ON)
    assert load_case(by_wire, FIRST).unfinished_credits == ()


def test_the_case_names_the_customers_other_invoices_to_wake(by_wire: Connection) -> None:
    march = add_draft(by_wire, MARCH, date(2026, 3, 1))
    issue(by_wire, march)
    lock(by_wire, march).change(to_wake=True)
    lock(by_wire).change(to_wake=True)
    assert load_case(by_wire, FIRST).to_wake == (march,)
    take_in(by_wire, march)
    assert load_case(by_wire, FIRST).to_wake == ()


def test_what_came_from_an_older_system_counts_as_told(by_wire: Connection) -> None:
    add_draft(by_wire, MARCH, date(2026, 3, 1))
    by_wire.execute(text("UPDATE invoices SET cycle_id = NULL WHERE status = 'draft'"))
    issue(by_wire, MARCH)
    assert load_case(by_wire, MARCH).contacted


def test_the_money_of_a_settled_invoice_is_not_open(by_card: Connection) -> None:
    charge(by_card, "pi_1")
    case = load_case(by_card, FIRST)
    assert (case.open_amount, case.amount_paid, case.is_settled) == (Decimal(0), TOTAL, True)
    assert not case.may_be_charged
    assert wrongs(by_card) == []
