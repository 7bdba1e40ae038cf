"""Cards charged and refunded, and the card processor's pages opened and closed.

Each method may run twice, and may be killed between any two of its lines: what matters is written
down before it is asked for, and looked up by its id afterwards.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Engine, select, update
from temporalio import activity

from activities.card_gateway import CardGateway
from activities.card_objects import (
    CardGatewayUnavailable,
    CardGone,
    CardPayment,
    CheckoutSession,
    PaymentStatus,
)
from activities.collection import lock
from domain.card_amounts import chargeable
from domain.declines import DeclineClass
from domain.dunning import Case
from domain.errors import Conflict
from storage import charges, checkouts
from storage.allocation import Receipt, book_receipt
from storage.charges import Attempt
from storage.collection import LockedInvoice, load_case
from storage.engine import transaction
from storage.invoices import Invoice, load_invoice
from storage.refunds import record_refund, refunds_due
from storage.tables import customers, payments
from workflows.contracts.lifecycle import ChargeOrder, CreditNoteOrder, Occasion, PageOrder


class ChargingActivities:
    """`now`: the present instant, to tell whether a page stays open long enough."""

    def __init__(
        self, engine: Engine, *, gateway: CardGateway, now: Callable[[], datetime]
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._now = now

    @activity.defn(no_thread_cancel_exception=True)
    def charge_invoice(self, order: ChargeOrder) -> Case:
        """Pending, created, confirmed by id, recorded; taken up where a killed worker left it.

        An attempt that was begun for more than is open by now is given up for the next one.
        """
        occasion = Occasion(order.number, order.business_date)
        self._close_pages(occasion)
        place = order.attempt
        while self._is_given_up(occasion, place):
            place += 1
        return self._case(order.number)

    @activity.defn(no_thread_cancel_exception=True)
    def open_checkout(self, order: PageOrder) -> str:
        """One page at a time: over exactly what is open, a page of another amount closed first."""
        occasion = Occasion(order.number, order.business_date)
        with transaction(self._engine) as connection:
            invoice = load_invoice(connection, order.number)
            amount = _payable(invoice)
            usable = checkouts.usable_page(
                connection, order.number, "payment", amount, now=self._now()
            )
        if usable is not None:
            return usable
        self._close_pages(occasion)
        with transaction(self._engine) as connection:
            invoice = load_invoice(connection, order.number)
            amount = _payable(invoice)
            key = checkouts.next_page_key(connection, order.number, "payment")
            customer_id = connection.execute(
                select(customers.c.stripe_customer_id).where(
                    customers.c.account_number == invoice.account_number
                )
            ).scalar_one()
        session = self._gateway.open_checkout(
            number=order.number,
            amount=amount,
            currency=invoice.currency,
            customer_id=customer_id,
            customer_email=invoice.customer.billing_emails[0],
            description=f"Invoice {order.number}",
            success_url=order.return_url,
            cancel_url=order.cancel_url,
            key=f"{key}/{amount:f}",
        )
        return self._keep(order.number, "payment", session, amount)

    @activity.defn(no_thread_cancel_exception=True)
    def open_card_setup(self, order: PageOrder) -> str:
        nothing = Decimal(0)
        with transaction(self._engine) as connection:
            invoice = load_invoice(connection, order.number)
            usable = checkouts.usable_page(
                connection, order.number, "setup", nothing, now=self._now()
            )
            key = checkouts.next_page_key(connection, order.number, "setup")
        if usable is not None:
            return usable
        session = self._gateway.open_card_setup(
            number=order.number,
            customer_id=self._customer_id(invoice),
            currency=invoice.currency,
            success_url=order.return_url,
            cancel_url=order.cancel_url,
            key=key,
        )
        return self._keep(order.number, "setup", session, nothing)

    @activity.defn(no_thread_cancel_exception=True)
    def close_checkouts(self, occasion: Occasion) -> Case:
        self._close_pages(occasion)
        return self._case(occasion.number)

    @activity.defn(no_thread_cancel_exception=True)
    def refund_credit_note(self, order: CreditNoteOrder) -> Case:
        occasion = Occasion(order.number, order.business_date)
        with transaction(self._engine) as connection:
            due = refunds_due(connection, order.credit_note)
        for refund in due:
            made = self._gateway.refund(
                refund.payment_id,
                amount=refund.amount,
                currency=refund.currency,
                number=order.number,
                credit_note=order.credit_note,
                key=refund.key,
            )
            with transaction(self._engine) as connection:
                locked = lock(connection, occasion)
                payment = connection.execute(
                    select(payments).where(payments.c.provider_id == refund.payment_id)
                ).one()
                record_refund(
                    locked,
                    payment,
                    made.id,
                    made.amount,
                    made.status,
                    credit_note=order.credit_note,
                )
        return self._case(order.number)

    def _is_given_up(self, occasion: Occasion, place: int) -> bool:
        """Whether attempt `place`, made now unless it was before, ended without a charge."""
        with transaction(self._engine) as connection:
            attempt = charges.begin_attempt(lock(connection, occasion), place)
        if attempt is None or attempt.has_outcome:
            return attempt is not None and attempt.given_up
        try:
            payment = self._made(occasion, attempt)
            if payment.status is PaymentStatus.REQUIRES_CONFIRMATION:
                payment = self._confirmed(occasion, attempt, payment)
        except CardGone as gone:
            with transaction(self._engine) as connection:
                charges.record_decline(
                    lock(connection, occasion), attempt.id, DeclineClass.NO_CARD, str(gone)
                )
            return False
        with transaction(self._engine) as connection:
            _record(lock(connection, occasion), attempt, payment)
        return payment.status is PaymentStatus.CANCELED

    def _made(self, occasion: Occasion, attempt: Attempt) -> CardPayment:
        """The payment at the processor: found by its id where that is known, else made."""
        if attempt.provider_id is not None:
            return self._gateway.find_payment(attempt.provider_id)
        payment = self._gateway.create_payment(
            number=attempt.number,
            attempt=attempt.attempt,
            customer_id=attempt.customer_id,
            payment_method_id=attempt.payment_method_id,
            amount=attempt.amount,
            currency=attempt.currency,
            key=attempt.key,
        )
        with transaction(self._engine) as connection:
            charges.record_provider_id(lock(connection, occasion), attempt, payment.id)
        return payment

    def _confirmed(self, occasion: Occasion, attempt: Attempt, payment: CardPayment) -> CardPayment:
        """Charged, unless some of it was paid since the attempt was begun."""
        with transaction(self._engine) as connection:
            still_open = lock(connection, occasion).uncovered
        if still_open < attempt.amount:
            return self._gateway.cancel_payment(payment.id)
        return self._gateway.confirm_payment(payment.id, key=f"{attempt.key}/confirm")

    def _close_pages(self, occasion: Occasion) -> None:
        """Closes the invoice's payment pages; one that was paid on meanwhile is booked."""
        with transaction(self._engine) as connection:
            pages = checkouts.open_pages(connection, occasion.number, "payment")
        for page in pages:
            session = self._gateway.close_checkout(page.session_id)
            payment = self._paid_on(session) if session.status == "complete" else None
            with transaction(self._engine) as connection:
                locked = lock(connection, occasion)
                if payment is not None:
                    book_receipt(
                        locked,
                        Receipt("card", payment.amount, payment.id, provider_id=payment.id),
                    )
                checkouts.record_page(connection, page.session_id, session.status)

    def _paid_on(self, session: CheckoutSession) -> CardPayment:
        """What was paid on a complete page, which counts as open until that is known."""
        payment = session.payment_id and self._gateway.find_payment(session.payment_id)
        if not payment or payment.status is not PaymentStatus.SUCCEEDED:
            raise CardGatewayUnavailable(
                f"The payment of the page {session.id} is not through; asked again later."
            )
        return payment

    def _customer_id(self, invoice: Invoice) -> str:
        """The customer at the processor, made there where they have none."""
        kept = customers.c.stripe_customer_id
        its_row = customers.c.account_number == invoice.account_number
        with transaction(self._engine) as connection:
            known: str | None = connection.execute(select(kept).where(its_row)).scalar_one()
        if known:
            return known
        made = self._gateway.ensure_customer(
            account_number=invoice.account_number,
            name=invoice.customer.name,
            email=invoice.customer.billing_emails[0],
            key=f"customer/{invoice.account_number}",
        )
        with transaction(self._engine) as connection:
            connection.execute(
                update(customers).where(its_row, kept.is_(None)).values(stripe_customer_id=made)
            )
            first: str = connection.execute(select(kept).where(its_row)).scalar_one()
        return first

    def _keep(self, number: str, mode: str, session: CheckoutSession, amount: Decimal) -> str:
        if session.url is None:
            raise CardGatewayUnavailable(f"The page {session.id} is {session.status} already.")
        with transaction(self._engine) as connection:
            checkouts.keep_page(
                connection,
                number,
                mode,
                session_id=session.id,
                url=session.url,
                amount=amount,
                expires_at=session.expires_at,
            )
        return session.url

    def _case(self, number: str) -> Case:
        with transaction(self._engine) as connection:
            return load_case(connection, number)


def _record(locked: LockedInvoice, attempt: Attempt, payment: CardPayment) -> None:
    match payment.status:
        case PaymentStatus.SUCCEEDED:
            charges.record_success(locked, attempt.id)
        case PaymentStatus.DECLINED:
            charges.record_decline(
                locked, attempt.id, payment.decline or DeclineClass.DECLINED, payment.message
            )
        case PaymentStatus.REQUIRES_ACTION:
            charges.record_decline(
                locked, attempt.id, DeclineClass.AUTHENTICATION_REQUIRED, payment.message
            )
        case PaymentStatus.CANCELED:
            charges.record_superseded(locked, attempt.id)
        case _:
            raise CardGatewayUnavailable(f"{payment.id} is {payment.status}; asked again later.")


def _payable(invoice: Invoice) -> Decimal:
    """What a card can pay of it. Raises Conflict where that is nothing."""
    if not chargeable(invoice.open_amount, invoice.currency):
        raise Conflict(
            f"{invoice.number} has {invoice.open_amount:f} {invoice.currency} open, which no card "
            "can be charged; nothing is to be paid, or it is paid by bank transfer."
        )
    return invoice.open_amount
