"""The train step as a whole: compiled once, the same on any number of devices, and it learns."""

import chex
import jax
import numpy as np
import pytest
from graphs import random_graphs
from tiny_encoder import random_params, tiny_config

from uwe_jax import parallel
from uwe_jax.base.config import (
    BatchSettings,
    EncoderSettings,
    LengthSettings,
    LossSettings,
    OptimiserSettings,
    ScorerSettings,
)
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.tokens import SpecialTokens, TokenTable
from uwe_jax.models.uwe import UweModel
from uwe_jax.optimiser import make_optimiser
from uwe_jax.training import step as step_module
from uwe_jax.training.step import TrainState, encode_nodes, make_train_step

LENGTHS = LengthSettings(skill=6, job=6, vacancy=9, alias=6)


@pytest.fixture(scope="module")
def build():
    rng = np.random.default_rng(0)
    graphs = random_graphs(rng)

    def table(count):
        offsets = np.arange(count + 1) * 3
        return TokenTable(rng.integers(5, 60, 3 * count).astype(np.int32), offsets, SpecialTokens((1,), (2,), 0))

    tables = {"skill": table(len(graphs.skills))}
    tables |= {kind: table(len(graph.neighbours)) for kind, graph in graphs.graphs.items()}
    return BatchBuilder(graphs, tables, LENGTHS, BatchSampler(graphs, BatchSettings(global_batch_size=16), seed=0))


def prepared(encoder=None, scorer=None, optimiser=None):
    model = UweModel.create(tiny_config(layers=1), encoder or EncoderSettings(), scorer or ScorerSettings())
    update = make_optimiser(optimiser or OptimiserSettings(learning_rate=3e-3), 20)
    state = TrainState.create(model.initial_params(random_params(tiny_config(layers=1))), update)
    return model, update, parallel.replicate(state)


def test_it_compiles_once_and_learns(build, monkeypatch):
    monkeypatch.setattr(step_module, "batch_loss", chex.assert_max_traces(n=1)(step_module.batch_loss))
    model, update, state = prepared(scorer=ScorerSettings(learn_tau_a=True))
    train_step = make_train_step(model, LossSettings(), update, seed=0)
    losses, tau = [], []
    for k in range(20):
        state, metrics = train_step(state, parallel.shard_rows(build(k % 2)))
        losses.append(float(metrics["loss"][0]))
        tau.append(float(metrics["tau_a"][0]))
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    assert int(state.step[0]) == 20
    assert tau[0] == pytest.approx(0.3)
    assert tau[-1] != tau[0]
    assert tau[-1] > 0
    copies = jax.tree.map(lambda leaf: np.ptp(np.asarray(leaf), axis=0).max(), state.params)
    assert max(jax.tree.leaves(copies)) == 0.0  # every device holds the same parameters


def test_dropout_follows_seed_and_step(build):
    def first_loss(seed):
        model, update, state = prepared(encoder=EncoderSettings(dropout=0.5))
        _, metrics = make_train_step(model, LossSettings(), update, seed)(state, parallel.shard_rows(build(0)))
        return float(metrics["loss"][0])

    assert first_loss(1) == first_loss(1) != first_loss(2)


def test_kinds_of_one_length_go_through_the_encoder_together(build):
    model, _, state = prepared()
    params, nodes = parallel.first(state.params), build(0)["nodes"]
    calls = []

    class Counting(UweModel):
        def encode(self, params, token_ids, mask, dropout_key=None):
            calls.append(token_ids.shape)
            return model.encode(params, token_ids, mask, dropout_key)

    encoded = encode_nodes(params, nodes, Counting(model.encoder, model.scorer), None)
    assert sorted(calls) == [(16, 9), (48, 6)]
    for kind, rows in nodes.items():
        alone = model.encode(params, jax.numpy.asarray(rows["token_ids"]), jax.numpy.asarray(rows["mask"]))
        np.testing.assert_allclose(encoded[kind].embeddings, alone.embeddings, atol=1e-5)
