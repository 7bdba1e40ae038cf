"""Tax rates as people keep them: listed, added, ended, withdrawn.

No change reaches back into a billed month.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, or_, select, tuple_, update

from domain.errors import AlreadyBilled, Conflict, InvalidField, NotFound, TooLateToWithdraw
from domain.periods import overlap
from domain.tax import TaxRate
from storage.importing.fields import require_state
from storage.master_data.billed_months import begin_writing, require_untaxed
from storage.master_data.telling import tell, written_day
from storage.tables import tax_rates

SUBJECT = "tax_rate"


@dataclass(frozen=True)
class KeptTaxRate:
    """A place's rate on the days `[valid_from, valid_to)`; `region` is empty for the whole country,
    `valid_to` None: open-ended.
    """

    id: int
    country: str
    region: str
    rate_percent: Decimal
    name: str
    valid_from: date
    valid_to: date | None

    @property
    def place(self) -> str:
        """Its business key: what came before and after it has the same."""
        return place_of(self.country, self.region)

    @property
    def days(self) -> str:
        until = f" to {self.valid_to}, exclusive" if self.valid_to else " on"
        return f"from {self.valid_from}{until}"


@dataclass(frozen=True)
class TaxRateFilter:
    """Which rates to list; None means any. `on`: those that are valid on the day."""

    country: str | None = None
    on: date | None = None


_ORDER = (tax_rates.c.country, tax_rates.c.region, tax_rates.c.valid_from)


def place_of(country: str, region: str) -> str:
    """The place as the audit log names it, such as "DE" or "US-NY"."""
    return f"{country}-{region}" if region else country


def list_tax_rates(
    connection: Connection,
    wanted: TaxRateFilter,
    *,
    after: tuple[str, str, date] | None,
    limit: int,
) -> list[KeptTaxRate]:
    """The next `limit` rates behind `after`, by country, region and first day."""
    rate = tax_rates.c
    conditions: list[ColumnElement[bool]] = []
    if wanted.country is not None:
        conditions.append(rate.country == wanted.country)
    if wanted.on is not None:
        conditions.append(rate.valid_from <= wanted.on)
        conditions.append(or_(rate.valid_to.is_(None), rate.valid_to > wanted.on))
    if after is not None:
        conditions.append(tuple_(*_ORDER) > after)
    rows = connection.execute(select(tax_rates).where(*conditions).order_by(*_ORDER).limit(limit))
    return [_kept(row) for row in rows]


def load_tax_rate(connection: Connection, id: int) -> KeptTaxRate:
    """Raises NotFound."""
    row = connection.execute(select(tax_rates).where(tax_rates.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no tax rate {id}.")
    return _kept(row)


def add_tax_rate(
    connection: Connection, rate: TaxRate, *, ends_previous: bool, business_date: date, by: str
) -> KeptTaxRate:
    """Adds a rate, with the audit entry. `ends_previous`: the open-ended rate of the same place
    that begins earlier ends on the first day of this one.

    Raises InvalidField for a place in the US without its state, AlreadyBilled where the last day of
    a billed month would be taxed otherwise, Conflict where another rate of the place overlaps or
    there is none to end.
    """
    begin_writing(connection)
    try:
        require_state(rate.region, rate.country)
    except ValueError as reason:
        raise InvalidField("region", str(reason)) from None
    place = (rate.country, rate.region)
    others = _rates_of(connection, place)
    after = rate.valid_to
    details: dict[str, Any] = {}
    if ends_previous:
        previous = _previous(others, rate)
        # behind this rate there is none, where there was the one before
        after = None
        details["ended"] = {"id": previous.id, "valid_to": rate.valid_from.isoformat()}
        _set_end(connection, previous.id, rate.valid_from)
        others = [other for other in others if other.id != previous.id]
    _require_alone(others, "valid_from", rate.valid_from, rate.valid_to)
    require_untaxed(connection, "valid_from", place, rate.valid_from, after)
    id = connection.execute(
        insert(tax_rates).values(vars(rate)).returning(tax_rates.c.id)
    ).scalar_one()
    added = load_tax_rate(connection, id)
    tell(connection, SUBJECT, added.place, "created", details | _details(added), business_date, by)
    return added


def end_tax_rate(
    connection: Connection, id: int, valid_to: date | None, *, business_date: date, by: str
) -> KeptTaxRate:
    """Lets the rate end on `valid_to`, its first day without; None takes the end away.

    The same end again changes nothing. Raises NotFound, InvalidField for an end that is not after
    the beginning, AlreadyBilled, and Conflict where another rate of the place follows.
    """
    begin_writing(connection)
    rate = load_tax_rate(connection, id)
    if rate.valid_to == valid_to:
        return rate
    if valid_to is not None and valid_to <= rate.valid_from:
        raise InvalidField("valid_to", f"{valid_to} is not after {rate.valid_from}, its first day.")
    place = (rate.country, rate.region)
    others = [other for other in _rates_of(connection, place) if other.id != id]
    _require_alone(others, "valid_to", rate.valid_from, valid_to)
    ends = sorted(end for end in (rate.valid_to, valid_to) if end is not None)
    require_untaxed(connection, "valid_to", place, ends[0], ends[1] if len(ends) > 1 else None)
    _set_end(connection, id, valid_to)
    details = {
        "id": id,
        "valid_to": {"from": written_day(rate.valid_to), "to": written_day(valid_to)},
    }
    tell(connection, SUBJECT, rate.place, "changed", details, business_date, by)
    return load_tax_rate(connection, id)


def withdraw_tax_rate(connection: Connection, id: int, *, business_date: date, by: str) -> None:
    """Takes the rate back as if it had never been, with the audit entry of what it was.

    A rate that ended for it stays ended: `end_tax_rate` with None gives it its days back.
    Raises NotFound, and TooLateToWithdraw where a month was billed by the place's tax in its days.
    """
    begin_writing(connection)
    rate = load_tax_rate(connection, id)
    try:
        place = (rate.country, rate.region)
        require_untaxed(connection, "valid_to", place, rate.valid_from, rate.valid_to)
    except AlreadyBilled as billed:
        raise TooLateToWithdraw(f"Tax rate {id}", billed) from billed
    connection.execute(delete(tax_rates).where(tax_rates.c.id == id))
    tell(connection, SUBJECT, rate.place, "withdrawn", _details(rate), business_date, by)


def _rates_of(connection: Connection, place: tuple[str, str]) -> list[KeptTaxRate]:
    rate = tax_rates.c
    rows = connection.execute(
        select(tax_rates)
        .where(rate.country == place[0], rate.region == place[1])
        .order_by(rate.valid_from)
    )
    return [_kept(row) for row in rows]


def _previous(others: list[KeptTaxRate], rate: TaxRate) -> KeptTaxRate:
    for other in others:
        if other.valid_to is None and other.valid_from < rate.valid_from:
            return other
    place = place_of(rate.country, rate.region)
    raise Conflict(
        f"ends_previous: {place} has no open-ended rate that begins before {rate.valid_from}; "
        "leave it out."
    )


def _require_alone(
    others: list[KeptTaxRate], field: str, valid_from: date, valid_to: date | None
) -> None:
    """Raises Conflict with the other rate that `[valid_from, valid_to)` overlaps."""
    for other in others:
        if overlap((valid_from, valid_to), (other.valid_from, other.valid_to)):
            raise Conflict(
                f"{field}: overlaps tax rate {other.id} of {other.place}, "
                f"{other.rate_percent.normalize():f} % {other.days}; end that one first (with "
                "ends_previous in one go), or choose other days."
            )


def _set_end(connection: Connection, id: int, valid_to: date | None) -> None:
    connection.execute(update(tax_rates).where(tax_rates.c.id == id).values(valid_to=valid_to))


def _kept(row: Row[Any]) -> KeptTaxRate:
    return KeptTaxRate(**row._mapping)


def _details(rate: KeptTaxRate) -> dict[str, Any]:
    return {
        "id": rate.id,
        "rate_percent": f"{rate.rate_percent:f}",
        "name": rate.name,
        "valid_from": written_day(rate.valid_from),
        "valid_to": written_day(rate.valid_to),
    }
