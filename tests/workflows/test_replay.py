"""Histories recorded earlier still replay: a running workflow survives the present code."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from tests.workflows.record_histories import INVOICES
from worker import WORKFLOWS
from workflows.connection import DATA_CONVERTER

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def test_a_history_of_each_path_is_recorded() -> None:
    assert {path.stem for path in HISTORIES} == {
        "customer_failed",
        "customer_issued",
        "cycle_after_continue_as_new",
        "cycle_proved",
        "cycle_release",
        "monthly_billing",
        "reconciliation",
        "recurring_revenue",
        "sweep",
        *INVOICES,
    }


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_replays(path: Path) -> None:
    replayer = Replayer(
        workflows=WORKFLOWS,
        data_converter=DATA_CONVERTER,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    await replayer.replay_workflow(
        WorkflowHistory.from_json(path.stem, path.read_text(encoding="utf-8"))
    )
