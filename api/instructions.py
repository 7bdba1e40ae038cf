"""What the finance team asks of an invoice: carried out by its workflow, or refused."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Response
from starlette.concurrency import run_in_threadpool

from api.collection_schemas import (
    CreditNoteRequest,
    InstructionAnswer,
    InstructionOut,
    NoteRequest,
    ResolveRequest,
    VoidRequest,
)
from api.dependencies import App, Finance, Services, Viewer
from api.invoice_signals import instruct
from api.invoices import NumberPath, invoice_detail
from api.invoices import router as invoices_router
from domain.errors import InvalidValue
from domain.instructions import InstructionKind
from domain.money import Money
from storage.engine import transaction
from storage.instructions import Asked
from storage.invoices import load_invoice
from storage.records import instruction_of, instructions_of

router = APIRouter(prefix=invoices_router.prefix, tags=["collection"])

_ISSUES_CREDIT_NOTE = (
    InstructionKind.CREDIT_NOTE,
    InstructionKind.VOID,
    InstructionKind.VOID_BY_CREDIT_NOTE,
)
_YEAR_DAYS = 366
_LATER: dict[int | str, dict[str, Any]] = {
    202: {
        "model": InstructionAnswer,
        "description": "Stored, and not decided yet: it will be. `Location` leads to its outcome.",
    }
}
InstructionPath = Annotated[int, Path(ge=1, lt=2**63, description="The instruction's id.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="Names the request: sent again under the same key, however late, it is not "
        "carried out again and answers what became of it.",
    ),
]


class _Desk:
    """One request about one invoice: who asks, and under which key."""

    def __init__(
        self,
        number: NumberPath,
        app: App,
        caller: Finance,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> None:
        self.number = number
        self.app = app
        self._person = caller.name
        self._response = response
        self._key = idempotency_key

    async def ask(
        self, kind: InstructionKind, note: str, details: dict[str, Any] | None = None
    ) -> InstructionAnswer:
        """Has the invoice's workflow carry it out, or refuse it with the reason."""
        asked = await instruct(
            self.app,
            self.number,
            kind,
            note=note,
            person=self._person,
            details=details,
            idempotency_key=self._key,
        )
        if asked.outcome is None:
            self._response.status_code = 202
            location = f"{router.prefix}/{self.number}/instructions/{asked.id}"
            self._response.headers["Location"] = location
        return await run_in_threadpool(_answer, self.app, asked)


Desk = Annotated[_Desk, Depends()]


@router.post("/{number}/resolve", summary="Resolve a case of manual review", responses=_LATER)
async def resolve(request: ResolveRequest, desk: Desk) -> InstructionAnswer:
    """The invoice's workflow carries it out, or refuses it with the reason."""
    details = {}
    if request.until is not None:
        await run_in_threadpool(_check_until, desk.app, desk.number, request)
        details["until"] = request.until.isoformat()
    return await desk.ask(InstructionKind(request.resolution), request.note, details)


@router.post("/{number}/hold", summary="Stop an invoice's reminders", responses=_LATER)
async def hold(request: NoteRequest, desk: Desk) -> InstructionAnswer:
    """No step is taken until released; the due date and payments count all the same."""
    return await desk.ask(InstructionKind.HOLD, request.note)


@router.post("/{number}/release", summary="Let an invoice's reminders go on", responses=_LATER)
async def release(request: NoteRequest, desk: Desk) -> InstructionAnswer:
    """The steps count from the release."""
    return await desk.ask(InstructionKind.RELEASE, request.note)


@router.post("/{number}/void", summary="Take an invoice back", responses=_LATER)
async def void(request: VoidRequest, desk: Desk) -> InstructionAnswer:
    """A credit note takes back what is left of it; its number stays used."""
    return await desk.ask(InstructionKind.VOID, request.reason, {"reissue": request.reissue})


@router.post("/{number}/credit-notes", summary="Credit an invoice", responses=_LATER)
async def credit(request: CreditNoteRequest, desk: Desk) -> InstructionAnswer:
    """Reduces what is open first; what was paid goes back to the card, or becomes credit."""
    await run_in_threadpool(_check_amounts, desk.app, desk.number, request)
    return await desk.ask(InstructionKind.CREDIT_NOTE, request.reason, request.details())


@router.post("/{number}/resend", summary="Send an invoice once more", responses=_LATER)
async def resend(desk: Desk) -> InstructionAnswer:
    """The invoice's e-mail, or the receipt where it is paid."""
    return await desk.ask(InstructionKind.RESEND, "")


@router.post("/{number}/renew-links", summary="End the payer's links", responses=_LATER)
async def renew_links(request: NoteRequest, desk: Desk) -> InstructionAnswer:
    """Links that were sent, and the one in the document, open nothing any more; the e-mails from
    now on have new ones. `resend` sends one.
    """
    return await desk.ask(InstructionKind.RENEW_LINKS, request.note)


@router.get("/{number}/instructions", summary="What was asked of an invoice")
def list_all(number: NumberPath, app: App, caller: Viewer) -> list[InstructionOut]:
    """By whom, and what came of it, in the order in which it was asked."""
    with transaction(app.engine) as connection:
        invoice = load_invoice(connection, number)
        return [InstructionOut.model_validate(a) for a in instructions_of(connection, invoice.id)]


@router.get("/{number}/instructions/{id}", summary="Follow an instruction")
def show(number: NumberPath, id: InstructionPath, app: App, caller: Viewer) -> InstructionAnswer:
    """Whether it is decided, and the invoice as it stands now."""
    with transaction(app.engine) as connection:
        asked = instruction_of(connection, number, id)
    return _answer(app, asked)


def _answer(app: Services, asked: Asked) -> InstructionAnswer:
    credits = asked.kind in _ISSUES_CREDIT_NOTE and asked.outcome == "done"
    with transaction(app.engine) as connection:
        return InstructionAnswer(
            instruction=InstructionOut.model_validate(asked),
            credit_note=(asked.answer or None) if credits else None,
            invoice=invoice_detail(connection, asked.number, app),
        )


def _check_until(app: Services, number: str, request: ResolveRequest) -> None:
    """Raises InvalidValue for a mistyped year; a day that is over is for the workflow to tell."""
    assert request.until is not None
    with transaction(app.engine) as connection:
        due_on = load_invoice(connection, number).due_on
    if (request.until - max(due_on, app.today())).days > _YEAR_DAYS:
        raise InvalidValue(f"until: {request.until} is over a year ahead; check the year.")


def _check_amounts(app: Services, number: str, request: CreditNoteRequest) -> None:
    """Raises InvalidValue for an amount with more digits than the invoice's currency has."""
    with transaction(app.engine) as connection:
        currency = load_invoice(connection, number).currency
    for field, amount in request.amounts():
        try:
            Money(amount, currency).to_minor()
        except InvalidValue as refusal:
            raise InvalidValue(f"{field}: {refusal.message}") from refusal
