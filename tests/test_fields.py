"""Fields of work: skills that are near each other, and batches of which a share is drawn from one field."""

import dataclasses

import numpy as np
import pytest
from graphs import random_graphs

from uwe_jax.config import BatchSettings, GuideSettings
from uwe_jax.data.fields import fields_of
from uwe_jax.data.guide import Guide
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.runtime.errors import UserError


def around(centres, rng, each):
    return np.concatenate([np.array(centre) + 0.01 * rng.normal(size=(each, 2)) for centre in centres])


def test_fields_are_the_groups_and_small_ones_join_the_nearest(rng):
    vectors = np.concatenate([around([(0, 0), (9, 9)], rng, 20), around([(8, 9)], rng, 3)])
    # Of 23 // 10 + 1 groups at random starts some may be split: no field is smaller than asked.
    for size in (5, 10, 14):
        fields = fields_of(vectors, size, least=5)
        assert np.bincount(fields).min() >= 5
        assert not set(fields[:20]) & set(fields[20:])
    assert len(set(fields_of(vectors, 20, least=5)[20:])) == 1
    assert fields_of(vectors, 10, least=40).max() == 0
    np.testing.assert_array_equal(fields_of(vectors, 10, 5), fields_of(vectors, 10, 5))


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("weights", [False, True])
def test_a_share_of_a_batch_is_of_one_field_and_every_skill_is_as_likely_as_before(rng, weights):
    graphs = random_graphs(rng, skills=60)
    settings = BatchSettings(
        global_batch_size=12, field_share=0.5, skills_per_field=12, degree_temperature=0.3 if weights else 0.0
    )
    sampler = BatchSampler(graphs, settings, seed=3)
    vectors = np.random.default_rng(1).normal(size=(len(graphs.skills), 3))
    (sizes,) = sampler.group(vectors)
    assert sum(sizes) == len(sampler.skills)
    assert min(sizes) >= 6
    field = np.full(len(graphs.skills), -1)
    field[sampler.skills] = sampler._pools[0].fields
    counts = np.zeros(len(graphs.skills))
    for step in range(2000):
        skills = sampler(step).skills
        assert len(set(skills.tolist())) == 12
        assert len(set(field[skills[:6]].tolist())) == 1
        counts[skills] += 1
    if not weights:  # 400 times each on average
        assert counts[sampler.skills].min() > 300
        assert counts[sampler.skills].max() < 500
    again = BatchSampler(graphs, settings, seed=3)
    again.group(vectors)
    np.testing.assert_equal(vars(again(17)), vars(sampler(17)))
    assert again.fields_checksum == sampler.fields_checksum
    assert not np.array_equal(BatchSampler(graphs, settings, seed=3)(17).skills, sampler(17).skills)


def test_too_small_a_share_is_refused():
    with pytest.raises(
        UserError, match=r"batch\.field_share 0\.01 of batch\.global_batch_size 96 is 1 skills; .*0\.02"
    ):
        BatchSettings(global_batch_size=96, field_share=0.01)


def test_homogeneous_batches_have_fields_and_mined_negatives_of_their_own_source(rng):
    graphs = random_graphs(rng, skills=60)
    parts = {kind: rng.integers(1, 4, graph.num_edges).astype(np.uint8) for kind, graph in graphs.graphs.items()}
    both = {kind: dataclasses.replace(graph, parts=parts[kind]) for kind, graph in graphs.graphs.items()}
    graphs = dataclasses.replace(graphs, graphs=both, part_weights={"a": 2.0, "b": 1.0})
    settings = BatchSettings(global_batch_size=10, sources="homogeneous", field_share=0.6, mined_negatives=4)
    sampler = BatchSampler(graphs, settings, seed=3)
    vectors = {kind: rng.normal(size=(len(texts), 5)) for kind, texts in graphs.texts.items()}
    unit = {kind: (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16) for kind, x in vectors.items()}
    sampler.guide = Guide(unit, GuideSettings())
    sizes = sampler.group(unit["skill"])
    assert [sum(own) for own in sizes] == [len(pool.skills) for pool in sampler._pools]
    mined = 0
    for step in range(9):
        ids, pool = sampler(step), sampler._turn(step)[0]
        field = dict(zip(pool.skills.tolist(), pool.fields.tolist(), strict=True))
        assert len({field[skill] for skill in ids.skills[:6].tolist()}) == 1
        for kind, nodes in ids.neighbours.items():
            own = pool.graphs[kind].edges
            assert not set(nodes[10:].tolist()) - {-1, *own.indices.tolist()}
            assert len(nodes) == 14
            mined += (nodes[10:] >= 0).sum()
    assert mined > 50
