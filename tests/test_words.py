"""Rankings by words in common beside the model's scores: from the formula to commands, the service and evaluations."""

import csv
import json
import math

import numpy as np
import pytest
from tiny_encoder import write_tiny_encoder
from vacancy_files import write_rows

from uwe_jax.commands.index import main as index
from uwe_jax.commands.rank import main as rank
from uwe_jax.data.text import without_marks
from uwe_jax.evaluation.options import EvaluationOptions
from uwe_jax.evaluation.specs import load_ranker
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.qdrant.qdrant_space import QdrantIndex
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.words import LEAST_WORDS, Words
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.tasks import PairTask, RankTask, ServedModel

pytestmark = pytest.mark.usefixtures("loaded_once")
TEXTS = ["care for patients", "write code", "engineer software", "看護"]
NAMES = [["nurse patients"], ["code writer"], [], []]
QUERIES = [
    "write patients in zebra and in zebra",
    "Code, CODE and software? CODE, zebra or zebra",
    "看護 zebra, zebra, zebra, zebra, zebra, zebra",
    "zebra zebra zebra zebra zebra zebra zebra",
    "Code, CODE and software?",
    "看護",
    "-",
]
WEIGHT = 0.25


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    return f"{write_tiny_encoder(tmp_path_factory.mktemp('words') / 'tiny', layers=1)}:soft"


@pytest.fixture(scope="module")
def model(encoder) -> Ranker:
    return load(encoder)


@pytest.fixture(scope="module")
def by_words(model) -> Ranker:
    return Ranker(model.loaded, RankSettings(words=WEIGHT))


def cosine(query: str, name: str, names: list[str]) -> float:
    """TF-IDF from its definition: smoothed document frequencies, repeated words counted repeatedly; of long queries."""
    if len(query.replace("-", "").split()) < LEAST_WORDS:
        return 0.0

    def vector(text: str) -> dict[str, float]:
        words = [word.strip(",?-") for word in text.lower().split()]
        df = {word: sum(word in name.lower().split() for name in names) for word in words if word}
        return {w: words.count(w) * (math.log((1 + len(names)) / (1 + df[w])) + 1) for w in df if df[w]}

    q, n = vector(query), vector(name)
    product = sum(q[word] * n.get(word, 0) for word in q)
    return product / math.sqrt(sum(x * x for x in q.values()) * sum(x * x for x in n.values())) if product else 0.0


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("names", [[[]] * len(TEXTS), NAMES])
def test_a_score_is_the_sum_of_the_models_and_of_words_in_common(model, by_words, names):
    space = model.encode_targets(TEXTS, names=names, dtype="float32", progress=False)
    every = list(space.names)
    for query, hits in zip(QUERIES, by_words.rank(QUERIES, space), strict=True):
        expected = {}
        for text, more in zip(TEXTS, names, strict=True):
            lexical = np.array([WEIGHT * cosine(query, name, every) for name in (text, *more)])
            fused = model.scores([query], [text, *more])[0] + lexical
            best = fused.argmax()
            expected[text] = [0.3 * part[0] + 0.7 * part[best] for part in (fused, lexical)]
        by_score = sorted(expected, key=lambda text: -expected[text][0])
        assert [hit.text for hit in hits if not hit.exact] == [text for text in by_score if text != query]
        for hit in hits:
            np.testing.assert_allclose([hit.score, hit.words], expected[hit.text], atol=1e-5)
            why = by_words.explain(query, hit.matched, space=space)
            assert sum(why.words.values()) == pytest.approx(WEIGHT * cosine(query, hit.matched, every), abs=1e-6)
            assert why.score == pytest.approx(why.contributions.sum() + sum(why.words.values()), abs=1e-6)
            if not any(names):
                assert why.score == pytest.approx(hit.score, abs=1e-5)
    assert by_words.rank("zebra zebra zebra zebra zebra zebra patients", space, top_k=1)[0].words > 0
    assert by_words.rank("zebra zebra zebra zebra zebra patients", space) == model.rank(
        "zebra zebra zebra zebra zebra patients", space
    )
    assert not any(hit.words for hits in model.rank(QUERIES, space) for hit in hits)


def test_filters_and_top_k_are_those_of_the_whole_ranking(model, by_words):
    families = ["care", "it", "it", "care"]
    space = model.encode_targets(TEXTS, columns={"family": families}, dtype="float32", progress=False)
    whole = by_words.rank(QUERIES, space)
    assert by_words.rank(QUERIES, space, top_k=2) == [hits[:2] for hits in whole]
    for hits, every in zip(by_words.rank(QUERIES, space, where={"family": "it"}), whole, strict=True):
        assert hits == [hit for hit in every if hit.columns["family"] == "it"]


def test_names_without_a_word_have_no_words_in_common():
    found = Words(["-", "!"])
    long = "a b c d e f g"
    assert found.scores([long, "-"]).tolist() == [[0, 0], [0, 0]]
    assert found.parts(long, "-") == {}


@pytest.mark.parametrize("weight", [-0.1, 1.5, float("nan")])
def test_weights_beyond_0_and_1_are_refused(model, weight):
    for options in (
        lambda: RankSettings(words=weight),
        lambda: EvaluationOptions(words=weight),
        lambda: ServiceOptions(words=weight),
        lambda: rank(["--targets", "nowhere.txt", "--words", str(weight), "nurse"]),
    ):
        with pytest.raises(UserError, match=rf"words is {weight}; it must be between 0 and 1"):
            options()


def test_an_index_in_qdrant_is_refused(by_words, tmp_path):
    pytest.importorskip("qdrant_client")
    space = by_words.encode_targets(TEXTS[:2], progress=False)
    refused = r"words is 0.25, but Qdrant does not hold the words of all targets"
    with QdrantIndex.create(tmp_path, "texts", space) as store:
        for call in (
            lambda: by_words.rank("nurse", store),
            lambda: store.search(by_words.encode_tokens(["nurse"]), 1, by_words.scorer, how=by_words.how),
        ):
            with pytest.raises(UserError, match=refused):
                call()


def test_commands_tables_and_files(encoder, by_words, tmp_path, capsys):
    targets = write_rows(tmp_path / "t.csv", [{"id": f"s{k}", "text": text} for k, text in enumerate(TEXTS)])
    index(["--model", encoder, "--targets", str(targets), "--out", str(tmp_path / "index")])
    capsys.readouterr()
    call = ["we write software in zebra and zebra", "--index", str(tmp_path / "index"), "--words", str(WEIGHT)]
    rank([*call, "--explain"])
    told = capsys.readouterr().out
    assert "of words" in told
    assert "words in common" in told
    rank([*call, "--json", "--explain"])
    (answer,) = map(json.loads, capsys.readouterr().out.splitlines())
    (hit, *_), why = answer["hits"]["index"], answer["explanations"]["index"]
    assert hit["words"] > 0
    assert sum(why["words"].values()) == pytest.approx(hit["words"], abs=1e-5)
    assert why["score"] == pytest.approx(hit["score"], abs=1e-3)  # the index has float16
    rank([*call, "--out", str(tmp_path / "a.csv")])
    with (tmp_path / "a.csv").open() as file:
        assert float(next(csv.DictReader(file))["words"]) == hit["words"]


def test_the_service_explains_what_it_ranked(by_words):
    spaces = [
        by_words.encode_targets(texts, dtype="float32", progress=False) for texts in (TEXTS, ["write code", "write"])
    ]
    query = "we write software in zebra and zebra"
    served = ServedModel(by_words, {"many": spaces[0], "few": spaces[1]})
    scores = []
    for name in served.indexes:
        ((((hit, *_),), _),) = served.answer([RankTask((query,), name, 4)])
        ((why, _),) = served.answer([PairTask((query,), (hit.text,), explain=True, index=name)])
        assert why["score"] == pytest.approx(hit.score, abs=1e-5)
        scores.append(hit.words)
    assert scores[0] != pytest.approx(scores[1], abs=0.01)  # how rare a word is depends on the index


def test_evaluations_rank_by_words(encoder, model, tmp_path):
    ranker = load_ranker(encoder, cache_dir=tmp_path, how=RankSettings(words=WEIGHT))
    expected = model.index(TEXTS)(QUERIES) + WEIGHT * Words(TEXTS).scores(QUERIES)
    np.testing.assert_allclose(ranker.index(TEXTS)(QUERIES), expected, atol=1e-6)


MARKED = [("* \u2022 write code", "write code"), ("Software engineer (m/f/d)", "Software engineer")]
MARKED += [("You write code\u2026", "You write code"), ("Nurse (f).", "Nurse (f)")]
UNMARKED = ["1. write code", "-", "(m/w/d)", "\u2022 -", "C - (code)", "engineer (remote)", "(f) x", "-write", "..."]


@pytest.mark.parametrize(("given", "scored"), [*MARKED, *((query, query) for query in UNMARKED)])
def test_bullets_gender_markers_and_full_stops_are_not_scored(given, scored):
    assert without_marks(given) == scored == without_marks(scored)


def test_queries_are_shown_as_given_and_scored_without_marks(model):
    space = model.encode_targets(TEXTS, dtype="float32", progress=False)
    raw = Ranker(model.loaded, RankSettings(clean_queries=False))
    for given, scored in MARKED:
        hits = model.rank(given, space)
        assert hits.query == given
        assert hits == model.rank(scored, space) != raw.rank(given, space)
        assert model.explain(given, TEXTS[0]).score == pytest.approx(hits_of(hits, TEXTS[0]), abs=1e-5)
        np.testing.assert_allclose(model.scores(given, TEXTS), model.scores([scored], TEXTS))
        np.testing.assert_allclose(model.index(TEXTS)([given]), model.scores([scored], TEXTS), atol=1e-6)
        assert raw.explain(given, TEXTS[0]).score == pytest.approx(hits_of(raw.rank(given, space), TEXTS[0]), abs=1e-5)
    assert model.rank("\u2022 write code", space)[0].exact


def hits_of(hits, text: str) -> float:
    return next(hit.score for hit in hits if hit.text == text)


def test_evaluations_score_raw_queries_unless_told(encoder, tmp_path):
    raw, clean = (load_ranker(encoder, cache_dir=tmp_path, **how).index(TEXTS) for how in ({}, {"how": RankSettings()}))
    assert not np.allclose(raw(["* write code"]), clean(["* write code"]))
    np.testing.assert_allclose(raw(["write code"]), clean(["* write code"]), atol=1e-6)
