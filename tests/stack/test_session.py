"""Which stack a command works on."""

from pathlib import Path

import pytest

from settings import Settings
from stack import session as sessions
from stack.errors import StackError
from stack.session import session


@pytest.fixture(autouse=True)
def nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose embedded stack would be a mistake."""
    for name in ("DATABASE_URL", "TEMPORAL_ADDRESS"):
        monkeypatch.delenv(name, raising=False)

    def started(*_: object, **__: object) -> None:
        raise AssertionError("the embedded stack was started")

    monkeypatch.setattr(sessions, "embedded", started)


@pytest.mark.parametrize(
    ("named", "value", "missing"),
    [
        ("DATABASE_URL", "postgresql://db.example/billing", "TEMPORAL_ADDRESS"),
        ("TEMPORAL_ADDRESS", "temporal.example:7233", "DATABASE_URL"),
    ],
)
@pytest.mark.parametrize("empty", [True, False])
def test_half_a_configured_stack_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    named: str,
    value: str,
    missing: str,
    empty: bool,
) -> None:
    monkeypatch.setenv(named, value)
    if empty:
        monkeypatch.setenv(missing, "")
    with pytest.raises(StackError) as refusal, session(Settings(home=tmp_path)):
        pass
    assert str(refusal.value) == (
        f"{named} is set and {missing} is not: set {missing} too, or unset {named} to work on the "
        "embedded stack."
    )


def test_a_configured_stack_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example/billing")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal.example:7233")
    given = Settings(home=tmp_path)
    with session(given) as found:
        assert found is given


def test_where_nothing_is_configured_the_embedded_stack_is_used(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="was started"), session(Settings(home=tmp_path)):
        pass
