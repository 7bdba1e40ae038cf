"""What the finance team may ask of an issued invoice."""

from enum import StrEnum

from domain.declines import DeclineClass
from domain.dunning import Case, CollectionState, Event, Refused, after


class InstructionKind(StrEnum):
    """`HOLD`, `RELEASE`: the reminders stop, and count anew. `RESEND`: the invoice's e-mail once
    more. `RENEW_LINKS`: the payer's links that were sent open nothing any more. The last five
    resolve a case of manual review.
    """

    HOLD = "hold"
    RELEASE = "release"
    RESEND = "resend"
    RENEW_LINKS = "renew_links"
    CREDIT_NOTE = "credit_note"
    VOID = "void"
    PAID_ELSEWHERE = "paid_elsewhere"
    CHARGE_AGAIN = "charge_again"
    EXTEND = "extend"
    WRITE_OFF = "write_off"
    VOID_BY_CREDIT_NOTE = "void_by_credit_note"

    @property
    def is_resolution(self) -> bool:
        return self in RESOLUTIONS


RESOLUTIONS = (
    InstructionKind.PAID_ELSEWHERE,
    InstructionKind.CHARGE_AGAIN,
    InstructionKind.EXTEND,
    InstructionKind.WRITE_OFF,
    InstructionKind.VOID_BY_CREDIT_NOTE,
)

EVENT_OF_RESOLUTION = {
    InstructionKind.PAID_ELSEWHERE: Event.PAID_ELSEWHERE,
    InstructionKind.CHARGE_AGAIN: Event.CHARGE_AGAIN,
    InstructionKind.EXTEND: Event.EXTENDED,
    InstructionKind.WRITE_OFF: Event.WRITTEN_OFF,
}
"""`VOID_BY_CREDIT_NOTE` is a void in manual review, and moves by `Event.VOIDED`."""


def why_not(resolution: InstructionKind, case: Case, *, card_on_file: bool) -> str | None:
    """Why a case cannot be resolved this way now, in a sentence; None where it can."""
    in_review = case.state is CollectionState.MANUAL_REVIEW
    if resolution is InstructionKind.VOID_BY_CREDIT_NOTE and not in_review:
        return f"{case.number} is not in manual review; use the void of the invoice."
    event = EVENT_OF_RESOLUTION.get(resolution, Event.VOIDED)
    verdict = after(case.state, event)
    if isinstance(verdict, Refused):
        return f"{case.number}: {event.value.replace('_', ' ')} is refused, {verdict.reason}."
    if resolution is InstructionKind.CHARGE_AGAIN:
        return _why_no_charge(case, card_on_file=card_on_file)
    return None


def _why_no_charge(case: Case, *, card_on_file: bool) -> str | None:
    number = case.number
    if not case.by_card:
        return f"{number} is paid by bank transfer; there is no card to charge."
    if not card_on_file:
        return f"{number} has no card on file; send the customer the link first."
    if case.decline is DeclineClass.LOST_OR_STOLEN and not case.card_waiting:
        return (
            f"The bank withdrew the card of {number}; it is charged again once the customer has "
            "left another one."
        )
    if not case.chargeable_amount:
        return f"The {case.open_amount:f} open on {number} cannot be charged to a card."
    return None
