"""The two ways in which `parallel` may be built: jax.pmap, and jit with shard_map. Their values are equal."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_step import OPTIMISER, TableModel, build, of  # noqa: F401  # build is a fixture
from tiny_encoder import random_params, tiny_config

from uwe_jax.config import EncoderSettings, LossSettings, ScorerSettings
from uwe_jax.distributed import parallel
from uwe_jax.models.optimiser import make_optimiser
from uwe_jax.models.uwe import UweModel
from uwe_jax.training.step import TrainState, make_train_step


def both(monkeypatch, work):
    """Results of `work` with pmap and without it, in host memory."""
    results = []
    for pmap in (True, False):
        monkeypatch.setattr(parallel, "PMAP", pmap)
        results.append(jax.device_get(work()))
    return results


def steps(model, params, batches, devices, rows_at_once):
    """State and metrics after a train step of each batch; the state of each is donated to the next."""
    update = make_optimiser(OPTIMISER, 20)
    start = TrainState.create(params, update)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), (parallel.AXIS,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(parallel.AXIS))
    state = jax.device_put(jax.tree.map(lambda leaf: np.stack([leaf] * devices), start), split)
    train_step = make_train_step(model, LossSettings(), update, 0, rows_at_once)
    metrics = []
    for batch in batches:
        previous = state
        state, measured = train_step(state, batch)
        metrics.append(measured)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(previous))
    return state, metrics


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("devices", [2, 1, 4, 8])
def test_train_steps_with_gradient_caching(build, devices, monkeypatch):  # noqa: F811
    """Their losses, their gradients (Adam's first moments), dropout, and the parameters after them."""
    scorer = ScorerSettings(kind="mean_pool")
    model = TableModel.create(tiny_config(), EncoderSettings(dropout=0.5), scorer)
    table = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    params = model.initial_params({"table": jnp.asarray(table)})
    batches = [of(["vacancy"], build(k, devices), devices) for k in range(2)]
    few = functools.partial(parallel.parallel, devices=jax.devices()[:devices])
    monkeypatch.setattr(parallel, "parallel", few)
    (state, metrics), other = both(monkeypatch, lambda: steps(model, params, batches, devices, 3))
    assert metrics[0]["loss"][0] > 0
    assert np.abs(state.params["encoder"]["table"][0] - table).max() > OPTIMISER.learning_rate
    chex.assert_trees_all_equal((state, metrics), other)


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("devices", [2, 1, 4, 8])
def test_embeddings(devices, monkeypatch):
    config = tiny_config(layers=1)
    encoder = UweModel.create(config, EncoderSettings(), ScorerSettings())
    params = encoder.initial_params(random_params(config))
    rows = np.random.default_rng(0).integers(5, 60, (devices, 2, 12)), np.ones((devices, 2, 12), np.int32)

    def work():
        chosen = {"in_axes": (None, 0, 0), "devices": jax.devices()[:devices]}
        return parallel.parallel(encoder.encode, **chosen)(params, *rows)

    ours, other = both(monkeypatch, work)
    assert ours.embeddings.shape == (devices, 2, 12, config.width)
    chex.assert_trees_all_equal(ours, other)


def test_a_copy_on_every_device_and_one_of_them(monkeypatch):
    tree = {"weights": jnp.arange(6.0).reshape(2, 3), "step": jnp.int32(7)}
    (copies, one), other = both(
        monkeypatch, lambda: (parallel.replicate(tree), parallel.first(parallel.replicate(tree)))
    )
    assert copies["weights"].shape == (8, 2, 3)
    chex.assert_trees_all_equal(one, jax.device_get(tree))
    chex.assert_trees_all_equal((copies, one), other)
