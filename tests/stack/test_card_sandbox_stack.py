"""The card sandbox as a part of the stack, and what takes its place."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from activities.card_gateway import CardGateway
from settings import Settings, reveal
from stack import stripe_mock
from stack.cache import cache_folder
from stack.embedded import EmbeddedStack, StackAddresses
from stack.errors import StackError
from stack.session import at
from stack.state import load_secrets
from tests.stack.conftest import ROOT, supervised

STRIPE = ("STRIPE_API_KEY", "STRIPE_API_BASE", "STRIPE_WEBHOOK_SECRET")


def gateway(addresses: StackAddresses) -> CardGateway:
    return CardGateway(addresses.stripe_api_key, api_base=addresses.stripe_api_base)


def new_customer(addresses: StackAddresses, account_number: str) -> str:
    return gateway(addresses).ensure_customer(
        account_number=account_number, name="Ada", email="", key=account_number
    )


def test_the_stack_has_a_sandbox_that_takes_its_key(stack: EmbeddedStack) -> None:
    assert new_customer(stack.addresses(), "2001").startswith("cus_")


def test_a_part_finds_the_sandbox_and_no_other_account(stack: EmbeddedStack) -> None:
    addresses = stack.addresses()
    foreign = dict.fromkeys(STRIPE, "of another installation")
    environment = addresses.environment(foreign)
    assert {name: environment[name] for name in STRIPE} == {
        "STRIPE_API_KEY": addresses.stripe_api_key,
        "STRIPE_API_BASE": addresses.stripe_api_base,
        "STRIPE_WEBHOOK_SECRET": addresses.stripe_webhook_secret,
    }


def test_a_killed_sandbox_comes_back_on_its_port_with_its_data(stack: EmbeddedStack) -> None:
    before = new_customer(stack.addresses(), "2002")
    with supervised(stack):
        stack.kill("cards")
        stack.wait_ready("cards", seconds=30)
    assert new_customer(stack.addresses(), "2002") == before


def test_the_sandboxs_secrets_are_nobody_elses(stack: EmbeddedStack) -> None:
    addresses = stack.addresses()
    secrets = (addresses.stripe_api_key, addresses.stripe_webhook_secret)
    arguments = " ".join(psutil.Process(addresses.pids["cards"]).cmdline())
    assert "stack.card_sandbox" in arguments
    for secret in secrets:
        assert secret not in arguments
        assert secret not in repr(addresses)
    assert (stack.home / "cards").stat().st_mode & 0o077 == 0


def test_with_a_stripe_account_there_is_no_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_of_an_account")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_of_an_account")
    with EmbeddedStack(tmp_path / "home") as stack:
        addresses = stack.addresses()
        assert "cards" not in addresses.pids
        environment = stack.environment()
    assert environment["STRIPE_API_KEY"] == "sk_test_of_an_account"
    assert environment["STRIPE_WEBHOOK_SECRET"] == "whsec_of_an_account"
    assert "sk_test_of_an_account" not in (tmp_path / "home" / "stack.json").read_text()


def test_settings_follow_the_stack(stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STRIPE:
        monkeypatch.setenv(name, "of an account")
    addresses = stack.addresses()
    found = at(Settings(), addresses)
    assert found.stripe_api_base == addresses.stripe_api_base
    assert reveal(found.stripe_api_key) == addresses.stripe_api_key
    assert reveal(found.stripe_webhook_secret) == addresses.stripe_webhook_secret

    with_account = replace(
        addresses, stripe_api_base="", stripe_api_key="", stripe_webhook_secret=""
    )
    assert reveal(at(Settings(), with_account).stripe_api_key) == "of an account"


def test_a_home_of_before_gets_its_missing_secrets_and_keeps_the_others(tmp_path: Path) -> None:
    old = {"database_password": "password", "link_secret": "secret"}
    (tmp_path / "secrets.json").write_text(json.dumps(old))
    first = load_secrets(tmp_path)
    assert (first.database_password, first.link_secret) == ("password", "secret")
    assert first.card_api_key.startswith("sk_test_")
    assert first.card_webhook_secret.startswith("whsec_")
    assert load_secrets(tmp_path) == first
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damaged", ["", "[]", '"x"', '{"link_secret": "s"}', '{"unknown": "s"}', "{}"]
)
def test_damaged_secrets_are_refused_with_the_remedy(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "secrets.json").write_text(damaged)
    with pytest.raises(StackError, match="restore it from a backup"):
        load_secrets(tmp_path)
    assert (tmp_path / "secrets.json").read_text() == damaged


@pytest.mark.parametrize(
    ("arguments", "words"), [((), "needs a key"), (("--api-key", "sk"), "cannot listen on port")]
)
def test_the_command_line_names_what_is_missing(
    stack: EmbeddedStack, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    taken = stack.addresses().stripe_api_base.rpartition(":")[2]
    command = ["--port", taken, "--data", str(tmp_path / "cards.db"), *arguments]
    done = subprocess.run(
        [sys.executable, "-m", "stack.card_sandbox", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert words in done.stderr


# --- stripe-mock

WORKS = "#!/bin/sh\necho stripe-mock\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache and nothing on PATH but what the test puts into `bin`."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(stripe_mock, "_fetch_go", lambda folder: None)
    return tmp_path


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


def test_stripe_mock_is_built_into_the_cache_once(machine: Path) -> None:
    go = '#!/bin/sh\necho "$@" >> "$GOBIN/../asked"\n/bin/cp {} "$GOBIN/stripe-mock"\n'
    program(machine / "bin" / "go", go.format(program(machine / "built", WORKS)))
    found = stripe_mock.ensure_stripe_mock(lambda line: None)
    assert found == cache_folder("stripe-mock-0.203.0") / "stripe-mock"
    assert stripe_mock.ensure_stripe_mock(lambda line: None) == found
    assert (found.parent / "asked").read_text() == (
        "install -ldflags=-s -w github.com/stripe/stripe-mock@v0.203.0\n"
    )


def test_stripe_mock_on_the_path_comes_first_if_it_runs(machine: Path) -> None:
    cached = program(cache_folder("stripe-mock-0.203.0") / "stripe-mock", WORKS)
    program(machine / "bin" / "stripe-mock", "#!/bin/sh\nexit 1\n")
    assert stripe_mock.find_stripe_mock() == cached
    on_path = program(machine / "bin" / "stripe-mock", WORKS)
    assert stripe_mock.find_stripe_mock() == on_path


@pytest.mark.parametrize(
    ("go", "reason"),
    [
        (None, "Go is not installed"),
        ("#!/bin/sh\necho 'no network' >&2\nexit 1\n", "no network"),
        ('#!/bin/sh\necho > "$GOBIN/stripe-mock"\n', "does not run"),
    ],
)
def test_where_stripe_mock_cannot_be_built_the_remedy_is_named(
    machine: Path, go: str | None, reason: str
) -> None:
    if go:
        program(machine / "bin" / "go", go)
    with pytest.raises(StackError) as refusal:
        stripe_mock.ensure_stripe_mock(lambda line: None)
    assert reason in str(refusal.value)
    assert "put `stripe-mock` on PATH" in str(refusal.value)
    assert stripe_mock.find_stripe_mock() is None
