"""Every route of the API, with the role that it needs."""

from storage.access import Role
from tests.api.conftest import CYCLES, INVOICES

KNOWN = {
    "period": "2026-02",
    "number": "INV-2026-02-0001",
    "code": "standard",
    "account_number": "1001",
    "id": "999",  # of nothing: what is withdrawn would really be gone
    "event_id": "evt-1001-2026-02-0",
}
READS = {
    "/api/billing/me": Role.VIEWER,
    "/api/billing/attention": Role.VIEWER,
    "/api/billing/next-cycle": Role.VIEWER,
    CYCLES: Role.VIEWER,
    f"{CYCLES}/{{period}}": Role.VIEWER,
    f"{CYCLES}/{{period}}/customers": Role.VIEWER,
    f"{CYCLES}/{{period}}/preview": Role.VIEWER,
    f"{CYCLES}/{{period}}/preview/customers": Role.VIEWER,
    f"{CYCLES}/{{period}}/reconciliation": Role.VIEWER,
    f"{CYCLES}/{{period}}/reconciliations": Role.VIEWER,
    INVOICES: Role.VIEWER,
    f"{INVOICES}/{{number}}": Role.VIEWER,
    f"{INVOICES}/{{number}}/pdf": Role.VIEWER,
    f"{INVOICES}/{{number}}/timeline": Role.VIEWER,
    f"{INVOICES}/{{number}}/payments": Role.VIEWER,
    f"{INVOICES}/{{number}}/emails": Role.VIEWER,
    f"{INVOICES}/{{number}}/credit-notes": Role.VIEWER,
    f"{INVOICES}/{{number}}/instructions": Role.VIEWER,
    f"{INVOICES}/{{number}}/instructions/{{id}}": Role.VIEWER,
    "/api/billing/credit-notes/{number}": Role.VIEWER,
    "/api/billing/credit-notes/{number}/pdf": Role.VIEWER,
    "/api/billing/review-queue": Role.VIEWER,
    "/api/billing/bank-transactions": Role.VIEWER,
    "/api/billing/mrr": Role.VIEWER,
    "/api/billing/churn-risk": Role.VIEWER,
    "/api/billing/outstanding": Role.VIEWER,
    "/api/billing/revenue-by-customer": Role.VIEWER,
    "/api/billing/collections": Role.VIEWER,
    "/api/billing/customers": Role.VIEWER,
    "/api/billing/customers/{account_number}": Role.VIEWER,
    "/api/billing/plans": Role.VIEWER,
    "/api/billing/plans/{code}": Role.VIEWER,
    "/api/billing/subscriptions": Role.VIEWER,
    "/api/billing/discounts": Role.VIEWER,
    "/api/billing/prepaid": Role.VIEWER,
    "/api/billing/tax-rates": Role.VIEWER,
    "/api/billing/usage-events/{event_id}": Role.VIEWER,
    "/api/billing/usage-corrections": Role.VIEWER,
    "/api/billing/usage-arrivals": Role.VIEWER,
    "/api/billing/set-aside-events": Role.VIEWER,
    "/api/billing/set-aside-accounts": Role.VIEWER,
    "/metrics": Role.VIEWER,
    "/api/billing/audit": Role.FINANCE,
    "/api/billing/dunning-policies": Role.FINANCE,
    "/api/billing/dunning-policies/{code}": Role.FINANCE,
}
WRITES = [
    ("POST", CYCLES),
    *(("POST", f"{CYCLES}/{{period}}/{action}") for action in ("pause", "resume")),
    *(("POST", f"{CYCLES}/{{period}}/{action}") for action in ("discard", "retry", "release")),
    ("POST", f"{CYCLES}/{{period}}/approve"),
    ("POST", f"{CYCLES}/{{period}}/reconcile"),
    *(
        ("POST", f"{INVOICES}/{{number}}/{what}")
        for what in ("resolve", "hold", "release", "void", "credit-notes", "resend", "renew-links")
    ),
    ("POST", "/api/billing/bank-statements"),
    ("POST", "/api/billing/bank-transactions/{id}/assign"),
    ("POST", "/api/billing/bank-transactions/{id}/ignore"),
    ("PUT", "/api/billing/dunning-policies/{code}"),
    ("PUT", "/api/billing/customers/{account_number}/dunning-policy"),
    ("POST", "/api/billing/customers"),
    ("PATCH", "/api/billing/customers/{account_number}"),
    ("POST", "/api/billing/plans"),
    ("POST", "/api/billing/plans/{code}/prices"),
    ("POST", "/api/billing/subscriptions"),
    ("PATCH", "/api/billing/subscriptions/{id}"),
    ("DELETE", "/api/billing/subscriptions/{id}"),
    ("POST", "/api/billing/discounts"),
    ("PATCH", "/api/billing/discounts/{id}"),
    ("DELETE", "/api/billing/discounts/{id}"),
    ("POST", "/api/billing/prepaid"),
    ("PATCH", "/api/billing/prepaid/{id}"),
    ("DELETE", "/api/billing/prepaid/{id}"),
    ("POST", "/api/billing/tax-rates"),
    ("PATCH", "/api/billing/tax-rates/{id}"),
    ("DELETE", "/api/billing/tax-rates/{id}"),
    ("POST", "/api/billing/usage-events/{event_id}/amend"),
    ("POST", "/api/billing/usage-events/{event_id}/cancel"),
    ("POST", "/api/billing/set-aside-events/assign"),
    ("POST", "/api/billing/set-aside-events/dismiss"),
]
"""What the role finance may change."""
ACTING_AT_ONCE = ("/retry", "/release", "/resend", "/reconcile")
"""Writes that need no valid body, and would really be done."""
SENDS = [("POST", "/api/billing/usage-events")]
"""What the role ingest may send."""
EVERY_ROUTE = [("GET", path) for path in READS] + WRITES + SENDS
OPEN_TO_ALL = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/webhooks/stripe")}


def address(path: str) -> str:
    return path.format(**KNOWN)
