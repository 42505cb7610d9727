"""Training hashes find evaluation texts and pairs, whatever their case, direction or kind."""

import numpy as np
import pytest
from graphs import build_graph_set
from scipy.sparse import csr_array

from uwe_jax.data.graph import Edge
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.split import split_graphs
from uwe_jax.data.training_hashes import TrainingHashes, pair_hashes, text_hashes
from uwe_jax.runtime.errors import UserError

GRAPHS = build_graph_set(
    {
        "job": [Edge("", "welding", "", "welder"), Edge("", "planning", "", "foreman")],
        "alias": [Edge("", "welding", "", "join metal")],
    }
)


def test_queries_targets_and_edges_are_counted():
    found = TrainingHashes.of(GRAPHS).overlap(
        ["Welder", "FOREMAN ", "chef"],
        ["cooking", "planning", "Welding"],
        csr_array(np.array([[0, 1, 1], [0, 1, 0], [1, 0, 0]], bool)),
    )
    assert found.queries.tolist() == [True, True, False]
    assert found.targets.tolist() == [False, True, True]
    # welder-planning is no edge, though both texts are nodes.
    assert found.edges.tolist() == [False, True, True, False]


def test_spellings_are_compared_and_older_files_by_their_own_form(tmp_path):
    asked = ["Welder", "foreman.", "Chef"], ["WELDING.", "planning"], csr_array(np.ones((3, 2), bool))
    found = TrainingHashes.of(GRAPHS).overlap(*asked)
    assert (found.queries.tolist(), found.targets.tolist()) == ([True, True, False], [True, True])
    assert found.edges.tolist() == [True, False, False, True, False, False]
    # Files that name no form hold hashes of texts with their final full stop.
    old = tmp_path / "old.npz"
    hashes = [text_hashes([text], form=1) for text in ("planning", "foreman.")]
    np.savez_compressed(old, nodes=np.sort(np.concatenate(hashes)), edges=pair_hashes(*hashes))
    before = TrainingHashes.read(old)
    both = TrainingHashes.union([before, TrainingHashes.of(GRAPHS)])
    for hashes, known in ((before, False), (both, True)):
        there = hashes.overlap(["Foreman.", "foreman", "welder"], ["Planning"], csr_array(np.ones((3, 1), bool)))
        assert there.queries.tolist() == [True, known, known]
        assert there.edges.tolist() == [True, known, False]
    both.write(old)
    assert TrainingHashes.read(old).forms == (1, 2)
    np.savez_compressed(old, nodes=both.nodes, edges=both.edges, forms=[1, 9])
    with pytest.raises(UserError, match=r"is of form 9; this version reads forms 1 to 2"):
        TrainingHashes.read(old)


def test_an_edge_counts_in_both_directions_and_across_kinds():
    found = TrainingHashes.of(GRAPHS).overlap(["welding"], ["join metal", "welder"], csr_array(np.ones((1, 2), bool)))
    assert found.edges.all()


def test_held_out_nodes_are_not_hashed():
    edges = [Edge("", f"skill {k % 60}", "", f"job {k}") for k in range(300)]
    splits = split_graphs(build_graph_set({"job": edges}), 0.2, 0.2)
    hashes = TrainingHashes.of(splits.train)
    for task in (*splits.tasks(1), *splits.tasks(2)):
        graph = splits.whole.graphs[task.kind]
        targets = graph.neighbours if task.query_kind == "skill" else graph.skills
        found = hashes.overlap(task.query_texts, targets, task.relevant)
        assert not found.queries.any()
        assert not found.edges.any()
    assert len(hashes.edges) == splits.train.graphs["job"].num_edges


def test_pairs_do_not_collide():
    hashes = text_hashes(f"text {k}" for k in range(1000))
    assert len(np.unique(hashes)) == 1000
    one, other = np.triu_indices(1000, 1)
    assert len(np.unique(pair_hashes(hashes[one], hashes[other]))) == len(one)
    np.testing.assert_array_equal(pair_hashes(hashes[:9], hashes[9:18]), pair_hashes(hashes[9:18], hashes[:9]))


def test_hashes_round_trip_and_a_damaged_file_is_reported(tmp_path):
    path = tmp_path / "trained_on.npz"
    assert TrainingHashes.read(path) is None
    hashes = TrainingHashes.of(GraphSet(GRAPHS.skills, GRAPHS.graphs))
    hashes.write(path)
    back = TrainingHashes.read(path)
    assert back is not None
    np.testing.assert_array_equal(back.nodes, hashes.nodes)
    np.testing.assert_array_equal(back.edges, hashes.edges)
    whole = path.read_bytes()
    # Cut off, not unpacked, and passing for an encrypted file.
    inside = whole.index(b"nodes.npy") + 40
    packed = whole[:inside] + b"\xff" * 9 + whole[inside + 9 :]
    flags = whole.index(b"PK\x01\x02") + 8
    encrypted = whole[:flags] + b"\x01" + whole[flags + 1 :]
    for damaged in (whole[:40], packed, encrypted):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged"):
            TrainingHashes.read(path)
