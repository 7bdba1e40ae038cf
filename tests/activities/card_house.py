"""An issued invoice of a card customer, with the sandbox behind its charges."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from activities.card_objects import CardGatewayUnavailable
from activities.charging import ChargingActivities
from activities.collection import CollectionActivities
from domain.dunning import Case
from storage.allocation import Receipt, book_receipt
from storage.collection import LockedInvoice, load_case
from storage.engine import transaction
from storage.webhooks import store_event
from tests.activities.cards import DyingGateway, Killed, Sandbox
from tests.activities.conftest import FIRST, Books
from tests.builders import ACTOR, ISSUED_ON
from workflows.contracts.lifecycle import ChargeOrder, CreditNoteOrder, Occasion, PageOrder

CUSTOMER = "cus_1001"
ORDER = ChargeOrder(FIRST, 1, ISSUED_ON)
PAGE = PageOrder(FIRST, ISSUED_ON, "https://pay.example/done", "https://pay.example/back")


@dataclass
class CardHouse:
    """The first invoice, over 195.10 USD where nothing else is asked, and its card."""

    books: Books
    cards: Sandbox
    number: str = FIRST
    occasion: Occasion = field(default=Occasion(FIRST, ISSUED_ON))
    _later: timedelta = timedelta(0)

    def charging(self, dies_in: str = "", *, before: bool = False) -> ChargingActivities:
        """The activities; killed once, before or behind one call of the gateway."""
        gateway = self.cards.gateway()
        if dies_in:
            gateway = DyingGateway(self.cards.url, dies_in, before=before)
        return ChargingActivities(
            self.books.engine, gateway=gateway, now=lambda: datetime.now(UTC) + self._later
        )

    def charge(self, order: ChargeOrder = ORDER) -> Case:
        return self.charging().charge_invoice(order)

    def killed_in(self, method: str, *, before: bool = False) -> None:
        with pytest.raises(Killed):
            self.charging(method, before=before).charge_invoice(ORDER)

    def charge_until_it_answers(self) -> Case:
        """As Temporal repeats the activity."""
        for _ in range(5):
            try:
                return self.charge()
            except CardGatewayUnavailable:
                continue
        raise AssertionError("the processor never answers")

    def open_page(self) -> str:
        return self.charging().open_checkout(PAGE)

    def close_pages(self) -> Case:
        return self.charging().close_checkouts(self.occasion)

    def credit_order(self, note: str) -> CreditNoteOrder:
        return CreditNoteOrder(self.number, note, ISSUED_ON)

    def refund(self, note: str) -> Case:
        return self.charging().refund_credit_note(self.credit_order(note))

    def pay(self, amount: str) -> None:
        """A wire arrives and is booked."""
        with transaction(self.books.engine) as connection:
            locked = LockedInvoice(connection, FIRST, business_date=ISSUED_ON, actor=ACTOR)
            book_receipt(locked, Receipt("bank_transfer", Decimal(amount), f"wire of {amount}"))

    def take_in_events(self) -> Case:
        """Every event of the processor's arrives, the latest first, and is booked."""
        with transaction(self.books.engine) as connection:
            for event in self.cards.objects("events"):
                store_event(connection, event)
        return CollectionActivities(self.books.engine).take_in(self.occasion)

    def case(self) -> Case:
        with transaction(self.books.engine) as connection:
            return load_case(connection, FIRST)

    def later(self, **passed: float) -> None:
        self._later += timedelta(**passed)

    def forget_keys(self) -> None:
        """A day passes at the processor."""
        self.cards.forget_keys()


OpenHouse = Callable[..., CardHouse]
