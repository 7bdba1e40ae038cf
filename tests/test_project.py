"""The project itself: its documents, its deployment and its parts tell the same story."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints
from unittest.mock import Mock

import pytest
from ruamel.yaml import YAML

import activities
import worker
import workflows
import workflows.contracts
from api.app import create_app
from cli import app
from cli_access import keys, people
from cli_usage import usage
from settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PRODUCTION = (ROOT / "docs" / "production.md").read_text()
COMPOSE = ROOT / "docker-compose.yml"
DECISIONS = sorted((ROOT / "docs" / "decisions").iterdir())
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

ACTIVITY = "__temporal_activity_definition"
WORKFLOW = "__temporal_workflow_definition"


@cache
def _tracked_files() -> tuple[Path, ...]:
    """The files of the checkout, those not yet added included, ignored ones not."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode == 0, "these tests look at what git tracks: run them in a checkout"
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def _python_files(part: str) -> Iterator[Path]:
    """The modules of a folder, or the one file; contracts are a part of their own."""
    path = ROOT / part
    files = [path] if path.is_file() else path.rglob("*.py")
    return (f for f in files if part != "workflows" or "contracts" not in f.parts)


def _imports(path: Path) -> set[str]:
    """The full names of the modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
    return names


def _modules(package: ModuleType) -> list[ModuleType]:
    return [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
        if not found.ispkg
    ]


# --- who imports whom: what import-linter, which forbids by name, cannot say

MAY_IMPORT = {
    "workflows/contracts": {"domain", "workflows.contracts", "temporalio"},
    "workflows": {"domain", "workflows", "temporalio", "google.protobuf"},
    "storage": {
        "domain",
        "settings",
        "storage",
        "sqlalchemy",
        "alembic",
        "psycopg",
        "argon2",
        "stdnum",
        "rapidfuzz",
    },
    "console": {"console", "babel", "fastapi", "httpx", "jinja2", "starlette"},
    "settings.py": {"pydantic", "pydantic_settings"},
}


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_pure_part_imports_the_standard_library_and_what_is_listed(part: str) -> None:
    strangers = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in _python_files(part)
        for name in _imports(path)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not any(f"{name}.".startswith(f"{allowed}.") for allowed in MAY_IMPORT[part])
    }
    assert strangers == set()


def test_only_the_command_imports_the_worker() -> None:
    importers = {
        path.relative_to(ROOT).parts[0]
        for path in _tracked_files()
        if path.suffix == ".py" and "worker" in _imports(path)
    }
    assert importers <= {"cli.py", "tests", "benchmarks"}


# --- contracts, implementations, worker


@cache
def _contracts() -> dict[str, Callable[..., Any]]:
    return {
        name: stub
        for module in _modules(workflows.contracts)
        for name, stub in vars(module).items()
        if hasattr(stub, ACTIVITY)
    }


@cache
def _implementations() -> dict[str, Callable[..., Any]]:
    return {
        name: method
        for module in _modules(activities)
        for kind in vars(module).values()
        if inspect.isclass(kind)
        for name, method in vars(kind).items()
        if hasattr(method, ACTIVITY)
    }


def test_every_activity_contract_is_implemented_and_nothing_else_is() -> None:
    assert _contracts().keys() == _implementations().keys()


@pytest.mark.parametrize("name", sorted(_contracts()))
def test_an_activity_has_the_name_and_the_signature_of_its_contract(name: str) -> None:
    contract, implementation = _contracts()[name], _implementations()[name]
    assert getattr(implementation, ACTIVITY).name == getattr(contract, ACTIVITY).name
    assert get_type_hints(implementation) == get_type_hints(contract)
    assert list(inspect.signature(implementation).parameters) == [
        "self",
        *inspect.signature(contract).parameters,
    ]


def test_the_worker_registers_every_activity_once_and_every_workflow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[dict[str, Any]] = []
    monkeypatch.setattr(worker, "Worker", lambda client, **options: built.append(options))
    activities = worker.Activities(
        **{name: object.__new__(kind) for name, kind in get_type_hints(worker.Activities).items()}
    )
    client, threads, rendering = Mock(), Mock(), Mock()
    worker.build_workers(
        client, "queue", threads, activities, mails_per_second=1, rendering=rendering
    )

    registered = [activity for options in built for activity in options["activities"]]
    assert sorted(activity.__name__ for activity in registered) == sorted(_contracts())
    assert {kind for options in built for kind in options.get("workflows", ())} == {
        kind
        for module in _modules(workflows)
        for kind in vars(module).values()
        if inspect.isclass(kind) and WORKFLOW in vars(kind)
    }


# --- settings and deployment


def _variables() -> dict[str, str]:
    """Each setting's environment variable with its default as the documents write it."""
    return {
        str(field.validation_alias or f"BILLWRIGHT_{name.upper()}"): _written(field.default)
        for name, field in Settings.model_fields.items()
    }


def _written(default: Any) -> str:
    text = default.get_secret_value() if hasattr(default, "get_secret_value") else default
    if text is None or text == "":
        return ""
    return f"`{str(text).lower() if isinstance(text, bool) else text}`"


def test_production_documents_every_setting_with_its_default_and_no_other() -> None:
    table = PRODUCTION.partition("## Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\| .*\|$", table, re.MULTILINE)
    assert dict(rows) == _variables()


def test_the_compose_file_follows_the_compose_specification() -> None:
    command = ["check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    check = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr


def test_the_compose_file_gives_our_services_settings_and_nothing_else() -> None:
    services = YAML(typ="safe").load(COMPOSE)["services"]
    ours = [service for service in services.values() if "build" in service]
    assert {service["command"][0] for service in ours} == {"api", "worker", "migrate"}
    for service in ours:
        assert set(service["environment"]) <= _variables().keys()


def test_the_example_environment_names_every_variable_that_compose_requires() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))
    example = (ROOT / ".env.example").read_text()
    assert required <= set(re.findall(r"^(\w+)=", example, re.MULTILINE))


def test_published_ports_are_bound_to_the_loopback_address() -> None:
    services = YAML(typ="safe").load(COMPOSE)["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


# --- documents


def test_the_readme_names_make_targets_that_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE)
    assert {"demo", "test"} <= set(named) <= set(targets)


def test_the_readme_names_every_command_and_no_other() -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    assert groups == {"keys": keys, "people": people, "usage": usage}
    assert set(re.findall(r"`billwright ([a-z]+)", README)) == commands | groups.keys()
    for group, instance in groups.items():
        named = set(re.findall(rf"`(?:billwright )?{group} ([a-z]+)", README))
        assert named == {command.name for command in instance.registered_commands}


def test_the_readme_names_every_route_and_no_other() -> None:
    described = create_app(lambda: None).openapi()["paths"]  # type: ignore[arg-type, return-value]
    routes = {
        f"{method.upper()} `{path}`"
        for path, operations in described.items()
        for method in operations
    }
    table = README.partition("## HTTP")[2].partition("\n## ")[0]
    pages = {
        "GET `/pay/{token}`",
        "GET `/login`",
        "GET `/console/`",
    }  # not in the API's description
    assert set(re.findall(r"(?:GET|POST|PUT|PATCH|DELETE) `[^`]+`", table)) == routes | pages


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_links_to_files_that_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", document.read_text())
    local = [link for pair in links for link in pair if link and not link.startswith("http")]
    assert [link for link in local if not (document.parent / link).exists()] == []


def test_decisions_are_numbered_without_gaps() -> None:
    assert [path.name[:5] for path in DECISIONS] == [f"{n + 1:04d}-" for n in range(len(DECISIONS))]


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.name[:4])
def test_a_decision_is_short_and_has_its_four_parts(decision: Path) -> None:
    text = decision.read_text()
    assert text.startswith(f"# {decision.name[:4]} ")
    assert len(text.splitlines()) <= 14
    assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == [
        "Context",
        "Decision",
        "Why",
        "Consequence",
    ]


# Written in pieces, so that this file does not name what it looks for.
MACHINE_PATH = re.compile(r"(?<![\w.~}/-])/(?:ro{2}t|wor[k]|hom[e]/\w+|User[s]/\w+)(?:/|\b(?!\w))")
REGISTRY = re.compile(
    r"(?:extra-)?index[-_]ur[l]|trusted-hos[t]|pythonhoste[d]|pypi\.(?:or[g]|pytho[n])"
    r"|registry\.np[m]|proxy\.golan[g]|artifactor[y]|repo1?\.mave[n]",
    re.IGNORECASE,
)


def test_no_file_names_a_path_of_a_machine_or_a_package_registry() -> None:
    found = []
    for path in _tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for pattern in (MACHINE_PATH, REGISTRY):
            found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []
