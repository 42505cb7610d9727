"""Fine-tuned real encoders: PyTorch finds in an export the ten best targets that JAX finds in the run."""

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from transformers import AutoModel, AutoTokenizer

from uwe_jax.base.config import (
    BatchSettings,
    Config,
    EncoderSettings,
    EvaluationSettings,
    LengthSettings,
    OptimiserSettings,
    ScorerSettings,
    SourceSettings,
    SplitSettings,
)
from uwe_jax.base.files import cache_folder
from uwe_jax.data.tasks.catalogue import choose, load_tasks
from uwe_jax.data.tasks.spec import TaskSources
from uwe_jax.evaluation.encoders import encoder_ranker
from uwe_jax.exporting.average import Share
from uwe_jax.exporting.export import ExportOptions, export
from uwe_jax.rankers.load import load_model
from uwe_jax.rankers.run_folder import load_run
from uwe_jax.train import train
from uwe_jax.training.workdir import is_workdir

DATA = os.environ.get("UWE_JAX_DATA_DIR")
# Finished runs to export, in the place of two that are trained here for two steps.
RUNS = [path for path in os.environ.get("UWE_JAX_RUNS", "").split(os.pathsep) if path]
MINILM, MPNET = "sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-mpnet-base-v2"
# The paper's scorer in mixed precision, and the default one.
SETTINGS = {
    MINILM: ("float32", ScorerSettings()),
    MPNET: ("bfloat16", ScorerSettings(logits="dot", tau_a=0.1, learn_tau_a=True)),
}
QUERIES, TOP = 200, 10
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not DATA, reason="the real data is not named in UWE_JAX_DATA_DIR")]


@pytest.fixture(params=RUNS or [MINILM, MPNET])
def workdir(request, tmp_path):
    if is_workdir(Path(request.param)):
        return Path(request.param)
    dtype, scorer = SETTINGS[request.param]
    config = Config(
        workdir=str(tmp_path / "run"),
        steps=2,
        encoder=EncoderSettings(name=request.param, dtype=dtype),
        source=SourceSettings(kinds=("job",)),
        split=SplitSettings(validation=0.02, test=0.0),
        lengths=LengthSettings(skill=16, job=16),
        batch=BatchSettings(global_batch_size=8),
        scorer=scorer,
        optimiser=OptimiserSettings(learning_rate=2e-4),
        evaluation=EvaluationSettings(every=2, max_queries=4, skip=("job_to_skill",), texts_per_device=16),
    )
    train(config)
    return Path(config.workdir)


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
    return np.asarray(encoder_ranker(replace(run, model=model)).index(task.targets)(task.queries))


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
    folder = export(ExportOptions((Share(str(workdir), 1.0),), tmp_path / "exported", cache_folder()))
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
