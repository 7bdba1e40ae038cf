"""What the reminders achieve: cases and the money they brought, by month and by step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row

from domain.periods import BillingPeriod
from domain.reporting import (
    ExchangeRate,
    RecoveryStep,
    days_sales_outstanding,
    percent,
    three_months_to,
)
from storage.reports.collections_queries import CASES, RECEIVABLES
from storage.reports.currencies import INVOICED_CURRENCIES, Conversion, load_rates


@dataclass(frozen=True)
class Recovered:
    """Cases settled on a step, and the money that came on it."""

    step: RecoveryStep
    settled: int
    recovered: Decimal


@dataclass(frozen=True)
class CollectedMonth:
    """One month up to `until`, inclusive: what moved in it, and what stood at its end.

    `unaided`: settled without a person, in percent of all settled; None where none was.
    `dso`: days sales outstanding; None where nothing was billed. Both changes are against the
    month before, None where either is None.
    """

    month: BillingPeriod
    until: date
    opened: int
    settled: int
    recovered: Decimal
    steps: tuple[Recovered, ...]
    unaided: Decimal | None
    unaided_change: Decimal | None
    open_cases: int
    open_amount: Decimal
    receivables: Decimal
    billed: Decimal
    dso: Decimal | None
    dso_change: Decimal | None


@dataclass(frozen=True)
class Collections:
    """The months up to that of `as_of`, oldest first, and their sums."""

    as_of: date
    currency: str
    opened: int
    settled: int
    recovered: Decimal
    steps: tuple[Recovered, ...]
    unaided: Decimal | None
    months: tuple[CollectedMonth, ...]
    rates: Sequence[ExchangeRate]


def collections(connection: Connection, *, as_of: date, currency: str, months: int) -> Collections:
    """`months`: how many, at least 1; that of `as_of` is the last. Raises MissingExchangeRate.

    Every amount is converted by the rate of `as_of`, so that the months can be compared.
    """
    shown = _months_to(as_of, months + 1)  # the first has its change too
    known = connection.execute(INVOICED_CURRENCIES).scalars()
    conversion = Conversion(load_rates(connection, currency, as_of), known)
    ends = [*(month.last_day for month in shown[:-1]), as_of]
    asked = {
        "starts": [month.start for month in shown],
        "first": shown[0].start,
        "ends": ends,
        "since": [three_months_to(end) for end in ends],
        "as_of": as_of,
        **conversion.parameters,
    }
    cases = connection.execute(CASES, asked).all()
    balances = connection.execute(RECEIVABLES, asked).all()
    found: list[CollectedMonth] = []
    for place, (month, until) in enumerate(zip(shown, ends, strict=True), start=1):
        found.append(
            _month(
                month,
                until,
                [row for row in cases if row.month == place],
                [row for row in balances if row.month == place],
                conversion.nothing,
                found[-1] if found else None,
            )
        )
    told = found[1:]
    steps = _total(told, conversion.nothing)
    return Collections(
        as_of=as_of,
        currency=currency,
        opened=sum(month.opened for month in told),
        settled=sum(month.settled for month in told),
        recovered=sum((month.recovered for month in told), conversion.nothing),
        steps=steps,
        unaided=_unaided(steps),
        months=tuple(told),
        rates=conversion.shown,
    )


def _months_to(as_of: date, count: int) -> list[BillingPeriod]:
    found = [BillingPeriod.of(as_of)]
    while len(found) < count:
        found.insert(0, found[0].previous())
    return found


def _month(
    month: BillingPeriod,
    until: date,
    cases: Iterable[Row[Any]],
    balances: Iterable[Row[Any]],
    nothing: Decimal,
    before: CollectedMonth | None,
) -> CollectedMonth:
    moved = [row for row in cases if row.step is not None]
    standing = [row for row in cases if row.step is None]
    steps = tuple(
        Recovered(
            step,
            sum(row.settled for row in moved if row.step == step),
            sum((row.amount for row in moved if row.step == step), nothing),
        )
        for step in RecoveryStep
    )
    owed = sum((row.owed for row in balances), nothing)
    billed = sum((row.billed for row in balances), nothing)
    unaided = _unaided(steps)
    dso = days_sales_outstanding(owed, billed, (until - three_months_to(until)).days + 1)
    return CollectedMonth(
        month=month,
        until=until,
        opened=sum(row.opened for row in moved),
        settled=sum(step.settled for step in steps),
        recovered=sum((step.recovered for step in steps), nothing),
        steps=steps,
        unaided=unaided,
        unaided_change=_change(unaided, before.unaided if before else None),
        open_cases=sum(row.opened for row in standing),
        open_amount=sum((row.amount for row in standing), nothing),
        receivables=owed,
        billed=billed,
        dso=dso,
        dso_change=_change(dso, before.dso if before else None),
    )


def _total(months: Iterable[CollectedMonth], nothing: Decimal) -> tuple[Recovered, ...]:
    by_step = zip(*(month.steps for month in months), strict=True)
    return tuple(
        Recovered(
            step,
            sum(part.settled for part in parts),
            sum((part.recovered for part in parts), nothing),
        )
        for step, parts in zip(RecoveryStep, by_step, strict=True)
    )


def _unaided(steps: Iterable[Recovered]) -> Decimal | None:
    settled = {step.step: Decimal(step.settled) for step in steps}
    everything = sum(settled.values(), Decimal(0))
    return percent(everything - settled[RecoveryStep.MANUAL_REVIEW], everything)


def _change(now: Decimal | None, before: Decimal | None) -> Decimal | None:
    return None if now is None or before is None else now - before
