"""The page behind an invoice's payment link. Opening it changes nothing."""

from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from sqlalchemy import Connection

from api.dependencies import App, Database, Services
from domain.errors import NotFound
from domain.payer_links import LinkPurpose, read_payer_token
from storage.documents import PDF, fetch_document
from storage.invoices import Invoice, load_invoice, load_lines
from storage.sellers import seller_version

router = APIRouter(prefix="/pay", tags=["payer's pages"], include_in_schema=False)

_TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "payer"
_PRIVATE = {
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
Token = Annotated[str, PathParameter(max_length=200)]


@router.get("/{token}")
def show(token: Token, database: Database, app: App) -> HTMLResponse:
    """The invoice, what is open, and how to pay it."""
    invoice = _invoice(token, database, app)
    page = _template().render(
        invoice=invoice,
        lines=load_lines(database, invoice.id),
        seller=seller_version(database, invoice.seller_version),
        pdf_url=f"/pay/{token}/pdf",
    )
    return HTMLResponse(page, headers=_PRIVATE)


@router.get("/{token}/pdf")
def pdf(token: Token, database: Database, app: App) -> Response:
    """The invoice's document, for whoever holds the link."""
    invoice = _invoice(token, database, app)
    assert invoice.pdf_sha256 is not None  # kept by `_invoice`
    content = fetch_document(database, invoice.pdf_sha256)
    name = f'inline; filename="{invoice.number}.pdf"'
    return Response(content, media_type=PDF, headers={**_PRIVATE, "Content-Disposition": name})


def _invoice(token: str, database: Connection, app: Services) -> Invoice:
    secret = app.settings.secret.get_secret_value()
    number, version = read_payer_token(secret, LinkPurpose.PAY, token)
    invoice = load_invoice(database, number)
    if invoice.link_version != version or invoice.pdf_sha256 is None:
        raise NotFound("This link is not valid; ask the sender for a new one.")
    return invoice


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("invoice.html.j2")
