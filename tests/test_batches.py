"""Arrays of a batch, their sharding over processes, and the Grain pipeline."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from graphs import random_graphs
from hypothesis import given, settings
from hypothesis import strategies as st

from uwe_jax.config import BatchSettings, LengthSettings
from uwe_jax.data.batches import BatchBuilder, fitted_lengths
from uwe_jax.data.packing import pack
from uwe_jax.data.pipeline import batches
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.tokens import SpecialTokens, TokenTable
from uwe_jax.data.truncation import Truncation
from uwe_jax.studies.benchmarks.padding import padded_nodes

SPECIAL = SpecialTokens(before=(1,), after=(2,), pad=0)
LENGTHS = LengthSettings(skill=6, job=6, vacancy=9, alias=4)


def table(count, base, rng, shortest=1):
    """Text k is base + k, repeated one to five times."""
    lengths = rng.integers(shortest, 6, count)
    return TokenTable(
        np.repeat(base + np.arange(count), lengths).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        SPECIAL,
    )


def plain_row(own, other, other_first, length, special):
    """Token ids and mask of one row, by lists: a text (None: padding) and what is joined on (None: nothing)."""
    if own is None:
        return [special.pad] * length, [False] * length
    room = length - special.count
    own = list(own)[:room]
    other = [] if other is None else list(other)[: room - len(own)]
    row = [*special.before, *(other + own if other_first else own + other), *special.after]
    return row + [special.pad] * (length - len(row)), [k < len(row) for k in range(length)]


def plain_batch(graphs, tables, lengths, ids, rows):
    """What a batch holds, pair by pair and row by row."""

    def node_rows(kind, drawn):
        joined = ids.distractors if kind == "vacancy" else np.full(len(drawn), -1)
        text = [[None if k < 0 else tables[kind].text(k) for k in some.tolist()] for some in (drawn, joined)]
        made = [
            plain_row(text[0][k], text[1][k], ids.distractor_first[k], getattr(lengths, kind), tables[kind].special)
            for k in rows
        ]
        return {"token_ids": np.array([row[0] for row in made]), "mask": np.array([row[1] for row in made])}

    edges = {kind: graph.edges.toarray() for kind, graph in graphs.graphs.items()}
    return {
        "nodes": {kind: node_rows(kind, drawn) for kind, drawn in {"skill": ids.skills, **ids.neighbours}.items()},
        "valid": {kind: drawn[rows] >= 0 for kind, drawn in ids.neighbours.items()},
        "positives": {
            kind: np.array([[n >= 0 and bool(edges[kind][s, n]) for n in drawn] for s in ids.skills[rows]])
            for kind, drawn in ids.neighbours.items()
        },
    }


@given(st.data())
@settings(max_examples=60)
def test_a_batch_equals_a_plain_loop_over_its_rows(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99), label="graphs"))
    kinds = data.draw(st.sampled_from([("job", "vacancy", "alias"), ("vacancy",), ("alias", "job")]), label="kinds")
    graphs = random_graphs(rng, skills=20, kinds=kinds, nodes=data.draw(st.sampled_from([3, 12, 60]), label="nodes"))
    sizes = {"skill": graphs.skills} | {kind: graph.neighbours for kind, graph in graphs.graphs.items()}
    tables = {kind: table(len(texts), 1000 * k, rng, shortest=0) for k, (kind, texts) in enumerate(sizes.items(), 1)}
    lengths = LengthSettings(
        **{k: data.draw(st.integers(3, 14), label=k) for k in ("skill", "job", "vacancy", "alias")}
    )
    batch = BatchSettings(
        global_batch_size=12,
        degree_temperature=data.draw(st.sampled_from([0.0, 0.5]), label="temperature"),
        distractor_probability=data.draw(st.sampled_from([0.0, 0.8, 1.0]), label="distractors"),
    )
    sampler = BatchSampler(graphs, batch, data.draw(st.integers(0, 99), label="seed"))
    step, processes = data.draw(st.integers(0, 1000), label="step"), data.draw(st.sampled_from([1, 2, 3]))
    local = data.draw(st.sampled_from([1, 2, 4 if processes == 3 else 3]), label="devices of a process")
    builds = [
        BatchBuilder(graphs, tables, lengths, sampler, (process, processes), devices=local * processes, counted=3)
        for process in range(processes)
    ]
    made = [build(step) for build in builds]
    packed = jax.tree.map(lambda *parts: np.concatenate(parts), *(each["packed"] for each in made))
    for each, rows in zip(made, np.arange(12).reshape(processes, -1), strict=True):
        unpacked = each | {"nodes": padded_nodes(each | {"packed": packed})}
        del unpacked["packed"]
        np.testing.assert_equal(unpacked, plain_batch(graphs, tables, lengths, sampler(step), rows))
        for nodes in each["nodes"].values():
            assert (nodes["starts"].dtype, nodes["mask"].dtype) == (np.int32, bool)
        assert {positives.dtype for positives in each["positives"].values()} == {np.dtype(bool)}
        usual, most = builds[0].rows(each["nodes"])
        assert len(each["packed"]["segments"]) in (local * usual, local * most)
        assert usual <= most
        assert step >= 3 or len(each["packed"]["segments"]) == local * usual
    check_packed(packed, [nodes for each in made for nodes in each["nodes"].values()])


def check_packed(packed, nodes):
    """Every text is in one row under a number of its own, and all else is padding."""
    assert packed["token_ids"].dtype == packed["segments"].dtype == np.int32
    segments, length = packed["segments"].ravel(), packed["segments"].shape[1]
    numbers = []
    for texts in nodes:
        for start, tokens in zip(texts["starts"], texts["mask"].sum(axis=1), strict=True):
            if tokens:
                assert start // length == (start + tokens - 1) // length
                (number,) = set(segments[start : start + tokens].tolist())
                assert (segments == number).sum() == tokens
                numbers.append(number)
    assert len(numbers) == len(set(numbers))
    assert set(segments.tolist()) - {0} == set(numbers)
    assert (packed["token_ids"].ravel()[segments == 0] == SPECIAL.pad).all()


@pytest.fixture
def parts(rng):
    graphs = random_graphs(rng)
    tables = {"skill": table(len(graphs.skills), 1000, rng)}
    for k, (kind, graph) in enumerate(graphs.graphs.items()):
        tables[kind] = table(len(graph.neighbours), 2000 + 1000 * k, rng)
    return graphs, tables, BatchSampler(graphs, BatchSettings(global_batch_size=8), seed=0)


@pytest.mark.parametrize("processes", [1, 2])
def test_sampled_positives_are_the_drawn_neighbours_alone(parts, processes):
    graphs, tables, sampler = parts
    ids = sampler(3)
    for process in range(processes):
        build = BatchBuilder(
            graphs, tables, LENGTHS, sampler, (process, processes), "sampled", devices=processes, counted=9
        )
        mine = np.arange(8).reshape(processes, -1)[process]
        for kind, positives in build(3)["positives"].items():
            expected = {(row, skill) for row, skill in enumerate(mine) if ids.neighbours[kind][skill] >= 0}
            assert set(zip(*map(np.ndarray.tolist, np.nonzero(positives)), strict=True)) == expected


def test_rows_hold_the_drawn_nodes_and_positives_the_whole_graph(parts):
    graphs, tables, sampler = parts
    batch, ids = BatchBuilder(graphs, tables, LENGTHS, sampler, counted=9)(3), sampler(3)
    np.testing.assert_array_equal(padded_nodes(batch)["skill"]["token_ids"][:, 1], 1000 + ids.skills)
    for kind, drawn in ids.neighbours.items():
        np.testing.assert_array_equal(batch["valid"][kind], drawn >= 0)
        dense = graphs.graphs[kind].edges.toarray()
        expected = dense[ids.skills][:, np.maximum(drawn, 0)] & (drawn >= 0)
        np.testing.assert_array_equal(batch["positives"][kind], expected)
        assert not batch["nodes"][kind]["mask"][drawn < 0].any()
    assert sum(batch["positives"][kind].sum() for kind in ids.neighbours) > sum(
        (drawn >= 0).sum() for drawn in ids.neighbours.values()
    )  # more than the sampled edges


def test_rows_are_truncated_with_special_tokens_kept(parts):
    graphs, tables, sampler = parts
    nodes = padded_nodes(BatchBuilder(graphs, tables, LENGTHS, sampler, counted=9)(0))
    for kind, length in (("skill", 6), ("vacancy", 9), ("alias", 4)):
        token_ids, mask = nodes[kind]["token_ids"], nodes[kind]["mask"]
        assert token_ids.shape == mask.shape == (8, length)
        for row, real in zip(token_ids, mask.sum(axis=1), strict=True):
            if real:
                assert row[0] == 1
                assert row[real - 1] == 2
            assert (row[real:] == 0).all()


def test_distractors_are_truncated_before_the_sentence(parts):
    graphs, tables, sampler = parts
    build = BatchBuilder(graphs, tables, LENGTHS, sampler, counted=9)
    joined = 0
    for step in range(30):
        rows, ids = padded_nodes(build(step))["vacancy"], sampler(step)
        for k, (sentence, distractor) in enumerate(zip(ids.neighbours["vacancy"], ids.distractors, strict=True)):
            if sentence < 0:
                continue
            real = rows["token_ids"][k][rows["mask"][k]][1:-1]
            own = (real >= 3000) & (real == real.dtype.type(tables["vacancy"].text(int(sentence))[0]))
            assert own.sum() == len(tables["vacancy"].text(int(sentence)))
            if distractor >= 0 and len(real) > own.sum():
                joined += 1
                assert bool(own[-1]) == bool(ids.distractor_first[k])
    assert joined > 20


def test_processes_hold_the_rows_of_one_global_batch(parts):
    graphs, tables, sampler = parts
    whole, *halves = (
        BatchBuilder(graphs, tables, LENGTHS, sampler, process, devices=4, counted=9)(5)
        for process in ((0, 1), (0, 2), (1, 2))
    )
    np.testing.assert_equal(whole, jax.tree.map(lambda *parts: np.concatenate(parts), *halves))


def test_rows_are_as_many_as_the_counted_batches_need_or_as_any_batch_may(parts):
    graphs, tables, sampler = parts
    build = BatchBuilder(graphs, tables, LENGTHS, sampler, counted=4)
    needed = []
    for step in range(300):
        batch = build(step)
        texts = np.concatenate([nodes["mask"].sum(axis=1) for nodes in batch["nodes"].values()])
        needed.append(len(pack(texts, build.row_length).rows))
        usual, most = build.rows(batch["nodes"])
        assert len(batch["packed"]["segments"]) == (usual if needed[-1] <= usual else most)
    assert max(needed[:4]) <= usual < max(needed) <= most
    assert build.rows_at_once() == build.rows_at_once(999) == usual
    assert build.rows_at_once(8) == -(-usual // 4)  # of 32 texts
    assert build.rows_at_once(1) == -(-usual // 32)
    # Kinds that no counted batch had alone.
    assert build.rows(["skill", "job"]) == (most, most)


def test_the_pipeline_gives_batches_in_order_from_any_step(parts):
    graphs, tables, sampler = parts
    build = BatchBuilder(graphs, tables, LENGTHS, sampler, counted=9)
    for first in (0, 4):
        made = list(batches(build, BatchSettings(prefetch=3, threads=2), first=first, last=9))
        assert len(made) == 9 - first
        for k, batch in enumerate(made):
            np.testing.assert_equal(batch, build(first + k))


def test_truncation_counts_texts_over_the_length(parts):
    table = parts[1]["alias"]
    counts = Truncation.of(table.lengths, LENGTHS.alias)
    assert counts.truncated == (np.diff(table.offsets) > 2).sum() > 0
    assert (counts.texts, counts.longest) == (len(table), 7)


@pytest.mark.thorough
def test_making_batches_starts_no_jax_backend(tmp_path):
    # Grain itself imports jax; a process that only makes batches must still take no device.
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import numpy as np, pkgutil, importlib, uwe_jax.data as room\n"
        "for module in pkgutil.walk_packages(room.__path__, 'uwe_jax.data.'):\n"
        "    importlib.import_module(module.name)\n"
        "from graphs import random_graphs\n"
        "from test_batches import LENGTHS, table\n"
        "from uwe_jax.config import BatchSettings\n"
        "graphs = random_graphs(np.random.default_rng(0), kinds=('job',))\n"
        "rng = np.random.default_rng(0)\n"
        "sizes = {'skill': len(graphs.skills), 'job': len(graphs.graphs['job'].neighbours)}\n"
        "tables = {kind: table(size, 9, rng) for kind, size in sizes.items()}\n"
        "settings = BatchSettings(global_batch_size=4)\n"
        "sampler = importlib.import_module('uwe_jax.data.sampling').BatchSampler(graphs, settings, 0)\n"
        "build = importlib.import_module('uwe_jax.data.batches').BatchBuilder(graphs, tables, LENGTHS, sampler)\n"
        "pipeline = importlib.import_module('uwe_jax.data.pipeline')\n"
        "assert len(list(pipeline.batches(build, settings, first=0, last=3))) == 3\n"
        "from jax._src import xla_bridge\n"
        "print(xla_bridge.backends_are_initialized(), sorted({'torch', 'tensorflow'} & set(sys.modules)))\n"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert done.stdout.strip() == "False []", done.stderr


def test_lengths_are_fitted_to_the_longest_text():
    def of(*texts):
        offsets = np.concatenate([[0], np.cumsum(texts)])
        return TokenTable(np.zeros(offsets[-1], np.int32), offsets, SPECIAL)

    tables = {"skill": of(3, 7), "job": of(6, 2), "vacancy": of(9, 20, 5), "alias": of(100)}
    settings = LengthSettings(skill=64, job=64, vacancy=64, alias=30)
    # 7 + 2 special tokens take 16, 6 + 2 take 8; two sentences 20 + 9 + 2 take 32, one alone 24.
    assert fitted_lengths(tables, settings, distractors=True) == LengthSettings(16, 8, 32, 30)
    assert fitted_lengths(tables, settings, distractors=False) == LengthSettings(16, 8, 24, 30)
    assert fitted_lengths({}, settings, distractors=True) == settings
