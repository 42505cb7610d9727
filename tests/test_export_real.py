"""Fine-tuned real encoders: PyTorch finds in an export the ten best targets that JAX finds in the run."""

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_processes import finish, start
from transformers import AutoModel, AutoTokenizer

from uwe_jax.evaluation.tasks.catalogue import choose, load_tasks
from uwe_jax.evaluation.tasks.task import TaskSources
from uwe_jax.export.export import ExportOptions, export
from uwe_jax.export.subjects import Share
from uwe_jax.models.loading import load_encoder, load_model
from uwe_jax.models.remote_workdir import is_workdir
from uwe_jax.models.run_folder import load_run
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.runtime.files import cache_folder

DATA = os.environ.get("UWE_JAX_DATA_DIR")
# Finished runs to export, in the place of two that are trained here for a few steps.
RUNS = [path for path in os.environ.get("UWE_JAX_RUNS", "").split(os.pathsep) if path]
MINILM, MPNET = "sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-mpnet-base-v2"
# The default scorer, and the paper's one in mixed precision.
SETTINGS = {
    MINILM: (),
    MPNET: ("encoder.dtype=bfloat16", "scorer.side=query", "scorer.logits=dot", "scorer.learn_tau_a=True"),
}
SHORT = (
    *("steps=6", "checkpoint_every=6", "batch.global_batch_size=8", "source.kinds=('job',)", "split.validation=0.02"),
    *("optimiser.learning_rate=2e-4", "evaluation.every=6", "evaluation.max_queries=4"),
    "evaluation.max_test_queries=4",
)
QUERIES, TOP = 200, 10
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not DATA, reason="the real data is not named in UWE_JAX_DATA_DIR")]


@pytest.fixture(params=RUNS or [MINILM, MPNET])
def workdir(request, tmp_path):
    if is_workdir(Path(request.param)):
        return Path(request.param)
    # In a process of its own on one device: MPNet's training state on each of eight is more than a small machine holds.
    settings = (f"workdir={tmp_path / 'run'}", f"encoder.name={request.param}", *SHORT, *SETTINGS[request.param])
    flags = ["--config=configs/quickstart.py", *(f"--config.{each}" for each in settings)]
    ((status, output),) = finish([start(flags)], seconds=1200)
    assert status == 0, output
    trained = load_run(tmp_path / "run", cache_dir=cache_folder()).params["encoder"]
    moved = jax.tree.map(lambda ours, theirs: np.abs(ours - theirs).max(), trained, load_encoder(request.param).params)
    assert np.median(jax.tree.leaves(moved)) > 1e-4, "an encoder as published, not a fine-tuned one"
    return tmp_path / "run"


@pytest.fixture(scope="module")
def task():
    tasks, skipped = load_tasks(
        choose(("job_to_skill",)), TaskSources((Path(DATA),), cache_folder(), offline=True), "any"
    )
    assert not skipped
    return tasks[0].sample(QUERIES)


def scores_in_jax(workdir, task):
    run = load_run(workdir, cache_dir=cache_folder())
    model = replace(run.model, encoder=run.model.encoder.clone(dtype=jnp.float32))
    return np.asarray(Ranker(replace(run, model=model)).index(task.targets)(task.queries))


def scores_in_torch(folder, task):
    spec = importlib.util.spec_from_file_location("uwe_scorer", folder / "uwe_scorer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    encoder, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    scorer = module.UweScorer.from_pretrained(folder)
    embedded = (scorer.embed(encoder, tokenizer, list(texts)) for texts in (task.queries, task.targets))
    return scorer.scores(*embedded).numpy()


def best(scores):
    """The ten best targets of every query, equal scores in the order of the targets."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :TOP]


def test_pytorch_finds_the_ten_best_targets_that_jax_finds(workdir, task, tmp_path):
    folder = export(ExportOptions(out=tmp_path / "exported"), (Share(str(workdir), 1.0),))
    run, back = load_run(workdir, cache_dir=cache_folder()), load_model(folder)
    assert back.fingerprint == run.fingerprint == replace(back, stored_fingerprint="").fingerprint
    ours, theirs = scores_in_jax(workdir, task), scores_in_torch(folder, task)
    assert theirs.shape == (QUERIES, len(task.targets))
    same = (best(ours) == best(theirs)).all(axis=1)
    deviation = np.abs(ours - theirs).max()
    print(f"{folder}: {same.sum()} of {QUERIES} lists are the same, scores differ by up to {deviation:.1e}")
    assert deviation < 1e-5
    # What differs is the order of targets that score the same up to rounding.
    rows = np.arange(QUERIES)[:, None]
    np.testing.assert_allclose(ours[rows, best(theirs)], ours[rows, best(ours)], rtol=0, atol=1e-5)
    assert same.mean() > 0.95
