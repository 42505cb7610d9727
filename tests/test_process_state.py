"""Tests that imports and calls leave the state of the process as it was."""

import csv
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import pytest
from test_export import write_run
from tiny_encoder import write_tiny_encoder

from uwe_jax.evaluation.lexical import Bm25
from uwe_jax.models.loading import load_model
from uwe_jax.runtime.process_state import quiet
from uwe_jax.sources.tables.problems import BrokenRows
from uwe_jax.sources.tables.reading import table_rows

ROOT = Path(__file__).parents[1]

# First what others change when they are imported, then this package alone.
CODE = """
import ast, csv, importlib, importlib.util, json, locale, logging, os, signal, socket, sys, threading, warnings
from pathlib import Path

def state():
    own = lambda each: [h for h in each.handlers if type(h) is not logging.NullHandler]
    loggers = {name: (each.level, len(own(each)), each.propagate, each.disabled)
               for name, each in logging.root.manager.loggerDict.items() if isinstance(each, logging.Logger)}
    import fsspec
    from tensorflow_datasets.core.utils import tqdm_utils
    return {
        "environment": dict(os.environ), "csv": csv.field_size_limit(), "warnings": list(map(str, warnings.filters)),
        "loggers": loggers, "root": (logging.root.level, len(logging.root.handlers), logging.root.manager.disable),
        "recursion": sys.getrecursionlimit(), "locale": locale.setlocale(locale.LC_ALL), "folder": os.getcwd(),
        "path": list(sys.path), "hooks": [repr(sys.excepthook), repr(sys.unraisablehook), repr(threading.excepthook)],
        "signals": {str(each): str(signal.getsignal(each)) for each in signal.valid_signals()},
        "sockets": socket.getdefaulttimeout(), "fsspec": dict(fsspec.config.conf), "bars": tqdm_utils._active,
    }

root = Path(sys.argv[1])
modules = {}
for path in sorted((root / "uwe_jax").rglob("*.py")):
    parts = path.relative_to(root).with_suffix("").parts
    modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
del modules["uwe_jax.evaluation.workrb_model"]  # needs a package that the project does without
for node in [node for tree in modules.values() for node in tree.body]:  # not what functions import
    imports = [(each.name, []) for each in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom):
        imports = [(node.module, [each.name for each in node.names])]
    for name, parts in imports:
        if name.split(".")[0] != "uwe_jax" and importlib.util.find_spec(name.split(".")[0]):
            module = importlib.import_module(name)
            for part in parts:
                getattr(module, part, None)  # some are only imported when they are asked for
before = state()
for name in modules:
    importlib.import_module(name)
after = state()
for name in after["loggers"].keys() - before["loggers"].keys():
    if after["loggers"].pop(name) != (0, 0, True, False):
        after["loggers"][name] = "changed"
changed = {key: [before[key], after[key]] for key in after if after[key] != before[key]}
if "loggers" in changed:
    was, now = changed["loggers"]
    changed["loggers"] = {each: [was.get(each), now.get(each)] for each in now if was.get(each) != now[each]}
print(json.dumps([len(modules), changed]))
"""


@pytest.mark.thorough
def test_importing_every_module_changes_nothing_of_the_process(tmp_path):
    names = ("TF_CPP_MIN_LOG_LEVEL", "XLA_PYTHON_CLIENT_PREALLOCATE", "JAX_COMPILATION_CACHE_DIR")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(ROOT)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    modules, changed = json.loads(done.stdout.splitlines()[-1])
    assert modules > 250
    assert changed == {}


def levels():
    return {name: logging.getLogger(name).level for name in ("absl", "gcsfs", "bm25s")}


def test_loading_a_run_leaves_the_callers_logs_and_settings(tmp_path):
    run = write_run(tmp_path / "run", write_tiny_encoder(tmp_path / "encoder", layers=1))
    before = logging.getLogger("absl").level
    logging.getLogger("absl").setLevel(logging.INFO)
    try:
        kept, conf = levels(), json.dumps(fsspec.config.conf)
        load_model(run, cache_dir=tmp_path / "cache")
        assert (levels(), json.dumps(fsspec.config.conf)) == (kept, conf)
    finally:
        logging.getLogger("absl").setLevel(before)


def test_loggers_that_two_threads_quieten_end_as_they_began():
    logger = logging.getLogger("uwe_jax.test")
    logger.setLevel(logging.INFO)
    inside, out = threading.Event(), threading.Event()

    def other():
        with quiet(**{"uwe_jax.test": logging.ERROR}):
            inside.set()
            out.wait(10)

    thread = threading.Thread(target=other)
    with quiet(**{"uwe_jax.test": logging.ERROR}):
        thread.start()
        assert inside.wait(10)
    assert logger.level == logging.ERROR  # the other one still holds it
    out.set()
    thread.join()
    assert logger.level == logging.INFO


def test_bm25_leaves_its_librarys_log():
    import bm25s  # noqa: F401  # which changes its own level when it is imported

    before = levels()
    Bm25().index(["write code", "care for patients"])
    assert levels() == before


def test_a_table_that_is_read_part_by_part_keeps_its_limit_to_itself(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text(f'text,other\n"{"a" * 200_000}",1\n"{"b" * 200_000}",2\n"c",3\n')
    limit = csv.field_size_limit()
    rows = table_rows(path, ["text"], BrokenRows())
    next(rows)
    assert csv.field_size_limit() == limit
    others = table_rows(path, ["text"], BrokenRows())
    assert len(list(others)) == 3
    assert len(list(rows)) == 2  # a long field after the other reader has ended
    assert csv.field_size_limit() == limit
