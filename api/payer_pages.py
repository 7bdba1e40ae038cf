"""The payer's pages: one invoice and its payment, and the card on file.

Opening a page changes nothing, since mail scanners follow links; what changes something is a form.
The pages work without JavaScript.
"""

import asyncio
from collections.abc import Callable, Coroutine
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Protocol
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Template
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from api.dependencies import App, Services
from api.dependencies import services as _services
from api.invoice_signals import open_card_setup, open_checkout
from api.pages import client_of, private_headers, template_environment
from api.payment_qr import payment_qr
from api.problems import is_outage
from api.rate_limit import RateLimit, TooManyRequests
from domain.card_amounts import chargeable
from domain.dunning import CollectionState
from domain.errors import Conflict, InvalidValue, NotFound
from domain.invoice import InvoiceStatus, nothing_to_pay
from domain.money import round_money
from domain.parties import PaymentMethod
from domain.payer_links import LinkPurpose, read_payer_token
from storage.documents import PDF, fetch_document
from storage.engine import transaction
from storage.invoices import Invoice, InvoiceFilter, list_invoices, load_invoice, load_lines
from storage.sellers import seller_version

_CHECKOUT = "https://checkout.stripe.com"
_OPEN = (InvoiceStatus.ISSUED, InvoiceStatus.OVERDUE)
_LISTED = 50  # open invoices of one customer, of each status
_REFRESH_SECONDS = 5
_PATIENCE_SECONDS = 20  # for the page on which a card is entered
_CONFLICT = (
    "A payment may be under way, or it was settled meanwhile. Look at the page again in a minute; "
    "if nothing changes, reply to the e-mail that brought you here."
)


class Limits:
    """How often one client may use one link: to look, and to order something."""

    def __init__(self) -> None:
        self.looks = RateLimit(60, 1)
        self.orders = RateLimit(5, 10)


class PayerState(StrEnum):
    """What an invoice is to its payer."""

    OPEN = "open"
    IN_REVIEW = "in_review"
    CONFIRMING = "confirming"
    PAID = "paid"
    CREDITED = "credited"
    NOTHING_TO_PAY = "nothing_to_pay"
    VOID = "void"
    CLOSED = "closed"


def payer_state(invoice: Invoice, *, returned: bool = False) -> PayerState:
    """`returned`: the payer comes from the payment, which may not have reached us yet."""
    match invoice.status:
        case InvoiceStatus.VOID:
            return PayerState.VOID
        case InvoiceStatus.UNCOLLECTIBLE:
            return PayerState.CLOSED
    if nothing_to_pay(invoice.total):
        return PayerState.NOTHING_TO_PAY
    if invoice.open_amount <= 0:
        return PayerState.PAID if invoice.amount_paid > 0 else PayerState.CREDITED
    if returned:
        return PayerState.CONFIRMING
    if invoice.collection_state == CollectionState.MANUAL_REVIEW:
        return PayerState.IN_REVIEW
    return PayerState.OPEN


def _card_is_next(invoice: Invoice) -> bool:
    """Whether the card on file is about to be charged, so that the payer need not do anything."""
    return (
        invoice.customer.payment_method is PaymentMethod.CARD
        and not invoice.is_brought_along
        and invoice.collection_state in (None, CollectionState.ISSUED)
        and chargeable(invoice.open_amount, invoice.currency)
    )


class PayerRoute(APIRoute):
    """Refusals and outages as pages, for a reader who is no program."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except TooManyRequests as refused:
                return _trouble(request, 429, "Please wait a moment", retry=refused.retry_after)
            except NotFound:
                return _not_valid(_services(request))
            except Conflict:
                return _trouble(request, 409, "This cannot be done now", _CONFLICT)
            except Exception as error:
                if not (is_outage(error) or isinstance(error, TimeoutError)):
                    raise
                return _trouble(request, 503, "Please try again in a minute", retry=30)

        return answer


async def _limits(request: Request) -> Limits:
    """Those of the application."""
    state = request.app.state
    if not hasattr(state, "payer_limits"):
        state.payer_limits = Limits()
    limits: Limits = state.payer_limits
    return limits


async def _look(request: Request, limits: Annotated[Limits, Depends(_limits)]) -> None:
    limits.looks.take(client_of(request), request.path_params["token"])


async def _order(request: Request, limits: Annotated[Limits, Depends(_limits)]) -> None:
    limits.orders.take(client_of(request), request.path_params["token"])


router = APIRouter(tags=["payer's pages"], include_in_schema=False, route_class=PayerRoute)
LOOK, ORDER = [Depends(_look)], [Depends(_order)]


@router.get("/pay/{token}", dependencies=LOOK)
def show(token: str, app: App, returned: str = "") -> HTMLResponse:
    """The invoice, what is open, and how to pay it."""
    with transaction(app.engine) as connection:
        invoice = _invoice(LinkPurpose.PAY, token, connection, app)
        if invoice is None:
            return _not_valid(app)
        seller = seller_version(connection, invoice.seller_version)
        state = payer_state(invoice, returned=bool(returned))
        return _page(
            app,
            "invoice.html.j2",
            invoice=invoice,
            parts=_parts(connection, invoice),
            seller=seller,
            state=state,
            link=f"/pay/{token}",
            card_is_next=_card_is_next(invoice),
            qr=payment_qr(seller, invoice.currency, invoice.open_amount, invoice.number or ""),
            refresh=_REFRESH_SECONDS if state is PayerState.CONFIRMING else None,
        )


@router.get("/pay/{token}/pdf", dependencies=LOOK)
def pdf(token: str, app: App) -> Response:
    """The invoice's document, for whoever holds the link."""
    with transaction(app.engine) as connection:
        invoice = _invoice(LinkPurpose.PAY, token, connection, app)
        if invoice is None or invoice.pdf_sha256 is None:
            return _not_valid(app)
        content = fetch_document(connection, invoice.pdf_sha256)
    name = f'inline; filename="{invoice.number}.pdf"'
    headers = {**_private(app), "Content-Disposition": name}
    return Response(content, media_type=PDF, headers=headers)


@router.post("/pay/{token}/checkout", dependencies=ORDER)
async def checkout(token: str, app: App) -> Response:
    """Off to the payment; back to the page where nothing is open any more."""
    invoice = await run_in_threadpool(_read, LinkPurpose.PAY, token, app)
    if invoice is None or invoice.number is None:
        return _not_valid(app)
    if invoice.open_amount <= 0:
        return _see_other(app, f"/pay/{token}")
    return await _lead(app, f"/pay/{token}", open_checkout, invoice.number)


@router.get("/payment-method/{token}", dependencies=LOOK)
def payment_method(token: str, app: App, returned: str = "") -> HTMLResponse:
    """Which invoices wait for a card that works, and the way to give one."""
    with transaction(app.engine) as connection:
        invoice = _invoice(LinkPurpose.CARD, token, connection, app)
        if invoice is None:
            return _not_valid(app)
        return _page(
            app,
            "payment_method.html.j2",
            invoice=invoice,
            waiting=_waiting(connection, invoice.account_number),
            seller=seller_version(connection, invoice.seller_version),
            returned=bool(returned),
            link=f"/payment-method/{token}",
        )


@router.post("/payment-method/{token}/setup", dependencies=ORDER)
async def setup(token: str, app: App) -> Response:
    """Off to where a card is entered."""
    invoice = await run_in_threadpool(_read, LinkPurpose.CARD, token, app)
    if invoice is None or invoice.number is None:
        return _not_valid(app)
    return await _lead(app, f"/payment-method/{token}", open_card_setup, invoice.number)


async def _lead(app: Services, page: str, opening: "_Opening", number: str) -> Response:
    """Off to the address that the invoice's workflow gives, and from there back to `page`.

    Raises TimeoutError where it gives none in time; nothing is lost, the next request has it.
    """
    back = app.settings.public_url.rstrip("/") + page
    async with asyncio.timeout(_PATIENCE_SECONDS):
        url = await opening(app, number, return_url=f"{back}?returned=1", cancel_url=back)
    return _see_other(app, url)


class _Opening(Protocol):
    """`open_checkout` or `open_card_setup`."""

    async def __call__(
        self, app: Services, number: str, *, return_url: str, cancel_url: str
    ) -> str: ...


def _read(purpose: LinkPurpose, token: str, app: Services) -> Invoice | None:
    with transaction(app.engine) as connection:
        return _invoice(purpose, token, connection, app)


def _invoice(
    purpose: LinkPurpose, token: str, connection: Connection, app: Services
) -> Invoice | None:
    """The issued invoice whose link it is; None, for whatever reason, if it is no valid link."""
    try:
        number, version = read_payer_token(
            app.settings.secret.get_secret_value(), purpose, token, today=app.today()
        )
        invoice = load_invoice(connection, number)
    except (NotFound, InvalidValue):
        return None
    is_issued = invoice.status != InvoiceStatus.DRAFT
    return invoice if is_issued and invoice.link_version == version else None


def _parts(connection: Connection, invoice: Invoice) -> list[tuple[str, Decimal]]:
    """What the invoice is made of: its lines, or what an older system told of it."""
    if lines := load_lines(connection, invoice.id):
        return [(line.description, line.amount) for line in lines]
    told = [
        ("Usage", invoice.usage),
        ("Subscriptions", invoice.subscriptions),
        ("Proration", invoice.proration),
        ("Discounts", invoice.discounts),
        ("Tax", invoice.tax),
    ]
    return [(part, amount) for part, amount in told if amount]


def _waiting(connection: Connection, account_number: str) -> list[Invoice]:
    """The customer's issued invoices on which something is open, the oldest first."""
    found = [
        invoice
        for status in _OPEN
        for invoice in list_invoices(
            connection,
            InvoiceFilter(status=status, account_number=account_number),
            after=None,
            limit=_LISTED,
        )
        if invoice.open_amount > 0
    ]
    return sorted(found, key=lambda invoice: (invoice.due_on, invoice.number or ""))


def _private(app: Services) -> dict[str, str]:
    targets = [_CHECKOUT]
    if app.settings.stripe_api_base:
        base = urlsplit(app.settings.stripe_api_base)
        targets.append(f"{base.scheme}://{base.netloc}")
    return private_headers(referrer="no-referrer", form_targets=targets)


def _page(app: Services, name: str, status: int = 200, **shown: Any) -> HTMLResponse:
    page = _template(name).render(refresh=shown.pop("refresh", None), **shown)
    return HTMLResponse(page, status, headers=_private(app))


def _not_valid(app: Services) -> HTMLResponse:
    """One page for every reason, so that nobody learns from it which invoices there are."""
    return _page(app, "not_valid.html.j2", 404)


def _trouble(
    request: Request, status: int, title: str, reason: str = "", *, retry: int = 0
) -> HTMLResponse:
    app = _services(request)
    _, page, *_ = request.url.path.split("/")
    link = f"/{page}/{quote(request.path_params['token'], safe='')}"
    answer = _page(app, "trouble.html.j2", status, title=title, reason=reason, link=link)
    if retry:
        answer.headers["Retry-After"] = str(retry)
    return answer


def _see_other(app: Services, url: str) -> RedirectResponse:
    return RedirectResponse(url, 303, headers=_private(app))


def _amount(value: Decimal, currency: str) -> str:
    """1,234.50 with the currency's digits; a minus sign, not a hyphen."""
    return f"{round_money(value, currency):,f}".replace("-", "\u2212")


@cache
def _template(name: str) -> Template:
    environment = template_environment("payer")
    environment.filters["amount"] = _amount
    return environment.get_template(name)
