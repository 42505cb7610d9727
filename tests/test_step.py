"""The train step as a whole: compiled once, the same on any number of devices, and it learns."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from graphs import random_graphs
from tiny_encoder import random_params, tiny_config

from uwe_jax.config import (
    BatchSettings,
    EncoderSettings,
    LengthSettings,
    LossSettings,
    OptimiserSettings,
    ScorerSettings,
)
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.data.ragged import run_offsets
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.tokens import SpecialTokens, TokenTable
from uwe_jax.distributed import parallel
from uwe_jax.distributed.gradient_cache import encode_in_chunks
from uwe_jax.models.optimiser import make_optimiser
from uwe_jax.models.uwe import UweModel
from uwe_jax.scoring.tokens import Tokens
from uwe_jax.studies.benchmarks.padding import padded_nodes
from uwe_jax.training import step as step_module
from uwe_jax.training.step import (
    TrainState,
    batch_gradient,
    batch_loss,
    make_train_step,
)

LENGTHS = LengthSettings(skill=6, job=6, vacancy=9, alias=6)


@pytest.fixture(scope="module")
def build():
    rng = np.random.default_rng(0)
    graphs = random_graphs(rng)

    def table(count):
        offsets = run_offsets(rng.integers(1, 8, count))
        return TokenTable(rng.integers(5, 60, offsets[-1]).astype(np.int32), offsets, SpecialTokens((1,), (2,), 0))

    tables = {"skill": table(len(graphs.skills))}
    tables |= {kind: table(len(graph.neighbours)) for kind, graph in graphs.graphs.items()}
    sampler = BatchSampler(graphs, BatchSettings(global_batch_size=16), seed=0)

    def batch(step, devices=8):
        return BatchBuilder(graphs, tables, LENGTHS, sampler, devices=devices, counted=20)(step)

    return batch


# Without warm-up and clipping, Adam's first moment is a tenth of the gradient after the first step. It divides by the
# gradient's size, noise included, unless eps is larger than the noise.
OPTIMISER = OptimiserSettings(learning_rate=3e-3, warmup_fraction=0.0, clip_norm=0.0, eps=1e-3)


def prepared(encoder=None, scorer=None):
    model = UweModel.create(tiny_config(layers=1), encoder or EncoderSettings(), scorer or ScorerSettings())
    update = make_optimiser(OPTIMISER, 20)
    state = TrainState.create(model.initial_params(random_params(tiny_config(layers=1))), update)
    return model, update, parallel.replicate(state)


def of(kinds, batch, devices=8):
    """The batch without its other graphs, which take their time to compile, split over devices."""
    others = {"job", "vacancy", "alias"} - set(kinds)
    batch = {part: {name: rows for name, rows in batch[part].items() if name not in others} for part in batch}
    return jax.tree.map(lambda x: x.reshape(devices, x.shape[0] // devices, *x.shape[1:]), batch)


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
    assert tau[0] == pytest.approx(0.1)
    assert tau[-1] != tau[0]
    assert tau[-1] > 0
    copies = jax.tree.map(lambda leaf: np.ptp(np.asarray(leaf), axis=0).max(), state.params)
    assert max(jax.tree.leaves(copies)) == 0.0  # every device holds the same parameters


@pytest.mark.slow
def test_dropout_follows_seed_and_step(build):
    def first_loss(seed):
        model, update, state = prepared(encoder=EncoderSettings(dropout=0.5))
        _, metrics = make_train_step(model, LossSettings(), update, seed)(state, of(["job"], build(0)))
        return float(metrics["loss"][0])

    assert first_loss(1) == first_loss(1) != first_loss(2)


class TableModel(UweModel):
    """A table in place of the encoder, which takes long to compile; dropout where there is a key."""

    def encode(self, params, token_ids, segments, dropout_key=None):
        x = jnp.tanh(params["encoder"]["table"][token_ids])
        kept = 0.5 if dropout_key is None else jax.random.bernoulli(dropout_key, 0.5, x.shape)
        return Tokens(2 * x * kept, segments != 0)


def gradient_of(model, chunk, key=None, devices=8, gradient=batch_gradient):
    """The batch's gradient and losses, as the step computes them."""

    def run(params, batch):
        own = None if key is None else jax.random.fold_in(key, parallel.device_index())
        return parallel.mean_over_devices(gradient(params, batch, model, LossSettings(), own, chunk))

    return parallel.parallel(run, in_axes=(None, 0), devices=jax.devices()[:devices])


def autodiff_through_chunks(params, batch, model, settings, key, chunk):
    """What caching replaces: the same encoding in chunks, differentiated as it stands."""

    def encode(params, rows, key):
        return model.encode(params, rows["token_ids"], rows["segments"], key).embeddings

    def loss(params):
        embeddings = encode_in_chunks(encode, params, batch["packed"], chunk, key)
        return batch_loss(params, embeddings, batch, model, settings)

    return jax.grad(loss, has_aux=True)(params)


def assert_losses_equal(actual, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), actual, expected)


def assert_gradients_equal(actual, expected):
    """Every leaf within 1e-5 of its largest entry.

    Attention ignores the biases of keys: their gradient is zero but for rounding, which is held against all entries.
    """
    everywhere = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))

    def compare(path, a, b):
        name = jax.tree_util.keystr(path)
        largest = everywhere if name.endswith("['key']['bias']") else np.abs(b).max()
        assert np.abs(a - b).max() <= 1e-5 * largest, name

    jax.tree_util.tree_map_with_path(compare, actual, expected)


def of_padded_texts(params, batch, model, settings, key, chunk):
    """The gradient without packing: every kind's texts are encoded on their own, each in a padded row."""

    def loss(params):
        tokens = {kind: model.encode(params, **rows) for kind, rows in batch["nodes"].items()}
        losses = {
            kind: step_module.graph_loss(
                tokens["skill"],
                parallel.gather(tokens[kind]),
                positives,
                parallel.gather(batch["valid"][kind]),
                model.temperatures(params),
                model.scorer,
                settings,
                kind,
            )
            for kind, positives in batch["positives"].items()
        }
        total = sum(getattr(settings.alpha, kind) * loss for kind, loss in losses.items())
        return total, {"loss": total} | {f"loss/{kind}": loss for kind, loss in losses.items()}

    return jax.grad(loss, has_aux=True)(params)


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize(
    ("devices", "chunk", "architecture"), [(2, 5, "bert"), (1, 0, "mpnet"), (4, 0, "modernbert"), (8, 3, "modernbert")]
)
def test_loss_and_gradient_are_those_of_padded_texts(build, devices, chunk, architecture):
    config = tiny_config(architecture, layers=2 if architecture == "modernbert" else 1)
    model = UweModel.create(config, EncoderSettings(), ScorerSettings())
    params = model.initial_params(random_params(config))
    whole = build(0, devices)
    padded = {
        kind: {"token_ids": rows["token_ids"], "segments": rows["mask"].astype(np.int32)}
        for kind, rows in padded_nodes(whole).items()
    }
    assert any(len(set(row) - {0}) > 1 for row in whole["packed"]["segments"].tolist())
    expected = gradient_of(model, 0, None, devices, of_padded_texts)(
        params, of(["vacancy"], {**whole, "nodes": padded}, devices)
    )
    gradient, losses = gradient_of(model, chunk, None, devices)(params, of(["vacancy"], whole, devices))
    assert_losses_equal(losses, expected[1])
    assert_gradients_equal(gradient, expected[0])


# One device holds the rows of 64 texts, each of eight of 8.
@pytest.mark.thorough_after(1)
@pytest.mark.parametrize(("devices", "chunk", "dropout"), [(1, 7, False), (8, 1, True)])
def test_caching_changes_neither_loss_nor_gradient(build, devices, chunk, dropout):
    model = TableModel.create(tiny_config(), EncoderSettings(), ScorerSettings(learn_tau_a=True))
    table = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    params = model.initial_params({"table": jnp.asarray(table)})
    batch = of(["vacancy"], build(0, devices), devices)
    if dropout:
        key = jax.random.key(2)
        expected = gradient_of(model, chunk, key, devices, autodiff_through_chunks)(params, batch)
    else:
        key = None
        expected = gradient_of(model, 0, key, devices)(params, batch)
    gradient, losses = gradient_of(model, chunk, key, devices)(params, batch)
    assert_losses_equal(losses, expected[1])
    assert_gradients_equal(gradient, expected[0])
    assert abs(expected[0]["scorer"]["log_tau_a"][0]) > 1e-3


@pytest.mark.thorough
def test_two_steps_with_caching_are_two_without_and_compile_once(build, monkeypatch):
    calls, metrics, states, gradients = [], {}, {}, {}
    loss = step_module.batch_loss
    monkeypatch.setattr(step_module, "batch_loss", lambda *args: (calls.append(args), loss(*args))[1])
    for chunk in (0, 4):
        # Fixed temperatures: their gradient is one sum of terms of both signs, whose rounding exceeds 1e-5 of it.
        model, update, state = prepared()
        start = jax.device_get(state.params)
        train_step = make_train_step(model, LossSettings(), update, 0, chunk)
        state, metrics[chunk, 1] = train_step(state, parallel.shard_rows(build(1)))
        gradients[chunk] = jax.device_get(optax.tree.get(state.opt_state, "mu"))
        state, metrics[chunk, 2] = train_step(state, parallel.shard_rows(build(2)))
        states[chunk] = jax.device_get(state.params)
    assert len(calls) == 2
    assert_gradients_equal(gradients[4], gradients[0])
    for step in (1, 2):
        assert_losses_equal(metrics[4, step], metrics[0, step])
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), states[0], start)
    assert np.median(jax.tree.leaves(moved)) > OPTIMISER.learning_rate
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), states[4], states[0])


@pytest.mark.slow
def test_eight_times_the_batch_takes_the_memory_of_one():
    """At the size of MiniLM, on one device, compiled only."""
    sizes = {"vocab_size": 30522, "width": 384, "layers": 6, "heads": 12, "intermediate": 1536, "max_positions": 512}
    model = UweModel.create(
        dataclasses.replace(tiny_config(), **sizes), EncoderSettings(), ScorerSettings(learn_tau_a=True)
    )
    tokens, kinds = {"skill": 16, "job": 16, "alias": 16, "vacancy": 64}, ("job", "alias", "vacancy")

    def encoder_params():
        return model.encoder.init(jax.random.key(0), jnp.ones((1, 8), jnp.int32), jnp.ones((1, 8), bool))["params"]

    params = jax.eval_shape(lambda: model.initial_params(encoder_params()))

    def temporary(m, chunk):
        array = jax.ShapeDtypeStruct
        nodes = {
            kind: {"starts": array((1, m), jnp.int32), "mask": array((1, m, n), bool)} for kind, n in tokens.items()
        }
        rows = array((1, m * sum(tokens.values()) // 64, 64), jnp.int32)
        valid, positives = {k: array((1, m), bool) for k in kinds}, {k: array((1, m, m), bool) for k in kinds}
        batch = {
            "packed": {"token_ids": rows, "segments": rows},
            "nodes": nodes,
            "valid": valid,
            "positives": positives,
        }
        compiled = gradient_of(model, chunk, devices=1).lower(params, batch).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    plain, cached = temporary(256, 0), temporary(2048, 28)  # rows of about 64 texts
    assert cached < 1.3 * plain


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("chunk", [4, 0, 99])
def test_packed_rows_are_all_that_is_encoded(build, chunk):
    model, _, state = prepared()
    calls = set()

    class Counting(UweModel):
        def encode(self, params, token_ids, segments, dropout_key=None):
            calls.add(token_ids.shape)
            return model.encode(params, token_ids, segments, dropout_key)

    batch = parallel.shard_rows(build(0))
    _, rows, length = batch["packed"]["segments"].shape
    jax.eval_shape(gradient_of(Counting(model.encoder, model.scorer), chunk), parallel.first(state.params), batch)
    # Four at a time are two times three; 99 are more than there are.
    assert rows == 6
    assert calls == {(3 if chunk == 4 else 6, length)}


def test_packed_rows_are_gathered_once_for_all_graphs(build, monkeypatch):
    model, _, state = prepared()
    gathered, gather = [], parallel.gather

    def spy(tree):
        gathered.extend(leaf.shape for leaf in jax.tree.leaves(tree) if leaf.ndim > 1 and leaf.dtype != bool)
        return gather(tree)

    monkeypatch.setattr(parallel, "gather", spy)
    batch = parallel.shard_rows(build(0))
    jax.eval_shape(gradient_of(model, 0), parallel.first(state.params), batch)
    _, rows, length = batch["packed"]["segments"].shape
    assert gathered == [(rows * length, model.encoder.config.width)]


def test_one_copy_is_taken_without_a_program_of_all_devices():
    """Such programs, one for every leaf, can have several processes wait for each other for ever."""
    tree = {"weights": np.arange(6.0, dtype=np.float32).reshape(2, 3), "step": np.int32(7)}
    copy = parallel.first(parallel.parallel(lambda whole: whole)(parallel.replicate(tree)))
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, copy), tree)
    assert all(leaf.devices() == {jax.local_devices()[0]} for leaf in jax.tree.leaves(copy))
