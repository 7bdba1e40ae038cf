"""What stands out of a month's plan as a whole: usage, totals and customers against the last month.

Usage that was never taken in bills everybody too little, and no single customer shows it as
plainly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from domain.reporting import percent as percent_of
from domain.standing_out import Thresholds


class PlanFindingKind(StrEnum):
    """Of the plan as a whole."""

    NO_USAGE = "no_usage"
    USAGE_FELL = "usage_fell"
    USAGE_ROSE = "usage_rose"
    TOTAL_FELL = "total_fell"
    TOTAL_ROSE = "total_rose"
    CUSTOMERS_FELL = "customers_fell"
    CUSTOMERS_ROSE = "customers_rose"


@dataclass(frozen=True)
class WholeMonth:
    """A month over all customers. `usage` and `totals` are money, with tax in the latter, and by
    currency; `units` is by metric, and empty where no usage was counted.
    """

    customers: int = 0
    usage: Mapping[str, Decimal] = field(default_factory=dict)
    totals: Mapping[str, Decimal] = field(default_factory=dict)
    units: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def has_usage(self) -> bool:
        return any(self.units.values()) or any(self.usage.values())


@dataclass(frozen=True)
class PlanFinding:
    """One thing that stands out of the plan.

    `unit`: a currency, a metric, "customers", or "units" for usage of all metrics.
    """

    kind: PlanFindingKind
    unit: str
    before: Decimal | None
    now: Decimal

    @property
    def difference(self) -> Decimal:
        return self.now if self.before is None else self.now - self.before

    @property
    def percent(self) -> Decimal | None:
        return None if self.before is None else percent_of(self.difference, abs(self.before))


def plan_findings(
    now: WholeMonth, before: WholeMonth | None, thresholds: Thresholds
) -> list[PlanFinding]:
    """What stands out of the plan as a whole, the greatest fall first; `before` None: there is no
    month to hold it against.

    A plan that bills somebody, and nobody any usage, stands out by itself.
    """
    found = []
    expects_usage = before.has_usage if before is not None else now.customers > 0
    if expects_usage and not any(now.units.values()):
        was = sum(before.units.values(), Decimal(0)) if before and before.units else None
        found.append(PlanFinding(PlanFindingKind.NO_USAGE, "units", was, Decimal(0)))
    if before is not None:
        kinds = PlanFindingKind
        compared = [
            *_compared(kinds.USAGE_FELL, kinds.USAGE_ROSE, before.units, now.units, thresholds),
            *_compared(kinds.USAGE_FELL, kinds.USAGE_ROSE, before.usage, now.usage, thresholds),
            *_compared(kinds.TOTAL_FELL, kinds.TOTAL_ROSE, before.totals, now.totals, thresholds),
            *_compared(
                kinds.CUSTOMERS_FELL,
                kinds.CUSTOMERS_ROSE,
                {"customers": Decimal(before.customers)},
                {"customers": Decimal(now.customers)},
                thresholds,
            ),
        ]
        found += sorted(compared, key=_severity)
    return found


def _compared(
    fell: PlanFindingKind,
    rose: PlanFindingKind,
    before: Mapping[str, Decimal],
    now: Mapping[str, Decimal],
    thresholds: Thresholds,
) -> list[PlanFinding]:
    """By unit; one that nothing was known of before is no change."""
    return [
        PlanFinding(rose if now.get(unit, Decimal(0)) > was else fell, unit, was, is_now)
        for unit, was in sorted(before.items())
        if thresholds.whole_stands_out(was, is_now := now.get(unit, was * 0))
    ]


def _severity(finding: PlanFinding) -> tuple[bool, Decimal]:
    """What fell before what rose, and by how many percent."""
    return finding.difference > 0, -abs(finding.percent or Decimal(0))
