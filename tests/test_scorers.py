"""The scorers against a float64 reference, and what must not change a score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from uwe_jax.config import SIDES, ScorerSettings
from uwe_jax.scoring.scorers import block_scores, pairwise_scores
from uwe_jax.scoring.tokens import Tokens

# One program each; operation by operation, dozens would be compiled.
scored = jax.jit(block_scores, static_argnums=(2, 3))
KINDS = ("soft", "max_sim", "mean_pool", "soft_pooled")
QUERY_LENGTHS, TARGET_LENGTHS = (1, 5, 3, 4), (2, 7, 1)


def texts(rng, lengths, width=8):
    return [rng.normal(size=(length, width)) for length in lengths]


def pad(arrays, length=None, noise=None):
    """Tokens with padding; where `noise` is given, the padding holds garbage."""
    length = length or max(1, *(len(a) for a in arrays))
    embeddings = np.zeros((len(arrays), length, 8))
    if noise is not None:
        embeddings = noise.normal(size=embeddings.shape) * 100
    mask = np.zeros((len(arrays), length), bool)
    for row, array in enumerate(arrays):
        embeddings[row, : len(array)] = array.reshape(-1, 8)
        mask[row, : len(array)] = True
    return Tokens(jnp.asarray(embeddings, jnp.float32), jnp.asarray(mask))


@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("logits", ["cosine", "dot"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_reference_in_both_directions(rng, kind, logits, reduce):
    queries, targets = texts(rng, QUERY_LENGTHS), texts(rng, TARGET_LENGTHS)
    options = {"kind": kind, "logits": logits, "tau_a": 0.4, "reduce": reduce}
    scores = scored(pad(queries), pad(targets), 0.4, ScorerSettings(**options))
    np.testing.assert_allclose(scores.forward, reference.score_matrix(queries, targets, **options), atol=1e-5)
    np.testing.assert_allclose(scores.backward, reference.score_matrix(targets, queries, **options).T, atol=1e-5)


@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("logits", ["cosine", "dot"])
@pytest.mark.parametrize("kind", ["soft", "max_sim"])
def test_every_side_equals_the_reference_in_both_directions(rng, kind, logits, reduce):
    queries, targets = texts(rng, QUERY_LENGTHS), texts(rng, TARGET_LENGTHS)
    taus_of_sides = {"query": [(0.4, 0.23)], "target": [(0.4, 0.23)], "both": [(0.4, 0.23), (0.3, 0.01), (0.3, 0.3)]}
    for side, taus in ((side, taus) for side, each in taus_of_sides.items() for taus in each):
        settings = {"kind": kind, "logits": logits, "reduce": reduce, "side": side, "target_weight": 0.3}
        settings |= dict(zip(("tau_a", "target_tau_a"), taus, strict=True))
        scores = block_scores(pad(queries), pad(targets), taus, ScorerSettings(**settings))
        np.testing.assert_allclose(scores.forward, reference.score_matrix(queries, targets, **settings), atol=2e-5)
        np.testing.assert_allclose(scores.backward, reference.score_matrix(targets, queries, **settings).T, atol=2e-5)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("logits", ["cosine", "dot"])
def test_gradients_of_sides_equal_finite_differences(rng, logits, side):
    """Of the first query and of both temperatures, from scores of both directions."""
    queries, targets = texts(rng, (3, 2)), texts(rng, (4, 1))
    weights = rng.normal(size=(2, 2, 2))
    options = {"logits": logits, "side": side, "target_weight": 0.3}

    def loops(first, tau_a, target_tau_a):
        qs = [first, queries[1]]
        taus = {"tau_a": tau_a, "target_tau_a": target_tau_a}
        forward = reference.score_matrix(qs, targets, **options, **taus)
        return (weights[0] * forward + weights[1] * reference.score_matrix(targets, qs, **options, **taus).T).sum()

    def fast(first, *taus):
        q = pad(queries)
        q = q._replace(embeddings=q.embeddings.at[0].set(first))
        scores = block_scores(q, pad(targets), taus, ScorerSettings(**options))
        return (weights[0] * scores.forward + weights[1] * scores.backward).sum()

    at = [queries[0], np.float64(0.5), np.float64(0.2)]
    gradients = jax.grad(fast, (0, 1, 2))(*(jnp.asarray(each, jnp.float32) for each in at))
    for which, gradient in enumerate(gradients):
        for entry in range(np.size(at[which])):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [np.array(each, np.float64) for each in at]
                moved[which].flat[entry] += step
                ends.append(loops(*moved))
            assert np.ravel(gradient)[entry] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-4, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_finite_differences_of_the_reference(rng, kind):
    queries, targets = texts(rng, (3, 2)), texts(rng, (4, 1))
    weights = rng.normal(size=(2, 2, 2))
    options = {"kind": kind, "tau_a": 0.5}

    def scalar(flat):
        a, b = (
            flat[: queries[0].size].reshape(queries[0].shape),
            flat[queries[0].size :].reshape(targets[0].shape),
        )
        qs, ys = [a, queries[1]], [b, targets[1]]
        forward, backward = (
            reference.score_matrix(qs, ys, **options),
            reference.score_matrix(ys, qs, **options).T,
        )
        return (weights[0] * forward + weights[1] * backward).sum()

    at = np.concatenate([queries[0].ravel(), targets[0].ravel()])
    step = 1e-6
    numeric = np.array([(scalar(at + step * e) - scalar(at - step * e)) / (2 * step) for e in np.eye(at.size)])

    def fast(q, y):
        scores = block_scores(
            Tokens(q, pad(queries).mask), Tokens(y, pad(targets).mask), 0.5, ScorerSettings(kind=kind)
        )
        return (weights[0] * scores.forward + weights[1] * scores.backward).sum()

    gradients = jax.jit(jax.grad(fast, (0, 1)))(pad(queries).embeddings, pad(targets).embeddings)
    ours = np.concatenate([np.asarray(g)[0].ravel() for g in gradients])
    np.testing.assert_allclose(ours, numeric, atol=1e-5)


def opposite_texts(rng):
    """Queries, and targets of one token at cosines from 1 to -1 with the first query's, and of two opposite tokens."""
    first, across = np.linalg.qr(rng.normal(size=(8, 2)))[0].T
    far = [[3 * (cosine * first + np.sqrt(1 - cosine**2) * across)] for cosine in (1.0, 0.4, -0.7, -1.0)]
    targets = [*map(np.array, far), np.array([first, -2 * first]), rng.normal(size=(3, 8))]
    return [np.array([2 * first]), np.array([-first, 3 * first]), rng.normal(size=(4, 8))], targets


# The smallest tau_a that is accepted, both sides of those where the weights of far tokens are tiny, and large ones.
TAUS = (1e-4, 0.01, 0.0499, 0.05, 0.06, 0.0724, 0.1, 0.3, 10.0)


@pytest.mark.thorough_after(5)
@pytest.mark.parametrize("tau_a", TAUS)
@pytest.mark.parametrize("kind", ["soft", "soft_pooled"])
@pytest.mark.parametrize("logits", ["cosine", "dot"])
def test_attention_equals_float64_loops_for_every_tau_a(rng, tau_a, kind, logits):
    """Values and gradients, of a number as the temperature, and of a learned one with the gradient for it."""
    queries, targets = opposite_texts(rng)
    settings = ScorerSettings(kind=kind, logits=logits, tau_a=tau_a)
    weights = rng.normal(size=(2, len(queries), len(targets)))
    options = {"kind": kind, "logits": logits}

    def loops(tau, first, other):
        qs, ys = [first, *queries[1:]], [*targets[:2], other, *targets[3:]]
        forward = reference.score_matrix(qs, ys, tau_a=tau, **options)
        return forward, reference.score_matrix(ys, qs, tau_a=tau, **options).T

    def fast(tau, first, other, learned):
        q, y = pad(queries), pad(targets)
        q = q._replace(embeddings=q.embeddings.at[0, 0].set(first[0]))
        y = y._replace(embeddings=y.embeddings.at[2, 0].set(other[0]))
        scores = block_scores(q, y, tau if learned else tau_a, settings)
        return (weights[0] * scores.forward + weights[1] * scores.backward).sum(), scores

    at = (tau_a, queries[0], targets[2])
    differentiate = jax.grad(fast, (0, 1, 2), has_aux=True)
    both = jax.jit(lambda *at: [differentiate(*at, learned) for learned in (False, True)])
    (fixed, scores), (learned, others) = both(*(jnp.float32(each) for each in at))
    exact = loops(*at)
    # float32 holds a logit to six digits, and so a difference of two logits of 1e4 to 1e-3.
    for found in (scores, others):
        np.testing.assert_allclose(found.forward, exact[0], atol=1e-5)
        np.testing.assert_allclose(found.backward, exact[1], atol=1e-5)

    def slope(which, entry):
        step = min(1e-6, 1e-4 * tau_a)
        ends = []
        for sign in (1, -1):
            moved = [np.array(each, np.float64) for each in at]
            moved[which].flat[entry] += sign * step
            ends.append(sum((weight * part).sum() for weight, part in zip(weights, loops(*moved), strict=True)))
        return (ends[0] - ends[1]) / (2 * step)

    for which in range(3):
        numeric = np.array([slope(which, entry) for entry in range(np.size(at[which]))])
        for gradients in (learned, fixed) if which else (learned,):
            np.testing.assert_allclose(np.ravel(gradients[which]), numeric, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("tau_a", [0.05, 0.3])
def test_texts_without_tokens_score_zero_for_every_tau_a(rng, tau_a):
    queries, targets = [np.zeros((0, 8)), rng.normal(size=(2, 8))], [rng.normal(size=(1, 8)), np.zeros((0, 8))]

    def total(q):
        scores = block_scores(q, pad(targets), tau_a, ScorerSettings(tau_a=tau_a))
        return 1e20 * (scores.forward + scores.backward).sum(), scores

    of_queries = jax.grad(lambda e: total(Tokens(e, pad(queries).mask)), has_aux=True)
    gradients, scores = jax.jit(of_queries)(pad(queries).embeddings)
    assert np.isfinite(gradients).all()
    for matrix in scores:
        np.testing.assert_array_equal(np.asarray(matrix)[[0, 0, 1], [0, 1, 1]], 0.0)


@pytest.mark.thorough_after(2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [2, 1, 3])
def test_chunked_equals_whole_in_value_and_gradient(rng, kind, chunk):
    q, y = pad(texts(rng, QUERY_LENGTHS)), pad(texts(rng, TARGET_LENGTHS))

    def loss(embeddings, tau_a, settings):
        scores = pairwise_scores(Tokens(embeddings, q.mask), y, tau_a, settings)
        return (scores.forward**2 + scores.backward**3).sum(), scores

    whole, chunked = (
        jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True), static_argnums=2)(
            q.embeddings, jnp.float32(0.3), ScorerSettings(kind=kind, chunk=size)
        )
        for size in (len(QUERY_LENGTHS), chunk)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), whole, chunked)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_other_texts_change_nothing(rng, kind):
    queries, targets = texts(rng, QUERY_LENGTHS), texts(rng, TARGET_LENGTHS)
    settings = ScorerSettings(kind=kind)
    plain = scored(pad(queries), pad(targets), 0.3, settings)
    padded = scored(pad(queries, 20, rng), pad(targets, 33, rng), 0.3, settings)
    alone = scored(pad(queries[1:2]), pad(targets[2:]), 0.3, settings)
    np.testing.assert_allclose(padded.forward, plain.forward, atol=1e-5)
    np.testing.assert_allclose(padded.backward, plain.backward, atol=1e-5)
    np.testing.assert_allclose(alone.forward[0, 0], plain.forward[1, 2], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_texts_score_zero_with_finite_gradients(rng, kind):
    queries, targets = texts(rng, (0, 3)), texts(rng, (2, 0))

    def total(q, y):
        scores = block_scores(
            Tokens(q, pad(queries).mask), Tokens(y, pad(targets).mask), 0.3, ScorerSettings(kind=kind)
        )
        return (scores.forward + scores.backward).sum(), scores

    of_both = jax.jit(jax.grad(total, (0, 1), has_aux=True))
    gradients, scores = of_both(pad(queries).embeddings, pad(targets).embeddings)
    assert all(np.isfinite(g).all() for g in gradients)
    for matrix in scores:
        np.testing.assert_array_equal(np.asarray(matrix)[[0, 0, 1], [0, 1, 1]], 0.0)
        assert matrix[1, 0] != 0


def test_small_tau_a_is_max_sim_and_large_tau_a_averages(rng):
    queries, targets = texts(rng, QUERY_LENGTHS), texts(rng, TARGET_LENGTHS)
    soft, max_sim = ScorerSettings(kind="soft"), ScorerSettings(kind="max_sim")
    sharp = scored(pad(queries), pad(targets), 1e-4, soft)
    hard = scored(pad(queries), pad(targets), 1e-4, max_sim)
    np.testing.assert_allclose(sharp.forward, hard.forward, atol=1e-4)

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    flat = scored(pad(queries), pad(targets), 1e6, soft)
    average = [[(unit(q) @ unit(y).T).mean() for y in targets] for q in queries]
    np.testing.assert_allclose(flat.forward, average, atol=1e-5)


def test_duplicate_targets_score_alike(rng):
    queries, targets = texts(rng, QUERY_LENGTHS), texts(rng, TARGET_LENGTHS)
    scores = scored(pad(queries), pad([*targets, targets[1]]), 0.3, ScorerSettings())
    np.testing.assert_array_equal(scores.forward[:, 1], scores.forward[:, 3])


def test_bfloat16_embeddings_score_close_to_float32(rng):
    q, y = pad(texts(rng, QUERY_LENGTHS)), pad(texts(rng, TARGET_LENGTHS))
    low = [Tokens(t.embeddings.astype(jnp.bfloat16), t.mask) for t in (q, y)]
    scores = scored(*low, 0.3, ScorerSettings())
    assert scores.forward.dtype == jnp.float32
    np.testing.assert_allclose(scores.forward, scored(q, y, 0.3, ScorerSettings()).forward, atol=0.02)
