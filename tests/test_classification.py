"""Targets as labels: F1, precision, recall and AUC at a threshold, alone and beside a ranking."""

import json

import numpy as np
import pytest
from esco_downloads import OCCUPATION, write_release
from scipy.sparse import csr_array
from task_data import sources_of, write

import uwe_jax
from uwe_jax.evaluation.classify import Classifier
from uwe_jax.evaluation.target_names import NamesRanker
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE
from uwe_jax.evaluation.tasks.task import TaskContent, TaskSources, TaskSpec
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.classification import THRESHOLDS, best_threshold, classification
from uwe_jax.scoring.names import NameWeights

METRICS = ["f1_macro", "precision_macro", "recall_macro", "roc_auc"]


def draw(rng, q=30, n=12):
    scores = np.round(rng.random((q, n)), 1).astype(np.float32)  # with ties, and scores at thresholds
    return scores, rng.random((q, n)) < 0.3


def test_metrics_equal_counting_label_by_label(rng):
    scores, relevant = draw(rng)
    relevant[:, 0], relevant[:, 1] = False, True  # without an AUC
    scores[:, 2] = 0.0  # never predicted
    found = classification(scores, csr_array(relevant.astype(int)), 0.4, samples=50)
    f1, precision, recall, areas = [], [], [], []
    for score, own in zip(scores.T, relevant.T, strict=True):
        hits, said = np.sum((score >= 0.4) & own), np.sum(score >= 0.4)
        precision.append(hits / said if said else 0)
        recall.append(hits / own.sum() if own.any() else 0)
        f1.append(2 * hits / (said + own.sum()) if said + own.sum() else 0)
        if 0 < own.sum() < len(own):
            above = score[own][:, None] - score[~own][None]
            areas.append(np.mean((above > 0) + (above == 0) / 2))
    expected = dict(zip(METRICS, (100 * np.mean(each) for each in (f1, precision, recall, areas)), strict=True))
    assert found["metrics"] == pytest.approx(expected)
    for name, (low, high) in found["intervals"].items():
        assert low < expected[name] < high
    assert list(found["intervals"]) == METRICS[:3]


def test_the_threshold_with_the_best_f1_is_taken(rng):
    scores, relevant = draw(rng)
    matrix = csr_array(relevant.astype(int))
    f1 = [classification(scores, matrix, each, samples=0)["metrics"]["f1_macro"] for each in THRESHOLDS]
    assert best_threshold(scores, matrix) == THRESHOLDS[np.argmax(f1)]
    assert best_threshold(np.zeros((30, 12)), matrix) == 0.1


class Words:
    """The share of a target's words that a query has."""

    name = "words"

    def index(self, targets):
        words = [set(target.split()) for target in targets]
        return lambda queries: np.array([[len(w & set(query.split())) / len(w) for w in words] for query in queries])


def test_an_evaluation_classifies_at_the_threshold_of_the_validation_split(tmp_path):
    jobs = [(OCCUPATION + "a", "chief weld", ""), (OCCUPATION + "b", "plan cuisine", "")]
    write_release(tmp_path, occupations=jobs)
    rows = [{"vacancy_job_title": "weld some metal", "tagged_esco_skills": ["weld metal"]}]
    rows += [{"vacancy_job_title": "plan rota", "tagged_esco_skills": ["plan shifts"]}]
    write(tmp_path / "vacancies_validation.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    options = {"data": tmp_path, "offline": True, "bootstrap": 0, "out": tmp_path / "out"}
    found = uwe_jax.evaluate(Words(), ["job_to_skill", "skill_normalisation"], classify="validation", **options)
    of_jobs = found["words", "job_to_skill"].classification
    task = found.tasks["job_to_skill"]
    (other,) = [CATALOGUE["job_to_skill"].load(sources_of(tmp_path), "validation")]
    scores = Words().index(other.targets)(other.queries)
    assert of_jobs["threshold"] == best_threshold(scores, other.relevant.astype(int))
    scores = Words().index(task.targets)(task.queries)
    assert of_jobs == classification(scores, task.relevant.astype(int), of_jobs["threshold"], samples=0)
    page = (tmp_path / "out" / "results.md").read_text()
    assert "## Classification\n\n| task | model | threshold | F1 | precision | recall | AUC |" in page
    # A fixed threshold needs no validation split.
    own = uwe_jax.ranking_task("mine", {"weld": ["weld metal"], "rice": ["cook rice"]}, ["weld metal", "cook rice"])
    fixed = uwe_jax.evaluate(Words(), own, classify=0.5, bootstrap=0)["words", "mine"]
    assert fixed.classification["metrics"] == dict.fromkeys(METRICS, 100.0)
    without = uwe_jax.evaluate(Words(), own, classify="validation", bootstrap=0)
    assert without["words", "mine"].classification is None
    assert without.results["models"]["words"]["results"]["mine"]["notes"] == [
        "mine is not classified, as it has no validation split: it is not split"
    ]


def test_bad_thresholds():
    for wrong in ("best", "nan", "inf"):
        with pytest.raises(UserError, match=rf"--classify is '{wrong}'. Give a threshold of scores, such as 0.5, or"):
            uwe_jax.evaluate("random", "job_to_skill", classify=wrong)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of what the toolkit imports
def test_metrics_equal_those_of_the_toolkit(rng):
    theirs = pytest.importorskip("workrb.metrics.classification", reason="workrb is not installed")
    for seed in range(3):
        scores, relevant = draw(rng)
        matrix = csr_array(relevant.astype(int))
        best, f1, _ = theirs.optimize_threshold(scores, relevant.astype(int), "f1_macro")
        assert best_threshold(scores, matrix) == best, seed
        expected = theirs.calculate_classification_metrics(scores, relevant.astype(int), "threshold", best, METRICS)
        found = classification(scores, matrix, best, samples=0)["metrics"]
        assert found == pytest.approx({name: 100 * value for name, value in expected.items()}, abs=1e-9)
        assert found["f1_macro"] == pytest.approx(100 * max(f1), abs=1e-9)


def test_the_threshold_is_that_of_the_validation_splits_own_names(tmp_path):
    contents = {
        "test": ([("bake bread", ["baker"]), ("care", ["nurse"])], ["baker", "nurse"], [("nurse", ["care"])]),
        "validation": (
            [("fix a car", ["mechanic"]), ("weld metal", ["welder"])],
            ["mechanic", "welder"],
            [("mechanic", ["fix a car or bike"]), ("welder", ["weld a metal"])],
        ),
    }

    def read(_, split):
        pairs, targets, names = contents[split]
        return TaskContent(pairs, targets, "", names=names)

    spec = TaskSpec("mine", "Mine", "", ("vacancy", "skill"), ("validation", "test"), read, "nowhere")
    sources = TaskSources((), tmp_path, names=True)
    task, other = (spec.load(sources, split) for split in ("test", "validation"))

    def ranker_of(task):
        return NamesRanker(Words(), task, NameWeights())

    def threshold(names_of):
        return best_threshold(ranker_of(names_of).index(other.targets)(other.queries), other.relevant.astype(int))

    score = ranker_of(task).index(task.targets)
    found = Classifier("validation", [spec], sources, []).measure(ranker_of(task), score, task, 0, ranker_of)
    assert found["threshold"] == threshold(names_of=other) != threshold(names_of=task)
