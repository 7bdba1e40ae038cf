"""Dunning policies by file: added once, given to customers, and then kept by Billwright."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select, text

from storage.audit import AuditFilter, list_entries
from storage.collection import policy_for
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.policies import assign_policy, list_policies
from storage.tables import customers
from tests.builders import (
    ISSUED_ON,
    NOW,
    Subscriber,
    policy_entry,
    write_billing_files,
    write_json,
)

STEPS = [
    {"after_days": 10, "notice": "reminder", "retry": True, "cc": ["legal@x.example"]},
    {"after_days": 60, "notice": "review_notice"},
]


def write_files(directory: Path, **policy_of: str) -> None:
    """The usual files, with a policy for each customer named."""
    write_billing_files(
        directory,
        [
            Subscriber(account.removeprefix("a"), columns={"dunning_policy": code})
            for account, code in policy_of.items()
        ],
    )
    write_json(directory / "dunning_policies.json", [policy_entry("patient", steps=STEPS)])


def policies(engine: Engine) -> dict[str, str | None]:
    """The policy of each customer."""
    with transaction(engine) as connection:
        rows = connection.execute(select(customers.c.account_number, customers.c.dunning_policy))
        return {row.account_number: row.dunning_policy for row in rows}


def rows(engine: Engine) -> list[tuple[Any, ...]]:
    with transaction(engine) as connection:
        return [
            tuple(row)
            for row in connection.execute(
                text(
                    "SELECT account_number, stripe_payment_method_id, dunning_policy "
                    "FROM customers ORDER BY 1"
                )
            )
        ]


def test_policies_are_imported_before_the_customers_who_have_them(
    engine: Engine, tmp_path: Path
) -> None:
    write_files(tmp_path, a1001="patient", a1002="", a1003="standard")
    added = import_directory(engine, tmp_path, now=NOW).added
    assert (added["dunning_policies.json"], added["customers.csv"]) == (1, 3)
    assert policies(engine) == {"1001": "patient", "1002": None, "1003": None}
    with transaction(engine) as connection:
        (known,) = [named for named in list_policies(connection) if not named.built_in]
        ids = dict(
            connection.execute(select(customers.c.account_number, customers.c.id)).tuples().all()
        )
        assert policy_for(connection, ids["1001"]) == known.policy
        assert policy_for(connection, ids["1002"]) != known.policy
        (told,) = list_entries(connection, AuditFilter(subject_kind="dunning_policy"), limit=9)
    first, last = known.policy.steps
    assert (first.after_days, first.retry, first.cc) == (10, True, ("legal@x.example",))
    assert (last.after_days, last.notice, last.retry) == (60, "review_notice", False)
    assert (told.actor, told.subject, told.event) == ("import", "patient", "created")


def test_the_same_files_again_add_nothing(engine: Engine, tmp_path: Path) -> None:
    write_files(tmp_path, a1001="patient")
    import_directory(engine, tmp_path, now=NOW)
    assert set(import_directory(engine, tmp_path, now=NOW).added.values()) == {0}


def test_a_file_may_be_older_than_what_billwright_keeps_by_itself(
    engine: Engine, tmp_path: Path
) -> None:
    """A policy given by a person and a card left by the payer are no contradiction."""
    write_files(tmp_path, a1001="patient")
    import_directory(engine, tmp_path, now=NOW)
    with transaction(engine) as connection:
        assign_policy(connection, "1001", None, business_date=ISSUED_ON, by="Ada")
        connection.execute(text("UPDATE customers SET stripe_payment_method_id = 'pm_new'"))
    assert set(import_directory(engine, tmp_path, now=NOW).added.values()) == {0}
    assert rows(engine) == [("1001", "pm_new", None)]


def test_a_policy_of_an_earlier_import_may_be_named(engine: Engine, tmp_path: Path) -> None:
    write_files(tmp_path, a1001="patient")
    import_directory(engine, tmp_path, now=NOW)
    write_files(tmp_path, a1002="patient")
    (tmp_path / "dunning_policies.json").unlink()
    import_directory(engine, tmp_path, now=NOW)
    assert policies(engine) == {"1001": "patient", "1002": "patient"}
