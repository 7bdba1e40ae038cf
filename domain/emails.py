"""The e-mails that Billwright sends about an invoice."""

from enum import StrEnum


class EmailKind(StrEnum):
    """What an e-mail is about; with the invoice and the step it makes the e-mail the same one.

    `review_notice` goes to the finance team, all others go to the customer.
    """

    INVOICE = "invoice"
    RECEIPT = "receipt"
    UPDATE_PAYMENT_METHOD = "update_payment_method"
    AUTHENTICATE = "authenticate"
    REMINDER = "reminder"
    URGENT_NOTICE = "urgent_notice"
    REVIEW_NOTICE = "review_notice"
    CREDIT_NOTE = "credit_note"
