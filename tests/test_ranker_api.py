"""Ranking from Python: the scores of evaluation, explained to the last digit, and clear refusals."""

import html
import json
import logging
import pickle
import re
import shutil
import sys
import textwrap
from dataclasses import replace
from itertools import count

import jax
import numpy as np
import pytest
from tiny_encoder import WORDS, with_nan, write_tiny_encoder

import uwe_jax
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.evaluation.specs import load_ranker
from uwe_jax.models.families.registry import FAMILIES
from uwe_jax.models.loading import load_model
from uwe_jax.ranking import blocks as layout
from uwe_jax.ranking import target_space as space_module
from uwe_jax.retrieval import limits, loading, ranker
from uwe_jax.retrieval.calibration import RAW_SCORE
from uwe_jax.retrieval.explanation import Explanation
from uwe_jax.retrieval.hits import Hits, Rankings
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.pieces import PieceReader, Pieces, joined
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.printable import printable

TARGETS = ["care for patients", "write code", "software engineer", "nurse", "code for nurse patients care", "a zebra"]
QUERIES = ["nurse patients", "write write software code", "zebra", "engineer", "nurse patients"]
SCORERS = (
    "mean_pool",
    "soft",
    "soft,side=query,logits=dot,tau_a=0.7,reduce=sum",
    "soft_pooled",
    "max_sim,reduce=sum",
    "soft,logits=dot,tau_a=0.7,target_tau_a=0.4,target_weight=0.3",
    "max_sim,side=target",
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny", layers=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(encoder, cache):
    return load(f"{encoder}:soft", cache_dir=cache)


@pytest.fixture(scope="module")
def space(model):
    return model.encode_targets(TARGETS, dtype="float32", progress=False)


@pytest.fixture
def encoded(model, monkeypatch):
    """A list that grows by the texts that are tokenised, and so encoded."""
    seen, plain = [], model.loaded.tokeniser.tokenise

    def tokenise(texts):
        seen.extend(texts)
        return plain(list(texts))

    monkeypatch.setattr(model.loaded.tokeniser, "tokenise", tokenise)
    return seen


@pytest.fixture
def broken_word(model):
    """The same model, but for the embedding of a letter that no target begins with."""
    return with_nan(model, "q")


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("scorer", SCORERS)
def test_scores_hits_and_explanations_are_those_of_evaluation(encoder, cache, scorer):
    spec = f"{encoder}:{scorer}"
    expected = load_ranker(spec, cache_dir=cache).index(TARGETS)(QUERIES)
    model = load(spec, cache_dir=cache)
    np.testing.assert_allclose(model.scores(QUERIES, TARGETS), expected, atol=1e-5)

    ids = [f"t{k}" for k in range(len(TARGETS))]
    hits = model.rank(QUERIES, model.encode_targets(TARGETS, ids, dtype="float32", progress=False), top_k=4)
    for row, found in zip(expected, hits, strict=True):
        order = np.argsort(-row, kind="stable")[:4]
        assert [(hit.id, hit.text) for hit in found] == [(ids[k], TARGETS[k]) for k in order]
        np.testing.assert_allclose([hit.score for hit in found], row[order], atol=1e-5)

    for q, y in ((0, 4), (1, 1), (2, 5)):
        whole = model.explain(QUERIES[q], TARGETS[y], by_word=False)
        words = model.explain(QUERIES[q], TARGETS[y])
        for each in (whole, words):
            assert each.score == pytest.approx(expected[q, y], abs=1e-5)
            pairs = each.shares[:, None] * each.weights * each.cosines
            np.testing.assert_allclose(pairs.sum(axis=1), each.contributions, atol=1e-6)
            if not scorer.startswith(("mean_pool", "soft_pooled")):
                np.testing.assert_allclose(each.weights[each.shares > 0].sum(axis=1), 1, atol=1e-5)
        assert (words.weights > 0).sum() > 0
        assert len(words.query_tokens) <= len(whole.query_tokens)


def test_the_cosines_and_the_attention_of_an_explanation(encoder, cache):
    """The definition from the query's side, token by token."""
    model = load(f"{encoder}:soft,side=query", cache_dir=cache)
    tokens = model.encode_tokens(["nurse zebra", "write code"])
    q, y = (tokens.part(k, k + 1).flat for k in (0, 1))
    found = model.explain("nurse zebra", "write code", by_word=False)
    for i, own in enumerate(q):
        cosines = np.array([own @ each / np.linalg.norm(own) / np.linalg.norm(each) for each in y])
        np.testing.assert_allclose(found.cosines[i], cosines, atol=1e-5)
        weights = np.exp(cosines / model.scorer.tau_a)
        np.testing.assert_allclose(found.weights[i], weights / weights.sum(), atol=1e-5)
    np.testing.assert_allclose(found.shares, 1 / len(q))
    assert found.target_tokens == ("[start]", "write", "code", "[end]")
    assert found.query_tokens == ("[start]", "nurse", "z", "##e", "##b", "##r", "##a", "[end]")
    words = model.explain("nurse zebra", "write code")
    assert words.query_tokens == ("[start]", "nurse", "zebra", "[end]")
    np.testing.assert_allclose(words.shares[2], 5 / 8)
    np.testing.assert_allclose(words.contributions[2], found.contributions[2:7].sum(), atol=1e-6)
    np.testing.assert_allclose(words.weights[2], found.weights[2:7].mean(axis=0), atol=1e-6)


def test_learned_temperatures_are_those_that_count(encoder, cache):
    loaded = load_model(f"{encoder}:soft", cache_dir=cache)
    scorer = replace(loaded.model.scorer, learn_tau_a=True)
    learned = {"log_tau_a": np.log(np.float32(0.05)), "log_target_tau_a": np.log(np.float32(0.07))}
    params = {**loaded.params, "scorer": learned}
    learned = Ranker(replace(loaded, model=replace(loaded.model, scorer=scorer), params=params))
    expected = load(f"{encoder}:soft,tau_a=0.05,target_tau_a=0.07", cache_dir=cache)
    scores = learned.scores("nurse", TARGETS)
    np.testing.assert_allclose(scores, expected.scores("nurse", TARGETS), atol=1e-5)
    assert learned.explain("nurse", TARGETS[0]).score == pytest.approx(scores[0, 0], abs=1e-5)


def test_a_list_of_texts_is_ranked_as_an_index_of_it(model, space, encoded, tmp_path):
    twice = [*TARGETS, "write  code", TARGETS[0]]
    assert model.rank("nurse", twice, top_k=3) == model.rank("nurse", space, top_k=3)
    assert encoded.count("write code") == 1
    assert model.rank(QUERIES, tuple(TARGETS)) == model.rank(QUERIES, space)
    assert list(model.rank_stream(iter(QUERIES), iter(TARGETS), 2)) == list(model.rank_stream(QUERIES, space, 2))
    for targets, message in (
        (str(tmp_path), r"The targets are '.*'\. Give a list of texts, or an index .uwe_jax\.load_index"),
        ([], "no targets"),
        (["code", ""], "Target 2 is empty"),
    ):
        with pytest.raises(UserError, match=message):
            model.rank("nurse", targets)


def test_encoded_texts_are_unit_vectors_whose_products_mean_pooling_scores(encoder, cache, model, broken_word):
    own, other = model.encode(QUERIES), model.encode(TARGETS)
    assert own.dtype == np.float32
    assert own.shape == (len(QUERIES), model.encode_tokens("nurse").width)
    np.testing.assert_allclose(np.linalg.norm(own, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(own @ other.T, load(encoder, cache_dir=cache).scores(QUERIES, TARGETS), atol=1e-5)
    np.testing.assert_allclose(model.encode(QUERIES[1]), own[1], atol=1e-6)
    with pytest.raises(UserError, match="Text 2 cannot be scored"):
        broken_word.encode(["nurse", "quiz"])


def test_hits_and_explanations_show_in_terminals_and_notebooks(model):
    odd = "<b>care</b> & \u202ecode"
    hits = model.rank("nurse <i>", ["nurse", odd])
    assert hits == list(hits)
    assert [type(each) for each in (hits, hits[:1], hits[0])] == [Hits, Hits, Hit]
    shown = [printable(hit.text) for hit in hits]
    lines = repr(hits).splitlines()
    assert lines[0] == "nurse <i>: all 2"
    assert lines[-1] == RAW_SCORE
    for place, (hit, text) in enumerate(zip(hits, shown, strict=True), 1):
        assert any(line.split("│")[1:-1][0].strip() == str(place) and text in line for line in lines if "│" in line)
        assert f"{hit.score:.4f}" in repr(hits)
    page = hits._repr_html_()
    assert "<caption>nurse &lt;i&gt;: all 2</caption>" in page
    assert "&lt;b&gt;care&lt;/b&gt; &amp; \\u202ecode" in page
    assert not re.search("<(?!/?(table|caption|thead|tbody|tr|td|th)[ >])", page)
    assert "<th" in page
    assert ">id<" not in page  # texts are their own ids here
    assert ">id<" in model.rank("nurse", model.encode_targets(["code"], ["s1"], progress=False))._repr_html_()

    several = model.rank(["nurse", "write code"], TARGETS)
    assert repr(several) == f"{several[0]!r}\n{several[1]!r}"
    assert several._repr_html_().count("<caption>") == 2
    assert (repr(Hits()), repr(Rankings())) == ("[]", "[]")
    many = Hits([Hit(str(k), str(k), 0.5) for k in range(150)], "x")
    assert repr(many).endswith(f"\n... and 50 more\n{RAW_SCORE}")
    assert pickle.loads(pickle.dumps(many)).query == "x"

    why = model.explain("nurse <i>", odd)
    assert repr(why) == why.table()
    page = why._repr_html_()
    for token, adds in zip(why.query_tokens, why.contributions, strict=True):
        assert f">{html.escape(token)}</td>" in page
        assert f">{adds:.4f}</td>" in page
    assert "<i>" not in page


def test_the_former_name_of_load_index_is_read_with_a_warning():
    with pytest.warns(FutureWarning, match="load_index"):
        assert uwe_jax.load_space is uwe_jax.load_index


def test_the_package_lists_what_it_offers():
    assert set(uwe_jax.__all__) <= set(dir(uwe_jax))
    assert {name for name in dir(uwe_jax) if not name.startswith("__")} == set(uwe_jax.__all__)
    assert all(getattr(uwe_jax, name).__name__ == name for name in uwe_jax.__all__)


def test_one_query_is_answered_as_among_others(model, space):
    together = model.rank(QUERIES, space, top_k=3)
    for query, hits in zip(QUERIES, together, strict=True):
        alone = model.rank(query, space, top_k=3)
        assert [hit.id for hit in alone] == [hit.id for hit in hits]
        np.testing.assert_allclose([hit.score for hit in alone], [hit.score for hit in hits], atol=1e-6)
    assert model.rank([], space) == []
    assert len(model.rank("nurse", space, top_k=100)) == len(TARGETS)
    assert model.scores([], TARGETS).shape == (0, len(TARGETS))
    assert len(model.encode_tokens([])) == 0
    assert model.encode([]).shape == (0, model.encode("nurse").size)


def test_texts_are_normalised_and_encoded_once(model, space, encoded):
    same = ["nurse", " nurse\x00", "nurse\u200b\n", "write code", "nurse"]
    hits = model.rank(same, space)
    assert encoded == ["nurse", "write code"]
    assert hits[0] == hits[1] == hits[2] == hits[4] != hits[3]
    encoded.clear()
    scores = model.scores(same, ["nurse", "nurse"])
    assert encoded == ["nurse", "write code"]
    np.testing.assert_allclose(scores[:3], np.broadcast_to(scores[:1, :1], (3, 2)), atol=1e-6)
    encoded.clear()
    tokens = model.encode_tokens(["nurse", "write code", "nurse"])
    assert encoded == ["nurse", "write code"]
    np.testing.assert_array_equal(tokens.part(0, 1).flat, tokens.part(2, 3).flat)
    assert tokens.lengths.tolist() == [3, 4, 3]


def test_a_stream_is_answered_as_it_comes(model, space):
    read = []

    def queries():
        for number in count():
            read.append(number)
            yield QUERIES[number % len(QUERIES)]

    answers = model.rank_stream(queries(), space, 2, batch=3)
    assert not read
    found = [next(answers) for _ in range(4)]
    assert len(read) == 6  # two batches, of a list without end
    expected = model.rank(QUERIES, space, 2)
    for hits, alike in zip(found, expected, strict=False):
        assert [hit.id for hit in hits] == [hit.id for hit in alike]
    assert list(model.rank_stream(iter(()), space)) == []

    broken = model.rank_stream(["nurse"] * 4 + [""], space, batch=2)
    assert len([next(broken) for _ in range(4)]) == 4
    with pytest.raises(UserError, match="Query 5 is empty"):
        next(broken)


def test_targets_are_encoded_in_parts_and_kept(model, space, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # for the bar
    monkeypatch.setattr("uwe_jax.retrieval.encoding._PART", 4)
    parts = model.encode_targets(TARGETS, dtype="float32")
    np.testing.assert_allclose(parts.tokens.flat, space.tokens.flat, atol=1e-5)
    assert list(parts.ids) == list(parts.texts) == TARGETS
    assert "Encoding targets, part 2 of 2" in capsys.readouterr().err
    assert (parts.origin.fingerprint, parts.origin.scorer) == (model.loaded.fingerprint, model.scorer)
    half = model.encode_targets(TARGETS, progress=False)
    assert half.tokens.flat.dtype == np.float16
    assert not capsys.readouterr().err
    half.save(tmp_path / "space")

    from uwe_jax.retrieval.store.folder import load_index

    assert model.rank("nurse", load_index(tmp_path / "space")) == model.rank("nurse", half)
    assert model.rank("nurse", half)[0].score == pytest.approx(model.rank("nurse", space)[0].score, abs=2e-3)


def test_the_example_runs_as_it_stands(encoder, monkeypatch, tmp_path, capsys):
    """Uses the names that the package exports."""
    from uwe_jax.retrieval.store.folder import load_index

    example = textwrap.dedent("\n".join(ranker.__doc__.splitlines()[2:])).replace("all-MiniLM-L6-v2", str(encoder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path / "cache"))
    names = {}
    exec(example, names)
    assert "(soft" in capsys.readouterr().out
    assert len(load_index(tmp_path / "skills")) == len(names["space"]) == 3


def test_nothing_is_compiled_after_warming_up(model, space, caplog):
    model.warm_up(space, top_k=3)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        for words in range(1, 12):
            model.rank(" ".join(WORDS[k % len(WORDS)] for k in range(words)), space, top_k=3)
    assert not [record.message for record in caplog.records if "ompil" in record.message]


@pytest.mark.thorough
def test_scores_of_other_numbers_and_lengths_share_few_programs(model, rng, monkeypatch, caplog):
    """Twenty calls beyond 2**20 token products, padding included, as a service may be asked for."""
    monkeypatch.setattr(layout, "_FEW_BLOCK_TOKENS", 64)
    for name, value in {"_FEW_QUERY_TOKENS": (16, 64), "_QUERY_TOKENS": 64}.items():
        monkeypatch.setattr(space_module, name, value)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        for _ in range(20):
            queries, targets = (
                [" ".join(rng.choice(WORDS, rng.integers(1, 12))) for _ in range(rng.integers(65, 90))]
                for _ in range(2)
            )
            assert np.isfinite(model.scores(queries, targets)).all()
    compiled = [record for record in caplog.records if "Finished XLA compilation" in record.message]
    assert 0 < len(compiled) <= 16  # 3 for lengths of the encoder, 1 for norms, 2 by 3 for sizes of queries and targets


def test_spaces_of_other_models_are_refused(model, space, encoder, cache, tmp_path):
    other = write_tiny_encoder(tmp_path / "other", seed=1, layers=1)
    with pytest.raises(UserError, match=r"encoded by other mean_pool \(\w+\), the queries by tiny soft"):
        model.rank("nurse", load(other, cache_dir=cache).encode_targets(["code"], progress=False))
    with pytest.raises(UserError, match="encoded by tiny soft"):
        load(other, cache_dir=cache).rank_stream(["nurse"], space)
    pooled = load(encoder, cache_dir=cache)
    with pytest.raises(UserError, match=r"one mean per target, for the scorer mean_pool .* scores by soft"):
        model.rank("nurse", pooled.encode_targets(["code"], progress=False))
    # Tokens hold all that a mean needs.
    assert pooled.rank("nurse", space)[0].score == pytest.approx(pooled.scores("nurse", TARGETS).max(), abs=1e-5)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["nurse", " \n\x00"], "Query 2 is empty"),
        (["nurse", "a" * (limits.MAX_CHARACTERS + 1)], "Query 2 has 100,001 characters; at most 100,000"),
        (["caf\u00e9 \ud83d x"], "Query 1 is not valid Unicode: character 6"),
        (["nurse", float("nan")], "Query 2 is nan, a float"),
    ],
)
def test_texts_that_no_model_could_read_are_refused(texts, message):
    with pytest.raises(UserError, match=message):
        limits.accepted(texts, "Query")


def test_user_error_is_exported():
    assert uwe_jax.UserError is UserError


def test_every_method_checks_its_arguments(model, space):
    for refused, message in [
        (lambda: model.rank("", space), "Query 1 is empty"),
        (lambda: model.scores("nurse", ["code", ""]), "Target 2 is empty"),
        (lambda: model.explain("nurse", " "), "Target 1 is empty"),
        (lambda: model.encode([""]), "Text 1 is empty"),
        (lambda: model.encode_targets(["code", "\t"], progress=False), "Target 2 is empty"),
        (lambda: model.encode_targets([]), "no targets"),
        (lambda: model.scores("nurse", []), "no texts"),
        (lambda: model.encode_targets(["code"], ["a", "b"]), "1 targets and 2 ids"),
        (lambda: model.encode_targets(["code", "a", "code "]), "1 duplicate targets.* 'code'"),
        (lambda: model.encode_targets(["code", "a"], ["1", "1"]), "1 duplicate ids"),
        (lambda: model.encode_targets(["code"], dtype="float8"), "float8"),
        (lambda: model.rank("nurse", space, 0), "top_k is 0"),
        (lambda: model.rank("nurse", space, 2.5), "top_k is 2.5; it must be a whole number"),
        (lambda: model.rank("nurse", space, "3"), "top_k is '3'; it must be a whole number"),
        (lambda: model.rank_stream(["nurse"], space, batch=0), "batch is 0"),
        (lambda: model.rank_each(["nurse"], space, batch=1.5), "batch is 1.5; it must be a whole number"),
        (lambda: model.rank("nurse", space, min_score="x"), "min_score is 'x'; it must be a finite number"),
        (lambda: model.rank("nurse", space, min_score=float("nan")), "min_score is nan; it must be a finite number"),
        (lambda: model.rank("nurse", space, min_probability="x"), "min_probability is 'x'; it must be a finite number"),
    ]:
        with pytest.raises(UserError, match=message):
            refused()
    for rank in (model.rank, model.rank_stream, model.rank_each):
        with pytest.raises(TypeError, match="unexpected keyword argument 'min_prob'"):
            rank(["nurse"], space, min_prob=0.2)
    hits = model.rank("nurse", space, np.int64(2), min_score=np.float32(-1))
    assert len(hits) == 2


def test_max_tokens_truncate_and_fit_the_encoder(encoder, cache, model):
    cut = load(f"{encoder}:soft", cache_dir=cache, max_tokens=4)
    np.testing.assert_allclose(
        cut.scores("nurse care for patients", "write code"), model.scores("nurse care", "write code"), atol=1e-5
    )
    found = cut.explain("nurse care for patients", "write code")
    assert found.query_tokens == ("[start]", "nurse", "care", "[end]")
    for wrong in (2, 161):
        with pytest.raises(UserError, match=f"max_tokens is {wrong}; for the encoder of tiny soft it must be 3 to 160"):
            load(f"{encoder}:soft", cache_dir=cache, max_tokens=wrong)


def test_a_model_keeps_the_tokens_that_it_was_exported_with(encoder, cache, monkeypatch):
    def exported(name, *, cache_dir, max_tokens):
        return load_model(name, cache_dir=cache_dir, max_tokens=20 if max_tokens is None else max_tokens)

    monkeypatch.setattr(loading, "load_model", exported)
    assert load(encoder, cache_dir=cache).loaded.max_tokens == 20
    assert load(encoder, cache_dir=cache, max_tokens=64).loaded.max_tokens == 64


@pytest.mark.parametrize("architecture", FAMILIES)
def test_pieces_are_the_encoders_tokens(architecture, cache, tmp_path):
    folder = write_tiny_encoder(tmp_path / "encoder", architecture, layers=1)
    tokeniser = Tokeniser(folder, cache / "tokens")
    text = "Nurse/zebra (h/f) \U0001f642 caf\u00e9"
    read = PieceReader(folder, tokeniser, 64)(text)
    assert len(read.texts) == len(read.words) == tokeniser.tokenise([text]).lengths[0]
    # SentencePiece's words are those between spaces.
    parts = ("Nurse/zebra", "(h/f)") if architecture == "xlm-roberta" else ("Nurse", "/", "zebra", *"(h/f)")
    assert joined(read) == ("[start]", *parts, "\U0001f642", "caf\u00e9", "[end]")
    short = PieceReader(folder, tokeniser, 5)("z/nurse zebra")
    if architecture in ("bert", "mpnet", "distilbert"):
        assert short == Pieces(("[start]", "z", "/", "nurse", "[end]"), (-1, 0, 1, 2, 3))
    assert len(short.texts) == 5


@pytest.mark.parametrize("change", ["no file", "another file"])
def test_pieces_are_spelt_by_the_vocabulary_where_the_file_does_not_tell(encoder, cache, change, tmp_path):
    """Transformers decides how a text is split; tokenizer.json is read for the tokens' positions."""
    tokeniser = Tokeniser(encoder, cache / "tokens")
    folder = tmp_path / "encoder"
    shutil.copytree(encoder, folder)
    reader = PieceReader(folder, tokeniser, 64)
    if change == "no file":
        text, expected = "Nurse zed", ("[start]", "nurse", "z", "##e", "##d", "[end]")
        (folder / "tokenizer.json").unlink()
    else:
        text, expected = "nurse [SEP]", ("[start]", "nurse", "[SEP]", "[end]")
        content = json.loads((folder / "tokenizer.json").read_text())
        content["added_tokens"] = []
        (folder / "tokenizer.json").write_text(json.dumps(content))
    assert reader(text).texts == expected


def test_explanations_as_table_json_and_picture(model, tmp_path):
    found = model.explain("nurse \U0001f642 $a$", "care for patients $b$")
    table = found.table()
    assert f"Score {found.score:.4f} (soft" in table
    best = int(found.weights[1].argmax())
    assert f"{found.target_tokens[best]} {found.weights[1, best]:.2f} ({found.cosines[1, best]:.2f})" in table
    read = json.loads(json.dumps(found.to_dict()))
    assert read["score"] == found.score
    assert read["query_tokens"][:2] == ["[start]", "nurse"]
    np.testing.assert_allclose(read["weights"], found.weights)
    np.testing.assert_allclose(sum(read["contributions"]), found.score)

    from matplotlib.image import imread

    found.save_picture(tmp_path / "one.png")  # the smiling face is in no font of matplotlib
    assert imread(tmp_path / "one.png").std() > 0.05
    rng = np.random.default_rng(0)
    own, other = (tuple("x" * k for k in range(number)) for number in (3, 64))
    many = Explanation(own, other, np.full(3, 1 / 3), rng.random((3, 64)), rng.random((3, 64)) - 0.5, "soft")
    lines = many.table().splitlines()
    assert all(len(line) <= 80 for line in lines)
    met = "".join(line.split("│")[3] for line in lines if line[0] == "│")
    most = [j for weights in many.weights for j in np.argsort(-weights)[:3]]
    assert re.findall("x+", met.replace(" ", "")) == ["x" * j for j in most if j]
    many.save_picture(tmp_path / "many.png")
    assert max(imread(tmp_path / "many.png").shape) < 4000


def test_a_query_that_cannot_be_scored_does_not_affect_others(broken_word, space):
    """Its embedding holds NaN, as where a tokeniser has more entries than the encoder."""
    model, queries = broken_word, ["nurse", "care quiz", "", "write code", "care quiz"]
    answers = list(model.rank_each(queries, space))
    fine = [0, 3]
    alone = model.rank([queries[at] for at in fine], space)
    assert [[hit.id for hit in answers[at]] for at in fine] == [[hit.id for hit in hits] for hits in alone]
    np.testing.assert_allclose(*([[hit.score for hit in hits] for hits in (answers[0], alone[0])]), atol=1e-6)
    assert "Query 2 cannot be scored: the model's embedding of it has a component that is NaN" in str(answers[1])
    assert "Query 3 is empty" in str(answers[2])
    assert "Query 5 cannot be scored" in str(answers[4])
    assert all(isinstance(answers[at], UserError) for at in (1, 2, 4))
    # In parts, the position is still that among all queries, and those before are given.
    stream = model.rank_stream(queries, space, batch=2)
    assert [hit.id for hit in next(stream)] == [hit.id for hit in answers[0]]
    for refused in (lambda: next(stream), lambda: model.rank(queries[:2], space)):
        with pytest.raises(UserError, match="Query 2 cannot be scored"):
            refused()
    with pytest.raises(UserError, match="Query 2 cannot be scored"):
        model.scores(["nurse", "quiz"], TARGETS[:2])
    with pytest.raises(UserError, match="Target 1 cannot be scored"):
        model.explain("nurse", "quiz")
    assert np.isfinite(model.scores("nurse", TARGETS[:2])).all()
