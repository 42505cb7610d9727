"""Export: PyTorch computes what we compute, the folder reads back bit for bit, and no file of the user is lost."""

import dataclasses
import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_hub import REPO, only_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, ModelCard, constants
from optional_torch import needs_torch, torch
from tiny_encoder import each_kind_of_layers, write_tiny_encoder
from transformers import AutoModel, AutoTokenizer

from uwe_jax.commands.export import main
from uwe_jax.config import (
    BatchSettings,
    Config,
    DistillationSettings,
    EncoderSettings,
    EvaluationSettings,
    LengthSettings,
    LossSettings,
    ScorerSettings,
    SourceSettings,
)
from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.evaluation.model_hashes import trained_on
from uwe_jax.evaluation.specs import load_ranker
from uwe_jax.export import export as exporting
from uwe_jax.export import onnx_files
from uwe_jax.export.export import ExportOptions, export
from uwe_jax.export.subjects import Share, hub_id
from uwe_jax.models.exported import exported_fingerprint, files_in
from uwe_jax.models.families.registry import FAMILIES
from uwe_jax.models.loading import load_encoder, load_model
from uwe_jax.models.run_folder import load_run
from uwe_jax.retrieval.loading import load
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.folders import replacing
from uwe_jax.scoring.names import NamePlaces, name_scores
from uwe_jax.scoring.scorer_text import parse_scorer, scorer_text
from uwe_jax.scoring.scorers import block_scores
from uwe_jax.scoring.tokens import Tokens
from uwe_jax.training.checkpoint import Checkpoints

TEXTS = ("care for patients", "write code", "nurse", "software engineer write code for patients zebra", "code")
QUERIES = ("nurse patients", "engineer", "write write software code")
METRICS = {"map": 61.25, "rp@10": 70.0, "mrr": 65.5, "queries": 4, "targets": 9}
MAX_TOKENS = 8
ROOT = Path(__file__).parents[1]


def write_run(workdir, encoder, dtype="float32", learn_tau_a=True, seed=1, teacher=""):
    """The workdir of a finished run: moved weights, learned temperatures, and its summary."""
    config = Config(
        workdir=str(workdir),
        steps=7,
        encoder=EncoderSettings(name=str(encoder), dtype=dtype),
        scorer=ScorerSettings(learn_tau_a=learn_tau_a),
        loss=LossSettings(distillation=DistillationSettings(path=teacher, weight=0.5)),
    )
    pretrained, rng = load_encoder(str(encoder)), np.random.default_rng(seed)
    moved = jax.tree.map(lambda x: x + 0.1 * rng.standard_normal(x.shape).astype(np.float32), pretrained.params)
    learned = {"log_tau_a": 0.17, "log_target_tau_a": 0.13}
    scorer = {name: np.log(np.float32(tau)) for name, tau in learned.items()} if learn_tau_a else {}
    state = {"params": {"encoder": moved, "scorer": scorer}, "step": np.int32(7)}
    meta = {
        "encoder": {
            "provenance": pretrained.provenance,
            "fingerprint": exported_fingerprint(pretrained.folder),
            **pretrained.config.to_hf(),
        },
        "fingerprints": {"job": "ab12", "alias": "cd34"} | ({"teacher": "ef56"} if teacher else {}),
        "before": None,
        "validation": {"macro_map": 61.25},
    }
    checkpoints = Checkpoints(workdir / "checkpoints")
    checkpoints.save(7, state, meta, 61.25)
    checkpoints.close()
    write_json(workdir / "config.json", config.to_dict())
    results = {
        "before": {"skill_to_job": {**METRICS, "map": 50.0}},
        "after": {"skill_to_job": METRICS, "job_to_skill": {**METRICS, "map": 40.5}, "macro_map": 50.9},
    }
    write_json(workdir / "summary.json", {**results, "step": 7, "steps": 7, "held_out": "test"})
    return workdir


def options(checkpoint, out, cache, **changes):
    chosen = ExportOptions(out=out, cache_dir=str(cache), **{"max_tokens": MAX_TOKENS, **changes})
    return chosen, (Share(str(checkpoint), 1.0),)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@dataclasses.dataclass
class Exported:
    """A run, and the folder that was made of it."""

    workdir: Path
    folder: Path


@pytest.fixture(scope="module")
def exports(cache, tmp_path_factory):
    """One of each family; MPNet was trained in mixed precision. ModernBERT has one layer of each kind."""
    made = {}
    for architecture, family in FAMILIES.items():
        folder = tmp_path_factory.mktemp(architecture)
        dtype, layers = "bfloat16" if architecture == "mpnet" else "float32", 2 if family.pre_norm else 1
        run = write_run(folder / "run", write_tiny_encoder(folder / "encoder", architecture, layers=layers), dtype)
        chosen = options(run, folder / "tiny-uwe", cache, license="mit", pylate=True)
        made[architecture] = Exported(run, export(*chosen))
    return made


@pytest.fixture(params=["bert", "mpnet", "modernbert"])
def made(request, exports):
    return exports[request.param]


@pytest.fixture
def broken(exports, tmp_path):
    """A copy of an export, for a test to break."""
    return shutil.copytree(exports["bert"].folder, tmp_path / "tiny-uwe")


@pytest.fixture(scope="module")
def in_float32(exports, cache):
    """Of every run: the tokens of QUERIES and of TEXTS, and their scores, by an encoder that computes in float32."""
    found = {}
    for architecture, made in exports.items():
        run = load_run(made.workdir, cache_dir=cache, max_tokens=MAX_TOKENS)
        model = dataclasses.replace(run.model, encoder=run.model.encoder.clone(dtype=jnp.float32))
        texts = (*QUERIES, *TEXTS)
        rows = run.tokeniser.tokenise(texts).rows(np.arange(len(texts)), MAX_TOKENS)
        embeddings, mask = jax.jit(model.encode)(run.params, *map(jnp.asarray, rows))
        q, y = (Tokens(embeddings[part], mask[part]) for part in (slice(len(QUERIES)), slice(len(QUERIES), None)))
        found[architecture] = (
            q,
            y,
            jax.jit(block_scores, static_argnums=3)(q, y, model.temperatures(run.params), run.scorer),
        )
    return found


def shipped_scorer(folder):
    """The module of uwe_scorer.py of an export."""
    spec = importlib.util.spec_from_file_location("uwe_scorer", folder / "uwe_scorer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hidden_files(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


# ---- What PyTorch computes ------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("architecture", FAMILIES)
def test_transformers_and_the_shipped_scorer_rank_as_the_run_in_float32(exports, in_float32, architecture):
    folder = exports[architecture].folder
    encoder, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    scorer = shipped_scorer(folder).UweScorer.from_pretrained(folder)
    assert float(scorer.tau_a) == pytest.approx(0.17, abs=1e-6)
    assert float(scorer.target_tau_a) == pytest.approx(0.13, abs=1e-6)
    queries, targets = (scorer.embed(encoder, tokenizer, texts, batch_size=2) for texts in (QUERIES, TEXTS))
    scores = scorer.scores(queries, targets, block=2)
    np.testing.assert_allclose(scores, in_float32[architecture][-1].forward, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_sentence_transformers_embeds_by_the_mean_of_our_tokens(exports, in_float32, architecture, recwarn):
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(exports[architecture].folder), device="cpu")
    assert (model.max_seq_length, model.similarity_fn_name) == (MAX_TOKENS, "cosine")
    _, (tokens, mask), _ = in_float32[architecture]
    means = (tokens * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1)[:, None]
    np.testing.assert_allclose(model.encode(list(TEXTS)), means, rtol=0, atol=1e-5)
    assert not [warning for warning in recwarn if issubclass(warning.category, DeprecationWarning | FutureWarning)]


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("layout", ["multi_vector", "pylate"])
@each_kind_of_layers
def test_multi_vector_encoders_have_our_tokens_and_max_sim(exports, in_float32, architecture, layout):
    """MultiVectorEncoder reads the layout of PyLate 1 as well; it compares by the sum as PyLate does."""
    library = pytest.importorskip("sentence_transformers", "6.0")
    model = library.MultiVectorEncoder(str(exports[architecture].folder / layout), device="cpu")
    kinds = {"multi_vector": ["MultiVectorMask", "Normalize"], "pylate": ["Dense", "MultiVectorMask", "Normalize"]}
    assert [type(module).__name__ for module in model] == ["Transformer", *kinds[layout]]
    queries, targets, _ = in_float32[architecture]
    found = model.encode_query(list(QUERIES)), model.encode_document(list(TEXTS))
    for side, (tokens, mask) in zip(found, (queries, targets), strict=True):
        units = tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)
        for i, text in enumerate(side):
            np.testing.assert_allclose(text, units[i][mask[i]], rtol=0, atol=1e-5)
    reduce, name = ("mean", "meanmaxsim") if layout == "multi_vector" else ("sum", "maxsim")
    assert model.similarity_fn_name == name
    ours = block_scores(queries, targets, 1.0, parse_scorer(f"max_sim,side=query,reduce={reduce}")).forward
    np.testing.assert_allclose(model.similarity(*found), ours, rtol=0, atol=1e-5)


def test_a_multi_vector_encoder_of_the_folder_of_single_vectors_is_refused(exports):
    library = pytest.importorskip("sentence_transformers", "6.0")
    with pytest.raises(ValueError, match="this folder has single vectors: load its multi_vector/"):
        library.MultiVectorEncoder(str(exports["bert"].folder), device="cpu")


def test_the_folders_for_late_interaction_are_copies_without_hard_links(broken, cache, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    folder = export(*options(broken, tmp_path / "copied", cache)) / "multi_vector"
    assert (folder / "model.safetensors").read_bytes() == (broken / "model.safetensors").read_bytes()
    assert not (folder.parent / "pylate").exists()


@needs_torch
@pytest.mark.parametrize(
    "text",
    [
        "soft",
        "soft,logits=dot",
        "soft,reduce=sum",
        "soft,logits=dot,reduce=sum",
        "soft_pooled",
        "soft_pooled,logits=dot",
        "max_sim",
        "max_sim,reduce=sum",
        "soft,side=query",
        "soft,side=target",
        "soft,logits=dot,target_weight=0.3,reduce=sum",
        "max_sim,side=query",
        "mean_pool",
    ],
)
def test_the_shipped_scorer_is_ours(exports, text, rng):
    """Over raw embeddings of norms about 4, with padding, and with texts that have no token at all."""
    q, y = (rng.standard_normal((n, t, 16)).astype(np.float32) for n, t in ((4, 5), (6, 7)))
    q_mask, y_mask = (np.arange(t) < rng.integers(1, t + 1, n)[:, None] for n, t in ((4, 5), (6, 7)))
    q_mask[2] = y_mask[3] = False
    settings = parse_scorer(text)
    blocks = (Tokens(jnp.asarray(x), jnp.asarray(mask)) for x, mask in ((q, q_mask), (y, y_mask)))
    expected = jax.jit(block_scores, static_argnums=3)(*blocks, (0.13, settings.target_tau_a), settings).forward
    scorer = shipped_scorer(exports["bert"].folder).UweScorer(
        settings.kind,
        settings.logits,
        0.13,
        settings.reduce,
        settings.side,
        settings.target_tau_a,
        settings.target_weight,
    )
    scores = scorer(*map(torch.from_numpy, (q, q_mask, y, y_mask)))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)
    ragged = ([torch.from_numpy(x[m]) for x, m in zip(*side, strict=True)] for side in ((q, q_mask), (y, y_mask)))
    np.testing.assert_allclose(scorer.scores(*ragged, block=4), expected, rtol=0, atol=1e-5)


def test_the_examples_of_the_model_card_run(exports, monkeypatch, capsys):
    pytest.importorskip("sentence_transformers")
    folder = exports["bert"].folder
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr(sys, "path", [*sys.path])
    blocks = re.findall("```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert ["sentence_transformers" in blocks[0], "uwe_scorer" in blocks[1], "uwe_jax.load(" in blocks[3]] == [True] * 3
    found = {}
    for block in blocks[:3]:
        exec(block, found)
    asked = found["scorer"].embed(found["encoder"], found["tokenizer"], ["code developer"])
    of_names = found["scorer"].scores(asked, found["targets"]).numpy()
    expected = name_scores(of_names, NamePlaces(found["starts"].numpy()))
    np.testing.assert_allclose(found["scores"], expected, rtol=0, atol=1e-6)
    assert "tensor([[" in capsys.readouterr().out
    sys.modules.pop("uwe_scorer")


# ---- What uwe_jax reads back ----------------------------------------------------------------------------------------


def test_an_export_reads_back_bit_for_bit(made, cache, tmp_path):
    run = load_run(made.workdir, cache_dir=cache, max_tokens=MAX_TOKENS)
    back = load_model(made.folder, cache_dir=cache)
    chex.assert_trees_all_equal(back.params, run.params)
    assert back.stored_fingerprint == dataclasses.replace(back, stored_fingerprint="").fingerprint == run.fingerprint
    assert (back.scorer, back.max_tokens) == (run.scorer, MAX_TOKENS)
    assert (back.model.encoder.config, back.model.encoder.dtype) == (run.model.encoder.config, run.model.encoder.dtype)
    assert load_model(made.folder, cache_dir=cache, max_tokens=5).max_tokens == 5

    again = export(*options(made.folder, tmp_path / "tiny-uwe", cache, license="mit", max_tokens=None, pylate=True))
    for path in sorted(path for path in made.folder.rglob("*") if path.is_file()):
        assert (again / path.relative_to(made.folder)).read_bytes() == path.read_bytes(), path.name


def test_an_export_is_evaluated_as_the_run_and_is_an_encoder(exports, cache):
    made = exports["bert"]
    run, back = (load_ranker(str(spec), cache_dir=cache, max_tokens=MAX_TOKENS) for spec in (made.workdir, made.folder))
    np.testing.assert_array_equal(back.index(TEXTS)(QUERIES), run.index(TEXTS)(QUERIES))
    assert "exported by uwe_jax" in back.description
    other = load_model(f"{made.folder}:mean_pool", cache_dir=cache)
    assert other.scorer.kind == "mean_pool"
    exported = load_model(made.folder, cache_dir=cache)
    for name in ("training", "trained_in", "max_tokens"):
        assert getattr(other, name) == getattr(exported, name)
    trained = load_run(made.workdir, cache_dir=cache).params["encoder"]
    chex.assert_trees_all_equal(load_encoder(str(made.folder)).params, trained)


def test_an_export_with_another_scorer_is_exported_with_its_training_and_without_the_results_of_its_own(
    exports, cache, tmp_path
):
    folder = shutil.copytree(exports["bert"].folder, tmp_path / "whole")
    hashes = TrainingHashes(np.array([3, 5], np.uint64), np.array([8], np.uint64))
    hashes.write(folder / "trained_on.npz")
    out = export(*options(f"{folder}:max_sim", tmp_path / "again", cache))
    before, after = (json.loads((each / "uwe_jax.json").read_text()) for each in (folder, out))
    assert (before["scorer"]["kind"], after["scorer"]["kind"]) == ("soft", "max_sim")
    assert before["training"].pop("results")["after"]  # were measured with the former scorer
    for name in ("training", "base_model", "fingerprint"):
        assert after[name] == before[name]
    assert TrainingHashes.read(out / "trained_on.npz").nodes.tolist() == [3, 5]
    card = (out / "README.md").read_text()
    assert "trained with" in card
    assert "Training continued from" not in card
    assert "## Results" not in card
    assert "model-index" not in card


def test_the_training_hashes_of_an_export_on_the_hub_are_found(broken, cache, tmp_path, monkeypatch, caplog):
    TrainingHashes(np.array([3, 5], np.uint64), np.array([8], np.uint64)).write(broken / "trained_on.npz")
    export(*options(broken, tmp_path / "out", cache))
    with only_hub(tmp_path / "hub", monkeypatch) as fake:
        fake.publish({name: (tmp_path / "out" / name).read_bytes() for name in files_in(tmp_path / "out")})
        for spec in (REPO, f"{REPO}:mean_pool"):
            assert trained_on(spec, cache).nodes.tolist() == [3, 5]
        assert trained_on("nobody/nothing", cache) is None
        folder = load_model(f"{REPO}:mean_pool", cache_dir=cache).trained_in
        assert trained_on(str(folder), cache).nodes.tolist() == [3, 5]
    (folder / "trained_on.npz").unlink()
    assert trained_on(str(folder), cache) is None
    assert "lacks the trained_on.npz of this export" in caplog.text


@needs_torch
def test_an_export_saved_before_there_were_sides_scores_from_the_querys(broken, cache):
    manifest = json.loads((broken / "uwe_jax.json").read_text())
    scorer = {name: value for name, value in manifest["scorer"].items() if name != "side" and "target" not in name}
    change(broken, scorer=scorer, learned={"log_tau_a": manifest["learned"]["log_tau_a"]})
    expected = ScorerSettings(tau_a=scorer["tau_a"], side="query")
    loaded = load_model(broken, cache_dir=cache)
    assert loaded.scorer == expected
    assert shipped_scorer(broken).UweScorer.from_pretrained(broken).side == "query"
    again = export(*options(broken, broken.parent / "again", cache))
    assert scorer_text(expected, digits=4) in (again / "README.md").read_text()


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("mean_pool", "cos(mean of e, mean of t)"),
        ("soft_pooled", "sum over i of softmax_i(cos(e_i, mean of t) / 0.1) cos(e_i, mean of t)"),
    ],
)
def test_the_card_of_a_scorer_without_sides_has_one_formula(broken, cache, tmp_path, kind, formula):
    change(broken, scorer={"kind": kind}, learned={})
    text = (export(*options(broken, tmp_path / "again", cache)) / "README.md").read_text()
    assert f"    s(q, y) = {formula}\n" in text


def test_a_run_that_continued_from_an_export_records_it(exports, cache, tmp_path):
    first = exports["bert"].folder
    second = export(*options(write_run(tmp_path / "second", first), tmp_path / "out", cache))
    earlier = json.loads((second / "uwe_jax.json").read_text())["training"]["started_from"]
    manifest = json.loads((first / "uwe_jax.json").read_text())
    assert earlier == {key: manifest[key] for key in ("name", "fingerprint", "training")}
    assert f"Training continued from run (`{manifest['fingerprint']}`)" in (second / "README.md").read_text()


def test_the_card_of_a_run_with_a_teacher_names_its_files(exports, cache, tmp_path):
    run = write_run(tmp_path / "run", exports["bert"].folder, teacher="/home/me/jobs.npz,/home/me/titles.npz")
    text = (export(*options(run, tmp_path / "out", cache)) / "README.md").read_text()
    assert "A teacher's scores (jobs.npz,titles.npz) are learned as well, weight 0.5." in text
    assert "| teacher | `ef56` |" in text
    assert "/home" not in text


def test_an_export_on_the_hub_is_ranked_as_it_was_trained(exports, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--me--mine" / "snapshots" / ("a" * 40)
    shutil.copytree(exports["bert"].folder, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
    assert load_model("me/mine", cache_dir=cache).scorer.kind == "soft"
    assert load_model("me/mine:max_sim", cache_dir=cache).scorer.kind == "max_sim"


def change(folder, **values):
    path = folder / "uwe_jax.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def flip(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda out: (out / "model.safetensors").write_bytes(b"short"), r"model.safetensors has 5 bytes instead of"),
        (lambda out: flip(out / "model.safetensors"), "model.safetensors has other content"),
        (lambda out: (out / "tokenizer.json").unlink(), "lacks tokenizer.json|tokenizer.json is missing"),
        (lambda out: (out / "uwe_jax.json").write_text("{"), "uwe_jax.json is not readable JSON"),
        (lambda out: (out / "uwe_jax.json").write_text("[]"), "uwe_jax.json holds a list instead of an object"),
        (lambda out: change(out, format="1"), "has no format number"),
        (lambda out: change(out, scorer={"tau_a": "0.3"}), "uwe_jax.json: scorer.tau_a is '0.3'"),
        (lambda out: change(out, learned={"log_tau_a": "warm"}), "uwe_jax.json: could not convert string"),
        (lambda out: change(out, learned={"log_tau_a": float("nan")}), "uwe_jax.json: .*not finite: first log_tau_a"),
        (lambda out: change(out, learned={"temperature": 1.0}), "uwe_jax.json: learned may only hold"),
        (lambda out: change(out, dtype="int7"), "uwe_jax.json: encoder.dtype is 'int7'"),
        (lambda out: change(out, max_tokens=True), "max_tokens is True; it must be of type int"),
        (lambda out: change(out, format=2, uwe_jax="9.9"), "format 2, written by uwe_jax 9.9.*Install the newer"),
        (lambda out: change(out, scorer={"kind": "soft", "tau": 3}), "uwe_jax.json: Unknown setting scorer.tau"),
        (lambda out: change(out, files={"config.json": 3}), "files must hold a size"),
        (lambda out: change(out, fingerprint=None), "fingerprint is None; it must be of type str"),
    ],
)
def test_damage_to_an_export_is_reported(broken, cache, break_it, message):
    break_it(broken)
    with pytest.raises(UserError, match=message):
        load_model(broken, cache_dir=cache)


@pytest.mark.parametrize(
    "training",
    [
        {"step": 7},
        {"step": "7", "config": {"source": []}, "fingerprints": []},
        {"average": {"name": 1}},
        {"average": [{"name": 3, "weight": "half", "fingerprint": None, "training": {}}]},
    ],
)
def test_a_damaged_training_record_is_reported(broken, cache, tmp_path, training):
    change(broken, training=training)
    with pytest.raises(UserError, match=r"uwe_jax\.json: the record of the training is damaged"):
        export(*options(broken, tmp_path / "out", cache))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"summary\.json is not readable JSON"),
        ("[" * 200_000, r"summary\.json is not readable JSON.*nested too deeply"),
        ("[]", r"summary\.json holds a list"),
        ('{"step": 7, "held_out": "test", "after": [1]}', r"summary\.json: the record of the training is damaged"),
        (
            '{"step": 7, "held_out": 3, "after": {"a": {"map": "x"}}, "before": {}}',
            r"the record of the training is dama",
        ),
    ],
)
def test_a_damaged_summary_of_a_run_is_reported(exports, cache, tmp_path, content, message):
    run = shutil.copytree(exports["bert"].workdir, tmp_path / "run")
    (run / "summary.json").write_text(content)
    with pytest.raises(UserError, match=message):
        export(*options(run, tmp_path / "out", cache))


# ---- The folder -----------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_an_export_needs_no_torch(exports, cache, tmp_path):
    made = exports["bert"]
    without = """
import sys
class Without:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "torch":
            raise ImportError(name)
sys.meta_path.insert(0, Without())
"""
    code = f"{without}\nfrom uwe_jax.commands.export import main; main(sys.argv[1:])"
    flags = [f"--model={made.workdir}", f"--out={tmp_path / 'tiny-uwe'}", f"--cache_dir={cache}", "--license=mit"]
    command = [sys.executable, "-c", code, *flags, f"--max_tokens={MAX_TOKENS}", "--pylate"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    for path in sorted(path for path in made.folder.rglob("*") if path.is_file()):
        assert (tmp_path / "tiny-uwe" / path.relative_to(made.folder)).read_bytes() == path.read_bytes(), path.name


def test_the_model_card_has_the_metadata_of_the_hub(made, exports, cache, tmp_path):
    text = (made.folder / "README.md").read_text()
    data = ModelCard(text).data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "mit",
        "sentence-transformers",
        "sentence-similarity",
    )
    assert data.base_model is None  # a folder of one's own is none that the hub knows
    rankings = ("skill to job", 61.25), ("job to skill", 40.5)
    assert [(r.dataset_name.rpartition(": ")[2], r.metric_type, r.metric_value) for r in data.eval_results] == [
        (name, metric, value)
        for name, mean in rankings
        for metric, value in (("map", mean), ("rp@10", 70.0), ("mrr", 65.5))
    ]
    assert len({r.unique_identifier for r in data.eval_results}) == len(rankings)
    assert "| skill to job | MAP | 50.0 | 61.2 |" in text
    assert "| job to skill | MAP | - | 40.5 |" in text
    assert "| skill-alias | `cd34` |" in text
    assert ("bfloat16" in text) == (made is exports["mpnet"])
    for name in ("README.md", "uwe_jax.json"):  # what is published names no folder of the author's
        assert str(made.workdir.parent) not in (made.folder / name).read_text()


MARKUP = "a|b_c [x](http://y) <b>`*c*`</b>\n---\n# d"
SHOWN = r"a\|b_c \[x\](http://y) \<b\>\`\*c\*\`\</b\> --- \# d"


def test_names_with_markup_are_shown_as_they_are(exports, cache, tmp_path, monkeypatch):
    run = exports["bert"].workdir
    out = export(*options(run, tmp_path / 'my "models" \\n', cache, name=MARKUP))
    training = json.loads((out / "uwe_jax.json").read_text())["training"]
    del training["config"]["encoder"]["wise_ft_alpha"]
    training["config"]["encoder"]["pretrained_share"] = 0.25  # as a former version called it
    change(out, base_model=MARKUP, fingerprint=MARKUP, training=training)
    twice = (Share(str(out), 0.5), Share(str(run), 0.5))
    for models, shown in (((Share(str(out), 1.0),), 2), (twice, 2)):
        again = export(options(run, tmp_path / "again", cache, name=MARKUP)[0], models)
        text = (again / "README.md").read_text()
        assert ModelCard(text).data.library_name == "sentence-transformers"
        body = text.partition("\n---\n")[2] or text
        assert text.count(SHOWN) >= shown
        assert text.count("interpolated with the pretrained ones by WiSE-FT, alpha 0.75.") == 1
        assert MARKUP not in text
        assert "<b>" not in body.split("```")[-1]
        assert f"\n# {SHOWN}\n" in text
    blocks = re.findall("```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    assert 'SentenceTransformer("my \\"models\\" \\\\n")' in blocks[0]
    folder = next(line for line in blocks[1].splitlines() if line.startswith("folder = "))
    assert eval(folder.removeprefix("folder = ")) == out.name


def test_an_encoder_as_published_is_exported_with_the_scorer_that_is_named(exports, cache, tmp_path):
    encoder = exports["bert"].workdir.parent / "encoder"
    out = export(*options(f"{encoder}:max_sim", tmp_path / "out", cache, name="plain", language=("nl", "fr")))
    back = load_model(out, cache_dir=cache)
    assert (back.name, back.scorer.kind, back.training) == ("plain", "max_sim", {})
    data = ModelCard((out / "README.md").read_text()).data
    assert (data.language, data.eval_results) == (["nl", "fr"], None)
    assert [hub_id(name) for name in ("all-mpnet-base-v2", "me/mine", str(encoder))] == [
        "sentence-transformers/all-mpnet-base-v2",
        "me/mine",
        "",
    ]


@needs_torch
def test_an_export_scores_from_both_sides_in_pytorch(exports, cache, tmp_path):
    encoder = exports["bert"].workdir.parent / "encoder"
    how = "soft,tau_a=0.2,side=both,target_tau_a=0.07,target_weight=0.4"
    out = export(*options(f"{encoder}:{how}", tmp_path / "out", cache))
    scorer = shipped_scorer(out).UweScorer.from_pretrained(out)
    encoder, tokenizer = AutoModel.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    scores = scorer.scores(*(scorer.embed(encoder, tokenizer, texts) for texts in (QUERIES, TEXTS)))
    np.testing.assert_allclose(scores, load(out, cache_dir=cache).scores(QUERIES, TEXTS), rtol=0, atol=1e-5)
    formula = "0.6 (mean over i of sum_j softmax_j(cos(e_i, t_j) / 0.2) cos(e_i, t_j)) + 0.4 (mean over j of sum_i"
    assert formula in (out / "README.md").read_text()


def test_an_unchanged_export_is_replaced(exports, broken, cache):
    export(*options(exports["mpnet"].workdir, broken, cache))
    assert load_model(broken, cache_dir=cache).model.encoder.config.architecture == "mpnet"
    assert not hidden_files(broken.parent)


@pytest.mark.parametrize(
    ("put_there", "message"),
    [
        (lambda out: (out / "notes.txt").write_text("mine"), "changes of yours.*notes.txt is new"),
        (lambda out: (out / "README.md").write_text("mine"), "changes of yours.*README.md has"),
        (lambda out: (out / "uwe_jax.json").unlink(), "holds other things than an export"),
        (lambda out: (shutil.rmtree(out), out.write_text("mine")), "is a file"),
    ],
)
def test_files_of_the_user_are_not_replaced(broken, exports, cache, put_there, message):
    put_there(broken)
    before = broken.read_text() if broken.is_file() else sorted((p, p.stat().st_mtime_ns) for p in broken.rglob("*"))
    with pytest.raises(UserError, match=message):
        export(*options(exports["bert"].workdir, broken, cache))
    assert before == (
        broken.read_text() if broken.is_file() else sorted((p, p.stat().st_mtime_ns) for p in broken.rglob("*"))
    )


def test_an_export_that_fails_leaves_the_folder_as_it_was(exports, broken, cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_write_scorer", full)
    before = {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()}
    with pytest.raises(OSError, match="No space"):
        export(*options(exports["mpnet"].workdir, broken, cache))
    assert {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()} == before
    assert not hidden_files(broken.parent)


def test_an_export_killed_between_its_renames_is_restored_when_it_is_loaded(exports, cache, tmp_path):
    out = tmp_path / "out"
    hidden = tmp_path / ".out.replacing"
    shutil.copytree(exports["bert"].folder, hidden / "old")
    assert load_model(out, cache_dir=cache).model.encoder.config.architecture == "bert"
    assert not hidden.exists()
    out.rename(tmp_path / "aside")
    (tmp_path / "aside" / "notes.txt").write_text("mine")
    hidden.mkdir()
    (tmp_path / "aside").rename(hidden / "old")
    with pytest.raises(UserError, match=r"changes of yours.*notes.txt is new"):
        export(*options(exports["bert"].workdir, out, cache))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.thorough
def test_a_second_export_to_the_same_folder_is_refused_at_once(exports, cache, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(exporting, "subject_of", lambda *_, **__: pytest.fail("loaded a model"))
    with (
        replacing(out),
        pytest.raises(UserError, match=rf"writing {out} \(process {os.getpid()} on .*name another folder with --out"),
    ):
        export(*options(exports["bert"].workdir, out, cache))


# ---- The command ----------------------------------------------------------------------------------------------------


def command(*flags):
    """Runs the command in this process; returns its exit status."""
    try:
        answer_errors(lambda: main([str(flag) for flag in flags]))
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--out", "OUT"), "--model is required"),
        (("--model", "RUN"), "--out is required"),
        (("--model", "RUN", "--out", "OUT", "--max_tokens", "2"), "--max-tokens is 2; it must be at least 3"),
        (("--model", "RUN", "--out", "OUT", "--max_tokens", "161"), "max_tokens is 161"),
        (("--model", "RUN", "--out", "OUT", "--push_to_hub", "mine"), "names no owner"),
        (("--model", "RUN", "--out", "OUT", "--push_to_hub", "me/my model"), "Give it as user/name"),
        (("--model", "RUN/none", "--out", "OUT"), "there is no folder"),
    ],
)
def test_wrong_options_are_reported(exports, cache, tmp_path, capsys, flags, message):
    run, out = exports["bert"].workdir, tmp_path / "out"
    flags = [flag.replace("RUN", str(run)).replace("OUT", str(out)) for flag in flags]
    assert command(*flags, "--cache_dir", cache) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


class FakeApi:
    """What is asked of the hub."""

    asked: list
    refusal: Exception | None = None
    there: tuple[str, ...] = ()

    def __init__(self, **_):
        pass

    def create_repo(self, repo, **settings):
        if self.refusal:
            raise self.refusal
        self.asked.append((repo, settings))
        return f"https://hub/{repo}"

    def list_repo_files(self, repo):
        return self.there

    def create_commit(self, repo, operations, *, commit_message):
        names = {
            kind: [each.path_in_repo for each in operations if isinstance(each, kind)]
            for kind in (CommitOperationAdd, CommitOperationDelete)
        }
        self.asked.append((repo, *names.values()))


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(FakeApi, "asked", [], raising=False)
    monkeypatch.setattr(exporting, "HfApi", FakeApi)
    return FakeApi


def test_an_export_is_pushed(exports, cache, tmp_path, hub, capsys):
    out = tmp_path / "out"
    flags = ("--model", exports["bert"].workdir, "--out", out, "--cache_dir", cache)
    assert command(*flags, "--push_to_hub", "me/mine", "--private") == 0
    created, (repo, added, deleted) = hub.asked
    assert created == ("me/mine", {"private": True, "exist_ok": True})
    assert (repo, added, deleted) == ("me/mine", files_in(out), [])
    card = (out / "README.md").read_text()
    assert 'SentenceTransformer("me/mine")' in card
    assert 'folder = snapshot_download("me/mine")' in card
    assert "https://hub/me/mine" in capsys.readouterr().out


def test_nothing_of_an_earlier_export_stays_beside_a_pushed_one(exports, cache, tmp_path, hub, monkeypatch):
    optional = {"difference.safetensors", "onnx/model.onnx", "pylate/config.json", "trained_on.npz"}
    monkeypatch.setattr(hub, "there", (*files_in(exports["bert"].folder), *optional, ".gitattributes", "my notes.md"))
    out = export(*options(exports["bert"].workdir, tmp_path / "out", cache, push_to_hub="me/mine"))
    _, (_, added, deleted) = hub.asked
    assert set(deleted) == {*hub.there} - {*files_in(out)} - {".gitattributes", "my notes.md"}
    assert not {*added} & {*deleted}
    assert optional - {*added} <= {*deleted}


def test_the_folder_stays_when_the_hub_does_not_answer(exports, cache, tmp_path, hub, monkeypatch):
    monkeypatch.setattr(hub, "refusal", ConnectionError("no route to the hub"))
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"is written, but .* did not take it as me/mine .*no route.*hf upload me/mine"):
        export(*options(exports["bert"].workdir, out, cache, push_to_hub="me/mine"))
    assert load_model(out, cache_dir=cache).name == "run"


def test_missing_onnx_libraries_are_named(exports, cache, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"--onnx needs .*onnxscript.*pip install"):
        export(*options(exports["bert"].workdir, tmp_path / "out", cache, onnx=True))


def test_an_encoder_that_no_onnx_file_holds_is_refused(exports, cache, monkeypatch):
    monkeypatch.setattr(onnx_files, "_MOST_BYTES", 1000)
    folder = exports["bert"].folder
    with pytest.raises(UserError, match=r"--onnx: the encoder has [\d,]+ bytes of weights; .* less than 1,000"):
        onnx_files.write_onnx(load_model(folder, cache_dir=cache), folder)


# ---- Slow tests -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_onnx(exports, cache, tmp_path_factory):
    """Returns the export of a family with ONNX files; written once."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")

    @functools.cache
    def write(architecture):
        out = tmp_path_factory.mktemp("onnx") / "exported"
        return export(*options(exports[architecture].workdir, out, cache, onnx=True, max_tokens=64))

    return write


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_onnx_runtime_computes_the_same_tokens_and_scores(exports, with_onnx, cache, monkeypatch, architecture):
    from onnxruntime import InferenceSession

    folder = with_onnx(architecture)
    float32, int8, scorer = (
        InferenceSession(str(folder / "onnx" / f"{name}.onnx")) for name in ("model", "model_quantized", "scorer")
    )
    run = load_run(exports[architecture].workdir, cache_dir=cache)
    table = run.tokeniser.tokenise([" ".join(TEXTS * 20), *TEXTS])
    encode = dataclasses.replace(run.model, encoder=run.model.encoder.clone(dtype=jnp.float32)).encode
    for texts, length in ((range(1), 150), (range(6), 9), (range(1, 2), 5)):  # other batches and lengths
        token_ids, mask = table.rows(np.array(texts), length)
        expected = encode(run.params, jnp.asarray(token_ids), jnp.asarray(mask))
        inputs = {"input_ids": token_ids.astype(np.int64), "attention_mask": mask.astype(np.int64)}
        (tokens,), (rough,) = float32.run(None, inputs), int8.run(None, inputs)
        np.testing.assert_allclose(tokens[mask], expected.embeddings[mask], rtol=0, atol=1e-4)
        assert cosines_of_rows(rough[mask], tokens[mask]).min() > 0.97
        sides = {"queries": tokens[:2], "queries_mask": inputs["attention_mask"][:2]}
        (scores,) = scorer.run(None, sides | {"targets": tokens, "targets_mask": inputs["attention_mask"]})
        queries, temperatures = Tokens(*(part[:2] for part in expected)), run.model.temperatures(run.params)
        ours = block_scores(queries, expected, temperatures, run.scorer).forward
        np.testing.assert_allclose(scores, ours, rtol=0, atol=1e-4)
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("UWE_JAX_CACHE", str(cache))
    examples = re.findall("```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    exec(examples[3], {})  # of uwe_jax itself
    found = {}
    exec(examples[4], found)
    expected = shipped_in_float32(folder, ["nurse"], ["care for patients", "write code"])
    np.testing.assert_allclose(found["scores"], expected, rtol=0, atol=1e-4)
    (ranker,) = re.findall("```python\n([^`]*class Onnx:.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    exec(ranker, found)
    expected = shipped_in_float32(folder, QUERIES, TEXTS)
    np.testing.assert_allclose(found["float32"].index(TEXTS)(QUERIES), expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found["int8"].index(TEXTS)(QUERIES), expected, rtol=0, atol=0.05)


# Of the same files: by the runtime of browsers, WebAssembly, which transformers.js has below it.
WEB_ASSEMBLY = """
import * as ort from "onnxruntime-web";
import { readFile } from "node:fs/promises";
ort.env.wasm.numThreads = 1;
const load = async (name) => ort.InferenceSession.create(await readFile(`exported/onnx/${name}.onnx`));
const runtime = await load("scorer");
for (const name of ["model", "model_quantized"]) {
  const session = await load(name);
  const int64 = ({ data, dims }) => new ort.Tensor("int64", data, dims);
  async function run(texts) {
    const { input_ids, attention_mask } = tokenizer(texts, { padding: true });
    const { last_hidden_state } = await session.run({
      input_ids: int64(input_ids), attention_mask: int64(attention_mask)
    });
    return { tokens: last_hidden_state, mask: int64(attention_mask) };
  }
  const [q, y] = [await run(QUERIES), await run(TEXTS)];
  const found = await runtime.run({ queries: q.tokens, queries_mask: q.mask, targets: y.tokens, targets_mask: y.mask });
  print({ scores: [...found.scores.data] });
}
"""


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory):
    """The folder of transformers.js and of the runtimes below it, from npm's registry."""
    if not (shutil.which("node") and (npm := shutil.which("npm"))):
        pytest.skip("there is no node and npm")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text(json.dumps({"dependencies": {"@huggingface/transformers": "4.3.2"}}))
    if subprocess.run([npm, "ping"], cwd=folder, capture_output=True, timeout=120, check=False).returncode:
        pytest.skip("npm's registry does not answer")
    subprocess.run([npm, "install", "--ignore-scripts", "--no-audit"], cwd=folder, check=True, timeout=600)
    return folder / "node_modules"


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_transformers_js_computes_the_same_tokens_and_scores(with_onnx, node_modules, tmp_path, architecture):
    """The example of docs/export.md, as it stands there; then more texts, in float32 and in int8."""
    folder = with_onnx(architecture)
    (tmp_path / "exported").symlink_to(folder)
    (tmp_path / "node_modules").symlink_to(node_modules)
    (example,) = re.findall("```js\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    assert example.count('dtype: "q8"') == 1
    asked = f"const [QUERIES, TEXTS] = {json.dumps([QUERIES, TEXTS])};\n"
    more = """const print = (found) => console.log("found" + JSON.stringify(found));
const [asked, wanted] = [await embed(QUERIES), await embed(TEXTS)];
const tokens = { shape: wanted.tokens.dims, tokens: [...wanted.tokens.data] };
print({ ...tokens, scores: [...(await rank(asked, wanted)).data], shown: scores.tolist() });
"""
    found = []
    for dtype, end in (("fp32", WEB_ASSEMBLY), ("q8", "")):
        script = tmp_path / f"{dtype}.mjs"
        script.write_text(example.replace('dtype: "q8"', f'dtype: "{dtype}"') + asked + more + end)
        done = subprocess.run(["node", script], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        found += [json.loads(line.removeprefix("found")) for line in done.stdout.splitlines() if line[:5] == "found"]
    float32, web, web_int8, int8 = found

    encoder, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    expected = shipped_scorer(folder).UweScorer.from_pretrained(folder).embed(encoder, tokenizer, TEXTS)
    tokens = np.reshape(float32["tokens"], float32["shape"])
    for ours, theirs in zip(expected, tokens, strict=True):
        np.testing.assert_allclose(theirs[: len(ours)], ours, rtol=0, atol=1e-4)
    scores = shipped_in_float32(folder, QUERIES, TEXTS)
    for each in (float32, web):
        np.testing.assert_allclose(np.reshape(each["scores"], scores.shape), scores, rtol=0, atol=1e-4)
    for each in (int8, web_int8):
        np.testing.assert_allclose(np.reshape(each["scores"], scores.shape), scores, rtol=0, atol=0.05)
    shown = shipped_in_float32(folder, ["nurse"], ["care for patients", "write code"])
    np.testing.assert_allclose(float32["shown"], shown, rtol=0, atol=1e-4)


def cosines_of_rows(a, b):
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def shipped_in_float32(folder, queries, targets):
    """Scores by the export's PyTorch, which equals ours."""
    encoder, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    scorer = shipped_scorer(folder).UweScorer.from_pretrained(folder)
    return scorer.scores(*(scorer.embed(encoder, tokenizer, texts) for texts in (queries, targets))).numpy()


@pytest.mark.slow
def test_training_continues_from_an_export(exports, cache, tmp_path):
    from uwe_jax.commands.train import train

    first = exports["bert"].folder
    config = Config(
        workdir=str(tmp_path / "further"),
        steps=1,
        encoder=EncoderSettings(name=str(first)),
        source=SourceSettings(kinds=("job",), cache_dir=str(cache)),
        lengths=LengthSettings(skill=8, job=8),
        batch=BatchSettings(global_batch_size=8),
        scorer=ScorerSettings(kind="mean_pool"),
        evaluation=EvaluationSettings(max_queries=4, max_test_queries=4, texts_per_device=16, skip=("skill_to_job",)),
    )
    train(config)
    again = load_model(export(*options(config.workdir, tmp_path / "out", cache)), cache_dir=cache)
    assert again.training["started_from"]["fingerprint"] == load_model(first, cache_dir=cache).fingerprint
    assert again.fingerprint != again.training["started_from"]["fingerprint"]
