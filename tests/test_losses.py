"""Many-to-many InfoNCE against the float64 reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from uwe_jax.scoring.losses import RowSum, info_nce


def mean(over: RowSum):
    return over.total / jnp.maximum(over.rows, 1.0)


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("tau", [0.02, 0.05, 1.0])
def test_equals_reference(rng, drop, tau):
    scores = rng.normal(size=(6, 7)) * 0.3
    positives = rng.random((6, 7)) < 0.3
    positives[0], positives[1] = False, True  # none, and all
    positives[2] = np.arange(7) == 3  # one
    total = info_nce(
        jnp.asarray(scores, jnp.float32),
        jnp.asarray(positives),
        jnp.ones(7, bool),
        tau,
        drop_other_positives=drop,
    )
    assert float(total.rows) == positives.any(axis=1).sum()
    expected = reference.info_nce(scores, positives, tau, drop)
    np.testing.assert_allclose(mean(total), expected, rtol=1e-5)


@pytest.mark.parametrize("drop", [False, True])
def test_invalid_columns_are_as_if_absent(rng, drop):
    scores, positives = rng.normal(size=(4, 5)), rng.random((4, 5)) < 0.5
    valid = np.array([True, False, True, True, False])
    total = info_nce(
        jnp.asarray(scores, jnp.float32),
        jnp.asarray(positives),
        jnp.asarray(valid),
        0.1,
        drop_other_positives=drop,
    )
    expected = reference.info_nce(scores[:, valid], positives[:, valid], 0.1, drop)
    np.testing.assert_allclose(mean(total), expected, rtol=1e-5)


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("drop", [False, True])
def test_no_positive_anywhere_is_zero_with_zero_gradient(rng, drop):
    scores = jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)

    def loss(s):
        nothing = jnp.zeros((3, 4), bool)
        return mean(info_nce(s, nothing, jnp.zeros(4, bool), 0.02, drop_other_positives=drop))

    value, gradient = jax.value_and_grad(loss)(scores)
    assert float(value) == 0.0
    np.testing.assert_array_equal(gradient, 0.0)


def test_other_positives_stay_in_the_denominator_unless_dropped():
    scores = jnp.zeros((1, 3))
    positives = jnp.array([[True, True, False]])
    kept = info_nce(scores, positives, jnp.ones(3, bool), 1.0)
    dropped = info_nce(scores, positives, jnp.ones(3, bool), 1.0, drop_other_positives=True)
    np.testing.assert_allclose([kept.total, dropped.total], [np.log(3), np.log(2)], rtol=1e-6)
