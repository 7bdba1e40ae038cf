"""Which month is to be billed next by itself, by the cycles that there are."""

from dataclasses import dataclass

from sqlalchemy import Connection, exists, select

from domain.monthly_billing import MonthlyRule
from domain.periods import BillingPeriod
from settings import Settings
from storage.cycles import load_cycle
from storage.planning import Cycle
from storage.tables import audit_log, billing_cycles


def monthly_rule(settings: Settings) -> MonthlyRule:
    """The rule that the settings give."""
    starts = settings.billing_starts
    return MonthlyRule(
        settings.billing_day,
        settings.billing_time,
        BillingPeriod.parse(starts) if starts is not None else None,
    )


@dataclass(frozen=True)
class NextMonth:
    """The month whose turn it is, whether it is due yet or not.

    `cycle`: the month's own, where it was begun and is not closed.
    `last`: the latest month that has a closed cycle; None: there is none, or it is `period`'s turn
    because that was begun.
    `discarded`: a person threw the month's plan away, and nobody has started it again.
    """

    period: BillingPeriod
    cycle: Cycle | None = None
    last: BillingPeriod | None = None
    discarded: bool = False

    @property
    def waits(self) -> str:
        """For what a person has to do something; "" where nothing is."""
        if self.discarded:
            return f"The plan of {self.period} was discarded; start the month again."
        return ""


def next_month(connection: Connection, rule: MonthlyRule) -> NextMonth:
    """The latest month's where its cycle is not closed, else the one behind it.

    A month that was left out between two cycles is a person's. Raises NoFirstMonth.
    """
    latest = connection.execute(
        select(billing_cycles.c.period_start, billing_cycles.c.status)
        .order_by(billing_cycles.c.period_start.desc())
        .limit(1)
    ).one_or_none()
    last = BillingPeriod.of(latest.period_start) if latest else None
    if last is not None and latest is not None and latest.status != "closed":
        return NextMonth(last, load_cycle(connection, last))
    period = rule.next_period(last)
    return NextMonth(period, last=last, discarded=_was_discarded(connection, period))


def _was_discarded(connection: Connection, period: BillingPeriod) -> bool:
    log = audit_log.c
    told = exists().where(
        log.subject_kind == "cycle", log.subject == str(period), log.event == "discarded"
    )
    return bool(connection.execute(select(told)).scalar_one())
