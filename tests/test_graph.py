"""Bipartite graphs and sets of them: merging, look-ups and fingerprints."""

import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from graphs import build_graph, build_graph_set
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from uwe_jax.data.graph import BipartiteGraph, Edge
from uwe_jax.data.text import normalise


def edge(left: str, right: str, left_id: str = "", right_id: str = "") -> Edge:
    return Edge(left_id, left, right_id, right, "")


EDGES = [edge("weld", "welder"), edge("weld", "fitter"), edge("cook", "chef"), edge("plan", "chef")]

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(normalise)
edge_lists = st.lists(st.builds(edge, texts, texts, texts, texts), min_size=1, max_size=30)


@given(st.text(st.characters(codec="utf-8")))
def test_normalise_is_idempotent_and_leaves_single_spaces(text):
    once = normalise(text)
    assert normalise(once) == once
    assert once == once.strip()
    assert "  " not in once
    assert not any(character in once for character in "\n\t\x00\u00a0\u200b\ufeff")


def test_nodes_are_sorted_texts_and_equal_texts_join():
    graph = build_graph("job", [*EDGES, edge(" weld\n", "Chef"), edge("weld", "welder")])
    assert graph.name == "skill-job"
    assert graph.skills == ("cook", "plan", "weld")
    assert graph.neighbours == ("Chef", "chef", "fitter", "welder")
    assert graph.num_edges == 5
    assert graph.neighbours_of(2).tolist() == [0, 2, 3]
    assert graph.neighbours_of(np.int64(1)).tolist() == graph.edges[[1]].nonzero()[1].tolist()


def test_unnormalised_edges_become_canonical():
    matrix = csr_array((np.ones(3, np.int8), [1, 0, 1], [0, 3]), shape=(1, 2))
    graph = BipartiteGraph("job", ("a",), ("x", "y"), matrix)
    assert graph.num_edges == 2
    assert graph.neighbours_of(0).tolist() == [0, 1]
    assert graph.edges.dtype == bool
    assert matrix.nnz == 3  # the caller's matrix is left alone


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        BipartiteGraph("job", ("a", "b"), ("x", "y"), csr_array((1, 2), dtype=bool))


@given(edge_lists, st.data())
def test_positives_equal_the_dense_matrix(listed, data):
    graph = build_graph("job", listed)
    dense = np.zeros((len(graph.skills) + 1, len(graph.neighbours) + 1), bool)  # the last of each answers -1
    for one in listed:
        dense[graph.skills.index(normalise(one.left_text)), graph.neighbours.index(normalise(one.right_text))] = True
    rows, columns = (
        np.array(data.draw(st.lists(st.integers(-1, size - 2), max_size=12)), np.int64) for size in dense.shape
    )
    np.testing.assert_array_equal(graph.positives(rows, columns), dense[rows][:, columns])
    np.testing.assert_array_equal(graph.edges.toarray(), dense[:-1, :-1])
    np.testing.assert_array_equal(graph.transpose.toarray(), dense[:-1, :-1].T)


@given(edge_lists, st.data())
def test_subgraph_keeps_the_numbering_and_only_whole_edges(listed, data):
    graph = build_graph("job", listed)
    keep_skills, keep_neighbours = (
        np.array(data.draw(st.lists(st.booleans(), min_size=len(nodes), max_size=len(nodes))), bool)
        for nodes in (graph.skills, graph.neighbours)
    )
    smaller = graph.subgraph(keep_skills, keep_neighbours)
    assert smaller.skills is graph.skills
    expected = graph.edges.toarray() & np.outer(keep_skills, keep_neighbours)
    np.testing.assert_array_equal(smaller.edges.toarray(), expected)


@given(edge_lists, st.randoms(use_true_random=False))
def test_fingerprint_ignores_the_order_of_rows(listed, random):
    shuffled = [*listed, listed[0]]
    random.shuffle(shuffled)
    first, second = (build_graph_set({"job": rows, "alias": rows[:1]}) for rows in (listed, shuffled))
    if listed[0] == shuffled[0]:
        assert first.fingerprints() == second.fingerprints()
    assert first.graphs["job"].fingerprint() == second.graphs["job"].fingerprint()
    assert first.skills == second.skills
    assert first.skill_ids == second.skill_ids
    assert first.graphs["job"].neighbour_ids == second.graphs["job"].neighbour_ids


def test_fingerprint_ignores_the_numbering_of_nodes():
    graph = build_graph("job", EDGES)
    turned = BipartiteGraph("job", graph.skills[::-1], graph.neighbours[::-1], graph.edges[::-1][:, ::-1])
    assert turned.fingerprint() == graph.fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        build_graph("alias", EDGES),
        build_graph("job", EDGES[1:]),
        build_graph("job", [*EDGES, edge("cook", "fitter")]),
        build_graph("job", [edge("weld.", one.right_text) if one == EDGES[0] else one for one in EDGES]),
        build_graph("job", EDGES).subgraph(np.array([True, True, False]), np.ones(3, bool)),
    ],
    ids=["kind", "edge dropped", "edge added", "text changed", "node held out"],
)
def test_fingerprint_changes_with_kind_texts_and_edges(other):
    assert other.fingerprint() != build_graph("job", EDGES).fingerprint()


def test_fingerprint_is_the_same_in_another_process():
    # Python's own hash() differs between processes; a checkpoint's fingerprint must not.
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from graphs import Edge, build_graph;"
        f"print(build_graph('job', [Edge(*row) for row in {list(map(tuple, EDGES))!r}]).fingerprint())"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == build_graph("job", EDGES).fingerprint()
    assert printed.strip() == "3d14105f706891d1883e37b620be41aacb9a0443334af226bdb65637334cac98"


def test_graphs_of_a_set_share_their_skills():
    graphs = build_graph_set(
        {
            "job": [edge("weld", "welder", "uri:2", "uri:9"), edge("weld", "welder", "uri:1")],
            "alias": [edge("cook", "prepare food"), edge("weld", "join metal")],
        }
    )
    assert list(graphs.graphs) == ["job", "alias"]
    assert graphs.skills == ("cook", "weld")
    assert all(graph.skills is graphs.skills for graph in graphs.graphs.values())
    assert graphs.skill_ids == ("cook", "uri:1")  # the smallest that a source gave, else the text
    assert graphs.graphs["job"].neighbour_ids == ("uri:9",)
    assert graphs.counts()["job"] == {"skills": 1, "neighbours": 1, "edges": 1}
    assert graphs.summary() == (
        "2 skills; skill-job 1 edge between 1 skill and 1 job title; skill-alias 2 edges between 2 skills and 2 aliases"
    )


def test_graphs_can_be_pickled():
    graphs = build_graph_set({"job": EDGES})
    assert pickle.loads(pickle.dumps(graphs)).fingerprints() == graphs.fingerprints()


def test_positives_of_a_paper_batch_take_about_a_millisecond(rng):
    shape = (14_000, 85_000)
    flat = np.unique(rng.integers(0, shape[0] * shape[1], 124_000))
    matrix = csr_array((np.ones(len(flat), bool), np.divmod(flat, shape[1])), shape=shape)
    graph = BipartiteGraph("alias", tuple(map(str, range(shape[0]))), tuple(map(str, range(shape[1]))), matrix)
    skills, neighbours = rng.integers(0, shape[0], 512), rng.integers(0, shape[1], 512)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        graph.positives(skills, neighbours)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.005  # ten times what it takes; a matrix of all pairs takes seconds
