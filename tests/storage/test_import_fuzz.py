"""Whatever stands in a file: it is imported or refused by name, and never anything else."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from storage.importing.directory import KNOWN_FILES, import_directory
from storage.importing.problems import ImportRefused
from tests.builders import (
    NOW,
    SELLER,
    csv_text,
    customer_row,
    invoice_row,
    plan_entry,
    policy_entry,
    seed_billing,
    subscription_row,
    tax_rate_row,
    usage_row,
)

GOOD_ROWS = {
    "customers.csv": customer_row(dunning_policy=""),
    "subscriptions.csv": subscription_row(),
    "tax_rates.csv": tax_rate_row(),
    "usage.csv": usage_row(),
    "invoices.csv": invoice_row(paid_on="2026-02-17"),
}
CELLS = st.text(max_size=12) | st.sampled_from(
    ["", "0", "-1", "1e9", "9" * 15, "2026-02-03", "9999-12-31", "NaN", "\0", "\\N", "\\.", '"']
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def place(
    fresh_engine: Callable[[], AbstractContextManager[Engine]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Engine, Path]]:
    """A database with account 1047, and an empty folder."""
    with fresh_engine() as engine:
        seed_billing(engine, tmp_path_factory.mktemp("seed"))
        yield engine, tmp_path_factory.mktemp("fuzz")


def is_refused(place: tuple[Engine, Path], file: str, content: bytes) -> bool:
    """Whether the file is refused; any other exception is the test's failure."""
    engine, directory = place
    for leftover in directory.iterdir():
        leftover.unlink()
    (directory / file).write_bytes(content)
    try:
        import_directory(engine, directory, now=NOW)
    except ImportRefused as refusal:
        return refusal.problems.count > 0 and all(
            bad.file == file and bad.reason for bad in refusal.problems.rows
        )
    return False


@given(st.sampled_from(KNOWN_FILES), st.binary(max_size=60))
@example("usage.csv.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff")
@settings(max_examples=60)
def test_random_bytes_are_refused(place: tuple[Engine, Path], file: str, content: bytes) -> None:
    assert is_refused(place, file, content)


@given(st.sampled_from(sorted(GOOD_ROWS)), st.data())
@settings(max_examples=150)
def test_a_row_with_one_random_cell_is_imported_or_refused(
    place: tuple[Engine, Path], file: str, data: st.DataObject
) -> None:
    row = dict(GOOD_ROWS[file])
    column = data.draw(st.sampled_from(sorted(row)))
    row[column] = data.draw(CELLS)
    refused = is_refused(place, file, csv_text([row]).encode())
    assert refused or import_directory(place[0], place[1], now=NOW).added[file] == 0


@given(st.sampled_from(sorted(plan_entry())), JSON)
@settings(max_examples=80)
def test_a_plan_with_one_random_value_is_imported_or_refused(
    place: tuple[Engine, Path], key: str, value: object
) -> None:
    content = json.dumps([{**plan_entry(), key: value}]).encode()
    refused = is_refused(place, "plans.json", content)
    assert refused or import_directory(*place, now=NOW).added["plans.json"] == 0


@given(st.sampled_from(["code", "steps", "after_days", "notice", "retry", "cc"]), JSON)
@example("code", "\ud800")
@example("after_days", 10**400)
@example("cc", ["a@b.example", None])
@settings(max_examples=80)
def test_a_policy_with_one_random_value_is_imported_or_refused(
    place: tuple[Engine, Path], key: str, value: object
) -> None:
    policy = policy_entry()
    if key in policy:
        policy[key] = value
    else:
        policy["steps"][0][key] = value
    refused = is_refused(place, "dunning_policies.json", json.dumps([policy]).encode())
    assert refused or import_directory(*place, now=NOW).added["dunning_policies.json"] == 0


@given(st.sampled_from(sorted(SELLER)), JSON)
@settings(max_examples=80)
def test_a_seller_with_one_random_value_is_imported_or_refused(
    place: tuple[Engine, Path], key: str, value: object
) -> None:
    content = json.dumps({**SELLER, key: value}).encode()
    refused = is_refused(place, "seller.json", content)
    assert refused or import_directory(*place, now=NOW).added["seller.json"] <= 1
