"""Synthetic graphs and token tables for measuring speed."""

import numpy as np
import pytest

from uwe_jax.config import BatchSettings, LengthSettings
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.studies.benchmarks.synthetic import synthetic_graphs, synthetic_tables

KINDS = ("skill", "job", "vacancy", "alias")
HISTOGRAM = [0, 0, 1, 0, 6, 3]


def degrees(graph):
    """Edges of every skill and of every neighbour."""
    return np.diff(graph.edges.indptr), np.diff(graph.transpose.indptr)


@pytest.fixture(scope="module")
def esco():
    return synthetic_graphs(13_896, 3_007, 20_000, 97_458, seed=0)


def test_the_skill_job_graph_is_about_as_large_and_as_uneven_as_escos(esco):
    graph = esco.graphs["job"]
    assert graph.num_edges == pytest.approx(123_855, rel=0.01)
    skills, jobs = degrees(graph)
    assert min(skills.min(), jobs.min()) >= 1
    # The percentiles of ESCO 1.1.1 itself, skills and occupations that have an edge.
    np.testing.assert_allclose(np.percentile(skills, [75, 90, 99]), [9, 21, 106], rtol=0.25)
    np.testing.assert_allclose(np.percentile(jobs, [50, 90, 99]), [36, 67, 119], rtol=0.2)


def test_aliases_have_one_skill_and_sentences_one_or_two(esco):
    assert set(degrees(esco.graphs["alias"])[1]) == {1}
    skills, sentences = degrees(esco.graphs["vacancy"])
    assert set(sentences) == {1, 2}
    assert skills.max() > 20 * skills.mean()


def test_texts_are_unique_and_sorted_like_those_of_any_graph(esco):
    for texts in (esco.skills, *(graph.neighbours for graph in esco.graphs.values())):
        assert list(texts) == sorted(set(texts))


def test_the_seed_decides_everything():
    one, same, other = (synthetic_graphs(30, 7, 20, 40, seed) for seed in (0, 0, 1))
    assert one.fingerprints() == same.fingerprints()
    assert not set(one.fingerprints().values()) & set(other.fingerprints().values())
    tables = [synthetic_tables(one, dict.fromkeys(KINDS, HISTOGRAM), seed) for seed in (0, 0, 1)]
    for kind in KINDS:
        first, again, others = (made[kind] for made in tables)
        np.testing.assert_array_equal(first.flat, again.flat)
        np.testing.assert_array_equal(first.offsets, again.offsets)
        assert not np.array_equal(first.flat, others.flat)


@pytest.mark.parametrize("sizes", [(1, 1, 0, 0), (2, 50, 3, 0), (50, 2, 0, 3)])
def test_any_size_is_allowed(sizes):
    graphs = synthetic_graphs(*sizes, seed=0)
    assert tuple(graphs.graphs) == ("job", *(kind for kind, n in zip(KINDS[2:], sizes[2:], strict=True) if n))
    for size, graph in zip((n for n in sizes[1:] if n), graphs.graphs.values(), strict=True):
        assert len(graph.neighbours) == size
        assert degrees(graph)[1].min() >= 1
    assert degrees(graphs.graphs["job"])[0].min() >= 1


def test_lengths_follow_the_histogram_with_special_tokens_counted(esco):
    histograms = {kind: HISTOGRAM if kind != "alias" else [0, 0, 0, 1] for kind in KINDS}
    tables = synthetic_tables(esco, histograms, seed=0)
    assert [len(tables[kind]) for kind in KINDS] == [13_896, 3_007, 20_000, 97_458]
    assert set(tables["alias"].lengths) == {3}
    counted = np.bincount(tables["skill"].lengths, minlength=len(HISTOGRAM))
    np.testing.assert_allclose(counted / 13_896, np.array(HISTOGRAM) / 10, atol=0.02)
    assert not counted[np.array(HISTOGRAM) == 0].any()
    for table in tables.values():
        assert table.flat.dtype == np.int32
        assert 1000 <= table.flat.min() < 1100 < 29_900 < table.flat.max() < 30_000
        assert table.special.before == (101,)


def test_batches_are_built_from_synthetic_graphs():
    graphs = synthetic_graphs(60, 9, 40, 200, seed=3)
    sampler = BatchSampler(graphs, BatchSettings(global_batch_size=60), seed=0)
    tables = synthetic_tables(graphs, dict.fromkeys(KINDS, HISTOGRAM), seed=0)
    batch = BatchBuilder(graphs, tables, LengthSettings(), sampler, counted=1)(0)
    assert sorted(batch["nodes"]) == sorted(KINDS)
    assert batch["valid"]["alias"].sum() > batch["valid"]["job"].sum() == 9
