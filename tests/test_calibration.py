"""Probabilities of hits: fitted to judgements, kept with an index, refused for others, and thresholds on them."""

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from service_stand_in import running
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tiny_encoder import WORDS, write_tiny_encoder

from uwe_jax.commands.calibrate import main as calibrate
from uwe_jax.commands.rank import main as rank
from uwe_jax.commands.tag import main as tag
from uwe_jax.curation.tag.by_model import best
from uwe_jax.evaluation.calibrate.judgements import Judged, of_task
from uwe_jax.evaluation.tasks.given import ranking_task
from uwe_jax.evaluation.tasks.task import TaskSources
from uwe_jax.retrieval.calibration import FILE, read_calibration
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.location import record
from uwe_jax.retrieval.store.folder import load_index
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.calibration import (
    IN_CONTEXT,
    SCORE,
    Platt,
    expected_calibration_error,
    features,
    fit,
    operating_point,
    separation,
)
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.tasks import RankTask, load_served

# Targets are pairs of words, and right for queries that have both.
TARGETS = [" ".join(pair) for pair in itertools.combinations(WORDS, 2)]
QUERIES = [*(" ".join(three) for three in [*itertools.permutations(WORDS, 3)][::9]), "[UNK]", "of the and"]
UNKNOWN = "qwertz asdf"


def is_right(query: str, target: str) -> bool:
    return set(target.split()) <= set(query.split())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return f"{write_tiny_encoder(tmp_path_factory.mktemp('calibration') / 'tiny', layers=1)}:soft"


@pytest.fixture(scope="module")
def built(model, tmp_path_factory):
    """A folder with an index that is calibrated, and the files of its pairs."""
    folder = tmp_path_factory.mktemp("calibrated")
    load(model).encode_targets(TARGETS, [f"t{k}" for k in range(len(TARGETS))], progress=False).save(folder / "index")
    record(folder / "index", model, ("pairs",))
    edges = [(query, f"t{k}") for query in QUERIES for k, target in enumerate(TARGETS) if is_right(query, target)]
    edges += [(query, "") for query in ("[UNK]", "of the and")]
    (folder / "edges.csv").write_text("query,target_id\n" + "".join(f"{query},{number}\n" for query, number in edges))
    pairs = [(query, k, int(is_right(query, target))) for query in QUERIES for k, target in enumerate(TARGETS)]
    (folder / "pairs.csv").write_text("query,target_id,label\n" + "".join(f"{q},t{k},{y}\n" for q, k, y in pairs))
    calibrate([f"--index={folder / 'index'}", f"--pairs={folder / 'edges.csv'}"])
    return folder


# Formulas


def drawn(rng: np.random.Generator, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    x = rng.uniform(0, 1, (n, 3))
    return x, rng.uniform(size=n) < expit(x @ np.array([6.0, -2.0, 1.0]) - 3)


def test_the_fit_is_that_of_logistic_regression(rng):
    x, right = drawn(rng)
    for names in (SCORE, IN_CONTEXT):
        found = fit(x, right, names)
        other = LogisticRegression(C=1e9, tol=1e-8).fit(x[:, : len(names)], right)
        np.testing.assert_allclose(found.of(x), other.predict_proba(x[:, : len(names)])[:, 1], atol=2e-3)
    assert expected_calibration_error(found.of(x), right) < 0.02
    assert expected_calibration_error(np.full(len(x), 0.9), right) == pytest.approx(0.9 - right.mean(), abs=0.05)


def test_few_judgements_do_not_give_certainty():
    found = fit(features(np.array([0.9, 0.8, 0.2, 0.1])), np.array([True, True, False, False]), SCORE)
    assert 0.1 < found(np.array([0.1]))[0] < 0.5 < found(np.array([0.9]))[0] < 0.9


def test_separation_is_the_area_under_the_curve(rng):
    values, positive = rng.integers(0, 5, 50).astype(float), rng.uniform(size=50) < 0.5
    assert separation(values, positive) == pytest.approx(roc_auc_score(positive, values))
    assert separation(values, positive | True) is None


def test_an_operating_point_counts_hits_and_queries():
    right, query = np.array([True, False, True, False]), np.array([0, 0, 1, 2])
    found = operating_point(np.array([0.9, 0.8, 0.3, 0.1]), right, query, np.array([1, 2, 0]), 0.5)
    assert [found[name] for name in ("hits", "precision", "recall")] == [2, 0.5, pytest.approx(1 / 3)]
    assert [found[name] for name in ("f1", "coverage", "none_wrong")] == [pytest.approx(0.4), pytest.approx(1 / 3), 0.5]


# On disk


def test_hits_have_probabilities_that_hold(model, built):
    index, ranker = load_index(built / "index"), load(model)
    held = index.calibration
    assert held.error < 0.1
    assert held.queries == len(QUERIES)
    assert held.hits == 10 * len(QUERIES)
    hits = ranker.rank(QUERIES[0], index)
    one = ranker.rank(QUERIES[0], index, top_k=1)[0]
    np.testing.assert_allclose(one.probability, hits[0].probability, atol=1e-6)
    assert all(0 < hit.probability < 1 for hit in hits)
    assert "probability" in repr(hits)
    uncalibrated = ranker.encode_targets(TARGETS, progress=False)
    assert ranker.rank(QUERIES[0], uncalibrated)[0].probability is None
    assert "probability" not in repr(ranker.rank(QUERIES[0], uncalibrated))


def test_thresholds_keep_hits_that_reach_them(model, built):
    index, ranker = load_index(built / "index"), load(model)
    every = ranker.rank(QUERIES, index)
    least = float(np.median([hit.probability for hits in every for hit in hits]))
    for hits, kept in zip(every, ranker.rank(QUERIES, index, min_probability=least), strict=True):
        assert kept == [hit for hit in hits if hit.probability >= least]
    for hits, kept in zip(every, ranker.rank(QUERIES, index, min_score=0.7), strict=True):
        assert kept == [hit for hit in hits if hit.score >= 0.7]
    none = ranker.rank(UNKNOWN, index, min_probability=1.0)
    assert not none
    assert none.none.startswith("0 of 10 hits reach probability 1; the best, ")
    assert "of such answers to held-out queries" in none.none.lower()
    assert repr(none) == none.none


def test_pairs_with_labels_judge_these_hits_alone(built, tmp_path):
    shutil.copytree(built / "index", tmp_path / "index")
    calibrate([f"--index={tmp_path / 'index'}", f"--pairs={built / 'pairs.csv'}", "--depth=4"])
    found, whole = (read_calibration(folder / "index") for folder in (tmp_path, built))
    assert (found.hits, whole.hits) == (4 * len(QUERIES), 10 * len(QUERIES))


def test_the_targets_of_a_task_are_found_by_their_labels(built):
    index = load_index(built / "index")
    queries = {"nurse care for": [TARGETS[3], "elsewhere"], "nobody": ["elsewhere"]}
    read = ranking_task("t", queries).load(TaskSources((), built), "all")
    assert of_task(read, index) == [Judged("nurse care for", frozenset({"t3"}))]
    lacking = ranking_task("t", {"nurse": ["nowhere"]}, ["nowhere", "elsewhere"]).load(TaskSources((), built), "all")
    with pytest.raises(UserError, match="the index has none of the right targets of its 1 queries"):
        of_task(lacking, index)


def test_rank_answers_none_of_these(built, capsys):
    index = f"--index={built / 'index'}"
    rank([index, "--json", "--min-probability=0.999", UNKNOWN])
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer["hits"] == {"index": []}
    assert answer["none"]["index"].startswith("0 of 10 hits reach probability 0.999; the best, ")
    assert "No hit of 1 query reaches the threshold." in captured.err
    rank([index, "--min-score=2", UNKNOWN])
    assert f"{UNKNOWN}: none of these in index. 0 of 10 hits reach score 2" in capsys.readouterr().out
    rank([index, "--json", QUERIES[0]])
    (hits,) = json.loads(capsys.readouterr().out)["hits"].values()
    assert all(0 < hit["probability"] < 1 for hit in hits)


def test_the_service_has_probabilities_and_thresholds(built):
    served = load_served(ServiceOptions(index=(f"skills={built / 'index'}",)))
    (found, _), (none, _) = served.answer(
        [RankTask((QUERIES[0],), "skills", 3), RankTask((QUERIES[0],), "skills", 3, least=(None, 1.0))]
    )
    assert [len(found[0]), len(none[0])] == [3, 0]
    assert found[0][0].probability > 0
    assert none[0].none.startswith("0 of 3 hits reach probability 1")


def test_a_request_has_thresholds():
    with running() as client:
        body = {"queries": ["care for patients"], "min_score": 2}
        (answer,) = client.ask("POST", "/v1/rank", body).json["results"]
        assert answer["hits"] == []
        assert answer["none"].startswith("0 of ")


def test_tagging_takes_its_threshold_from_a_precision(model, built, tmp_path):
    (tmp_path / "skills.csv").write_text("label,id\n" + "".join(f"{text},t{k}\n" for k, text in enumerate(TARGETS)))
    sentence = "care software code write engineer"  # names no skill
    (tmp_path / "jobs.csv").write_text(f"title,description\nJob,{sentence}\n")
    given = [f"--vacancies={tmp_path / 'jobs.csv'}", f"--taxonomy={tmp_path / 'skills.csv'}", "--processes=1"]
    given += [f"--out={tmp_path / 'out'}", f"--model={model}", f"--calibration={built / 'index'}"]
    index = load_index(built / "index")
    least = index.calibration.threshold(0.3).probability
    tag([*given, "--precision=0.3"])
    hits = load(model).rank(sentence, index, top_k=5, min_probability=least)
    result = json.loads((tmp_path / "out" / "tagging.json").read_text())
    assert (result["threshold"], result["precision"]) == (least, 0.3)
    assert result["edges"].get("skill_vacancy/model", 0) == len(hits)
    for wrong, problem in (
        (["--precision=0.3", "--max-tokens=12"], "its max_tokens is 64, and here it is 12"),
        (["--precision=0.3", "--model=bm25"], "bm25 has no probabilities"),
        ([], "--precision needs --model and --calibration"),
    ):
        with pytest.raises(UserError, match=problem):
            tag([*given, *wrong, f"--out={tmp_path / 'other'}"])


def test_tagged_skills_reach_a_probability():
    platt = Platt(IN_CONTEXT, (8.0, 0.0, 8.0), -4.0)
    scores = np.array([[0.1, 0.5, 0.6, 0.2], [0.1, 0.2, 0.1, 0.1]])
    by_hand = expit(8 * np.array([0.6 + 0.1, 0.5 + 0.3]) - 4)
    assert [row.tolist() for row, _ in best(scores, 2, by_hand.min(), platt)] == [[2, 1], []]
    assert [row.tolist() for row, _ in best(scores, 2, by_hand.max(), platt)] == [[1], []]
    assert [row.tolist() for row, _ in best(scores, 1, by_hand[0], platt)] == [[2], []]


# Bad input


def test_a_calibration_of_another_way_to_rank_is_refused(model, built, caplog):
    index = load_index(built / "index")
    by_words = load(model, words=0.5)
    with pytest.raises(UserError, match=r"does not hold here: its words is 0.0, and here it is 0.5. Fit one"):
        by_words.rank("nurse", index, min_probability=0.5)
    assert by_words.rank("nurse", index)[0].probability is None
    assert "Hits have no probabilities" in caplog.text
    with pytest.raises(UserError, match=r"its scorer is soft.*, and here it is max_sim"):
        load(model.replace(":soft", ":max_sim")).rank("nurse", index, min_probability=0.5)


def test_an_index_without_calibration_has_no_probabilities(model):
    ranker = load(model)
    with pytest.raises(UserError, match=r"has no calibration. Fit one with `uwe-jax calibrate`"):
        ranker.rank("nurse", TARGETS, min_probability=0.5)
    with pytest.raises(UserError, match=r"min_probability is 1.5; it must be between 0 and 1"):
        ranker.rank("nurse", TARGETS, min_probability=1.5)


def test_a_new_index_has_no_calibration(model, built, tmp_path):
    shutil.copytree(built / "index", tmp_path / "index")
    load(model).encode_targets(TARGETS[:3], progress=False).save(tmp_path / "index")
    assert load_index(tmp_path / "index").calibration is None


@pytest.mark.parametrize("damage", ['{"format": "other"}', "[", '{"format": "uwe_jax calibration", "version": 1}'])
def test_a_damaged_calibration_is_refused(built, tmp_path, damage):
    shutil.copytree(built / "index", tmp_path / "index")
    (tmp_path / "index" / FILE).write_text(damage)
    with pytest.raises(UserError, match="Delete it, or write it again with `uwe-jax calibrate`"):
        load_index(tmp_path / "index")


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (f"{TARGETS[1]},t1,1\n", r"1 hits of 1 query are judged, 1 of them right and 0 wrong.* within 4\d points"),
        ("".join(f"{q},t{k},1\n" for q in QUERIES for k in range(28)), r"\d{3} of them right and 0 wrong"),
        ("nurse care,t99,1\n", "target_id 't99'; expected an id of the 28 targets of the index"),
        ("nurse care,t1,2\n", "label '2'; expected 0 or 1"),
        ("nurse care,t1,1\nnurse care,t1,0\n", "label 0 of a pair that is 1 above"),
        ("nurse care,t1,1\nnurse care,t2,\n", "a label in all rows or in none"),
    ],
)
def test_judgements_that_cannot_be_used_are_refused(built, tmp_path, rows, problem):
    (tmp_path / "pairs.csv").write_text(f"query,target_id,label\n{rows}")
    before = (built / "index" / FILE).read_bytes()
    with pytest.raises(UserError, match=problem):
        calibrate([f"--index={built / 'index'}", f"--pairs={tmp_path / 'pairs.csv'}"])
    assert (built / "index" / FILE).read_bytes() == before


def test_the_report_measures_at_the_precision_that_is_asked_for(built, capsys):
    given = [f"--index={built / 'index'}", f"--pairs={built / 'edges.csv'}", "--evaluate"]
    calibrate([*given, "--min-probability=0.5"])
    shown = capsys.readouterr().out
    assert "Hits of probability 0.5 or more" in shown
    assert "ECE" in shown


def test_the_threshold_of_a_precision_is_the_lowest_from_which_on_it_holds(built):
    held = read_calibration(built / "index")
    shares = {0.1: (90, 0.5), 0.2: (70, 0.9), 0.3: (60, 0.6), 0.4: (50, 0.7), 0.5: (30, 0.8), 0.6: (5, 1.0)}
    points = [replace(held.points[0], probability=p, hits=n, precision=x) for p, (n, x) in shares.items()]
    held = replace(held, points=tuple(points))
    assert [held.threshold(each).probability for each in (0.55, 0.6, 0.65, 0.8)] == [0.2, 0.2, 0.4, 0.5]
    with pytest.raises(
        UserError, match=r"No threshold has a precision of 0.9: at probability 0.5, the highest that 30 hits reach"
    ):
        held.threshold(0.9)
    assert [held.at(each).probability for each in (0.05, 0.35, 1)] == [0.1, 0.3, 0.6]
