"""Imports point downward, and what is reserved to one room stays there."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "uwe_jax"

# The level of every room: a module may import its own level and those below.
LEVELS = {
    "base": 0,
    "data": 1,
    "models": 2,
    "scoring": 2,
    "parallel": 3,
    "processes": 3,
    "optimiser": 3,
    "gradient_cache": 3,
    "ranking": 3,
    "spaces": 3,
    "training": 4,
    "benchmarks": 4,
    "description": 4,
    "enrichment": 4,
    "evaluation": 4,
    "engines": 4,
    "experiments": 4,
    "exporting": 4,
    "rankers": 4,
    "service": 4,
    "tagging": 4,
    "benchmark": 5,
    "ablate": 5,
    "average": 5,
    "combine": 5,
    "describe": 5,
    "enrich": 5,
    "tag": 5,
    "evaluate": 5,
    "export": 5,
    "index": 5,
    "rank": 5,
    "serve": 5,
    "train": 5,
    "transfer": 5,
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names of all that a module imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_every_room_has_a_level():
    assert {room(path) for path in MODULES} == set(LEVELS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward(path):
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "uwe_jax" and len(parts) > 1 and parts[1] in LEVELS:
            assert LEVELS[parts[1]] <= LEVELS[room(path)], f"{path.name} imports {name}"


def using(*packages: str) -> set[str]:
    """Rooms that import one of the packages."""
    return {room(path) for path in MODULES if any(name.split(".")[0] in packages for name in imports(path))}


def test_reserved_packages():
    assert not using("tensorflow")
    assert not {"base", "data"} & using("jax", "flax", "optax")
    assert using("grain", "tensorflow_datasets") <= {"data"}
    orbax = {path for path in MODULES if any(name.startswith("orbax") for name in imports(path))}
    assert orbax == {PACKAGE / "training" / name for name in ("checkpoint.py", "checkpoint_reader.py")}


def test_torch_is_imported_inside_functions_and_by_the_workrb_model_alone():
    inside = {PACKAGE / "benchmarks" / "torch_peers.py", PACKAGE / "exporting" / "onnx_encoder.py"}
    workrb = PACKAGE / "evaluation" / "workrb_model.py"
    using_torch = {path for path in MODULES if any(name.split(".")[0] == "torch" for name in imports(path))}
    assert using_torch == {*inside, workrb}
    for path in inside:
        assert not re.search("^(import|from) torch", path.read_text(), re.MULTILINE)
    assert {path for path in MODULES if any(name.split(".")[0] == "workrb" for name in imports(path))} == {workrb}
    # Who imports it without having workrb gets an error, so nothing of the project does.
    assert not {path for path in MODULES if any("workrb_model" in name for name in imports(path))}


def test_pmap_and_collectives_live_in_parallel():
    reserved = ("pmap", "all_gather", "all_to_all", "psum", "pmean", "psum_scatter", "shard_map", "ppermute")
    for path in MODULES:
        if room(path) == "parallel":
            continue
        used = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert not used & set(reserved), path


def test_files_stay_short():
    assert not {str(p): n for p in MODULES if (n := len(p.read_text().splitlines())) > 320}


def test_what_terminals_obey_is_escaped_wherever_something_is_printed_or_written_as_json():
    base = PACKAGE / "base"
    sinks = {
        r"\bensure_ascii=False": {base / "printable.py"},
        r"\bConsole\b": {base / "text_table.py"},
        r"\bstd(out|err)\.write\(|\btqdm\.write\(": {base / "progress.py"},
        # Of a command its usage alone.
        r"^ +print\((?!USAGE|usage\()": {base / name for name in ("progress.py", "supervisor.py")},
    }
    for pattern, allowed in sinks.items():
        found = {path for path in MODULES if re.search(pattern, _code(path), re.MULTILINE)}
        assert found <= allowed, pattern
        assert found, pattern


def _code(path: Path) -> str:
    """A module as Python writes it again, without comments and docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)
