"""Distillation: a teacher's scores, read from a file, drawn into batches and compared with ours."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from graphs import random_graphs
from test_guide import builder, guided
from test_step import TableModel, assert_gradients_equal, assert_losses_equal
from tiny_encoder import tiny_config, write_tiny_encoder

from uwe_jax.commands import train
from uwe_jax.config import (
    BatchSettings,
    DistillationSettings,
    EncoderSettings,
    LossSettings,
    ScorerSettings,
    default_config,
)
from uwe_jax.config import Config as TrainingConfig
from uwe_jax.data.dense_scores import DenseScores
from uwe_jax.data.node_names import NodeNames
from uwe_jax.data.ragged import run_offsets
from uwe_jax.data.split import TRAIN, assign_splits
from uwe_jax.data.teacher import Teacher, TeacherScores, numbered
from uwe_jax.data.tokens import SpecialTokens, Tokeniser, TokenTable
from uwe_jax.data.training_hashes import text_hashes
from uwe_jax.distributed import parallel
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import QUERY, TARGET
from uwe_jax.scoring.losses import distillation
from uwe_jax.studies.benchmarks.padding import padded_nodes
from uwe_jax.training import loop
from uwe_jax.training.metric_writer import read_metrics
from uwe_jax.training.step import batch_gradient
from uwe_jax.training.teaching import load_teacher, read_scores


def plain_distillation(scores, teacher, scored, kind, tau, teacher_tau):
    """The mean over rows with two scored columns, pair by pair."""
    rows = []
    for ours, theirs in ((s[k], t[k]) for s, t, k in zip(scores, teacher, scored, strict=True) if k.sum() > 1):
        if kind == "kl":
            p, q = reference.softmax(theirs / teacher_tau), reference.softmax(ours / tau)
            rows.append(sum(a * (np.log(a) - np.log(b)) for a, b in zip(p, q, strict=True)))
        else:
            pairs = itertools.combinations(range(len(ours)), 2)
            rows.append(
                np.mean([(ours[i] - ours[j] - (theirs[i] - theirs[j]) * tau / teacher_tau) ** 2 for i, j in pairs])
            )
    return float(np.mean(rows))


@pytest.mark.parametrize("kind", ["kl", "margin"])
def test_value_and_gradient_equal_the_reference(rng, kind):
    scores, teacher = rng.normal(size=(5, 6)) * 0.2, rng.normal(size=(5, 6))
    scored = rng.random((5, 6)) < 0.6
    scored[0], scored[1] = False, np.arange(6) == 2  # none, and one: no difference to learn from

    def loss(x):
        found = distillation(x, jnp.asarray(teacher, jnp.float32), jnp.asarray(scored), kind, 0.1, 0.7)
        return found.total / found.rows

    value, gradient = jax.value_and_grad(loss)(jnp.asarray(scores, jnp.float32))
    options = teacher, scored, kind, 0.1, 0.7
    np.testing.assert_allclose(value, plain_distillation(scores, *options), rtol=1e-5)
    for place in itertools.product(range(5), range(6)):
        moved = np.zeros_like(scores)
        moved[place] = 1e-6
        numeric = (plain_distillation(scores + moved, *options) - plain_distillation(scores - moved, *options)) / 2e-6
        np.testing.assert_allclose(gradient[place], numeric, rtol=1e-3, atol=1e-5)


def random_scores(rng, queries=12, targets=30):
    pairs = {
        f"query {q:02}": {f"target {t:02}": float(rng.normal()) for t in rng.choice(targets, rng.integers(2, 9), False)}
        for q in range(queries)
    }
    return pairs, TeacherScores.of(pairs)


def test_batches_hold_every_score_of_their_texts(rng):
    pairs, scores = random_scores(rng)
    settings = DistillationSettings(queries=6, targets=4)
    seen = set()
    for step in range(20):
        drawn = scores.draw(7, step, settings)
        np.testing.assert_equal(scores.draw(7, step, settings), drawn)
        queries, targets = drawn[QUERY], drawn[TARGET]
        assert len(set(queries.tolist())) == 6
        real = targets[targets >= 0]
        assert len(set(real.tolist())) == len(real) > 6
        block = scores.block(queries, targets)
        for i, j in itertools.product(range(6), range(24)):
            known = pairs[scores.queries[queries[i]]]
            target = scores.targets[targets[j]] if targets[j] >= 0 else None
            assert block["scored"][i, j] == (target in known)
            assert block["scores"][i, j] == np.float32(known.get(target, 0.0))
        assert (block["scored"].sum(axis=1) >= np.minimum(np.diff(scores.offsets)[queries], 4)).all()
        seen |= {(int(q), int(t)) for q, t in zip(np.repeat(queries, 4), targets, strict=True) if t >= 0}
    assert len(seen) > 0.7 * len(scores.columns)
    assert scores.fingerprint() == TeacherScores.of(dict(reversed(pairs.items()))).fingerprint()
    other = {**pairs, "query 00": {**pairs["query 00"], "target 99": 0.5}}
    assert scores.fingerprint() != TeacherScores.of(other).fingerprint()


def test_near_targets_are_the_best_of_a_query():
    scores = TeacherScores.of({"cook": {f"target {t}": t / 10 for t in range(9)}, "nurse": {"a": 0.1, "b": 0.2}})
    drawn = [scores.draw(0, step, DistillationSettings(queries=2, targets=2, near=3)) for step in range(30)]
    of_cook = [each[TARGET].reshape(2, 2)[each[QUERY].tolist().index(0)] for each in drawn]
    names = {scores.targets[k] for k in np.concatenate(of_cook)}
    assert names == {"target 6", "target 7", "target 8"}
    assert all((each[TARGET] >= 0).all() for each in drawn)
    with pytest.raises(UserError, match=r"near is 3, and 4 targets .* set it to 0, for all, or to at least as many"):
        DistillationSettings(targets=4, near=3)


def teacher_of(scores, rng, **settings):
    def table(count):
        offsets = run_offsets(rng.integers(1, 8, count))
        return TokenTable(rng.integers(5, 60, offsets[-1]).astype(np.int32), offsets, SpecialTokens((1,), (2,), 0))

    files = scores if isinstance(scores, tuple) else (scores,)
    tables = {kind: table(len(texts)) for kind, texts in numbered(files).items()}
    return Teacher(files, tables, DistillationSettings(path="scores.csv", **settings), 0)


def dense_scores(rng, queries=12, targets=30, target_names=None):
    labels = tuple(f"query {q:02}" for q in range(queries))
    names = NodeNames.of(labels, {q: [f"name {q}", f"other {q}"] for q in range(0, queries, 2)})
    scores = (0.3 * rng.normal(size=(queries, targets))).astype(np.float16)
    candidates = tuple(f"target {t:02}" for t in range(targets))
    return DenseScores.of(labels, candidates, scores, names, NodeNames.of(candidates, target_names or {}))


def test_dense_batches_score_every_pair_and_draw_the_best_under_any_name(rng):
    scores = dense_scores(rng).drawing(5)
    order = np.argsort(-scores.scores.astype(float), axis=1, kind="stable")
    np.testing.assert_array_equal(np.sort(scores.near), np.sort(order[:, :5]))
    teacher = teacher_of(scores, rng, queries=4, targets=3, near=5)
    rows, near = [], 0
    for step in range(60):
        drawn = teacher.draw(step)
        np.testing.assert_equal(teacher.draw(step), drawn)
        owners = [q if q < 12 else scores.names.owners[q - 12] for q in drawn[QUERY]]
        assert len(set(owners)) == 4
        assert len(set(drawn[TARGET].tolist())) == 12
        assert min(drawn[TARGET]) >= 0
        near += np.isin(drawn[TARGET], scores.near[owners]).sum()
        block = teacher.block(drawn[QUERY], drawn[TARGET])
        assert block["scored"].all()
        np.testing.assert_array_equal(block["scores"], scores.scores[np.ix_(owners, drawn[TARGET])])
        rows += [row for row, owner in zip(drawn[QUERY], owners, strict=True) if owner % 2 == 0]
    assert near > 0.75 * 12 * 60  # a target of two queries is drawn once, and another one at random
    assert 0.35 < np.mean(np.array(rows) < 12) < 0.65  # the label of a query with names
    everything = dense_scores(rng, targets=5).draw(0, 1, DistillationSettings(queries=3, targets=2))
    assert sorted(everything[TARGET]) == [-1, 0, 1, 2, 3, 4]
    block = scores.block(everything[QUERY], everything[TARGET])
    np.testing.assert_array_equal(block["scored"], np.tile(everything[TARGET] >= 0, (3, 1)))


def test_targets_with_names_occur_under_any_of_them_with_the_scores_of_their_label(rng):
    scores = dense_scores(rng, target_names={t: [f"alias {t}"] for t in range(0, 30, 2)}).drawing(5)
    other = dense_scores(rng, queries=7, targets=9)
    teacher, texts = teacher_of((other, scores), rng, queries=4, targets=3, near=0), numbered((other, scores))
    labels = {label: t for t, label in enumerate(scores.targets)}
    labels |= dict(zip(scores.target_names.texts, scores.target_names.owners, strict=True))
    by_label = []
    for step in range(1, 60, 2):
        drawn = teacher.draw(step)
        names = [texts[TARGET][row] for row in drawn[TARGET]]
        targets, own = [labels[name] for name in names], scores.draw(0, step, teacher.settings)
        np.testing.assert_array_equal(targets, own[TARGET])
        block = teacher.block(drawn[QUERY], drawn[TARGET])
        np.testing.assert_array_equal(block["scores"], scores.scores[np.ix_(own[QUERY], own[TARGET])])
        by_label += [name in scores.targets for name, target in zip(names, targets, strict=True) if target % 2 == 0]
    assert 0.35 < np.mean(by_label) < 0.65


def test_steps_take_several_files_in_turn_and_each_keeps_its_own_scores(rng):
    files = dense_scores(rng).drawing(5), random_scores(rng)[1], dense_scores(rng, queries=7, targets=9)
    teacher, texts = teacher_of(files, rng, queries=4, targets=3), numbered(files)
    renamed = 0
    for step in range(30):
        file, drawn = files[step % 3], teacher.draw(step)
        labels = {label: q for q, label in enumerate(file.queries)}
        labels |= dict(zip(file.names.texts, file.names.owners, strict=True))
        queries = [labels[texts[QUERY][row]] for row in drawn[QUERY]]
        targets = [file.targets.index(texts[TARGET][row]) if row >= 0 else -1 for row in drawn[TARGET]]
        renamed += any(texts[QUERY][row] not in file.queries for row in drawn[QUERY])
        own = file.draw(0, step, teacher.settings)
        np.testing.assert_array_equal(queries, own[QUERY])
        np.testing.assert_array_equal(targets, own[TARGET])
        np.testing.assert_equal(teacher.block(*drawn.values()), file.block(own[QUERY], own[TARGET]))
    assert renamed > 10
    each = [file.training_hashes() for file in files]
    assert set(teacher.training_hashes().nodes) == set(np.concatenate([one.nodes for one in each]))
    assert teacher.fingerprint() != teacher_of(files[::-1], rng).fingerprint()
    assert teacher_of(files[:1], rng).fingerprint() == files[0].fingerprint()


def test_a_dense_file_is_read_as_it_was_written_and_hashed_without_its_pairs(rng, tmp_path):
    scores = dense_scores(rng, target_names={3: ["alias 3"]})
    scores.write(tmp_path / "teacher.npz", {"model": "m"})
    read = DenseScores.read(tmp_path / "teacher.npz")
    assert (read.queries, read.targets, read.names.texts) == (scores.queries, scores.targets, scores.names.texts)
    assert (read.target_names.texts, read.target_names.owners.tolist()) == (("alias 3",), [3])
    np.testing.assert_array_equal(read.scores, scores.scores)
    assert read.fingerprint() == scores.fingerprint()
    assert replace(scores, target_names=NodeNames.of(scores.targets, {})).fingerprint() != scores.fingerprint()
    swapped = replace(scores, queries=(*reversed(scores.queries),))
    assert swapped.fingerprint() != scores.fingerprint()
    hashes = read.training_hashes()
    assert set(hashes.nodes) == set(text_hashes([*read.queries, *read.names.texts, *read.targets, "alias 3"]))
    assert not len(hashes.edges)


def test_a_dense_file_of_an_earlier_version_has_targets_without_further_names(rng, tmp_path):
    scores, path = dense_scores(rng), tmp_path / "teacher.npz"
    scores.write(path, {})
    with np.load(path) as arrays:
        np.savez(path, **{name: value for name, value in arrays.items() if not name.startswith("target_name")})
    assert DenseScores.read(path).fingerprint() == scores.fingerprint()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.zeros((12, 29))}, r"12 queries, 30 targets and 12 further names, and \(12, 29\) scores"),
        ({"scores": np.full((12, 30), 1e6)}, "expected a finite float16 of every pair"),
        ({"scores": None}, r"not a teacher's \.npz file, or it is damaged \(KeyError.* Write it with `uwe-jax teach`"),
        ({"queries": np.array(["same"] * 12)}, "some of them empty or twice"),
        ({"names": np.array([" "] * 12)}, "some of them empty or twice"),
        ({"name_offsets": np.arange(13)[::-1]}, "do not bound the names of every query"),
        ({"name_offsets": np.zeros(13)}, "do not bound the names of every query"),
        ({"target_name_offsets": np.arange(31)}, "target_name_offsets do not bound the names of every target"),
        ({"about": np.array('{"version": 2}')}, "has version 2; this uwe_jax reads version 1"),
        ({"about": np.array("cut off {")}, "not a teacher's"),
    ],
)
def test_a_dense_file_that_is_broken_is_refused(rng, tmp_path, change, message):
    path = tmp_path / "teacher.npz"
    dense_scores(rng).write(path, {})
    with np.load(path) as arrays:
        changed = {name: value for name, value in ({**arrays} | change).items() if value is not None}
    np.savez(path, **changed)
    with pytest.raises(UserError, match=message):
        DenseScores.read(path)


def test_near_targets_of_a_dense_file_that_are_too_many_and_a_table_of_its_name_are_refused(rng, tmp_path):
    tokeniser = Tokeniser(write_tiny_encoder(tmp_path / "encoder"), tmp_path / "tokens")
    path = tmp_path / "teacher.npz"
    dense_scores(rng, queries=40, target_names={t: [f"alias {t}"] for t in range(30)}).write(path, {})
    teacher = load_teacher(settings_of(path, near=12), tokeniser, tmp_path)
    old, (new,) = DenseScores.read(path), teacher.files
    kept = {*new.queries, *new.targets, *new.names.texts, *new.target_names.texts}
    assert (assign_splits(sorted(kept), validation=0.1, test=0.1) == TRAIN).all()
    assert len(teacher.tables[QUERY]) == len(new.queries) + len(new.names.texts)
    assert len(teacher.tables[TARGET]) == len(new.targets) + len(new.target_names.texts)
    assert 10 < len(new.target_names.texts) < 30
    q, y = old.queries.index(new.queries[-1]), old.targets.index(new.targets[-1])
    assert new.scores[-1, -1] == old.scores[q, y]
    owner, name = new.target_names.owners[-1], new.target_names.texts[-1]
    assert name == f"alias {old.targets.index(new.targets[owner])}"
    own = {new.names.texts[k] for k in np.flatnonzero(new.names.owners == len(new.queries) - 1)}
    assert own <= {f"name {q}", f"other {q}"}
    with pytest.raises(UserError, match=r"best 31 .* but there are only .* of 30 targets .*in .*teacher\.npz"):
        load_teacher(settings_of(path, near=31), tokeniser, tmp_path)
    with pytest.raises(UserError, match=r"takes 41 queries of the teacher .* but there are only \d+ queries of 40"):
        load_teacher(settings_of(path, queries=41), tokeniser, tmp_path)
    write(path, ["cook,soup,0.5"])
    with pytest.raises(UserError, match=r"not a teacher's .* a table of pairs has another ending"):
        load_teacher(settings_of(path), tokeniser, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "symmetric", "dense"), [("kl", False, False), ("margin", True, False), ("kl", True, True)]
)
def test_loss_and_gradient_on_any_number_of_devices_with_all_options(rng, kind, symmetric, dense):
    graphs = random_graphs(rng, kinds=("job",))
    scores = dense_scores(rng).drawing(5) if dense else random_scores(rng)[1]
    teacher = teacher_of(scores, rng, queries=8, targets=4, weight=0.3, kind=kind, symmetric=symmetric)
    guide = guided(graphs, rng, mask="relative")
    build = builder(graphs, rng, BatchSettings(global_batch_size=16, mined_negatives=8), guide=guide, teacher=teacher)
    build().sampler.guide = guide
    batch = build()(1)
    model = TableModel.create(tiny_config(), EncoderSettings(), ScorerSettings(target_tau_a=0.2, target_weight=0.3))
    table = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    params = model.initial_params({"table": jnp.asarray(table)})
    settings = LossSettings(distillation=teacher.settings)

    def gradient_of(devices, chunk=0):
        def run(params, batch):
            return parallel.mean_over_devices(batch_gradient(params, batch, model, settings, None, chunk))

        split = jax.tree.map(lambda x: x.reshape(devices, x.shape[0] // devices, *x.shape[1:]), batch)
        return parallel.parallel(run, in_axes=(None, 0), devices=jax.devices()[:devices])(params, split)

    gradient, losses = gradient_of(1)
    texts = padded_nodes(batch)
    tokens = {
        side: [np.tanh(table[ids[mask]].astype(float)) for ids, mask in zip(*texts[side].values(), strict=True)]
        for side in (QUERY, TARGET)
    }
    sides, options = (QUERY, TARGET), {"tau_a": 0.1, "target_tau_a": 0.2, "target_weight": 0.3}
    block, expected = batch["teacher"], 0.0
    for q, y in (sides, sides[::-1]) if symmetric else (sides,):
        theirs, scored = (block[name] if q == QUERY else block[name].T for name in ("scores", "scored"))
        ours = reference.score_matrix(tokens[q], tokens[y], **options)
        expected += plain_distillation(ours, theirs, scored, kind, 0.05, 0.05)
    np.testing.assert_allclose(losses["loss/teacher"][0], expected, rtol=1e-4)
    np.testing.assert_allclose(losses["loss"][0], losses["loss/job"][0] + 0.3 * losses["loss/teacher"][0], rtol=1e-5)
    for devices, chunk in ((2, 0), (2, 3)):
        other, again = gradient_of(devices, chunk)
        first = [jax.tree.map(lambda leaf: np.asarray(leaf[0]), tree) for tree in (again, losses, other, gradient)]
        assert_losses_equal(*first[:2])
        assert_gradients_equal(*first[2:])


def test_without_a_teacher_the_rest_of_a_batch_is_the_same(rng):
    graphs = random_graphs(rng)
    _, scores = random_scores(rng)
    plain = builder(graphs, np.random.default_rng(5))()(2)
    taught = builder(graphs, np.random.default_rng(5), teacher=teacher_of(scores, rng, queries=4, targets=2))()(2)
    assert set(taught) - set(plain) == {"teacher"}
    for part in ("valid", "positives"):
        jax.tree.map(np.testing.assert_array_equal, plain[part], taught[part])
    texts = padded_nodes(taught)
    jax.tree.map(np.testing.assert_array_equal, padded_nodes(plain), {kind: texts[kind] for kind in plain["nodes"]})


HEADER = "query,target,score\n"


def write(path, rows):
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,,0.5", "an empty target; expected a text"),
        ("a,b,nan", "score nan; expected a finite number"),
        ("a,b,1e39", r"score 1e\+39; expected a finite number"),
        ("a,b,much", "a number"),
        ("cook,soup,0.25", "score 0.25 of 'cook' and 'soup', 0.5 above; expected one score"),
    ],
)
def test_broken_rows_are_named(tmp_path, row, message):
    path = write(tmp_path / "scores.csv", ["cook,soup,0.5", "cook,soup,0.5", row])
    with pytest.raises(UserError, match=rf"1 broken row in .*scores\.csv:\n.*{message}"):
        read_scores(path)


def settings_of(path, **options):
    config = default_config()
    config.loss.distillation.update(path=str(path), **options)
    return TrainingConfig.from_dict(config.to_dict())


def test_held_out_texts_and_lone_targets_are_left_out_and_too_few_refused(tmp_path, caplog):
    encoder = write_tiny_encoder(tmp_path / "encoder")
    tokeniser = Tokeniser(encoder, tmp_path / "tokens")
    rows = [f"query {q},target {t},{0.1 * t}" for q in range(40) for t in range(5)] + ["lone,target 1,0.5"]
    path = write(tmp_path / "scores.csv", rows)
    (scores,) = load_teacher(settings_of(path), tokeniser, tmp_path).files
    texts = [*scores.queries, *scores.targets]
    assert (assign_splits(texts, validation=0.1, test=0.1) == TRAIN).all()
    assert 16 <= len(scores.queries) < 40
    assert "lone" not in texts
    assert "pairs with a held-out text, and 1 query with fewer than two scored targets" in caplog.text
    with pytest.raises(UserError, match=r"A batch takes 41 queries of the teacher .* but there are only \d+ queries"):
        load_teacher(settings_of(path, queries=41), tokeniser, tmp_path)
    with pytest.raises(UserError, match=r"score\.csv is not a file\. Did you mean .*scores\.csv"):
        load_teacher(settings_of(tmp_path / "score.csv"), tokeniser, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("teacher.npz", None, (), r"loss\.distillation\.path .*teacher\.npz is not a file"),
        ("teacher.npz", "query,target,score\n", (), "not a teacher's .npz file, or it is damaged"),
        ("teacher.npz", 12, ("queries=16",), r"takes 16 queries of the teacher .* but there are only 12 queries in"),
        ("teacher.npz", 12, ("queries=8", "near=31"), r"best 31 .*, but there are only 30 in .*teacher\.npz"),
        ("scores.dat", "query,target,score\n", (), r"scores\.dat is in no supported format. Name a table"),
        ("scores.csv", "query,target\ncook,soup\n", (), "score"),
        ("scores.csv", "query,target,score\ncook,soup,high\n", (), "found score 'high'"),
    ],
)
def test_a_teacher_that_cannot_be_used_is_refused_before_the_graphs_are_read(
    small_run, tmp_path, rng, monkeypatch, name, content, options, message
):
    path = tmp_path / name
    if isinstance(content, int):
        dense_scores(rng, queries=content).write(path, {})
    elif content is not None:
        path.write_text(content)
    monkeypatch.setattr(loop, "split_graphs", lambda *_: pytest.fail("the graphs were read"))
    flags = [f"--config.loss.distillation.{each}" for each in (f"path={path}", *options)]
    with pytest.raises(UserError, match=message):
        train.main([*small_run, *flags])


@pytest.mark.thorough
@pytest.mark.parametrize("dense", [False, True])
def test_a_run_learns_from_a_teacher(small_run, tmp_path, rng, dense):
    rows = [f"query {q},target {t},{0.1 * (q + t) % 1}" for q in range(24) for t in range(6)]
    path = write(tmp_path / "scores.csv", rows)
    options = (f"path={path}", "queries=8", "targets=3")
    if dense:
        dense_scores(rng, queries=24).write(tmp_path / "teacher.npz", {})
        options = (f"path={tmp_path / 'teacher.npz'}, {path}", "queries=8", "targets=3", "near=4", "symmetric=True")
    distilled = [f"--config.loss.distillation.{each}" for each in options]
    train.main([*small_run, *distilled, "--config.steps=3"])
    rows = [row for row in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" in row]
    assert len(rows) == 3
    for row in rows:
        assert row["loss/teacher"] > 0
        total = row["loss/job"] + 0.5 * row["loss/alias"] + row["loss/teacher"]
        assert row["loss"] == pytest.approx(total, rel=1e-5)
    with pytest.raises(UserError, match=r"loss\.distillation\.queries 9 must be divisible by the 8 devices"):
        train.main([*small_run, *distilled, "--config.loss.distillation.queries=9"])
