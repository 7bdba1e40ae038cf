"""Plans over HTTP: read with their prices, added, priced anew from a day on."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import TypeAdapter
from sqlalchemy import Connection

from api.cursors import read_position, write_position
from api.dependencies import App, Finance, Services, Viewer
from api.invoices import business_date
from api.master_data_values import Cursor, Limit, PlanPath
from api.plan_schemas import ChargeOut, PlanOut, PlanRequest, PriceOut, PriceRequest, TierOut
from api.schemas import Page, page_of
from domain.plans import Interval, PlanKind, PlanPrice, charges_of
from storage.engine import transaction
from storage.master_data.plans import KeptPlan, add_plan, add_price, list_plans, load_plan

router = APIRouter(prefix="/api/billing/plans", tags=["plans"])

_POSITION = TypeAdapter(tuple[str])
_KNOWN: dict[int | str, dict[str, Any]] = {
    200: {"model": PlanOut, "description": "Known already: nothing was changed."}
}
_OF_THE_DAY: dict[int | str, dict[str, Any]] = {
    200: {"model": PlanOut, "description": "The day has a version already: this is its price now."}
}


@router.get("", summary="List plans")
def list_page(app: App, caller: Viewer, cursor: Cursor = None, limit: Limit = 100) -> Page[PlanOut]:
    """By code, with every version of their prices."""
    after = read_position(cursor, _POSITION)[0] if cursor is not None else None
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        found = list_plans(connection, as_of=today, after=after, limit=limit + 1)
    return page_of(found, limit, _out, lambda last: write_position(last.code))


@router.get("/{code}", summary="Read a plan")
def show(code: PlanPath, app: App, caller: Viewer) -> PlanOut:
    """With every version of its prices, past, in force and upcoming."""
    with transaction(app.engine) as connection:
        return _load(app, connection, code)


@router.post("", status_code=201, summary="Add a plan", responses=_KNOWN)
def add(request: PlanRequest, app: App, caller: Finance, response: Response) -> PlanOut:
    """With its first price; further ones, also in other currencies, go to the plan's prices."""
    first = _price(
        request, request.code, request.name, request.kind, request.interval, request.metric
    )
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        if not add_plan(connection, first, business_date=today, by=caller.name):
            response.status_code = 200
        return _load(app, connection, request.code)


@router.post("/{code}/prices", status_code=201, summary="Price a plan anew", responses=_OF_THE_DAY)
def add_version(
    code: PlanPath, request: PriceRequest, app: App, caller: Finance, response: Response
) -> PlanOut:
    """A new version from a day on. Subscribers pay it from their first month that begins on that
    day or later; whoever subscribes later pays it at once.

    A day that has a version keeps it, at the price of this request; so a mistake is corrected.
    Refused where it counts in a month that has a cycle: what was billed is not priced again.
    """
    with transaction(app.engine) as connection:
        plan = _load(app, connection, code)
        kind, interval = PlanKind(plan.kind), Interval(plan.interval)
        # tiers alone are those of the metric that the plan counts
        metric = plan.metric if request.tiers else None
        price = _price(request, plan.code, plan.name, kind, interval, metric)
        today = business_date(app, connection)
        if not add_price(connection, price, business_date=today, by=caller.name):
            response.status_code = 200
        return _load(app, connection, code)


def _price(
    request: PriceRequest,
    code: str,
    name: str,
    kind: PlanKind,
    interval: Interval,
    metric: str | None,
) -> PlanPrice:
    """Raises InvalidValue if kind, price and charges do not fit each other."""
    charges = [charge.as_charge() for charge in request.charges]
    tiers = [tier.as_tier() for tier in request.tiers]
    return PlanPrice(
        code=code,
        name=name,
        kind=kind,
        currency=request.currency,
        unit_price=request.unit_price,
        charges=charges_of(kind, charges, metric, tiers),
        minimum=request.minimum,
        interval=interval,
        valid_from=request.valid_from,
    )


def _load(app: Services, connection: Connection, code: str) -> PlanOut:
    """Raises NotFound."""
    return _out(load_plan(connection, code, as_of=business_date(app, connection)))


def _out(plan: KeptPlan) -> PlanOut:
    prices = [
        PriceOut(
            currency=price.currency,
            version=price.version,
            valid_from=price.valid_from,
            standing=standing.value,
            unit_price=price.unit_price,
            tiers=[TierOut.model_validate(tier) for tier in price.short_tiers],
            charges=[ChargeOut.model_validate(charge) for charge in price.charges],
            minimum=price.minimum,
        )
        for price, standing in plan.prices
    ]
    metrics = plan.metrics
    metric = metrics[0] if len(metrics) == 1 else None
    return PlanOut(**{**vars(plan), "prices": prices, "metrics": metrics, "metric": metric})
