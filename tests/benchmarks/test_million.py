"""The model of a large month obeys what is known of queues."""

from dataclasses import replace

import pytest

from benchmarks.million import Figures, Plant, measured, simulate

FIGURES = Figures(worker=30, pdf=90, temporal=60, postgres=6)
ALL_WORK = (30 + 90 + 60 + 6) / 1_000  # seconds of an invoice


def test_shared_cores_that_never_wait_issue_what_their_work_allows() -> None:
    simulated = simulate(FIGURES, Plant("one machine", 1, in_flight=50, shared=4))
    assert simulated.per_second == pytest.approx(4 / ALL_WORK, rel=0.03)
    assert simulated.busy["cores"] == pytest.approx(1, abs=0.02)


def test_one_customer_at_a_time_waits_for_nobody() -> None:
    alone = Plant("alone", 1, in_flight=1, workers=8, pdf=8, temporal=8, postgres=8)
    assert simulate(FIGURES, alone).per_second == pytest.approx(1 / ALL_WORK, rel=0.03)


def test_the_slowest_part_sets_the_pace_until_it_gets_more() -> None:
    plant = Plant("cluster", 1, 4, 20, workers=4, pdf=3, temporal=8, postgres=2)
    slow, more = simulate(FIGURES, plant), simulate(FIGURES, replace(plant, pdf=6))
    assert slow.per_second == pytest.approx(3 / 0.090, rel=0.05)
    assert max(slow.busy, key=lambda part: slow.busy[part]) == "pdf"
    assert more.per_second > 1.5 * slow.per_second
    assert all(0 < share <= 1 for share in more.busy.values())


def test_measured_figures_take_the_place_of_those_of_the_page() -> None:
    cost = {"worker": 4.0, "pdf": 10.0, "temporal": 8.0, "postgres": 1.0}
    small = {"cycle": {"invoices": 50, "customers": 60}, "database_mib": 50, "temporal_mib": 10}
    cycle = {"cost": cost, "invoices": 100, "customers": 120, "planned_seconds": 0.6}
    large = {"cycle": cycle, "database_mib": 60, "temporal_mib": 15}
    found = measured([small, large, small], FIGURES)
    assert (found.worker, found.pdf, found.plan) == (40, 100, 5)
    assert (found.postgres_kib, found.temporal_kib) == (204.8, 102.4)
    assert found.mail == FIGURES.mail
