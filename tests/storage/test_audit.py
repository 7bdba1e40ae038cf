"""The audit log: which day it is, where days are not real ones."""

from datetime import date

import pytest
from sqlalchemy import Connection, Engine

from storage.access import Role
from storage.audit import AuditEntry, last_business_date, record
from storage.engine import transaction
from storage.people import Change, add_person
from storage.policies import named_policy, save_policy

PASSWORD = "a sentence of some length"
IN_THE_DEMONSTRATION, IN_EARNEST = date(2026, 3, 7), date(2026, 11, 26)


def test_a_log_without_billing_tells_no_day(engine: Engine) -> None:
    with transaction(engine) as connection:
        assert last_business_date(connection) is None


@pytest.mark.parametrize(
    ("subject_kind", "subject"), [("invoice", "INV-2026-02-0001"), ("cycle", "2026-02")]
)
def test_what_is_billed_tells_the_day(engine: Engine, subject_kind: str, subject: str) -> None:
    with transaction(engine) as connection:
        for day in (date(2026, 3, 9), IN_THE_DEMONSTRATION):
            record(connection, AuditEntry(day, "test", subject_kind, subject, "moved"))
        assert last_business_date(connection) == IN_THE_DEMONSTRATION


def test_what_people_change_by_hand_tells_no_day(engine: Engine) -> None:
    with transaction(engine) as connection:
        entry = AuditEntry(IN_THE_DEMONSTRATION, "test", "invoice", "INV-2026-02-0001", "issued")
        record(connection, entry)
        _change_by_hand(connection)
        assert last_business_date(connection) == IN_THE_DEMONSTRATION


def _change_by_hand(connection: Connection) -> None:
    change = Change("command line", IN_EARNEST)
    add_person(
        connection, "ada@b.example", "Ada", Role.FINANCE, "a sentence of some length", change
    )
    never = named_policy("never", ())
    save_policy(connection, never, business_date=IN_EARNEST, by="command line")
    uploaded = AuditEntry(IN_EARNEST, "Ada", "bank_statement", "1", "uploaded")
    waiting = AuditEntry(IN_EARNEST, "Ada", "bank_transaction", "R1", "unmatched")
    record(connection, uploaded, waiting)
