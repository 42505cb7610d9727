"""Tests the scorer `published`: what sentence-transformers computes on the same folder, on both sides of a ranking."""

import json

import numpy as np
import pytest
from fake_hub import only_hub
from safetensors.numpy import save_file
from tiny_encoder import write_tiny_encoder

from uwe_jax import load_index
from uwe_jax.evaluation.specs import load_ranker
from uwe_jax.models.folder import BASELINES
from uwe_jax.models.loading import load_model
from uwe_jax.retrieval.loading import load
from uwe_jax.runtime.errors import UserError
from uwe_jax.serving.refusals import Refusal
from uwe_jax.serving.tasks import PairTask, ServedModel

TYPES = "sentence_transformers.models."
QUERIES = ["Nurse", "software engineer for patients", "write code code code"]
TARGETS = ["care for patients", "write code", "engineer software", "zebra nurse"]
COSINE = {"similarity_fn_name": "cosine"}


def write_dense(folder, inputs, outputs, activation="activation.Tanh", seed=0, bias=True):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    values = {"in_features": inputs, "out_features": outputs, "bias": bias}
    values |= {"activation_function": f"torch.nn.modules.{activation}"}
    (folder / "config.json").write_text(json.dumps(values))
    tensors = {"linear.weight": rng.normal(size=(outputs, inputs)), "linear.bias": rng.normal(size=outputs)}
    tensors = {name: value.astype(np.float32) for name, value in tensors.items() if bias or "weight" in name}
    save_file(tensors, folder / "model.safetensors")


def publish(folder, modules, architecture="bert", pooling=("mean_tokens",), settings=None, length=64):
    """A tiny encoder with mean pooling and further modules, by class and path."""
    write_tiny_encoder(folder, architecture, layers=1)
    listed = [("Transformer", ""), ("Pooling", "1_Pooling"), *modules]
    listed = [{"idx": k, "name": str(k), "path": path, "type": TYPES + kind} for k, (kind, path) in enumerate(listed)]
    (folder / "modules.json").write_text(json.dumps(listed))
    modes = {f"pooling_mode_{mode}": True for mode in pooling} | {"word_embedding_dimension": 16}
    modes |= {"pooling_mode_mean_tokens": "mean_tokens" in pooling}
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(COSINE | (settings or {})))
    (folder / "sentence_bert_config.json").write_text(f'{{"max_seq_length": {length}, "do_lower_case": false}}')
    return folder


def write_heads(folder, names=("anchor", "positive"), parameters=None):
    """Two heads as JobBERT has them: an Asym of sentence-transformers 3 with a dense layer each."""
    ids = {name: f"13{k}_Dense" for k, name in enumerate(names)}
    for seed, below in enumerate(ids.values()):
        write_dense(folder / "2_Asym" / below, 16, 24, seed=seed)
    values = {"types": dict.fromkeys(ids.values(), f"{TYPES}Dense")}
    values |= {"structure": {name: [each] for name, each in ids.items()}}
    values |= {"parameters": parameters or {"allow_empty_key": True}}
    (folder / "2_Asym" / "config.json").write_text(json.dumps(values))


def jobbert(folder, architecture, names=("anchor", "positive"), parameters=None):
    publish(folder, [("Asym", "2_Asym")], architecture)
    write_heads(folder, names, parameters)
    return folder


def theirs(folder, query=None, target=None):
    """Scores by sentence-transformers."""
    model = pytest.importorskip("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    vectors = [model.encode(texts, **(how or {})) for texts, how in ((QUERIES, query), (TARGETS, target))]
    return np.asarray(model.similarity(*vectors))


def assert_scores(model, expected, cache):
    ranker = load(model, cache_dir=cache, clean_queries=False)
    np.testing.assert_allclose(ranker.scores(QUERIES, TARGETS), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ranker.index(TARGETS)(QUERIES), expected, rtol=0, atol=1e-5)
    hits = ranker.rank(QUERIES, ranker.encode_targets(TARGETS, dtype="float32", progress=False))
    found = [{hit.text: hit.score for hit in each} for each in hits]
    np.testing.assert_allclose([[each[text] for text in TARGETS] for each in found], expected, rtol=0, atol=1e-5)
    return ranker


DENSE = ("Dense", "2_Dense")


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize(
    ("modules", "pooling", "dense"),
    [
        ([], ("cls_token",), ()),
        ([("Normalize", "2_Normalize")], ("max_tokens",), ()),
        ([], ("mean_tokens", "max_tokens", "cls_token"), ()),
        ([], ("mean_sqrt_len_tokens",), ()),
        ([DENSE], ("weightedmean_tokens",), ("2_Dense",)),
        ([DENSE], ("lasttoken",), ("2_Dense",)),
        (
            [DENSE, ("Dropout", "3_Dropout"), ("Dense", "4_Dense"), ("Normalize", "")],
            ("mean_tokens",),
            ("2_Dense", "4_Dense"),
        ),
    ],
)
def test_pooling_and_layers_are_those_of_sentence_transformers(tmp_path, modules, pooling, dense):
    folder = publish(tmp_path / "encoder", modules, pooling=pooling, length=5)
    for kind, path in modules:
        (folder / path).mkdir(exist_ok=True)
        if kind == "Dropout":
            (folder / path / "config.json").write_text('{"dropout": 0.1}')
    for seed, name in enumerate(dense):
        (folder / name).rmdir()
        activations = ("activation.Tanh", "linear.Identity")
        write_dense(folder / name, (16, 12)[seed], 12, activations[seed], seed=seed, bias=not seed)
    assert_scores(folder, theirs(folder), tmp_path / "cache")


E5 = {"query": "query: ", "passage": "passage: "}
ROLES = {"query": "nurse ", "document": "code "}
UNROLED = {"query": "", "document": "", "topic": "for "}


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize(
    ("settings", "options", "query", "target"),
    [
        ({"prompts": ROLES, "default_prompt_name": None}, "", "query", "document"),
        ({"prompts": E5}, "", "query", "passage"),
        ({"prompts": {**ROLES, "topic": "for "}}, ":published,target=topic", "query", "topic"),
        ({"prompts": ROLES, "default_prompt_name": "query"}, ":published,target=query", "query", "query"),
        (
            {"prompts": {"query": "", "document": "", "topic": "for "}, "default_prompt_name": "topic"},
            "",
            "topic",
            "topic",
        ),
    ],
)
def test_prompts_are_those_of_the_folder(tmp_path, settings, options, query, target):
    folder = publish(tmp_path / "encoder", [], settings=settings)
    expected = theirs(folder, {"prompt_name": query}, {"prompt_name": target})
    ranker = assert_scores(f"{folder}{options}", expected, tmp_path / "cache")
    assert "with its prompts" in ranker.description
    assert ranker.loaded.truncation(["code " * 62]).truncated == 1  # by the prompt


@pytest.mark.parametrize("prompts", [ROLES, {"query": "nurse "}, {**ROLES, "topic": "for "}])
@pytest.mark.parametrize("default", [None, "query"])
def test_prompts_of_roles_come_before_the_default(tmp_path, prompts, default):
    folder = publish(tmp_path / "encoder", [], settings={"prompts": prompts, "default_prompt_name": default})
    model = pytest.importorskip("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    expected = model.similarity(model.encode_query(QUERIES), model.encode_document(TARGETS))
    assert_scores(folder, np.asarray(expected), tmp_path / "cache")


def test_prompts_are_lower_cased_with_their_texts(tmp_path):
    """By a tokeniser that tells capital letters from small ones."""
    folder = publish(tmp_path / "encoder", [], "roberta", settings={"prompts": {"query": "NURSE "}})
    plain = theirs(folder, {"prompt_name": "query"})
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 64, "do_lower_case": true}')
    expected = theirs(folder, {"prompt_name": "query"})
    assert np.abs(expected - plain).max() > 1e-3
    assert_scores(folder, expected, tmp_path / "cache")


@pytest.mark.thorough
def test_both_heads_of_jobbert_are_used(tmp_path):
    for version, architecture in ((2, "mpnet"), (3, "xlm-roberta")):
        folder = jobbert(tmp_path / f"JobBERT-v{version}", architecture)
        expected = theirs(folder, {"task": "anchor"}, {"task": "positive"})
        ranker = assert_scores(folder, expected, tmp_path / "cache")
        assert ranker.encode("nurse").shape == (24,)
        # Titles with titles.
        expected = theirs(folder, {"task": "anchor"}, {"task": "anchor"})
        assert_scores(f"{folder}:published,target=anchor", expected, tmp_path / "cache")


@pytest.mark.thorough
def test_a_router_of_newer_versions_is_read(tmp_path):
    names = ("document", "query")
    folder = jobbert(tmp_path / "encoder", "bert", names, {"default_route": "document", "allow_empty_key": True})
    (folder / "2_Asym" / "config.json").rename(folder / "2_Asym" / "router_config.json")
    text = (folder / "modules.json").read_text().replace(f"{TYPES}Asym", "sentence_transformers.base.modules.Router")
    (folder / "modules.json").write_text(text)
    assert_scores(folder, theirs(folder, {"task": "query"}, {"task": "document"}), tmp_path / "cache")


def context_match(folder):
    """Scores of the published model's own code: softmax over query tokens by products with the target's mean."""
    model = pytest.importorskip("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    means = model.encode(TARGETS)
    tokens = [each.numpy() for each in model.encode(QUERIES, output_value="token_embeddings")]
    scores = np.empty((len(QUERIES), len(TARGETS)))
    for row, text in enumerate(tokens):
        products = text @ means.T
        weights = np.exp(products - products.max(axis=0))
        norms = np.linalg.norm(text, axis=1)[:, None] * np.linalg.norm(means, axis=1)[None]
        scores[row] = (weights / weights.sum(axis=0) * products / norms).sum(axis=0)
    return scores


@pytest.mark.thorough
def test_published_models_of_the_work_domain_are_loaded_by_name(tmp_path, monkeypatch):
    folders = {
        "JobBERT-v2": jobbert(tmp_path / "two", "mpnet"),
        "JobBERT-v3": jobbert(tmp_path / "three", "xlm-roberta"),
        "ConTeXT-match": publish(tmp_path / "context", [], "mpnet"),
    }
    heads = {"task": "anchor"}, {"task": "positive"}
    expected = {name: theirs(folder, *heads) for name, folder in folders.items() if "Job" in name}
    expected["ConTeXT-match"] = context_match(folders["ConTeXT-match"])
    assert folders.keys() == BASELINES.keys()
    with only_hub(tmp_path / "hub", monkeypatch) as fake:
        with pytest.raises(UserError, match=r"No encoder 'JobBERT-v2' was found(.|\n)*TechWolf/JobBERT-v2"):
            load_ranker("JobBERT-v2", cache_dir=tmp_path / "cache")
        for name, folder in folders.items():
            files = {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
            fake.publish(files, repo=BASELINES[name])
        for name in folders:
            ranker = assert_scores(name, expected[name], tmp_path / "cache")
            assert f"hub {BASELINES[name]} at revision" in ranker.description
            by_spec = load_ranker(name, cache_dir=tmp_path / "cache").index(TARGETS)(QUERIES)
            np.testing.assert_allclose(by_spec, expected[name], rtol=0, atol=1e-5)


def test_fingerprints_and_indexes_tell_how_texts_were_made_vectors(tmp_path):
    folder = jobbert(tmp_path / "encoder", "bert")
    cache = tmp_path / "cache"
    specs = ("", ":published,target=anchor", ":published,query=positive", ":mean_pool")
    rankers = [load(f"{folder}{spec}", cache_dir=cache) for spec in specs]
    assert len({ranker.loaded.fingerprint for ranker in rankers}) == len(specs)
    rankers[0].encode_targets(TARGETS, progress=False).save(tmp_path / "index")
    again = load_index(tmp_path / "index")
    assert rankers[0].rank("nurse", again)[0].text in TARGETS
    for other in rankers[1:]:
        with pytest.raises(UserError):
            other.rank("nurse", again)


def test_one_line_says_what_other_scorers_leave_out(tmp_path, capsys):
    folder = jobbert(tmp_path / "encoder", "bert")
    load_model(folder, cache_dir=tmp_path / "cache")
    assert "leave out" not in capsys.readouterr().err
    for scorer in ("soft", "mean_pool"):
        model = load_model(f"{folder}:{scorer}", cache_dir=tmp_path / "cache")
        assert capsys.readouterr().err.count("declares heads (anchor, positive), which training and all scorers") == 1
        assert model.description.endswith("without its heads (anchor, positive)")


def test_lengths_are_those_of_the_folder(tmp_path):
    folder = publish(tmp_path / "encoder", [], pooling=("cls_token",), length=7)
    assert load_model(folder, cache_dir=tmp_path / "cache").max_tokens == 7
    assert load_model(folder, cache_dir=tmp_path / "cache", max_tokens=9).max_tokens == 9
    assert load_model(f"{folder}:soft", cache_dir=tmp_path / "cache").max_tokens == 64


def test_scores_of_whole_texts_have_no_parts_by_token(tmp_path):
    ranker = load(publish(tmp_path / "encoder", [], pooling=("cls_token",)), cache_dir=tmp_path / "cache")
    with pytest.raises(UserError, match=r"encoder published compares one vector per text.*such as soft"):
        ranker.explain("nurse", "code")
    served = ServedModel(ranker, {"mine": ranker.encode_targets(["code", "care"])})
    served.warm_up(1)
    with pytest.raises(Refusal, match="compares one vector per text"):
        served.answer([PairTask(("nurse",), ("code",), explain=True)])


@pytest.mark.parametrize(
    ("modules", "settings", "options", "message"),
    [
        ([("LSTM", "2_LSTM")], {}, "", r"declares a LSTM module \(encoder/2_LSTM\) that published cannot apply"),
        ([], {"similarity_fn_name": "dot"}, ":published", "similarity 'dot'; published has cosines alone"),
        ([], {"similarity_fn_name": "euclidean"}, ":published", "similarity 'euclidean'"),
        ([], {"prompts": ROLES}, ":published,query=topic", "no prompt or head 'topic' for query; available are: doc"),
        ([], {}, ":published,side=query", "'side=query' is not an option of published, which takes query=NAME"),
        ([], {"default_prompt_name": "topic"}, "", "default_prompt_name 'topic'; it must be one of its prompts"),
    ],
)
def test_what_cannot_be_applied_is_refused(tmp_path, modules, settings, options, message):
    folder = publish(tmp_path / "encoder", modules, settings=settings)
    with pytest.raises(UserError, match=message):
        load_model(f"{folder}{options}", cache_dir=tmp_path / "cache")


def test_damaged_layers_are_refused(tmp_path):
    folder = publish(tmp_path / "encoder", [DENSE])
    write_dense(folder / "2_Dense", 15, 12)
    with pytest.raises(UserError, match=r"2_Dense.*'linear\.weight': \(12, 15\).*16 inputs"):
        load_model(folder, cache_dir=tmp_path / "cache")
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"2_Dense lacks model\.safetensors .*convert it with python -c"):
        load_model(folder, cache_dir=tmp_path / "cache")
    heads = jobbert(tmp_path / "heads", "bert")
    (heads / "2_Asym" / "config.json").write_text('{"types": {}, "structure": {"anchor": ["a"]}}')
    with pytest.raises(UserError, match="must have the types of modules, and a structure"):
        load_model(heads, cache_dir=tmp_path / "cache")
