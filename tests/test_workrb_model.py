"""Rankers inside WorkRB: its own evaluation, on a task that lies in memory, measures what ours would."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import write_tiny_encoder

pytest.importorskip("workrb")

import workrb
from optional_torch import torch
from workrb.tasks.abstract.ranking_base import RankingDataset, RankingTask, RankingTaskGroup
from workrb.types import LabelType, Language, ModelInputType

from uwe_jax.evaluation import measure
from uwe_jax.evaluation.specs import load_ranker
from uwe_jax.evaluation.workrb_model import UweWorkRBModel
from uwe_jax.runtime.errors import UserError

DOCS = Path(__file__).parents[1] / "docs" / "evaluation.md"
TARGETS = ["care for patients", "write code", "software engineer", "nurse"]
QUERIES = ["patients care", "code", "nurse", "engineer software", "patients"]
RELEVANT = [[0], [1], [0, 3], [2], [0, 3]]


class TinyTask(RankingTask):
    """Five queries and four targets."""

    name = "tiny"
    description = "a task in memory"
    task_group = RankingTaskGroup.JOB2SKILL
    label_type = LabelType.MULTI_LABEL
    supported_query_languages = supported_target_languages = [Language.EN]
    query_input_type = ModelInputType.JOB_TITLE
    target_input_type = ModelInputType.SKILL_NAME

    def load_dataset(self, dataset_id, split):
        return RankingDataset(QUERIES, RELEVANT, TARGETS, dataset_id)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny", layers=1)


def average_precision(scores, relevant):
    ranks = np.sort(np.argsort(np.argsort(-scores))[relevant]) + 1
    return np.mean(np.arange(1, len(ranks) + 1) / ranks)


def test_workrb_evaluates_a_ranker(encoder, tmp_path):
    model = UweWorkRBModel(encoder, cache_dir=tmp_path / "cache")
    results = workrb.evaluate(
        model, tasks=[TinyTask(languages=["en"], split="test")], output_folder=str(tmp_path / "out")
    )
    scores = load_ranker(str(encoder), cache_dir=tmp_path / "cache").index(TARGETS)(QUERIES)
    expected = np.mean([average_precision(row, relevant) for row, relevant in zip(scores, RELEVANT, strict=True)])
    measured = results.task_results["tiny"].datasetid_results["en"].metrics_dict
    assert measured["map"] == pytest.approx(expected)
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written["metadata"]["model_name"] == "tiny mean_pool"
    assert "2511.07969" in model.citation
    assert "local folder" in model.description
    assert model.classification_label_space is None


class Lengths:
    """A user's own ranker."""

    name = "lengths"

    def index(self, targets):
        return lambda queries: np.array([[-abs(len(q) - len(t)) for t in targets] for q in queries])


def test_a_scorer_of_both_sides_ranks_in_workrb(encoder, tmp_path):
    sides = {
        side: UweWorkRBModel(f"{encoder}:soft,side={side}", cache_dir=tmp_path)._compute_rankings(QUERIES, TARGETS)
        for side in ("query", "target", "both")
    }
    torch.testing.assert_close(sides["both"], (sides["query"] + sides["target"]) / 2, atol=1e-5, rtol=0)
    assert (sides["query"] - sides["target"]).abs().max() > 1e-3


def test_rankings_are_a_tensor_whatever_the_chunks(monkeypatch):
    monkeypatch.setattr(measure, "_SCORES", 2 * len(TARGETS))
    model = UweWorkRBModel(Lengths())
    assert (model.name, model.description) == ("lengths", "lengths, a ranker of uwe_jax")
    types = {"query_input_type": ModelInputType.JOB_TITLE, "target_input_type": ModelInputType.SKILL_NAME}
    scores = model.compute_rankings(queries=QUERIES, targets=TARGETS, **types)
    assert scores.dtype == torch.float32
    np.testing.assert_array_equal(scores.numpy(), Lengths().index(TARGETS)(QUERIES))
    classified = model.compute_classification(QUERIES, TARGETS, input_type=ModelInputType.SKILL_SENTENCE)
    assert torch.equal(classified, scores)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (lambda q: np.full((q, 4), np.nan), r"lengths in WorkRB: 8 of 8 scores are NaN"),
        (lambda q: np.ones((q, 5)), r"scores of shape \(2, 5\) for 2 queries and 4 targets"),
        (lambda q: np.ones((4, q)), r"scores of shape \(4, 2\) for 2 queries and 4 targets"),
        (lambda q: np.ones((q + 1, 4)), r"scores of shape \(3, 4\) for 2 queries and 4 targets"),
        (lambda q: np.full((q, 4), "1"), "scores of type <U1"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(scores, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "_SCORES", 2 * len(TARGETS))
    ranker = Lengths()
    ranker.index = lambda targets: lambda queries: scores(len(queries))
    task = TinyTask(languages=["en"], split="test")
    with pytest.raises(UserError, match=expected):
        workrb.evaluate(UweWorkRBModel(ranker), tasks=[task], output_folder=str(tmp_path))


def test_the_documented_call_measures_the_model_that_it_names(encoder, tmp_path, monkeypatch):
    """WorkRB keeps the results in a folder whatever the model, unless it is told to start again."""
    monkeypatch.chdir(tmp_path)
    (call,) = re.findall(r"^workrb\.evaluate\(.*\)$", DOCS.read_text(), re.MULTILINE)

    def documented(model):
        tasks = [TinyTask(languages=["en"], split="test")]
        return eval(call, {"workrb": workrb, "UweWorkRBModel": lambda _: model, "tasks": tasks})

    first, second = (
        documented(UweWorkRBModel(encoder, cache_dir=tmp_path / "cache")),
        documented(UweWorkRBModel(Lengths())),
    )
    assert first.metadata.model_name == "tiny mean_pool"
    assert second.metadata.model_name == "lengths"
    assert first.task_results != second.task_results


def test_an_unknown_model_is_reported(tmp_path):
    with pytest.raises(UserError, match="A model is one of"):
        UweWorkRBModel("no_such_module:Ranker", cache_dir=tmp_path)
