"""The commands of the `billwright` command that look after usage: `usage check` and `rebuild`."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from domain.periods import BillingPeriod
from settings import settings
from stack.session import database, session
from storage.engine import transaction
from storage.usage.rollups import Differences, check_rollups, rebuild_rollups

usage = typer.Typer(
    help="Usage by day and month against its events: check, rebuild.", no_args_is_help=True
)
out = Console()

_Month = Annotated[str | None, typer.Option(help="Only this month; all if left out.")]


@usage.command("check")
def check(period: _Month = None) -> None:
    """Tells where the sums that bills read are not those of the events; exit status 1 then."""
    month = BillingPeriod.parse(period) if period is not None else None
    with (
        session(settings()) as found,
        database(found) as engine,
        transaction(engine) as connection,
    ):
        differences = check_rollups(connection, time_zone=found.seller_time_zone, period=month)
    _tell(differences)
    if differences.count:
        print(f"{differences.count:,} sums differ; mend them by billwright usage rebuild")
        raise SystemExit(1)
    print("Every sum is that of its events")


@usage.command("rebuild")
def rebuild(period: _Month = None) -> None:
    """Sets the sums that differ to those of the events; who writes or imports waits meanwhile."""
    month = BillingPeriod.parse(period) if period is not None else None
    with (
        session(settings()) as found,
        database(found) as engine,
        transaction(engine) as connection,
    ):
        now = datetime.now(ZoneInfo(found.seller_time_zone))  # noqa: TID251 - the command's clock
        differences = rebuild_rollups(
            connection,
            time_zone=found.seller_time_zone,
            by="command line",
            business_date=now.date(),
            period=month,
        )
    _tell(differences)
    print(f"{differences.count:,} sums were set to those of their events")


def _tell(differences: Differences) -> None:
    for difference in differences.first:
        out.print(str(difference), markup=False, highlight=False, soft_wrap=True)
    if differences.count > len(differences.first):
        print(f"and {differences.count - len(differences.first):,} more")
