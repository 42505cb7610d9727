"""Rankers: the same scores as the definition, whatever the chunks and the cache."""

import functools
import math
import re
from collections import Counter

import jax
import numpy as np
import pytest
from tiny_encoder import write_tiny_encoder

from uwe_jax.config import (
    EncoderSettings,
    ScorerSettings,
)
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.evaluation.lexical import Bm25, Random, TfIdf, words
from uwe_jax.evaluation.ranker import Ranker
from uwe_jax.evaluation.specs import load_ranker
from uwe_jax.models.loading import load_encoder, load_model
from uwe_jax.models.uwe import UweModel
from uwe_jax.retrieval import embedding
from uwe_jax.retrieval.ranker import Ranker as EncoderRanker
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.scorer_text import parse_scorer
from uwe_jax.scoring.scorers import block_scores
from uwe_jax.scoring.tokens import Tokens

TARGETS = (
    "care for patients",
    "write code",
    "software engineer",
    "nurse",
    "code for nurse patients care software write",
    "engineer care",
)
QUERIES = ("nurse patients", "", "  ", "write write software code", "zebra", "engineer")
SCORERS = ("mean_pool", "soft", "soft_pooled", "max_sim", "soft,logits=dot,tau_a=0.7,side=query")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny", layers=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


# Programs of their own, so that what they compile serves many tests.
@functools.partial(jax.jit, static_argnums=0)
def encode(model, params, token_ids, mask):
    return model.encode(params, token_ids, mask)


@functools.partial(jax.jit, static_argnums=0)
def score(settings, tau_a, queries, targets):
    return block_scores(queries, targets, tau_a, settings).forward


def direct_scores(model, params, tokeniser, queries, targets, max_tokens=16):
    """All texts as one padded block through the encoder, and all pairs through the scorer of training."""
    table = tokeniser.tokenise([*queries, *targets])
    rows = table.rows(np.arange(len(table)), max_tokens)
    tokens = encode(UweModel(model.encoder, ScorerSettings()), params, *rows)
    sides = (Tokens(*(x[part] for x in tokens)) for part in (slice(len(queries)), slice(len(queries), None)))
    return score(model.scorer, model.temperatures(params), *sides)


def parts(encoder, cache, scorer="mean_pool"):
    pretrained = load_encoder(str(encoder))
    model = UweModel.create(pretrained.config, EncoderSettings(), parse_scorer(scorer))
    return model, model.initial_params(pretrained.params), Tokeniser(encoder, cache / "tokens")


@pytest.mark.thorough_after(2)
@pytest.mark.parametrize("scorer", SCORERS)
def test_an_encoder_ranks_by_the_scorer_of_training(encoder, cache, scorer):
    ranker = load_ranker(f"{encoder}:{scorer}", cache_dir=cache)
    scores = ranker.index(TARGETS)(QUERIES)
    expected = direct_scores(*parts(encoder, cache, scorer), QUERIES, TARGETS)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert ranker.name == f"tiny {scorer}"
    assert "local folder" in ranker.description
    assert scorer in ranker.description
    assert ranker.encode_seconds > 0


def test_texts_are_truncated_to_max_tokens(encoder, cache):
    ranker = load_ranker(str(encoder), cache_dir=cache, max_tokens=4)
    expected = direct_scores(*parts(encoder, cache), QUERIES, TARGETS, max_tokens=4)
    np.testing.assert_allclose(ranker.index(TARGETS)(QUERIES), expected, atol=1e-5)


@pytest.mark.parametrize("spec", ["random", "bm25", "tfidf", "tfidf_char", "encoder"])
def test_scores_do_not_depend_on_chunks_or_earlier_targets(spec, encoder, cache):
    ranker = load_ranker(str(encoder) if spec == "encoder" else spec, cache_dir=cache)
    assert isinstance(ranker, Ranker)
    score = ranker.index(TARGETS)
    together = score(QUERIES)
    assert together.shape == (len(QUERIES), len(TARGETS))
    assert np.isfinite(together).all()
    for start in range(0, len(QUERIES), 4):
        np.testing.assert_allclose(score(QUERIES[start : start + 4]), together[start : start + 4], atol=1e-6)
    ranker.index(TARGETS[::2])  # the first space is still ranked after another was indexed
    np.testing.assert_array_equal(score(QUERIES), together)


@pytest.fixture
def counted(encoder, cache):
    """A model, and a list that grows by what is tokenised, and so encoded."""
    loaded = load_model(encoder, cache_dir=cache, max_tokens=64)
    seen, plain = [], loaded.tokeniser.tokenise

    def tokenise(texts):
        seen.extend(texts)
        return plain(texts)

    loaded.tokeniser.tokenise = tokenise
    return loaded, seen


def test_a_text_is_encoded_once_over_target_spaces_and_queries(encoder, cache, counted):
    loaded, seen = counted
    ranker = EncoderRanker(loaded)
    ranker.index(TARGETS[:4])
    assert seen == list(TARGETS[:4])
    changed = (*TARGETS[1:], TARGETS[2], "a new label")
    score = ranker.index(changed)
    assert seen[4:] == [*TARGETS[4:], "a new label"]
    queries = [TARGETS[0], *QUERIES]
    scores = score(queries)
    assert seen[7:] == list(QUERIES)
    score(QUERIES)
    assert seen[13:] == list(QUERIES)  # queries are many and seldom come again
    assert not list(cache.rglob("*.npz"))  # tables of token ids are for what comes again in the next run
    np.testing.assert_allclose(scores, direct_scores(*parts(encoder, cache), queries, changed), atol=1e-5)


def test_the_cache_stays_within_its_budget(encoder, cache, counted, monkeypatch):
    loaded, seen = counted
    ranker = EncoderRanker(loaded)
    monkeypatch.setattr(embedding, "_CACHED", 0)
    first, second = (ranker.index(TARGETS)(QUERIES) for _ in range(2))
    assert seen == [*TARGETS, *QUERIES] * 2
    np.testing.assert_allclose(first, direct_scores(*parts(encoder, cache), QUERIES, TARGETS), atol=1e-5)
    np.testing.assert_array_equal(first, second)
    monkeypatch.setattr(embedding, "_CACHED", 4 * ranker.encode_tokens("nurse").flat.nbytes // 3)
    for target in ("nurse", "code", "code", "nurse"):  # each has room for one of them
        ranker.index([target])
    assert seen[-4:] == ["nurse", "nurse", "code", "nurse"]


@pytest.mark.parametrize(("tokens", "answer"), [(2, "must be 3 to 160"), (161, "must be 3 to 160")])
def test_max_tokens_beyond_the_encoder_is_refused(encoder, cache, tokens, answer):
    with pytest.raises(UserError, match=f"max_tokens is {tokens}.*{answer}"):
        load_ranker(str(encoder), cache_dir=cache, max_tokens=tokens)


def test_no_targets_are_refused(encoder, cache):
    with pytest.raises(UserError, match="The target space has no texts"):
        load_ranker(str(encoder), cache_dir=cache).index(())


# ---- Without a model ------------------------------------------------------------------------------------------------


def bm25_by_hand(query, targets, k1=1.5, b=0.75):
    """BM25 in plain loops, as Robertson and Zaragoza write it, with Lucene's inverse document frequency."""
    documents = [Counter(words(target)) for target in targets]
    mean_length = np.mean([d.total() for d in documents])
    scores = []
    for document in documents:
        score = 0.0
        for word in words(query):
            containing = sum(word in d for d in documents)
            idf = math.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))
            length = 1 - b + b * document.total() / mean_length
            score += idf * document[word] / (document[word] + k1 * length)
        scores.append(score)
    return scores


def test_bm25_equals_its_formula():
    targets = [*TARGETS, "...", "Nurse nurse"]
    expected = [bm25_by_hand(query, targets) for query in QUERIES]
    np.testing.assert_allclose(Bm25().index(targets)(QUERIES), expected, rtol=1e-5)


def tfidf_by_hand(query, targets, terms):
    counts = [Counter(terms(target)) for target in targets]
    idf = {t: math.log((1 + len(counts)) / (1 + sum(t in c for c in counts))) + 1 for t in set().union(*counts)}

    def vector(count):
        weights = {t: n * idf[t] for t, n in count.items() if t in idf}
        norm = math.sqrt(sum(w * w for w in weights.values())) or 1.0
        return {t: w / norm for t, w in weights.items()}

    asked = vector(Counter(terms(query)))
    return [sum(w * vector(count).get(t, 0.0) for t, w in asked.items()) for count in counts]


def runs_of_characters(text):
    squeezed = re.sub(r"\s\s+", " ", text.lower())
    return [squeezed[k : k + n] for n in (1, 2, 3) for k in range(len(squeezed) - n + 1)]


@pytest.mark.parametrize(("ranker", "terms"), [(TfIdf(), words), (TfIdf(characters=True), runs_of_characters)])
def test_tfidf_equals_its_formula(ranker, terms):
    expected = [tfidf_by_hand(query, TARGETS, terms) for query in QUERIES]
    np.testing.assert_allclose(ranker.index(TARGETS)(QUERIES), expected, atol=1e-6)


@pytest.mark.parametrize("ranker", [Bm25(), TfIdf()])
def test_targets_without_a_word_are_refused(ranker):
    with pytest.raises(UserError, match=f"{ranker.name} finds nothing to compare in the 2 targets"):
        ranker.index(["+++", "..."])


def test_random_scores_depend_on_the_two_texts_alone():
    targets = [f"target {k}" for k in range(300)]
    scores = Random().index(targets)([*targets[:200], "other"])
    np.testing.assert_array_equal(Random().index(targets[::-1])(["other"])[0, ::-1], scores[-1])
    # Uniform, distinct, and without a tie between queries, between targets, or between equal texts.
    assert 0 <= scores.min() < 1e-3
    assert 1 - 1e-3 < scores.max() < 1
    assert abs(scores.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(scores) - np.eye(len(scores))).max() < 0.3
    assert abs(np.corrcoef(scores.T) - np.eye(len(targets))).max() < 0.4
    assert abs(np.diag(scores).mean() - 0.5) < 0.1
