"""The JSON of customers."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api.collection_schemas import EmailAddress
from api.master_data_values import Code, Country, Currency, Name, Words, left_out
from api.schemas import Amount, Flag, Schema
from api.subscription_schemas import SubscriptionOut

PaymentMethod = Literal["card", "bank_transfer"]
CustomerStatus = Literal["active", "paused", "churned"]
EmailAddresses = Annotated[
    list[Annotated[EmailAddress, Field(max_length=254)]], Field(min_length=1, max_length=20)
]
ProcessorId = Annotated[Words, Field(max_length=255)]


class CustomerRequest(Schema):
    """A customer to be added.

    `region`: for a place in the US its state, such as NY. `tax_id`: in the EU the VAT id, whose
    check digits must be right. The Stripe ids are those of the customer and of the card on file.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "account_number": "1201",
                "name": "Brandt & Söhne GmbH",
                "billing_emails": ["accounts@brandt.example"],
                "country": "DE",
                "address_line1": "Hafenstraße 47",
                "postal_code": "20457",
                "city": "Hamburg",
                "tax_id": "DE136695976",
                "currency": "USD",
                "segment": "mid_market",
                "payment_method": "bank_transfer",
            }
        },
    )

    account_number: Code
    name: Name
    billing_emails: EmailAddresses
    country: Country
    region: Words = ""
    address_line1: Name
    postal_code: Words = ""
    city: Name
    tax_id: Words = ""
    tax_exempt: Flag = False
    currency: Currency
    segment: Name
    payment_method: PaymentMethod
    stripe_customer_id: ProcessorId | None = None
    stripe_payment_method_id: ProcessorId | None = None
    status: CustomerStatus = "active"
    po_number: Words = ""


class CustomerChange(Schema):
    """What is to be otherwise; what is left out stays. Null takes a Stripe id away."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "billing_emails": ["accounts@brandt.example", "cfo@brandt.example"],
                "po_number": "PO-7731",
            }
        },
    )

    name: Name = left_out()
    billing_emails: EmailAddresses = left_out()
    country: Country = left_out()
    region: Words = left_out()
    address_line1: Name = left_out()
    postal_code: Words = left_out()
    city: Name = left_out()
    tax_id: Words = left_out()
    tax_exempt: Flag = left_out()
    currency: Currency = left_out(description="Only while the customer has no invoice.")
    segment: Name = left_out()
    payment_method: PaymentMethod = left_out()
    stripe_customer_id: ProcessorId | None = None
    stripe_payment_method_id: ProcessorId | None = None
    status: CustomerStatus = left_out()
    po_number: Words = left_out()


class CustomerOut(Schema):
    """A customer. `tax_id_valid`: a VAT id of the customer's member state, by its check digits.

    `dunning_policy` is null for the standard.
    """

    account_number: str
    name: str
    billing_emails: list[str]
    country: str
    region: str
    address_line1: str
    postal_code: str
    city: str
    tax_id: str
    tax_id_valid: bool
    tax_exempt: bool
    currency: str
    segment: str
    payment_method: str
    stripe_customer_id: str | None
    stripe_payment_method_id: str | None
    status: str
    po_number: str
    dunning_policy: str | None
    created_at: datetime


class CreditOut(Schema):
    """The customer's credit in one currency; the next invoice uses it."""

    currency: str
    amount: Amount


class OpenOut(Schema):
    """What is open in one currency, over so many invoices."""

    currency: str
    invoices: int
    amount: Amount


class CustomerDetail(CustomerOut):
    """A customer with what it subscribes to, its credit, and what it owes."""

    subscriptions: list[SubscriptionOut]
    credit: list[CreditOut]
    open: list[OpenOut]
