"""plans.json, tax_rates.csv and seller.json."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, insert, select
from stdnum import bic, iban

from domain.errors import Conflict, InvalidValue
from domain.parties import PostalAddress, Seller
from domain.periods import overlap
from domain.plans import (
    Charge,
    ChargeModel,
    Interval,
    PlanKind,
    PlanPrice,
    Tier,
    charges_of,
)
from storage.importing import fields
from storage.importing.problems import Problems
from storage.importing.reading import read_json, read_records
from storage.master_data.price_versions import PriceVersions
from storage.price_list import load_prices
from storage.tables import tax_rates

TAX_RATE_COLUMNS = {
    "country": fields.country,
    "region": fields.text,
    "rate_percent": fields.percent,
    "name": fields.required,
    "valid_from": fields.day,
    "valid_to": fields.optional_day,
}
_PLAN_KEYS = {
    *("code", "name", "kind", "metric", "currency", "unit_price", "tiers", "valid_from"),
    *("charges", "minimum", "interval"),
}
_CHARGE_KEYS = {"metric", "model", "name", "tiers", "unit_price", "package_size"}
_TIER_KEYS = {"name", "up_to", "unit_price"}
_SELLER_KEYS = {
    *("name address_line1 postal_code city region country email phone website tax_number").split(),
    *("registration bank_name iban bic logo_svg").split(),
}


def read_plans(connection: Connection, path: Path, problems: Problems) -> list[PlanPrice]:
    """The prices of plans.json that are new, with the version that they will be.

    `line` in a problem is the plan's place in the list, from 1. A price that is known with
    another amount is a problem: a new price needs a `valid_from` of its own (optional key).
    """
    entries = read_json(path, problems)
    if not isinstance(entries, list):
        if entries is not None:
            problems.add(path.name, 1, "", "is not a list of plans")
        return []
    known = PriceVersions(load_prices(connection))
    new: list[PlanPrice] = []
    for place, entry in enumerate(entries, start=1):
        try:
            plan = _plan(entry)
            if known.same_as(plan) is None:
                new.append(known.add(plan))
        except KeyError as error:
            problems.add(path.name, place, "", f"is not a plan: it lacks the key {error}")
        except (ValueError, InvalidValue, Conflict) as error:
            problems.add(path.name, place, "", str(error))
    return new


def read_tax_rates(connection: Connection, path: Path, problems: Problems) -> list[dict[str, Any]]:
    """The rates of tax_rates.csv that are new. Two rates of one place may not overlap."""
    places: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in connection.execute(select(tax_rates)):
        places.setdefault((row.country, row.region), []).append(
            {name: getattr(row, name) for name in TAX_RATE_COLUMNS}
        )
    new: list[dict[str, Any]] = []
    for record in read_records(path, TAX_RATE_COLUMNS, problems):
        rate = record.values
        try:
            fields.require_state(rate["region"], rate["country"])
        except ValueError as reason:
            problems.add(path.name, record.line, "region", str(reason))
            continue
        known = places.setdefault((rate["country"], rate["region"]), [])
        if rate["valid_to"] is not None and rate["valid_to"] <= rate["valid_from"]:
            problems.add(path.name, record.line, "valid_to", "is not after valid_from")
        elif rate in known:
            continue
        elif any(overlap(_days(rate), _days(other)) for other in known):
            problems.add(
                path.name, record.line, "valid_from", "overlaps another rate of the same place"
            )
        else:
            known.append(rate)
            new.append(rate)
    return new


def write_tax_rates(connection: Connection, rates: list[dict[str, Any]]) -> None:
    if rates:
        connection.execute(insert(tax_rates), rates)


def read_seller(path: Path, problems: Problems) -> Seller | None:
    """The seller of seller.json; `logo_svg` may name an SVG file beside it."""
    data = read_json(path, problems)
    if data is None:
        return None
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        problems.add(path.name, 1, "", "is not an object of texts")
        return None
    before = problems.count
    for key in sorted(_SELLER_KEYS ^ data.keys()):
        problems.add(path.name, 1, key, "is missing" if key in _SELLER_KEYS else "is unknown")
    if problems.count > before:
        return None
    data = _seller_values(path, data, problems)
    if problems.count > before:
        return None
    address = PostalAddress(
        data.pop("address_line1"),
        data.pop("postal_code"),
        data.pop("city"),
        data.pop("region"),
        data.pop("country"),
    )
    return Seller(address=address, **data)


def _seller_values(path: Path, data: dict[str, str], problems: Problems) -> dict[str, str]:
    """Each value by its key's rule."""
    rules: dict[str, fields.Parser] = {
        **dict.fromkeys(_SELLER_KEYS, fields.text),
        **dict.fromkeys(["name", "address_line1", "city", "email"], fields.required),
        "tax_number": fields.required,
        "country": fields.country,
        "iban": lambda value: _checked(iban, value),
        "bic": lambda value: _checked(bic, value),
        "logo_svg": lambda value: _logo(path.parent, value),
    }
    values: dict[str, str] = {}
    for key in sorted(data):
        try:
            values[key] = rules[key](data[key])
        except ValueError as reason:
            problems.add(path.name, 1, key, str(reason))
    return values


def _checked(module: ModuleType, value: str) -> str:
    if not module.is_valid(value):
        raise ValueError(f"{value!r} has wrong check digits or form")
    return fields.text(value)


def _logo(folder: Path, value: str) -> str:
    """An SVG document as it is, or read from the file beside seller.json that `value` names."""
    svg = value.strip()
    if svg and not svg.startswith("<"):
        try:
            file = (folder / svg).resolve()
            if file.parent != folder.resolve():
                raise FileNotFoundError
            svg = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            raise ValueError(f"{value[:200]!r} is no file beside seller.json") from None
    if svg and (not svg.startswith("<") or "\0" in svg or not fields.is_whole_text(svg)):
        raise ValueError("is no SVG document")
    return svg


def _plan(entry: Any) -> PlanPrice:
    if not isinstance(entry, dict):
        raise ValueError("is not a plan but a single value")
    if unknown := set(entry) - _PLAN_KEYS:
        raise ValueError(f"unknown keys {', '.join(sorted(unknown))}")
    if "charges" in entry:
        entry = {"metric": None, "tiers": [], "unit_price": None, **entry}
    kind = PlanKind(entry["kind"])
    return PlanPrice(
        code=_text(entry, "code"),
        name=_text(entry, "name"),
        kind=kind,
        currency=fields.currency(_text(entry, "currency")),
        unit_price=_optional_price(entry["unit_price"]),
        charges=charges_of(
            kind,
            [_charge(charge) for charge in _list(entry, "charges")],
            None if entry["metric"] in (None, "") else _text(entry, "metric"),
            [_tier(tier) for tier in _list(entry, "tiers")],
        ),
        minimum=_optional_price(entry.get("minimum")),
        interval=Interval(entry.get("interval") or "month"),
        valid_from=fields.day(_text(entry, "valid_from")) if entry.get("valid_from") else date.min,
    )


def _charge(entry: Any) -> Charge:
    if not isinstance(entry, dict):
        raise ValueError("a charge is not a single value")
    if unknown := set(entry) - _CHARGE_KEYS:
        raise ValueError(f"unknown keys {', '.join(sorted(unknown))} of a charge")
    size = entry.get("package_size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
        raise ValueError(f"package_size {size!r} is neither a whole number nor null")
    return Charge(
        metric=_text(entry, "metric"),
        model=ChargeModel(entry.get("model") or "graduated"),
        tiers=tuple(_tier(tier) for tier in _list(entry, "tiers")),
        unit_price=_optional_price(entry.get("unit_price")),
        package_size=size,
        name=_text(entry, "name") if entry.get("name") else "",
    )


def _list(entry: dict[str, Any], key: str) -> list[Any]:
    value = entry.get(key, [])
    if not isinstance(value, list):
        raise ValueError(f"{key} is not a list")
    return value


def _optional_price(value: Any) -> Decimal | None:
    return None if value in (None, "") else _price(value)


def _tier(entry: Any) -> Tier:
    if not isinstance(entry, dict) or set(entry) != _TIER_KEYS:
        raise ValueError("a tier has exactly name, up_to and unit_price")
    up_to = entry["up_to"]
    if up_to is not None and (not isinstance(up_to, int) or isinstance(up_to, bool)):
        raise ValueError(f"up_to {up_to!r} is neither a whole number nor null")
    return Tier(_text(entry, "name"), up_to, _price(entry["unit_price"]))


def _text(entry: dict[str, Any], key: str) -> str:
    if not isinstance(entry[key], str):
        raise ValueError(f"{key} {entry[key]!r} is not a text")
    try:
        return fields.required(entry[key])
    except ValueError as reason:
        raise ValueError(f"{key} {reason}") from None


def _price(value: Any) -> Decimal:
    if not isinstance(value, str):
        raise ValueError(f'price {value!r} must be written as text, such as "0.0005"')
    return fields.amount(value)


def _days(rate: dict[str, Any]) -> tuple[date, date | None]:
    return rate["valid_from"], rate["valid_to"]
