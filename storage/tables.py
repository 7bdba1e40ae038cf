"""The tables as queries see them. Constraints live in the migrations, next to their reasons;
a test keeps the columns of both the same.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _text(name: str, *, null: bool = False, default: str | None = None) -> Column[str]:
    server_default = None if default is None else text(f"'{default}'")
    return Column(name, Text, nullable=null, server_default=server_default)


def _whole(name: str, *, null: bool = False, default: int | None = None) -> Column[int]:
    server_default = None if default is None else text(str(default))
    return Column(name, Integer, nullable=null, server_default=server_default)


def _ref(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _amount(name: str, *, null: bool = False, default: int | None = None) -> Column[Decimal]:
    server_default = None if default is None else text(str(default))
    return Column(name, Numeric, nullable=null, server_default=server_default)


def _day(name: str, *, null: bool = False) -> Column[date]:
    return Column(name, Date, nullable=null)


def _at(name: str, *, null: bool = False) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=null)


def _now(name: str) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("now()"))


def _flag(name: str, *, default: bool | None = None) -> Column[bool]:
    server_default = None if default is None else text(str(default).lower())
    return Column(name, Boolean, nullable=False, server_default=server_default)


def _json(name: str) -> Column[Any]:
    return Column(name, JSONB, nullable=False)


sellers = Table(
    "sellers",
    metadata,
    Column("version", Integer, Identity(always=True), primary_key=True),
    _text("name"),
    _text("address_line1"),
    _text("postal_code"),
    _text("city"),
    _text("region"),
    _text("country"),
    _text("email"),
    _text("phone"),
    _text("website"),
    _text("tax_number"),
    _text("registration"),
    _text("bank_name"),
    _text("iban"),
    _text("bic"),
    _text("logo_svg"),
    _now("created_at"),
)

customers = Table(
    "customers",
    metadata,
    _id(),
    _text("account_number"),
    _text("name"),
    Column("billing_emails", ARRAY(Text), nullable=False),
    _text("country"),
    _text("region"),
    _text("address_line1"),
    _text("postal_code"),
    _text("city"),
    _text("tax_id"),
    _flag("tax_id_valid"),
    _flag("tax_exempt"),
    _text("currency"),
    _text("segment"),
    _text("payment_method"),
    _text("stripe_customer_id", null=True),
    _text("stripe_payment_method_id", null=True),
    _text("status"),
    _text("po_number", default=""),
    _now("created_at"),
    _text("dunning_policy", null=True),
)

pricing_plans = Table(
    "pricing_plans",
    metadata,
    _id(),
    _text("code"),
    _text("name"),
    _text("kind"),
    _text("interval", default="month"),
    _now("created_at"),
)

plan_prices = Table(
    "plan_prices",
    metadata,
    Column("plan_id", BigInteger, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    _day("valid_from"),
    _amount("unit_price", null=True),
    _json("charges"),
    _amount("minimum", null=True),
    _now("created_at"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    _id(),
    _ref("customer_id"),
    _ref("plan_id"),
    _amount("quantity"),
    _day("starts_on"),
    _day("ends_on", null=True),
    _now("created_at"),
)

discounts = Table(
    "discounts",
    metadata,
    _id(),
    _ref("customer_id"),
    _text("plan_code", null=True),
    _text("name"),
    _amount("percent", null=True),
    _amount("amount", null=True),
    _text("currency", null=True),
    _day("valid_from"),
    _day("valid_to", null=True),
    _text("created_by"),
    _now("created_at"),
)

prepaid_grants = Table(
    "prepaid_grants",
    metadata,
    _id(),
    _ref("customer_id"),
    _text("reference"),
    _text("currency"),
    _amount("amount"),
    _amount("price"),
    _day("valid_from"),
    _day("expires_on", null=True),
    _text("note"),
    _text("person"),
    _now("created_at"),
)

prepaid_draws = Table(
    "prepaid_draws",
    metadata,
    Column("invoice_id", BigInteger, primary_key=True),
    Column("grant_id", BigInteger, primary_key=True),
    _amount("amount"),
)

prepaid_returns = Table(
    "prepaid_returns",
    metadata,
    Column("planned_credit_id", BigInteger, primary_key=True),
    Column("grant_id", BigInteger, primary_key=True),
    _ref("invoice_id"),
    _amount("amount"),
    _at("returned_at", null=True),
)

tax_rates = Table(
    "tax_rates",
    metadata,
    _id(),
    _text("country"),
    _text("region"),
    _amount("rate_percent"),
    _text("name"),
    _day("valid_from"),
    _day("valid_to", null=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _text("name"),
    _text("role"),
    _text("key_hash"),
    _now("created_at"),
    _at("revoked_at", null=True),
)

people = Table(
    "people",
    metadata,
    _id(),
    _text("email"),
    _text("name"),
    _text("role"),
    _text("password_hash"),
    _now("created_at"),
    _at("disabled_at", null=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", Text, primary_key=True),
    _ref("person_id"),
    _at("created_at"),
    _at("last_seen_at"),
    _at("expires_at"),
)

billing_events = Table(
    "billing_events",
    metadata,
    _ref("customer_id"),
    _text("metric"),
    _at("occurred_at"),
    _amount("quantity"),
    _text("event_id"),
    _now("received_at"),
    _ref("correction_id", null=True),
)

usage_event_keys = Table(
    "usage_event_keys",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("content_hash", LargeBinary, nullable=False),
    _ref("customer_id", null=True),
    _at("occurred_at", null=True),
)

usage_corrections = Table(
    "usage_corrections",
    metadata,
    _id(),
    _text("event_id"),
    _ref("customer_id"),
    _text("metric"),
    _at("occurred_at"),
    _text("kind"),
    _amount("old_quantity"),
    _amount("new_quantity"),
    _text("reason"),
    _text("person"),
    _day("business_date"),
    _text("idempotency_key", null=True),
    _now("made_at"),
)

set_aside_events = Table(
    "set_aside_events",
    metadata,
    Column("event_id", Text, primary_key=True),
    _text("account_number"),
    _text("metric"),
    _at("occurred_at"),
    _amount("quantity"),
    _now("received_at"),
    _text("received_by"),
    _ref("assigned_to", null=True),
    _at("assigned_at", null=True),
    _at("dismissed_at", null=True),
    _text("decided_by", null=True),
    _text("note", default=""),
)

usage_batches = Table(
    "usage_batches",
    metadata,
    _id(),
    _now("received_at"),
    _text("received_by"),
    _day("first_day", null=True),
    _whole("accepted"),
    _whole("duplicates"),
    _whole("set_aside"),
    _whole("rejected"),
)

billing_cycles = Table(
    "billing_cycles",
    metadata,
    _id(),
    _day("period_start"),
    _text("status"),
    _day("issued_on"),
    _whole("terms_days"),
    _flag("hold_reminders"),
    _flag("pause_before_issue", default=False),
    _whole("last_sequence", default=0),
    _now("started_at"),
    _at("planned_at", null=True),
    _at("issue_began_at", null=True),
    _at("closed_at", null=True),
    _flag("approval_required", default=False),
    _flag("dated_by_issue", default=False),
)

cycle_approvals = Table(
    "cycle_approvals",
    metadata,
    _id(),
    _ref("cycle_id"),
    _text("digest"),
    _whole("drafts"),
    _text("person"),
    _text("note"),
    _day("business_date"),
    _now("approved_at"),
)

approved_drafts = Table(
    "approved_drafts",
    metadata,
    Column("invoice_id", BigInteger, primary_key=True),
    Column("approval_id", BigInteger, primary_key=True),
    _text("currency"),
    _amount("total"),
    _text("digest"),
)

billing_cycle_items = Table(
    "billing_cycle_items",
    metadata,
    Column("cycle_id", BigInteger, primary_key=True),
    _ref("customer_id"),
    Column("account_number", Text, primary_key=True),
    Column("part", Text, primary_key=True, server_default=text("''")),
    _text("outcome"),
    _text("reason_code", default=""),
    _text("reason", default=""),
    _ref("invoice_id", null=True),
)

documents = Table(
    "documents",
    metadata,
    Column("sha256", Text, primary_key=True),
    _text("media_type"),
    Column("content", LargeBinary, nullable=False),
    _now("created_at"),
)

invoices = Table(
    "invoices",
    metadata,
    _id(),
    _text("number", null=True),
    _ref("customer_id"),
    _ref("cycle_id", null=True),
    _day("period_start"),
    _text("kind"),
    _text("status"),
    _text("collection_state", null=True),
    _text("currency"),
    _amount("usage_amount"),
    _amount("subscription_amount"),
    _amount("proration_amount"),
    _amount("discount_amount", default=0),
    _amount("subtotal"),
    _amount("tax"),
    _amount("total"),
    _json("tax_lines"),
    _amount("amount_paid", default=0),
    _amount("amount_credited", default=0),
    _text("segment"),
    _json("customer"),
    _whole("seller_version"),
    _day("issued_on"),
    _day("due_on"),
    _text("pdf_sha256", null=True),
    _whole("link_version", default=1),
    _now("created_at"),
    _at("issued_at", null=True),
    _day("settled_on", null=True),
    Column("dunning_policy", JSONB, nullable=True),
    _day("dunning_from", null=True),
    _whole("dunning_round", default=0),
    _whole("steps_taken", default=0),
    _day("first_failed_on", null=True),
    _flag("on_hold", default=False),
    _flag("disputed", default=False),
    _flag("to_wake", default=False),
    _amount("late_amount", default=0),
    _day("service_month", null=True),
)

invoice_line_items = Table(
    "invoice_line_items",
    metadata,
    Column("invoice_id", BigInteger, primary_key=True),
    Column("position", Integer, primary_key=True),
    _text("kind"),
    _text("description"),
    _amount("quantity"),
    _amount("unit_price", null=True),
    _amount("amount"),
    _text("plan_code"),
    _whole("plan_version"),
    _day("service_month"),
)

rated_months = Table(
    "rated_months",
    metadata,
    _id(),
    _ref("cycle_id"),
    _ref("customer_id"),
    _day("month"),
    _ref("invoice_id", null=True),
    _ref("reopened"),
)

billed_usage = Table(
    "billed_usage",
    metadata,
    _ref("cycle_id"),
    _ref("invoice_id", null=True),
    _ref("customer_id"),
    _day("month"),
    _text("metric"),
    _amount("quantity"),
    _ref("changes"),
)

reopened_months = Table(
    "reopened_months",
    metadata,
    _id(),
    _ref("customer_id"),
    _day("from_month"),
    _day("to_month"),
    _text("reason"),
    _text("person"),
    _now("made_at"),
)

planned_credits = Table(
    "planned_credits",
    metadata,
    _id(),
    _ref("cycle_id"),
    _ref("customer_id"),
    _day("month"),
    _ref("invoice_id"),
    _json("lines"),
    _json("credit"),
    _amount("net"),
    _text("reason"),
    _ref("instruction_id", null=True),
    _now("created_at"),
    _ref("approval_id", null=True),
    _flag("credited_before", default=False),
)

receivable_entries = Table(
    "receivable_entries",
    metadata,
    _id(),
    _ref("invoice_id"),
    _day("business_date"),
    _amount("amount"),
)

usage_daily = Table(
    "usage_daily",
    metadata,
    Column("customer_id", BigInteger, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    _amount("quantity"),
)

usage_monthly = Table(
    "usage_monthly",
    metadata,
    Column("month", Date, primary_key=True),
    Column("customer_id", BigInteger, primary_key=True),
    Column("metric", Text, primary_key=True),
    _amount("quantity"),
    Column("changes", BigInteger, nullable=False, server_default=text("1")),
)

recurring_days = Table(
    "recurring_days",
    metadata,
    Column("day", Date, primary_key=True),
    _whole("unrated"),
    Column("usage_until", BigInteger, nullable=False, server_default=text("0")),
    _now("worked_out_at"),
)

recurring_totals = Table(
    "recurring_totals",
    metadata,
    Column("day", Date, primary_key=True),
    Column("currency", Text, primary_key=True),
    _amount("usage"),
    _amount("subscriptions"),
    _whole("customers"),
)

recurring_revenue = Table(
    "recurring_revenue",
    metadata,
    Column("day", Date, primary_key=True),
    Column("customer_id", BigInteger, primary_key=True),
    _text("currency"),
    _amount("usage"),
    _amount("subscriptions"),
)

exchange_rates = Table(
    "exchange_rates",
    metadata,
    Column("base", Text, primary_key=True),
    Column("quote", Text, primary_key=True),
    Column("valid_from", Date, primary_key=True),
    _amount("rate"),
)

payments = Table(
    "payments",
    metadata,
    _id(),
    _ref("invoice_id"),
    _text("method"),
    _text("status"),
    _amount("amount"),
    _text("currency"),
    _text("idempotency_key"),
    _text("provider_id", null=True),
    _text("failure_code", default=""),
    _day("business_date"),
    _now("created_at"),
    _whole("attempt", null=True),
    _text("payment_method_id", default=""),
    _amount("allocated", default=0),
    _amount("returned", default=0),
    _text("note", default=""),
)

credit_notes = Table(
    "credit_notes",
    metadata,
    _id(),
    _text("number"),
    _ref("invoice_id"),
    _text("currency"),
    _amount("subtotal"),
    _amount("tax"),
    _amount("total"),
    _json("lines"),
    _json("tax_lines"),
    _text("reason"),
    _text("pdf_sha256", null=True),
    _day("business_date"),
    _now("created_at"),
    _text("refund_to", default=""),
    _amount("returned_amount", default=0),
    _flag("voids", default=False),
    _text("created_by", default=""),
)

bank_transactions = Table(
    "bank_transactions",
    metadata,
    _id(),
    _text("bank_reference"),
    _day("booked_on"),
    _amount("amount"),
    _text("currency"),
    _text("payer_name"),
    _text("payer_iban"),
    _text("remittance"),
    _text("status"),
    _now("received_at"),
    _ref("statement_id", null=True),
    _ref("reversal_of", null=True),
    _text("end_to_end_id", default=""),
    _text("match_kind", default=""),
    _text("note", default=""),
    _text("decided_by", default=""),
    _at("decided_at", null=True),
)

credit_balances = Table(
    "credit_balances",
    metadata,
    Column("customer_id", BigInteger, primary_key=True),
    Column("currency", Text, primary_key=True),
    _amount("balance"),
)

credit_entries = Table(
    "credit_entries",
    metadata,
    _id(),
    _ref("customer_id"),
    _text("currency"),
    _amount("amount"),
    _text("reason"),
    _text("key"),
    _ref("invoice_id"),
    _day("business_date"),
    _now("created_at"),
)

refunds = Table(
    "refunds",
    metadata,
    _id(),
    _ref("payment_id"),
    _ref("credit_note_id", null=True),
    _amount("amount"),
    _text("status"),
    _text("idempotency_key"),
    _text("provider_id", null=True),
    _day("business_date"),
    _now("created_at"),
)

checkout_sessions = Table(
    "checkout_sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    _ref("invoice_id"),
    _text("mode"),
    _text("url"),
    _amount("amount"),
    _text("status"),
    _at("expires_at"),
    _now("created_at"),
)

dunning_policies = Table(
    "dunning_policies",
    metadata,
    Column("code", Text, primary_key=True),
    _json("steps"),
    _now("created_at"),
)

instructions = Table(
    "instructions",
    metadata,
    _id(),
    _ref("invoice_id"),
    _text("kind"),
    Column("details", JSONB, nullable=False, server_default=text("'{}'")),
    _text("note"),
    _text("person"),
    _text("idempotency_key", null=True),
    _now("asked_at"),
    _at("decided_at", null=True),
    _text("outcome", null=True),
    _text("answer", default=""),
)

bank_statements = Table(
    "bank_statements",
    metadata,
    _id(),
    _text("sha256"),
    _text("document_sha256"),
    _text("format"),
    _text("account_iban"),
    _text("statement_number"),
    _whole("entries"),
    _text("uploaded_by"),
    _now("uploaded_at"),
)

bank_matches = Table(
    "bank_matches",
    metadata,
    Column("bank_transaction_id", BigInteger, primary_key=True),
    Column("invoice_id", BigInteger, primary_key=True),
    _amount("amount"),
    _ref("payment_id", null=True),
    _at("booked_at", null=True),
)

emails = Table(
    "emails",
    metadata,
    _id(),
    _ref("invoice_id"),
    _text("kind"),
    _whole("step"),
    _text("message_id"),
    Column("recipients", ARRAY(Text), nullable=False),
    _text("subject"),
    _day("business_date"),
    _at("sent_at", null=True),
    _now("created_at"),
    _flag("offered", default=False),
)

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("event_id", Text, primary_key=True),
    _text("type"),
    _json("payload"),
    _now("received_at"),
    _at("applied_at", null=True),
    _ref("invoice_id", null=True),
    _text("outcome", null=True),
    _text("note", default=""),
)

audit_log = Table(
    "audit_log",
    metadata,
    _id(),
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    _day("business_date"),
    _text("actor"),
    _text("subject_kind"),
    _text("subject"),
    _text("event"),
    _text("from_state", null=True),
    _text("to_state", null=True),
    _text("reason", default=""),
    Column("details", JSONB, nullable=False, server_default=text("'{}'")),
)

reconciliations = Table(
    "reconciliations",
    metadata,
    _id(),
    _ref("cycle_id"),
    _day("period"),
    _day("as_of"),
    _now("made_at"),
    _text("made_by"),
    _text("status"),
    _text("reason", default=""),
)

reconciliation_equations = Table(
    "reconciliation_equations",
    metadata,
    Column("reconciliation_id", BigInteger, primary_key=True),
    Column("place", Integer, primary_key=True),
    _text("equation"),
    _text("unit"),
    _amount("left_side"),
    _amount("right_side"),
    _json("parts"),
    _text("not_checked", default=""),
)

reconciliation_differences = Table(
    "reconciliation_differences",
    metadata,
    Column("reconciliation_id", BigInteger, primary_key=True),
    Column("place", Integer, primary_key=True),
    _text("equation"),
    _text("unit"),
    _text("account_number"),
    _text("subject"),
    _amount("expected"),
    _amount("found"),
    _text("explanation"),
)
