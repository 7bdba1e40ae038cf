"""What waits for a person, in one answer for the page that opens first."""

from fastapi import APIRouter

from api.attention_schemas import AttentionOut
from api.dependencies import App, Viewer
from api.invoices import business_date
from storage.attention import what_waits
from storage.engine import transaction

router = APIRouter(prefix="/api/billing", tags=["collection"])


@router.get("/attention", summary="What waits for a person now")
def show(app: App, caller: Viewer) -> AttentionOut:
    """How much of each kind, with the money by currency. The lists behind it have the rest."""
    with transaction(app.engine) as connection:
        found = what_waits(connection, business_date=business_date(app, connection))
    return AttentionOut.model_validate(found)
