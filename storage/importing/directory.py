"""A directory of files, imported whole or not at all."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, select

from domain.errors import InvalidValue
from domain.parties import Seller
from storage.engine import transaction
from storage.importing import (
    customer_files,
    history_file,
    policy_file,
    price_files,
    rate_file,
    usage_file,
)
from storage.importing.problems import ImportRefused, Problems
from storage.importing.terms_files import (
    Others,
    read_discounts,
    read_grants,
    write_discounts,
    write_grants,
)
from storage.master_data.price_versions import write_prices
from storage.policies import policy_codes
from storage.price_list import known_metrics
from storage.recurring import forget_from, lock_writers
from storage.schema import make_partitions
from storage.sellers import is_current, save_seller
from storage.tables import pricing_plans
from storage.usage.batches import Batch, record_batch
from storage.usage.writing import Written, write_incoming

SELLER, PLANS, TAX_RATES = "seller.json", "plans.json", "tax_rates.csv"
EXCHANGE_RATES = "exchange_rates.csv"
POLICIES = "dunning_policies.json"
CUSTOMERS, SUBSCRIPTIONS, INVOICES = "customers.csv", "subscriptions.csv", "invoices.csv"
DISCOUNTS, PREPAID = "discounts.csv", "prepaid.csv"
USAGE = ("usage.csv", "usage.csv.gz")
IMPORT = "import"
"""Who sent the usage of a file."""
Row = TypeVar("Row")
KNOWN_FILES = (
    *(SELLER, PLANS, TAX_RATES, EXCHANGE_RATES, POLICIES),
    *(CUSTOMERS, SUBSCRIPTIONS, DISCOUNTS, PREPAID, *USAGE, INVOICES),
)


@dataclass(frozen=True)
class ImportReport:
    """How many rows of each file were new; what was known already is not counted.

    `late`: how many of the new usage events came after their period ("2026-02") had been planned,
    by period; the next cycle bills them.
    """

    added: dict[str, int]
    late: dict[str, int] = field(default_factory=dict)


def import_directory(
    engine: Engine,
    directory: Path,
    *,
    now: datetime,
    time_zone: str = "UTC",
    progress: Callable[[int], None] = lambda rows: None,
) -> ImportReport:
    """Imports the files of `directory` that are there, in one transaction.

    `now` is the instant of the import; `time_zone` the seller's, in which days and periods begin;
    `progress` hears how many usage rows were read since it was last called. The same directory
    again adds nothing.

    Raises ImportRefused with every bad row, and InvalidValue if there is nothing to import;
    nothing is written then.
    """
    if not any((directory / name).is_file() for name in KNOWN_FILES):
        raise InvalidValue(f"{directory} holds none of {', '.join(KNOWN_FILES)}.")
    usage = [directory / name for name in USAGE if (directory / name).is_file()]
    if len(usage) > 1:
        raise InvalidValue(f"{directory} holds both {' and '.join(USAGE)}; keep one of them.")
    with transaction(engine) as connection:
        lock_writers(connection)
        run = _Run(connection, directory, today=now.astimezone(ZoneInfo(time_zone)).date())
        run.read_master_data()
        if usage:
            run.read_usage(usage[0], now, progress)
        if run.problems.count:
            raise ImportRefused(run.problems)
        late: dict[str, int] = {}
        if usage:
            months = usage_file.months_of_incoming_usage(connection)
            if months:
                make_partitions(engine, *months)
            written = write_incoming(connection, time_zone=time_zone, received_by=IMPORT)
            run.took_usage(usage[0].name, written)
            late = usage_file.late_usage(connection, written.new)
    return ImportReport(run.added, late)


class _Anything:
    """What a bad file might have named: what refers to it is not complained of as well."""

    def __contains__(self, name: object) -> bool:
        return True


class _Run:
    """One import inside its transaction.

    Each file's good rows are written as soon as it is read, for the next file to refer to them;
    the first bad row ends the writing, and the transaction is rolled back when all are read.
    """

    def __init__(self, connection: Connection, directory: Path, *, today: date) -> None:
        self._connection = connection
        self._directory = directory
        self._today = today
        self._accounts: Container[str] = ()
        self._plan_codes: Container[str] = ()
        self._metrics: Container[str] = ()
        self.problems = Problems()
        self.added: dict[str, int] = {}

    def read_master_data(self) -> None:
        if path := self._path(SELLER):
            seller = price_files.read_seller(path, self.problems)
            new = [seller] if seller and not is_current(self._connection, seller) else []
            self._write(SELLER, new, _write_seller)
        self._read_plans()
        if path := self._path(TAX_RATES):
            rates = price_files.read_tax_rates(self._connection, path, self.problems)
            self._write(TAX_RATES, rates, price_files.write_tax_rates)
        if path := self._path(EXCHANGE_RATES):
            rates = rate_file.read_exchange_rates(self._connection, path, self.problems)
            self._write(EXCHANGE_RATES, rates, rate_file.write_exchange_rates)
        self._read_customers(self._read_policies())
        if path := self._path(SUBSCRIPTIONS):
            rows = customer_files.read_subscriptions(
                self._connection,
                path,
                self.problems,
                accounts=self._accounts,
                plan_codes=self._plan_codes,
            )
            self._write(SUBSCRIPTIONS, rows, customer_files.write_subscriptions)
            self._overtake(row["starts_on"] for row in rows)
        self._read_terms()
        if path := self._path(INVOICES):
            rows = history_file.read_history(
                self._connection,
                path,
                self.problems,
                accounts=self._accounts,
                today=self._today,
            )
            self._write(INVOICES, rows, partial(history_file.write_history, today=self._today))

    def read_usage(self, path: Path, now: datetime, progress: Callable[[int], None]) -> None:
        usage_file.read_usage(
            self._connection,
            path,
            self.problems,
            accounts=self._accounts,
            metrics=self._metrics,
            now=now,
            progress=progress,
        )

    def took_usage(self, name: str, written: Written) -> None:
        new = sum(written.new.values())
        self.added[name] = new
        if written.first_day is not None:  # the same file again leaves no trace
            doubled = len(written.doubled)
            record_batch(self._connection, Batch(IMPORT, written.first_day, new, doubled))
            forget_from(self._connection, written.first_day)

    def _path(self, name: str) -> Path | None:
        path = self._directory / name
        return path if path.is_file() else None

    def _read_plans(self) -> None:
        codes = set(self._connection.execute(select(pricing_plans.c.code)).scalars())
        metrics = known_metrics(self._connection)
        before = self.problems.count
        if path := self._path(PLANS):
            plans = price_files.read_plans(self._connection, path, self.problems)
            self._write(PLANS, plans, write_prices)
            self._overtake(plan.valid_from for plan in plans)
            codes |= {plan.code for plan in plans}
            metrics |= {metric for plan in plans for metric in plan.metrics}
        bad = self.problems.count > before
        self._plan_codes = _Anything() if bad else codes
        self._metrics = _Anything() if bad else metrics

    def _read_terms(self) -> None:
        others = Others(self._accounts, self._plan_codes, written=not self.problems.count)
        if path := self._path(DISCOUNTS):
            found = read_discounts(self._connection, path, self.problems, others)
            self._write(DISCOUNTS, found, write_discounts)
            self._overtake(terms.values["valid_from"] for terms in found)
        if path := self._path(PREPAID):
            found = read_grants(self._connection, path, self.problems, others)
            self._write(PREPAID, found, write_grants)

    def _read_policies(self) -> Container[str]:
        """The codes that customers may name."""
        known = policy_codes(self._connection)
        before = self.problems.count
        if path := self._path(POLICIES):
            policies = policy_file.read_policies(self._connection, path, self.problems)
            self._write(POLICIES, policies, partial(policy_file.write_policies, today=self._today))
            known |= {named.code for named in policies}
        return known if self.problems.count == before else _Anything()

    def _read_customers(self, policies: Container[str]) -> None:
        known = set(customer_files.customer_ids(self._connection))
        before = self.problems.count
        if path := self._path(CUSTOMERS):
            rows = customer_files.read_customers(
                self._connection, path, self.problems, policies=policies
            )
            self._write(CUSTOMERS, rows, customer_files.write_customers)
            known.update(row["account_number"] for row in rows)
        self._accounts = known if self.problems.count == before else _Anything()

    def _overtake(self, days: Iterable[date]) -> None:
        """Recurring revenue from the first of `days` on rests on more than it was worked out of."""
        first = min(days, default=None)
        if first is not None:
            forget_from(self._connection, first)

    def _write(
        self, name: str, rows: list[Row], write: Callable[[Connection, list[Row]], None]
    ) -> None:
        self.added[name] = len(rows)
        if not self.problems.count:
            write(self._connection, rows)


def _write_seller(connection: Connection, sellers: list[Seller]) -> None:
    for seller in sellers:
        save_seller(connection, seller)
