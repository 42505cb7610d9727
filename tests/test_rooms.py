"""Tests that imports point downward, without cycles, and that some packages are used in some modules alone."""

import ast
import functools
import graphlib
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "uwe_jax"

# The level of every room; a module imports from its own room and from rooms of lower levels.
LEVELS = {
    "runtime": 0,
    "config": 1,
    "scoring": 2,
    "data": 2,
    "models": 3,
    "distributed": 3,
    "sources": 3,
    "ranking": 4,
    "retrieval": 5,
    "training": 5,
    "evaluation": 6,
    "export": 7,
    "curation": 7,
    "serving": 7,
    "studies": 8,
    "commands": 9,
    "__main__": 10,
    "train": 11,
}
# The package itself offers its API by name, and a module of the former layout warns whoever imports it.
FREE = {"__init__", "base"}


def dotted(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}


def room(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path, *, typing: bool = True) -> set[str]:
    """Returns the dotted names that a module imports, also inside functions; `typing`: also under TYPE_CHECKING."""
    names = set()
    tree = ast.parse(path.read_text())
    for node in [] if typing else ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


IMPORTS = {module: imports(path) for module, path in MODULES.items()}
OURS = {module: names & MODULES.keys() for module, names in IMPORTS.items()}


def test_imports_point_downward():
    assert {room(module) for module in MODULES} - FREE == set(LEVELS)
    upward = {
        f"{module} imports {name}"
        for module, names in OURS.items()
        for name in names
        if not {room(module), room(name)} & FREE
        and room(module) != room(name)
        and LEVELS[room(module)] <= LEVELS[room(name)]
    }
    assert not upward


def test_no_modules_import_each_other_in_a_circle():
    # The package of a module is imported with it, but offers nothing of its own.
    packages = {module for module, path in MODULES.items() if path.name == "__init__.py"}
    graphlib.TopologicalSorter(
        {module: imports(path, typing=False) & MODULES.keys() - packages for module, path in MODULES.items()}
    ).prepare()


def using(*packages: str) -> set[str]:
    """Returns the modules that import one of the packages."""
    return {module for module, names in IMPORTS.items() if any(name.split(".")[0] in packages for name in names)}


def test_packages_are_reserved_to_rooms():
    assert not using("tensorflow")
    assert not {"runtime", "config", "data", "sources"} & {room(each) for each in using("jax", "flax", "optax")}
    assert {room(each) for each in using("grain", "tensorflow_datasets")} <= {"data", "sources"}
    assert using("orbax") == {"uwe_jax.training.checkpoint", "uwe_jax.models.checkpoint_reader"}


def test_torch_is_imported_inside_functions_and_by_the_workrb_model_alone():
    peers = {f"uwe_jax.studies.benchmarks.torch_{name}" for name in ("peers", "scoring")}
    inside = peers | {"uwe_jax.export.onnx_files"}
    workrb = {"uwe_jax.evaluation.workrb_model"}
    assert using("torch") == inside | workrb
    assert not [each for each in inside if re.search("^(import|from) torch", MODULES[each].read_text(), re.MULTILINE)]
    # Importing it without workrb installed is an error, so nothing of the project imports it.
    assert using("workrb") == workrb
    assert not [module for module, names in OURS.items() if names & workrb]


def test_pmap_and_collectives_are_used_in_one_module():
    reserved = {"pmap", "all_gather", "all_to_all", "psum", "pmean", "psum_scatter", "shard_map", "ppermute"}
    users = {
        module
        for module, path in MODULES.items()
        if any(
            isinstance(node, ast.Attribute) and node.attr in reserved for node in ast.walk(ast.parse(path.read_text()))
        )
    }
    assert users == {"uwe_jax.distributed.parallel"}


def test_files_stay_short():
    assert not {module: n for module, path in MODULES.items() if (n := len(path.read_text().splitlines())) > 320}


def test_control_characters_are_escaped_wherever_something_is_printed_or_written_as_json():
    sinks = {
        r"\bensure_ascii=False": {"uwe_jax.runtime.printable"},
        r"\bConsole\b": {"uwe_jax.runtime.text_table"},
        r"\bstd(out|err)\.write\(|\btqdm\.write\(": {"uwe_jax.runtime.progress", "uwe_jax.runtime.logging_setup"},
        # What a command says of its options holds no text of a user.
        r"^ +print\((?!wrapped\(ABOUT\)|overview\(|config_help\(|f'uwe-jax \{__version__\}')": {
            "uwe_jax.runtime.progress",
        },
    }
    for pattern, allowed in sinks.items():
        found = {module for module, path in MODULES.items() if re.search(pattern, _code(path), re.MULTILINE)}
        assert found <= allowed, pattern
        assert found, pattern


@functools.cache
def _code(path: Path) -> str:
    """Returns the source of a module without comments and docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)
