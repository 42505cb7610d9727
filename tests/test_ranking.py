"""Ranking against a ragged target space equals the definition, whatever the chunks, shapes and devices."""

import functools
import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from uwe_jax.config import SIDES, ScorerSettings
from uwe_jax.distributed import parallel
from uwe_jax.ranking import blocks as layout
from uwe_jax.ranking import target_space as spaces
from uwe_jax.ranking.blocks import bucket, padded_lengths
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.ragged import ragged_scores
from uwe_jax.scoring.scorers import block_scores
from uwe_jax.scoring.tokens import Tokens

KINDS = ("soft", "max_sim", "mean_pool", "soft_pooled")
WIDTH = 8
QUERY_LENGTHS = (3, 1, 5, 0, 2, 9, 4, 30, 2, 2, 2)
TARGET_LENGTHS = (2, 7, 1, 2, 0, 40, 7, 3, 1, 2, 21, 19, 2)


def ragged(rng, lengths, dtype=np.float32):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return RaggedTokens((3 * rng.normal(size=(offsets[-1], WIDTH))).astype(dtype), offsets)


def listed(tokens):
    return [np.asarray(tokens.flat[a:b], np.float64) for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False)]


@pytest.fixture
def queries(rng):
    return ragged(rng, QUERY_LENGTHS)


@pytest.fixture
def targets(rng):
    return ragged(rng, TARGET_LENGTHS)


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks, spans and chunks of queries even for a handful of texts."""
    monkeypatch.setattr(spaces, "_QUERY_TOKENS", 20)
    for name, value in {"_BLOCK_TOKENS": {"cpu": 4}, "_SPAN_BLOCKS": 3, "_SMALL_BLOCK_TOKENS": 4}.items():
        monkeypatch.setattr(layout, name, value)


@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("logits", ["cosine", "dot"])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_the_reference(queries, targets, kind, logits, reduce):
    if reduce == "sum" and kind in ("mean_pool", "soft_pooled"):
        pytest.skip("reduce has no part in this scorer")
    options = {"kind": kind, "logits": logits, "tau_a": 0.4, "reduce": reduce}
    scores = TargetSpace.build(targets, ScorerSettings(**options)).scores(queries, 0.4)
    expected = reference.score_matrix(listed(queries), listed(targets), **options)
    np.testing.assert_allclose(scores, expected, atol=1e-5 * (30 if reduce == "sum" else 1))


@pytest.mark.thorough_after(3)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("logits", ["cosine", "dot"])
@pytest.mark.parametrize("kind", ["soft", "max_sim"])
def test_scores_of_every_side_equal_the_reference(queries, targets, kind, logits, side):
    """One query and many, of whole and other ratios of the temperatures, one too small for a bound."""
    for taus in ((0.3, 0.1), (0.4, 0.23), (0.3, 0.01)):
        taus = dict(zip(("tau_a", "target_tau_a"), taus, strict=True))
        settings = ScorerSettings(kind=kind, logits=logits, side=side, target_weight=0.3, **taus)
        options = {"kind": kind, "logits": logits, "side": side, "target_weight": 0.3, **taus}
        expected = reference.score_matrix(listed(queries), listed(targets), **options)
        space = TargetSpace.build(targets, settings)
        np.testing.assert_allclose(space.scores(queries, settings.temperatures), expected, atol=2e-5)
        one = space.scores(queries.part(0, 1), settings.temperatures)
        np.testing.assert_allclose(one, expected[:1], atol=2e-5)
    few = TargetSpace.build(targets, settings, few_shapes=True)
    np.testing.assert_allclose(few.scores(queries, settings.temperatures), expected, atol=2e-5)


def test_even_chunks_are_as_few_and_the_largest_is_least():
    lengths = np.array([40, 40, 40, 6, 30, 10, 7])
    tokens = RaggedTokens(np.zeros((lengths.sum(), 2), np.float32), np.concatenate([[0], np.cumsum(lengths)]))
    assert list(tokens.chunks(128)) == [(0, 4), (4, 7)]  # 126 and 47 tokens
    assert tokens.even_chunks(128) == [(0, 2), (2, 7)]  # 80 and 93
    assert tokens.even_chunks(173) == [(0, 7)]
    assert tokens.even_chunks(128, texts=3) == [(0, 2), (2, 5), (5, 7)]  # three, as (0, 3), (3, 6), (6, 7) are
    assert tokens.even_chunks(20) == [(k, k + 1) for k in range(4)] + [(4, 5), (5, 7)]
    assert tokens.part(0, 0).even_chunks(20) == []


def test_calls_of_many_chunks_take_one_shape_whatever_their_tokens(rng, targets, monkeypatch):
    shapes = set()

    def recorded(*args):
        packed = packed_queries(*args)
        shapes.add(tuple(part.shape for part in packed))
        return packed

    packed_queries = spaces.packed_queries
    monkeypatch.setattr(spaces, "packed_queries", recorded)
    space = TargetSpace.build(targets, ScorerSettings())
    for longest in (5, 6, 7, 8):
        space.scores(ragged(rng, rng.integers(3, longest + 1, 120)), space.settings.temperatures)
    assert len(shapes) == 1


def test_chunks_blocks_and_spans_change_nothing(queries, targets, small_blocks):
    space = TargetSpace.build(targets, ScorerSettings())
    assert len(space.spans) > 1
    assert len(list(queries.chunks(20))) > 2
    expected = reference.score_matrix(listed(queries), listed(targets))
    np.testing.assert_allclose(space.scores(queries, 0.3), expected, atol=1e-5)


def test_top_k_is_the_head_of_the_sorted_scores(queries, targets, small_blocks):
    space = TargetSpace.build(targets, ScorerSettings())
    scores = space.scores(queries, 0.3)
    order = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 5, len(targets)):
        ranking = space.top_k(queries, k, 0.3)
        np.testing.assert_array_equal(ranking.positions, order[:, :k])
        np.testing.assert_array_equal(ranking.scores, np.take_along_axis(scores, order[:, :k], axis=1))


def test_equal_scores_are_ranked_by_position(rng):
    one = rng.normal(size=(2, WIDTH)).astype(np.float32)
    twins = RaggedTokens(np.tile(one, (9, 1)), np.arange(0, 20, 2, dtype=np.int64))
    ranking = TargetSpace.build(twins, ScorerSettings()).top_k(twins.part(0, 1), 9, 0.3)
    assert ranking.positions.tolist() == [list(range(9))]


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("kind", ["soft", "max_sim"])
def test_equal_scores_at_the_cut_are_taken_by_position_whatever_their_lengths(kind, small_blocks):
    """A target of one token, and the same token several times, have one score and stand in different blocks."""
    lengths = (3, 1, 5, 1, 2, 7, 1, 20, 1, 3, 2)
    one = 2 * np.eye(1, WIDTH, dtype=np.float32)  # its cosines are exact
    alike = RaggedTokens(np.tile(one, (sum(lengths), 1)), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    queries = RaggedTokens(np.concatenate([one, -one]), np.array([0, 1, 2, 2]))  # the last has no tokens, and scores 0
    space = TargetSpace.build(alike, ScorerSettings(kind=kind))
    for row in space.scores(queries, 0.3):
        assert len(set(row.tolist())) == 1
    for k in (1, 3, 4, 9, len(lengths)):
        assert space.top_k(queries, k, 0.3).positions.tolist() == [list(range(k))] * 3


@pytest.mark.thorough_after(2)
@pytest.mark.parametrize("kind", KINDS)
def test_few_shapes_change_no_score(queries, targets, kind):
    settings = ScorerSettings(kind=kind)
    expected = TargetSpace.build(targets, settings).scores(queries, 0.3)
    space = TargetSpace.build(targets, settings, few_shapes=True)
    np.testing.assert_allclose(space.scores(queries, 0.3), expected, atol=2e-6)
    np.testing.assert_array_equal(
        space.top_k(queries, 4, 0.3).positions, np.argsort(-expected, axis=1, kind="stable")[:, :4]
    )


@pytest.mark.thorough
def test_programs_beyond_those_used_last_are_freed(monkeypatch):
    """jax.pmap would keep all of them."""
    monkeypatch.setattr(parallel, "_program", functools.lru_cache(4)(parallel._program.__wrapped__))
    client = jax.local_devices()[0].client
    devices = jax.local_device_count()

    def doubled(factor):
        return parallel.on_own_devices(lambda x, y: factor * x + y, (False, True))

    double = parallel.program(doubled, 2.0)
    before = len(client.live_executables())
    for size in range(50):
        x = np.full((devices, size + 100), size, np.float32)
        np.testing.assert_array_equal(double(x, x[0]), 3 * x)
    gc.collect()
    assert len(client.live_executables()) <= before + 4
    with jax.log_compiles():
        double(x, x[0])  # one of the last four
    assert parallel._program.cache_info().hits == 1


@pytest.mark.parametrize("broken", [np.nan, np.inf, -1e11])
def test_the_first_unscorable_text_is_named(queries, targets, broken):
    space = TargetSpace.build(targets, ScorerSettings())
    queries.flat[4, 2] = broken
    assert queries.scorable.tolist() == [k != 2 for k in range(len(queries))]
    with pytest.raises(UserError, match="Query 3 cannot be scored"):
        space.scores(queries, 0.3)
    targets.flat[2, 2] = broken
    with pytest.raises(UserError, match="Target 2 cannot be scored"):
        TargetSpace.build(targets, ScorerSettings())


def test_one_query_and_many_equal_each_other(queries, targets):
    space = TargetSpace.build(targets, ScorerSettings())
    together = space.scores(queries, 0.3)
    for k in range(len(queries)):
        np.testing.assert_allclose(space.scores(queries.part(k, k + 1), 0.3), together[k : k + 1], atol=2e-6)


def test_scores_do_not_depend_on_other_texts(rng, queries, targets):
    """A long target among short ones, and a long query: texts of other lengths add padding, never a value."""
    alone = TargetSpace.build(targets.part(0, 4), ScorerSettings()).scores(queries, 0.3)
    np.testing.assert_allclose(
        TargetSpace.build(targets, ScorerSettings()).scores(queries, 0.3)[:, :4], alone, atol=2e-6
    )


def test_scores_are_right_in_the_limits_of_tau_a(queries, targets):
    space = TargetSpace.build(targets, ScorerSettings())
    max_sim = TargetSpace.build(targets, ScorerSettings(kind="max_sim")).scores(queries, 1.0)
    np.testing.assert_allclose(space.scores(queries, 1e-4), max_sim, atol=1e-4)
    units = [[x / np.linalg.norm(x, axis=1, keepdims=True) for x in listed(side)] for side in (queries, targets)]
    average = [[float((q @ y.T).mean()) if q.size and y.size else 0.0 for y in units[1]] for q in units[0]]
    np.testing.assert_allclose(space.scores(queries, 1e4), average, atol=1e-4)


@pytest.mark.thorough_after(2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tau_a", [1e-4, 0.05, 0.06, 0.3])
def test_equals_the_scorer_of_training(queries, targets, tau_a, kind):
    """Targets of one token, and the opposite of each, included: all their attention is on a token that is far."""

    def block(tokens):
        rows, mask = tokens.padded(np.arange(len(tokens)), int(tokens.lengths.max()))
        return Tokens(jnp.asarray(rows.swapaxes(0, 1)), jnp.asarray(mask.T))

    both = RaggedTokens(
        np.concatenate([targets.flat, queries.flat, -queries.flat]),
        np.concatenate([targets.offsets, targets.offsets[-1] + 1 + np.arange(2 * len(queries.flat))]),
    )
    settings = ScorerSettings(kind=kind, tau_a=tau_a)
    trained = block_scores(block(queries), block(both), tau_a, settings).forward
    np.testing.assert_allclose(TargetSpace.build(both, settings).scores(queries, tau_a), trained, atol=1e-5)


def test_bfloat16_stays_near(queries, targets):
    exact = TargetSpace.build(targets, ScorerSettings()).scores(queries, 0.3)
    rounded = TargetSpace.build(targets, ScorerSettings(), dtype="bfloat16").scores(queries, 0.3)
    assert 0 < np.abs(exact - rounded).max() < 5e-3


@pytest.mark.parametrize("kind", ["mean_pool", "soft_pooled"])
def test_means_of_bfloat16_tokens_are_float32(rng, kind):
    """The tokens are what a bfloat16 encoder gives, the means of them are exact to float32."""
    queries, targets = (ragged(rng, lengths, jnp.bfloat16) for lengths in (QUERY_LENGTHS, TARGET_LENGTHS))
    means = np.array([each.mean(0) if len(each) else np.zeros(WIDTH) for each in listed(targets)])
    assert targets.pooled().flat.dtype == np.float32
    np.testing.assert_allclose(targets.pooled().flat, means, atol=1e-6)
    scores = TargetSpace.build(targets, ScorerSettings(kind=kind)).scores(queries, 0.3)
    expected = reference.score_matrix(listed(queries), listed(targets), kind=kind)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_split_over_devices_equals_one_device(queries, targets, monkeypatch):
    everywhere = TargetSpace.build(targets, ScorerSettings()).top_k(queries, 4, 0.3)
    one = jax.local_devices()[:1]
    parallel._program.cache_clear()
    monkeypatch.setattr(jax, "local_devices", lambda: one)
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    space = TargetSpace.build(targets, ScorerSettings())
    assert space.spans[0].positions.shape[0] == 1
    alone = space.top_k(queries, 4, 0.3)
    parallel._program.cache_clear()
    np.testing.assert_array_equal(everywhere.positions, alone.positions)
    np.testing.assert_allclose(everywhere.scores, alone.scores, atol=2e-6)


def test_compiles_once_for_numbers_of_queries_in_one_bucket(rng, targets, monkeypatch):
    traced = []

    def counting(queries, *rest):
        traced.append(queries.owner.shape)
        return ragged_scores(queries, *rest)

    monkeypatch.setattr(spaces, "ragged_scores", counting)
    settings = ScorerSettings(tau_a=0.31)  # no other test has compiled for it
    space = TargetSpace.build(targets, settings)
    for number in (9, 10, 9, 10):
        space.top_k(ragged(rng, [4] * number), 3, 0.31)
    assert len(traced) == sum(len(span.blocks) for span in space.spans)
    space.top_k(ragged(rng, [4] * 11), 3, 0.31)
    assert set(traced) == {(40,), (48,)}


@pytest.mark.parametrize("side", ["query", "both"])
def test_compiles_once_for_all_chunks_of_a_call(rng, targets, monkeypatch, side):
    traced = []

    def counting(queries, *rest):
        traced.append((queries.owner.shape, queries.counts.shape))
        return ragged_scores(queries, *rest)

    monkeypatch.setattr(spaces, "ragged_scores", counting)
    monkeypatch.setattr(spaces, "_QUERY_TOKENS", 1024 if side == "both" else 127)
    settings = ScorerSettings(tau_a=0.32, side=side)
    space = TargetSpace.build(targets, settings)
    queries = ragged(rng, [*rng.integers(3, 40, 30), *[3] * 90])
    scores = space.scores(queries, 0.32)
    assert len(traced) == sum(len(span.blocks) for span in space.spans)
    expected = np.concatenate([space.scores(queries.part(k, k + 1), 0.32) for k in (0, 29, 119)])
    np.testing.assert_allclose(scores[[0, 29, 119]], expected, atol=2e-6)
    # A share of the chunks has the shape that all have.
    shared = dict(
        part
        for k in (0, 1)
        for part in ((rows.start, each) for rows, each in space.score_chunks(queries, 0.32, (k, 2)))
    )
    np.testing.assert_array_equal(np.concatenate([shared[start] for start in sorted(shared)]), scores)


def test_buckets_are_few_and_waste_little():
    sizes = np.arange(8, 3000)
    filled = np.array([bucket(int(size)) for size in sizes])
    assert (filled >= sizes).all()
    assert ((filled - sizes) / sizes).max() < 0.34
    assert ((filled - sizes) / sizes)[100:].max() <= 0.25
    assert len(np.unique(filled)) < 40


def test_lengths_with_few_tokens_are_padded_to_the_next_length():
    lengths = np.repeat([3, 4, 5, 17, 40], [1000, 3, 1000, 200, 1])
    stored = padded_lengths(lengths)
    assert dict(zip(lengths.tolist(), stored.tolist(), strict=True)) == {3: 3, 4: 5, 5: 5, 17: 20, 40: 40}


@pytest.mark.parametrize("k", [0, 14])
def test_a_k_outside_the_space_is_refused(queries, targets, k):
    with pytest.raises(UserError, match=f"top_k is {k}; it must be between 1 and the 13 targets"):
        TargetSpace.build(targets, ScorerSettings()).top_k(queries, k, 0.3)


def test_embeddings_of_another_width_are_refused(rng, targets):
    other = RaggedTokens(rng.normal(size=(3, 4)).astype(np.float32), np.array([0, 3]))
    with pytest.raises(UserError, match="width 4 and the space's 8"):
        TargetSpace.build(targets, ScorerSettings()).top_k(other, 1, 0.3)


def test_an_empty_space_is_refused():
    with pytest.raises(UserError, match="no texts"):
        TargetSpace.build(RaggedTokens(np.zeros((0, WIDTH), np.float32), np.zeros(1, np.int64)), ScorerSettings())


def test_rankings_of_no_queries_are_empty(targets):
    none = RaggedTokens(np.zeros((0, WIDTH), np.float32), np.zeros(1, np.int64))
    assert TargetSpace.build(targets, ScorerSettings()).top_k(none, 3, 0.3).positions.shape == (0, 3)
