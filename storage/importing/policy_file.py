"""dunning_policies.json."""

from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from domain.dunning import DunningStep
from domain.emails import EmailKind
from domain.errors import InvalidValue
from storage.importing import fields
from storage.importing.problems import Problems
from storage.importing.reading import ACTOR, read_json
from storage.policies import NamedPolicy, list_policies, named_policy, save_policy

_POLICY_KEYS = {"code", "steps"}
_STEP_KEYS = {"after_days", "notice", "retry", "cc"}


def read_policies(connection: Connection, path: Path, problems: Problems) -> list[NamedPolicy]:
    """The policies that are new; one that is known with other steps is a problem.

    `line` in a problem is the policy's place in the list, from 1.
    """
    entries = read_json(path, problems)
    if not isinstance(entries, list):
        if entries is not None:
            problems.add(path.name, 1, "", "is not a list of policies")
        return []
    known = {named.code: named for named in list_policies(connection) if not named.built_in}
    seen: dict[str, int] = {}
    new: list[NamedPolicy] = []
    for place, entry in enumerate(entries, start=1):
        try:
            named = _policy(entry)
            if named.code in seen:
                raise ValueError(f"{named.code} stands in place {seen[named.code]} too")
            seen[named.code] = place
            if named.code not in known:
                new.append(named)
            elif named.policy != known[named.code].policy:
                raise ValueError(
                    f"policy {named.code} exists with other steps; change it there, not by import"
                )
        except (ValueError, InvalidValue) as error:
            problems.add(path.name, place, "", str(error))
    return new


def write_policies(connection: Connection, policies: list[NamedPolicy], *, today: date) -> None:
    """Adds `policies`, each with its audit entry."""
    for named in policies:
        save_policy(connection, named, business_date=today, by=ACTOR)


def _policy(entry: Any) -> NamedPolicy:
    if not isinstance(entry, dict) or set(entry) != _POLICY_KEYS:
        raise ValueError("a policy has exactly code and steps")
    if not isinstance(entry["code"], str):
        raise ValueError(f"code {entry['code']!r} is not a text")
    if not isinstance(entry["steps"], list):
        raise ValueError("steps is not a list")
    return named_policy(entry["code"], [_step(step) for step in entry["steps"]])


def _step(entry: Any) -> DunningStep:
    if not isinstance(entry, dict) or not {"after_days", "notice"} <= set(entry) <= _STEP_KEYS:
        raise ValueError("a step has after_days and notice, and may have retry and cc")
    days, retry, cc = entry["after_days"], entry.get("retry", False), entry.get("cc", [])
    if type(days) is not int:
        raise ValueError(f"after_days {days!r} is not a whole number")
    if not isinstance(retry, bool):
        raise ValueError(f"retry {retry!r} is neither true nor false")
    if not isinstance(cc, list) or not all(isinstance(address, str) for address in cc):
        raise ValueError("cc is not a list of e-mail addresses")
    return DunningStep(days, _notice(entry["notice"]), retry, tuple(map(_address, cc)))


def _notice(value: Any) -> EmailKind:
    try:
        return EmailKind(value)
    except ValueError:
        raise ValueError(
            f"notice {value!r} is none of reminder, urgent_notice, review_notice"
        ) from None


def _address(value: str) -> str:
    addresses = fields.emails(value)
    if len(addresses) > 1:
        raise ValueError(f"cc {value!r} holds several addresses; give each an entry of its own")
    return addresses[0]
