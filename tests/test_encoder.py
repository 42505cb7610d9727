"""The encoder against transformers, and against itself under another dtype, remat, dropout and padding."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optional_torch import needs_torch, torch
from safetensors.numpy import load_file
from tiny_encoder import each_kind_of_layers, random_params, tiny_config
from torch_twin import assert_same, build_torch, padded, random_torch, state

from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.encoder import Encoder, relative_buckets
from uwe_jax.models.encoder_parts import exact_gelu
from uwe_jax.models.families.registry import FAMILIES
from uwe_jax.models.loading import load_encoder
from uwe_jax.models.weights import params_from_hf
from uwe_jax.runtime.errors import UserError

each = pytest.mark.parametrize("architecture", FAMILIES)

# Tokens of the texts of a block: an empty string (its two special tokens), and lengths on both sides of 128.
LENGTHS = (2, 9, 1, 127, 131, 150)


def block(config: EncoderConfig, lengths=LENGTHS, length=156, *, left=False, seed=0):
    """Random texts, the longest of which still leaves padding over."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(config.pad_token_id + 1, config.vocab_size, n) for n in lengths]
    return padded(rows, length, config.pad_token_id, left=left)


def apply(encoder: Encoder, params, token_ids, mask, **more):
    call = jax.jit(lambda params, *block: encoder.apply({"params": params}, *block, **more))
    return call(params, jnp.asarray(token_ids), jnp.asarray(mask))


def loss_of(encoder: Encoder, token_ids, mask, **more):
    """A scalar of all hidden states, those of padding too, which it returns beside it in float32."""

    def loss(params):
        hidden = encoder.apply({"params": params}, jnp.asarray(token_ids), jnp.asarray(mask), **more)
        hidden = hidden.astype(jnp.float32)
        return jnp.mean(jnp.square(hidden + 0.5)), hidden

    return loss


def hidden_and_grads(encoder: Encoder, params, token_ids, mask):
    grads, hidden = jax.jit(jax.grad(loss_of(encoder, token_ids, mask), has_aux=True))(params)
    return hidden, grads


# --- parity with transformers


@pytest.mark.thorough_after(6)
@each
@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
def test_equals_transformers(architecture, left):
    model = random_torch(architecture)
    config = EncoderConfig.from_hf(model.config.to_dict())
    assert_same(model, config, params_from_hf(state(model), config), *block(config, left=left))


@pytest.mark.thorough_after(2)
@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("bert", {"hidden_act": "gelu_new"}),
        ("bert", {"hidden_act": "gelu_python"}),
        ("modernbert", {"hidden_activation": "gelu_pytorch_tanh"}),
        # As transformers 5 writes it; three layers, the last one of global attention.
        ("modernbert", {"num_hidden_layers": 3, "rope_parameters": {"full_attention": {"rope_theta": 50.0}}}),
    ],
)
def test_equals_transformers_with_other_settings(architecture, changes):
    model = random_torch(architecture, **{"num_hidden_layers": 1} | changes)
    config = EncoderConfig.from_hf(model.config.to_dict())
    assert_same(model, config, params_from_hf(state(model), config), *block(config, (5, 9), 12))


@needs_torch
def test_relative_buckets_equal_transformers():
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    ahead = torch.arange(512)[None, :] - torch.arange(512)[:, None]
    expected = MPNetEncoder.relative_position_bucket(ahead, num_buckets=32)
    np.testing.assert_array_equal(relative_buckets(512, 32), expected.numpy())


def test_gelu_and_its_gradient_are_exact():
    x = np.linspace(-12, 12, 4801, dtype=np.float32)
    theirs = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.gelu(theirs)
    expected.sum().backward()
    np.testing.assert_allclose(exact_gelu(jnp.asarray(x)), expected.detach().numpy(), rtol=1e-6, atol=1e-6)
    slopes = jax.grad(lambda x: exact_gelu(x).sum())(jnp.asarray(x))
    np.testing.assert_allclose(slopes, theirs.grad.numpy(), rtol=0, atol=1e-6)


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "all-mpnet-base-v2"])
def test_real_encoders_equal_transformers(name):
    try:
        encoder = load_encoder(name)
    except UserError as error:
        pytest.skip(f"needs {name}: {error}")
    hf_config = json.loads((encoder.folder / "config.json").read_text())
    model = build_torch(encoder.config.architecture, hf_config)
    tensors = {name: torch.tensor(value) for name, value in load_file(encoder.folder / "model.safetensors").items()}
    assert not model.load_state_dict(tensors, strict=False).missing_keys
    assert_same(model, encoder.config, encoder.params, *block(encoder.config, (2, 9, 64, 150), 156))


# --- padding


@pytest.mark.thorough_after(1)
@each_kind_of_layers
def test_padding_and_other_texts_change_nothing(architecture):
    config = tiny_config(architecture)
    params, encoder = random_params(config, spread=0.2), Encoder(config)
    short_ids, short_mask = block(config, (2, 9), 10)
    expected = np.asarray(apply(encoder, params, short_ids, short_mask))[short_mask]
    wide_ids, wide_mask = block(config, (2, 9, 150), 156)
    ours = np.asarray(apply(encoder, params, wide_ids, wide_mask))[:2][wide_mask[:2]]
    np.testing.assert_allclose(ours, expected, atol=2e-6)


@pytest.mark.thorough_after(1)
@each_kind_of_layers
def test_masked_tokens_have_no_effect(architecture):
    config = tiny_config(architecture)
    params, encoder = random_params(config), Encoder(config)
    token_ids, mask = block(config, (2, 9), 12)
    noise = np.where(mask, token_ids, 7)
    ours, expected = (np.asarray(apply(encoder, params, ids, mask))[mask] for ids in (noise, token_ids))
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.thorough_after(1)
@each_kind_of_layers
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_rows_of_padding_alone_are_finite_and_harmless(architecture, dtype):
    config = tiny_config(architecture, layers=1)
    params, encoder = random_params(config), Encoder(config, dtype=dtype)
    token_ids, mask = block(config, (5, 9), 12)
    empty_ids = np.concatenate([token_ids, np.full((2, 12), config.pad_token_id, np.int32)])
    empty_mask = np.concatenate([mask, np.zeros((2, 12), bool)])
    hidden, grads = hidden_and_grads(encoder, params, empty_ids, empty_mask)
    assert jnp.isfinite(hidden).all()
    assert all(jnp.isfinite(grad).all() for grad in jax.tree.leaves(grads))
    without = apply(encoder, params, token_ids, mask).astype(jnp.float32)
    np.testing.assert_allclose(hidden[:2], without, atol=1e-6)


@pytest.mark.thorough_after(3)
@each
def test_too_many_tokens_are_refused(architecture):
    config = tiny_config(architecture)
    encoder, params = Encoder(config), random_params(config)
    assert apply(encoder, params, *block(config, (160,), 160)).shape == (1, 160, 16)
    with pytest.raises(UserError, match=r"161 tokens.*160"):
        apply(encoder, params, *block(config, (3,), 161))


# --- dtype, remat, dropout


@pytest.mark.thorough
@each_kind_of_layers
def test_bfloat16_is_close_and_keeps_parameters_float32(architecture):
    config = tiny_config(architecture, layers=1)
    params = random_params(config)
    token_ids, mask = block(config)
    assert apply(Encoder(config, dtype=jnp.bfloat16), params, token_ids, mask).dtype == jnp.bfloat16
    (exact, fine), (rough, coarse) = (
        hidden_and_grads(Encoder(config, dtype=dtype), params, token_ids, mask) for dtype in (jnp.float32, jnp.bfloat16)
    )
    error = np.abs(np.asarray(rough - exact))[mask]
    assert 1e-6 < error.mean() < 0.02  # hidden values are about 1
    assert {grad.dtype for grad in jax.tree.leaves([fine, coarse])} == {jnp.dtype("float32")}
    fine, coarse = (jnp.concatenate([g.ravel() for g in jax.tree.leaves(grads)]) for grads in (fine, coarse))
    assert fine @ coarse / (jnp.linalg.norm(fine) * jnp.linalg.norm(coarse)) > 0.99


def seeded(encoder: Encoder, params, token_ids, mask):
    """Hidden states under dropout as a function of the seed, compiled once."""
    block = jnp.asarray(token_ids), jnp.asarray(mask)

    def call(seed):
        # A generator that compiles faster than the default one.
        rngs = {"dropout": jax.random.key(seed, impl="rbg")}
        return encoder.apply({"params": params}, *block, deterministic=False, rngs=rngs)

    return jax.jit(call)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("architecture", "dropout"), [("bert", None), ("mpnet", 0.0), ("distilbert", None), ("modernbert", None)]
)
def test_remat_changes_neither_value_nor_gradient(architecture, dropout):
    config = tiny_config(architecture, layers=1)
    params = random_params(config)
    token_ids, mask = block(config, (3, 9), 12)
    rngs = {"dropout": jax.random.key(0, impl="rbg")}
    results, programs = [], []
    for remat in (False, True):
        encoder = Encoder(config, remat=remat, dropout=dropout)
        loss = jax.grad(loss_of(encoder, token_ids, mask, deterministic=False, rngs=rngs), has_aux=True)
        results.append(jax.jit(loss)(params))
        programs.append(str(jax.make_jaxpr(loss)(params)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *results)
    plain, recomputing = (program.count("reduce_max") for program in programs)
    assert recomputing > plain, "no softmax is computed a second time"


def test_dropout_follows_its_key_and_rate():
    config = tiny_config(layers=1)
    params = random_params(config)
    token_ids, mask = block(config, (3, 9), 12)
    plain = apply(Encoder(config), params, token_ids, mask)
    own = seeded(Encoder(config), params, token_ids, mask)
    np.testing.assert_array_equal(own(0), own(0))
    assert jnp.abs(own(0) - own(1)).max() > 0.01
    assert jnp.abs(own(0) - plain).max() > 0.01

    # A number replaces both rates of the config; zero needs no key.
    third = dataclasses.replace(config, hidden_dropout=0.3, attention_dropout=0.3)
    replaced, same = (
        seeded(encoder, params, token_ids, mask)(0) for encoder in (Encoder(config, dropout=0.3), Encoder(third))
    )
    np.testing.assert_array_equal(replaced, same)
    off = apply(Encoder(config, dropout=0.0), params, token_ids, mask, deterministic=False)
    np.testing.assert_array_equal(off, plain)


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("rate", ["hidden_dropout", "attention_dropout"])
def test_each_dropout_rate_acts(rate):
    none = {"hidden_dropout": 0.0, "attention_dropout": 0.0}
    config = dataclasses.replace(tiny_config(layers=1), **(none | {rate: 0.5}))
    params = random_params(config)
    token_ids, mask = block(config, (3, 9), 12)
    dropped = seeded(Encoder(config), params, token_ids, mask)(0)
    assert jnp.abs(dropped - apply(Encoder(config), params, token_ids, mask)).max() > 0.01


# --- packed rows


def packed(config: EncoderConfig, token_ids, mask):
    """The texts of a padded block in two rows, in reverse, with padding after them; and their places [text tokens]."""
    texts = [ids[real] for ids, real in zip(token_ids, mask, strict=True)]
    length = 4 + max(sum(map(len, texts[k::2])) for k in range(2))
    rows, segments = np.full((2, length), config.pad_token_id, np.int32), np.zeros((2, length), np.int32)
    places = [np.arange(0)] * len(texts)
    for row in range(2):
        start = 0
        for number, k in enumerate(reversed(range(row, len(texts), 2)), 1):
            end = start + len(texts[k])
            rows[row, start:end], segments[row, start:end] = texts[k], number
            places[k] = row * length + np.arange(start, end)
            start = end
    return rows, segments, np.concatenate(places)


@pytest.mark.thorough_after(1)
@each_kind_of_layers
def test_a_text_among_others_of_its_row_is_encoded_as_alone(architecture):
    config = tiny_config(architecture)
    params, encoder = random_params(config), Encoder(config)
    token_ids, mask = block(config, (2, 9, 1, 40, 70, 33), 72)
    rows, segments, places = packed(config, token_ids, mask)
    weights = np.random.default_rng(1).standard_normal((mask.sum(), config.width)).astype(np.float32) / 9

    def gradients(token_ids, segments, places):
        def loss(params):
            hidden = encoder.apply({"params": params}, jnp.asarray(token_ids), jnp.asarray(segments))
            hidden = hidden.reshape(-1, config.width)[places]
            return jnp.sum(hidden * weights), hidden

        return jax.jit(jax.grad(loss, has_aux=True))(params)

    expected, alone = gradients(token_ids, mask, np.flatnonzero(mask))
    gradient, among = gradients(rows, segments, places)
    np.testing.assert_allclose(among, alone, rtol=0, atol=1e-5)
    largest = max(jnp.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a / largest, b / largest, rtol=0, atol=1e-5), gradient, expected
    )
    # Texts of one row that were taken for one text would differ.
    assert np.abs(np.asarray(gradients(rows, segments != 0, places)[1]) - alone).max() > 0.01


def test_dropout_of_packed_rows_is_as_before():
    config = tiny_config(layers=1)
    params = random_params(config)
    rows, segments, _ = packed(config, *block(config, (3, 9, 5), 12))
    one, two = (seeded(Encoder(config), params, rows, segments)(seed) for seed in (0, 1))
    assert jnp.isfinite(one).all()
    assert jnp.abs(one - two).max() > 0.01
