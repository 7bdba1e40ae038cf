"""The only reader of the environment.

Everything that can differ between two installations is a field here, with its default and its
unit. Parts receive the values they need as arguments and never look for themselves.
"""

from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Names are those of the environment variables: `BILLWRIGHT_` plus the field's name in
    capitals, except where a field names its own (`DATABASE_URL`, `TEMPORAL_ADDRESS`, `SMTP_HOST`).
    """

    model_config = SettingsConfigDict(
        env_prefix="BILLWRIGHT_", populate_by_name=True, extra="ignore", frozen=True
    )

    home: Path = Path(".billwright")
    """Where the embedded stack keeps its state."""

    # --- where the parts are; None means: the embedded one
    database_url: str | None = Field(None, validation_alias="DATABASE_URL")
    temporal_address: str | None = Field(None, validation_alias="TEMPORAL_ADDRESS")
    temporal_namespace: str = Field("default", validation_alias="TEMPORAL_NAMESPACE")
    temporal_api_key: SecretStr | None = Field(None, validation_alias="TEMPORAL_API_KEY")
    temporal_tls: bool = Field(False, validation_alias="TEMPORAL_TLS")
    temporal_ui_url: str = Field("http://127.0.0.1:8233", validation_alias="TEMPORAL_UI_URL")
    temporal_retention_days: int = Field(400, ge=1)
    """How long closed workflows stay readable; the audit log in PostgreSQL is for good."""
    task_queue: str = "billwright"

    stripe_api_key: SecretStr | None = Field(None, validation_alias="STRIPE_API_KEY")
    stripe_api_base: str | None = Field(None, validation_alias="STRIPE_API_BASE")
    """Where the payment gateway answers; no slash at the end. None: Stripe's own address."""
    stripe_webhook_secret: SecretStr | None = Field(None, validation_alias="STRIPE_WEBHOOK_SECRET")
    """With this Stripe signs what it sends to `/webhooks/stripe`."""

    smtp_host: str = Field("127.0.0.1", validation_alias="SMTP_HOST")
    smtp_port: int = Field(1025, validation_alias="SMTP_PORT")
    smtp_username: str | None = Field(None, validation_alias="SMTP_USERNAME")
    smtp_password: SecretStr | None = Field(None, validation_alias="SMTP_PASSWORD")
    smtp_start_tls: bool = Field(False, validation_alias="SMTP_START_TLS")
    mails_per_second: float = Field(10, gt=0)
    """What the mail server lets through; the invoices of a cycle go out at this pace, behind it."""
    mail_from: str = "billing@billwright.example"
    finance_email: str = "finance@billwright.example"
    """Who is told of a case for manual review."""

    api_host: str = "127.0.0.1"
    api_port: int = 8000
    public_url: str = "http://127.0.0.1:8000"
    """Base of the links that payers receive; no slash at the end."""
    secret: SecretStr = SecretStr("")
    """Signs payer links. `billwright up` makes one; production must set it."""

    card_link_days: int = Field(14, ge=1)
    """For how many days a link to change the card is good."""

    # --- how the seller bills
    seller_time_zone: str = "UTC"
    """IANA name. Periods begin and end, and steps fall due, in this zone."""
    seller_country: str = Field("DE", pattern="^[A-Z]{2}$")
    payment_terms_days: int = Field(30, ge=0)
    bill_automatically: bool = False
    """Whether months are billed by themselves, each once, in order."""
    billing_day: int = Field(1, ge=1, le=28)
    """Of the next month, seller's zone: a month is billed by itself from this day on."""
    billing_time: time = time(6)
    """Of each day, seller's zone: when it is looked for a month that is due."""
    billing_starts: str | None = Field(None, pattern=r"^\d{4}-(0[1-9]|1[0-2])$")
    """YYYY-MM: no earlier month is billed by itself. Needed while no month has a cycle."""
    pause_before_issue: bool = False
    """Whether the plan of a month that is billed by itself waits to be read."""
    approval_required: bool = False
    """Whether every plan is to be approved from its preview before it is issued."""
    approval_by_another: bool = False
    """Whether who started a cycle, or had it retried, may not approve what it is to issue."""
    standing_out_percent: Decimal = Field(Decimal(50), ge=0)
    standing_out_amount: Decimal = Field(Decimal(50), ge=0)
    """By how much at least a customer's month differs from what is usual to stand out of a plan, by
    both; the amount is in the invoice's currency."""
    standing_out_whole_percent: Decimal = Field(Decimal(20), ge=0)
    """By how much at least a sum of the whole plan differs from the last month's to stand out."""
    churn_threshold_percent: Decimal = Field(Decimal(10), gt=0, lt=100)
    """The least fall of usage per day, two months running, that flags a customer."""
    reporting_currency: str = Field("USD", pattern="^[A-Z]{3}$")
    """What reports are in where nobody asks for another one."""
    reverse_charge: bool = True
    """Whether EU customers with a valid VAT id account for the VAT themselves."""

    # --- how hard the machine works
    day_seconds: int | None = Field(None, ge=1)
    """Demonstrations only: how many seconds a business day lasts. None: real days."""
    sweep_seconds: int = Field(120, ge=1)
    """How often the collection looks for what waits although its signal was lost."""
    recurring_revenue_seconds: int = Field(300, ge=1)
    """How often the days that today's report of recurring revenue lacks are worked out."""
    reconciliation_seconds: int = Field(86_400, ge=1)
    """How often months whose invoices are still being paid are proved anew."""
    customers_in_flight: int = Field(10, ge=1)
    customers_per_page: int = Field(100, ge=1)
    pdf_processes: int = Field(2, ge=1)

    @field_validator("seller_time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        ZoneInfo(name)
        return name

    @field_validator("billing_time")
    @classmethod
    def _in_the_sellers_zone(cls, at: time) -> time:
        if at.tzinfo is not None:
            raise ValueError("give a time without a zone; it is the seller's")
        return at

    @model_validator(mode="after")
    def _bills_on_real_days(self) -> "Settings":
        if self.bill_automatically and self.day_seconds is not None:
            raise ValueError(
                "BILLWRIGHT_BILL_AUTOMATICALLY goes by real days; unset BILLWRIGHT_DAY_SECONDS"
            )
        return self


class MissingSettings(Exception):
    """What worker and API cannot run without is not set; the message names the variables."""


@dataclass(frozen=True)
class Required:
    """What worker and API cannot run without."""

    database_url: str
    temporal_address: str
    secret: str
    stripe_api_key: str
    stripe_webhook_secret: str


def required(configured: Settings) -> Required:
    """Raises MissingSettings. An empty secret would let anybody forge payer links."""
    values = {
        "DATABASE_URL": configured.database_url,
        "TEMPORAL_ADDRESS": configured.temporal_address,
        "BILLWRIGHT_SECRET": configured.secret.get_secret_value(),
        "STRIPE_API_KEY": reveal(configured.stripe_api_key),
        "STRIPE_WEBHOOK_SECRET": reveal(configured.stripe_webhook_secret),
    }
    if missing := [name for name, value in values.items() if not value]:
        raise MissingSettings(f"Set {', '.join(missing)}; docs/production.md says to what.")
    return Required(*(value or "" for value in values.values()))


def reveal(secret: SecretStr | None) -> str | None:
    """The text of a secret, None where none is set."""
    return None if secret is None else secret.get_secret_value()


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
