"""Batches of mixtures: weights, and homogeneous batches."""

from collections import Counter

import numpy as np
import pytest

from uwe_jax.config import BatchSettings
from uwe_jax.data.graph import Edge
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.mixture.columns import columns_of
from uwe_jax.sources.mixture.compose import compose
from uwe_jax.sources.mixture.parts import Part, PartInfo

KINDS = {"skill_job": "job", "skill_vacancy": "vacancy"}


def part(name, weight, skills, graph="skill_job", neighbours=3):
    """Every skill has the same neighbours in number; those of different parts have nothing in common."""
    edges = [Edge("", skill, "", f"{name} {skill} {k}") for skill in skills for k in range(neighbours)]
    return Part(PartInfo(name, name, weight), {graph: columns_of(KINDS[graph], edges)}, KINDS)


def drawn(graphs, settings, steps):
    sampler = BatchSampler(graphs, settings, seed=1)
    batches = [sampler(step) for step in range(steps)]
    return batches, [[graphs.skills[skill] for skill in batch.skills] for batch in batches]


def test_skills_come_in_proportion_to_the_weight_of_their_edges():
    light = [f"light {k}" for k in range(200)]
    heavy = [f"heavy {k}" for k in range(200)]
    graphs = compose([part("a", 1.0, light), part("b", 3.0, heavy)]).graphs
    _, skills = drawn(graphs, BatchSettings(global_batch_size=4), 1000)
    share = sum(skill.startswith("heavy") for batch in skills for skill in batch) / 4000
    assert share == pytest.approx(0.75, abs=0.03)
    assert all(len(set(batch)) == 4 for batch in skills)


def test_a_neighbour_comes_in_proportion_to_the_weight_of_its_edge():
    skills = [f"s{k}" for k in range(4)]
    graphs = compose([part("a", 1.0, skills, neighbours=1), part("b", 4.0, skills, neighbours=2)]).graphs
    batches, _ = drawn(graphs, BatchSettings(global_batch_size=4), 1000)
    texts = Counter(graphs.graphs["job"].neighbours[n].split()[0] for batch in batches for n in batch.neighbours["job"])
    assert texts["a"] / 4000 == pytest.approx(1 / 9, abs=0.02)


def test_homogeneous_batches_take_turns_by_weight():
    own = {"a": [f"a{k}" for k in range(12)], "b": [f"b{k}" for k in range(8)]}
    shared = ["shared"]
    parts = [part("a", 3.0, own["a"] + shared), part("b", 1.0, own["b"] + shared, "skill_vacancy")]
    graphs = compose(parts).graphs
    settings = BatchSettings(global_batch_size=4, sources="homogeneous")
    batches, skills = drawn(graphs, settings, 400)
    turns = []
    for batch, names in zip(batches, skills, strict=True):
        (kind,) = batch.neighbours  # a graph that the part has no edges of is not in the batch
        name = {"job": "a", "vacancy": "b"}[kind]
        assert set(names) <= {*own[name], *shared}
        assert (batch.neighbours[kind] >= 0).all()
        assert all(graphs.graphs[kind].neighbours[node].startswith(f"{name} ") for node in batch.neighbours[kind])
        turns.append(name)
    assert turns.count("a") == pytest.approx(300, abs=3)
    # Each part goes through all of its skills before one comes again.
    first_epoch = [skill for names, turn in zip(skills, turns, strict=True) if turn == "a" for skill in names][:12]
    assert len(set(first_epoch)) == 12


def test_homogeneous_batches_are_a_function_of_seed_and_step():
    graphs = compose([part("a", 3.0, "abcdefgh"), part("b", 1.0, "hijklmno")]).graphs
    settings = BatchSettings(global_batch_size=4, sources="homogeneous")
    sampler = BatchSampler(graphs, settings, seed=5)
    for step in (30, 7, 0):
        np.testing.assert_equal(vars(sampler(step)), vars(BatchSampler(graphs, settings, seed=5)(step)))


def test_homogeneous_equals_mixed_for_one_source():
    graphs = compose([part("a", 3.0, "abcdefgh")]).graphs
    for step in range(5):
        mixed, homogeneous = (
            BatchSampler(graphs, BatchSettings(global_batch_size=4, sources=sources), seed=0)(step)
            for sources in ("mixed", "homogeneous")
        )
        np.testing.assert_equal(vars(mixed), vars(homogeneous))


def test_a_source_too_small_for_a_batch():
    graphs = compose([part("a", 1.0, "abcdefgh"), part("b", 1.0, "xyz")]).graphs
    with pytest.raises(UserError, match=r"only 3 skills have a training edge in source\.parts\.b\. .*sources=mixed"):
        BatchSampler(graphs, BatchSettings(global_batch_size=4, sources="homogeneous"), seed=0)
    BatchSampler(graphs, BatchSettings(global_batch_size=4), seed=0)


def test_distractors_are_of_the_part_and_match_no_skill_in_any():
    skills = "abcdefgh"
    graphs = compose([part(name, 1.0, skills, "skill_vacancy", 1) for name in "xy"]).graphs
    vacancy = graphs.graphs["vacancy"]
    settings = BatchSettings(global_batch_size=4, sources="homogeneous", distractor_probability=1.0)
    batches, _ = drawn(graphs, settings, 30)
    for batch in batches:
        own, joined = (
            {vacancy.neighbours[k][0] for k in ids} for ids in (batch.neighbours["vacancy"], batch.distractors)
        )
        assert own == joined
        assert not vacancy.positives(batch.skills, batch.distractors).any()
