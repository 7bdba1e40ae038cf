"""Where the Temporal server and the test server are looked for, and how they are installed."""

from pathlib import Path

import pytest

from stack import temporal, test_server
from stack.cache import cache_folder
from stack.errors import StackError

WORKS = "#!/bin/sh\necho temporal version 1.5.1\n"
BROKEN = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache and nothing on PATH but what the test puts into `bin`."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(temporal, "_download", lambda target: "offline")
    monkeypatch.setattr(temporal, "_fetch_go", lambda folder: None)
    return tmp_path


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


def test_the_path_comes_before_the_cache(machine: Path) -> None:
    cached = program(cache_folder("temporal-1.5.1") / "temporal", WORKS)
    assert temporal.find_server() == cached
    on_path = program(machine / "bin" / "temporal", WORKS)
    assert temporal.find_server() == on_path


def test_a_binary_that_does_not_run_does_not_count(machine: Path) -> None:
    program(machine / "bin" / "temporal", BROKEN)
    cached = program(cache_folder("temporal-1.5.1") / "temporal", "\x7fELF cut short")
    assert temporal.find_server() is None
    program(cached, WORKS)
    assert temporal.find_server() == cached


def test_a_download_is_kept_in_the_cache(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(target: Path) -> None:
        program(target / "temporal-cli-v1.5.1", WORKS)

    monkeypatch.setattr(temporal, "_download", download)
    said: list[str] = []
    found = temporal.ensure_server(said.append)
    assert found == machine / "cache" / "billwright" / "temporal-1.5.1" / "temporal"
    assert sorted(p.name for p in found.parent.iterdir()) == [".lock", "temporal"]
    assert temporal.ensure_server(_unexpected) == found


def test_without_a_download_go_builds_it_into_the_cache(machine: Path) -> None:
    go = '#!/bin/sh\necho "$@" > "$GOBIN/../asked"\n/bin/cp {} "$GOBIN/temporal"\n'
    program(machine / "bin" / "go", go.format(program(machine / "built", WORKS)))
    found = temporal.ensure_server(lambda line: None)
    assert temporal.runs(found)
    assert (found.parent / "asked").read_text() == (
        "install -ldflags=-s -w github.com/temporalio/cli/cmd/temporal@v1.5.1\n"
    )


def test_without_go_a_fetched_compiler_builds_it_and_leaves_no_trace(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = program(machine / "built", WORKS)
    script = f'#!/bin/sh\n/bin/mkdir "$GOPATH" "$GOCACHE"\n/bin/cp {built} "$GOBIN/temporal"\n'
    monkeypatch.setattr(temporal, "_fetch_go", lambda folder: program(folder / "bin/go", script))
    found = temporal.ensure_server(lambda line: None)
    assert sorted(p.name for p in found.parent.iterdir()) == [".lock", "temporal"]


def test_the_build_needs_no_c_compiler_and_none_of_the_users_flags(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    _, env = temporal.build_command("go", machine)
    assert (env["GOBIN"], env["CGO_ENABLED"], env["GOFLAGS"]) == (str(machine), "0", "")


@pytest.mark.parametrize(
    ("go", "reason"),
    [(None, "Go is not installed"), ("#!/bin/sh\necho 'no network' >&2\nexit 1\n", "no network")],
)
def test_where_nothing_works_one_sentence_names_the_remedy(
    machine: Path, go: str | None, reason: str
) -> None:
    if go:
        program(machine / "bin" / "go", go)
    with pytest.raises(StackError) as refusal:
        temporal.ensure_server(lambda line: None)
    assert reason in str(refusal.value)
    assert "put `temporal` on PATH" in str(refusal.value)
    assert list(cache_folder("temporal-1.5.1").iterdir()) == [
        cache_folder("temporal-1.5.1") / ".lock"
    ]


def test_the_test_server_comes_from_maven_where_it_cannot_be_downloaded(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path | None] = []

    def start(*, download_to: Path | None = None, existing: Path | None = None) -> str | None:
        started.append(existing)
        return "offline" if download_to else None

    monkeypatch.setattr(test_server, "_start", start)
    program(machine / "bin" / "java", WORKS)
    program(machine / "bin" / "mvn", "#!/bin/sh\n/bin/mkdir jars\n/bin/cp pom.xml jars/\n")
    found = test_server.ensure_test_server(lambda line: None)
    assert found == test_server.test_server_path()
    assert "<version>1.38.0</version>" in (found.parent / "jars" / "pom.xml").read_text()
    (machine / "bin" / "java").unlink()
    assert test_server.test_server_path() is None


def test_without_java_the_remedy_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_server, "_start", lambda **_: "offline")
    with pytest.raises(StackError, match="install Java and Maven"):
        test_server.ensure_test_server(lambda line: None)


def test_the_real_download_fails_with_a_reason_or_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Through a proxy that is not there: the SDK must give up at once, never hang.
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    reason = temporal._download(tmp_path)
    assert reason is None or len(reason) > 10


def _unexpected(line: str) -> None:
    raise AssertionError(line)
