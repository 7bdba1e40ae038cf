"""A rich small month, proved; and what somebody does to it behind the code's back."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from domain.crediting import RefundTo
from domain.periods import BillingPeriod
from domain.proof import Difference, Equation, Proof
from storage.banking import store_statement
from storage.crediting import CreditRequest, credit_invoice
from storage.cycles import move_cycle
from storage.engine import transaction
from storage.importing.statements import read_statement
from storage.proof.gathering import begin_proof, prove_books
from tests.builders import ACTOR, FEBRUARY, Subscriber, open_february, plan_all
from tests.storage.collecting import ON, charge, issue, lock, receive, rows, take_in

CUSTOMERS = (
    Subscriber("1001", 20_000),
    Subscriber("1002", 30_000, ("premium-support",)),
    Subscriber("1003", 500),
    Subscriber("1004", 0, plans=()),
    Subscriber("1005", 5_000, plans=()),
    Subscriber("1006", 150_000),
    Subscriber(
        "1047",
        247_891,
        ("premium-support",),
        columns={
            "payment_method": "card",
            "stripe_customer_id": "cus_1047",
            "stripe_payment_method_id": "pm_1047",
        },
    ),
)
"""1003 stays in the free tier, 1004 has nothing to bill, 1005 uses what no plan prices."""
STATEMENT = """\
:20:1
:25:37040044/532013000
:28C:7/1
:60F:C260305USD1000,00
:61:2603050305C200,00NTRFNONREF//W-1
:86:166?20{number}?32Brandt
:61:2603050305C33,00NTRFNONREF//W-2
:86:166?20no idea?32Somebody
:61:2603050305D10,00NTRFNONREF//W-3
:86:166?20fees of the account
:62F:C260305USD1223,00
-
"""


def bill_rich_month(engine: Engine, directory: Path) -> None:
    """February issued and closed; paid by wire and by card, one credited, one overpaid."""
    bill_and_close(engine, directory, CUSTOMERS)
    with transaction(engine) as connection:
        elsewhere = number_of(connection, "1001")
        receive(connection, "5.00", "by hand", number=elsewhere, method="other")
        charge(connection, "pi_1047", number=number_of(connection, "1047"))
        credited = lock(connection, number_of(connection, "1006"))
        credit_invoice(credited, CreditRequest("agreed", RefundTo.CREDIT, Decimal("10.00")))
        by_wire = number_of(connection, "1002")
        sent = STATEMENT.format(number=by_wire).encode()
        store_statement(connection, read_statement(sent), sent, uploaded_by=ACTOR, business_date=ON)
        take_in(connection, by_wire)


def bill_and_close(engine: Engine, directory: Path, customers: Sequence[Subscriber]) -> None:
    """February planned, issued and closed, in the transactions that a cycle has."""
    cycle = open_february(engine, directory, customers)
    plan_all(engine, cycle)
    with transaction(engine) as connection:
        move_cycle(connection, FEBRUARY, "planned", actor=ACTOR)
    with transaction(engine) as connection:
        move_cycle(connection, FEBRUARY, "issuing", actor=ACTOR)
    with transaction(engine) as connection:
        for (number,) in rows(connection, "SELECT number FROM invoices ORDER BY number"):
            issue(connection, number)
        move_cycle(connection, FEBRUARY, "closed", actor=ACTOR)


def number_of(connection: Connection, account: str) -> str:
    ((number,),) = rows(
        connection,
        "SELECT number FROM invoices JOIN customers ON customers.id = customer_id "
        "WHERE account_number = :a",
        a=account,
    )
    return str(number)


def prove(
    connection: Connection,
    month: BillingPeriod = FEBRUARY,
    *,
    time_zone: str = "UTC",
    as_of: date = ON,
) -> Proof:
    scope = begin_proof(connection, month, as_of=as_of, time_zone=time_zone, currency="USD")
    return prove_books(connection, scope)


def behind_its_back(connection: Connection, statement: str, **values: object) -> None:
    """Writes what no code of ours would, past the triggers and checks that PostgreSQL keeps."""
    connection.execute(_UNGUARD)
    changed = connection.execute(text(statement), values)
    assert changed.rowcount > 0, "nothing was changed, so nothing can be found"


_UNGUARD = text("""
    DO $$
    DECLARE
        guarded text;
        checked record;
    BEGIN
        FOREACH guarded IN ARRAY ARRAY['invoices', 'invoice_line_items', 'receivable_entries',
                                       'credit_entries'] LOOP
            EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', guarded);
        END LOOP;
        FOR checked IN SELECT conname, conrelid::regclass AS guarded FROM pg_constraint
                       WHERE contype = 'c' AND conrelid IN ('invoices'::regclass) LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', checked.guarded, checked.conname);
        END LOOP;
        DROP INDEX IF EXISTS invoices_one_per_period;
    END $$
""")

Named = tuple[Equation, str, str, Decimal, Decimal]


def named(proof: Proof) -> list[Named]:
    """Equation, account, subject, expected and found of each difference."""
    return [
        (row.equation, row.account_number, row.subject, row.expected, row.found)
        for row in proof.differences
    ]


def shown(differences: Sequence[Difference]) -> str:
    return "\n".join(str(row) for row in differences)
