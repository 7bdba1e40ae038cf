"""The domain is plain Python: it imports the standard library and itself, nothing else."""

import ast
import sys
from pathlib import Path

import pytest

import domain

MODULES = sorted(Path(domain.__file__).parent.rglob("*.py"))


def imported(module: Path) -> set[str]:
    """Top-level names of everything that `module` imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_module_of_the_domain_imports_the_standard_library_alone(module: Path) -> None:
    assert imported(module) - sys.stdlib_module_names <= {"domain"}


def test_the_modules_of_the_domain_are_found() -> None:
    assert {"money", "rating", "invoice", "tax"} <= {module.stem for module in MODULES}
