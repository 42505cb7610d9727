"""Arrays of a batch, their sharding over processes, and the Grain pipeline."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from graphs import random_graphs

from uwe_jax.base.config import BatchSettings, LengthSettings
from uwe_jax.data.batches import BatchBuilder, truncation
from uwe_jax.data.pipeline import batches
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.tokens import SpecialTokens, TokenTable

SPECIAL = SpecialTokens(before=(1,), after=(2,), pad=0)
LENGTHS = LengthSettings(skill=6, job=6, vacancy=9, alias=4)


def table(count, base, rng):
    """Text k is base + k, repeated one to five times."""
    lengths = rng.integers(1, 6, count)
    return TokenTable(
        np.repeat(base + np.arange(count), lengths).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        SPECIAL,
    )


@pytest.fixture
def parts(rng):
    graphs = random_graphs(rng)
    tables = {"skill": table(len(graphs.skills), 1000, rng)}
    for k, (kind, graph) in enumerate(graphs.graphs.items()):
        tables[kind] = table(len(graph.neighbours), 2000 + 1000 * k, rng)
    return graphs, tables, BatchSampler(graphs, BatchSettings(global_batch_size=8), seed=0)


def test_rows_hold_the_drawn_nodes_and_positives_the_whole_graph(parts):
    graphs, tables, sampler = parts
    batch, ids = BatchBuilder(graphs, tables, LENGTHS, sampler)(3), sampler(3)
    np.testing.assert_array_equal(batch["nodes"]["skill"]["token_ids"][:, 1], 1000 + ids.skills)
    for kind, drawn in ids.neighbours.items():
        np.testing.assert_array_equal(batch["valid"][kind], drawn >= 0)
        dense = graphs.graphs[kind].edges.toarray()
        expected = dense[ids.skills][:, np.maximum(drawn, 0)] & (drawn >= 0)
        np.testing.assert_array_equal(batch["positives"][kind], expected)
        assert not batch["nodes"][kind]["mask"][drawn < 0].any()
    assert sum(batch["positives"][kind].sum() for kind in ids.neighbours) > sum(
        (drawn >= 0).sum() for drawn in ids.neighbours.values()
    )  # more than the sampled edges


def test_rows_are_cut_to_their_length_with_special_tokens_kept(parts):
    graphs, tables, sampler = parts
    nodes = BatchBuilder(graphs, tables, LENGTHS, sampler)(0)["nodes"]
    for kind, length in (("skill", 6), ("vacancy", 9), ("alias", 4)):
        token_ids, mask = nodes[kind]["token_ids"], nodes[kind]["mask"]
        assert token_ids.shape == mask.shape == (8, length)
        for row, real in zip(token_ids, mask.sum(axis=1), strict=True):
            if real:
                assert row[0] == 1
                assert row[real - 1] == 2
            assert (row[real:] == 0).all()


def test_distractors_never_push_the_sentence_out(parts):
    graphs, tables, sampler = parts
    build = BatchBuilder(graphs, tables, LENGTHS, sampler)
    joined = 0
    for step in range(30):
        rows, ids = build(step)["nodes"]["vacancy"], sampler(step)
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
    whole = BatchBuilder(graphs, tables, LENGTHS, sampler)(5)
    halves = [BatchBuilder(graphs, tables, LENGTHS, sampler, (k, 2))(5) for k in range(2)]
    for name in ("skill", "job", "vacancy", "alias"):
        for leaf in ("token_ids", "mask"):
            np.testing.assert_array_equal(
                whole["nodes"][name][leaf], np.concatenate([half["nodes"][name][leaf] for half in halves])
            )
    np.testing.assert_array_equal(
        whole["positives"]["job"], np.concatenate([half["positives"]["job"] for half in halves])
    )


def test_the_pipeline_gives_batches_in_order_from_any_step(parts):
    graphs, tables, sampler = parts
    build = BatchBuilder(graphs, tables, LENGTHS, sampler)
    for first in (0, 4):
        made = list(batches(build, BatchSettings(prefetch=3, threads=2), first=first, last=9))
        assert len(made) == 9 - first
        for k, batch in enumerate(made):
            np.testing.assert_equal(batch, build(first + k))


def test_truncation_counts_texts_over_the_length(parts):
    _, tables, _ = parts
    cut, total, longest = truncation(tables, LENGTHS)["alias"]
    assert cut == (np.diff(tables["alias"].offsets) > 2).sum() > 0
    assert (total, longest) == (len(tables["alias"]), 7)


def test_making_batches_starts_no_jax_backend(tmp_path):
    # Grain itself imports jax; a process that only makes batches must still take no device.
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import numpy as np, pkgutil, importlib, uwe_jax.data as room\n"
        "for module in pkgutil.walk_packages(room.__path__, 'uwe_jax.data.'):\n"
        "    importlib.import_module(module.name)\n"
        "from graphs import random_graphs\n"
        "from test_batches import LENGTHS, table\n"
        "from uwe_jax.base.config import BatchSettings\n"
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
