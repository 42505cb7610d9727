"""Benchmarks at tiny sizes: their tables and JSON, and that the peers do the same work as ours."""

import errno
import json
import os
import subprocess
import sys
import time
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr
from optional_torch import needs_torch, torch
from tiny_encoder import tiny_config

from uwe_jax.commands import benchmark as command
from uwe_jax.config import BatchSettings, EncoderSettings, LengthSettings, ScorerSettings
from uwe_jax.distributed import parallel
from uwe_jax.models.encoder import Encoder
from uwe_jax.models.uwe import UweModel
from uwe_jax.models.weights import params_to_hf
from uwe_jax.retrieval.embedding import Embedder
from uwe_jax.retrieval.loading import load
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import UserError
from uwe_jax.studies.benchmarks import (
    encoding,
    measure,
    outcome,
    padding,
    pipeline,
    ranking,
    scoring,
    synthetic,
    torch_peers,
    torch_scoring,
    training,
)
from uwe_jax.studies.benchmarks.encoders import ENCODERS, random_params, text_of, write_model
from uwe_jax.studies.benchmarks.measure import bare_product, chained_products, interleaved, spread
from uwe_jax.training.step import batch_gradient

TOKENS = LengthSettings(skill=6, job=6, vacancy=9, alias=6)
SHORT = LengthSettings(skill=6, job=6, vacancy=6, alias=6)  # one length compiles in half the time


@pytest.fixture(autouse=True)
def one_torch_thread(monkeypatch):
    """Threads of torch that wait for each other on a busy machine take far longer than one."""
    monkeypatch.setattr(torch_peers, "cpu_threads", lambda: 1)


@pytest.fixture
def tiny_encoders(monkeypatch):
    """One layer of width 16 under the names of the real sizes."""
    for name, config in ENCODERS.items():
        tiny = tiny_config(config.architecture, vocab_size=config.vocab_size, layers=1)
        monkeypatch.setitem(ENCODERS, name, tiny)


def numbers(outcome):
    """The outcome as its JSON file would give it back, rows by contender; what is printed of it fits a terminal."""
    assert max(map(len, outcome.text().splitlines())) <= 80
    values = json.loads(json.dumps(outcome.to_dict()))
    return values, {row["contender"]: row for row in values["rows"]}


# ---- scoring --------------------------------------------------------------------------------------------------------


@pytest.mark.thorough_after(1)
@needs_torch
@pytest.mark.parametrize(
    ("scorer", "logits", "products"),
    [
        ("soft", "dot", "two products"),
        ("soft", "cosine", "one product"),
        ("max_sim", "dot", "one product"),
        ("mean_pool", "dot", "one product"),
        ("soft_pooled", "dot", "two products"),
    ],
)
def test_scoring_compares_the_same_scores(scorer, logits, products):
    options = scoring.ScoringOptions(
        queries=(3,), targets=21, widths=(8,), top_k=4, runs=2, scorer=scorer, logits=logits, tau_a=0.5
    )
    values, rows = numbers(scoring.run(options))
    peer = f"torch, {products}"
    assert list(rows) == ["uwe_jax", "bare product", peer]
    assert rows[peer]["max_score_difference"] < 1e-5
    for row in rows.values():
        assert len(row["seconds"]["runs"]) == 2
        assert row["seconds"]["low"] <= row["seconds"]["median"] <= row["seconds"]["high"]
        assert row["flops"] == 2 * row["query_tokens"] * row["target_tokens"] * 8
        assert row["bytes"] == 4 * (8 * (row["query_tokens"] + row["target_tokens"]) + 3 * 21)
        assert row["flops_per_second"] == pytest.approx(row["flops"] / row["seconds"]["median"])
        assert row["ratio_to_product"] == pytest.approx(
            row["seconds"]["median"] / rows["bare product"]["seconds"]["median"]
        )
    pooled = scorer == "mean_pool"
    assert (rows["uwe_jax"]["query_tokens"] == 3) == pooled
    assert (rows["uwe_jax"]["target_tokens"] == 21) == (scorer in ("mean_pool", "soft_pooled"))
    assert values["settings"]["scorer"] == scorer


@needs_torch
def test_both_rank_the_same_targets(rng):
    settings = ScorerSettings(logits="dot", tau_a=0.5, target_tau_a=0.5)
    targets = scoring.random_tokens(synthetic.SKILLS, 30, 8, (0,))
    queries = scoring.random_tokens(synthetic.JOBS, 5, 8, (1,))
    ours = scoring.TargetSpace.build(targets, settings).top_k(queries, 6, 0.5)
    theirs = torch_scoring.PaddedScoring(targets, settings, "float32", "cpu").top_k(queries, 6)
    np.testing.assert_array_equal(ours.positions, theirs.positions)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)


@pytest.mark.thorough
def test_scoring_many_queries_has_a_separate_row():
    options = scoring.ScoringOptions(queries=(1,), targets=9, widths=(8,), top_k=2, runs=1, many=7, peers=False)
    values, _ = numbers(scoring.run(options))
    assert [(row["contender"], row["queries"]) for row in values["rows"]] == [
        ("uwe_jax", 1),
        ("bare product", 1),
        ("uwe_jax", 7),
    ]
    assert values["rows"][2]["queries_per_second"] == pytest.approx(7 / values["rows"][2]["seconds"]["median"])
    assert any("--no-peers" in note for note in values["notes"])


def test_the_bare_product_is_the_product_over_all_devices(rng):
    a, b = (rng.standard_normal((rows, 4)).astype(np.float32) for rows in (3, 21))
    shares = np.asarray(bare_product(a, b, dtype="float32")())
    assert shares.shape == (8, 3, 3)
    np.testing.assert_allclose(shares.swapaxes(0, 1).reshape(3, -1)[:, :21], a @ b.T, rtol=1e-5, atol=1e-6)


def test_chained_products_follow_each_other_on_all_devices():
    def run(pairs):
        work, flops = chained_products(16, 3, 5, pairs, dtype="float32")
        assert flops == pairs * 2 * 2 * 16 * 3 * 5
        return np.asarray(work()).reshape(16, 3).astype(np.float64)

    start, once, twice = run(0), run(1), run(2)
    both, *_ = np.linalg.lstsq(start, once)  # W1 W2
    np.testing.assert_allclose(once @ both, twice, atol=1e-5)


# ---- training -------------------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.slow  # steps of one model as five programs
def test_training_takes_the_steps_that_pytorch_takes(tiny_encoders):
    lengths = LengthSettings(skill=16, job=16, vacancy=16, alias=16)
    options = training.TrainingOptions(skills=16, lengths=lengths, runs=2, scorers=("soft",))
    values, rows = numbers(training.run(options))
    ours, padded = rows["uwe_jax, soft"], rows["uwe_jax, soft, padded"]
    theirs, packed = rows["torch, soft"], rows["torch, packed"]
    assert list(rows) == ["uwe_jax, soft", "uwe_jax, soft, padded", "torch, soft", "torch, packed", "bare products"]
    # Two to warm up and look at memory, one more to warm up, two that are timed after one each: all follow each other.
    assert len(ours["losses"]) == len(theirs["losses"]) == len(packed["losses"]) == 7
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=1e-4)
    np.testing.assert_allclose(ours["losses"], packed["losses"], rtol=1e-4)
    np.testing.assert_allclose(ours["losses"], padded["losses"], rtol=1e-4)
    assert ours["program_tokens"] < padded["program_tokens"] == theirs["program_tokens"]
    assert ours["temporary_bytes"] < padded["temporary_bytes"]
    assert ours["ratio_to_padded"] == ours["seconds"]["median"] / padded["seconds"]["median"]
    assert ours["texts"] == 64
    assert theirs["program_tokens"] == 16 * 4 * 16
    assert 16 * 4 < theirs["real_tokens"] < packed["program_tokens"] < theirs["program_tokens"]
    for row in (ours, padded, theirs, packed):
        assert row["real_share"] == row["real_tokens"] / row["program_tokens"]
    assert packed["flops"] < theirs["flops"]
    assert 0 < ours["temporary_bytes"] < ours["program_bytes"]
    assert ours["flops_per_second"] == pytest.approx(ours["flops"] / ours["seconds"]["median"])
    assert ours["share_of_product"] == pytest.approx(
        ours["flops_per_second"] / rows["bare products"]["flops_per_second"]
    )
    assert rows["bare products"]["flops"] == pytest.approx(ours["flops"], rel=0.5)
    assert ours["compile_seconds"] > 0
    assert any("differ from ours by" in note for note in values["notes"])


def test_steps_are_compared_with_mean_pooling_and_the_product():
    def row(contender, seconds, rate):
        return {"contender": contender, "seconds": {"median": seconds}, "flops_per_second": rate}

    product = row("bare product", 1.0, 80.0)
    steps = [("uwe_jax, soft", 6.0, 20.0), ("uwe_jax, mean_pool", 4.0, 40.0), ("uwe_jax, soft, padded", 8.0, 15.0)]
    soft, pooled, padded, last = training.compared([row(*step) for step in steps], product)
    assert [each["ratio_to_padded"] for each in (soft, pooled, padded)] == [0.75, 0.5, 1.0]
    assert (soft["ratio_to_mean_pool"], pooled["ratio_to_mean_pool"]) == (1.5, 1.0)
    assert (soft["share_of_product"], pooled["share_of_product"]) == (0.25, 0.5)
    assert last is product


def gradients_of(trainer, batch, encoder="mpnet"):
    """Loss and gradients, by name, of a batch with the parameters of seed 0."""
    config = ENCODERS[encoder]
    peer = trainer(config, random_params(config, 0), [batch], dtype="float32", dropout=0.0, device="cpu")
    with torch_peers.equal_terms(tf32=False):
        loss = peer.backward(peer.batches[0]).item()
    return loss, {name: parameter.grad.numpy() for name, parameter in peer.model.named_parameters()}


def assert_equal_gradients(found, expected):
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4 * largest, err_msg=name)


@pytest.mark.thorough_after(1)
@needs_torch
@pytest.mark.parametrize("encoder", ["minilm", "mpnet"])
def test_packed_texts_have_the_loss_and_gradients_of_padded_ones(tiny_encoders, encoder):
    batch = synthetic.batch_builder(BatchSettings(global_batch_size=16), TOKENS, seed=0)(0)
    batch["nodes"]["job"]["mask"][3] = False  # a neighbour that is missing has no tokens
    batch["valid"]["job"][3] = False
    (loss, padded), (packed_loss, packed) = (gradients_of(each, batch, encoder) for each in torch_peers.TRAINERS)
    assert packed_loss == pytest.approx(loss, rel=1e-5)
    assert packed.keys() == padded.keys()
    assert_equal_gradients(packed, padded)


def test_a_padded_batch_has_each_text_in_a_place_of_its_kinds_length():
    batch = synthetic.batch_builder(BatchSettings(global_batch_size=16), TOKENS, seed=0)(0)
    padded = padding.padded_batch(batch, 8)
    assert len(padded["packed"]["segments"]) == 64  # rows of nine tokens hold one text of any kind
    np.testing.assert_equal(padding.padded_nodes(padded), padding.padded_nodes(batch))
    wide = batch | {"packed": {name: np.pad(rows, ((0, 0), (0, 4))) for name, rows in batch["packed"].items()}}
    for texts in wide["nodes"].values():
        texts["starts"] = (texts["starts"] // 9 * 13 + texts["starts"] % 9).astype(np.int32)
    padded = padding.padded_batch(wide, 8)
    assert len(padded["packed"]["segments"]) == 8 * 3 + 16  # of three kinds, two to a row of thirteen
    np.testing.assert_equal(padding.padded_nodes(padded), padding.padded_nodes(wide))
    assert len(np.unique(padded["packed"]["segments"])) == 1 + sum(
        t["mask"].any(1).sum() for t in wide["nodes"].values()
    )


@needs_torch
@pytest.mark.slow
def test_loss_and_gradients_are_those_of_pytorch(tiny_encoders):
    config = ENCODERS["mpnet"]
    batch = synthetic.batch_builder(BatchSettings(global_batch_size=16), TOKENS, seed=0)(0)
    loss, theirs = gradients_of(torch_peers.Trainer, batch)
    model = UweModel.create(config, EncoderSettings(), ScorerSettings())
    params = model.initial_params(random_params(config, 0))

    @parallel.parallel
    def gradient(params, batch):
        return parallel.mean_over_devices(batch_gradient(params, batch, model, torch_peers.LOSS, None))

    found, metrics = gradient(parallel.replicate(params), parallel.shard_rows(batch))
    assert float(metrics["loss"][0]) == pytest.approx(loss, rel=1e-5)
    assert_equal_gradients(params_to_hf(parallel.first(found)["encoder"], config), theirs)


@pytest.mark.thorough
def test_memory_only_compiles_without_running(tiny_encoders, monkeypatch):
    rows = []
    make = training.make_train_step
    # Without chunks it is a program that was compiled above.
    monkeypatch.setattr(training, "make_train_step", lambda *args: rows.append(args[-1]) or make(*args[:-1]))
    monkeypatch.setattr(training.OurStep, "__call__", lambda self: pytest.fail("a step was taken"))
    done = training.run(
        training.TrainingOptions(skills=16, lengths=SHORT, scorers=("soft",), memory_only=True, mini_batch_size=2)
    )
    row, padded = done.rows
    assert "seconds" not in row
    assert row["program_bytes"] > 0
    assert padded["program_tokens"] == 16 * 4 * 6
    assert rows[0] == 2  # of 6 to 8 that hold eight texts of up to six tokens
    assert "mini_batch_size 2" in done.text()


def test_encoder_operations_are_those_of_its_matrix_products():
    config, programs = tiny_config("mpnet"), (ClosedJaxpr, Jaxpr)

    def products(jaxpr):
        found = 0
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                (contracted, _), _ = equation.params["dimension_numbers"]
                shape = equation.invars[0].aval.shape
                found += 2 * equation.outvars[0].aval.size * int(np.prod([shape[axis] for axis in contracted]))
            for inner in jax.tree.leaves(dict(equation.params), is_leaf=lambda each: isinstance(each, programs)):
                if isinstance(inner, programs):
                    found += products(getattr(inner, "jaxpr", inner))
        return found

    params = random_params(config, 0)
    ids, mask = jnp.ones((3, 7), jnp.int32), jnp.ones((3, 7), bool)
    traced = jax.make_jaxpr(lambda p: Encoder(config).apply({"params": p}, ids, mask))(params)
    assert training.encoder_flops(config, 3, 7) == products(traced.jaxpr)


# ---- pipeline -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot pin a process to a core")
def test_pipeline_pins_one_core_and_releases_it(monkeypatch):
    before = os.sched_getaffinity(0)
    seen = []
    monkeypatch.setattr(pipeline, "interleaved", lambda *a: seen.append(os.sched_getaffinity(0)) or interleaved(*a))
    done = pipeline.run(pipeline.PipelineOptions(skills=8, lengths=TOKENS, batches=3, runs=2, threads=1))
    values, rows = numbers(done)
    assert list(rows) == ["BatchBuilder alone", "through Grain, 1 thread"]
    assert [len(cores) for cores in seen] == [1]
    assert os.sched_getaffinity(0) == before
    for row in rows.values():
        assert row["batches_per_second"] == pytest.approx(3 / row["seconds"]["median"])
        # Token ids and segments of eight devices' rows of nine tokens; for every text a start and a mask; valid and
        # positives for three graphs.
        packed = row["batch_bytes"] - 8 * (4 * 4 + 6 + 6 + 9 + 6) - 3 * 8 - 3 * 8 * 8
        assert packed in [8 * 8 * 9 * rows for rows in range(1, 5)]
    assert f"core {min(before)}" in " ".join(values["notes"])


@pytest.mark.slow
def test_pipeline_measures_all_stages_for_graphs_of_another_size():
    options = pipeline.PipelineOptions(skills=8, edges=3_000, lengths=TOKENS, batches=1, runs=1, threads=1)
    values, rows = numbers(pipeline.run(options))
    stages = list(rows)[:-2]
    assert stages[:2] == ["reading edge files", "reading what combine wrote"]
    graphs = synthetic.graphs_like_esco(0, options.edges / pipeline.EDGES)
    for name in stages[:2]:
        # What was written, with a byte of data and eight of position for an edge at the least.
        assert rows[name]["edges"] == sum(graph.num_edges for graph in graphs.graphs.values())
        assert rows[name]["edges"] == pytest.approx(options.edges, rel=0.15)  # fewer where a pair was drawn twice
        assert rows[name]["held_bytes"] > 9 * rows[name]["edges"]
    for name in stages:
        assert rows[name]["seconds_once"] >= 0
        assert rows[name]["peak_memory"] is None or rows[name]["peak_memory"]["bytes"] >= 0
    assert rows["token tables (random ids)"]["held_bytes"] > 4 * rows[stages[0]]["nodes"]
    assert rows["BatchBuilder alone"]["batches_per_second"] > 0
    assert "in ESCO's proportions" in " ".join(values["notes"])


# ---- what they share ------------------------------------------------------------------------------------------------


def test_contenders_take_turns_after_warming_up():
    order = []
    times = interleaved({name: lambda name=name: order.append(name) for name in "abc"}, 3, warmups=1)
    assert "".join(order) == "abc" + "abc" + "bac" + "cab"
    assert [len(times[name]["runs"]) for name in "abc"] == [3, 3, 3]
    order.clear()
    times = interleaved({name: lambda name=name: order.append(name) for name in "ab"}, 2, warmups=0, settle=1)
    assert "".join(order) == "aabb" + "bbaa"
    assert [len(times[name]["runs"]) for name in "ab"] == [2, 2]


def test_times_are_those_of_the_work():
    assert interleaved({"sleep": lambda: time.sleep(0.01)}, 3)["sleep"]["median"] >= 0.01


@pytest.mark.parametrize("stage", [scoring, ranking, training, pipeline])
def test_tables_of_a_slow_large_run_fit_a_terminal(stage):
    """Every column of a stage, with the widest values that it may have."""
    seconds = spread([123456.7, 98765.4, 234567.8])
    names = ["torch, two products", "reading what combine wrote", ranking.COLD, "uwe_jax, soft_pooled"]
    rows = [
        {column.key: name if column.show is str else 1.2345e9 for column in (*stage.LABELS, *stage.COLUMNS)}
        | {"width": 1024, "queries": 10_000, "query_tokens": 64, "clients": 1000}
        | {"seconds": seconds, "seconds_per_batch": seconds, "peak_memory": {"bytes": 123 << 30, "bound": True}}
        for name in names
    ]
    done = outcome.Outcome("A title", training.facts("bfloat16"), {}, stage.LABELS, stage.COLUMNS, rows, ["note " * 40])
    text = done.text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for column in stage.COLUMNS:
        assert column.show(rows[0][column.key]) in text
    for name in names:
        assert text.count(name) > 1


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system keeps no resettable peak")
def test_the_peak_counts_memory_that_was_freed_again():
    def work(mebibytes):
        np.ones((mebibytes, 2**20), np.uint8).sum()

    assert measure.host_peak(lambda: work(96))["bytes"] > 90 * 2**20
    assert measure.host_peak(lambda: work(1))["bytes"] < 32 * 2**20


def test_lengths_of_a_whole_source_are_its_histogram(rng):
    assert [sum(synthetic.BY_KIND[kind]) for kind in ("skill", "job", "alias", "vacancy")] == [13896, 3007, 97483, 7669]
    drawn = synthetic.draw(synthetic.SKILLS, 13896, rng)
    np.testing.assert_array_equal(np.bincount(drawn), synthetic.SKILLS)
    assert len(synthetic.draw(synthetic.JOBS, 5000, rng)) == 5000


@needs_torch
def test_peers_run_where_torch_is_installed(monkeypatch):
    assert torch_peers.choose_device(True, "cpu")[0] == "cpu"
    assert torch_peers.choose_device(False, "cpu")[0] is None
    device, why = torch_peers.choose_device(True, "tpu")
    assert device is None
    assert "tpu" in why
    monkeypatch.setattr(torch_peers.importlib.util, "find_spec", lambda name: None)
    assert torch_peers.choose_device(True, "cpu")[1] == "PyTorch was left out: torch is not installed."


def test_equal_terms_are_restored_after_the_measurement(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(torch_peers, "cpu_threads", lambda: before + 1)
    with torch_peers.equal_terms(tf32=False):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.thorough
def test_measuring_needs_no_data_packages_and_no_torch():
    reserved = ("grain", "orbax", "tensorflow_datasets", "torch", "transformers")
    code = f"import sys, uwe_jax.commands.benchmark; print([name for name in {reserved} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- encoding -------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
@needs_torch
def test_encoding_is_timed_beside_padded_texts_and_sentence_transformers(tiny_encoders):
    measured = encoding.run(encoding.EncodingOptions(skills=70, sentences=5, runs=1))
    assert [(row["texts"], row["contender"]) for row in measured.rows] == [
        (texts, name)
        for texts in ("70 skills", "5 sentences")
        for name in (encoding.PACKED, encoding.PADDED, encoding.PEER)
    ]
    for row in measured.rows:
        assert row["seconds"]["median"] > 0
        assert row.get("difference", 0.0) < 1e-5
        assert ("difference" in row) == (row["contender"] == encoding.PEER)
        fastest = row["least_speed_to_peer"] * row["seconds"]["low"]
        assert fastest == pytest.approx(
            next(r for r in measured.rows if r["texts"] == row["texts"] and r["contender"] == encoding.PEER)["seconds"][
                "low"
            ]
        )
    assert "x as fast" in measured.text()


def test_padded_texts_have_the_embeddings_of_packed_ones(tiny_encoders, tmp_path, rng):
    write_model(ENCODERS["minilm"], tmp_path / "encoder", 0)
    loaded = load(str(tmp_path / "encoder"), cache_dir=tmp_path / "cache").loaded
    texts = [text_of(tokens, rng, ENCODERS["minilm"]) for tokens in [*range(3, 73)]]
    packed = Embedder(loaded)(texts)
    for k, padded in enumerate(encoding.Padded(loaded)(texts)):
        np.testing.assert_allclose(padded, packed.part(k, k + 1).flat, atol=1e-5)


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("scoring", "texts in the target space"),
        ("rank", "clients that ask at once"),
        ("encoding", "texts of the first list"),
        ("training", "to train with"),
        ("pipeline", "in a batch"),
    ],
)
def test_every_mode_describes_its_options(mode, words, capsys):
    with pytest.raises(SystemExit):
        command.benchmark([mode, "--help"])
    text = capsys.readouterr().out
    assert "JSON file of all numbers" in text
    assert words in text


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_mode_the_help_is_printed(arguments, capsys):
    command.benchmark(arguments)
    out = capsys.readouterr().out
    assert "uwe-jax benchmark scoring --queries" in out


@needs_torch
def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
    out = tmp_path / "new" / "figures.json"
    flags = "scoring --queries 2 --targets 12 --widths 8 --top_k 3 --runs 1 --seed 5"
    command.benchmark([*flags.split(), "--out", str(out)])
    printed = capsys.readouterr().out
    text = " ".join(printed.split())
    values = json.loads(out.read_text())
    assert values["benchmark"] == "scoring"
    assert values["settings"]["queries"] == [2]
    assert len(values["rows"]) == 3
    facts = values["facts"]
    assert (facts["jax"], facts["torch"], facts["devices"]) == (jax.__version__, version("torch"), 8)
    assert facts["date"][:4].isdecimal()
    for part in (facts["jax"], facts["cpu"], "float32", "8 x cpu", "bare product", "torch, one product"):
        assert part in text
    for part in ("FLOP/s", "B/s", "MiB", "ms (min..max)", "/ product", "differ from ours by at most"):
        assert part in text
    assert str(out) in printed
    for row in values["rows"]:
        assert command.scoring.outcome.milliseconds(row["seconds"]) in text


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("ranking", "The mode of a benchmark is 'ranking'; it must be one of"),
        ("scoring --runs 0", "--runs is 0; it must be at least 1"),
        ("scoring --runs many", "invalid literal for int"),
        ("scoring --targets 50", "--top-k 100 is more than the 50 targets"),
        ("scoring --queries 1,x", "invalid literal for int"),
        ("scoring --queries 0", "--queries is 0"),
        ("scoring --dtype float16", "--dtype is 'float16'; it must be one of"),
        ("scoring --scorer cosine", "'cosine'; it must be one of"),
        ("scoring --encoder minilm", "Unrecognized options: --encoder"),
        ("encoding --skills 0 --sentences 0", "--skills + --sentences is 0; it must be at least 1"),
        ("training --encoder bert", "--encoder is 'bert'; it must be one of 'minilm', 'mpnet'"),
        ("training --skills 12", "--skills 12 is not divisible by the 8 devices; 16 is"),
        ("training --lengths.city 4", "Unrecognized options: --lengths.city"),
        ("training --lengths.vacancy 513", "--lengths vacancy is 513; it must be between 3 and 512"),
        ("training --scorers ,", "--scorers is empty"),
        ("pipeline --skills 20000", "--skills is 20000; it must be between 2 and 13896"),
        ("pipeline --batches 0", "--batches is 0"),
        ("pipeline --edges 50", "--edges is 50; it must be at least 2000"),
        ("pipeline --edges 20000 --skills 900", "--skills is 900; it must be between 2 and 550"),
    ],
)
def test_bad_input_is_reported(flags, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        answer_errors(lambda: command.benchmark(flags.split()))
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_as_output_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        command.benchmark(["scoring", "--out", str(tmp_path)])


def test_interruptions_and_full_disks_are_reported(capsys):
    def full_disk():
        raise OSError(errno.ENOSPC, "No space left on device", "/there")

    def interrupted():
        raise KeyboardInterrupt

    for work, code, sentence in (
        (full_disk, 2, "No space left on device: /there. Free disk space or name another folder; nothing is lost."),
        (interrupted, 130, "Interrupted. Nothing was written."),
    ):
        with pytest.raises(SystemExit) as stop:
            answer_errors(work, after_full_disk="nothing is lost.", after_interrupt="Nothing was written.")
        assert stop.value.code == code
        assert sentence in capsys.readouterr().err
    with pytest.raises(OSError, match="denied"):
        answer_errors(lambda: (_ for _ in ()).throw(PermissionError(errno.EACCES, "denied")))
