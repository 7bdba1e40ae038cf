"""What a finance manager looks at first: the figures of a day, and what needs a person."""

from datetime import date
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from console.billing_api import FormRefused
from console.charts import Columns, stacked
from console.showing import short_day, short_month
from console.visit import Visitor

router = APIRouter()

_ROWS = 8  # of each table; the file has all
_REPORTS = "/api/billing"


@router.get("/")
async def show(visit: Visitor, as_of: str = "") -> HTMLResponse:
    """The reports as of a day, today if none is given, and what is to be done now."""
    day = _day(as_of) or visit.me["business_date"]
    api = visit.api
    try:
        attention, mrr, outstanding, revenue, churn, collections = await api.all(
            api.get(f"{_REPORTS}/attention"),
            api.get(f"{_REPORTS}/mrr", as_of=day, limit=_ROWS),
            api.get(f"{_REPORTS}/outstanding", as_of=day, limit=_ROWS),
            api.get(f"{_REPORTS}/revenue-by-customer", as_of=day, limit=_ROWS),
            api.get(f"{_REPORTS}/churn-risk", as_of=day, limit=_ROWS),
            api.get(f"{_REPORTS}/collections", as_of=day, months=6),
        )
    except FormRefused as refused:
        return visit.page("home_refused.html.j2", 422, as_of=day, reason=refused.reason)
    return visit.page(
        "home.html.j2",
        as_of=day,
        is_today=day == visit.me["business_date"],
        attention=attention,
        mrr=mrr,
        mrr_chart=_recurring(mrr),
        outstanding=outstanding,
        revenue=revenue,
        churn=churn,
        collections=collections,
        recovered_chart=_recovered(collections),
    )


def _day(text: str) -> str | None:
    """An ISO date, or None for what is none."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None


def _recurring(mrr: dict[str, Any]) -> Columns:
    return stacked(
        [
            (short_day(point["day"]), {name: point[name] for name in ("subscriptions", "usage")})
            for point in mrr["trend"]
        ]
    )


def _recovered(collections: dict[str, Any]) -> Columns:
    return stacked(
        [
            (
                short_month(month["month"]),
                {step["step"].replace("_", " "): step["recovered"] for step in month["steps"]},
            )
            for month in collections["months"]
        ]
    )
