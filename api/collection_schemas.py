"""The JSON of collection: what is asked of an invoice, and what came in and went out for it."""

import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from api.schemas import Amount, Day, Flag, InvoiceDetail, Schema, TaxLineOut, Whole
from domain.crediting import RefundTo
from domain.emails import EmailKind
from storage.importing import fields
from storage.policies import LATEST_DAY, MOST_STEPS

_AMOUNT = re.compile(r"-?\d{1,15}(\.\d{1,4})?", re.ASCII)
_LONGEST_NOTE = 1_000


def _one_line(value: str) -> str:
    """Blanks and line ends squeezed. Raises ValueError for what no text holds."""
    line = " ".join(value.split())
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in line):
        raise ValueError("has a control character; remove it")
    return line


def _amount(value: Any) -> Decimal:
    """Money is text, so that no program makes a float of it."""
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise ValueError('is no amount; write it as text with at most 15 digits, such as "312.91"')
    return Decimal(value)


def _address(value: str) -> str:
    (address,) = fields.emails(value) if ";" not in value else (None,)
    if address is None:
        raise ValueError("holds several addresses; give each an entry of its own")
    return address


Note = Annotated[str, Field(max_length=_LONGEST_NOTE), AfterValidator(_one_line)]
EmailAddress = Annotated[str, AfterValidator(_address)]
Reason = Annotated[Note, Field(min_length=1)]
MoneyIn = Annotated[
    Decimal,
    PlainValidator(_amount),
    WithJsonSchema({"type": "string", "pattern": f"^{_AMOUNT.pattern}$", "examples": ["312.91"]}),
]
Resolution = Literal["paid_elsewhere", "charge_again", "extend", "write_off", "void_by_credit_note"]


def _example(**example: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"example": example})


class ResolveRequest(Schema):
    """How a case of manual review ends, or goes on.

    `paid_elsewhere`: what is open was received outside of Billwright. `charge_again`: the card on
    file once more. `extend`: the steps begin anew after `until`. `write_off`: nothing is asked of
    the customer any more. `void_by_credit_note`: the invoice is taken back.
    """

    model_config = _example(
        resolution="extend", note="agreed by telephone with Ms Ortega", until="2026-04-30"
    )

    resolution: Resolution
    note: Reason = Field(description="Why; kept in the audit log.")
    until: Day | None = Field(
        None, validate_default=True, description="For `extend` only: the last day of grace."
    )

    @field_validator("until")
    @classmethod
    def _belongs_to_extend(cls, until: date | None, info: ValidationInfo) -> date | None:
        if "resolution" in info.data and (until is None) == (info.data["resolution"] == "extend"):
            raise ValueError(
                "is missing; give the day to extend to"
                if until is None
                else "belongs to the resolution extend alone; leave it out"
            )
        return until


class NoteRequest(Schema):
    """Why; kept in the audit log."""

    model_config = _example(note="the customer disputes the quantity")

    note: Note = ""


class VoidRequest(Schema):
    """An invoice to be taken back as a whole; what was paid becomes the customer's credit."""

    model_config = _example(reason="wrong legal entity", reissue=True)

    reason: Reason = Field(description="Printed on the credit note.")
    reissue: Flag = Field(
        False, description="The next retry of the cycle bills the customer under a new number."
    )


class CreditLineIn(Schema):
    """A line of the invoice. `amount`: net, in the line's sign; null: what is left of the line."""

    position: Whole = Field(ge=1, lt=2**31)
    amount: MoneyIn | None


class CreditNoteRequest(Schema):
    """What is credited: an `amount` with its tax, some `lines`, or all that is left.

    What is still open is reduced first. `refund_to` says where paid money goes: to the card that
    paid, or to the customer's credit.
    """

    model_config = _example(reason="service outage of 3 March", amount="50.00", refund_to="credit")

    reason: Reason = Field(description="Printed on the credit note.")
    amount: MoneyIn | None = None
    lines: list[CreditLineIn] | None = Field(None, min_length=1, max_length=1_000)
    refund_to: Literal["card", "credit"] = "credit"

    @field_validator("amount")
    @classmethod
    def _gives_something(cls, amount: Decimal | None) -> Decimal | None:
        if amount is not None and amount <= 0:
            raise ValueError("must be above zero")
        return amount

    @field_validator("lines")
    @classmethod
    def _names_each_line_once(cls, lines: list[CreditLineIn] | None) -> list[CreditLineIn] | None:
        positions = [line.position for line in lines or ()]
        if len(set(positions)) < len(positions):
            raise ValueError("name a position twice; give each line once")
        return lines

    @model_validator(mode="after")
    def _is_one_way(self) -> "CreditNoteRequest":
        if self.amount is not None and self.lines is not None:
            raise ValueError("give an amount or lines, not both")
        return self

    def details(self) -> dict[str, Any]:
        """As an instruction keeps it."""
        details: dict[str, Any] = {"refund_to": RefundTo(self.refund_to).value}
        if self.amount is not None:
            details["amount"] = f"{self.amount:f}"
        if self.lines is not None:
            details["lines"] = {
                str(line.position): None if line.amount is None else f"{line.amount:f}"
                for line in self.lines
            }
        return details

    def amounts(self) -> list[tuple[str, Decimal]]:
        """Every amount with the field that it stands in."""
        given = [("amount", self.amount)]
        given += [
            (f"lines.{place}.amount", line.amount) for place, line in enumerate(self.lines or ())
        ]
        return [(field, amount) for field, amount in given if amount is not None]


class InstructionOut(Schema):
    """What a person asked for. `outcome`: done, refused, or null while it waits.

    `answer` is the refusal's reason, or the number of the credit note that came of it.
    """

    id: int
    number: str
    kind: str
    note: str
    person: str
    asked_at: datetime
    outcome: str | None
    answer: str


class InstructionAnswer(Schema):
    """The instruction, and the invoice as it stands now.

    `credit_note` is the number of the one that was issued, null where none was.
    """

    instruction: InstructionOut
    credit_note: str | None
    invoice: InvoiceDetail


class RefundOut(Schema):
    """Money on its way back to a card. `status`: pending, succeeded, failed.

    `credit_note` is empty for a refund made in the card processor's dashboard.
    """

    amount: Amount
    status: str
    credit_note: str
    provider_id: str | None
    business_date: date


class PaymentOut(Schema):
    """Money received, or a charge that was tried.

    `method`: card, bank_transfer, credit, other. `status`: pending, succeeded, failed, reversed.
    The amount is allocated to the invoice, returned to the payer, kept as the customer's credit.
    `failure_code` says why a charge failed, `note` the bank's words.
    """

    method: str
    status: str
    amount: Amount
    currency: str
    allocated: Amount
    returned: Amount
    kept_as_credit: Amount
    attempt: int | None
    failure_code: str
    note: str
    provider_id: str | None
    business_date: date
    created_at: datetime
    refunds: list[RefundOut]


class EmailOut(Schema):
    """An e-mail about an invoice; `sent_at` is null while the mail server has not taken it."""

    kind: str
    step: int
    recipients: list[str]
    subject: str
    message_id: str
    business_date: date
    created_at: datetime
    sent_at: datetime | None


class CreditLineOut(Schema):
    """The net amount taken back of one line of the invoice."""

    position: int
    description: str
    amount: Amount


class CreditNoteOut(Schema):
    """A credit note.

    `returned_amount` of its total had been paid and went to `refund_to` (card, credit, or empty
    for none); the rest reduced what was open. `pdf_url` is null until the document is made.
    """

    number: str
    invoice_number: str
    business_date: date
    reason: str
    currency: str
    subtotal: Amount
    tax: Amount
    total: Amount
    refund_to: str
    returned_amount: Amount
    voids: bool
    created_by: str
    lines: list[CreditLineOut]
    tax_lines: list[TaxLineOut]
    pdf_url: str | None


class ChargeOut(Schema):
    """A charge of the card on file. `decline` says why it failed, `words` in the bank's words."""

    attempt: int
    business_date: date
    amount: Amount
    status: str
    decline: str
    words: str


class EmailSentOut(Schema):
    """An e-mail of the case; `sent_at` is null while the mail server has not taken it."""

    kind: str
    business_date: date
    sent_at: datetime | None


class PossibleResolutionOut(Schema):
    """A way to resolve the case. `why_not` is null where it is possible now."""

    resolution: str
    possible: bool
    why_not: str | None


class ReviewCaseOut(Schema):
    """An invoice that needs a person: it is in manual review, or its payment is disputed."""

    number: str
    account_number: str
    customer: str
    state: str
    currency: str
    total: Amount
    open_amount: Amount
    due_on: date
    days_late: int
    on_hold: bool
    disputed: bool
    since: datetime | None
    since_on: date | None
    reason: str
    charges: list[ChargeOut]
    emails: list[EmailSentOut]
    resolutions: list[PossibleResolutionOut]


class AuditOut(Schema):
    """One thing that happened; `details` are the event's own."""

    id: int
    at: datetime
    business_date: date
    actor: str
    subject_kind: str
    subject: str
    event: str
    from_state: str | None
    to_state: str | None
    reason: str
    details: dict[str, Any]


class PolicyStep(Schema):
    """One step against late payment.

    `after_days`: counted from the first failed charge or the due date. `notice`: reminder,
    urgent_notice, or review_notice, which hands the case to a person and comes last. `retry`:
    the card is tried again first. `cc`: who gets a copy.
    """

    after_days: Whole = Field(ge=0, le=LATEST_DAY)
    notice: Literal[EmailKind.REMINDER, EmailKind.URGENT_NOTICE, EmailKind.REVIEW_NOTICE]
    retry: Flag = False
    cc: list[EmailAddress] = Field([], max_length=10)


class PolicyRequest(Schema):
    """The steps by day; none at all means that nobody is reminded."""

    model_config = _example(
        steps=[
            {"after_days": 3, "notice": "reminder", "retry": True},
            {"after_days": 7, "notice": "urgent_notice", "retry": True},
            {"after_days": 14, "notice": "review_notice"},
        ]
    )

    steps: list[PolicyStep] = Field(max_length=MOST_STEPS)


class PolicyOut(Schema):
    """A policy. `built_in`: the standard, which nobody has replaced."""

    code: str
    built_in: bool
    steps: list[PolicyStep]


class CustomerPolicyRequest(Schema):
    """The code of the customer's policy; null: the standard."""

    model_config = _example(code="net-60")

    code: Annotated[str, Field(max_length=100)] | None


class CustomerPolicyOut(Schema):
    """Which policy the customer's next invoices begin with."""

    account_number: str
    policy: PolicyOut
