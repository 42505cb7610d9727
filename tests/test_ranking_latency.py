"""Optimisations for a single query do not change answers: few rows, cached tokenisers and programs."""

import json
import os
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_encoder import random_params, tiny_config, write_tiny_encoder
from transformers import AutoTokenizer

from uwe_jax.commands import benchmark as command
from uwe_jax.config import EncoderSettings, ScorerSettings
from uwe_jax.data import tokeniser_file
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.distributed import parallel
from uwe_jax.models import hub, wheels
from uwe_jax.models.families.registry import FAMILIES
from uwe_jax.models.resolve import resolve_encoder
from uwe_jax.models.run_folder import _shapes
from uwe_jax.models.uwe import LEARNED, UweModel
from uwe_jax.ranking import blocks as layout
from uwe_jax.ranking import encode as encoding_of_texts
from uwe_jax.ranking.blocks import bucket
from uwe_jax.ranking.encode import TextEncoder
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.runtime import compile_cache
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.errors import UserError
from uwe_jax.studies.benchmarks import ranking
from uwe_jax.studies.benchmarks.encoders import ENCODERS, text_of, write_model
from uwe_jax.studies.benchmarks.measure import latencies, percentiles

TEXTS = ["nurse", "Nurse  care\tfor [CLS] patients", "", "naïve Ünïcode", "<mask>engineer", "code " * 30]

# ---- the encoder ----------------------------------------------------------------------------------------------------


@pytest.fixture
def encoding(tmp_path, monkeypatch):
    """A function from texts to token embeddings, and the shapes that the encoder was called with."""
    tokeniser = Tokeniser(write_tiny_encoder(tmp_path / "encoder", layers=1), tmp_path / "cache")
    config = tiny_config(vocab_size=len(tokeniser._reader.vocabulary()), layers=1)
    model = UweModel.create(config, EncoderSettings(), ScorerSettings())
    encoder = TextEncoder(model, rows_per_device=16)
    params = parallel.replicate(model.initial_params(random_params(config)))
    shapes, encode = [], encoder._encode
    monkeypatch.setattr(encoder, "_encode", lambda p, ids, mask: shapes.append(ids.shape) or encode(p, ids, mask))
    return lambda texts: encoder(params, tokeniser.tokenise(texts), np.arange(len(texts)), 64), shapes


@pytest.mark.thorough
def test_few_texts_are_encoded_in_few_rows_with_equal_results(encoding):
    encode, shapes = encoding
    many = encode(["nurse care", *["write code"] * 70])
    assert shapes == [(8, 2, 64)]
    shapes.clear()
    alone = encode(["nurse care"])
    assert shapes == [(8, 1, 8)]
    np.testing.assert_allclose(alone.flat, many.part(0, 1).flat, atol=1e-6)
    shapes.clear()
    several = encode(["nurse care"] * 17)  # two to a row
    assert shapes == [(8, 2, 8)]
    np.testing.assert_allclose(several.flat, np.tile(alone.flat, (17, 1)), atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("texts", [64, 200])
def test_packed_texts_equal_texts_alone_whatever_their_lengths(encoding, texts, rng, monkeypatch):
    encode, shapes = encoding
    monkeypatch.setattr(encoding_of_texts, "_SHORTEST_ROW", 12)
    words = [int(n) for n in rng.integers(0, 40, texts)]
    many = [" ".join(rng.choice(["nurse", "care", "code"], n)) for n in words]
    found = encode(many)
    lengths = {length for *_, length in shapes}
    assert lengths == {48} if texts == 64 else {16, 24, 32, 48} <= lengths <= {12, 16, 24, 32, 48}
    np.testing.assert_array_equal(found.lengths, np.array(words) + 2)
    for k in (0, 1, texts // 2, texts - 1):
        np.testing.assert_allclose(found.part(k, k + 1).flat, encode([many[k]]).flat, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "few", "expected"),
    [
        ([64], True, [(1, 8, 64)]),
        ([16] * 17, True, [(17, 32, 16)]),
        ([16] * 300, True, [(128, 128, 16), (128, 128, 16), (44, 128, 16)]),
        ([64] * 17, False, [(17, 32, 64)]),
        ([128, *[64] * 300], False, [(1, 16, 128), (160, 160, 64), (140, 160, 64)]),
    ],
)
def test_batches_of_rows_have_few_shapes_and_little_padding(rows, few, expected):
    """On eight devices, with room for sixteen rows on each, or 32 of 64 tokens."""
    most = {16: 16, 64: 32, 128: 16}
    found = list(encoding_of_texts._batches(rows, most.__getitem__, few))
    assert [((part.stop - part.start) // length, *rest, length) for part, *rest, length in found] == expected
    assert np.concatenate([np.arange(part.start, part.stop) for part, *_ in found]).tolist() == list(range(sum(rows)))


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_processes_share_texts_and_get_what_one_process_does(tmp_path, monkeypatch, dtype):
    tokeniser = Tokeniser(write_tiny_encoder(tmp_path / "encoder", layers=1), tmp_path / "cache")
    config = tiny_config(vocab_size=len(tokeniser._reader.vocabulary()), layers=1)
    model = UweModel.create(config, EncoderSettings(dtype=dtype), ScorerSettings())
    params = parallel.replicate(model.initial_params(random_params(config)))
    table = tokeniser.tokenise(["nurse care " * (k % 30) for k in range(800)])

    def encode(**options):
        return TextEncoder(model, 1, **options)(params, table, np.arange(800), 64).flat

    whole, given = encode(), []
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    with monkeypatch.context() as patched:
        patched.setattr(parallel, "fill_from_processes", lambda rows, owner: given.append((rows, owner)))
        for process in range(3):
            patched.setattr(jax, "process_index", lambda process=process: process)
            encode(shared=True)
    for process, (rows, owner) in enumerate(given):
        here = owner == process
        assert 0.2 < here.mean() < 0.5
        np.testing.assert_array_equal(rows[here], whole[here])
        np.testing.assert_array_equal(owner, given[0][1])

    # What is exchanged: each process's own rows, padded to the most.
    sent = []
    monkeypatch.setattr(
        parallel.multihost_utils, "process_allgather", lambda own: sent.append(own) or np.stack([own] * 3)
    )
    for process, (rows, owner) in enumerate(given):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        parallel.fill_from_processes(rows, owner)
    assert {own.shape for own in sent} == {(max(np.bincount(given[0][1])), 16 * whole.itemsize // 4)}
    monkeypatch.setattr(parallel.multihost_utils, "process_allgather", lambda _: np.stack(sent))
    for process, (rows, owner) in enumerate(given):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        rows[owner != process] = 0
        parallel.fill_from_processes(rows, owner)
        np.testing.assert_array_equal(rows, whole)


def test_no_texts_have_no_tokens(encoding):
    assert encoding[0]([]).flat.shape == (0, 16)


# ---- the target space -----------------------------------------------------------------------------------------------


def some_tokens(rng, lengths, width=8):
    return RaggedTokens(rng.normal(size=(sum(lengths), width)).astype(np.float32), np.cumsum([0, *lengths]))


def test_a_query_of_four_tokens_is_not_padded():
    assert [bucket(tokens) for tokens in (0, 1, 3, 4, 5, 8, 9)] == [4, 4, 4, 4, 8, 8, 12]


def test_norms_and_directions_do_not_depend_on_padding(rng):
    rows = rng.normal(size=(8, 13, 4)).astype(np.float32)
    unit, norms = layout._units(rows, "float32")
    np.testing.assert_allclose(norms, np.linalg.norm(rows, axis=2), rtol=1e-6)
    np.testing.assert_allclose(unit * norms[:, :, None], rows, rtol=1e-5)


def test_lengths_in_a_space_share_programs(rng, monkeypatch):
    """Blocks of many shapes are made by programs of few."""
    shapes, make = [], layout._unit_program
    monkeypatch.setattr(
        layout, "_unit_program", lambda dtype: lambda rows: shapes.append(rows.shape) or make(dtype)(rows)
    )
    monkeypatch.setattr(layout, "_SMALL_BLOCK_TOKENS", 1)
    lengths = [tokens for tokens in range(1, 7) for _ in range(24)]
    targets, query = some_tokens(rng, lengths), some_tokens(rng, [3])
    space = TargetSpace.build(targets, ScorerSettings())
    assert len(shapes) == 6
    assert len(set(shapes)) == 4
    np.testing.assert_allclose(
        space.scores(query, 0.3)[0, 120:],
        TargetSpace.build(targets.part(120, 144), ScorerSettings()).scores(query, 0.3)[0],
        atol=1e-6,
    )


# ---- arrays on devices ----------------------------------------------------------------------------------------------


def test_arrays_are_copied_to_devices_as_a_program_would(rng):
    tree = {"a": rng.normal(size=(3, 2)).astype(np.float32), "b": np.arange(4), "c": np.float32(2) * np.ones(())}
    by_program = parallel.replicate(jax.tree.map(jnp.asarray, tree))
    copied = parallel.replicate(tree)
    tree["a"][:] = 0  # what was copied stays
    for ours, expected in zip(*map(jax.tree.leaves, (copied, by_program)), strict=True):
        assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype)
        assert ours.sharding.is_equivalent_to(expected.sharding, ours.ndim)
        np.testing.assert_array_equal(ours, expected)


def test_placed_arrays_have_the_sharding_of_a_parallel_function(rng):
    rows = rng.normal(size=(8, 3)).astype(np.float32)
    placed = parallel.place(rows)
    result = parallel.parallel(lambda own: own * 2)(placed)
    assert placed.sharding.is_equivalent_to(result.sharding, 2)
    np.testing.assert_array_equal(result, rows * 2)


# ---- the tokeniser --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_cached_tokeniser_equals_that_of_transformers(tmp_path, monkeypatch, architecture):
    folder = write_tiny_encoder(tmp_path / "encoder", architecture=architecture)
    first = Tokeniser(folder, tmp_path / "cache")
    monkeypatch.setattr(tokeniser_file, "_by_transformers", lambda _: pytest.fail("transformers was asked again"))
    kept = Tokeniser(folder, tmp_path / "cache")
    assert (kept.digest, kept.special) == (first.digest, first.special)
    expected = AutoTokenizer.from_pretrained(folder)
    assert kept._ids(TEXTS) == expected(TEXTS, add_special_tokens=False)["input_ids"] == first._ids(TEXTS)
    np.testing.assert_array_equal(kept.tokenise(TEXTS).flat, first.tokenise(TEXTS).flat)


def test_a_changed_file_is_another_tokeniser_and_a_damaged_cache_is_rewritten(tmp_path):
    folder, cache = write_tiny_encoder(tmp_path / "encoder"), tmp_path / "cache"
    before = Tokeniser(folder, cache)
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    assert Tokeniser(folder, cache).digest == before.digest
    json.loads(kept.read_text())

    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(content))
    assert Tokeniser(folder, cache)._ids(["Nurse"]) != before._ids(["Nurse"])


def test_settings_outside_the_tokeniser_file_are_cached(tmp_path):
    folder, cache = write_tiny_encoder(tmp_path / "encoder"), tmp_path / "cache"
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split_special_tokens": True}))
    first, kept = Tokeniser(folder, cache), Tokeniser(folder, cache)
    assert kept._ids(["nurse [CLS]"]) == first._ids(["nurse [CLS]"])
    assert kept._ids(["nurse [CLS]"]) != Tokeniser(write_tiny_encoder(tmp_path / "plain"), cache)._ids(["nurse [CLS]"])


def test_a_tokeniser_that_differs_or_cannot_be_written_is_not_cached(tmp_path, monkeypatch):
    folder = write_tiny_encoder(tmp_path / "encoder")
    (tmp_path / "file").touch()
    assert Tokeniser(folder, tmp_path / "file" / "cache").special.count == 2
    monkeypatch.setattr(tokeniser_file, "_same", lambda *_: False)
    assert Tokeniser(folder, tmp_path / "cache").special.count == 2
    assert not (tmp_path / "cache").exists()


# ---- the start of the command ---------------------------------------------------------------------------------------


def test_weights_taken_from_wheels_before_need_no_hub(tmp_path, monkeypatch):
    kept = write_tiny_encoder(tmp_path / "encoders" / "all-MiniLM-L6-v2")
    monkeypatch.setattr(wheels, "_differing", lambda folder, pinned: "")
    for look in ("from_hub_cache", "from_hub_network"):
        monkeypatch.setattr(hub, look, lambda *_: pytest.fail("the hub was asked"))
    monkeypatch.chdir(tmp_path)
    assert resolve_encoder("sentence-transformers/all-MiniLM-L6-v2", cache_dir=tmp_path).folder == kept


@pytest.mark.thorough
def test_ranking_imports_nothing_heavy_and_caches_programs(tmp_path):
    heavy = (
        "orbax",
        "transformers",
        "huggingface_hub",
        "matplotlib",
        "sklearn",
        "pandas",
        "tensorflow_datasets",
        "torch",
    )
    code = (
        "from uwe_jax.runtime.compile_cache import keep_compiled_programs; folder = keep_compiled_programs()\n"
        "import sys, uwe_jax.retrieval.answering, jax\n"
        "jax.jit(lambda x: x + 1)(1.0)\n"
        f"print([name for name in {heavy} if name in sys.modules], len(list(folder.iterdir())) > 0)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"UWE_JAX_CACHE": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split("\n")[0] == "[] True"


@pytest.fixture
def before_jax(monkeypatch, tmp_path):
    """As if jax was not imported yet and only the cache folder was set."""
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path))
    monkeypatch.delitem(sys.modules, "jax")
    names = (
        "JAX_COMPILATION_CACHE_DIR",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
        "JAX_COMPILATION_CACHE_MAX_SIZE",
    )
    for name in names:
        monkeypatch.setenv(name, "")  # so that it is put back in the end
        monkeypatch.delenv(name)


def test_programs_are_cached_per_processor(before_jax, tmp_path, monkeypatch):
    folders = []
    for flags in ("flags : avx2", "flags : avx2 avx512f"):
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        monkeypatch.setattr(compile_cache, "_CPU_INFO", tmp_path / "cpuinfo")
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
        folders.append(keep_compiled_programs())
        assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folders[-1])
        assert os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "0"
    assert len(set(folders)) == 2
    assert {folder.parent for folder in folders} == {tmp_path / "compiled"}
    assert all(folder.is_dir() for folder in folders)


def test_user_settings_of_the_cache_are_kept(before_jax, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path / "file"))
    assert keep_compiled_programs() is None
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    assert keep_compiled_programs() is None
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "mine"


def test_the_cache_is_not_set_after_jax_was_imported(monkeypatch, tmp_path):
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    assert keep_compiled_programs() is None
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


# ---- benchmark rank -------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_encoders(monkeypatch):
    """One layer of width 16 under the names of the real sizes."""
    for name, config in ENCODERS.items():
        monkeypatch.setitem(ENCODERS, name, tiny_config(config.architecture, vocab_size=200, layers=1))


@pytest.mark.parametrize("encoder", ["minilm", "mpnet"])
def test_random_texts_have_the_requested_tokens(tiny_encoders, tmp_path, rng, encoder):
    write_model(ENCODERS[encoder], tmp_path / "encoder", seed=0)
    tokeniser = Tokeniser(tmp_path / "encoder", tmp_path / "cache")
    assert tokeniser.special.pad == ENCODERS[encoder].pad_token_id
    texts = [text_of(tokens, rng, ENCODERS[encoder]) for tokens in (3, 4, 17)]
    table = tokeniser.tokenise(texts)
    assert table.lengths.tolist() == [3, 4, 17]
    assert table.flat.min() > 3  # none of the special tokens, so every word was known


@pytest.mark.slow
def test_the_command_shows_single_queries_load_and_starts(tiny_encoders, tmp_path, capsys, monkeypatch):
    taken = iter((9.0, 2.0, 4.0))
    monkeypatch.setattr(ranking._Bench, "_start", lambda self: next(taken))
    out = tmp_path / "rank.json"
    flags = "rank --targets 40 --query_tokens 3,9 --clients 1,3 --requests 7 --runs 2 --top_k 4 --starts 2"
    command.benchmark([*flags.split(), "--out", str(out)])
    rows = json.loads(out.read_text())["rows"]
    single, load, starts = rows[:6], rows[6:8], rows[8:]
    assert [row["query_tokens"] for row in single] == [3] * 3 + [9] * 3
    for ours, forward, product in (single[:3], single[3:]):
        assert [each["contender"] for each in (ours, forward, product)] == [
            ranking.RANK,
            ranking.FORWARD,
            ranking.PRODUCT,
        ]
        bare = forward["seconds"]["median"] + product["seconds"]["median"]
        assert ours["ratio_to_bare"] == pytest.approx(ours["seconds"]["median"] / bare)
    assert [row["clients"] for row in load] == [1, 3]
    for row in load:
        assert 0 < row["p50"] <= row["p90"] <= row["p99"]
        assert row["queries_per_second"] > 0
    assert [row["seconds"]["runs"] for row in starts] == [[9.0], [2.0, 4.0]]
    text = capsys.readouterr().out.partition("\nWritten to")[0]
    assert max(map(len, text.splitlines())) <= 80
    for part in ("/ bare", "p99", "warm cache", "3,000 (2,000..4,000)"):
        assert part in text


def test_a_query_is_compared_with_the_work_of_its_scorer(tiny_encoders, tmp_path):
    """Where both sides are pooled the bare product has one row a text."""
    options = ranking.RankingOptions(targets=20, scorer="mean_pool", query_tokens=(5,), runs=1, top_k=3, starts=0)
    bench = ranking._Bench(options, tmp_path / "bench")
    text = bench._text(5)
    product = ranking.bare_work(bench.ranker, text, bench._targets)[ranking.PRODUCT]
    assert np.asarray(product()).size == 1 * 24  # 20 targets on 8 devices
    assert list(bench.start_rows()) == []
    hits = bench._ask(text)
    assert len(hits) == 3


@pytest.mark.thorough
def test_sides_and_names_are_compared_with_their_bare_work(tiny_encoders, tmp_path, capsys):
    out = tmp_path / "names.json"
    flags = "names --targets 40 --names 130 --candidates 9 --queries 1,3 --query_tokens 5 --runs 2 --top_k 4"
    command.benchmark([*flags.split(), "--out", str(out)])
    rows = json.loads(out.read_text())["rows"]
    sides, (everything, few, forward, product) = rows[:4], rows[4:]
    assert [row["queries"] for row in sides] == [1, 1, 3, 3]
    for one, both in (sides[:2], sides[2:]):
        assert both["ratio_to_one_side"] == both["seconds"]["median"] / one["seconds"]["median"]
    medians = [row["seconds"]["median"] for row in (forward, product)]
    assert (forward["contender"], product["contender"]) == (ranking.FORWARD, ranking.PRODUCT)
    for row in (everything, few):
        assert row["ratio_to_bare"] == row["seconds"]["median"] / sum(medians)
        assert row["ratio_to_product"] == row["seconds"]["median"] / medians[1]
    assert max(map(len, capsys.readouterr().out.partition("\nWritten to")[0].splitlines())) <= 80
    with pytest.raises(UserError, match="--names is 3; it must be at least 5"):
        command.benchmark(["names", "--targets", "5", "--names", "3"])


@pytest.mark.slow
def test_the_start_of_the_real_command_is_timed(tiny_encoders, tmp_path):
    bench = ranking._Bench(ranking.RankingOptions(targets=20, top_k=3), tmp_path / "bench")
    assert bench._start() > 0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--query_tokens 2", "--query-tokens is 2; it must be between 3 and 64"),
        ("--clients 0", "--clients is 0; it must be at least 1"),
        ("--targets 5", "--top-k 10 is more than the 5 targets"),
        ("--scorer best", "--scorer is 'best'; it must be one of"),
    ],
)
def test_invalid_options_are_reported(flags, sentence):
    with pytest.raises(UserError, match=sentence):
        command.benchmark(["rank", *flags.split()])


def test_every_question_is_asked_once_and_clients_ask_together():
    together = threading.Barrier(3, timeout=20)
    asked = []

    def ask(question):
        asked.append(question)
        together.wait()

    seconds, whole = latencies(ask, list("abcdef"), clients=3)
    assert sorted(asked) == list("abcdef")
    assert len(seconds) == 6
    assert 0 < max(seconds) <= whole


def test_a_failing_call_is_raised():
    with pytest.raises(ZeroDivisionError):
        latencies(lambda number: 1 / number, [1, 0, 2, 3], clients=2)


def test_percentiles_are_those_of_numpy(rng):
    seconds = rng.random(500).tolist()
    found = percentiles(seconds)
    assert list(found) == ["p50", "p90", "p99"]
    assert sum(each > found["p99"] for each in seconds) == 5


@pytest.mark.parametrize("architecture", FAMILIES)
def test_the_shapes_of_a_runs_parameters_are_those_of_fresh_ones(architecture):
    config = tiny_config(architecture)
    model = UweModel.create(config, EncoderSettings(), ScorerSettings(learn_tau_a=True))
    ids = jnp.ones((1, 4), jnp.int32)
    fresh = jax.eval_shape(lambda: model.encoder.init(jax.random.key(0), ids, ids > 0)["params"])
    shapes = _shapes(model)
    assert jax.tree.structure(shapes["encoder"]) == jax.tree.structure(fresh)
    assert jax.tree.leaves(shapes["encoder"]) == jax.tree.leaves(fresh)
    assert {name: leaf.shape for name, leaf in shapes["scorer"].items()} == dict.fromkeys(LEARNED, ())
