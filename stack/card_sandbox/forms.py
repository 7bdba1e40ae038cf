"""Stripe's form encoding: `line_items[0][price_data][currency]=usd`."""

import re
from typing import Any
from urllib.parse import parse_qsl

from stack.card_sandbox.errors import Json, invalid

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_KEY = re.compile(r"\[([^\[\]]*)\]")
_DEEPEST = 8


def parse_form(encoded: str) -> Json:
    """The parameters of a request; values are text, lists where the keys are numbers or empty.

    Raises SandboxError for a name that is not well formed.
    """
    fields: Json = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        match = _NAME.fullmatch(name)
        keys = _KEY.findall(match[2]) if match else []
        if match is None or len(keys) > _DEEPEST:
            raise invalid(f"Invalid parameter name: {name}", param=name, stored=False)
        _put(fields, [match[1], *keys], value)
    return {name: _with_lists(value) for name, value in fields.items()}


def _put(fields: Json, keys: list[str], value: str) -> None:
    """Writes `value` at the path `keys`; an empty key takes the next number."""
    here = fields
    for key in keys[:-1]:
        here = here.setdefault(key or str(len(here)), {})
        if not isinstance(here, dict):
            raise invalid(f"Invalid parameter: {keys[0]}", param=keys[0], stored=False)
    last = keys[-1] or str(len(here))
    if isinstance(here.get(last), dict):
        raise invalid(f"Invalid parameter: {keys[0]}", param=keys[0], stored=False)
    here[last] = value


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _with_lists(child) for key, child in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner
