"""Eight CPU devices, shapes and types checked, silent broadcasting made an error."""

import atexit
import functools
import gc
import importlib.metadata
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

# Before jax is imported anywhere. The suite compares one to eight devices; an accelerator is never used.
# Most of the time goes into compiling small programs: they need no optimisation, and are compiled once a session, of
# which pytest-xdist's workers inherit the folder.
FAST_COMPILES = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
# XLA's older emitter compiles a gradient in a third of the time. Later versions do not have it, nor know the flag.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    FAST_COMPILES += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = " ".join(
    (os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=8", FAST_COMPILES)
)
os.environ["JAX_PLATFORMS"] = "cpu"
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="uwe_jax_compiled_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A suite that was started in the background inherits that Ctrl-C is ignored, and so would what the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

from jaxtyping import install_import_hook

sys.path.insert(0, str(Path(__file__).parent))
# Only where arrays are annotated: mypy checks the rest, and every checked call costs.
PACKAGE = Path(__file__).parents[1] / "uwe_jax"
ANNOTATED = [path for path in PACKAGE.rglob("*.py") if "from jaxtyping import" in path.read_text("utf-8")]
install_import_hook(
    [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in ANNOTATED], "typechecker.checked"
)

import hypothesis
import jax
import numpy as np
import pytest
from tiny_encoder import write_tiny_encoder
from tpu_land import commit_launch, tpu_land

from uwe_jax.runtime.logging_setup import shown
from uwe_jax.sources.edge_files import read_sample

ROOT = Path(__file__).parents[1]
# Python itself reads it, in processes whose clock is to jump.
collect_ignore_glob = ["jumping_clock/*"]

# A busy machine must not fail a test, and a test that passed must pass again.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("repeatable")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks as thorough the members of a parametrised test after the first n, with `@pytest.mark.thorough_after(n)`."""
    fast = Counter()
    for item in items:
        if (after := item.get_closest_marker("thorough_after")) and not item.get_closest_marker("slow"):
            fast[item.parent, item.originalname] += 1
            if fast[item.parent, item.originalname] > after.args[0]:
                item.add_marker("thorough")


def pytest_collection_finish():
    """Takes what all tests share, millions of objects, out of every later garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def all_log_lines():
    """Shows log records on standard error, as a command does with --verbose."""
    with shown(logging.DEBUG):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator, so that a failure repeats."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def sample_encoder(tmp_path_factory):
    """A tiny encoder whose vocabulary is the sample's."""
    edges = read_sample()
    words = sorted({w for each in edges.values() for text in each.left_nodes.texts.to_pylist() for w in text.split()})
    folder = tmp_path_factory.mktemp("encoder")
    write_tiny_encoder(folder, words=tuple(words), width=16, layers=1)
    return folder


@pytest.fixture(scope="session")
def prepared_cache(tmp_path_factory):
    """A cache folder of the session's training runs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def steps_once():
    """Lets trainings of this process with equal settings share their step, and what it has compiled."""
    from uwe_jax.training import loop

    with pytest.MonkeyPatch.context() as patch:
        for name in ("make_optimiser", "make_train_step"):
            patch.setattr(loop, name, functools.cache(getattr(loop, name)))
        yield


@pytest.fixture
def small_run(sample_encoder, prepared_cache, steps_once, tmp_path):
    """Flags of the training command that make the quickstart small."""
    return [
        f"--config={ROOT / 'configs/quickstart.py'}",
        f"--config.encoder.name={sample_encoder}",
        f"--config.source.cache_dir={prepared_cache}",
        f"--config.workdir={tmp_path / 'run'}",
        "--config.source.kinds=('job', 'alias')",
        "--config.batch.global_batch_size=16",
        "--config.steps=6",
        "--config.evaluation.every=3",
        "--config.checkpoint_every=3",
        "--config.log_every=1",
        "--config.evaluation.max_queries=8",
        "--config.evaluation.max_test_queries=8",
        "--config.evaluation.texts_per_device=16",
        "--config.optimiser.learning_rate=0.01",
    ]


@pytest.fixture(scope="module")
def loaded_once():
    """Lets the commands of a module's tests share a loaded model, and what it has compiled."""
    from uwe_jax.retrieval import answering, indexing
    from uwe_jax.retrieval.loading import load

    once = functools.cache(load)
    with pytest.MonkeyPatch.context() as patch:
        for module in (answering, indexing):
            patch.setattr(module, "load", once)
        yield


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A repository of the launch scripts alone."""
    return commit_launch(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def tpu(checkout, tmp_path):
    """A stand-in for Google Cloud, to which the launch scripts talk."""
    with tpu_land(checkout, tmp_path) as land:
        yield land
