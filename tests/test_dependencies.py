"""Tests that pyproject.toml declares every package that is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OWN = {"uwe_jax", "configs", *(path.stem for path in Path(__file__).parent.glob("*.py"))}


def distribution(requirement: str) -> str:
    """The normalised name of what a requirement asks for."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def declared() -> tuple[set[str], set[str]]:
    """Returns what the package needs, extras for users included, and what its tests may need besides."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = dict(project["optional-dependencies"])
    tests = [each for name in ("test-core", "test", "dev") for each in extras.pop(name)]
    needed = [*project["dependencies"], *(each for extra in extras.values() for each in extra)]
    return {distribution(each) for each in needed}, {distribution(each) for each in (*needed, *tests)}


def imported(folder: str) -> set[str]:
    """Names of the modules that a folder imports, with all their dots."""
    found: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(each.name for each in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.update(f"{node.module}.{each.name}" for each in node.names)
    return {name for name in found if name.partition(".")[0] not in OWN | sys.stdlib_module_names}


@pytest.mark.thorough
@pytest.mark.parametrize("folder", ["uwe_jax", "tests", "configs"])
def test_every_import_is_declared(folder):
    known = declared()[folder == "tests"]
    provided = packages_distributions()

    def is_declared(module: str) -> bool:
        top, *rest = module.split(".")
        # Where nothing that is installed provides it, or many share a name such as google, the dots decide.
        given = provided.get(top, [])
        if module.startswith("google.protobuf."):
            given = ["protobuf"]  # which has another name than its module
        names = given if len(given) == 1 else [top, *(".".join((top, *rest[:k])) for k in range(1, len(rest) + 1))]
        return any(distribution(name) in known for name in names)

    assert sorted(module for module in imported(folder) if not is_declared(module)) == []
