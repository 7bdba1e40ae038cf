"""Our books against the card processor's: each movement once, whatever came late."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

from domain.card_movements import (
    BookedMovement,
    CardMovement,
    Key,
    MovementKind,
    Stranger,
    compare,
    sums_by_id,
)
from domain.proof import Entry

CHARGE, REFUND, DISPUTE = MovementKind.CHARGE, MovementKind.REFUND, MovementKind.DISPUTE
SINCE = datetime(2026, 3, 1, tzinfo=UTC)
NOW = SINCE + timedelta(days=20)
NUMBER = "INV-2026-02-0047"


def moved(
    amount: str = "312.91", kind: MovementKind = CHARGE, id: str = "pi_1", days: float = 1
) -> CardMovement:
    return CardMovement(kind, id, D(amount), "USD", SINCE + timedelta(days=days))


def booked(
    amount: str = "312.91", kind: MovementKind = CHARGE, id: str = "pi_1", *, settled: bool = True
) -> BookedMovement:
    return BookedMovement(kind, id, D(amount), "USD", "1047", NUMBER, settled)


def compared(
    ours: list[BookedMovement],
    theirs: list[CardMovement],
    strangers: dict[Key, Stranger] | None = None,
    until: datetime | None = None,
) -> list[Entry]:
    sums = sums_by_id(theirs)
    return list(compare(ours, sums, strangers or {}, since=SINCE, until=until, now=NOW))


def sides(entries: list[Entry]) -> list[tuple[str, D, D]]:
    return [(entry.account_number, entry.expected, entry.found) for entry in entries]


def test_a_charge_that_both_know_agrees() -> None:
    assert sides(compared([booked()], [moved()])) == [("1047", D("312.91"), D("312.91"))]


def test_a_charge_that_the_processor_does_not_have_is_missing() -> None:
    (entry,) = compared([booked()], [])
    assert (entry.expected, entry.found) == (D("312.91"), D(0))
    assert entry.subject == f"charge pi_1 of {NUMBER}"
    assert "no such charge" in entry.explanation


def test_a_charge_that_nobody_knows_is_too_much() -> None:
    (entry,) = compared([], [moved()])
    assert (entry.account_number, entry.expected, entry.found) == ("", D(0), D("312.91"))
    assert "not in our books" in entry.explanation


def test_a_charge_that_nobody_knows_names_whose_card_it_was() -> None:
    strangers = {(CHARGE, "pi_1"): Stranger(account_number="1047")}
    assert sides(compared([], [moved()], strangers)) == [("1047", D(0), D("312.91"))]


def test_another_amount_is_a_difference() -> None:
    assert sides(compared([booked("300.00")], [moved()])) == [("1047", D("300.00"), D("312.91"))]


def test_a_refund_that_failed_moved_nothing() -> None:
    theirs = [moved("-5", REFUND, "re_1"), moved("5", REFUND, "re_1", days=3)]
    assert sides(compared([booked("0", REFUND, "re_1")], theirs)) == [("1047", D(0), D(0))]


def test_a_dispute_that_was_won_gave_its_money_back() -> None:
    theirs = [moved("-5", DISPUTE, "du_1"), moved("5", DISPUTE, "du_1", days=9)]
    assert sides(compared([booked("0", DISPUTE, "du_1")], theirs)) == [("1047", D(0), D(0))]


def test_a_charge_without_an_outcome_here_is_on_its_way_for_an_hour() -> None:
    just_now = moved(days=20 - 0.5 / 24)
    assert sides(compared([booked(settled=False)], [just_now])) == [
        ("1047", D("312.91"), D("312.91"))
    ]
    assert sides(compared([booked(settled=False)], [moved()])) == [("1047", D(0), D("312.91"))]


def test_a_charge_without_an_outcome_that_never_moved_is_nothing() -> None:
    assert compared([booked(settled=False)], []) == []


def test_a_payers_payment_of_which_nobody_told_us_yet_is_on_its_way_for_an_hour() -> None:
    known = {(CHARGE, "pi_1"): Stranger(account_number="1047", number=NUMBER)}
    just_now = moved(days=20 - 0.5 / 24)
    assert sides(compared([], [just_now], known)) == [("1047", D("312.91"), D("312.91"))]
    assert sides(compared([], [moved()], known)) == [("1047", D(0), D("312.91"))]


def test_what_belongs_to_another_months_time_is_left_to_that() -> None:
    after, before = moved(id="pi_2", days=11), moved(id="pi_3", days=-1)
    elsewhere = {(CHARGE, "pi_4"): Stranger(elsewhere=True)}
    theirs = [after, before, moved(id="pi_4")]
    assert compared([], theirs, elsewhere, until=SINCE + timedelta(days=10)) == []


def test_a_charge_of_ours_counts_where_it_was_begun() -> None:
    late = moved(days=11)
    assert sides(compared([booked()], [late], until=SINCE + timedelta(days=10))) == [
        ("1047", D("312.91"), D("312.91"))
    ]
