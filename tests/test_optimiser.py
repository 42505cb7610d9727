"""The optimiser: schedule, what decays, clipping and groups."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from uwe_jax.config import OptimiserSettings
from uwe_jax.models.optimiser import decayed, learning_rate_schedule, make_optimiser
from uwe_jax.runtime.errors import UserError

PARAMS = {
    "encoder": {"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, "norm": {"scale": jnp.ones(2)}},
    "scorer": {"log_tau_a": jnp.float32(0.0)},
}


def test_warm_up_then_decay_to_zero():
    rate = learning_rate_schedule(OptimiserSettings(learning_rate=1.0, warmup_fraction=0.1), 100)
    rates = np.array([rate(step) for step in range(101)])
    np.testing.assert_allclose(rates[[0, 9]], [0.1, 1.0], atol=1e-6)
    assert (np.diff(rates[:10]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[100] == pytest.approx(0.0, abs=1e-6)
    linear = learning_rate_schedule(OptimiserSettings(learning_rate=1.0, decay="linear"), 100)
    assert linear(55) == pytest.approx(0.5)
    constant = learning_rate_schedule(OptimiserSettings(learning_rate=1.0, decay="constant"), 100)
    assert constant(99) == 1.0


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_extreme_warm_ups_train_from_the_first_step(warmup):
    rate = learning_rate_schedule(OptimiserSettings(learning_rate=1.0, warmup_fraction=warmup), 10)
    assert all(rate(step) > 0 for step in range(10))


def test_norms_biases_and_scalars_do_not_decay():
    assert decayed(PARAMS) == {
        "encoder": {"dense": {"kernel": True, "bias": False}, "norm": {"scale": False}},
        "scorer": {"log_tau_a": False},
    }
    updates = step(OptimiserSettings(weight_decay=0.5, warmup_fraction=0.0), jax.tree.map(jnp.zeros_like, PARAMS))
    assert (updates["encoder"]["dense"]["kernel"] < 0).all()
    assert (updates["encoder"]["dense"]["bias"] == 0).all()


def step(settings, gradients):
    optimiser = make_optimiser(settings, 10)
    return optimiser.update(gradients, optimiser.init(PARAMS), PARAMS)[0]


def test_groups_scale_the_learning_rate():
    ones = jax.tree.map(jnp.ones_like, PARAMS)
    plain = step(OptimiserSettings(warmup_fraction=0.0), ones)
    grouped = step(
        OptimiserSettings(warmup_fraction=0.0, learning_rate_factors=(("tau_a", 10.0), ("dense/k", 0.5))),
        ones,
    )
    ratio = jax.tree.map(lambda a, b: float((b / a).mean()), plain, grouped)
    assert ratio["scorer"]["log_tau_a"] == pytest.approx(10.0)
    assert ratio["encoder"]["dense"] == {"kernel": pytest.approx(0.5), "bias": pytest.approx(1.0)}


def test_a_pattern_that_matches_nothing_is_an_error():
    for pattern, message in (
        ("layer_99", "matches none of the 4 parameters"),
        ("(", "not a regular expression"),
    ):
        settings = OptimiserSettings(learning_rate_factors=((pattern, 1.0),))
        with pytest.raises(UserError, match=message):
            make_optimiser(settings, 10).init(PARAMS)


def test_clipping_bounds_what_adam_sees():
    huge = jax.tree.map(lambda leaf: jnp.full_like(leaf, 1e6), PARAMS)
    optimiser = make_optimiser(OptimiserSettings(clip_norm=1.0), 10)
    _, state = optimiser.update(huge, optimiser.init(PARAMS), PARAMS)
    moment = optax.tree_utils.tree_get(state, "mu")
    assert float(optax.tree.norm(moment)) == pytest.approx(0.1, rel=1e-4)  # (1 - b1) times the clipped norm
