"""Every place of the collection at which a worker may be killed: a customer each, with what must
have become of their invoice.
"""

from collections.abc import Iterable
from dataclasses import replace

from domain.dunning import DunningPolicy, DunningStep
from domain.emails import EmailKind
from domain.instructions import InstructionKind
from tests.end_to_end.crash_points import SWEEP
from tests.end_to_end.crash_scripts import (
    ISSUED,
    NO_CARD,
    PERIOD,
    REVIEWED,
    SETTLED,
    CrashCase,
    asked,
    asked_untold,
    card_left,
    credited,
    dunned,
    event_untold,
    nothing,
    on_the_bad_day,
    page_closed,
    page_opened,
    page_paid,
    resolved,
    wired,
    wired_and_reversed,
    wired_untold,
)
from workflows.ids import cycle_release_id

VISA, EXPIRED = "visa", "chargeDeclinedExpiredCard"
NO_FUNDS, ASKS = "chargeDeclinedInsufficientFunds", "authenticationRequired"

REMINDED = ("reminder_email_sent", "reminder_sent")
URGED = ("urgent_notice_email_sent", "urgent_notice_sent")
RELEASED = ("released", "overdue")
DUNNED = (*RELEASED, *REVIEWED)
CHARGED = ("issued", "charge_begun", *SETTLED)
DECLINED = ("charge_begun", "charge_declined")
REFUSED = ("issued", "charge_begun", "charge_refused")
CARD_LEFT = (
    *(*REFUSED, "update_payment_method_email_sent", "payment_method_updated"),
    *("charge_begun", *SETTLED),
)
CREDIT_NOTED = ("credited", "credit_note_email_sent")

# So far apart that a worker that is down for days of two seconds skips none of them.
POLICIES = {
    "review": DunningPolicy((DunningStep(3, EmailKind.REVIEW_NOTICE),)),
    "reminder": DunningPolicy((DunningStep(3, EmailKind.REMINDER, retry=True),)),
    "urgent": DunningPolicy((DunningStep(3, EmailKind.URGENT_NOTICE),)),
    "all": DunningPolicy(
        (
            DunningStep(3, EmailKind.REMINDER, retry=True),
            DunningStep(20, EmailKind.URGENT_NOTICE, retry=True),
            DunningStep(37, EmailKind.REVIEW_NOTICE),
        )
    ),
}


_LOCAL = ("begun", "transaction 1:before", "done")
_MAIL = ("transaction 1:after", "send:after", "transaction 2:after")
_EVERY_MAIL = (
    *("begun", "transaction 1:before", "send:before", "transaction 2:before", "done"),
    *_MAIL,
)
_CHARGE = (
    *("begun", "transaction 2:before", "transaction 2:after"),
    *("create_payment:before", "create_payment:after"),
    *("transaction 3:before", "transaction 3:after"),
    *("confirm_payment:before", "confirm_payment:after"),
    *("transaction 5:before", "transaction 5:after", "done"),
)
_OPEN = ("open_checkout:before", "open_checkout:after", "transaction 4:before", "done")
_REFUND = ("refund:before", "refund:after", "transaction 2:before", "transaction 2:after", "done")


def _each(places: Iterable[str], case: CrashCase) -> list[CrashCase]:
    return [replace(case, place=place) for place in places]


def _issuing() -> list[CrashCase]:
    posted = CrashCase("post_invoice", "", nothing, ISSUED, "issued", subject="customer")
    rendered = replace(posted, deed="render_invoice")
    return [*_each(_LOCAL, posted), *_each(["render:after", "done"], rendered)]


def _charging() -> list[CrashCase]:
    paid = CrashCase("charge_invoice", "", nothing, CHARGED, "paid", card=VISA)
    unfunded = replace(
        paid,
        script=dunned,
        events=(*ISSUED, *DECLINED * 2, *RELEASED, *REMINDED),
        state="reminder_sent",
        card=NO_FUNDS,
        policy="reminder",
    )
    none = replace(
        paid,
        script=nothing,
        events=(*REFUSED, "update_payment_method_email_sent"),
        state="payment_attempted",
        card=NO_CARD,
    )
    return [
        *_each(_CHARGE, paid),
        *_each(("confirm_payment:after", "transaction 5:before", "transaction 5:after"), unfunded),
        *_each(("transaction 2:after",), none),
    ]


def _mailing() -> list[CrashCase]:
    told = CrashCase("send_notice/invoice", "", nothing, ISSUED, "issued")
    receipt = replace(told, deed="send_notice/receipt", events=CHARGED, state="paid", card=VISA)
    update = replace(
        told,
        deed="send_notice/update_payment_method",
        events=("issued", *DECLINED, "update_payment_method_email_sent"),
        state="retry_scheduled",
        card=EXPIRED,
    )
    confirm = replace(
        told,
        deed="send_notice/authenticate",
        events=(*REFUSED, "authenticate_email_sent"),
        state="payment_attempted",
        card=ASKS,
    )
    review = replace(
        told,
        deed="send_notice/review_notice",
        script=dunned,
        events=(*ISSUED, *DUNNED),
        state="manual_review",
    )
    reminder = replace(
        review,
        deed="send_notice/reminder",
        events=(*ISSUED, *RELEASED, *REMINDED),
        state="reminder_sent",
        policy="reminder",
    )
    urgent = replace(
        review,
        deed="send_notice/urgent_notice",
        events=(*ISSUED, *RELEASED, *URGED),
        state="urgent_notice",
        policy="urgent",
    )
    note = replace(
        told,
        deed="send_notice/credit_note",
        script=credited("credit", ISSUED),
        events=(*ISSUED, *CREDIT_NOTED),
    )
    others = (receipt, update, confirm, review, reminder, urgent, note)
    return [
        *_each(_EVERY_MAIL, told),
        *(case for kind in others for case in _each(_MAIL, kind)),
    ]


def _taking_in() -> list[CrashCase]:
    wire = CrashCase("take_in", "", wired, (*ISSUED, *SETTLED), "paid", armed=False)
    reversed_ = replace(
        wire,
        script=wired_and_reversed,
        events=(*ISSUED, *SETTLED, "wire_reversed", *DUNNED),
        state="manual_review",
    )
    scripts = (wire, replace(wire, script=page_paid), reversed_)
    return [case for kind in scripts for case in _each(_LOCAL, kind)]


def _carrying_out() -> list[CrashCase]:
    kinds = InstructionKind
    ask = CrashCase("carry_out", "", nothing, ISSUED, "issued", armed=False)
    dunning = replace(ask, events=(*ISSUED, *DUNNED), state="manual_review")
    voided = (*ISSUED, "voided", "credit_note_email_sent")
    again = (*ISSUED, *DUNNED, "extended", *REVIEWED)
    cases = [
        replace(ask, script=asked(kinds.HOLD), events=(*ISSUED, "held")),
        replace(dunning, script=asked(kinds.RELEASE)),
        replace(
            ask,
            script=asked(kinds.RESEND),
            events=(*ISSUED, "resend_asked", "invoice_email_sent"),
        ),
        replace(ask, script=asked(kinds.RENEW_LINKS), events=(*ISSUED, "links_renewed")),
        replace(ask, script=credited("credit", ISSUED), events=(*ISSUED, *CREDIT_NOTED)),
        replace(ask, script=asked(kinds.VOID), events=voided, state="void"),
        replace(
            dunning,
            script=resolved(kinds.PAID_ELSEWHERE),
            events=(*dunning.events, "paid_elsewhere", *SETTLED),
            state="paid",
        ),
        replace(
            dunning,
            script=resolved(kinds.CHARGE_AGAIN),
            events=(
                *(*ISSUED, *DECLINED, *DUNNED),
                *("charge_again", *DECLINED, "invoice_email_sent"),
            ),
            card=NO_FUNDS,
        ),
        replace(dunning, script=resolved(kinds.EXTEND), events=again),
        replace(
            dunning,
            script=resolved(kinds.WRITE_OFF),
            events=(*dunning.events, "written_off"),
            state="uncollectible",
        ),
        replace(
            dunning,
            script=resolved(kinds.VOID_BY_CREDIT_NOTE),
            events=(*dunning.events, "voided", "credit_note_email_sent"),
            state="void",
        ),
    ]
    return [case for kind in cases for case in _each(("transaction 1:before", "done"), kind)]


def _stepping() -> list[CrashCase]:
    steps = (*ISSUED, *RELEASED, *REMINDED, *URGED, *REVIEWED)
    overdue = CrashCase("mark_overdue", "", dunned, steps, "manual_review", policy="all")
    kinds = (overdue, replace(overdue, deed="begin_review"))
    return [case for kind in kinds for case in _each(_LOCAL, kind)]


def _pages() -> list[CrashCase]:
    opened = CrashCase("open_checkout", "", page_opened, ISSUED, "issued", armed=False)
    closed = replace(
        opened,
        deed="close_checkouts",
        script=page_closed,
        events=(*ISSUED, *SETTLED),
        state="paid",
    )
    left = replace(
        opened,
        deed="open_card_setup",
        script=card_left,
        events=CARD_LEFT,
        state="paid",
        card=NO_CARD,
    )
    return [
        *_each(_OPEN, opened),
        *_each(("close_checkout:before", "close_checkout:after", "done"), closed),
        *_each(("ensure_customer:after", "open_card_setup:after", "done"), left),
    ]


def _crediting() -> list[CrashCase]:
    refunded = CrashCase(
        "refund_credit_note",
        "",
        credited("card", CHARGED),
        (*CHARGED, "credited", "refunded", "credit_note_email_sent"),
        "paid",
        card=VISA,
        armed=False,
    )
    rendered = replace(refunded, deed="render_credit_note")
    return [
        *_each(_REFUND, refunded),
        *_each(("render:before", "transaction 2:before", "done"), rendered),
    ]


def _waiting() -> list[CrashCase]:
    found = CrashCase(
        "find_waiting", "", wired_untold, (*ISSUED, *SETTLED), "paid", subject=SWEEP, armed=False
    )
    voided = (*ISSUED, "voided", "credit_note_email_sent")
    lost = replace(found, deed="", subject="")
    released = CrashCase(
        "release_page",
        "",
        nothing,
        (*ISSUED, *DUNNED),
        "manual_review",
        subject=cycle_release_id(PERIOD),
        armed=False,
        last=True,
    )
    return [
        *_each(_LOCAL, found),
        lost,
        replace(lost, script=event_untold),
        replace(lost, script=asked_untold, events=voided, state="void"),
        *_each(("transaction 1:before", "done"), released),
    ]


def _unkilled() -> list[CrashCase]:
    """Who meets the failures of the card processor on its bad day."""
    refunded = CrashCase(
        "",
        "",
        on_the_bad_day(credited("card", CHARGED)),
        (*CHARGED, "credited", "refunded", "credit_note_email_sent"),
        "paid",
        card=VISA,
    )
    paid = replace(refunded, script=on_the_bad_day(page_paid), events=(*ISSUED, *SETTLED), card="")
    left = replace(refunded, script=on_the_bad_day(card_left), events=CARD_LEFT, card=NO_CARD)
    return [*[refunded] * 4, *[paid] * 2, *[left] * 4]


def crash_cases() -> list[CrashCase]:
    """All of them, each with its customer's number."""
    families = (
        _issuing,
        _charging,
        _mailing,
        _taking_in,
        _carrying_out,
        _stepping,
        _pages,
        _crediting,
        _waiting,
        _unkilled,
    )
    cases = [case for family in families for case in family()]
    return [replace(case, number=number) for number, case in enumerate(cases)]
