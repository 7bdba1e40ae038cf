"""Plans as people keep them: read with every version of their prices, added, priced anew."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select

from domain.errors import Conflict, NotFound
from domain.plans import Interval, PlanKind, PlanPrice, PriceBook
from storage.master_data.billed_months import begin_writing, require_no_cycle_since
from storage.master_data.price_versions import (
    PriceVersions,
    charge_alike,
    rewrite_price,
    write_prices,
)
from storage.master_data.telling import tell
from storage.price_list import load_prices
from storage.recurring import forget_from
from storage.snapshots import charges_to_json
from storage.tables import pricing_plans

SUBJECT = "plan"


class Standing(StrEnum):
    """Whether a version is the price of the day, was, or will be."""

    PAST = "past"
    IN_FORCE = "in_force"
    UPCOMING = "upcoming"


@dataclass(frozen=True)
class KeptPlan:
    """A plan with its prices by currency and version. `interval`: how often it is charged."""

    code: str
    name: str
    kind: PlanKind
    interval: Interval
    created_at: datetime
    prices: tuple[tuple[PlanPrice, Standing], ...]

    @property
    def metrics(self) -> list[str]:
        """All that a version of it counts."""
        return sorted({metric for price, _ in self.prices for metric in price.metrics})


def list_plans(
    connection: Connection, *, as_of: date, after: str | None, limit: int
) -> list[KeptPlan]:
    """The next `limit` plans behind code `after`, by code; standings are those of `as_of`."""
    code = pricing_plans.c.code
    query = select(pricing_plans).order_by(code).limit(limit)
    rows = connection.execute(query if after is None else query.where(code > after)).all()
    return _with_prices(connection, rows, as_of)


def load_plan(connection: Connection, code: str, *, as_of: date) -> KeptPlan:
    """Raises NotFound."""
    row = connection.execute(
        select(pricing_plans).where(pricing_plans.c.code == code)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no plan {code}.")
    return _with_prices(connection, [row], as_of)[0]


def add_plan(connection: Connection, first: PlanPrice, *, business_date: date, by: str) -> bool:
    """Adds a plan with its first price, with the audit entry; False where it is there already.

    Raises Conflict where the code is another plan's, or has other prices.
    """
    begin_writing(connection)
    versions = PriceVersions(load_prices(connection, first.code))
    if versions.same_as(first) is not None:
        return False
    if not versions.is_empty:
        raise Conflict(f"code: plan {first.code} is there; add its price under its own prices.")
    _write(connection, versions.add(first), "created", business_date, by)
    return True


def add_price(connection: Connection, price: PlanPrice, *, business_date: date, by: str) -> bool:
    """Adds a version of a plan's price that holds from its `valid_from` on, with the audit entry;
    False where that day has one already, which then charges what `price` does.

    A version may not begin in a month that has a cycle, where another one had been the price till
    then. The first price in a currency may: nobody was billed by one, and it mends who failed.
    A version that is there may not change once its month, or a later one, has a cycle.
    Raises Conflict for another name, kind or interval, and AlreadyBilled.
    """
    begin_writing(connection)
    versions = PriceVersions(load_prices(connection, price.code))
    known = versions.of_the_day(price)
    if known is None:
        if versions.before(price):
            require_no_cycle_since(connection, "valid_from", price.valid_from)
        _write(connection, versions.add(price), "price_added", business_date, by)
        return True
    if not charge_alike(known, price):
        require_no_cycle_since(connection, "valid_from", price.valid_from)
        _replace(connection, known, price, business_date, by)
    return False


def _write(
    connection: Connection, price: PlanPrice, event: str, business_date: date, by: str
) -> None:
    write_prices(connection, [price])
    forget_from(connection, price.valid_from)
    _tell(connection, price, event, _charged(price), business_date, by)


def _replace(
    connection: Connection, known: PlanPrice, price: PlanPrice, business_date: date, by: str
) -> None:
    """`known` keeps its version."""
    rewrite_price(connection, replace(price, version=known.version))
    forget_from(connection, known.valid_from)
    before, after = _charged(known), _charged(price)
    changed = {
        name: {"from": before[name], "to": after[name]}
        for name in before
        if before[name] != after[name]
    }
    _tell(connection, known, "price_replaced", changed, business_date, by)


def _charged(price: PlanPrice) -> dict[str, Any]:
    return {
        "unit_price": None if price.unit_price is None else f"{price.unit_price:f}",
        "charges": charges_to_json(price.charges),
        "minimum": None if price.minimum is None else f"{price.minimum:f}",
    }


def _tell(
    connection: Connection,
    price: PlanPrice,
    event: str,
    charged: dict[str, Any],
    business_date: date,
    by: str,
) -> None:
    details = {
        "currency": price.currency,
        "version": price.version,
        "valid_from": price.valid_from.isoformat(),
        **charged,
    }
    tell(connection, SUBJECT, price.code, event, details, business_date, by)


def _with_prices(connection: Connection, rows: Collection[Row[Any]], as_of: date) -> list[KeptPlan]:
    prices = load_prices(connection, *(row.code for row in rows)) if rows else []
    book = PriceBook(prices)
    by_code: dict[str, list[tuple[PlanPrice, Standing]]] = defaultdict(list)
    for price in sorted(prices, key=lambda price: (price.currency, price.version)):
        by_code[price.code].append((price, _standing(price, book, as_of)))
    return [
        KeptPlan(
            row.code,
            row.name,
            PlanKind(row.kind),
            Interval(row.interval),
            row.created_at,
            tuple(by_code[row.code]),
        )
        for row in rows
    ]


def _standing(price: PlanPrice, book: PriceBook, as_of: date) -> Standing:
    if price.valid_from > as_of:
        return Standing.UPCOMING
    is_current = book.price(price.code, price.currency, as_of) == price
    return Standing.IN_FORCE if is_current else Standing.PAST
