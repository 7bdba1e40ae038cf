"""Who calls, and on which day: what a page of ours has to know before anything else."""

from fastapi import APIRouter

from api.dependencies import App, Viewer, may_act_as
from api.invoices import business_date
from api.schemas import Me
from storage.access import Role
from storage.engine import transaction

router = APIRouter(prefix="/api/billing", tags=["access"])


@router.get("/me", summary="Who calls")
def show(app: App, caller: Viewer) -> Me:
    """The key or the person of this request, and the present business date."""
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
    return Me(
        name=caller.shown_name,
        role=caller.role,
        may_act=may_act_as(caller, Role.FINANCE),
        email=caller.email,
        business_date=today,
        day_seconds=app.settings.day_seconds,
    )
