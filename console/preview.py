"""What stands out of a plan, in sentences and figures, and what waits to be approved."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from console.billing_api import Refused, under
from console.showing import money, month, number
from console.visit import Visit, Visitor

router = APIRouter(prefix="/billing")

CYCLES = "/api/billing/cycles"
KINDS = {
    "failed": "Cannot be billed",
    "gone": "Gone",
    "new": "New",
    "zero_usage": "No usage",
    "first_usage": "First usage",
    "drop": "Drop",
    "jump": "Jump",
    "currency_changed": "Other currency",
    "tax_changed": "Other tax",
    "price_changed": "Other price",
    "late": "Past months",
}
"""How each kind of finding is called, in the order in which they can be chosen."""
_PARTS = {
    "usage": "Usage",
    "subscriptions": "Subscriptions",
    "proration": "Proration",
    "discounts": "Discounts",
    "late": "Past months",
    "tax": "Tax",
}
_FINDINGS, _CUSTOMERS = 25, 50
_UNREADABLE = ("queued", "planning")


@router.get("/{period}/preview")
async def show(
    visit: Visitor, period: str, kind: str = "", cursor: str = "", account: str = ""
) -> HTMLResponse:
    """The plan as it stood out, also once it is issued."""
    preview, customers = await visit.api.all(
        read_preview(visit, period, kind, cursor), read_customers(visit, period, account=account)
    )
    return visit.page(
        "preview.html.j2",
        period=period,
        preview=preview,
        customers=customers,
        kinds=KINDS,
        kind=kind,
        account=account,
    )


async def read_preview(
    visit: Visit, period: str, kind: str = "", cursor: str = ""
) -> dict[str, Any]:
    """The API's preview, with a sentence for each thing that stands out of it as a whole, and the
    parts of the sums that are not nothing everywhere.
    """
    preview: dict[str, Any] = await visit.api.get(
        under(CYCLES, period, "preview"), kind=kind, cursor=cursor, limit=_FINDINGS
    )
    preview["parts"] = {
        name: title
        for name, title in _PARTS.items()
        if any(side and Decimal(side[name]) for it in preview["totals"] for side in _sides(it))
    }
    last = preview["compared_with"]
    preview["sentences"] = [_sentence(finding, last) for finding in preview["whole"]]
    return preview


async def read_customers(
    visit: Visit, period: str, *, outcome: str = "", cursor: str = "", account: str = ""
) -> dict[str, Any]:
    """A page of the plan's customers with their lines; none while there is nothing to read yet."""
    try:
        found: dict[str, Any] = await visit.api.get(
            under(CYCLES, period, "preview", "customers"),
            outcome=outcome,
            cursor=cursor,
            account_number=account,
            limit=_CUSTOMERS,
        )
    except Refused as refused:
        if refused.status not in (404, 409):
            raise
        return {"items": [], "next_cursor": None}
    return found


def can_be_read(cycle: dict[str, Any]) -> bool:
    """Whether its plan was made."""
    return cycle["status"] not in _UNREADABLE


def _sides(totals: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    return totals["now"], totals["before"]


def _sentence(finding: dict[str, Any], last: str | None) -> str:
    kind, unit = finding["kind"], finding["unit"]
    if kind == "no_usage":
        after = f", after {number(finding['before'])} units in {month(last)}" if last else ""
        return f"Nobody has any usage{after if finding['before'] is not None else ''}."
    what, figure = _figure(kind, unit)
    moved = "fell" if kind.endswith("fell") else "rose"
    percent = finding["percent"]
    by = f" by {number(abs(Decimal(percent)))} %" if percent is not None else ""
    since = f" since {month(last)}" if last else ""
    before, now = figure(finding["before"]), figure(finding["now"])
    return f"{what} {moved}{by}{since}: from {before} to {now}."


def _figure(kind: str, unit: str) -> tuple[str, Callable[[Any], str]]:
    """What a finding is about, and how its figures look."""
    if unit == "customers":
        return "The number of customers with an invoice", number
    if kind.startswith("total"):
        return f"The total in {unit}", partial(money, currency=unit)
    if unit.isupper():
        return f"Usage in {unit}", partial(money, currency=unit)
    return f"Usage of {unit}", number
