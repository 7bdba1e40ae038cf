"""Workflow ids: business facts, so that a second start finds the first."""

from urllib.parse import quote

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

BILLING_PERIOD = SearchAttributeKey.for_keyword("BillingPeriod")
CUSTOMER_ACCOUNT = SearchAttributeKey.for_keyword("CustomerAccount")
INVOICE_NUMBER = SearchAttributeKey.for_keyword("InvoiceNumber")
COLLECTION_STATE = SearchAttributeKey.for_keyword("CollectionState")

SWEEP = "collection-sweep"
"""The schedule, and the beginning of the ids of its runs."""

RECURRING_REVENUE = "recurring-revenue"
"""As `SWEEP`, of what works recurring revenue out."""

RECONCILIATION = "reconciliation"
"""As `SWEEP`, of what proves months anew."""
MONTHLY_BILLING = "monthly-billing"
"""As `SWEEP`, of what bills months by itself."""

SEARCH_ATTRIBUTES = (BILLING_PERIOD, CUSTOMER_ACCOUNT, INVOICE_NUMBER, COLLECTION_STATE)


def search_attributes(
    period: str,
    *,
    account_number: str | None = None,
    number: str | None = None,
    state: str | None = None,
) -> TypedSearchAttributes:
    """What a workflow is found by in the Web UI; None leaves an attribute out."""
    given = (
        (BILLING_PERIOD, period),
        (CUSTOMER_ACCOUNT, account_number),
        (INVOICE_NUMBER, number),
        (COLLECTION_STATE, state),
    )
    return TypedSearchAttributes(
        [SearchAttributePair(key, value) for key, value in given if value is not None]
    )


def billing_cycle_id(period: str) -> str:
    """`billing-cycle/2026-02`"""
    return f"billing-cycle/{period}"


def cycle_release_id(period: str) -> str:
    """`billing-cycle/2026-02/release`"""
    return f"{billing_cycle_id(period)}/release"


def reconciliation_id(period: str) -> str:
    """`billing-cycle/2026-02/reconciliation`"""
    return f"{billing_cycle_id(period)}/reconciliation"


def customer_billing_id(period: str, subject: str) -> str:
    """`billing-cycle/2026-02/1047`, or `billing-cycle/2026-03/1047/late-2026-01` of the invoice
    about a past month; see `DraftToIssue.subject`.
    """
    return f"{billing_cycle_id(period)}/{subject}"


def invoice_id(number: str) -> str:
    """`invoice/INV-2026-02-0047`"""
    return f"invoice/{number}"


def mail_queue(task_queue: str) -> str:
    """The task queue of e-mails, beside the one that the workflows run on.

    Its pace is the mail server's, so that a cycle's invoices go out behind the billing and a slow
    mail server never holds up an invoice.
    """
    return f"{task_queue}-mail"


def card_queue(task_queue: str) -> str:
    """The task queue of charges: the card processor's pace and outages are nobody else's."""
    return f"{task_queue}-cards"


def report_queue(task_queue: str) -> str:
    """The task queue of what reports need: it keeps a core busy for seconds and waits for imports,
    and neither billing nor mail nor cards should wait with it.
    """
    return f"{task_queue}-reports"


def web_ui_page(ui_url: str, namespace: str, workflow_id: str) -> str:
    """The page of one workflow in the Temporal Web UI, where its history is read."""
    page = f"workflows/{quote(workflow_id, safe='')}"
    return f"{ui_url.rstrip('/')}/namespaces/{quote(namespace)}/{page}"
