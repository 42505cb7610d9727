"""Ranking in two stages: candidates are the targets with the best means, and their names have the exact scores."""

import numpy as np
import pytest
import reference
from tiny_encoder import write_tiny_encoder

from uwe_jax.config import ScorerSettings
from uwe_jax.data.ragged import run_offsets
from uwe_jax.ranking import candidates as stages
from uwe_jax.ranking.candidates import CandidateSpace
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.options import RankOptions
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.retrieval.store.names import Name
from uwe_jax.retrieval.store.searchable import Origin
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.names import NamePlaces, NameWeights, name_scores

WIDTH = 8
SETTINGS = (
    {"kind": "soft", "tau_a": 0.1, "side": "both", "target_tau_a": 0.1},
    {"kind": "soft", "tau_a": 0.3, "side": "query"},
    {"kind": "soft", "tau_a": 0.3, "side": "both", "target_tau_a": 0.01, "target_weight": 0.3, "reduce": "sum"},
    {"kind": "soft", "tau_a": 0.3, "side": "target", "target_tau_a": 0.2, "logits": "dot"},
    {"kind": "max_sim", "side": "both"},
)


def ragged(rng, lengths) -> RaggedTokens:
    return RaggedTokens(rng.normal(size=(sum(lengths), WIDTH)).astype(np.float32), run_offsets(np.array(lengths)))


def listed(tokens: RaggedTokens) -> list[np.ndarray]:
    return [tokens.part(k, k + 1).flat.astype(np.float64) for k in range(len(tokens))]


@pytest.fixture
def names(rng) -> tuple[RaggedTokens, np.ndarray]:
    """Forty targets of one to four names, one of them without tokens and one long."""
    counts = np.tile([1, 3, 4, 2], 10)
    lengths = rng.integers(1, 9, counts.sum())
    lengths[[7, 30]] = 0, 40
    return ragged(rng, lengths.tolist()), run_offsets(counts)[:-1]


@pytest.fixture
def queries(rng) -> RaggedTokens:
    return ragged(rng, [3, 1, 0, 12, 33])


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("options", SETTINGS)
def test_names_of_the_best_means_are_scored_as_defined(names, queries, options, monkeypatch):
    for name, value in {"_QUERIES": 2, "_ROWS": 16, "_FEW_ROWS": 12}.items():
        monkeypatch.setattr(stages, name, value)
    tokens, starts = names
    settings = ScorerSettings(**options)
    whole = reference.score_matrix(listed(queries), listed(tokens), **options)
    means = [name.mean(0, keepdims=True) if len(name) else name for name in listed(tokens)]
    pooled = reference.score_matrix(listed(queries), means, **options)
    target = np.repeat(np.arange(40), np.diff(starts, append=len(tokens)))
    allowed = np.arange(40) % 3 > 0
    places = NamePlaces(starts, np.isin(np.arange(len(tokens)), starts[2::4] + 3))  # a fourth have a description
    weights = NameWeights(0.4, 0.3)
    chunks = CandidateSpace(tokens, places, settings).score_chunks(
        queries, settings.temperatures, 6, weights, allowed, [[], [1], [2, 4], [], []]
    )
    first = np.where(allowed, name_scores(pooled, places, weights), -np.inf)
    seen = []
    for rows, scores in chunks:
        seen += range(rows.start, rows.stop)
        for query, row in zip(range(rows.start, rows.stop), scores, strict=True):
            if query != 2:  # all targets are alike to a query without tokens
                chosen = {*np.argsort(-first[query])[:6].tolist(), *{1: [1]}.get(query, [])}
                np.testing.assert_array_equal(np.isfinite(row), np.isin(target, list(chosen)))
            scored = np.isfinite(row)
            np.testing.assert_allclose(row[scored], whole[query, scored], atol=2e-5)
    assert seen == [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Ranker:
    return load(f"{write_tiny_encoder(tmp_path_factory.mktemp('candidates') / 'tiny', layers=1)}:soft,side=both")


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("further", [True, False])
def test_hits_are_the_best_candidates(names, queries, further):
    tokens, starts = names
    more = [[Name(f"name {k} {n}") for n in range(count - 1)] for k, count in enumerate([1, 3, 4, 2] * 10)]
    if not further:
        tokens, more = tokens.take(starts), []
    scorer, texts = ScorerSettings(side="both", tau_a=0.1), [f"target {k}" for k in range(40)]
    columns = {"odd": [str(k % 2) for k in range(40)]}
    origin = Origin("random", "0", 64, scorer)
    index = Index.from_tokens(tokens, texts, None, origin, "float32", columns=columns, names=more)
    asked = ["a", "b", "c", "target 38", "target 39"]
    for where in (None, {"odd": "1"}):
        everything = index.search(queries, 40, scorer, where, texts=asked)
        for number, top_k in ((9, 9), (9, 4), (3, 9)):
            rows = index.search(queries, top_k, scorer, where, texts=asked, how=RankSettings(candidates=number))
            for hits, exact in zip(rows, everything, strict=True):
                order = [exact.index(next(each for each in exact if each.id == hit.id)) for hit in hits]
                assert len(hits) == top_k
                assert order == sorted(order)
                assert [(hit.name, hit.exact, hit.columns) for hit in hits] == [
                    (exact[k].name, exact[k].exact, exact[k].columns) for k in order
                ]
                np.testing.assert_allclose([hit.score for hit in hits], [exact[k].score for k in order], atol=1e-5)
            assert rows[4][0].id == "target 39"  # an exact name is a candidate always
        assert rows[3][0].exact == (where is None)
    for number in (40, 500):
        all_exact = index.search(queries, 8, scorer, texts=asked)
        assert index.search(queries, 8, scorer, texts=asked, how=RankSettings(candidates=number)) == all_exact


def test_scorers_that_pool_targets_score_all_exactly(names, queries):
    tokens, starts = names
    for kind in ("mean_pool", "soft_pooled"):
        scorer = ScorerSettings(kind=kind)
        texts = [str(k) for k in range(40)]
        index = Index.from_tokens(tokens.take(starts), texts, None, Origin("random", "0", 64, scorer), "float32")
        assert index.search(queries, 5, scorer, how=RankSettings(candidates=5)) == index.search(queries, 5, scorer)


def test_a_ranker_passes_candidates_on(model):
    texts = ["care for patients", "software engineer", "nurse", "write code", "nurse patients"]
    few = Ranker(model.loaded, RankSettings(candidates=3))
    index = model.encode_targets(texts, names=[["patients care"], [], ["carer"], ["code"], []], progress=False)
    for query in ("nurse", "write software", "patients"):
        found, exact = few.rank(query, index, 2), {hit.id: hit for hit in model.rank(query, index)}
        assert len(found) == 2
        for hit in found:
            assert (hit.name, hit.exact) == (exact[hit.id].name, exact[hit.id].exact)
            assert hit.score == pytest.approx(exact[hit.id].score, abs=1e-5)
    with pytest.raises(UserError, match=r"candidates is 0; it must be at least 1"):
        Ranker(model.loaded, RankSettings(candidates=0))
    with pytest.raises(UserError, match=r"candidates is 0; it must be at least 1"):
        RankOptions(candidates=0)
