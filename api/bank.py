"""Bank statements over HTTP: upload them, see what waits, decide it."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.types import Message

from api.bank_schemas import (
    AssignRequest,
    IgnoreRequest,
    StatementStoredOut,
    TransactionOut,
    TransactionStatus,
)
from api.dependencies import App, Finance, Services, Viewer
from api.invoice_signals import tell_invoices, told
from api.schemas import Page, page_of
from domain.errors import InvalidValue
from storage.banking import (
    StatementStored,
    assign_transaction,
    ignore_transaction,
    list_transactions,
    load_transaction,
    store_statement,
)
from storage.engine import transaction
from storage.importing.statements import StatementRefused, read_statement
from storage.importing.statements.reading import LARGEST

router = APIRouter(prefix="/api/billing", tags=["bank statements"])

_ENVELOPE = 100_000  # bytes of a multipart request beside its file
_LARGEST_ID = 2**63 - 1
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
Id = Annotated[int, Path(ge=1, le=_LARGEST_ID, description="The transaction's id.")]


@router.post("/bank-statements", summary="Upload a bank statement", openapi_extra=_FORM)
async def upload(request: Request, app: App, caller: Finance) -> StatementStoredOut:
    """CAMT.053, MT940 or CSV, told apart by the content; all of it is taken or nothing.

    The same statement twice, or one that overlaps, adds what is new. What is certain is booked by
    the invoices' workflows; the rest waits under `bank-transactions?status=unmatched`.
    """
    filename, content = await _received(request)

    def store() -> StatementStored:
        statement = read_statement(content, filename=filename)
        with transaction(app.engine) as connection:
            return store_statement(
                connection,
                statement,
                content,
                uploaded_by=caller.name,
                business_date=app.today(),
            )

    stored = await run_in_threadpool(store)
    await _tell(app, stored.invoices, f"bank statement {stored.statement_id}")
    return StatementStoredOut.model_validate(stored)


@router.get("/bank-transactions", summary="List bank transactions")
def list_page(
    app: App,
    caller: Viewer,
    status: Annotated[TransactionStatus | None, Query()] = None,
    cursor: Annotated[
        str | None, Query(description="next_cursor of the page before.", max_length=40)
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Page[TransactionOut]:
    """The last one stored first. What waits has its likeliest invoices, with the reasons."""
    with transaction(app.engine) as connection:
        found = list_transactions(connection, status, _position(cursor), limit + 1)
    return page_of(found, limit, TransactionOut.model_validate, lambda last: str(last.id))


@router.post("/bank-transactions/{id}/assign", summary="Say what a bank transaction is for")
async def assign(id: Id, request: AssignRequest, app: App, caller: Finance) -> TransactionOut:
    """What an invoice does not need becomes its customer's credit."""
    allocations = [(part.number, part.amount) for part in request.allocations]

    def decide() -> tuple[TransactionOut, Sequence[str]]:
        with transaction(app.engine) as connection:
            numbers = assign_transaction(
                connection,
                id,
                allocations,
                by=caller.name,
                note=request.note,
                business_date=app.today(),
            )
            return TransactionOut.model_validate(load_transaction(connection, id)), numbers

    assigned, numbers = await run_in_threadpool(decide)
    await _tell(app, numbers, f"bank transaction {assigned.bank_reference}")
    return assigned


@router.post("/bank-transactions/{id}/ignore", summary="Say that a transaction is for no invoice")
def ignore(id: Id, request: IgnoreRequest, app: App, caller: Finance) -> TransactionOut:
    """It no longer waits; it can still be assigned later."""
    with transaction(app.engine) as connection:
        ignore_transaction(
            connection, id, by=caller.name, note=request.note, business_date=app.today()
        )
        return TransactionOut.model_validate(load_transaction(connection, id))


async def _tell(app: Services, numbers: Sequence[str], reference: str) -> None:
    """Tells the workflows now; where Temporal does not answer, the sweep tells them later."""
    await told(tell_invoices(app, numbers, reference))


async def _received(request: Request) -> tuple[str, bytes]:
    """Name and bytes of the file that is uploaded as `file`. Raises StatementRefused.

    The request is counted while it is read, so that one without an end fills no disk.
    """
    seen = 0

    async def receive() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST + _ENVELOPE:
            raise StatementRefused(
                f"file: is larger than {LARGEST:,} bytes; ask the bank for shorter periods."
            )
        return message

    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidValue("file: is missing; send the statement as multipart/form-data.")
    async with Request(request.scope, receive).form(max_files=1, max_fields=8) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidValue("file: is missing; send the statement as the file of that name.")
        return file.filename or "", await file.read()


def _position(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise InvalidValue("cursor: not one of ours; take next_cursor of a page.")
    return int(cursor)
