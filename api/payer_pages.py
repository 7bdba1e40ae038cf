"""The page behind an invoice's payment link. Opening it changes nothing."""

from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from sqlalchemy import Connection

from api.dependencies import App, Services
from domain.errors import InvalidValue, NotFound
from domain.payer_links import LinkPurpose, read_payer_token
from storage.documents import PDF, fetch_document
from storage.engine import transaction
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


@router.get("/{token}")
def show(token: str, app: App) -> HTMLResponse:
    """The invoice, what is open, and how to pay it."""
    with transaction(app.engine) as connection:
        invoice = _invoice(token, connection, app)
        if invoice is None:
            return _not_valid()
        page = _template("invoice.html.j2").render(
            invoice=invoice,
            lines=load_lines(connection, invoice.id),
            seller=seller_version(connection, invoice.seller_version),
            pdf_url=f"/pay/{token}/pdf",
        )
    return HTMLResponse(page, headers=_PRIVATE)


@router.get("/{token}/pdf")
def pdf(token: str, app: App) -> Response:
    """The invoice's document, for whoever holds the link."""
    with transaction(app.engine) as connection:
        invoice = _invoice(token, connection, app)
        if invoice is None or invoice.pdf_sha256 is None:
            return _not_valid()
        content = fetch_document(connection, invoice.pdf_sha256)
    name = f'inline; filename="{invoice.number}.pdf"'
    return Response(content, media_type=PDF, headers={**_PRIVATE, "Content-Disposition": name})


def _invoice(token: str, connection: Connection, app: Services) -> Invoice | None:
    """The issued invoice whose link it is; None, for whatever reason, if it is no valid link."""
    try:
        number, version = read_payer_token(
            app.settings.secret.get_secret_value(), LinkPurpose.PAY, token
        )
        invoice = load_invoice(connection, number)
    except (NotFound, InvalidValue):
        return None
    return invoice if invoice.link_version == version and invoice.pdf_sha256 else None


def _not_valid() -> HTMLResponse:
    """One page for every reason, so that nobody learns from it which invoices there are."""
    return HTMLResponse(_template("not_valid.html.j2").render(), 404, headers=_PRIVATE)


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
