"""A batch of events as programs send it: each is accepted, known before, set aside or rejected."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from domain.periods import BillingPeriod
from storage.engine import transaction
from storage.price_list import known_metrics
from storage.schema import make_partitions
from storage.usage.batches import Batch, begin_batch, record_batch
from storage.usage.events import (
    CLOCKS_DIFFER_BY,
    EARLIEST,
    OTHER_CONTENT,
    OTHER_IN_BATCH,
    TOO_EARLY,
)
from storage.usage.set_aside import waiting_among
from storage.usage.writing import (
    incoming_line,
    lay_out,
    other_content,
    write_incoming,
    written,
)


class Fate(StrEnum):
    """What becomes of an event. `set_aside`: kept until somebody has its account."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    SET_ASIDE = "set_aside"
    REJECTED = "rejected"


class SentEvent(NamedTuple):
    """An event that is well formed. `place`: where it stands in the batch, from 0.

    `occurred_at` has a time zone; `quantity` is written as `events.QUANTITY` has it.
    """

    place: int
    event_id: str
    account_number: str
    metric: str
    occurred_at: datetime
    quantity: str


class Judged(NamedTuple):
    """An event that was not simply accepted. `event_id` None: it had none."""

    place: int
    event_id: str | None
    fate: Fate
    reason: str


@dataclass(frozen=True)
class TakenIn:
    """What became of a batch; `others` has every event that was not accepted, in order."""

    accepted: int
    others: list[Judged] = field(default_factory=list)

    def count(self, fate: Fate) -> int:
        return sum(judged.fate is fate for judged in self.others)


def take_in(
    engine: Engine,
    sent: Sequence[SentEvent],
    malformed: Sequence[Judged] = (),
    *,
    now: datetime,
    time_zone: str,
    received_by: str,
) -> TakenIn:
    """Takes the batch in, all of it that can be billed, by one transaction.

    `malformed`: what came with it and is no event. `now`: an event more than five minutes behind
    it lies in the future; `time_zone`: the seller's. Sent again, each event is a duplicate.
    """
    with transaction(engine) as connection:
        lines, months, rejected = _sort(sent, known_metrics(connection), now)
        missing = _without_partition(connection, months)
    for month in missing:
        make_partitions(engine, month, month)
    with transaction(engine) as connection:
        begin_batch(connection)
        lay_out(connection, ["".join(lines)])
        result = write_incoming(connection, time_zone=time_zone, received_by=received_by)
        others = [*malformed, *rejected]
        if result.set_aside or result.doubled:
            by_place = {event.place: event for event in sent}
            others += [_aside(by_place[line]) for line in result.set_aside]
        if result.doubled:
            others += _doubled(connection, by_place, result.doubled)
        taken = TakenIn(sum(result.new.values()), sorted(others))
        record_batch(
            connection,
            Batch(
                received_by,
                result.first_day,
                taken.accepted,
                *(taken.count(fate) for fate in list(Fate)[1:]),
            ),
        )
    return taken


def _sort(
    sent: Iterable[SentEvent], metrics: set[str], now: datetime
) -> tuple[list[str], set[BillingPeriod], list[Judged]]:
    """The lines to write, the months (UTC) that they lie in, and what cannot be billed."""
    latest = now + CLOCKS_DIFFER_BY
    lines: list[str] = []
    days: set[date] = set()
    rejected: list[Judged] = []
    as_written: dict[str, str] = {}
    for event in sent:
        place, event_id, account, metric, occurred_at, quantity = event
        if metric not in metrics:
            reason = f"metric: {metric!r} is counted by no plan; add a usage plan for it first"
        elif occurred_at > latest:
            reason = "occurred_at: lies in the future"
        elif occurred_at < EARLIEST:
            reason = f"occurred_at: {TOO_EARLY}"
        else:
            moment = occurred_at.astimezone(UTC)
            days.add(date(moment.year, moment.month, 1))
            for name in (account, metric):
                if name not in as_written:
                    as_written[name] = written(name)
            lines.append(
                incoming_line(
                    place,
                    event_id,
                    as_written[account],
                    as_written[metric],
                    moment.isoformat(),
                    quantity,
                )
            )
            continue
        rejected.append(Judged(place, event_id, Fate.REJECTED, reason))
    return lines, {BillingPeriod.of(day) for day in days}, rejected


def _without_partition(
    connection: Connection, months: Iterable[BillingPeriod]
) -> list[BillingPeriod]:
    rows = connection.execute(
        text(
            "SELECT month FROM unnest(CAST(:months AS date[])) AS month "
            "WHERE to_regclass('billing_events_' || to_char(month, 'YYYY_MM')) IS NULL ORDER BY 1"
        ),
        {"months": [month.start for month in months]},
    )
    return [BillingPeriod.of(month) for month in rows.scalars()]


def _aside(event: SentEvent) -> Judged:
    return Judged(event.place, event.event_id, Fate.SET_ASIDE, _nobody_has(event))


def _nobody_has(event: SentEvent) -> str:
    return (
        f"account_number: {event.account_number!r} is no customer; kept until somebody assigns it"
    )


def _doubled(
    connection: Connection, by_place: Mapping[int, SentEvent], lines: Sequence[int]
) -> list[Judged]:
    """Of the events whose id was known: the same again, or another under its name."""
    changed = other_content(connection, lines)
    same = [by_place[line] for line in lines if line not in changed]
    waiting = waiting_among(connection, [event.event_id for event in same])
    judged = [
        Judged(
            event.place,
            event.event_id,
            Fate.DUPLICATE,
            _nobody_has(event) if event.event_id in waiting else "",
        )
        for event in same
    ]
    for line, (event_id, other) in changed.items():
        reason = OTHER_CONTENT if other is None else f"{OTHER_IN_BATCH} at index {other}"
        judged.append(
            Judged(line, event_id, Fate.REJECTED, f"event_id: {reason}; give it an id of its own")
        )
    return judged
