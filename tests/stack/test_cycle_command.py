"""What the command says to whoever follows a cycle that ends without its invoices."""

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

import cli
from workflows.billing_cycle import DISCARDED


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (
            ApplicationError("The plan of 2026-02 was discarded; start it again.", type=DISCARDED),
            "The plan of 2026-02 was discarded; start it again.",
        ),
        (
            ApplicationError("no such table", type="defect"),
            "The cycle broke down (defect: no such table); mend the cause and run the command "
            "again.",
        ),
    ],
)
def test_a_discarded_plan_is_no_breakdown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cause: ApplicationError,
    sentence: str,
) -> None:
    def follow() -> None:
        raise WorkflowFailureError(cause=cause)

    monkeypatch.setattr(cli, "app", follow)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"{sentence}\n"
