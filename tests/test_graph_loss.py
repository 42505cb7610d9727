"""The loss of one graph over devices: the value and the gradient of the single-device, float64 definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from uwe_jax.config import LossSettings, ScorerSettings
from uwe_jax.distributed import parallel
from uwe_jax.scoring.tokens import Tokens
from uwe_jax.training.step import graph_loss

M, D = 8, 6  # texts of each side, width
Q_LENGTH, Y_LENGTH = 3, 4
TAU = LossSettings().tau.job


@pytest.fixture
def batch(rng):
    lengths = rng.integers(1, Q_LENGTH + 1, M), rng.integers(1, Y_LENGTH + 1, M)
    skills = rng.normal(size=(M, Q_LENGTH, D)), np.arange(Q_LENGTH) < lengths[0][:, None]
    neighbours = rng.normal(size=(M, Y_LENGTH, D)), np.arange(Y_LENGTH) < lengths[1][:, None]
    valid = np.ones(M, bool)
    valid[[2, 5]] = False
    neighbours[1][~valid] = False
    positives = rng.random((M, M)) < 0.25
    positives[0], positives[1] = False, True
    return skills, neighbours, positives, valid


def sharded(batch, devices, scorer, settings):
    """Value and gradients (with respect to a shift and a scale of all embeddings) as the step computes them."""
    (s, s_mask), (y, y_mask), positives, valid = batch

    def shard(x, dtype):
        return jnp.asarray(x, dtype).reshape(devices, M // devices, *x.shape[1:])

    def loss(params, s, s_mask, y, y_mask, positives, valid):
        def tokens(x, mask):
            return Tokens(x * params["scale"][None, None, :] + params["shift"][None, None, :], mask)

        return graph_loss(
            tokens(s, s_mask),
            parallel.gather(tokens(y, y_mask)),
            positives,
            parallel.gather(valid),
            params["tau_a"],
            scorer,
            settings,
            "job",
        )

    def step(*args):
        return parallel.mean_over_devices(jax.value_and_grad(loss)(*args))

    params = {"scale": jnp.linspace(0.5, 1.5, D), "shift": jnp.full(D, 0.1), "tau_a": jnp.float32(0.3)}
    run = parallel.parallel(step, in_axes=(None, 0, 0, 0, 0, 0, 0), devices=jax.devices()[:devices])
    out = run(
        params,
        shard(s, jnp.float32),
        shard(s_mask, bool),
        shard(y, jnp.float32),
        shard(y_mask, bool),
        shard(positives, bool),
        shard(valid, bool),
    )
    return jax.tree.map(lambda leaf: np.asarray(leaf[0], np.float64), out)


def expected(batch, scorer, settings, params=None):
    """L(Y|S) + L(S|Y), written out."""
    (s, s_mask), (y, y_mask), positives, valid = batch
    params = params or {"scale": np.linspace(0.5, 1.5, D), "shift": np.full(D, 0.1), "tau_a": 0.3}
    skills = [(x * params["scale"] + params["shift"])[m] for x, m in zip(s, s_mask, strict=True)]
    kept = np.flatnonzero(valid)
    neighbours = [(y[k] * params["scale"] + params["shift"])[y_mask[k]] for k in kept]
    options = {"kind": scorer.kind, "logits": scorer.logits, "tau_a": params["tau_a"]}
    p = positives[:, kept]
    loss = reference.info_nce(reference.score_matrix(skills, neighbours, **options), p, TAU)
    if settings.symmetric:
        loss += reference.info_nce(reference.score_matrix(neighbours, skills, **options), p.T, TAU)
    return loss


KINDS = ("soft", "max_sim", "mean_pool", "soft_pooled")
# Compiling takes nearly all the time: every scorer on eight devices runs every time.
CASES = [(kind, n) for n in (8, 1, 2, 4) for kind in KINDS]


@pytest.mark.thorough_after(len(KINDS))
@pytest.mark.parametrize(("kind", "devices"), CASES)
def test_value_and_gradient_equal_the_reference_on_any_number_of_devices(batch, devices, kind):
    scorer, settings = ScorerSettings(kind=kind), LossSettings()
    value, gradient = sharded(batch, devices, scorer, settings)
    np.testing.assert_allclose(value, expected(batch, scorer, settings), rtol=1e-5)

    start = {"scale": np.linspace(0.5, 1.5, D), "shift": np.full(D, 0.1), "tau_a": 0.3}
    for name, at in (("scale", 0), ("scale", D - 1), ("shift", 2), ("tau_a", ())):
        sides = []
        for sign in (1, -1):
            moved = {k: np.array(v, np.float64) for k, v in start.items()}
            moved[name][at] += sign * 1e-6
            sides.append(expected(batch, scorer, settings, moved))
        numeric = (sides[0] - sides[1]) / 2e-6
        np.testing.assert_allclose(gradient[name][at], numeric, rtol=1e-3, atol=1e-4)


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("options", [{"symmetric": False}, {"drop_other_positives": True}])
def test_options_are_the_same_on_one_and_eight_devices(batch, options):
    settings = LossSettings(**options)
    one, eight = (sharded(batch, n, ScorerSettings(), settings) for n in (1, 8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, eight)
    if "symmetric" in options:
        np.testing.assert_allclose(one[0], expected(batch, ScorerSettings(), settings), rtol=1e-5)


@pytest.mark.thorough
def test_a_gather_without_gradient_would_be_noticed(batch, monkeypatch):
    right = sharded(batch, 4, ScorerSettings(), LossSettings())
    gather = parallel.gather
    monkeypatch.setattr(parallel, "gather", lambda tree: jax.lax.stop_gradient(gather(tree)))
    wrong = sharded(batch, 4, ScorerSettings(), LossSettings())
    np.testing.assert_allclose(wrong[0], right[0], rtol=1e-6)
    assert np.abs(wrong[1]["shift"] - right[1]["shift"]).max() > 1e-2


@pytest.mark.thorough
def test_chunked_equals_whole(batch):
    whole, chunked = (sharded(batch, 2, ScorerSettings(chunk=chunk), LossSettings()) for chunk in (0, 1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), whole, chunked)


def test_a_graph_without_any_edge_in_the_batch_weighs_nothing(batch):
    skills, neighbours, positives, valid = batch
    value, gradient = sharded(
        (skills, neighbours, np.zeros_like(positives), valid), 4, ScorerSettings(), LossSettings()
    )
    assert value == 0.0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_only_scores_are_exchanged(batch, monkeypatch):
    exchanged, exchange = [], parallel.exchange

    def spy_exchange(matrix):
        exchanged.append(matrix.shape)
        return exchange(matrix)

    monkeypatch.setattr(parallel, "exchange", spy_exchange)
    sharded(batch, 4, ScorerSettings(), LossSettings())
    assert exchanged == [(M // 4, M)] * 2
