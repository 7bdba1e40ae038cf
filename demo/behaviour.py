"""What the customers of the demonstration do about their invoices; see `demo/README.md`."""

import csv
import re
import time
from dataclasses import dataclass
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx

from demo.dataset import DATA
from stack.errors import StackError
from stack.mailbox import read_mails
from stack.state import StackAddresses

_CARD = {"exp": "12/34", "cvc": "123"}
_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class CardPayer:
    """Answers an e-mail about the declined charge by leaving `new_card`.

    Attributes:
        answers: the kind of e-mail; empty for a customer who answers none.
        day: after the release, the earliest that the customer acts.
    """

    account_number: str
    answers: str
    day: int
    new_card: str
    why: str


@dataclass(frozen=True)
class WirePayer:
    """Pays by wire so many days after the issue, with the reference as this payer types it."""

    account_number: str
    day: int
    remittance: str


def card_payers() -> list[CardPayer]:
    return [
        CardPayer(
            row["account_number"],
            row["answers"],
            int(row["day"] or 0),
            row["new_card"],
            row["why"],
        )
        for row in rows_of("card_payers.csv")
    ]


def wire_payers() -> list[WirePayer]:
    return [
        WirePayer(row["account_number"], int(row["day"]), row["remittance"])
        for row in rows_of("wires.csv")
    ]


def billing_emails() -> dict[str, str]:
    """By account: the address to which the customer's invoices go."""
    return {
        row["account_number"]: row["billing_email"].split(";")[0]
        for row in rows_of("customers.csv")
    }


def hand_over_cards(addresses: StackAddresses) -> None:
    """Tells the card sandbox of the cards that the customers left in the years before.

    Raises StackError if it refuses.
    """
    cards = [
        {
            "id": row["stripe_customer_id"],
            "name": row["name"],
            "email": row["billing_email"].split(";")[0],
            "payment_method": {
                "id": row["stripe_payment_method_id"],
                "token": row["stripe_payment_method_id"].rpartition("_")[0],
            },
        }
        for row in rows_of("customers.csv")
        if row["stripe_customer_id"]
    ]
    answer = httpx.post(
        f"{addresses.stripe_api_base}/_sandbox/seed",
        json={"customers": cards},
        headers={"Authorization": f"Bearer {addresses.stripe_api_key}"},
        timeout=60,
    )
    if answer.is_error:
        raise StackError(f"The card sandbox refused the cards: {answer.text}")


class Inbox:
    """What one customer has received."""

    def __init__(self, mail_dir: Path, address: str) -> None:
        self._mail_dir = mail_dir
        self._address = address

    def mails(self) -> list[EmailMessage]:
        return read_mails(self._mail_dir, to=self._address)

    def link_in(self, kind: str, page: str) -> str:
        """The link to `page` in the customer's e-mail of `kind`, which is waited for."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for mail in self.mails():
                found = re.search(rf"https?://\S+/{page}/[^\s<>\"]+", text_of(mail))
                if found and f".{kind}." in str(mail["Message-ID"]):
                    return found[0]
            time.sleep(0.1)
        raise StackError(f"{self._address} has received no link to {page}.")


def leave_card(link: str, card: str) -> None:
    """Opens the link of an e-mail, presses the button, and fills in the card processor's page."""
    with httpx.Client(follow_redirects=True, timeout=60) as browser:
        page = browser.get(link)
        processor = _submit(browser, page, {})
        _submit(browser, processor, {"card_number": card, **_CARD})


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    return part.get_content() if part is not None else ""


class _Form(HTMLParser):
    """The first form of a page: where it goes, and what it sends by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = given.get("action") or ""
        if tag == "input" and given.get("type") == "hidden" and given.get("name"):
            self.fields[given["name"] or ""] = given.get("value") or ""


def _submit(browser: httpx.Client, page: httpx.Response, fields: dict[str, str]) -> httpx.Response:
    """Presses the button of the page's form. Raises StackError for a page without one."""
    form = _Form()
    form.feed(page.text)
    if page.is_error or form.action is None:
        raise StackError(f"{page.url.path.split('/')[1]} answered {page.status_code}, no form.")
    answer = browser.post(urljoin(str(page.url), form.action), data={**form.fields, **fields})
    if answer.is_error:
        raise StackError(f"The form of {page.url.host} was answered with {answer.status_code}.")
    return answer


def rows_of(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
