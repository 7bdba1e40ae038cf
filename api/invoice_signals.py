"""How the API reaches an invoice's workflow: what is stored is told, what is asked is answered."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fastapi.concurrency import run_in_threadpool
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from api.dependencies import Services
from api.problems import never_connected
from domain.errors import Conflict, NotFound
from domain.instructions import InstructionKind
from storage import instructions
from storage.arrivals import resumptions
from storage.engine import transaction
from storage.instructions import Asked
from workflows.contracts.lifecycle import (
    Instruction,
    InvoiceOrder,
    PageRequest,
    PaymentReceived,
)
from workflows.starting import ask_invoice, tell_invoice

_TOLD_AT_ONCE = 20
_TELLING_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.1

_SIGNALS = {
    InstructionKind.HOLD: "hold",
    InstructionKind.RELEASE: "release",
    InstructionKind.VOID: "void",
    InstructionKind.CREDIT_NOTE: "ask",
    InstructionKind.RESEND: "ask",
    InstructionKind.RENEW_LINKS: "ask",
}
"""Every other kind resolves a case: `resolve_manual_review`."""


async def tell_invoices(app: Services, numbers: Sequence[str], reference: str) -> None:
    """Tells the workflows of `numbers` that something was stored for them.

    One that has ended is started again from PostgreSQL. Raises RPCError where Temporal does not
    answer: `told` lets the sweep make up for that.
    """
    orders = await _orders(app, numbers)
    desk = asyncio.Semaphore(_TOLD_AT_ONCE)

    async def tell(order: InvoiceOrder) -> None:
        async with desk:
            await tell_invoice(
                app.temporal,
                order,
                "payment_received",
                PaymentReceived(reference),
                task_queue=app.settings.task_queue,
            )

    await asyncio.gather(*(tell(order) for order in orders))


async def told(telling: Awaitable[None]) -> bool:
    """Whether Temporal took it within a few seconds.

    Where it did not, nothing is lost: what is told was stored before, and the sweep finds it.
    """
    try:
        async with asyncio.timeout(_TELLING_SECONDS):
            await telling
    except (RPCError, TimeoutError):
        return False
    except RuntimeError as error:
        if not never_connected(error):
            raise
        return False
    return True


async def instruct(
    app: Services,
    number: str,
    kind: InstructionKind,
    *,
    note: str,
    person: str,
    details: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Asked:
    """Stores what `person` asks of the invoice and has its workflow carry it out.

    Answers once it is decided, or as it stands after ten seconds, or at once where Temporal is
    away: it is stored and will be done, so nobody must ask again; who does so all the same, under
    the same `idempotency_key`, is told what became of it.
    Raises NotFound, InvalidValue, and Conflict with the reason where it is refused.
    """

    def store() -> int:
        with transaction(app.engine) as connection:
            return instructions.ask(
                connection,
                number,
                kind,
                note=note,
                person=person,
                details=details,
                idempotency_key=idempotency_key,
            )

    instruction = await run_in_threadpool(store)
    (order,) = await _orders(app, [number])
    telling = tell_invoice(
        app.temporal,
        order,
        _SIGNALS.get(kind, "resolve_manual_review"),
        Instruction(instruction),
        task_queue=app.settings.task_queue,
    )
    patience = _ANSWER_SECONDS if await told(telling) else 0
    asked = await _decided(app, instruction, patience)
    if asked.outcome == "refused":
        raise Conflict(asked.answer)
    return asked


async def open_checkout(app: Services, number: str, *, return_url: str, cancel_url: str) -> str:
    """The address of a page on which what is open is paid by card.

    Raises NotFound, and Conflict where nothing can be paid by card now.
    """
    request = PageRequest(return_url, cancel_url)
    return await _page(app, number, "open_checkout", request)


async def open_card_setup(app: Services, number: str, *, return_url: str, cancel_url: str) -> str:
    """The address of a page on which the customer of the invoice leaves a card.

    Raises NotFound, and Conflict where the card processor refuses.
    """
    request = PageRequest(return_url, cancel_url)
    return await _page(app, number, "open_card_setup", request)


async def _page(app: Services, number: str, update: str, request: PageRequest) -> str:
    (order,) = await _orders(app, [number])
    try:
        return await ask_invoice(
            app.temporal, order, update, request, task_queue=app.settings.task_queue
        )
    except WorkflowUpdateFailedError as failure:
        raise Conflict(reason_of(failure)) from failure


def reason_of(failure: WorkflowUpdateFailedError) -> str:
    """Why an update was refused: what the innermost failure says."""
    cause: BaseException = failure
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return cause.message if isinstance(cause, ApplicationError) else str(cause)


async def _orders(app: Services, numbers: Sequence[str]) -> list[InvoiceOrder]:
    """What workflows are started with where they have ended. Raises NotFound for none at all."""

    def read() -> list[InvoiceOrder]:
        with transaction(app.engine) as connection:
            found = resumptions(connection, numbers)
        return [InvoiceOrder(calendar=app.calendar, **asdict(invoice)) for invoice in found]

    orders = await run_in_threadpool(read)
    if numbers and not orders:
        raise NotFound(f"There is no issued invoice {numbers[0]}.")
    return orders


async def _decided(app: Services, instruction: int, patience: float) -> Asked:
    def read() -> Asked:
        with transaction(app.engine) as connection:
            return instructions.find_instruction(connection, instruction)

    deadline = asyncio.get_running_loop().time() + patience
    while True:
        asked = await run_in_threadpool(read)
        if asked.outcome is not None or asyncio.get_running_loop().time() > deadline:
            return asked
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
