"""The Temporal worker: connects the rules to the world. Nobody imports this but the command."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from temporalio.client import Client
from temporalio.worker import (
    FixedSizeSlotSupplier,
    PollerBehaviorSimpleMaximum,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerTuner,
)

from activities.billing_cycle import CycleActivities
from activities.card_gateway import CardGateway
from activities.charging import ChargingActivities
from activities.collection import CollectionActivities
from activities.credit_notes import CreditNoteActivities
from activities.delivery import DeliveryActivities, Office
from activities.failures import FailurePolicy
from activities.heartbeats import StillAlive
from activities.issuing import IssuingActivities
from activities.mail_slots import MailGivesWay
from activities.mailer import Mailer
from activities.monthly_billing import MonthlyBillingActivities
from activities.payer_links import PayerLinks
from activities.proof import ProofActivities
from activities.proof_notice import ProofNoticeActivities
from activities.recurring_revenue import RecurringRevenueActivities
from activities.rendering import PdfPool
from activities.sweeping import SweepingActivities
from domain.periods import BusinessCalendar
from domain.tax import TaxPolicy
from settings import Settings, required, reveal
from storage.engine import make_engine
from storage.monthly_billing import monthly_rule
from storage.schema import migrate
from workflows.billing_cycle import BillingCycle
from workflows.collection_sweep import CollectionSweep
from workflows.connection import connect, prepare_namespace
from workflows.contracts.collection import SweepOrder
from workflows.contracts.monthly_billing import MonthlyBillingOrder
from workflows.contracts.proof import ReconciliationOrder
from workflows.contracts.recurring_revenue import RecurringRevenueOrder
from workflows.customer_billing import CustomerBilling
from workflows.cycle_release import CycleRelease
from workflows.ids import card_queue, invoice_id, mail_queue, report_queue, web_ui_page
from workflows.invoice_lifecycle import InvoiceLifecycle
from workflows.monthly_billing import MonthlyBilling
from workflows.reconciliation import Reconciliation
from workflows.recurring_revenue import RecurringRevenue
from workflows.schedules import (
    keep_billing,
    keep_reconciling,
    keep_recurring_revenue,
    keep_sweeping,
    stop_billing,
)

THREADS = 20
POLLERS = 20
"""Of workflow tasks; five, the SDK's default, leave the worker waiting."""
MAILS_AT_ONCE = 4
CARDS_AT_ONCE = 4
REPORTS_AT_ONCE = 2
"""A day of recurring revenue, which may wait for an import, and a proof beside it."""
GRACE = timedelta(seconds=20)
THREADS_IN_ALL = THREADS + MAILS_AT_ONCE + CARDS_AT_ONCE + REPORTS_AT_ONCE

WORKFLOWS = (
    BillingCycle,
    CustomerBilling,
    InvoiceLifecycle,
    CycleRelease,
    CollectionSweep,
    RecurringRevenue,
    Reconciliation,
    MonthlyBilling,
)

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Runs until SIGTERM or Ctrl-C; then finishes what it has begun."""
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    needed = required(settings)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    engine = make_engine(needed.database_url, pool_size=THREADS_IN_ALL, checked=False)
    migrate(engine, today=_now().date())
    client = await connect(
        needed.temporal_address,
        settings.temporal_namespace,
        api_key=reveal(settings.temporal_api_key),
        tls=settings.temporal_tls,
    )
    await prepare_namespace(client, retention=timedelta(days=settings.temporal_retention_days))
    await _keep_schedules(client, settings)
    pool = PdfPool(settings.pdf_processes)
    with ThreadPoolExecutor(THREADS_IN_ALL, thread_name_prefix="activity") as threads:
        links = PayerLinks(settings.public_url, needed.secret)
        issuing = IssuingActivities(engine, render=pool.render, links=links)
        gateway = CardGateway(needed.stripe_api_key, api_base=settings.stripe_api_base)
        activities = Activities(
            CycleActivities(
                engine,
                tax_policy=TaxPolicy(settings.seller_country, settings.reverse_charge),
            ),
            issuing,
            CollectionActivities(engine),
            CreditNoteActivities(engine, render=pool.render, issuing=issuing),
            ChargingActivities(engine, gateway=gateway, now=_now),
            DeliveryActivities(
                engine,
                mailer=_mailer(settings),
                links=links,
                office=Office(
                    settings.finance_email,
                    case_url=lambda number: web_ui_page(
                        settings.temporal_ui_url, settings.temporal_namespace, invoice_id(number)
                    ),
                    card_link_days=settings.card_link_days,
                    today=lambda: _now().astimezone(ZoneInfo(settings.seller_time_zone)).date(),
                ),
            ),
            SweepingActivities(engine),
            RecurringRevenueActivities(engine, now=_now),
            ProofActivities(
                engine,
                gateway=gateway,
                now=_now,
                time_zone=settings.seller_time_zone,
                currency=settings.reporting_currency,
            ),
            MonthlyBillingActivities(engine),
            ProofNoticeActivities(
                engine,
                mailer=_mailer(settings),
                finance_email=settings.finance_email,
                public_url=settings.public_url,
            ),
        )
        workers = build_workers(
            client,
            settings.task_queue,
            threads,
            activities,
            mails_per_second=settings.mails_per_second,
            rendering=pool.is_busy,
        )
        async with workers.billing, workers.mail, workers.cards, workers.reports:
            log.info("worker ready", task_queue=settings.task_queue)
            await stop.wait()
    pool.close()
    engine.dispose()


async def _keep_schedules(client: Client, settings: Settings) -> None:
    """What runs by itself, as the present settings say."""
    calendar = BusinessCalendar(settings.seller_time_zone, settings.day_seconds)
    await keep_sweeping(
        client,
        SweepOrder(calendar),
        every=timedelta(seconds=settings.sweep_seconds),
        task_queue=settings.task_queue,
    )
    await keep_recurring_revenue(
        client,
        RecurringRevenueOrder(calendar),
        every=timedelta(seconds=settings.recurring_revenue_seconds),
        task_queue=settings.task_queue,
    )
    await keep_reconciling(
        client,
        ReconciliationOrder(calendar=calendar),
        every=timedelta(seconds=settings.reconciliation_seconds),
        task_queue=settings.task_queue,
    )
    if not settings.bill_automatically:
        await stop_billing(client)
        return
    await keep_billing(
        client,
        MonthlyBillingOrder(
            monthly_rule(settings),
            calendar,
            terms_days=settings.payment_terms_days,
            pause_before_issue=settings.pause_before_issue,
            approval_required=settings.approval_required,
            customers_in_flight=settings.customers_in_flight,
            customers_per_page=settings.customers_per_page,
        ),
        task_queue=settings.task_queue,
    )


@dataclass(frozen=True)
class Activities:
    """Every activity of the product, by what it is about."""

    cycle: CycleActivities
    issuing: IssuingActivities
    collection: CollectionActivities
    credit_notes: CreditNoteActivities
    charging: ChargingActivities
    delivery: DeliveryActivities
    sweeping: SweepingActivities
    recurring_revenue: RecurringRevenueActivities
    proof: ProofActivities
    monthly_billing: MonthlyBillingActivities
    proof_notice: ProofNoticeActivities


@dataclass(frozen=True)
class Workers:
    """The worker of all workflows and their short steps, those of the two slow worlds, and that of
    what reports need.
    """

    billing: Worker
    mail: Worker
    cards: Worker
    reports: Worker


def build_workers(
    client: Client,
    task_queue: str,
    threads: ThreadPoolExecutor,
    activities: Activities,
    *,
    mails_per_second: float,
    rendering: Callable[[], bool],
) -> Workers:
    """The workers of one process.

    `rendering` tells whether invoices are being made, which the three others give way to.
    """
    cycle, issuing, collection = activities.cycle, activities.issuing, activities.collection
    delivery, charging, sweeping = activities.delivery, activities.charging, activities.sweeping
    billing = Worker(
        client,
        task_queue=task_queue,
        workflows=WORKFLOWS,
        activities=[
            cycle.open_cycle,
            cycle.plan_page,
            cycle.finish_plan,
            cycle.begin_issue,
            cycle.discard_plan,
            cycle.list_drafts,
            cycle.close_cycle,
            issuing.render_invoice,
            issuing.post_invoice,
            issuing.record_failure,
            collection.load_case,
            collection.take_in,
            collection.carry_out,
            collection.mark_overdue,
            collection.begin_review,
            activities.credit_notes.render_credit_note,
            delivery.record_undelivered,
            sweeping.find_waiting,
            sweeping.release_page,
            activities.recurring_revenue.find_missing_days,
            activities.proof.record_no_proof,
            activities.proof.find_due_proofs,
            activities.monthly_billing.find_due_month,
        ],
        activity_executor=threads,
        max_concurrent_activities=THREADS,
        max_concurrent_local_activities=THREADS,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(POLLERS),
        workflow_runner=UnsandboxedWorkflowRunner(),  # docs/decisions/0002
        interceptors=[StillAlive(), FailurePolicy()],
        graceful_shutdown_timeout=GRACE,
    )
    mail = _behind_the_billing(
        client,
        mail_queue(task_queue),
        threads,
        [delivery.send_notice, activities.proof_notice.send_alarm],
        at_once=MAILS_AT_ONCE,
        rendering=rendering,
        per_second=mails_per_second,
    )
    cards = _behind_the_billing(
        client,
        card_queue(task_queue),
        threads,
        [
            charging.charge_invoice,
            charging.open_checkout,
            charging.open_card_setup,
            charging.close_checkouts,
            charging.refund_credit_note,
        ],
        at_once=CARDS_AT_ONCE,
        rendering=rendering,
    )
    reports = _behind_the_billing(
        client,
        report_queue(task_queue),
        threads,
        [activities.recurring_revenue.work_out_day, activities.proof.prove_cycle],
        at_once=REPORTS_AT_ONCE,
        rendering=rendering,
    )
    return Workers(billing, mail, cards, reports)


def _behind_the_billing(
    client: Client,
    task_queue: str,
    threads: ThreadPoolExecutor,
    activities: Sequence[Callable[..., object]],
    *,
    at_once: int,
    rendering: Callable[[], bool],
    per_second: float | None = None,
) -> Worker:
    """A worker of activities only, which gives way to rendering (docs/decisions/0009)."""
    return Worker(
        client,
        task_queue=task_queue,
        activities=activities,
        activity_executor=threads,
        tuner=WorkerTuner.create_composite(
            workflow_supplier=FixedSizeSlotSupplier(1),
            activity_supplier=MailGivesWay(at_once, rendering=rendering),
            local_activity_supplier=FixedSizeSlotSupplier(1),
            nexus_supplier=FixedSizeSlotSupplier(1),
        ),
        max_task_queue_activities_per_second=per_second,
        interceptors=[StillAlive(), FailurePolicy()],
        graceful_shutdown_timeout=GRACE,
    )


def _now() -> datetime:
    """For partitions, links, and which day it is where days are real."""
    return datetime.now(UTC)  # noqa: TID251 - the worker's one clock


def _mailer(settings: Settings) -> Mailer:
    return Mailer(
        settings.smtp_host,
        settings.smtp_port,
        sender=settings.mail_from,
        username=settings.smtp_username,
        password=reveal(settings.smtp_password),
        start_tls=settings.smtp_start_tls,
    )
