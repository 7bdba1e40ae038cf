"""What parameters a request may have: a shape by name, and everything else is refused."""

from collections.abc import Callable, Mapping
from typing import Any

from stack.card_sandbox.errors import Json, invalid

Reader = Callable[[Any, str], Any]
"""Takes the value as sent and its name; returns it as meant, or raises SandboxError."""
Shape = Mapping[str, Reader]


def read(params: Json, shape: Shape, *, required: tuple[str, ...] = (), prefix: str = "") -> Json:
    """`params` as `shape` reads them.

    Raises SandboxError for a name that the shape does not have, and for a required one that is
    missing: a mistake shows at once.
    """
    result = {}
    for name, value in params.items():
        full = f"{prefix}[{name}]" if prefix else name
        if name not in shape:
            raise invalid(
                f"Received unknown parameter: {full}",
                code="parameter_unknown",
                param=full,
                stored=False,
            )
        result[name] = shape[name](value, full)
    for name in required:
        if name not in result:
            full = f"{prefix}[{name}]" if prefix else name
            raise invalid(
                f"Missing required param: {full}.",
                code="parameter_missing",
                param=full,
                stored=False,
            )
    return result


def text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _malformed(name, "string")
    if not value:
        raise invalid(
            f"You passed an empty string for '{name}'. We assume empty values are an attempt to"
            f" unset a parameter; however '{name}' cannot be unset.",
            code="parameter_invalid_empty",
            param=name,
            stored=False,
        )
    return value


def integer(value: Any, name: str) -> int:
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and value.isascii():
        return int(value)
    raise invalid(
        f"Invalid integer: {value}", code="parameter_invalid_integer", param=name, stored=False
    )


def boolean(value: Any, name: str) -> bool:
    if value not in ("true", "false"):
        raise _malformed(name, "boolean")
    return bool(value == "true")


def metadata(value: Any, name: str) -> dict[str, str]:
    """Up to 50 entries of text, as Stripe allows."""
    if value == "":
        return {}
    if not isinstance(value, dict) or len(value) > 50:
        raise _malformed(name, "hash of up to 50 entries")
    for key, entry in value.items():
        if not isinstance(entry, str) or len(key) > 40 or len(entry) > 500:
            raise _malformed(f"{name}[{key}]", "string of up to 500 characters")
    return value


def one_of(*allowed: str) -> Reader:
    def choose(value: Any, name: str) -> str:
        if value not in allowed:
            raise invalid(
                f"Invalid {name}: must be one of {', '.join(allowed)}", param=name, stored=False
            )
        return str(value)

    return choose


def array(of: Reader) -> Reader:
    def each(value: Any, name: str) -> list[Any]:
        if not isinstance(value, list):
            raise _malformed(name, "array")
        return [of(item, f"{name}[{number}]") for number, item in enumerate(value)]

    return each


def shape(fields: Shape, *, required: tuple[str, ...] = ()) -> Reader:
    def nested(value: Any, name: str) -> Json:
        if not isinstance(value, dict):
            raise _malformed(name, "hash")
        return read(value, fields, required=required, prefix=name)

    return nested


def moment(value: Any, name: str) -> Json:
    """A time as a filter: seconds since the epoch, or bounds such as `created[gte]`."""
    if isinstance(value, dict):
        bounds: Json = shape(dict.fromkeys(("gt", "gte", "lt", "lte"), integer))(value, name)
        return bounds
    at = integer(value, name)
    return {"gte": at, "lte": at}


def _malformed(name: str, kind: str) -> Exception:
    return invalid(f"Invalid {kind}: {name}", param=name, stored=False)


EXPAND: Shape = {"expand": array(text)}
LISTING: Shape = {
    **EXPAND,
    "limit": integer,
    "starting_after": text,
    "ending_before": text,
    "created": moment,
}
