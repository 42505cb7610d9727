"""Tests what published folders declare beside their encoder: reported, distinguished and never exported away."""

import json
import logging
import re
import shlex
import shutil

import chex
import numpy as np
import pytest
from fake_hub import REPO, only_hub
from huggingface_hub import constants
from optional_torch import torch
from safetensors.numpy import load_file, save_file
from test_export import write_run
from tiny_encoder import write_tiny_encoder

from uwe_jax.export.export import ExportOptions, export
from uwe_jax.export.subjects import Share
from uwe_jax.models.loading import load_encoder, load_model
from uwe_jax.models.resolve import absolute_name, resolve_encoder
from uwe_jax.models.sentence_modules import modules_digest, not_applied
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.logging_setup import shown

TYPES = "sentence_transformers.models."
PLAIN = [
    {"idx": 0, "name": "0", "path": "", "type": f"{TYPES}Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{TYPES}Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{TYPES}Normalize"},
]
ELSEWHERE = [PLAIN[0], PLAIN[1] | {"path": "2_Pooling"}]
DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": f"{TYPES}Dense"}


def publish(folder, modules=PLAIN, pooling=None, settings=None, seed=0):
    """A tiny encoder as sentence-transformers saves it."""
    write_tiny_encoder(folder, seed=seed)
    (folder / "1_Pooling").mkdir()
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling or {"pooling_mode_mean_tokens": True}))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings or {"prompts": {"query": ""}}))
    return folder


def add_dense(folder, seed=0):
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "config.json").write_text('{"in_features": 16, "out_features": 4}')
    weight = np.random.default_rng(seed).normal(size=(4, 16)).astype(np.float32)
    save_file({"linear.weight": weight}, folder / "2_Dense" / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("modules", "pooling", "settings", "expected"),
    [
        (PLAIN, None, None, ()),
        (PLAIN[:2], {"pooling_mode": "mean"}, {"prompts": None}, ()),
        (PLAIN, {"embedding_dimension": 16}, None, ()),
        (PLAIN, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, None, ("cls pooling",)),
        (PLAIN, {"pooling_mode": "cls"}, None, ("cls pooling",)),
        (PLAIN, {"pooling_mode": ["mean", "max"]}, None, ("mean and max pooling",)),
        (PLAIN, {"pooling_mode_mean_sqrt_len_tokens": True}, None, ("mean_sqrt_len pooling",)),
        ([*PLAIN[:2], DENSE], None, None, ("Dense layer",)),
        (PLAIN, None, {"prompts": {"query": "query: ", "document": ""}}, ("prompts (query)",)),
        (
            ELSEWHERE,
            None,
            None,
            ("unknown (2_Pooling/config.json is missing) pooling",),
        ),
    ],
)
def test_declared_modules_are_described(tmp_path, modules, pooling, settings, expected):
    assert not_applied(publish(tmp_path / "encoder", modules, pooling, settings)) == expected


def test_a_folder_without_modules_declares_nothing(tmp_path):
    folder = publish(tmp_path / "encoder", settings={"prompts": {"query": "query: "}})
    (folder / "modules.json").unlink()  # sentence-transformers then pools by the mean, without prompts
    assert not_applied(folder) == ()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", "{}", r"modules\.json holds a dict instead of a list"),
        ("modules.json", "[" * 100_000, r"modules\.json is not readable JSON: .*too deeply"),
        ("modules.json", "[3]", r"modules\.json does not name the type of every module"),
        ("modules.json", '[{"type": "a.Dense", "path": "../other"}]', r"the path '\.\./other'; it must be a folder"),
        ("modules.json", '[{"type": "a.Dense", "path": 3}]', r"the path 3; it must be a folder"),
        ("1_Pooling/config.json", "[]", r"config\.json holds a list instead of an object"),
        ("1_Pooling/config.json", '{"pooling_mode": 3}', r"pooling_mode 3; it must be a name or a list"),
        ("config_sentence_transformers.json", '{"prompts": ["a"]}', r"prompts \['a'\]; they must be texts by name"),
    ],
)
def test_damaged_declarations_are_refused(tmp_path, file, content, message):
    folder = publish(tmp_path / "encoder")
    (folder / file).write_text(content)
    with pytest.raises(UserError, match=message):
        load_model(folder, cache_dir=tmp_path / "cache")


CLS = {"pooling_mode": "cls"}


def test_modules_that_are_not_applied_are_logged_even_with_quiet(tmp_path, capsys):
    folder = publish(tmp_path / "encoder", pooling=CLS, settings={"prompts": {"query": "query: "}})
    with shown(logging.WARNING):
        model = load_model(f"{folder}:soft", cache_dir=tmp_path / "cache")
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        f"Encoder {folder}: its folder declares cls pooling and prompts (query), which training and all scorers but "
        "`published` leave out" in line
    )
    assert model.description.endswith("soft, without its cls pooling and prompts (query)")
    load_model(publish(tmp_path / "plain"), cache_dir=tmp_path / "cache")
    assert "leave out" not in capsys.readouterr().err


def test_fingerprints_change_with_what_is_not_applied_and_with_nothing_else(tmp_path):
    plain = write_tiny_encoder(tmp_path / "plain")
    folders = [
        publish(tmp_path / "cls", pooling=CLS),
        publish(tmp_path / "max", pooling={"pooling_mode": "max"}),
        publish(tmp_path / "query", settings={"prompts": {"query": "query: "}}),
        publish(tmp_path / "passage", settings={"prompts": {"query": "passage: "}}),
        add_dense(publish(tmp_path / "dense", modules=[*PLAIN[:2], DENSE])),
        add_dense(publish(tmp_path / "other", modules=[*PLAIN[:2], DENSE]), seed=1),
    ]
    models = [load_model(folder, cache_dir=tmp_path / "cache") for folder in (plain, *folders)]
    assert len({model.fingerprint for model in models}) == len(models)
    same = load_model(publish(tmp_path / "published"), cache_dir=tmp_path / "cache")
    assert same.fingerprint == models[0].fingerprint


def options(tmp_path, *names):
    models = tuple(Share(str(name), 1 / len(names)) for name in names)
    return ExportOptions(out=tmp_path / "out", cache_dir=str(tmp_path / "cache")), models


def test_a_published_folder_is_not_exported_as_another_model(tmp_path):
    one, two = (publish(tmp_path / name, pooling=CLS, seed=k) for k, name in enumerate(("one", "two")))
    for names in ((one,), (one, two)):
        with pytest.raises(UserError, match=r"one declares cls pooling\. An export has mean pooling alone"):
            export(*options(tmp_path, *names))
    assert not (tmp_path / "out").exists()


def test_a_model_trained_from_such_an_encoder_is_ones_own(tmp_path, capsys):
    folder = publish(tmp_path / "encoder", pooling=CLS)
    load_encoder(str(folder))  # as training does
    assert "its folder declares cls pooling, which training and" in capsys.readouterr().err
    run = write_run(tmp_path / "run", folder, "float32")
    capsys.readouterr()
    out = export(*options(tmp_path, run))
    assert capsys.readouterr().err.count("its folder declares cls pooling") == 1
    assert not_applied(out) == ()
    model = load_model(run, cache_dir=tmp_path / "cache")
    shutil.rmtree(folder)
    write_tiny_encoder(folder)
    assert load_model(run, cache_dir=tmp_path / "cache").fingerprint == model.fingerprint


# ---- Other layouts --------------------------------------------------------------------------------------


def nested(folder, **published):
    """An encoder in a subfolder, as sentence-transformers saved it once."""
    publish(folder, **published)
    below = folder / "0_Transformer"
    below.mkdir()
    for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (folder / file).rename(below / file)
    (folder / "modules.json").write_text(json.dumps([PLAIN[0] | {"path": "0_Transformer"}, *PLAIN[1:]]))
    return folder


def test_an_encoder_one_folder_down_is_found_with_what_is_declared_above_it(tmp_path):
    folder = nested(tmp_path / "nested", pooling=CLS)
    below = folder / "0_Transformer"
    for name in (folder, below):
        found = resolve_encoder(str(name))
        assert (found.folder, not_applied(found.folder)) == (below, ("cls pooling",))
    assert absolute_name(str(folder)) == str(folder)
    before = modules_digest(below)
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "max"}')
    assert modules_digest(below) != before


def shard(folder):
    """Cuts the weights of a folder in two, and writes their index."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    placed = {name: f"model-0000{1 + 2 * k // len(names)}-of-00002.safetensors" for k, name in enumerate(names)}
    for file in set(placed.values()):
        save_file({name: tensors[name] for name in names if placed[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    (folder / "model.safetensors").unlink()
    return folder


def test_sharded_weights_are_those_of_one_file(tmp_path):
    whole = load_encoder(str(write_tiny_encoder(tmp_path / "whole"))).params
    folder = shard(write_tiny_encoder(tmp_path / "sharded"))
    chex.assert_trees_all_equal(load_encoder(str(folder)).params, whole)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-00002-of-00002\.safetensors is damaged or cannot be read"):
        load_encoder(str(folder))


@pytest.mark.parametrize("placed", ["{}", '{"weight_map": {"a": "../b.safetensors"}}', '{"weight_map": 3}'])
def test_an_index_that_does_not_name_files_beside_it_is_refused(tmp_path, placed):
    folder = write_tiny_encoder(tmp_path / "sharded")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(placed)
    with pytest.raises(UserError, match=r"index\.json places weights in .*beside it"):
        load_encoder(str(folder))


def test_pickled_weights_and_sentencepiece_are_refused_with_commands_that_convert_them(tmp_path, monkeypatch):
    whole = write_tiny_encoder(tmp_path / "whole", "xlm-roberta")
    folder = shutil.copytree(whole, tmp_path / "pickled")
    tensors = load_file(folder / "model.safetensors")
    torch.save({name: torch.tensor(value) for name, value in tensors.items()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    (folder / "tokenizer.json").rename(folder / "sentencepiece.bpe.model")
    with pytest.raises(UserError, match="pip install sentencepiece protobuf && python -c") as refusal:
        resolve_encoder(str(folder))
    code = shlex.split(re.search(r"convert it with (python -c .*?)\), ", str(refusal.value)).group(1))[2]
    exec(code, {})
    (folder / "sentencepiece.bpe.model").rename(folder / "tokenizer.json")
    chex.assert_trees_all_equal(load_encoder(str(folder)).params, load_encoder(str(whole)).params)


def test_the_modules_and_shards_of_a_repository_are_downloaded(tmp_path, monkeypatch):
    folder = add_dense(nested(tmp_path / "nested"))
    shard(folder / "0_Transformer")
    modules = [PLAIN[0] | {"path": "0_Transformer"}, PLAIN[1], DENSE]
    (folder / "modules.json").write_text(json.dumps(modules))
    expected = load_model(folder, cache_dir=tmp_path / "cache").fingerprint
    with only_hub(tmp_path / "hub", monkeypatch) as fake:
        fake.publish({str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()})
        online = load_model(REPO, cache_dir=tmp_path / "cache")
        assert "downloaded" in online.description
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        cached = load_model(REPO, cache_dir=tmp_path / "cache")
        assert online.fingerprint == cached.fingerprint == expected
        (cached.folder.parent / "2_Dense" / "config.json").unlink()
        with pytest.raises(UserError, match=r"incomplete in the hub's cache: .* lacks 2_Dense/config\.json"):
            load_model(REPO, cache_dir=tmp_path / "cache")


def test_an_unreadable_folder_is_a_user_error(tmp_path, monkeypatch):
    folder = write_tiny_encoder(tmp_path / "encoder")

    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("uwe_jax.models.resolve.lacking", denied)
    with pytest.raises(UserError, match=f"{folder} cannot be read: Permission denied"):
        resolve_encoder(str(folder))
