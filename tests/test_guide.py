"""A frozen guide: its cached vectors, and which negatives it masks, on any number of devices and processes."""

import itertools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from graphs import random_graphs
from tiny_encoder import write_tiny_encoder

from uwe_jax.commands import train
from uwe_jax.config import BatchSettings, GuideSettings, LengthSettings, LossSettings, ScorerSettings
from uwe_jax.data import sampling
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.data.guide import Guide, likely_positives
from uwe_jax.data.ragged import run_offsets
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.tokens import SpecialTokens, TokenTable
from uwe_jax.distributed import parallel
from uwe_jax.models.loading import load_encoder
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.losses import info_nce
from uwe_jax.scoring.tokens import Tokens
from uwe_jax.studies.benchmarks.padding import padded_nodes
from uwe_jax.training import guiding
from uwe_jax.training.guiding import load_guide
from uwe_jax.training.metric_writer import read_metrics
from uwe_jax.training.step import graph_loss, masked_share

LENGTHS = LengthSettings(skill=6, job=6, vacancy=9, alias=6)


@pytest.mark.parametrize(
    ("mask", "margin", "expected"),
    [
        ("absolute", 0.0, [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]]),
        ("absolute", 0.2, [[0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 0, 1]]),
        ("absolute", -0.2, [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),
        ("relative", 0.1, [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]]),
        ("relative", 0.25, [[0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 0, 1]]),
    ],
)
def test_masks_by_hand(mask, margin, expected):
    # A row with two positives, of which the nearest counts; one without any; one whose positive is the farthest.
    similarity = np.array([[0.6, 0.1, 0.7, 0.5], [0.9, 0.8, 0.7, 0.6], [-0.2, -0.3, -0.5, 0.4]])
    positives = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0]], bool)
    found = likely_positives(similarity, positives, GuideSettings(mask=mask, margin=margin))
    assert found.astype(int).tolist() == expected


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("drop", [False, True])
def test_masked_pairs_are_as_if_absent_and_have_no_gradient(rng, drop):
    scores, positives = rng.normal(size=(6, 7)) * 0.3, rng.random((6, 7)) < 0.3
    masked = (rng.random((6, 7)) < 0.4) & ~positives
    masked[0] = ~positives[0]  # every negative of a row

    def loss(scores):
        arrays = map(jnp.asarray, (positives, np.ones(7, bool)))
        return info_nce(scores, *arrays, 0.1, drop_other_positives=drop, masked=jnp.asarray(masked)).total

    value, gradient = jax.value_and_grad(loss)(jnp.asarray(scores, jnp.float32))
    expected = [
        reference.info_nce(scores[[row]][:, ~masked[row]], positives[[row]][:, ~masked[row]], 0.1, drop)
        for row in range(6)
        if positives[row].any()
    ]
    np.testing.assert_allclose(value, sum(expected), rtol=1e-5)
    assert (np.asarray(gradient)[masked] == 0).all()
    assert np.abs(gradient).max() > 0.1


def guided(graphs, rng, **settings):
    vectors = {kind: rng.normal(size=(len(texts), 4)) for kind, texts in graphs.texts.items()}
    unit = {kind: (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16) for kind, x in vectors.items()}
    return Guide(unit, GuideSettings(**settings))


def builder(graphs, rng, batch=None, **options):
    def table(count):
        offsets = run_offsets(rng.integers(1, 8, count))
        return TokenTable(rng.integers(5, 60, offsets[-1]).astype(np.int32), offsets, SpecialTokens((1,), (2,), 0))

    tables = {kind: table(len(texts)) for kind, texts in graphs.texts.items()}
    sampler = BatchSampler(graphs, batch or BatchSettings(global_batch_size=16), seed=0)

    def build(process=(0, 1)):
        return BatchBuilder(graphs, tables, LENGTHS, sampler, process, devices=2, counted=3, **options)

    return build


@pytest.mark.parametrize("positives", ["all", "sampled"])
def test_batches_hold_the_masks_pair_by_pair(rng, positives):
    graphs = random_graphs(rng)
    guide = guided(graphs, rng, mask="absolute", margin=0.1)
    build = builder(graphs, rng, guide=guide, positives=positives)
    batch, ids = build()(3), build().sampler(3)
    for kind, drawn in ids.neighbours.items():
        similarity = guide.similarity(ids.skills, kind, drawn)
        positive, masked = batch["positives"][kind], batch["masked"][kind]
        assert masked["forward"].any()
        assert masked["backward"].any()
        for s, y in itertools.product(range(16), range(16)):
            own, other = similarity[s][positive[s]], similarity[:, y][positive[:, y]]
            negative = not positive[s, y] and drawn[y] >= 0
            assert masked["forward"][s, y] == bool(negative and len(own) and similarity[s, y] > own.max() - 0.1)
            assert masked["backward"][s, y] == bool(negative and len(other) and similarity[s, y] > other.max() - 0.1)
    halves = [build((process, 2))(3) for process in range(2)]
    whole = jax.tree.map(lambda *parts: np.concatenate(parts), *halves)
    jax.tree.map(
        np.testing.assert_array_equal, (whole["masked"], whole["positives"]), (batch["masked"], batch["positives"])
    )


def test_without_a_guide_a_batch_is_the_same(rng):
    graphs = random_graphs(rng)
    build = builder(graphs, np.random.default_rng(5))()
    with_guide = builder(graphs, np.random.default_rng(5), guide=guided(graphs, rng, mask="relative"))()
    plain, masked = build(2), with_guide(2)
    assert set(masked) - set(plain) == {"masked"}
    jax.tree.map(np.testing.assert_array_equal, plain, {part: masked[part] for part in plain})


@pytest.mark.thorough_after(2)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("devices", [1, 4])
def test_the_loss_of_both_directions_on_several_devices(rng, devices, symmetric):
    m, d = 8, 6
    skills, neighbours = (rng.normal(size=(m, 2, d)).astype(np.float32) for _ in range(2))
    valid = np.arange(m) != 5
    positives = (rng.random((m, m)) < 0.25) & valid
    masked = {each: (rng.random((m, m)) < 0.4) & ~positives & valid for each in ("forward", "backward")}
    scorer, settings = ScorerSettings(kind="mean_pool"), LossSettings(symmetric=symmetric)

    def loss(s, y, positives, valid, masked):
        mask = np.ones(s.shape[:2], bool)
        targets, every = parallel.gather((Tokens(y, jnp.asarray(mask)), valid))
        tokens = Tokens(s, jnp.asarray(mask))
        found = graph_loss(tokens, targets, positives, every, (0.1, 0.1), scorer, settings, "job", masked)
        return parallel.mean_over_devices((found, masked_share(positives, every, masked, settings.symmetric)))

    run = parallel.parallel(loss, devices=jax.devices()[:devices])

    def shard(x):
        return x.reshape(devices, m // devices, *x.shape[1:])

    found, share = run(*jax.tree.map(shard, (skills, neighbours, positives, valid, masked)))

    def direction(scores, positives, masked):
        rows = [k for k in range(len(scores)) if (positives[k]).any()]
        each = [reference.info_nce(scores[[k]][:, ~masked[k]], positives[[k]][:, ~masked[k]], 0.05) for k in rows]
        return np.mean(each)

    p, s, y = positives[:, valid], skills.astype(float), neighbours[valid].astype(float)
    options = {"kind": "mean_pool", "logits": "cosine", "tau_a": 0.1}
    expected = direction(reference.score_matrix(s, y, **options), p, masked["forward"][:, valid])
    if symmetric:
        back = reference.score_matrix(y, s, **options)
        expected += direction(back, p.T, masked["backward"][:, valid].T)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    negatives = (~p & p.any(axis=1, keepdims=True)).sum() + symmetric * (~p).sum()
    counted = masked["forward"].sum() + symmetric * masked["backward"].sum()
    np.testing.assert_allclose(share[0], counted / negatives, rtol=1e-5)


@pytest.mark.parametrize("masks", [False, True])
def test_mined_negatives_are_the_nearest_below_the_margin_without_an_edge(rng, masks):
    graphs = random_graphs(rng)
    guide = guided(graphs, rng, mask="absolute" if masks else "none")
    settings = BatchSettings(global_batch_size=16, mined_negatives=6, mined_margin=0.2)
    build = builder(graphs, rng, settings, guide=guide if masks else None)
    build().sampler.guide = guide
    batch, ids = build()(3), build().sampler(3)
    for kind, neighbours in ids.neighbours.items():
        drawn, mined = neighbours[:16], neighbours[16:]
        edges = graphs.graphs[kind].edges.toarray()
        draws = np.random.default_rng((0, sampling._MINED, 3))
        asking = draws.permutation([k for k in range(16) if drawn[k] >= 0])[:6]
        known = np.flatnonzero(edges.any(axis=0))
        searched = set(draws.choice(known, -(-len(known) // 2), replace=False).tolist()) - set(drawn.tolist())
        for k, skill in enumerate(ids.skills[asking]):
            near = guide.similarity(np.array([skill]), kind, np.arange(edges.shape[1]))[0]
            positive = near[drawn[asking[k]]]
            below = [y for y in sorted(searched) if not edges[skill, y] and near[y] < positive - 0.2 * abs(positive)]
            assert mined[k] == max(below, key=lambda y: near[y], default=-1)
            searched -= {mined[k]}
        assert mined.max() >= 0
        np.testing.assert_array_equal(batch["positives"][kind], edges[ids.skills][:, neighbours] & (neighbours >= 0))
        np.testing.assert_array_equal(batch["valid"][kind], neighbours >= 0)
    assert len(ids.distractors) == len(ids.neighbours["vacancy"]) == 22
    assert (ids.distractors[16:] >= 0).any()  # else a sentence alone would be known for a negative
    # Two processes hold the halves of what one holds.
    halves = [build((process, 2))(3) for process in range(2)]
    whole = jax.tree.map(lambda *parts: np.concatenate(parts), *halves)
    own = [{**half, "packed": whole["packed"]} for half in halves]
    unpacked = jax.tree.map(lambda *parts: np.concatenate(parts), *map(padded_nodes, own))
    jax.tree.map(np.testing.assert_array_equal, unpacked, padded_nodes(batch))
    for part in ("valid", "positives", *["masked"] * masks):
        jax.tree.map(np.testing.assert_array_equal, whole[part], batch[part])


def test_a_guide_that_mines_nothing_changes_no_draw(rng):
    graphs = random_graphs(rng)
    plain, with_guide = (BatchSampler(graphs, BatchSettings(global_batch_size=16), seed=0) for _ in range(2))
    with_guide.guide = guided(graphs, rng)
    np.testing.assert_equal(vars(with_guide(5)), vars(plain(5)))


@pytest.mark.thorough
def test_a_run_with_all_of_it(small_run, tmp_path):
    """On eight devices, with gradient caching."""
    options = ["guide.mask=relative", "batch.field_share=0.5", "batch.mined_negatives=8", "batch.mini_batch_size=2"]
    flags = [*small_run, *(f"--config.{each}" for each in options), "--config.steps=2", "--config.checkpoint_every=1"]
    train.main(flags)
    rows = [row for row in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" in row]
    assert len(rows) == 2
    assert all(0 < row["masked/job"] < 1 for row in rows)
    assert all(np.isfinite(row["loss"]) for row in rows)
    with pytest.raises(
        UserError, match=r"batch\.mined_negatives 9 must be divisible by the 8 devices; 8 or 16 would be"
    ):
        train.main([*flags, "--config.batch.mined_negatives=9", f"--config.workdir={tmp_path / 'other'}"])


@pytest.mark.thorough
def test_vectors_are_means_of_tokens_and_are_encoded_once(rng, tmp_path, monkeypatch, caplog):
    graphs = random_graphs(rng, kinds=("job",))
    encoder = load_encoder(str(write_tiny_encoder(tmp_path / "encoder", words=("skill", "job"))))
    monkeypatch.setattr(guiding, "_TEXTS_AT_ONCE", 7)
    caplog.set_level(logging.INFO)
    guide = load_guide(GuideSettings(mask="absolute"), graphs, encoder, tmp_path / "cache")
    assert f"Encoded {len(graphs.skills)} skill nodes" in caplog.text
    assert {kind: len(x) for kind, x in guide.vectors.items()} == {kind: len(t) for kind, t in graphs.texts.items()}

    loaded = guiding._before_training(encoder, tmp_path / "cache")
    rows, mask = loaded.tokeniser.tokenise(graphs.skills[:5]).rows(np.arange(5), 8)
    tokens = np.asarray(loaded.model.encode(loaded.params, jnp.asarray(rows), jnp.asarray(mask)).embeddings, np.float64)
    means = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(guide.vectors["skill"][:5], expected, atol=1e-3)

    monkeypatch.setattr(guiding, "_encoded", None)  # read, not encoded
    again = load_guide(GuideSettings(mask="absolute"), graphs, encoder, tmp_path / "cache")
    np.testing.assert_array_equal(again.vectors["job"], guide.vectors["job"])
    monkeypatch.undo()
    before = np.array(guide.vectors["job"])
    for file in (tmp_path / "cache" / "guides").glob("*.npy"):
        file.write_bytes(file.read_bytes()[:40])  # damaged: encoded again
    again = load_guide(GuideSettings(mask="absolute"), graphs, encoder, tmp_path / "cache")
    np.testing.assert_array_equal(again.vectors["job"], before)


def test_another_model_is_the_guide_as_it_is_published(rng, tmp_path):
    graphs = random_graphs(rng, kinds=("job",))
    encoder = load_encoder(str(write_tiny_encoder(tmp_path / "encoder", words=("skill", "job"))))
    other = write_tiny_encoder(tmp_path / "other", words=("skill", "job"), seed=1)
    own, given = (
        load_guide(GuideSettings(name=name, mask="absolute"), graphs, encoder, tmp_path / "cache")
        for name in ("", str(other))
    )
    assert not np.array_equal(own.vectors["skill"], given.vectors["skill"])
    assert own.fingerprint != given.fingerprint
    with pytest.raises(UserError, match="nowhere"):
        load_guide(GuideSettings(name="nowhere/at_all", mask="absolute"), graphs, encoder, tmp_path / "cache")
