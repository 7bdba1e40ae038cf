"""The steps against late payment: which comes next, on which day, and what it may be."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.declines import DeclineClass
from domain.dunning import (
    EVENT_OF_NOTICE,
    STANDARD_POLICY,
    Case,
    CollectionState,
    Due,
    DunningPolicy,
    DunningStep,
    counting_from,
    days_late,
    email_after_decline,
    next_due,
    status_of,
    step_number,
)
from domain.emails import EmailKind
from domain.errors import InvalidValue
from domain.invoice import InvoiceStatus
from tests.builders import DUE_ON, collection_case

ENDS = (CollectionState.PAID, CollectionState.VOID, CollectionState.UNCOLLECTIBLE)
OPEN = tuple(state for state in CollectionState if state not in ENDS)
PAST_DUE = DUE_ON + timedelta(days=1)


# --- policies


def test_the_standard_policy_is_three_seven_and_fourteen_days() -> None:
    steps = [(step.after_days, step.notice, step.retry) for step in STANDARD_POLICY.steps]
    assert steps == [
        (3, EmailKind.REMINDER, True),
        (7, EmailKind.URGENT_NOTICE, True),
        (14, EmailKind.REVIEW_NOTICE, False),
    ]


def test_every_notice_but_the_last_is_an_event() -> None:
    assert set(EVENT_OF_NOTICE) == {EmailKind.REMINDER, EmailKind.URGENT_NOTICE}


@pytest.mark.parametrize("days", [(3, 3), (7, 3)])
def test_steps_rise(days: tuple[int, int]) -> None:
    with pytest.raises(InvalidValue, match="later than the last"):
        DunningPolicy(tuple(DunningStep(day, EmailKind.REMINDER) for day in days))


def test_nothing_comes_after_manual_review() -> None:
    steps = (DunningStep(1, EmailKind.REVIEW_NOTICE), DunningStep(2, EmailKind.REMINDER))
    with pytest.raises(InvalidValue, match="put it last"):
        DunningPolicy(steps)


def test_a_step_is_not_before_the_day_it_counts_from() -> None:
    assert DunningStep(0, EmailKind.REMINDER).after_days == 0
    with pytest.raises(InvalidValue, match="0 or more"):
        DunningStep(-1, EmailKind.REMINDER)


@pytest.mark.parametrize("kind", [EmailKind.INVOICE, EmailKind.RECEIPT, EmailKind.CREDIT_NOTE])
def test_a_step_sends_a_dunning_notice(kind: EmailKind) -> None:
    with pytest.raises(InvalidValue, match="no dunning notice"):
        DunningStep(3, kind)


def test_a_policy_may_have_no_steps_and_need_not_end_in_review() -> None:
    assert DunningPolicy(()).steps == ()
    assert len(DunningPolicy((DunningStep(5, EmailKind.REMINDER),)).steps) == 1


# --- what is due


def overdue_case(**changes: object) -> Case:
    return collection_case(status=InvoiceStatus.OVERDUE, **changes)


def days_of(case: Case) -> list[date]:
    """The days of all steps, one after the other."""
    dues = [next_due(case, steps_taken=taken) for taken in range(len(case.policy.steps))]
    return [due.on for due in dues if due is not None]


def test_the_overdue_mark_comes_the_day_after_the_due_date() -> None:
    assert next_due(collection_case(), steps_taken=0) == Due(PAST_DUE)


def test_the_steps_of_a_bank_customer_count_from_the_due_date() -> None:
    assert days_of(overdue_case()) == [date(2026, 4, 3), date(2026, 4, 7), date(2026, 4, 14)]
    first = next_due(overdue_case(), steps_taken=0)
    assert first == Due(date(2026, 4, 3), STANDARD_POLICY.steps[0], 1)


def test_the_steps_of_a_card_count_from_its_first_failed_charge() -> None:
    failed_on = date(2026, 3, 1)
    case = collection_case(by_card=True, first_failed_on=failed_on, dunning_from=failed_on)
    assert days_of(case) == [date(2026, 3, 4), date(2026, 3, 8), date(2026, 3, 15)]


def test_the_overdue_mark_falls_between_the_steps_where_its_day_comes() -> None:
    failed_on = date(2026, 3, 26)
    case = collection_case(by_card=True, first_failed_on=failed_on, dunning_from=failed_on)
    assert [due.on for taken in range(3) if (due := next_due(case, steps_taken=taken))] == [
        date(2026, 3, 29),
        PAST_DUE,
        PAST_DUE,
    ]


def test_on_one_day_the_overdue_mark_comes_first() -> None:
    case = collection_case(dunning_from=PAST_DUE - timedelta(days=3))
    assert next_due(case, steps_taken=0) == Due(PAST_DUE)


def test_after_the_last_step_nothing_is_due() -> None:
    assert next_due(overdue_case(), steps_taken=3) is None


def test_nothing_is_due_before_a_card_was_refused() -> None:
    assert next_due(overdue_case(by_card=True, dunning_from=None), steps_taken=0) is None


def test_a_policy_of_ones_own_has_its_own_days() -> None:
    policy = DunningPolicy(
        (DunningStep(0, EmailKind.REMINDER), DunningStep(30, EmailKind.URGENT_NOTICE))
    )
    assert days_of(overdue_case(policy=policy)) == [DUE_ON, date(2026, 4, 30)]
    assert next_due(overdue_case(policy=policy), steps_taken=2) is None


@pytest.mark.parametrize(
    "stopped",
    [{"on_hold": True}, {"disputed": True}, {"state": CollectionState.MANUAL_REVIEW}],
    ids=["hold", "dispute", "review"],
)
def test_what_stops_the_steps_does_not_stop_the_overdue_mark(stopped: dict[str, object]) -> None:
    assert next_due(overdue_case(**stopped), steps_taken=0) is None
    assert next_due(collection_case(**stopped), steps_taken=0) == Due(PAST_DUE)


@pytest.mark.parametrize("state", ENDS)
def test_nothing_is_due_of_a_settled_invoice(state: CollectionState) -> None:
    assert next_due(collection_case(state=state), steps_taken=0) is None


def test_an_extension_moves_every_step_behind_its_day() -> None:
    until = date(2026, 5, 1)
    begun = counting_from(by_card=False, first_failed_on=None, due_on=DUE_ON, resumed_on=until)
    assert days_of(overdue_case(dunning_from=begun, round=1)) == [
        date(2026, 5, 4),
        date(2026, 5, 8),
        date(2026, 5, 15),
    ]


@pytest.mark.parametrize(
    ("by_card", "first_failed_on", "resumed_on", "expected"),
    [
        (False, None, None, DUE_ON),
        (False, date(2026, 3, 2), None, DUE_ON),
        (True, None, None, None),
        (True, None, date(2026, 4, 9), None),
        (True, date(2026, 3, 2), None, date(2026, 3, 2)),
        (True, date(2026, 3, 2), date(2026, 3, 9), date(2026, 3, 9)),
        (False, None, date(2026, 3, 9), DUE_ON),
        (False, None, date(2026, 4, 9), date(2026, 4, 9)),
    ],
)
def test_the_day_from_which_the_steps_count(
    by_card: bool, first_failed_on: date | None, resumed_on: date | None, expected: date | None
) -> None:
    assert (
        counting_from(
            by_card=by_card, first_failed_on=first_failed_on, due_on=DUE_ON, resumed_on=resumed_on
        )
        == expected
    )


@given(st.integers(0, 400), st.sampled_from(OPEN), st.integers(0, 3))
def test_the_status_of_an_open_invoice_is_a_matter_of_its_due_date(
    days: int, state: CollectionState, taken: int
) -> None:
    today = date(2026, 3, 1) + timedelta(days=days)
    status = status_of(state, due_on=DUE_ON, business_date=today)
    assert status is (InvoiceStatus.OVERDUE if today > DUE_ON else InvoiceStatus.ISSUED)
    due = next_due(collection_case(state=state, status=status), steps_taken=taken)
    assert due is None or due.step is not None or status is InvoiceStatus.ISSUED


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5, unique=True).map(sorted),
    st.dates(date(2026, 1, 1), date(2026, 12, 31)),
)
def test_the_steps_of_any_policy_come_in_order_each_once(days: list[int], begun: date) -> None:
    policy = DunningPolicy(tuple(DunningStep(day, EmailKind.REMINDER) for day in days))
    case = overdue_case(policy=policy, dunning_from=begun)
    dues = [next_due(case, steps_taken=taken) for taken in range(len(days))]
    assert [due.place for due in dues if due] == list(range(1, len(days) + 1))
    assert [due.on - begun for due in dues if due] == [timedelta(days=day) for day in days]


# --- charging again, and what the customer is told


def failed(decline: DeclineClass, **changes: object) -> Case:
    return collection_case(by_card=True, decline=decline, attempts=1, **changes)


@pytest.mark.parametrize(
    ("decline", "again"),
    [
        (DeclineClass.EXPIRED_CARD, True),
        (DeclineClass.INSUFFICIENT_FUNDS, True),
        (DeclineClass.DECLINED, True),
        (DeclineClass.AUTHENTICATION_REQUIRED, False),
        (DeclineClass.LOST_OR_STOLEN, False),
        (DeclineClass.NO_CARD, False),
    ],
)
def test_which_card_is_charged_again_by_itself(decline: DeclineClass, again: bool) -> None:
    assert failed(decline).worth_retrying is again
    assert failed(decline, card_waiting=True).worth_retrying


@pytest.mark.parametrize(
    "changes",
    [{"by_card": False}, {"chargeable_amount": False}, {"state": CollectionState.PAID}],
    ids=["bank", "amount", "paid"],
)
def test_no_charge_where_none_is_possible(changes: dict[str, object]) -> None:
    case = failed(DeclineClass.DECLINED, card_waiting=True)
    assert case.may_be_charged
    assert not collection_case(**{**vars(case), **changes}).may_be_charged
    assert not collection_case(**{**vars(case), **changes}).worth_retrying


@pytest.mark.parametrize(
    ("decline", "kind"),
    [
        (DeclineClass.INSUFFICIENT_FUNDS, EmailKind.INVOICE),
        (DeclineClass.DECLINED, EmailKind.INVOICE),
        (DeclineClass.AUTHENTICATION_REQUIRED, EmailKind.AUTHENTICATE),
        (DeclineClass.EXPIRED_CARD, EmailKind.UPDATE_PAYMENT_METHOD),
        (DeclineClass.LOST_OR_STOLEN, EmailKind.UPDATE_PAYMENT_METHOD),
        (DeclineClass.NO_CARD, EmailKind.UPDATE_PAYMENT_METHOD),
    ],
)
def test_the_email_that_follows_a_failed_charge(decline: DeclineClass, kind: EmailKind) -> None:
    assert email_after_decline(decline) is kind


def test_days_late_count_from_the_failed_charge_or_the_due_date() -> None:
    failed_on = date(2026, 3, 1)
    by_card = failed(DeclineClass.DECLINED, first_failed_on=failed_on)
    assert days_late(by_card, date(2026, 3, 8)) == 7
    assert days_late(collection_case(), date(2026, 4, 7)) == 7
    assert days_late(collection_case(), date(2026, 3, 8)) == 0


@given(st.integers(0, 50), st.integers(1, 99), st.integers(0, 50), st.integers(1, 99))
def test_steps_of_two_rounds_never_share_a_number(
    round: int, place: int, other_round: int, other_place: int
) -> None:
    same = (round, place) == (other_round, other_place)
    assert (step_number(round, place) == step_number(other_round, other_place)) is same
    assert step_number(0, place) == place
