"""Names and shapes of weights, both ways, and what is wrong with a checkpoint said by name."""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from optional_torch import needs_torch, torch
from safetensors.numpy import load_file, save_file
from tiny_encoder import random_params, random_tensors, tiny_config, write_tiny_encoder
from torch_twin import CLASSES, WITHOUT_POOLER, padded, torch_hidden

from uwe_jax.models import weights
from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.encoder import Encoder
from uwe_jax.models.families.registry import FAMILIES
from uwe_jax.models.loading import load_encoder
from uwe_jax.models.weights import name_table, params_from_hf, params_to_hf, read_config, read_params
from uwe_jax.runtime.errors import UserError

each = pytest.mark.parametrize("architecture", FAMILIES)


def assert_equal_trees(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


@each
def test_round_trip_is_exact(architecture, tmp_path):
    config = tiny_config(architecture)
    tensors = random_tensors(config)
    params = params_from_hf(tensors, config)
    # Through a file, which takes memory as it lies.
    save_file(params_to_hf(params, config), tmp_path / "model.safetensors")
    back = load_file(tmp_path / "model.safetensors")
    assert back.keys() == tensors.keys()
    assert_equal_trees(back, tensors)
    assert_equal_trees(read_params(tmp_path, config), params)


@each
def test_table_covers_exactly_the_parameters_of_the_module(architecture):
    config = tiny_config(architecture)
    block = jnp.zeros((1, 4), jnp.int32), jnp.ones((1, 4), bool)
    fresh = jax.eval_shape(Encoder(config).init, jax.random.key(0), *block)["params"]
    ours = random_params(config)
    assert jax.tree.structure(fresh) == jax.tree.structure(ours)
    jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype) or pytest.fail(f"{a} {b}"), fresh, ours)
    table = name_table(config)
    assert len({name.path for name in table}) == len({name.hf for name in table}) == len(table)


@needs_torch
@each
def test_what_is_written_is_what_transformers_reads(architecture, tmp_path):
    """Config, names, transpositions and memory order, judged by the other side's own loader."""
    folder = write_tiny_encoder(tmp_path, architecture)
    encoder = load_encoder(str(folder))
    _, model_class = CLASSES[architecture]
    model, report = model_class.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True, **WITHOUT_POOLER.get(architecture, {})
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    token_ids, mask = padded([np.arange(3, 9), np.arange(3, 20)], 20, encoder.config.pad_token_id)
    with torch.no_grad():
        theirs = torch_hidden(model.eval(), token_ids, mask).numpy()
    ours = Encoder(encoder.config).apply({"params": encoder.params}, jnp.asarray(token_ids), jnp.asarray(mask))
    np.testing.assert_allclose(np.asarray(ours)[mask], theirs[mask], atol=1e-4)


@each
@pytest.mark.parametrize("prefix", ["", "own", "0.auto_model."])
def test_prefixes_are_removed_and_unneeded_tensors_skipped(architecture, prefix, capsys):
    config = tiny_config(architecture)
    prefix = FAMILIES[architecture].prefix if prefix == "own" else prefix
    tensors = {prefix + name: tensor for name, tensor in random_tensors(config).items()}
    tensors[prefix + "pooler.dense.weight"] = np.zeros((16, 16), np.float32)
    tensors[prefix + "embeddings.position_ids"] = np.arange(160)[None]
    tensors["lm_head.bias"] = np.zeros(60, np.float32)
    assert_equal_trees(params_from_hf(tensors, config), random_params(config))
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in ("pooler.dense.weight", "position_ids", "lm_head.bias", "left out"))


def test_unknown_tensors_are_logged_separately(capsys):
    config = tiny_config()
    params_from_hf(random_tensors(config) | {"adapter.weight": np.zeros(3)}, config)
    assert "unknown tensors adapter.weight" in capsys.readouterr().err


def test_norms_under_their_first_names():
    config = tiny_config()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in random_tensors(config).items()
    }
    assert_equal_trees(params_from_hf(old, config), random_params(config))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_files_become_float32(dtype, tmp_path):
    config = tiny_config()
    halves = {name: tensor.astype(dtype) for name, tensor in random_tensors(config).items()}
    save_file(halves, tmp_path / "model.safetensors")
    params = read_params(tmp_path, config)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    assert_equal_trees(params, params_from_hf(halves, config))


def test_missing_tensors_are_named():
    tensors = random_tensors(tiny_config())
    del tensors["encoder.layer.1.output.dense.bias"]
    with pytest.raises(UserError, match=r"1 of the 37 tensors .*encoder\.layer\.1\.output\.dense\.bias"):
        params_from_hf(tensors, tiny_config())


def test_wrong_shapes_are_named_with_both_shapes():
    tensors = random_tensors(tiny_config())
    tensors["encoder.layer.0.intermediate.dense.weight"] = np.zeros((16, 32), np.float32)
    with pytest.raises(UserError, match=r"layer\.0\.intermediate\.dense\.weight is \[16, 32\] instead of \[32, 16\]"):
        params_from_hf(tensors, tiny_config())


def test_weights_of_the_other_architecture_are_refused():
    with pytest.raises(UserError, match=r"of a mpnet encoder are missing.*relative_attention_bias"):
        params_from_hf(random_tensors(tiny_config("bert")), tiny_config("mpnet"))
    with pytest.raises(UserError, match=r"position/embedding is \[160, 16\] instead of \[162, 16\]"):
        params_to_hf(random_params(tiny_config("bert")), tiny_config("mpnet"))


def test_the_table_of_encoders_has_every_family():
    text = (Path(__file__).parents[1] / "docs" / "training.md").read_text()
    assert set(re.findall(r"^\| `([\w-]+)` \|", text.partition("## Encoders")[2], re.MULTILINE)) == set(FAMILIES)


# --- config.json


@each
def test_config_of_transformers_is_read_and_written_back(architecture):
    config_class, _ = CLASSES[architecture]
    changed = {"hidden_dropout": 0.25, "layer_norm_eps": 1e-7, "activation": "gelu_new", "local_window": 6}
    changed |= {"global_every": 5, "local_theta": 33.0}
    keys = FAMILIES[architecture].keys
    changed = {ours: value for ours, value in changed.items() if ours in keys}
    theirs = config_class(**{keys[ours][0]: value for ours, value in changed.items()})
    config = EncoderConfig.from_hf(theirs.to_dict())
    assert config.architecture == architecture
    assert {ours: getattr(config, ours) for ours in changed} == changed
    assert EncoderConfig.from_hf(config.to_hf()) == config
    written = config_class(**config.to_hf()).to_dict()
    differing = {key for key, value in theirs.to_dict().items() if written.get(key) != value}
    assert differing <= {"architectures"}


def test_the_first_config_of_modernbert_is_read():
    """Published before transformers 5, with one number each for what are now lists; null is the global base."""
    values = {"vocab_size": 50368, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4}
    values |= {"model_type": "modernbert", "intermediate_size": 96, "global_attn_every_n_layers": 2}
    config = EncoderConfig.from_hf(values | {"global_rope_theta": 160000, "local_rope_theta": None})
    assert (config.global_every, config.global_theta, config.local_theta, config.local_window) == (2, 160e3, 160e3, 128)
    assert (config.pad_token_id, config.max_tokens, config.hidden_dropout) == (50283, 8192, 0.0)


def test_mpnet_gives_up_two_positions():
    assert EncoderConfig.from_hf(CLASSES["mpnet"][0](max_position_embeddings=514).to_dict()).max_tokens == 512
    assert EncoderConfig.from_hf(CLASSES["bert"][0](max_position_embeddings=512).to_dict()).max_tokens == 512


@pytest.mark.parametrize(
    ("architecture", "change", "message"),
    [
        ("bert", {"model_type": "electra"}, "'electra' is not supported"),
        ("bert", {"hidden_act": "relu"}, "'relu'.*gelu"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type = 'relative_key'"),
        ("bert", {"is_decoder": True}, "is_decoder = True"),
        ("bert", {"num_attention_heads": 3}, "3 attention heads do not divide the encoder's width of 16"),
        ("bert", {"model_type": ["bert"]}, r"\['bert'\] is not supported"),
        ("bert", {"hidden_act": {}}, "hidden_act is {}; it must be the name of an activation"),
        ("bert", {"num_hidden_layers": 10_000_000}, "num_hidden_layers is 10000000; .*from 1 to 512"),
        ("bert", {"hidden_size": 10**9}, "hidden_size is 1000000000; .*from 1 to 32,768"),
        ("bert", {"intermediate_size": 10**12}, "intermediate_size is 1000000000000"),
        ("bert", {"vocab_size": 10**30}, "vocab_size is 10+; .*from 1 to 4,000,000"),
        ("bert", {"max_position_embeddings": -1}, "max_position_embeddings is -1"),
        ("bert", {"type_vocab_size": 10**9}, "type_vocab_size is 1000000000"),
        ("bert", {"num_attention_heads": 0}, "num_attention_heads is 0"),
        ("bert", {"hidden_size": "384"}, "hidden_size is '384'; it must be a whole number"),
        ("bert", {"num_hidden_layers": True}, "num_hidden_layers is True"),
        ("bert", {"num_hidden_layers": None}, "num_hidden_layers is None"),
        ("bert", {"layer_norm_eps": float("nan")}, "layer_norm_eps is nan; it must be a number from 0 to 1"),
        ("bert", {"hidden_dropout_prob": "0.1"}, "hidden_dropout_prob is '0.1'"),
        ("bert", {"attention_probs_dropout_prob": 2}, "attention_probs_dropout_prob is 2"),
        ("bert", {"pad_token_id": "0"}, "pad_token_id is '0'"),
        ("bert", {"pad_token_id": 60}, "pad_token_id is 60; it must be below vocab_size, 60"),
        ("mpnet", {"pad_token_id": 0}, "pad_token_id = 0.*1"),
        ("mpnet", {"relative_attention_num_buckets": 16}, "relative_attention_num_buckets = 16.*32"),
        ("modernbert", {"attention_bias": True}, "attention_bias = True"),
        ("modernbert", {"num_attention_heads": 16}, "odd width of 1"),
        ("modernbert", {"local_attention": -1}, "local_attention is -1"),
        ("modernbert", {"global_rope_theta": 0.0}, r"global_rope_theta is 0\.0; .*from 1 to"),
        ("modernbert", {"layer_types": ["sliding_attention", "full_attention"]}, "every n-th layer"),
        ("modernbert", {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "'yarn'.*rope_type 'default'"),
        ("modernbert", {"rope_parameters": {"full_attention": 3}}, "only the rope_type 'default'"),
        ("modernbert", {"layer_types": 3}, "layer_types are 3"),
    ],
)
def test_unsupported_configs_are_refused(architecture, change, message):
    with pytest.raises(UserError, match=message):
        EncoderConfig.from_hf(tiny_config(architecture).to_hf() | change)


def test_missing_sizes_are_named():
    values = tiny_config().to_hf()
    del values["vocab_size"], values["hidden_size"]
    with pytest.raises(UserError, match="no vocab_size, hidden_size"):
        EncoderConfig.from_hf(values)


def test_damaged_files_are_named(tmp_path):
    folder = write_tiny_encoder(tmp_path)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        load_encoder(str(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is not readable JSON"):
        read_config(folder)
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError, match=r"config\.json: .*'gpt2'"):
        read_config(folder)


def test_weights_that_do_not_match_are_refused_before_they_are_read(tmp_path, monkeypatch):
    folder = write_tiny_encoder(tmp_path)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"vocab_size": 4_000_000, "hidden_size": 32_768}))
    read = []
    monkeypatch.setattr(weights, "_as_float32", lambda *tensor: read.append(tensor))
    with pytest.raises(UserError, match=r"model\.safetensors: .*word_embeddings\.weight is .* \[4000000, 32768\]"):
        load_encoder(str(folder))
    assert not read


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name_and_number(tmp_path, value):
    config = tiny_config()
    tensors = random_tensors(config)
    tensors["encoder.layer.0.output.dense.weight"][:2, 3] = value
    tensors["encoder.layer.1.output.dense.bias"][0] = value
    save_file(tensors, tmp_path / "model.safetensors")
    named = "2 of the 37 arrays .* first layer_0/feed_forward/down/kernel, 2 of its 512"
    with pytest.raises(UserError, match=rf"model\.safetensors: {named}"):
        read_params(tmp_path, config)


def test_weights_beyond_float32_are_not_finite(tmp_path):
    tensors = {name: tensor.astype(np.float64) for name, tensor in random_tensors(tiny_config()).items()}
    tensors["embeddings.LayerNorm.bias"][0] = 1e300
    with pytest.raises(UserError, match="first embeddings/norm/bias, 1 of its 16"):
        params_from_hf(tensors, tiny_config())


def test_quantised_weights_are_refused():
    tensors = random_tensors(tiny_config())
    tensors["embeddings.word_embeddings.weight"] = np.ones((60, 16), np.int8)
    with pytest.raises(UserError, match=r"embeddings\.word_embeddings\.weight holds integers \(int8\)"):
        params_from_hf(tensors, tiny_config())
