"""Gradient caching against plain autodiff, with an encoder small enough to see through."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_encoder import each_kind_of_layers, random_params, tiny_config, write_tiny_encoder

from uwe_jax.commands import train
from uwe_jax.config import BatchSettings, Config, default_config
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.distributed import gradient_cache
from uwe_jax.distributed.gradient_cache import cached_value_and_grad, encode_in_chunks
from uwe_jax.models.encoder import Encoder
from uwe_jax.models.families.registry import FAMILIES
from uwe_jax.runtime.errors import UserError
from uwe_jax.training import loop

FEATURES, WIDTH = 5, 4
ROWS, TOKENS = 10, 3


def encode(params, rows, key):
    """Token embeddings [b, t, d]; with a key, half of them are dropped."""
    x = jnp.einsum("btf,fd->btd", rows["features"], params["weights"])
    x = jnp.tanh(x + params["bias"][None, None, :])  # a row of zeros has a gradient, unless its cotangent is zero
    return x if key is None else x * 2 * jax.random.bernoulli(key, 0.5, x.shape)


def loss(embeddings, params):
    """Every text against every other, over a learned temperature."""
    texts = embeddings.mean(axis=1)
    logits = jnp.einsum("ad,bd->ab", texts, texts) / params["tau"]
    rows = jax.nn.logsumexp(logits, axis=1) - logits[:, 0]
    return rows.mean(), {"rows": rows}


@pytest.fixture
def params(rng):
    weights, bias = rng.normal(size=(FEATURES, WIDTH)), rng.normal(size=WIDTH)
    return {"weights": jnp.float32(weights), "bias": jnp.float32(bias), "tau": jnp.float32(0.2)}


@pytest.fixture
def inputs(rng):
    return {"features": jnp.float32(rng.normal(size=(ROWS, TOKENS, FEATURES)))}


def cached(params, inputs, chunk, key=None, encode=encode, loss=loss):
    return jax.jit(lambda params, inputs: cached_value_and_grad(encode, loss, params, inputs, chunk, key))(
        params, inputs
    )


def plain(params, inputs, encoded):
    """Value and gradient by autodiff through `encoded(params, inputs)`."""
    return jax.jit(lambda p, inputs: jax.value_and_grad(lambda p: loss(encoded(p, inputs), p), has_aux=True)(p))(
        params, inputs
    )


def whole(params, inputs):
    return encode(params, inputs, None)


def far(actual, expected):
    """The largest difference of two trees, every leaf's relative to the leaf's largest entry."""
    ratio = jax.tree.map(lambda a, b: np.abs(a - b).max() / np.abs(b).max(), actual, expected)
    return np.max(jax.tree.leaves(ratio))


# Of 10 rows: one by one, dividing them, not dividing them, more than there are.
@pytest.mark.thorough_after(2)
@pytest.mark.parametrize("chunk", [1, 2, 4, 64])
def test_value_and_gradient_are_those_of_the_whole(params, inputs, chunk):
    expected = plain(params, inputs, whole)
    assert far(cached(params, inputs, chunk), expected) < 1e-5
    assert abs(expected[1]["tau"]) > 1e-2  # what the loss reads itself has a share


@pytest.mark.thorough_after(1)
@each_kind_of_layers
def test_the_gradient_of_every_kind_of_layers_is_that_of_the_whole(architecture, rng):
    """Packed rows, three in chunks of two: the row that fills the last chunk has no text."""
    config = tiny_config(architecture, layers=2 if FAMILIES[architecture].pre_norm else 1)
    encoder = Encoder(config)
    segments = jnp.asarray([[1] * 12, [1] * 5 + [2] * 7, [1] * 9 + [0] * 3])
    ids = jnp.where(segments > 0, rng.integers(2, config.vocab_size, segments.shape), config.pad_token_id)

    def encode(params, rows, key):
        return encoder.apply({"params": params}, rows["ids"], rows["segments"])

    def loss(embeddings, params):
        return jnp.sum(jnp.square(embeddings + 0.5) * (segments > 0)[:, :, None]), {}

    params, rows = random_params(config), {"ids": ids, "segments": segments}
    _, expected = jax.jit(jax.value_and_grad(lambda p: loss(encode(p, rows, None), p), has_aux=True))(params)
    _, found = cached(params, rows, 2, encode=encode, loss=loss)
    largest = max(jnp.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a / largest, b / largest, rtol=0, atol=1e-5), found, expected)


def test_dropout_is_replayed(params, inputs):
    chunk, key = 4, jax.random.key(3)
    expected = plain(params, inputs, lambda p, inputs: encode_in_chunks(encode, p, inputs, chunk, key))
    assert far(cached(params, inputs, chunk, key), expected) < 1e-5

    passes = []

    def forgetful(params, rows, key):  # traced once a pass: each draws masks of its own
        passes.append(key)
        return encode(params, rows, jax.random.fold_in(key, len(passes)))

    assert far(cached(params, inputs, chunk, key, forgetful)[1], expected[1]) > 1e-2


def test_every_chunk_draws_its_own_masks(params, inputs):
    def drawn(params, rows, key):
        return jax.random.bits(key, rows["features"].shape[:1], jnp.uint32)

    def of(key):
        return encode_in_chunks(drawn, params, inputs, 2, key).tolist()

    first = of(jax.random.key(0))
    assert len(set(first)) == ROWS
    assert of(jax.random.key(0)) == first
    assert not set(of(jax.random.key(1))) & set(first)


def test_a_dropped_last_chunk_would_be_noticed(params, inputs, monkeypatch):
    expected = plain(params, inputs, whole)
    scan = jax.lax.scan
    monkeypatch.setattr(
        gradient_cache.jax.lax, "scan", lambda f, init, xs: scan(f, init, jax.tree.map(lambda x: x[:-1], xs))
    )
    value, gradient = cached(params, inputs, 4)
    assert far(value, expected[0]) < 1e-5
    assert far(gradient, expected[1]) > 1e-2


def test_embeddings_keep_their_dtype_and_gradients_add_up_in_float32():
    seen = []

    def half(params, rows, key):
        return rows * params

    def add_up(embeddings, params):
        seen.append(embeddings.dtype)
        return embeddings.astype(jnp.float32).sum(), None

    # 257 is no bfloat16, nor is any larger odd number: a sum of ones in bfloat16 stays at 256.
    ones = jnp.ones(301, jnp.bfloat16)
    _, gradient = cached(jnp.ones((), jnp.bfloat16), ones, 1, encode=half, loss=add_up)
    assert seen == [jnp.bfloat16]
    assert gradient.dtype == jnp.float32
    assert float(gradient) == 301.0


@pytest.mark.thorough
def test_memory_hardly_grows_with_the_rows():
    def deep(params, rows, key):
        for _ in range(20):
            rows = jnp.tanh(jnp.einsum("btd,de->bte", rows, params))
        return rows

    def shift(embeddings, params):
        return jnp.square(embeddings.mean(axis=0)).sum(), None

    def temporary(rows, chunk):
        def gradient(params, rows):
            if chunk:
                return cached_value_and_grad(deep, shift, params, rows, chunk, None)[1]
            return jax.grad(lambda p: shift(deep(p, rows, None), p)[0])(params)

        shapes = jax.ShapeDtypeStruct((32, 32), jnp.float32), jax.ShapeDtypeStruct((rows, 8, 32), jnp.float32)
        return jax.jit(gradient).lower(*shapes).compile().memory_analysis().temp_size_in_bytes

    plain_small, plain_large, cached_large = temporary(64, 0), temporary(512, 0), temporary(512, 16)
    assert plain_large > 7 * plain_small
    assert cached_large < 1.3 * plain_small


def test_a_chunk_size_below_zero_is_answered_with_a_sentence():
    assert BatchSettings().mini_batch_size == 0
    with pytest.raises(UserError, match=r"batch\.mini_batch_size is -1; it must be at least 0\."):
        BatchSettings(mini_batch_size=-1)


def test_the_setting_reaches_the_step(monkeypatch, tmp_path):
    class Reached(Exception):
        pass

    def reached(*args):
        raise Reached(args[-1])

    monkeypatch.setattr(loop, "make_train_step", reached)
    monkeypatch.setattr(BatchBuilder, "rows_at_once", lambda _, texts: 1000 + texts)
    config = default_config()
    config.workdir = str(tmp_path / "run")
    config.source.cache_dir = str(tmp_path / "cache")
    config.encoder.name = str(write_tiny_encoder(tmp_path / "encoder", layers=1))
    config.batch.global_batch_size = 16
    config.batch.mini_batch_size = 5
    with pytest.raises(Reached, match="1005"):
        train.train(Config.from_dict(config.to_dict()))
