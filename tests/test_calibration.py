"""Probabilities of hits: fitted to judgements, kept with an index, refused for others, and thresholds on them."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from service_stand_in import running
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tiny_encoder import WORDS, write_tiny_encoder

from uwe_jax.commands.calibrate import main as calibrate
from uwe_jax.commands.index import main as build
from uwe_jax.commands.rank import main as rank
from uwe_jax.commands.tag import main as tag
from uwe_jax.curation.tag.by_model import best
from uwe_jax.evaluation.calibrate.judgements import Judged, of_task
from uwe_jax.evaluation.calibrate.report import RELIABILITY, REPORT, RISK
from uwe_jax.evaluation.tasks.given import ranking_task
from uwe_jax.evaluation.tasks.task import TaskSources
from uwe_jax.retrieval.calibration import (
    FILE,
    RAW_SCORE,
    Subject,
    check_calibrated,
    read_calibration,
    shipped,
)
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.location import record
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.retrieval.sketch import in_common, sketch
from uwe_jax.retrieval.skill_filter import SkillFilter, write_filter
from uwe_jax.retrieval.store.folder import load_index
from uwe_jax.retrieval.store.names import Name
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.calibration import (
    IN_CONTEXT,
    SCORE,
    Platt,
    expected_calibration_error,
    features,
    fit,
    operating_point,
    reliability,
    risk_coverage,
    separation,
)
from uwe_jax.scoring.names import DESCRIPTION_WEIGHT
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.tasks import RankTask, load_served

# Targets are pairs of words, and right for queries that have both.
TARGETS = [" ".join(pair) for pair in itertools.combinations(WORDS, 2)]
QUERIES = [*(" ".join(three) for three in [*itertools.permutations(WORDS, 3)][::9]), "[UNK]", "of the and"]
UNKNOWN = "qwertz asdf"
MINILM, UWE_MINILM, UWE_MINILM_ESCO = "c8c421331fc7c364", "f3984c91f68eb13d", "b2892b01109ee621"  # fingerprints


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
    assert found["expected"] == pytest.approx(0.85)


def test_risk_is_the_share_of_wrong_answers_by_coverage(rng):
    p, right = rng.uniform(size=50), rng.uniform(size=50) < 0.5
    by_hand = [(k / 50, 1 - right[np.argsort(-p)[:k]].mean()) for k in range(1, 51)]
    np.testing.assert_allclose(risk_coverage(p, right), by_hand)
    bins = reliability(p, right, bins=5)
    assert bins[:, 2].tolist() == [10] * 5
    np.testing.assert_allclose(bins[0, :2], (np.sort(p)[:10].mean(), right[np.argsort(p)[:10]].mean()))


def test_sketches_tell_what_sets_have_in_common():
    many = [f"skill {k}" for k in range(5000)]
    assert in_common(sketch(many), sketch(many[::-1])) == 1
    assert in_common(sketch(many), sketch(many[:4500])) == pytest.approx(0.9, abs=0.08)
    assert in_common(sketch(many), sketch([f"job {k}" for k in range(5000)])) == 0
    assert in_common((), sketch(many)) == 0


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


def test_the_calibrations_that_come_along_name_their_models_and_targets():
    assert {each.subject.fingerprint for each in shipped()} == {MINILM, UWE_MINILM, UWE_MINILM_ESCO}
    for held in shipped():
        assert (held.subject.max_tokens, held.subject.words, held.subject.clean_queries) == (64, 0, True)
        assert held.subject.targets in (3007, 13896)
        assert held.error < 0.05
        assert held.platt.weights[0] > 0


def test_a_calibration_that_comes_along_is_taken_for_its_targets_alone(model, built, tmp_path, monkeypatch, capsys):
    (tmp_path / "shipped").mkdir()
    shutil.copy(built / "index" / FILE, tmp_path / "shipped" / "tiny.json")
    monkeypatch.setattr("uwe_jax.retrieval.calibration._SHIPPED", tmp_path / "shipped")
    shipped.cache_clear()
    try:
        for name, texts in (("same", TARGETS), ("others", [f"{text} {WORDS[0]}" for text in TARGETS])):
            (tmp_path / f"{name}.txt").write_text("\n".join(texts))
            build([f"--targets={tmp_path / name}.txt", f"--model={model}", f"--out={tmp_path / name}"])
        told = capsys.readouterr().out
        assert "probabilities  by the calibration that comes with uwe_jax, for tiny" in told
        assert "probabilities  none: fit them with `uwe-jax calibrate`" in told
        rank(
            [f"--targets={tmp_path / 'same.txt'}", f"--model={model}", f"--cache-dir={tmp_path}", "--json", QUERIES[0]]
        )
        captured = capsys.readouterr()
        assert "same: probabilities by the calibration that comes with uwe_jax, for tiny" in captured.err
        (hits,) = json.loads(captured.out)["hits"].values()
        of_index = load(model).rank(QUERIES[0], load_index(built / "index"))
        np.testing.assert_allclose(
            [hit["probability"] for hit in hits], [hit.probability for hit in of_index], atol=1e-4
        )
        others = load_index(tmp_path / "others")
        assert load(model).rank(QUERIES[0], others)[0].probability is None
        same = load_index(tmp_path / "same")
        with pytest.raises(UserError, match="that comes with uwe_jax does not hold here: its words is"):
            load(model, words=0.5).rank(QUERIES[0], same, min_probability=0.5)
    finally:
        shipped.cache_clear()


def test_an_index_in_qdrant_has_the_calibration_that_was_uploaded(model, built, tmp_path):
    pytest.importorskip("qdrant_client")
    from uwe_jax.retrieval.qdrant.qdrant_space import QdrantIndex

    whole, ranker = load_index(built / "index"), load(model)
    bare = load_index(built / "index")
    bare.calibration = None
    store = str(tmp_path / "store")
    with QdrantIndex.create(store, "skills", bare) as there:
        assert ranker.rank(QUERIES[0], there)[0].probability is None
    with QdrantIndex.create(store, "skills", whole), pytest.raises(UserError, match=r"its words is 0\.0"):
        check_calibrated(whole, ranker.origin, RankSettings(words=0.5), min_probability=0.5)
    with QdrantIndex.open(store, "skills") as there:
        assert there.calibration == whole.calibration
        found, expected = (ranker.rank(QUERIES[0], each, 5, min_probability=0.01) for each in (there, whole))
        np.testing.assert_allclose([h.probability for h in found], [h.probability for h in expected], atol=1e-4)
        assert found.best_of == f"the 5 best of {len(TARGETS)}"
        with pytest.raises(UserError, match="its scorer is soft"):
            load(model.replace(":soft", ":max_sim")).rank("nurse", there, min_probability=0.5)


def test_pairs_with_labels_judge_these_hits_alone(built, tmp_path):
    shutil.copytree(built / "index", tmp_path / "index")
    calibrate([f"--index={tmp_path / 'index'}", f"--pairs={built / 'pairs.csv'}", "--depth=4"])
    found, whole = (read_calibration(folder / "index") for folder in (tmp_path, built))
    assert (found.hits, whole.hits) == (4 * len(QUERIES), 10 * len(QUERIES))


def test_the_targets_of_a_task_are_found_by_their_labels(built):
    index = load_index(built / "index")
    queries = {"nurse care for": [TARGETS[3], "elsewhere"], "unknown": ["elsewhere"]}
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
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert all(0 < hit["probability"] < 1 for hit in answer["hits"]["index"])
    assert answer["of"] == {"index": len(TARGETS)}
    assert "note" not in answer
    assert "index: probabilities by the calibration of the index, for tiny" in captured.err


def test_hits_say_how_many_they_are_the_best_of_and_what_raw_scores_mean(model, built, tmp_path, capsys):
    (tmp_path / "skills.txt").write_text("\n".join(TARGETS))
    given = [f"--targets={tmp_path / 'skills.txt'}", f"--model={model}", f"--cache-dir={tmp_path}", QUERIES[0]]
    rank([*given, "--explain", "--top-k=3"])
    captured = capsys.readouterr()
    assert f"the 3 best of {len(TARGETS)}" in captured.out
    assert f", the best of {len(TARGETS)}:" in captured.out
    assert f"skills: {RAW_SCORE}" in captured.err
    rank([*given, "--json", "--top-k=99"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["of"], answer["note"]) == ({"skills": len(TARGETS)}, {"skills": RAW_SCORE})
    index = load_index(built / "index")
    hits = load(model).rank(QUERIES[0], index, top_k=99)
    assert (hits.best_of, hits.note) == (f"all {len(TARGETS)}", "")
    rank([f"--index={built / 'index'}", "--explain", QUERIES[0]])
    said = capsys.readouterr().out
    assert f", the best of {len(TARGETS)}:" in said
    assert "probability 0." in said.partition("Why ")[2]


def test_an_explained_target_has_the_place_and_the_probability_that_rankings_give_it(model, built):
    index, ranker = load_index(built / "index"), load(model)
    hits = ranker.rank(QUERIES[0], index)
    why = ranker.explain(QUERIES[0], id=hits[2].id, space=index)
    assert (why.rank, why.of) == (3, len(TARGETS))
    assert why.hit.probability == pytest.approx(hits[2].probability, abs=1e-6)
    assert f"number 3 of {len(TARGETS)}, probability {hits[2].probability:.2f}" in repr(why)
    told = why.to_dict()
    assert (told["rank"], told["of"]) == (3, len(TARGETS))
    assert told["hit"]["probability"] == pytest.approx(why.hit.probability, abs=1e-5)
    of_hit, of_text = ranker.explain(QUERIES[0], hits[2]), ranker.explain(QUERIES[0], hits[2].text)
    assert (of_hit.rank, of_hit.of, of_hit.hit.probability) == (0, 0, hits[2].probability)
    assert (of_text.rank, of_text.of, of_text.hit) == (0, 0, None)
    many = ranker.encode_targets([*TARGETS, *(f"{WORDS[0]} {k}" for k in range(200))], progress=False)
    last = ranker.rank(UNKNOWN, many, top_k=len(many))[-1]
    beyond = ranker.explain(UNKNOWN, id=last.id, space=many)
    assert (beyond.rank, beyond.of, beyond.hit.probability) == (0, len(many), None)
    assert f"not among the first 100 of {len(many)}" in repr(beyond)


@pytest.mark.thorough
def test_the_service_has_probabilities_and_thresholds(built):
    served = load_served(ServiceOptions(index=(f"skills={built / 'index'}",)))
    (found, _), (none, _) = served.answer(
        [RankTask((QUERIES[0],), "skills", 3), RankTask((QUERIES[0],), "skills", 3, least=(None, 1.0))]
    )
    assert [len(found[0]), len(none[0])] == [3, 0]
    assert found[0][0].probability > 0
    assert none[0].none.startswith("0 of 3 hits reach probability 1")
    with running(load=lambda _: served) as client:
        asked = {"query": QUERIES[0], "id": found[0][1].id}
        why = client.ask("POST", "/v1/explain", asked).json
        assert (why["rank"], why["of"], why["note"]) == (2, len(TARGETS), "")
        assert why["hit"]["probability"] == pytest.approx(found[0][1].probability, abs=1e-5)
        why = client.ask("POST", "/v1/explain", {"query": QUERIES[0], "target": TARGETS[0]}).json
        assert (why["rank"], why["of"], why["note"]) == (0, 0, RAW_SCORE)


@pytest.mark.thorough
def test_sentences_of_a_vacancy_that_are_no_requirement_have_no_hits(model, built, tmp_path):
    one, other = "nurse care for patients", "write software code"
    vectors = load(model).encode([one, other])
    fitted = SkillFilter("tiny", (load(model).origin.fingerprint,), "made", 2, 1, 1, 1, 1, 0.5, 0.0, (0.0,))
    weights = 50 * (vectors[0] - vectors[1])
    write_filter(tmp_path / "filter.json", replace(fitted, weights=tuple(map(float, weights))))
    served = load_served(
        ServiceOptions(index=(f"skills={built / 'index'}",), skill_filter=str(tmp_path / "filter.json"))
    )
    with running(load=lambda _: served) as client:
        both, none = (
            client.ask("POST", "/v1/vacancy", {"text": text}).json for text in (f"{one}.\n{other}.", f"{other}.")
        )
        (ranked,) = client.ask("POST", "/v1/rank", {"queries": [other]}).json["results"]
    assert (len(both["sentences"]), both["no_requirement"], both["none"]) == (2, 1, "")
    assert {hit["sentence"] for hit in both["hits"]} == {0}
    assert (none["hits"], none["no_requirement"]) == ([], 1)
    assert none["none"] == "Each of 1 sentences is taken for no requirement."
    assert ranked["hits"]
    with pytest.raises(UserError, match="--skill-filter shipped: no filter comes with uwe_jax for tiny"):
        load_served(ServiceOptions(index=(f"skills={built / 'index'}",), skill_filter="shipped"))


def test_a_request_has_thresholds():
    with running() as client:
        body = {"queries": ["care for patients"], "min_score": 2}
        (answer,) = client.ask("POST", "/v1/rank", body).json["results"]
        assert answer["hits"] == []
        assert answer["none"].startswith("0 of ")
        vacancy = client.ask("POST", "/v1/vacancy", {"text": "care for patients", "min_score": 2}).json
        assert vacancy["none"].startswith("None of 1 sentences has such a hit. Of the first, 0 of ")
        assert (vacancy["of"], vacancy["note"]) == (6, RAW_SCORE)
        refused = client.ask("POST", "/v1/rank", {**body, "min_probability": 0.5})
        assert refused.status == 422
        assert "min_probability needs probabilities, but the index has no calibration" in refused.json["detail"]
        for wrong in ({"min_probability": 1.5}, {"min_score": float("nan")}):
            assert client.ask("POST", "/v1/rank", {"queries": ["care"], **wrong}).status == 422
        assert {each["calibration"] for each in client.ask("GET", "/v1/indexes").json["indexes"]} == {""}


def test_tagging_takes_its_threshold_from_a_precision(model, built, tmp_path, monkeypatch, capsys):
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
        ([], "--precision needs --model, and --calibration needs both"),
        (["--precision=0.3", "--threshold=0.5"], "--precision 0.3 gives the threshold, and --threshold 0.5 is another"),
    ):
        with pytest.raises(UserError, match=problem):
            tag([*given, *wrong, f"--out={tmp_path / 'other'}"])
    given = [each for each in given if not each.startswith(("--calibration", "--model", "--out"))]
    with pytest.raises(UserError, match="no calibration comes with uwe_jax for tiny:soft and these skills, only"):
        tag([*given, "--precision=0.3", "--model=tiny:soft", f"--out={tmp_path / 'other'}"])
    (tmp_path / "shipped").mkdir()
    shutil.copy(built / "index" / FILE, tmp_path / "shipped" / "tiny.json")
    monkeypatch.setattr("uwe_jax.retrieval.calibration._SHIPPED", tmp_path / "shipped")
    monkeypatch.chdir(Path(model.removesuffix(":soft")).parent)
    shipped.cache_clear()
    try:
        tag([*given, "--precision=0.3", "--model=tiny:soft", f"--out={tmp_path / 'by_shipped'}"])
        assert f"A model's skills reach probability {least:g}: of " in capsys.readouterr().err
        by_shipped = json.loads((tmp_path / "by_shipped" / "tagging.json").read_text())
        assert (by_shipped["threshold"], by_shipped["edges"]) == (least, result["edges"])
        with pytest.raises(UserError, match="that comes with uwe_jax does not hold here: its max_tokens is 64"):
            tag([*given, "--precision=0.3", "--model=tiny:soft", "--max-tokens=9", f"--out={tmp_path / 'other'}"])
    finally:
        shipped.cache_clear()


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


def test_a_calibration_holds_for_the_weight_of_descriptions(model, built):
    ranker, subject = load(model), load_index(built / "index").calibration.subject
    assert (subject.description_weight, subject.settings.description_weight) == (0, 0)
    about = [[Name("care for the ill", "description")], *([[]] * (len(TARGETS) - 1))]
    described = ranker.encode_targets(TARGETS, names=about, progress=False)
    now = Subject.of_index(described, ranker.origin, ranker.how)
    assert now.description_weight == DESCRIPTION_WEIGHT
    assert replace(now, names=False, label_weight=1.0, sketch=subject.sketch).unlike(subject) == (
        f"its description_weight is {DESCRIPTION_WEIGHT}, and here it is 0.0"
    )


def test_a_calibration_of_other_targets_is_refused(model, built):
    index, ranker = load_index(built / "index"), load(model)
    others = ranker.encode_targets([f"{text} {WORDS[0]}" for text in TARGETS], progress=False)
    others.calibration = index.calibration
    with pytest.raises(UserError, match=r"fitted for 28 targets, there are 28 here, and 0% of all their names are the"):
        ranker.rank("nurse", others, min_probability=0.5)
    some = ranker.encode_targets(TARGETS[1:], progress=False)
    some.calibration = index.calibration
    assert ranker.rank("nurse", some)[0].probability is not None


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
    calibrate([*given, "--min-probability=1"])
    assert "No hit reaches probability 1: the highest of " in capsys.readouterr().err
    assert "ECE" in shown


@pytest.mark.thorough
def test_a_report_has_figures_and_how_queries_without_targets_are_recognised(built, tmp_path, capsys):
    (tmp_path / "none.txt").write_text("software software\nfor for\n")
    without = (*QUERIES[-2:], "software software", "for for")
    rows = [(query, 0.9) for query in QUERIES[:-2]] + [(query, 0.1) for query in without]
    (tmp_path / "filter.csv").write_text("query,score\n" + "".join(f"{query},{score}\n" for query, score in rows))
    given = [f"--index={built / 'index'}", f"--pairs={built / 'edges.csv'}", f"--none={tmp_path / 'none.txt'}"]
    calibrate([*given, "--evaluate", f"--out={tmp_path / 'a'}"])
    calibrate([*given, "--evaluate", f"--out={tmp_path / 'b'}", f"--none-scores={tmp_path / 'filter.csv'}"])
    found, by_filter = (json.loads((tmp_path / name / REPORT).read_text())["results"] for name in "ab")
    assert [*found] == ["edges.csv", "none.txt", "all"]
    assert (found["all"]["queries"], found["all"]["without"]) == (len(QUERIES) + 2, 4)
    assert 0 < found["all"]["none_auc"] < by_filter["all"]["none_auc"] == 1
    assert found["none.txt"]["none_auc"] is None
    coverage, risk = np.transpose(found["all"]["risk_coverage"])
    assert (coverage[-1], found["all"]["aurc"]) == (1, pytest.approx(risk.mean(), abs=1e-3))
    assert all((tmp_path / "a" / name).read_bytes().startswith(b"\x89PNG") for name in (RISK, RELIABILITY))
    (tmp_path / "filter.csv").write_text("query,score\n" + "".join(f"{q},{s}\n" for q, s in rows[:-1]))
    with pytest.raises(UserError, match=r"lacks 1 of \d+ queries, such as 'for for'. Give a score of every query"):
        calibrate([*given, "--evaluate", f"--none-scores={tmp_path / 'filter.csv'}"])


def test_the_threshold_of_a_precision_is_the_lowest_from_which_on_it_is_expected(built):
    held = read_calibration(built / "index")
    shares = {0.1: (90, 0.5), 0.2: (70, 0.6), 0.3: (60, 0.7), 0.4: (50, 0.8), 0.5: (30, 0.85), 0.6: (5, 1.0)}
    points = [replace(held.points[0], probability=p, hits=n, expected=x, precision=x) for p, (n, x) in shares.items()]
    held = replace(held, points=tuple(points))
    assert [held.threshold(each).probability for each in (0.45, 0.5, 0.55, 0.8)] == [0.1, 0.1, 0.2, 0.4]
    with pytest.raises(
        UserError,
        match=r"No threshold has a precision of 0.9: at probability 0.5, the highest that 30 held-out hits reach, 0.85",
    ):
        held.threshold(0.9)
    assert [held.at(each).probability for each in (0.05, 0.35, 1)] == [0.1, 0.3, 0.6]
    few, many = (replace(held.points[0], hits=n, expected=0.5, precision=0.9) for n in (25, 900))
    assert [round(each.estimate, 3) for each in (few, many)] == [0.58, 0.86]  # few hits correct the map a little
