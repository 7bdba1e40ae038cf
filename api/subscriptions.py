"""Subscriptions over HTTP: listed, added, ended, changed from a day on, withdrawn."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import TypeAdapter

from api.cursors import read_position, write_position
from api.dependencies import App, Finance, Viewer
from api.invoices import business_date
from api.master_data_values import Cursor, Day, Id, Limit, Words
from api.schemas import Page, page_of
from api.subscription_schemas import SubscriptionChange, SubscriptionOut, SubscriptionRequest
from storage.engine import transaction
from storage.master_data.subscriptions import (
    SubscriptionFilter,
    add_subscription,
    change_quantity,
    end_subscription,
    list_subscriptions,
    withdraw_subscription,
)

router = APIRouter(prefix="/api/billing/subscriptions", tags=["subscriptions"])

Identity = Annotated[Id, Path(description="The subscription's id.")]
_POSITION = TypeAdapter(tuple[str, str, date])


@router.get("", summary="List subscriptions")
def list_page(
    app: App,
    caller: Viewer,
    account_number: Annotated[Words | None, Query()] = None,
    plan_code: Annotated[Words | None, Query()] = None,
    active_on: Annotated[Day | None, Query(description="Those that cover the day.")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[SubscriptionOut]:
    """By account number, then by plan and first day."""
    wanted = SubscriptionFilter(account_number, plan_code, active_on)
    after = read_position(cursor, _POSITION) if cursor is not None else None
    with transaction(app.engine) as connection:
        found = list_subscriptions(connection, wanted, after=after, limit=limit + 1)
    return page_of(
        found,
        limit,
        SubscriptionOut.model_validate,
        lambda last: write_position(last.account_number, last.plan_code, last.starts_on),
    )


@router.post("", status_code=201, summary="Add a subscription")
def add(request: SubscriptionRequest, app: App, caller: Finance) -> SubscriptionOut:
    """Subscribes a customer to a plan; the first and the last month are prorated by day.

    Where it reaches back into months for which the customer was billed, the next cycle bills the
    difference: `counts_late` names them. Refused for a month that waits in a plan, or that an older
    system billed. One who failed in a cycle may be mended so: the cycle's `retry` bills it.
    """
    with transaction(app.engine) as connection:
        added = add_subscription(
            connection,
            request.account_number,
            request.plan_code,
            request.quantity,
            request.starts_on,
            request.ends_on,
            business_date=business_date(app, connection),
            by=caller.name,
        )
    return SubscriptionOut.model_validate(added)


@router.patch("/{id}", summary="End a subscription, or change its quantity")
def change(id: Identity, request: SubscriptionChange, app: App, caller: Finance) -> SubscriptionOut:
    """Answers the subscription that holds from then on: another one after a change of quantity.

    Where it changes what months were billed for, the next cycle bills or gives back the difference:
    `counts_late` names them. Refused for a month that waits in a plan, or that an older system
    billed.
    """
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        if "ends_on" in request.model_fields_set:
            changed = end_subscription(
                connection, id, request.ends_on, business_date=today, by=caller.name
            )
        else:
            changed = change_quantity(
                connection,
                id,
                request.quantity,
                request.from_day,
                business_date=today,
                by=caller.name,
            )
    return SubscriptionOut.model_validate(changed)


@router.delete("/{id}", status_code=204, summary="Withdraw a subscription")
def withdraw(id: Identity, app: App, caller: Finance) -> None:
    """Takes back what was added by mistake, such as one to the wrong plan.

    What was billed for it is given back by the next cycle. Refused where a month of it waits in a
    plan, or was billed by an older system: let it end instead.
    """
    with transaction(app.engine) as connection:
        today = business_date(app, connection)
        withdraw_subscription(connection, id, business_date=today, by=caller.name)
