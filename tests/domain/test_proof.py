"""Both sides weighed: what agrees is summed, what does not is named."""

from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from domain.proof import (
    LAWS,
    Difference,
    Entry,
    Equation,
    Part,
    Proof,
    ProofStatus,
    Weighed,
    not_checked,
    weigh,
)

LINES = Equation.LINES


def entry(account: str = "1047", expected: str = "1", found: str = "1", unit: str = "USD") -> Entry:
    return Entry(unit, account, D(expected), D(found), f"of {account}", explanation="why")


def test_entries_that_agree_are_a_balance_by_unit() -> None:
    proof = weigh(LINES, [entry(), entry("1048", "2", "2"), entry(unit="EUR")])
    assert proof.equations == (Weighed(LINES, "EUR", D(1), D(1)), Weighed(LINES, "USD", D(3), D(3)))
    assert proof.status is ProofStatus.BALANCED


def test_an_entry_on_which_the_sides_differ_is_named() -> None:
    proof = weigh(LINES, [entry(), entry("1048", "100", "90")])
    assert proof.differences == (Difference(LINES, "USD", "1048", "of 1048", D(100), D(90), "why"),)
    assert proof.differences[0].difference == proof.equations[0].difference == D(-10)
    assert proof.status is ProofStatus.ALARM


def test_two_differences_that_cancel_each_other_out_are_an_alarm() -> None:
    proof = weigh(LINES, [entry(expected="5", found="4"), entry("1048", "5", "6")])
    assert proof.equations[0].difference == 0
    assert proof.status is ProofStatus.ALARM


def test_parts_are_summed_by_name_and_counted() -> None:
    entries = [
        Entry("USD", "1", D(3), D(3), parts=(("late", D(1)), ("billed", D(2)))),
        Entry("USD", "2", D(4), D(4), parts=(("late", D(0)), ("billed", D(4)))),
    ]
    (row,) = weigh(LINES, entries).equations
    assert row.parts == (Part("late", D(1), 1), Part("billed", D(6), 2))


def test_nothing_on_both_sides_is_balanced() -> None:
    assert weigh(LINES, []).equations == (Weighed(LINES, "", D(0), D(0)),)


def test_what_cannot_be_checked_is_never_balanced() -> None:
    proof = weigh(LINES, [entry()]) + not_checked(Equation.CARD_PAYMENTS, "Stripe is away")
    assert proof.status is ProofStatus.INCOMPLETE
    assert (proof + weigh(LINES, [entry(found="2")])).status is ProofStatus.ALARM


def test_equations_come_in_the_order_in_which_they_are_shown() -> None:
    proof = not_checked(Equation.CARD_PAYMENTS, "away") + weigh(Equation.USAGE_COUNTED, [])
    shown = [row.equation for row in proof.equations]
    assert shown == [Equation.USAGE_COUNTED, Equation.CARD_PAYMENTS]


def test_every_equation_is_told_as_a_sentence_and_those_of_a_part_stand_together() -> None:
    assert list(LAWS) == list(Equation)
    assert all(law.sentence.endswith(".") for law in LAWS.values())
    parts = [law.part for law in LAWS.values()]
    assert [p for n, p in enumerate(parts) if n == 0 or parts[n - 1] != p] == list(
        dict.fromkeys(parts)
    )


AMOUNTS = st.integers(-5, 5).map(D)
ENTRIES = st.lists(
    st.builds(Entry, st.sampled_from(["USD", "EUR"]), st.text("12", max_size=2), AMOUNTS, AMOUNTS)
)


@given(ENTRIES)
def test_the_differences_are_all_of_what_the_sides_differ_by(entries: list[Entry]) -> None:
    proof = weigh(LINES, entries)
    for row in proof.equations:
        mine = [d.difference for d in proof.differences if d.unit == row.unit]
        assert sum(mine) == row.difference
    is_wrong = any(entry.expected != entry.found for entry in entries)
    assert (proof.status is ProofStatus.ALARM) == is_wrong


@given(ENTRIES, ENTRIES)
def test_no_order_of_parts_changes_a_proof(some: list[Entry], others: list[Entry]) -> None:
    one, other = weigh(LINES, some), weigh(Equation.TAXES, others)
    assert one + other == other + one
    assert one + Proof((), ()) == one
