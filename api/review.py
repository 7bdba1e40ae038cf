"""The finance manager's queue."""

import re
from typing import Annotated

from fastapi import APIRouter, Query

from api.collection_schemas import (
    ChargeOut,
    EmailSentOut,
    PossibleResolutionOut,
    ReviewCaseOut,
)
from api.dependencies import App, Viewer
from api.invoices import business_date
from api.schemas import Page, page_of
from domain.errors import InvalidValue
from storage.engine import transaction
from storage.review import ReviewCase, ReviewPosition, review_queue

router = APIRouter(prefix="/api/billing", tags=["collection"])

_CURSOR = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)


@router.get("/review-queue", summary="What waits for the finance manager")
def list_page(
    app: App,
    caller: Viewer,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Page[ReviewCaseOut]:
    """Cases of manual review and disputed payments, those that wait longest first.

    Each says how it can be resolved now, and why not in the other ways.
    """
    after = _position(cursor)
    with transaction(app.engine) as connection:
        found = review_queue(
            connection, business_date=business_date(app, connection), after=after, limit=limit + 1
        )
    return page_of(
        found, limit, _out, lambda last: f"{last.position.since}-{last.position.invoice_id}"
    )


def _position(cursor: str | None) -> ReviewPosition | None:
    if cursor is None:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidValue("cursor: not one of ours; take next_cursor of a page.")
    return ReviewPosition(int(match[1]), int(match[2]))


def _out(case: ReviewCase) -> ReviewCaseOut:
    return ReviewCaseOut(
        number=case.number,
        account_number=case.account_number,
        customer=case.customer,
        state=case.state,
        currency=case.currency,
        total=case.total,
        open_amount=case.open_amount,
        due_on=case.due_on,
        days_late=case.days_late,
        on_hold=case.on_hold,
        disputed=case.disputed,
        since=case.since,
        since_on=case.since_on,
        reason=case.reason,
        charges=[ChargeOut.model_validate(charge) for charge in case.charges],
        emails=[EmailSentOut.model_validate(mail) for mail in case.emails],
        resolutions=[
            PossibleResolutionOut(
                resolution=way.resolution, possible=way.why_not is None, why_not=way.why_not
            )
            for way in case.resolutions
        ],
    )
