"""The scorers against a float64 reference, and what must not change a score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from uwe_jax.config import ScorerSettings
from uwe_jax.scoring.chunking import pairwise_scores
from uwe_jax.scoring.scorers import block_scores
from uwe_jax.scoring.tokens import Tokens

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
    scores = block_scores(pad(queries), pad(targets), 0.4, ScorerSettings(**options))
    np.testing.assert_allclose(scores.forward, reference.score_matrix(queries, targets, **options), atol=1e-5)
    np.testing.assert_allclose(scores.backward, reference.score_matrix(targets, queries, **options).T, atol=1e-5)


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

    gradients = jax.grad(fast, (0, 1))(pad(queries).embeddings, pad(targets).embeddings)
    ours = np.concatenate([np.asarray(g)[0].ravel() for g in gradients])
    np.testing.assert_allclose(ours, numeric, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_chunked_equals_whole_in_value_and_gradient(rng, kind, chunk):
    q, y = pad(texts(rng, QUERY_LENGTHS)), pad(texts(rng, TARGET_LENGTHS))

    def loss(embeddings, tau_a, settings):
        scores = pairwise_scores(Tokens(embeddings, q.mask), y, tau_a, settings)
        return (scores.forward**2 + scores.backward**3).sum(), scores

    whole, chunked = (
        jax.value_and_grad(loss, (0, 1), has_aux=True)(
            q.embeddings, jnp.float32(0.3), ScorerSettings(kind=kind, chunk=size)
        )
        for size in (len(QUERY_LENGTHS), chunk)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), whole, chunked)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_companions_change_nothing(rng, kind):
    queries, targets = texts(rng, QUERY_LENGTHS), texts(rng, TARGET_LENGTHS)
    settings = ScorerSettings(kind=kind)
    plain = block_scores(pad(queries), pad(targets), 0.3, settings)
    padded = block_scores(pad(queries, 20, rng), pad(targets, 33, rng), 0.3, settings)
    alone = block_scores(pad(queries[1:2]), pad(targets[2:]), 0.3, settings)
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

    gradients, scores = jax.grad(total, (0, 1), has_aux=True)(pad(queries).embeddings, pad(targets).embeddings)
    assert all(np.isfinite(g).all() for g in gradients)
    for matrix in scores:
        np.testing.assert_array_equal(np.asarray(matrix)[[0, 0, 1], [0, 1, 1]], 0.0)
        assert matrix[1, 0] != 0


def test_small_tau_a_is_max_sim_and_large_tau_a_averages(rng):
    queries, targets = texts(rng, QUERY_LENGTHS), texts(rng, TARGET_LENGTHS)
    soft, max_sim = ScorerSettings(kind="soft"), ScorerSettings(kind="max_sim")
    sharp = block_scores(pad(queries), pad(targets), 1e-4, soft)
    hard = block_scores(pad(queries), pad(targets), 1e-4, max_sim)
    np.testing.assert_allclose(sharp.forward, hard.forward, atol=1e-4)

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    flat = block_scores(pad(queries), pad(targets), 1e6, soft)
    average = [[(unit(q) @ unit(y).T).mean() for y in targets] for q in queries]
    np.testing.assert_allclose(flat.forward, average, atol=1e-5)


def test_duplicate_targets_score_alike(rng):
    queries, targets = texts(rng, QUERY_LENGTHS), texts(rng, TARGET_LENGTHS)
    scores = block_scores(pad(queries), pad([*targets, targets[1]]), 0.3, ScorerSettings())
    np.testing.assert_array_equal(scores.forward[:, 1], scores.forward[:, 3])


def test_bfloat16_embeddings_score_close_to_float32(rng):
    q, y = pad(texts(rng, QUERY_LENGTHS)), pad(texts(rng, TARGET_LENGTHS))
    low = [Tokens(t.embeddings.astype(jnp.bfloat16), t.mask) for t in (q, y)]
    scores = block_scores(*low, 0.3, ScorerSettings())
    assert scores.forward.dtype == jnp.float32
    np.testing.assert_allclose(scores.forward, block_scores(q, y, 0.3, ScorerSettings()).forward, atol=0.02)
