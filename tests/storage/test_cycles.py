"""A cycle as it is opened, followed, summed up and listed."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from domain.errors import Conflict, NotFound
from storage.cycles import (
    ToCollect,
    cycle_to_collect,
    cycle_totals,
    list_cycles,
    move_cycle,
    open_cycle,
    summarize_cycle,
)
from storage.documents import store_document
from storage.drafts import DraftInLine, drafts_to_issue
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.invoices import InvoiceFilter, ListPosition, list_invoices, load_invoice, load_lines
from storage.planning import Cycle
from storage.posting import issue_invoice
from tests.builders import (
    ACTOR,
    FEBRUARY,
    FRENCH,
    ISSUED_ON,
    KNOWN_ANSWER,
    NOW,
    Subscriber,
    page_of_plan,
    plan_all,
    plan_entry,
    seed_billing,
    subscribers,
    write_json,
)

OpenCycle = Callable[..., Cycle]


def test_a_cycle_opened_again_is_the_same(engine: Engine, february: OpenCycle) -> None:
    cycle = february(KNOWN_ANSWER)
    with transaction(engine) as connection:
        again = open_cycle(
            connection,
            FEBRUARY,
            issued_on=date(2026, 3, 9),
            terms_days=5,
            hold_reminders=True,
            actor=ACTOR,
        )
    assert again == cycle
    assert again.issued_on == ISSUED_ON


def test_a_cycle_that_nobody_started_is_not_found(engine: Engine) -> None:
    with transaction(engine) as connection, pytest.raises(NotFound, match="2026-02; start it"):
        summarize_cycle(connection, FEBRUARY)


def test_a_cycle_without_a_seller_cannot_be_planned(engine: Engine, february: OpenCycle) -> None:
    cycle = february(KNOWN_ANSWER)
    with transaction(engine) as connection:
        connection.execute(text("ALTER TABLE sellers DISABLE TRIGGER USER"))
        connection.execute(text("DELETE FROM sellers"))
    with pytest.raises(Conflict, match=r"import a seller\.json"):
        page_of_plan(engine, cycle)


def test_a_cycle_is_summed_up_by_outcome(engine: Engine, february: OpenCycle) -> None:
    cycle = february(Subscriber("1001"), FRENCH, Subscriber("1003", calls=0), Subscriber("1004"))
    plan_all(engine, cycle)
    with transaction(engine) as connection:
        issue_invoice(
            connection, "INV-2026-02-0001", store_document(connection, b"pdf"), actor=ACTOR
        )
        summary = summarize_cycle(connection, FEBRUARY)
        assert list_cycles(connection, before=None, limit=2) == [summary]
        assert list_cycles(connection, before=FEBRUARY, limit=2) == []
    counts = (summary.customers, summary.drafted, summary.issued, summary.skipped, summary.failed)
    assert counts == (4, 1, 1, 1, 1)


def test_a_cycles_totals_are_sums_by_currency(engine: Engine, february: OpenCycle) -> None:
    plan_all(engine, february(KNOWN_ANSWER, Subscriber("1048", 20_000)))
    with transaction(engine) as connection:
        (totals,) = cycle_totals(connection, FEBRUARY)
    assert (totals.currency, totals.invoices) == ("USD", 2)
    assert (totals.subtotal, totals.tax, totals.total) == (
        Decimal("272.95"),
        Decimal("51.86"),
        Decimal("324.81"),
    )


FREE_TIER = Subscriber("1050", 500)


def test_what_is_to_collect_leaves_out_what_nobody_has_to_pay(
    engine: Engine, february: OpenCycle
) -> None:
    on_file = {"stripe_customer_id": "cus_1", "stripe_payment_method_id": "pm_1"}
    by_card = Subscriber("1048", 20_000, columns={"payment_method": "card", **on_file})
    cardless = Subscriber("1051", 20_000, columns={"payment_method": "card"})
    plan_all(
        engine, february(KNOWN_ANSWER, Subscriber("1049", 20_000), by_card, cardless, FREE_TIER)
    )
    with transaction(engine) as connection:
        assert cycle_to_collect(connection, FEBRUARY) == [
            ToCollect("bank_transfer", "USD", 2, Decimal("324.81")),
            ToCollect("card", "USD", 1, Decimal("11.90")),
            ToCollect("card_missing", "USD", 1, Decimal("11.90")),
        ]
        (totals,) = cycle_totals(connection, FEBRUARY)
    assert totals.invoices == 5


def test_a_step_taken_again_is_told_once(engine: Engine, february: OpenCycle) -> None:
    february(KNOWN_ANSWER)
    with transaction(engine) as connection:
        for to in ("planned", "planned", "issuing", "closed", "closed"):
            move_cycle(connection, FEBRUARY, to, actor=ACTOR)
        told = connection.execute(
            text("SELECT event FROM audit_log WHERE subject_kind = 'cycle' ORDER BY id")
        ).scalars()
        assert list(told) == ["opened", "planned", "issuing", "closed"]
        summary = summarize_cycle(connection, FEBRUARY)
    assert summary.status == "closed"
    assert summary.planned_at is not None
    assert summary.closed_at is not None


def test_drafts_to_issue_come_page_by_page(engine: Engine, february: OpenCycle) -> None:
    cycle = february(*subscribers(3))
    plan_all(engine, cycle)
    with transaction(engine) as connection:
        first = drafts_to_issue(connection, cycle.id, after_account="", limit=2)
        rest = drafts_to_issue(connection, cycle.id, after_account="1002", limit=2)
    assert first == [
        DraftInLine("1001", "", "INV-2026-02-0001"),
        DraftInLine("1002", "", "INV-2026-02-0002"),
    ]
    assert rest == [DraftInLine("1003", "", "INV-2026-02-0003")]


def test_invoices_are_listed_page_by_page(engine: Engine, february: OpenCycle) -> None:
    plan_all(engine, february(*subscribers(5)))
    seen: list[str] = []
    after: ListPosition | None = None
    with transaction(engine) as connection:
        while found := list_invoices(connection, InvoiceFilter(FEBRUARY), after=after, limit=2):
            seen += [invoice.account_number for invoice in found]
            after = ListPosition(FEBRUARY.start, found[-1].account_number, found[-1].id)
    assert seen == ["1001", "1002", "1003", "1004", "1005"]


def test_lists_keep_to_what_is_asked_for(engine: Engine, february: OpenCycle) -> None:
    plan_all(engine, february(*subscribers(2)))
    asked = [
        InvoiceFilter(account_number="1002"),
        InvoiceFilter(status="draft"),
        InvoiceFilter(status="paid"),
        InvoiceFilter(FEBRUARY.next()),
    ]
    with transaction(engine) as connection:
        found = [
            [i.account_number for i in list_invoices(connection, wanted, after=None, limit=9)]
            for wanted in asked
        ]
    assert found == [["1002"], ["1001", "1002"], [], []]


def test_a_price_change_is_billed_from_the_period_that_it_begins_with(
    engine: Engine, tmp_path: Path, february: OpenCycle
) -> None:
    march = FEBRUARY.next()
    seed_billing(engine, tmp_path / "march", [Subscriber("1001", month=march, calls=0)])
    cycle = february(Subscriber("1001", calls=0, flat_plans=("premium-support",)))
    dearer = tmp_path / "dearer"
    dearer.mkdir()
    write_json(dearer / "plans.json", [plan_entry(unit_price="120.00", valid_from="2026-03-01")])
    import_directory(engine, dearer, now=NOW)
    plan_all(engine, cycle)
    with transaction(engine) as connection:
        later = open_cycle(
            connection,
            march,
            issued_on=date(2026, 4, 1),
            terms_days=30,
            hold_reminders=False,
            actor=ACTOR,
        )
    plan_all(engine, later)
    with transaction(engine) as connection:
        billed = [
            (line.plan_version, line.unit_price)
            for number in ("INV-2026-02-0001", "INV-2026-03-0001")
            for line in load_lines(connection, load_invoice(connection, number).id)
        ]
    assert billed == [(1, Decimal("99.00")), (2, Decimal("120.00"))]
