"""The schedule that works recurring revenue out, on a server that keeps schedules."""

from collections.abc import Callable
from datetime import date, timedelta

from sqlalchemy import text
from temporalio.client import ScheduleActionStartWorkflow, ScheduleOverlapPolicy

from domain.periods import BusinessCalendar
from storage.engine import transaction
from storage.reports.mrr import report_days
from tests.api.conftest import NOW, Product, until
from tests.builders import Subscriber
from workflows.contracts.recurring_revenue import RecurringRevenueOrder
from workflows.ids import RECURRING_REVENUE
from workflows.schedules import keep_recurring_revenue

IN_EARNEST, IN_A_DEMONSTRATION = BusinessCalendar(), BusinessCalendar(day_seconds=1)


async def keep(product: Product, calendar: BusinessCalendar, *, seconds: int) -> None:
    await keep_recurring_revenue(
        product.temporal,
        RecurringRevenueOrder(calendar),
        every=timedelta(seconds=seconds),
        task_queue=product.settings.task_queue,
    )


def listed(product: Product) -> list[date]:
    with transaction(product.engine) as connection:
        rows = connection.execute(text("SELECT day FROM recurring_days ORDER BY day"))
        return list(rows.scalars())


async def test_the_days_of_the_present_report_are_there_before_anybody_asks(
    office: Product, seed: Callable[..., None]
) -> None:
    seed([Subscriber("1001"), Subscriber("1002")])
    assert listed(office) == []
    await keep(office, IN_EARNEST, seconds=1)
    await until(lambda: listed(office) == report_days(NOW.date()))
    with transaction(office.engine) as connection:
        connection.execute(text("DELETE FROM recurring_days WHERE day = :day"), {"day": NOW.date()})
    await until(lambda: listed(office) == report_days(NOW.date()))


async def test_a_worker_that_starts_again_brings_the_schedule_to_its_settings(
    product: Product,
) -> None:
    for calendar, seconds in ((IN_EARNEST, 300), (IN_A_DEMONSTRATION, 600)):
        await keep(product, calendar, seconds=seconds)
    handle = product.temporal.get_schedule_handle(RECURRING_REVENUE)
    schedule = (await handle.describe()).schedule
    assert [interval.every for interval in schedule.spec.intervals] == [timedelta(minutes=10)]
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    assert schedule.action.workflow == "RecurringRevenue"
    orders = await product.temporal.data_converter.decode(
        schedule.action.args, [RecurringRevenueOrder]
    )
    assert orders == [RecurringRevenueOrder(IN_A_DEMONSTRATION)]
