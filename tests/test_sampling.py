"""Sampling of the nodes of a batch."""

import hashlib
from dataclasses import replace

import jax
import numpy as np
import pytest
from graphs import random_graphs
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from uwe_jax.config import BatchSettings
from uwe_jax.data import sampling
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.runtime.errors import UserError


@pytest.fixture
def graphs(rng):
    return random_graphs(rng)


def test_a_batch_is_a_function_of_seed_and_step(graphs):
    settings = BatchSettings(global_batch_size=8)
    one, two = (BatchSampler(graphs, settings, seed=3) for _ in range(2))
    late, again = one(17), None
    for step in range(18):
        again = two(step)
    np.testing.assert_equal(vars(late), vars(again))
    other = BatchSampler(graphs, settings, seed=4)(17)
    assert not np.array_equal(late.skills, other.skills)


def plain_ids(graphs, settings, seed, step):
    """What `BatchSampler` draws, by lists: a run is resumed with the draws it was begun with."""
    m, rng = settings.global_batch_size, lambda stream, index: np.random.default_rng((seed, stream, index))
    degree = sum(np.diff(graph.edges.indptr) for graph in graphs.graphs.values())
    usable = [skill for skill, edges in enumerate(degree) if edges]
    if settings.degree_temperature:
        keys = settings.degree_temperature * np.log(degree[usable]) + rng(1, step).gumbel(size=len(usable))
        skills = [usable[k] for k in np.argpartition(-keys, m - 1)[:m]]
    else:
        epoch, batch = divmod(step, len(usable) // m)
        skills = [usable[k] for k in rng(0, epoch).permutation(len(usable))[batch * m :][:m]]
    draws, neighbours = rng(2, step), {}
    for kind, graph in graphs.graphs.items():
        drawn = []
        for skill, share in zip(skills, draws.random(m), strict=True):
            options = graph.neighbours_of(skill)
            one = options[int(share * len(options))] if len(options) else -1
            drawn.append(-1 if one in drawn else one)
        neighbours[kind] = drawn
    distractors, first = [-1] * m, [False] * m
    if "vacancy" in graphs.graphs:
        vacancy, draws = graphs.graphs["vacancy"], rng(3, step)
        wanted, first = draws.random(m) < settings.distractor_probability, draws.random(m) < 0.5
        matching = {sentence for skill in skills for sentence in vacancy.neighbours_of(skill)}
        left = [k for k in range(len(vacancy.neighbours)) if vacancy.transpose[[k]].nnz and k not in matching]
        if left:
            picks = draws.integers(len(left), size=m)
            distractors = [
                left[pick] if join and own >= 0 else -1
                for pick, join, own in zip(picks, wanted, neighbours["vacancy"], strict=True)
            ]
    return {"skills": skills, "neighbours": neighbours, "distractors": distractors, "distractor_first": first}


@given(st.data())
@examples(max_examples=60)
def test_the_ids_equal_a_plain_loop(data):
    kinds = data.draw(st.sampled_from([("job", "vacancy", "alias"), ("vacancy",), ("alias", "job")]), label="kinds")
    nodes = data.draw(st.sampled_from([3, 30, 200]), label="nodes")
    rng = np.random.default_rng(data.draw(st.integers(0, 99), label="graphs"))
    graphs = random_graphs(rng, kinds=kinds, nodes=nodes)
    if data.draw(st.booleans(), label="held out"):  # sentences and skills that lost their edges keep their place
        kept = [
            rng.random(len(nodes)) < 0.8 for nodes in (graphs.skills, *(g.neighbours for g in graphs.graphs.values()))
        ]
        parts = zip(graphs.graphs.items(), kept[1:], strict=True)
        graphs = GraphSet(graphs.skills, {kind: graph.subgraph(kept[0], right) for (kind, graph), right in parts})
    settings = BatchSettings(
        global_batch_size=data.draw(st.sampled_from([2, 8, 20]), label="skills"),
        degree_temperature=data.draw(st.sampled_from([0.0, 0.7]), label="temperature"),
        distractor_probability=data.draw(st.sampled_from([0.0, 0.8, 1.0]), label="distractors"),
    )
    seed = data.draw(st.integers(0, 2**31), label="seed")
    sampler = BatchSampler(graphs, settings, seed)
    for step in data.draw(st.lists(st.integers(0, 500), min_size=1, max_size=3), label="steps"):
        np.testing.assert_equal(vars(sampler(step)), plain_ids(graphs, settings, seed, step))


def test_an_epoch_visits_every_skill_once(graphs):
    sampler = BatchSampler(graphs, BatchSettings(global_batch_size=8), seed=0)
    per_epoch = len(sampler.skills) // 8
    for epoch in range(3):
        drawn = np.concatenate([sampler(epoch * per_epoch + k).skills for k in range(per_epoch)])
        assert len(np.unique(drawn)) == len(drawn) == per_epoch * 8
        assert set(drawn) <= set(sampler.skills)


def test_temperature_moves_from_uniform_to_degree(graphs):
    degree = sum(np.diff(g.edges.indptr) for g in graphs.graphs.values())
    means = []
    for temperature in (0.0, 0.5, 1.0):
        settings = BatchSettings(global_batch_size=6, degree_temperature=temperature)
        sampler = BatchSampler(graphs, settings, seed=0)
        drawn = np.concatenate([sampler(k).skills for k in range(200)])
        assert all(len(np.unique(sampler(k).skills)) == 6 for k in range(20))
        means.append(degree[drawn].mean())
    assert means[0] == pytest.approx(degree[sampler.skills].mean(), rel=0.05)
    assert means[0] < means[1] < means[2]


def test_neighbours_are_edges_and_distinct(graphs):
    sampler = BatchSampler(graphs, BatchSettings(global_batch_size=24), seed=0)
    repeats = 0
    for step in range(20):
        ids = sampler(step)
        for kind, drawn in ids.neighbours.items():
            graph = graphs.graphs[kind]
            present = drawn >= 0
            assert graph.positives(ids.skills, drawn)[np.arange(24), np.arange(24)][present].all()
            assert len(np.unique(drawn[present])) == present.sum()
            has_edge = np.diff(graph.edges.indptr)[ids.skills] > 0
            assert not present[~has_edge].any()
            repeats += (has_edge & ~present).sum()
    assert repeats > 0  # the graph is small enough that some neighbour is drawn twice


def test_distractors_match_no_skill_of_the_batch_and_have_the_set_frequency(graphs):
    settings = BatchSettings(global_batch_size=6, distractor_probability=0.8)
    sampler = BatchSampler(graphs, settings, seed=0)
    vacancy = graphs.graphs["vacancy"]
    joined = possible = before = 0
    for step in range(200):
        ids = sampler(step)
        has = ids.distractors >= 0
        assert not has[ids.neighbours["vacancy"] < 0].any()
        assert not vacancy.positives(ids.skills, ids.distractors[has]).any()
        joined, possible = joined + has.sum(), possible + (ids.neighbours["vacancy"] >= 0).sum()
        before += ids.distractor_first[has].sum()
    assert joined / possible == pytest.approx(0.8, abs=0.05)
    assert before / joined == pytest.approx(0.5, abs=0.07)


def test_a_batch_larger_than_the_graph_is_an_error_with_both_numbers(graphs):
    with pytest.raises(UserError, match=r"global_batch_size is 500, but only \d+ skills"):
        BatchSampler(graphs, BatchSettings(global_batch_size=500), seed=0)


@pytest.mark.parametrize(
    ("settings", "digest"),
    [
        ({"distractor_probability": 0.0}, "ea6760bafe83683f"),
        (
            {"distractor_probability": 0.8, "degree_temperature": 0.5},
            "b31f674fce225501",
        ),
        ({"sources": "homogeneous"}, "9af4c325110e6fe2"),
    ],
)
def test_a_run_is_resumed_with_the_draws_it_began_with(settings, digest):
    """By what was recorded: another version of the package, or of NumPy, must not draw other batches."""
    graphs = random_graphs(np.random.default_rng(0))
    odd = {kind: graph.edges.indices % 2 for kind, graph in graphs.graphs.items()}
    parts = {kind: replace(graph, parts=(1 + odd[kind]).astype(np.uint64)) for kind, graph in graphs.graphs.items()}
    graphs = replace(graphs, graphs=parts, part_weights={"even": 2.0, "odd": 1.0})
    sampler = BatchSampler(graphs, BatchSettings(global_batch_size=8, **settings), seed=3)
    found = hashlib.sha256()
    for step in (0, 1, 2, 3, 17, 500, 4095, 4096, 70_001):
        for ids in jax.tree.leaves(vars(sampler(step))):
            found.update(ids.astype(np.int64).tobytes())
    assert found.hexdigest()[:16] == digest


def test_what_no_batch_needs_is_not_computed(graphs, monkeypatch):
    monkeypatch.setattr(sampling, "run_entries", lambda *_: pytest.fail("sentences were searched for distractors"))
    BatchSampler(graphs, BatchSettings(global_batch_size=8, distractor_probability=0.0), seed=0)(0)

    parts = {kind: replace(graph, parts=np.full(graph.num_edges, 3, np.uint8)) for kind, graph in graphs.graphs.items()}
    graphs = replace(graphs, graphs=parts, part_weights={"one": 1.0, "other": 1.0})
    settings = BatchSettings(global_batch_size=8, sources="homogeneous", distractor_probability=0.0)
    sampler, computed, turns_of = BatchSampler(graphs, settings, seed=0), [], BatchSampler._turns_of
    sampler._turns = lambda steps: computed.append(steps) or turns_of(sampler, steps)
    for step in (0, 5, 4095, 4096, 5000, 8191):
        sampler(step)
    assert set(computed) == {4096, 8192}  # one array for thousands of steps, not one for each
