"""When the next month is billed by itself, and what keeps it waiting."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from sqlalchemy import Connection

from api.dependencies import App, Services, Viewer
from api.schemas import Schema
from domain.errors import NoFirstMonth
from storage.engine import transaction
from storage.monthly_billing import monthly_rule, next_month

router = APIRouter(prefix="/api/billing", tags=["billing cycles"])


class NextCycle(Schema):
    """The month whose turn it is to be billed by itself.

    `at`: when it is looked for it the next time; null where nothing is billed by itself, or it
    waits. `missed`: every month that is due already, the oldest first; each has a cycle of its own,
    dated the day on which it begins. `waits`: for what a person has to do something; else empty.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "automatic": True,
                "period": "2026-03",
                "at": "2026-04-01T04:00:00Z",
                "missed": [],
                "waits": "",
            }
        },
    )

    automatic: bool
    period: str | None = None
    at: datetime | None = None
    missed: list[str] = Field(default_factory=list)
    waits: str = ""


@router.get("/next-cycle", summary="When the next month is billed by itself")
def show(app: App, caller: Viewer) -> NextCycle:
    """By the settings and the cycles that there are; each day it is looked for what is due."""
    if not app.settings.bill_automatically:
        return NextCycle(automatic=False)
    with transaction(app.engine) as connection:
        return _next(app, connection)


def _next(app: Services, connection: Connection) -> NextCycle:
    rule, zone = monthly_rule(app.settings), app.settings.seller_time_zone
    try:
        month = next_month(connection, rule)
    except NoFirstMonth as refusal:
        return NextCycle(automatic=True, waits=refusal.message)
    waits = month.waits
    if month.cycle is not None:
        waits = f"{month.period} is not closed; the next month follows it."
    return NextCycle(
        automatic=True,
        period=str(month.period),
        at=None if waits else rule.next_look(month.period, app.now(), zone),
        missed=[] if month.cycle else [str(p) for p in rule.missed(month.last, app.today())],
        waits=waits,
    )
