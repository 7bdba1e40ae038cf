"""Dunning policies by their code, and which customer has which.

A policy applies to the invoices that are issued afterwards: each keeps the steps that it began
with.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from domain.dunning import STANDARD_POLICY, DunningPolicy, DunningStep
from domain.errors import InvalidValue, NotFound
from storage import audit
from storage.collection import STANDARD
from storage.snapshots import policy_from_json, policy_to_json
from storage.tables import customers, dunning_policies

MOST_STEPS = 50
LATEST_DAY = 3_650
_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class NamedPolicy:
    """A policy under its code. `built_in`: the standard, which nobody has replaced."""

    code: str
    policy: DunningPolicy
    built_in: bool = field(default=False, kw_only=True)


def named_policy(code: str, steps: Iterable[DunningStep]) -> NamedPolicy:
    """A policy as it may be kept. Raises InvalidValue with the remedy."""
    if not _CODE.fullmatch(code):
        raise InvalidValue(
            f"{code!r} is no policy's code; use small letters, digits, - and _, such as net-60."
        )
    policy = DunningPolicy(tuple(steps))
    if len(policy.steps) > MOST_STEPS:
        raise InvalidValue(f"{len(policy.steps)} steps are too many; give at most {MOST_STEPS}.")
    if policy.steps and policy.steps[-1].after_days > LATEST_DAY:
        raise InvalidValue(
            f"A step {policy.steps[-1].after_days} days after is too late; give at most "
            f"{LATEST_DAY}."
        )
    return NamedPolicy(code, policy)


def list_policies(connection: Connection) -> list[NamedPolicy]:
    """All policies by code, the standard among them."""
    rows = connection.execute(select(dunning_policies).order_by(dunning_policies.c.code))
    found = [NamedPolicy(row.code, policy_from_json(row.steps)) for row in rows]
    if all(known.code != STANDARD for known in found):
        found.append(NamedPolicy(STANDARD, STANDARD_POLICY, built_in=True))
    return sorted(found, key=lambda known: known.code)


def load_policy(connection: Connection, code: str) -> NamedPolicy:
    """Raises NotFound."""
    for known in list_policies(connection):
        if known.code == code:
            return known
    raise NotFound(f"There is no dunning policy {code}.")


def policy_codes(connection: Connection) -> set[str]:
    """The codes that a customer may have."""
    return set(connection.execute(select(dunning_policies.c.code)).scalars())


def save_policy(
    connection: Connection, wanted: NamedPolicy, *, business_date: date, by: str
) -> NamedPolicy:
    """Makes or replaces a policy, with the audit entry; the same steps again change nothing."""
    steps = policy_to_json(wanted.policy)
    table = dunning_policies
    made = connection.execute(
        insert(table)
        .values(code=wanted.code, steps=steps)
        .on_conflict_do_nothing()
        .returning(table.c.code)
    ).one_or_none()
    before = connection.execute(
        select(table.c.steps).where(table.c.code == wanted.code).with_for_update()
    ).scalar_one()
    if made is None and before != steps:
        connection.execute(update(table).where(table.c.code == wanted.code).values(steps=steps))
    if made is not None or before != steps:
        details = {"steps": steps} if made else {"steps": steps, "before": before}
        audit.record(
            connection,
            audit.AuditEntry(
                business_date,
                by,
                "dunning_policy",
                wanted.code,
                "created" if made else "changed",
                details=details,
            ),
        )
    return NamedPolicy(wanted.code, wanted.policy)


def assign_policy(
    connection: Connection, account_number: str, code: str | None, *, business_date: date, by: str
) -> None:
    """Gives a customer the policy `code`, with the audit entry; None is the standard.

    Raises NotFound for an unknown account, InvalidValue for an unknown policy.
    """
    customer = connection.execute(
        select(customers.c.id, customers.c.dunning_policy)
        .where(customers.c.account_number == account_number)
        .with_for_update()
    ).one_or_none()
    if customer is None:
        raise NotFound(f"There is no customer {account_number}.")
    code = None if code == STANDARD else code
    if customer.dunning_policy == code:
        return
    if code is not None and code not in policy_codes(connection):
        raise InvalidValue(
            f"code: there is no dunning policy {code}; make it first, or give null for the "
            "standard."
        )
    connection.execute(
        update(customers).where(customers.c.id == customer.id).values(dunning_policy=code)
    )
    audit.record(
        connection,
        audit.AuditEntry(
            business_date,
            by,
            "customer",
            account_number,
            "dunning_policy_set",
            details={"from": customer.dunning_policy, "to": code},
        ),
    )
