"""A customer of the crash matrix, their kill point, and what is done to their invoice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from temporalio.client import RPCTimeoutOrCancelledError

from domain.errors import Conflict
from domain.instructions import InstructionKind
from tests.end_to_end.collecting import Collecting, Standing
from tests.end_to_end.crash_points import point_name
from workflows.ids import customer_billing_id, invoice_id

PERIOD = "2026-02"
NO_CARD = "none"
_FIRST_ACCOUNT = 1001

ISSUED = ("issued", "invoice_email_sent")
REVIEWED = ("review_due", "review_notice_email_sent")
SETTLED = ("settled", "receipt_email_sent")


@dataclass(frozen=True)
class CrashCase:
    """One customer. `deed` and `place` name the kill point, as `point_name` does.

    Attributes:
        script: what is done to the invoice once it is issued.
        events: all that the audit log tells of it at the end.
        card: token of a test card, NO_CARD, or empty for a customer who pays by wire.
        subject: of the kill point, where it is not the invoice's workflow.
        armed: whether the kill point counts from the start, or once the script says so.
        last: runs behind all others.
        policy: of POLICIES.
    """

    deed: str
    place: str
    script: "Script"
    events: tuple[str, ...]
    state: str
    card: str = ""
    subject: str = ""
    armed: bool = True
    last: bool = False
    policy: str = "review"
    number: int = 0

    @property
    def account(self) -> str:
        return str(_FIRST_ACCOUNT + self.number)

    @property
    def invoice(self) -> str:
        return f"INV-{PERIOD}-{self.number + 1:04d}"

    @property
    def card_id(self) -> str:
        """Of the card at the processor; empty for who has none."""
        has_one = self.card and self.card != NO_CARD
        return f"pm_card_{self.card}_{self.account}" if has_one else ""

    @property
    def point(self) -> str:
        subject = self.subject or invoice_id(self.invoice)
        if subject == "customer":
            subject = customer_billing_id(PERIOD, self.account)
        return point_name(subject, self.deed, self.place) if self.deed else ""

    @property
    def mails_twice(self) -> str:
        """The kind of e-mail that goes out twice: killed between the server's 250 and the record.

        Both are the same: before the commit of the record, and before the record.
        """
        activity, _, kind = self.deed.partition("/")
        killed_unrecorded = self.place in ("send:after", "transaction 2:before")
        return kind if activity == "send_notice" and killed_unrecorded else ""

    def __str__(self) -> str:
        return f"{self.invoice} {self.deed or self.script.__name__} {self.place}".strip()


@dataclass(frozen=True)
class Stage:
    """The running stack, and the folder of the kill points."""

    collecting: Collecting
    folder: Path
    bad_day: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the card processor begins to fail."""

    def arm(self, case: CrashCase) -> None:
        if case.deed:
            (self.folder / "armed" / case.point).touch()

    def was_hit(self, case: CrashCase) -> bool:
        return (self.folder / "hit" / case.point).exists()

    async def told(self, case: CrashCase, *events: str) -> Standing:
        return await self.collecting.until(
            case.account, f"told {events}", lambda s: Counter(events) <= Counter(s.events)
        )


Script = Callable[[Stage, CrashCase], Awaitable[None]]


# --- scripts


async def nothing(stage: Stage, case: CrashCase) -> None:
    """What happens by itself."""


async def dunned(stage: Stage, case: CrashCase) -> None:
    await stage.collecting.until(
        case.account, "contacted", lambda s: any(e.endswith("_email_sent") for e in s.events)
    )
    await stage.collecting.instruct(case.invoice, InstructionKind.RELEASE)


async def wired(stage: Stage, case: CrashCase) -> None:
    standing = await stage.told(case, *ISSUED)
    stage.arm(case)
    stage.collecting.wire(standing, standing.total)
    await stage.collecting.tell(case.invoice)


async def wired_and_reversed(stage: Stage, case: CrashCase) -> None:
    standing = await stage.told(case, *ISSUED)
    wire = stage.collecting.wire(standing, standing.total)
    await stage.collecting.tell(case.invoice)
    standing = await stage.told(case, *SETTLED)
    stage.arm(case)
    stage.collecting.wire(standing, -standing.total, reverses=wire)
    await stage.collecting.tell(case.invoice)
    await stage.told(case, "wire_reversed")
    await stage.collecting.instruct(case.invoice, InstructionKind.RELEASE)


async def wired_untold(stage: Stage, case: CrashCase) -> None:
    standing = await stage.told(case, *ISSUED)
    stage.collecting.wire(standing, standing.total)
    stage.arm(case)


async def asked_untold(stage: Stage, case: CrashCase) -> None:
    await stage.told(case, *ISSUED)
    await stage.collecting.only_store_instruction(case.invoice, InstructionKind.VOID)


async def event_untold(stage: Stage, case: CrashCase) -> None:
    standing = await stage.told(case, *ISSUED)
    stage.collecting.store_event_untold(standing)


async def opened_page(stage: Stage, case: CrashCase, *, setup: bool = False) -> str:
    """The payer presses the button until there is a page: a worker may be dead for longer than
    Temporal waits with its answer.
    """
    while True:
        try:
            return await stage.collecting.open_page(case.invoice, setup=setup)
        except (Conflict, RPCTimeoutOrCancelledError):
            await stage.collecting.until(case.account, "issued", lambda _: True)


async def page_opened(stage: Stage, case: CrashCase) -> None:
    await stage.told(case, *ISSUED)
    stage.arm(case)
    first = await opened_page(stage, case)
    assert await opened_page(stage, case) == first


async def page_paid(stage: Stage, case: CrashCase) -> None:
    await stage.told(case, *ISSUED)
    page = await opened_page(stage, case)
    stage.arm(case)
    assert await stage.collecting.pay_on(page) == 303


async def page_closed(stage: Stage, case: CrashCase) -> None:
    await stage.told(case, *ISSUED)
    await opened_page(stage, case)
    await wired(stage, case)


async def card_left(stage: Stage, case: CrashCase) -> None:
    await stage.told(case, "update_payment_method_email_sent")
    stage.arm(case)
    page = await opened_page(stage, case, setup=True)
    assert await stage.collecting.pay_on(page) == 303


def on_the_bad_day(script: Script) -> Script:
    async def later(stage: Stage, case: CrashCase) -> None:
        await stage.bad_day.wait()
        await script(stage, case)

    return later


def asked(kind: InstructionKind, **details: str) -> Script:
    async def script(stage: Stage, case: CrashCase) -> None:
        await stage.told(case, *ISSUED)
        stage.arm(case)
        await stage.collecting.instruct(case.invoice, kind, **details)

    return script


def credited(to: str, first: tuple[str, ...]) -> Script:
    async def script(stage: Stage, case: CrashCase) -> None:
        await stage.told(case, *first)
        stage.arm(case)
        details = {"amount": "50.00", "refund_to": to}
        await stage.collecting.instruct(case.invoice, InstructionKind.CREDIT_NOTE, **details)

    return script


def resolved(kind: InstructionKind) -> Script:
    async def script(stage: Stage, case: CrashCase) -> None:
        await dunned(stage, case)
        standing = await stage.told(case, *REVIEWED)
        stage.arm(case)
        until = standing.last_day + timedelta(days=45)
        details = {"until": f"{until}"} if kind is InstructionKind.EXTEND else {}
        await stage.collecting.instruct(case.invoice, kind, **details)

    return script
