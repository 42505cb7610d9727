"""Exports of a difference: what they restore, how small they are, and that no other base is taken for the right one."""

import json
import shutil

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import load_file, save_file
from test_export import options, write_run
from tiny_encoder import write_tiny_encoder

from uwe_jax.export.export import ExportOptions, export
from uwe_jax.models.difference import TABLES, add_difference, difference_of, lost_share
from uwe_jax.models.exported import checksum
from uwe_jax.models.folder import DIFFERENCE, WEIGHTS
from uwe_jax.models.loading import load_encoder, load_model
from uwe_jax.models.low_rank import factorise, multiply
from uwe_jax.models.quantised import dequantise, quantise
from uwe_jax.models.weights import params_to_hf
from uwe_jax.retrieval.loading import load
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json

BASE = "org/tiny"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub's cache with one encoder; nothing else is reached."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--org--tiny"
    write_tiny_encoder(repository / "snapshots" / ("a" * 40), layers=1)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    return repository / "snapshots" / ("a" * 40)


@pytest.fixture
def run(hub, tmp_path):
    return write_run(tmp_path / "run", BASE, learn_tau_a=False)


def low_rank(run, out, cache, rank):
    return export(*options(run, out, cache, low_rank=rank))


def test_factors_restore_a_matrix_of_their_rank_and_sum_without_error():
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 56)) * 1e-3
    left, right, exponents = factorise(matrix, 8)
    assert left.dtype == right.dtype == exponents.dtype == np.int8
    assert left.shape[1] == len(right) == exponents.shape[1] <= 8
    found = multiply(left, right, exponents)
    assert np.linalg.norm(found - matrix) < 0.02 * np.linalg.norm(matrix)
    for order in (np.arange(left.shape[1])[::-1], rng.permutation(left.shape[1])):  # any order of summation: same bits
        np.testing.assert_array_equal(multiply(left[:, order], right[order], exponents[:, order]), found)
    assert not multiply(*factorise(np.zeros((4, 5)), 2)).any()


def test_more_bits_keep_more_of_a_matrix_and_zeros_stay_zeros():
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((7, 300)) * np.logspace(-4, 0, 7)[:, None]
    matrix[2] = 0
    # Of normal numbers, the best steps of equal width lose these shares of the deviation (Max, 1960); a step
    # per 128 numbers loses a little less.
    for bits, share in ((1, 0.603), (2, 0.345), (3, 0.194), (4, 0.107)):
        planes, steps = quantise(matrix, bits)
        assert planes.shape == (7, bits, 38)
        assert steps.shape == (7, 3)
        found = dequantise(planes, steps, 300)
        assert not found[2].any()
        lost = np.linalg.norm(found - matrix, axis=1) / np.maximum(np.linalg.norm(matrix, axis=1), 1e-30)
        assert np.delete(lost, 2).mean() == pytest.approx(share, rel=0.12)
    with pytest.raises(ValueError, match=r"planes \[7, 4, 38\] and steps \[7, 3\] are not of 7 x 400"):
        dequantise(planes, steps, 400)


def test_bits_change_the_rows_of_a_table_that_training_changed():
    rng = np.random.default_rng(0)
    (name,) = (name for name in TABLES if "word_embeddings" in name)
    base = {name: rng.standard_normal((50, 16)).astype(np.float32)}
    trained = {name: base[name] * np.float32(1 - 1e-6)}
    trained[name][[3, 40]] += rng.standard_normal((2, 16)).astype(np.float32)
    difference = difference_of(base, trained, bits=4)
    assert difference[f"{name}.rows"].tolist() == [3, 40]
    restored = add_difference(base, difference)
    np.testing.assert_array_equal(np.flatnonzero((restored[name] != base[name]).any(axis=1)), [3, 40])
    assert lost_share(base, trained, restored) < 0.2
    np.testing.assert_array_equal(add_difference(base, difference_of(base, trained, rank=2))[name], base[name])
    with pytest.raises(UserError, match=r"is \[40, 16\] in the encoder that it is added to, but its index 40"):
        add_difference({name: base[name][:40]}, difference)


def test_a_higher_rank_loses_less_and_vectors_lose_nothing():
    rng = np.random.default_rng(0)
    base = {"a.weight": rng.standard_normal((24, 16)), "a.bias": rng.standard_normal(24)}
    base = {name: value.astype(np.float32) for name, value in base.items()}
    trained = {
        name: value + np.float32(0.01) * rng.standard_normal(value.shape).astype(np.float32)
        for name, value in base.items()
    }
    lost = []
    for rank in (1, 4, 16):
        restored = add_difference(base, difference_of(base, trained, rank=rank))
        np.testing.assert_allclose(restored["a.bias"], trained["a.bias"], rtol=1e-6)
        assert restored["a.weight"].dtype == np.float32
        lost.append(lost_share(base, trained, restored))
    assert lost == sorted(lost, reverse=True)
    assert lost[0] > 0.5 > 0.02 > lost[-1]
    with pytest.raises(UserError, match=r"a.weight changes by \[24, 16\], and is \[16, 24\] in the encoder"):
        add_difference({**base, "a.weight": base["a.weight"].T}, difference_of(base, trained, rank=2))


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("how", [{"low_rank": 64}, {"bits": 8}], ids=["low rank", "bits"])
def test_an_export_of_a_difference_is_loaded_exported_whole_and_trained_from(run, hub, tmp_path, how):
    cache, out = tmp_path / "cache", tmp_path / "small"
    export(*options(run, out, cache, **how))  # a rank above the tiny encoder's width: nothing but eight bits is lost
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", DIFFERENCE, "uwe_jax.json"]
    card = (out / "README.md").read_text()
    assert f"uwe-jax export --model {json.dumps('small')} --out whole" in card
    assert "library_name: uwe_jax\n" in card
    assert (
        "sentence-transformers" not in card.partition("## How it scores")[0].partition("tags:")[2].partition("---")[0]
    )
    assert "uwe_scorer.py" not in card
    trained, small = load_model(str(run)), load_model(str(out), cache_dir=cache)
    assert small.fingerprint == json.loads((out / "uwe_jax.json").read_text())["fingerprint"]
    texts = (["nurse", "write code"], ["care for patients", "code"])
    scores = load(str(out), cache_dir=cache).scores(*texts)
    config = trained.model.encoder.config
    expected, found = (params_to_hf(each.params["encoder"], config) for each in (trained, small))
    for name in expected.keys() - TABLES:
        np.testing.assert_allclose(found[name], expected[name], atol=0.02)  # changes were of 0.1
    assert small.scorer == trained.scorer
    whole = export(*options(out, tmp_path / "whole", cache))
    np.testing.assert_array_equal(load(str(whole)).scores(*texts), scores)
    assert load_model(str(whole)).fingerprint == small.fingerprint
    assert json.loads((whole / "uwe_jax.json").read_text())["base_model"] == BASE
    assert load_encoder(str(out), cache_dir=cache).config == config
    renamed = export(*options(run, tmp_path / "renamed", cache, **how, name="other"))
    assert load_model(str(renamed), cache_dir=cache).name == "other"
    assert load_model(str(out), cache_dir=cache).name == "run"
    shutil.rmtree(cache)
    np.testing.assert_array_equal(load(str(out), cache_dir=cache).scores(*texts), scores)


def test_a_run_from_an_export_is_the_difference_from_its_own_base(run, hub, tmp_path):
    first, cache = export(*options(run, tmp_path / "first", tmp_path / "cache")), tmp_path / "cache"
    further = write_run(tmp_path / "further", first, learn_tau_a=False, seed=2)
    out = export(*options(further, tmp_path / "small", cache, bits=8))
    assert json.loads((out / "uwe_jax.json").read_text())["base_model"] == BASE
    trained, small = load_model(str(further)), load_model(str(out), cache_dir=cache)
    config = trained.model.encoder.config
    expected, found = (params_to_hf(each.params["encoder"], config) for each in (trained, small))
    for name in expected.keys() - TABLES:
        np.testing.assert_allclose(found[name], expected[name], atol=0.02)


def test_a_run_names_the_export_that_it_started_from_and_is_not_blended_with_another(run, hub, tmp_path):
    first, cache = export(*options(run, tmp_path / "first", tmp_path / "cache")), tmp_path / "cache"
    further = write_run(tmp_path / "further", first, learn_tau_a=False, seed=2)
    started = json.loads((first / "uwe_jax.json").read_text())["fingerprint"]
    assert load_model(str(further)).training["started"] == started
    other = write_run(tmp_path / "other", BASE, learn_tau_a=False, seed=3)
    export(*options(other, tmp_path / "first", cache))  # the same name means another model now
    record = json.loads((export(*options(further, tmp_path / "out", cache)) / "uwe_jax.json").read_text())["training"]
    assert record["started_from"]["fingerprint"] == started
    assert "started" not in record
    assert f"`{started}`" in (tmp_path / "out" / "README.md").read_text()
    config = json.loads((further / "config.json").read_text())
    write_json(further / "config.json", {**config, "encoder": {**config["encoder"], "wise_ft_alpha": 0.5}})
    with pytest.raises(UserError, match=f"of fingerprint {started}, whose weights are a part of its own"):
        load_model(str(further))


def test_another_base_and_a_changed_difference_are_refused(run, hub, tmp_path):
    out = tmp_path / "small"
    low_rank(run, out, tmp_path / "cache", 2)
    weights = load_file(hub / WEIGHTS)
    name = next(name for name in weights if name.endswith("query.weight"))
    save_file({**weights, name: weights[name] + np.float32(1e-3)}, hub / WEIGHTS)
    with pytest.raises(UserError, match=r"makes another model of org/tiny in .* than was exported: fingerprint"):
        load_model(str(out), cache_dir=tmp_path / "other")
    save_file(weights, hub / WEIGHTS)
    difference = load_file(out / DIFFERENCE)
    save_file({name: -value for name, value in difference.items()}, out / DIFFERENCE)
    with pytest.raises(UserError, match=f"was changed after the export: {DIFFERENCE} has "):
        load_model(str(out), cache_dir=tmp_path / "other")
    del difference[next(name for name in difference if name.endswith(".exponents"))]
    save_file(difference, out / DIFFERENCE)
    manifest = json.loads((out / "uwe_jax.json").read_text())
    manifest["files"][DIFFERENCE] = checksum(out / DIFFERENCE)
    write_json(out / "uwe_jax.json", manifest)
    with pytest.raises(UserError, match="has no pair of factors"):
        load_model(str(out), cache_dir=tmp_path / "other")


def test_what_cannot_be_exported_in_low_rank(run, hub, tmp_path):
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match="was not trained"):
        low_rank(f"{BASE}:soft", tmp_path / "out", cache, 4)
    local = write_run(tmp_path / "local", write_tiny_encoder(tmp_path / "encoder", layers=1))
    with pytest.raises(UserError, match="was trained from a folder"):
        low_rank(local, tmp_path / "out", cache, 4)
    with pytest.raises(UserError, match="--low-rank writes no whole encoder"):
        ExportOptions(low_rank=4, onnx=True)
    with pytest.raises(UserError, match=r"low.rank is -1"):
        ExportOptions(low_rank=-1)
    with pytest.raises(UserError, match=r"--bits is 9\. Give 1 to 8 bits per weight"):
        ExportOptions(bits=9)
    with pytest.raises(UserError, match="are two ways to store what training changed"):
        ExportOptions(low_rank=4, bits=3)
    with pytest.raises(UserError, match=r"(?s)was not trained.*Export without --bits"):
        export(*options(f"{BASE}:soft", tmp_path / "out", cache, bits=4))
    assert not (tmp_path / "out").exists()


def test_a_text_of_ones_own_ends_the_card(run, tmp_path):
    (tmp_path / "notes.md").write_text("## Measured\n\nMAP 12.3\n")
    folder = export(*options(run, tmp_path / "out", tmp_path / "cache", card=tmp_path / "notes.md"))
    assert (folder / "README.md").read_text().endswith("\n\n## Measured\n\nMAP 12.3\n")
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe\xff")
    for name, reason in (("nowhere.md", "No such file"), ("binary.md", "it is not UTF-8 text")):
        with pytest.raises(UserError, match=rf"--card .*{name} cannot be read \({reason}"):
            export(*options(run, tmp_path / "other", tmp_path / "cache", card=tmp_path / name))
    assert not (tmp_path / "other").exists()
