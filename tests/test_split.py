"""Splits by node hash: training graphs, held-out tasks, and rejected settings."""

import unicodedata

import numpy as np
import pytest
from graphs import build_graph_set, random_graphs
from hypothesis import given
from hypothesis import strategies as st

from uwe_jax.data.graph import Edge
from uwe_jax.data.split import TEST, TRAIN, VALIDATION, GraphSplits, assign_splits, split_graphs
from uwe_jax.data.text import comparable
from uwe_jax.runtime.errors import UserError

TEXTS = tuple(f"text {number}" for number in range(2_000))


def split(seed: int, salt: str = "") -> GraphSplits:
    graphs = random_graphs(np.random.default_rng(seed), skills=60, nodes=60)
    return split_graphs(graphs, 0.2, 0.2, salt)


def test_split_sizes_are_close_to_the_fractions():
    splits = assign_splits(TEXTS, validation=0.1, test=0.3)
    shares = np.bincount(splits, minlength=3) / len(TEXTS)
    np.testing.assert_allclose(shares, [0.6, 0.1, 0.3], atol=0.03)
    assert splits.dtype == np.int8
    assert not assign_splits(TEXTS, validation=0.0, test=0.0).any()
    assert assign_splits((), validation=0.1, test=0.1).shape == (0,)


def test_the_split_of_a_node_depends_on_its_text_alone():
    splits = assign_splits(TEXTS, validation=0.1, test=0.1)
    np.testing.assert_array_equal(assign_splits(TEXTS[::-1], validation=0.1, test=0.1), splits[::-1])
    # A literal, so that a change of the hash, which would leak held-out nodes into resumed runs, is noticed.
    literal = assign_splits(("weld", "cook", "plan", "teach", "audit", "drive"), validation=0.3, test=0.3)
    assert literal.tolist() == [1, 2, 1, 2, 0, 2]


def test_one_fraction_does_not_move_the_other_split():
    few = assign_splits(TEXTS, validation=0.1, test=0.1)
    more = assign_splits(TEXTS, validation=0.2, test=0.1)
    np.testing.assert_array_equal(few == TEST, more == TEST)
    assert np.all(more[few == VALIDATION] == VALIDATION)


def test_all_spellings_of_a_text_are_in_one_split():
    spelt = [text.title() + stop for text in TEXTS for stop in ("", ".", " .", "\u3002")]
    spelt += [text.upper().replace(" ", "\u00a0 ") for text in TEXTS]
    splits = assign_splits(TEXTS, validation=0.3, test=0.3)
    assert [comparable(text) for text in spelt] == [text for text in TEXTS for _ in range(4)] + [*TEXTS]
    expected = np.concatenate([np.repeat(splits, 4), splits])
    np.testing.assert_array_equal(assign_splits(spelt, validation=0.3, test=0.3), expected)
    for one, other in (("c++", "c#"), ("re-sign", "resign"), ("welder", "welders"), (".net", "net")):
        assert comparable(one) != comparable(other)


@given(st.text())
def test_the_comparable_form_is_idempotent(text):
    form = comparable(text)
    assert comparable(form) == form
    assert comparable(unicodedata.normalize("NFD", text)) == form


def test_no_held_out_text_is_trained_on_in_another_spelling_or_as_another_kind():
    edges = {
        "job": [Edge("", f"skill {k % 40}", "", text) for k in range(200) for text in (f"job {k}", f"JOB {k}.")],
        "alias": [Edge("", f"skill {k % 40}", "", f"Skill {(k + 1) % 40}") for k in range(40)],
    }
    splits = split_graphs(build_graph_set(edges), 0.2, 0.2)
    trained = set()
    for graph in splits.train.graphs.values():
        rows, columns = graph.edges.nonzero()
        trained |= {comparable(graph.skills[k]) for k in rows} | {comparable(graph.neighbours[k]) for k in columns}
    tasks = [task for part in (VALIDATION, TEST) for task in splits.tasks(part)]
    held_out = {comparable(text) for task in tasks for text in task.query_texts}
    assert len(trained) > 50
    assert len(held_out) > 50
    assert not trained & held_out


def test_salt_gives_another_split():
    splits = assign_splits(TEXTS, validation=0.3, test=0.3)
    other = assign_splits(TEXTS, validation=0.3, test=0.3, salt="other")
    assert 0.2 < np.mean(splits == other) < 0.5  # independent splits agree on 0.3² + 0.3² + 0.4² = 0.34


@given(st.integers(0, 1000))
def test_no_training_edge_touches_a_held_out_node(seed):
    splits = split(seed)
    for kind, graph in splits.train.graphs.items():
        skills, neighbours = graph.edges.nonzero()
        assert np.all(splits.skills[skills] == TRAIN)
        assert np.all(splits.neighbours[kind][neighbours] == TRAIN)
        # and no edge between two training nodes is lost
        both = np.outer(splits.skills == TRAIN, splits.neighbours[kind] == TRAIN)
        np.testing.assert_array_equal(graph.edges.toarray(), splits.whole.graphs[kind].edges.toarray() & both)


@given(st.integers(0, 1000), st.sampled_from([VALIDATION, TEST]))
def test_queries_are_the_held_out_nodes_with_all_their_edges(seed, split_id):
    splits = split(seed)
    tasks = {task.direction: task for task in splits.tasks(split_id)}
    for kind, graph in splits.whole.graphs.items():
        dense = graph.edges.toarray()
        for direction, matrix, sides, texts in (
            (f"skill_to_{kind}", dense, splits.skills, graph.skills),
            (f"{kind}_to_skill", dense.T, splits.neighbours[kind], graph.neighbours),
        ):
            expected = [place for place in range(len(matrix)) if sides[place] == split_id and matrix[place].any()]
            assert (direction in tasks) == bool(expected)
            if not expected:
                continue
            task = tasks[direction]
            assert task.kind == kind
            assert task.query_ids.tolist() == expected
            assert task.query_texts == tuple(texts[place] for place in expected)
            np.testing.assert_array_equal(task.relevant.toarray(), matrix[expected])


def test_tasks_are_those_with_a_query():
    splits = split(3)
    tasks = splits.tasks(TEST)
    assert [task.direction for task in tasks] == [
        *("skill_to_job", "job_to_skill", "skill_to_vacancy"),
        *("vacancy_to_skill", "skill_to_alias", "alias_to_skill"),
    ]
    assert split_graphs(splits.whole, 0.2, 0.0).tasks(TEST) == []


def test_summary_counts_training_edges_and_queries():
    splits = split(3)
    job = splits.whole.graphs["job"]
    queries = [
        sum(len(task.query_texts) for task in splits.tasks(part) if task.kind == "job") for part in (VALIDATION, TEST)
    ]
    assert splits.summary().startswith(
        f"skill-job trains on {splits.train.graphs['job'].num_edges} of {job.num_edges} edges, "
        f"{queries[0]} validation and {queries[1]} test queries; skill-vacancy"
    )


def star(nodes: int) -> dict[str, list[Edge]]:
    return {"job": [Edge("", "weld", "", f"job {number}", "") for number in range(nodes)]}


def test_nothing_to_train_on_is_refused_with_the_numbers():
    # one skill: where it is held out, no edge is left
    salt = next(s for s in map(str, range(99)) if assign_splits(["weld"], validation=0.4, test=0.2, salt=s))
    with pytest.raises(UserError) as raised:
        split_graphs(build_graph_set(star(20)), 0.4, 0.2, salt)
    message = str(raised.value)
    assert "nothing to train on in skill-job: of 20 edges" in message
    assert "split.validation 0.4 and split.test 0.2" in message
    assert "training 0 skills and" in message
    assert "Lower split.validation or split.test" in message


def test_one_split_or_both_may_be_empty():
    graphs = build_graph_set(star(200))
    everything = split_graphs(graphs, 0.0, 0.0)
    assert everything.tasks(VALIDATION) == everything.tasks(TEST) == []
    np.testing.assert_array_equal(everything.train.graphs["job"].edges.toarray(), graphs.graphs["job"].edges.toarray())
    for validation, test in ((0.0, 0.1), (0.1, 0.0)):
        splits = split_graphs(graphs, validation, test)
        assert [bool(splits.tasks(part)) for part in (VALIDATION, TEST)] == [validation > 0, test > 0]
    with pytest.raises(UserError, match=r"nothing to test on in skill-job: .* Raise split\.test above 1e-09"):
        split_graphs(build_graph_set(star(3)), 0.0, 1e-9)


def test_nothing_to_validate_on_is_refused_with_the_numbers():
    with pytest.raises(UserError) as raised:
        split_graphs(build_graph_set(star(3)), 1e-9, 0.0)
    message = str(raised.value)
    assert "nothing to validate on in skill-job: of 3 edges" in message
    assert "training 1 skills and 3 job nodes, validation 0 skills and 0 job nodes" in message
    assert "Raise split.validation above 1e-09" in message
