"""What became of a person's instruction, as a sentence."""

from typing import Any

_DONE = {
    "hold": "on hold; nobody is reminded until you release it.",
    "release": "released; the reminders count from today.",
    "resend": "sent once more.",
    "renew_links": "the links sent so far open nothing any more.",
    "paid_elsewhere": "settled, as paid elsewhere.",
    "charge_again": "the card was charged again; the case shows with what result.",
    "extend": "the customer has more time; the reminders begin anew after it.",
    "write_off": "written off; nothing is asked of the customer any more.",
}
"""By the kind of instruction; those that issue a credit note name it."""


def told(answer: dict[str, Any]) -> str:
    """`answer`: the API's to an instruction that was not refused."""
    instruction = answer["instruction"]
    if instruction["outcome"] is None:
        return "noted, and decided in a moment; reload the page to see it."
    if answer["credit_note"]:
        return f"credit note {answer['credit_note']} is issued."
    return _DONE.get(instruction["kind"], "done.")
