"""The Temporal worker: connects the rules to the world. Nobody imports this but the command."""

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

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
from activities.delivery import DeliveryActivities
from activities.failures import FailurePolicy
from activities.issuing import IssuingActivities, PayerLinks
from activities.mail_slots import MailGivesWay
from activities.mailer import Mailer
from activities.rendering import PdfPool
from activities.settlement import SettlementActivities
from domain.tax import TaxPolicy
from settings import Settings, required, reveal
from storage.engine import make_engine
from storage.schema import migrate
from workflows.billing_cycle import BillingCycle
from workflows.connection import connect, prepare_namespace
from workflows.customer_billing import CustomerBilling
from workflows.ids import mail_queue
from workflows.invoice_lifecycle import InvoiceLifecycle

THREADS = 20
POLLERS = 20
"""Of workflow tasks; five, the SDK's default, leave the worker waiting."""
MAILS_AT_ONCE = 4
GRACE = timedelta(seconds=20)

WORKFLOWS = (BillingCycle, CustomerBilling, InvoiceLifecycle)

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Runs until SIGTERM or Ctrl-C; then finishes what it has begun."""
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    needed = required(settings)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    engine = make_engine(needed.database_url, pool_size=THREADS + MAILS_AT_ONCE, checked=False)
    migrate(engine, today=datetime.now(UTC).date())  # noqa: TID251 - which partitions to make
    client = await connect(
        needed.temporal_address,
        settings.temporal_namespace,
        api_key=reveal(settings.temporal_api_key),
        tls=settings.temporal_tls,
    )
    await prepare_namespace(client, retention=timedelta(days=settings.temporal_retention_days))
    pool = PdfPool(settings.pdf_processes)
    with ThreadPoolExecutor(THREADS + MAILS_AT_ONCE, thread_name_prefix="activity") as threads:
        links = PayerLinks(settings.public_url, needed.secret)
        billing, mail = build_workers(
            client,
            settings.task_queue,
            threads,
            CycleActivities(
                engine,
                time_zone=settings.seller_time_zone,
                tax_policy=TaxPolicy(settings.seller_country, settings.reverse_charge),
            ),
            IssuingActivities(engine, render=pool.render, links=links),
            DeliveryActivities(engine, mailer=_mailer(settings), links=links),
            SettlementActivities(engine),
            mails_per_second=settings.mails_per_second,
            rendering=pool.is_busy,
        )
        async with billing, mail:
            log.info("worker ready", task_queue=settings.task_queue)
            await stop.wait()
    pool.close()
    engine.dispose()


def build_workers(
    client: Client,
    task_queue: str,
    threads: ThreadPoolExecutor,
    cycle: CycleActivities,
    issuing: IssuingActivities,
    delivery: DeliveryActivities,
    settlement: SettlementActivities,
    *,
    mails_per_second: float,
    rendering: Callable[[], bool],
) -> tuple[Worker, Worker]:
    """The worker with every workflow and activity of the product, and the one that sends mail.

    `rendering` tells whether invoices are being made, which mail gives way to.
    """
    billing = Worker(
        client,
        task_queue=task_queue,
        workflows=WORKFLOWS,
        activities=[
            cycle.open_cycle,
            cycle.plan_page,
            cycle.finish_plan,
            cycle.begin_issue,
            cycle.list_drafts,
            cycle.close_cycle,
            issuing.render_invoice,
            issuing.post_invoice,
            issuing.record_failure,
            settlement.settle_invoice,
            settlement.mark_overdue,
            delivery.record_undelivered,
        ],
        activity_executor=threads,
        max_concurrent_activities=THREADS,
        max_concurrent_local_activities=THREADS,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(POLLERS),
        workflow_runner=UnsandboxedWorkflowRunner(),  # docs/decisions/0002
        interceptors=[FailurePolicy()],
        graceful_shutdown_timeout=GRACE,
    )
    mail = Worker(
        client,
        task_queue=mail_queue(task_queue),
        activities=[delivery.deliver_invoice],
        activity_executor=threads,
        tuner=WorkerTuner.create_composite(
            workflow_supplier=FixedSizeSlotSupplier(1),
            activity_supplier=MailGivesWay(MAILS_AT_ONCE, rendering=rendering),
            local_activity_supplier=FixedSizeSlotSupplier(1),
            nexus_supplier=FixedSizeSlotSupplier(1),
        ),
        max_task_queue_activities_per_second=mails_per_second,
        interceptors=[FailurePolicy()],
        graceful_shutdown_timeout=GRACE,
    )
    return billing, mail


def _mailer(settings: Settings) -> Mailer:
    return Mailer(
        settings.smtp_host,
        settings.smtp_port,
        sender=settings.mail_from,
        username=settings.smtp_username,
        password=reveal(settings.smtp_password),
        start_tls=settings.smtp_start_tls,
    )
