"""The versions of plans' prices: which are known, and whether another fits beside them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, insert, select, update

from domain.errors import Conflict
from domain.plans import PlanPrice
from storage.snapshots import charges_to_json
from storage.tables import plan_prices, pricing_plans


class PriceVersions:
    """The prices known so far, of any plans."""

    def __init__(self, prices: Iterable[PlanPrice]) -> None:
        self._prices = list(prices)

    @property
    def is_empty(self) -> bool:
        return not self._prices

    def same_as(self, price: PlanPrice) -> PlanPrice | None:
        """The version that says what `price` says; None where `price` is new.

        Raises Conflict if it contradicts what is known.
        """
        known = self.of_the_day(price)
        if known is not None and not charge_alike(known, price):
            raise Conflict(
                f"plan {price.code} is known with another price in {price.currency}; give the new "
                "price a valid_from of its own, or correct that one under the plan's own prices"
            )
        return known

    def of_the_day(self, price: PlanPrice) -> PlanPrice | None:
        """The version in the same currency that begins on the same day, whatever it charges.

        Raises Conflict if the plan is known as another one.
        """
        for known in self._prices:
            if known.code == price.code and _plan_of(known) != _plan_of(price):
                raise Conflict(f"plan {price.code} is known with another name, kind or interval")
        for known in self._in_currency_of(price):
            if known.valid_from == price.valid_from:
                return known
        return None

    def before(self, price: PlanPrice) -> list[PlanPrice]:
        """The versions in the same currency that begin earlier."""
        return [
            known for known in self._in_currency_of(price) if known.valid_from < price.valid_from
        ]

    def add(self, price: PlanPrice) -> PlanPrice:
        """Takes `price` in under the next version of its currency."""
        versions = [known.version for known in self._in_currency_of(price)]
        numbered = replace(price, version=max(versions, default=0) + 1)
        self._prices.append(numbered)
        return numbered

    def _in_currency_of(self, price: PlanPrice) -> list[PlanPrice]:
        return [
            known
            for known in self._prices
            if (known.code, known.currency) == (price.code, price.currency)
        ]


def charge_alike(one: PlanPrice, other: PlanPrice) -> bool:
    return _charged(one) == _charged(other)


def write_prices(connection: Connection, prices: Iterable[PlanPrice]) -> None:
    """Adds `prices` with their versions, and the plans that are new."""
    ids: dict[str, int] = {
        row.code: row.id
        for row in connection.execute(select(pricing_plans.c.code, pricing_plans.c.id))
    }
    for price in prices:
        if price.code not in ids:
            ids[price.code] = connection.execute(
                insert(pricing_plans)
                .values(code=price.code, name=price.name, kind=price.kind, interval=price.interval)
                .returning(pricing_plans.c.id)
            ).scalar_one()
        connection.execute(
            insert(plan_prices).values(
                plan_id=ids[price.code],
                currency=price.currency,
                version=price.version,
                valid_from=price.valid_from,
                **price_values(price),
            )
        )


def rewrite_price(connection: Connection, price: PlanPrice) -> None:
    """Lets the version of `price`, which is there, charge what `price` charges."""
    plan_id = select(pricing_plans.c.id).where(pricing_plans.c.code == price.code)
    connection.execute(
        update(plan_prices)
        .where(
            plan_prices.c.plan_id == plan_id.scalar_subquery(),
            plan_prices.c.currency == price.currency,
            plan_prices.c.version == price.version,
        )
        .values(price_values(price))
    )


def price_values(price: PlanPrice) -> dict[str, Any]:
    """What a version charges, as its row has it."""
    return {
        "unit_price": price.unit_price,
        "charges": charges_to_json(price.charges),
        "minimum": price.minimum,
    }


def _charged(price: PlanPrice) -> tuple[Any, ...]:
    return price.unit_price, price.charges, price.minimum


def _plan_of(price: PlanPrice) -> tuple[str, str, str]:
    return price.name, price.kind, price.interval
