"""Further names of nodes: where they come from, what may be drawn, and what a batch draws."""

import dataclasses

import jax
import numpy as np
import pyarrow as pa
import pytest
from compositions import pairs, part
from esco_downloads import write_release
from graphs import random_graphs
from test_batches import LENGTHS, table
from test_composition import kept_out
from test_train import checkpoint_bytes, run

from uwe_jax.config import BatchSettings, LengthSettings, PartSettings, SourceSettings
from uwe_jax.data.batches import BatchBuilder, fitted_lengths
from uwe_jax.data.node_names import LABEL_SHARE, NameDraw, NodeNames
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.split import TRAIN, assign_splits, split_graphs
from uwe_jax.data.tokens import TokenTable
from uwe_jax.data.training_hashes import TrainingHashes, pair_hashes, text_hashes
from uwe_jax.evaluation.decontamination import load_training_composition, load_training_graphs
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.mixture.columns import columns_of
from uwe_jax.sources.mixture.compose import compose
from uwe_jax.sources.mixture.saved import read_saved, save
from uwe_jax.studies.benchmarks.padding import padded_nodes

SKILLS = [("python", "developer"), ("java", "developer"), ("cooking", "chef"), ("baking", "pastry chef")]


def named(one, **names):
    """The part with further names, (label, name) by kind."""
    return dataclasses.replace(one, names={kind: [columns_of("alias", pairs(rows))] for kind, rows in names.items()})


def names_of(graphs, kind):
    labels, names = graphs.texts[kind], graphs.names[kind]
    return {(labels[node], name) for node, name in zip(names.owners.tolist(), names.texts, strict=True)}


@pytest.fixture
def drawn(rng):
    """Graphs in which every skill has one more name, and every job none to three; token k of a row tells the row."""
    graphs = random_graphs(rng)
    jobs = graphs.graphs["job"].neighbours
    names = {
        "skill": NodeNames.of(graphs.skills, {k: [f"{text} too"] for k, text in enumerate(graphs.skills)}),
        "job": NodeNames.of(jobs, {k: [f"{text} {j}" for j in range(k % 4)] for k, text in enumerate(jobs)}),
    }
    graphs = dataclasses.replace(graphs, names=names)
    counts = {k: len(texts) + (len(names[k].texts) if k in names else 0) for k, texts in graphs.texts.items()}
    tables = {kind: table(count, 1000 * k, rng) for k, (kind, count) in enumerate(counts.items(), 1)}
    return graphs, tables, BatchSampler(graphs, BatchSettings(global_batch_size=12), seed=3)


def test_spellings_of_a_name_and_of_the_label_are_one():
    names = NodeNames.of(("Nurse", "cook"), {0: ["NURSE.", "carer", "Carer", "aide"]})
    assert (names.texts, names.offsets.tolist()) == (("Carer", "aide"), [0, 2, 2])


def test_names_are_drawn_as_often_as_said_and_as_a_pure_function(drawn):
    graphs, _, _ = drawn
    draw, again = (NameDraw(graphs.texts, graphs.names, seed=3) for _ in range(2))
    jobs = np.arange(len(graphs.graphs["job"].neighbours))
    rows = np.array([draw(step, {"job": jobs})["job"] for step in range(4000)])
    for node in jobs[:4].tolist():
        counts = np.bincount(rows[:, node], minlength=len(jobs) + len(graphs.names["job"].texts))
        own = np.flatnonzero(counts)
        first, last = graphs.names["job"].offsets[node : node + 2]
        assert own.tolist() == [node, *range(len(jobs) + first, len(jobs) + last)]
        further = (last - first).item()
        expected = [LABEL_SHARE, *[(1 - LABEL_SHARE) / further] * further] if further else [1]
        np.testing.assert_allclose(counts[own] / 4000, expected, atol=0.03)
    # A node's name depends neither on its place in the batch nor on the other nodes.
    some = jobs[::-3]
    for step in (0, 7):
        np.testing.assert_array_equal(again(step, {"job": some})["job"], rows[step][some])
    other = NameDraw(graphs.texts, graphs.names, seed=4)
    assert (other(0, {"job": jobs})["job"] != rows[0]).any()


def test_a_name_that_equals_another_text_of_the_batch_gives_way_to_the_label():
    texts = {"skill": ("python", "snake"), "alias": ("Py", "viper")}
    names = {"skill": NodeNames.of(texts["skill"], {0: ["py"], 1: ["py", "serpent"]})}
    draw = NameDraw(texts, names, seed=0)
    both, no_alias = np.arange(2), np.array([-1, -1])
    with_alias = [draw(step, {"skill": both, "alias": both})["skill"].tolist() for step in range(200)]
    assert {0} == {row[0] for row in with_alias}
    assert {1, 4} == {row[1] for row in with_alias}  # the label or serpent, not py
    without = [draw(step, {"skill": both, "alias": no_alias})["skill"].tolist() for step in range(200)]
    assert {(0, 1), (2, 1), (0, 3), (0, 4), (2, 4)} == set(map(tuple, without))  # never py twice


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_draw_the_names_of_one_batch(drawn, processes):
    graphs, tables, sampler = drawn
    names = NameDraw(graphs.texts, graphs.names, seed=3)

    def built(names, process=(0, 1)):
        return BatchBuilder(graphs, tables, LENGTHS, sampler, process, "all", names, processes, counted=9)(5)

    plain, whole = built(None), built(names)
    each = [built(names, (k, processes)) for k in range(processes)]
    np.testing.assert_equal(whole, jax.tree.map(lambda *parts: np.concatenate(parts), *each))
    # Positives are those of the nodes, whatever they are called.
    np.testing.assert_equal((whole["valid"], whole["positives"]), (plain["valid"], plain["positives"]))
    ids = sampler(5)
    rows = names(5, {"skill": ids.skills, **ids.neighbours})
    np.testing.assert_array_equal(padded_nodes(whole)["skill"]["token_ids"][:, 1], 1000 + rows["skill"])
    assert (rows["skill"] >= len(graphs.skills)).any()
    assert (rows["job"] >= len(graphs.graphs["job"].neighbours)).any()
    for kind in ("vacancy", "alias"):
        np.testing.assert_equal(padded_nodes(whole)[kind], padded_nodes(plain)[kind])


def test_lengths_fit_the_names_too(drawn):
    _, tables, _ = drawn
    further = TokenTable(np.arange(20), np.array([0, 3, 20]), tables["skill"].special)
    longer = tables["skill"].followed_by(further)
    assert [longer.text(len(tables["skill"]) + k).tolist() for k in (0, 1)] == [[0, 1, 2], list(range(3, 20))]
    np.testing.assert_array_equal(longer.lengths[:-2], tables["skill"].lengths)
    lengths = LengthSettings()
    assert fitted_lengths({"skill": tables["skill"]}, lengths, distractors=False).skill == 8
    assert fitted_lengths({"skill": longer}, lengths, distractors=False).skill == 24


def test_names_of_all_parts_belong_to_the_nodes_of_their_kind():
    one = named(
        part(skill_job=pairs(SKILLS)), job=[("chef", "cook"), ("florist", "flower seller")], skill=[("java", "Java 8")]
    )
    # A job in the place of a skill, and a skill of the name of a job.
    two = part("two", job_alias=pairs([("chef", "Kitchen chef")]), skill_alias=pairs([("developer", "maker")]))
    two = named(two, job=[("chef", "head cook"), ("developer", "programmer")])
    composition = compose([one, two])
    graphs = composition.graphs
    assert names_of(graphs, "job") == {("chef", "cook"), ("chef", "head cook"), ("developer", "programmer")}
    assert names_of(graphs, "skill") == {("chef", "cook"), ("chef", "head cook"), ("java", "Java 8")}
    assert "3 further names of 2 of 6 skill nodes" in composition.notes
    assert compose([two, one]).graphs.fingerprints() == graphs.fingerprints()


def test_names_are_part_of_the_fingerprint_and_none_change_nothing():
    def prints(**names):
        return compose([named(part(skill_job=pairs(SKILLS), skill_alias=pairs(SKILLS)), **names)]).graphs.fingerprints()

    plain = compose([part(skill_job=pairs(SKILLS), skill_alias=pairs(SKILLS))]).graphs.fingerprints()
    assert plain == prints()
    of_jobs, others = prints(job=[("chef", "cook")]), prints(job=[("chef", "head cook")])
    assert of_jobs["alias"] == plain["alias"]
    assert len({plain["job"], of_jobs["job"], others["job"]}) == 3
    assert all(prints(skill=[("java", "Java 8")])[kind] != plain[kind] for kind in plain)


def test_queries_and_pairs_of_an_evaluation_are_no_names():
    rows = [("chef", "cook"), ("chef", "Head  Cook"), ("developer", "programmer"), ("developer", "coder")]
    one = named(part(skill_job=pairs(SKILLS)), job=rows, skill=[("java", "You cook."), ("python", "cook")])
    excluded = kept_out(job=("head cook", "unknown"), vacancy=("you cook",), related=[("Programmer", "java")])
    composition = compose([one], excluded=excluded)
    assert names_of(composition.graphs, "job") == {("chef", "cook"), ("developer", "coder")}
    assert names_of(composition.graphs, "skill") == {("python", "cook")}  # a skill may have the name of a job
    said = [note for note in composition.notes if "excluded" in note]
    assert said == [
        "1 further name of skill nodes excluded as queries of an evaluation",
        "1 further name of job nodes excluded as queries of an evaluation",
        "1 further name of job nodes excluded, which with a neighbour would be pairs of an evaluation",
    ]


def test_saved_graphs_come_back_with_their_names(tmp_path):
    one = named(
        part(skill_job=pairs(SKILLS), job_alias=pairs([("chef", "Koch")])), job=[("chef", "cook"), ("chef", "x")]
    )
    composition = compose([one, part("two", skill_alias=pairs(SKILLS))])
    save(composition, tmp_path / "graphs", {})
    back = read_saved(tmp_path / "graphs")
    assert back.graphs.fingerprints() == composition.graphs.fingerprints()
    for kind in ("skill", "job"):
        assert names_of(back.graphs, kind) == names_of(composition.graphs, kind) == {("chef", "cook"), ("chef", "x")}
    assert read_saved(tmp_path / "graphs", ["alias"]).graphs.names.keys() == {"skill"}
    saved = SourceSettings(source="edges", path=str(tmp_path / "graphs"), names=("job",))
    with pytest.raises(UserError, match=r"holds combined graphs with further names of 'skill' and 'job' nodes. Choose"):
        load_training_graphs(saved)
    save(composition, tmp_path / "graphs", {})  # replaces its own files
    path = tmp_path / "graphs" / "names_job.parquet"
    changed = pa.parquet.read_table(path).slice(1)
    pa.parquet.write_table(changed, path)
    with pytest.raises(UserError, match="not those that were combined"):
        read_saved(tmp_path / "graphs")


def test_names_of_held_out_texts_and_nodes_are_never_drawn():
    graphs = random_graphs(np.random.default_rng(0), skills=200, nodes=100)
    jobs = graphs.graphs["job"].neighbours
    held_out = assign_splits(jobs, validation=0.2, test=0.1) != TRAIN
    shared = {k: [f"{text} also", jobs[(k + 1) % len(jobs)], f"shared {k // 2}"] for k, text in enumerate(jobs)}
    graphs = dataclasses.replace(graphs, names={"job": NodeNames.of(jobs, shared)})
    splits = split_graphs(graphs, 0.2, 0.1)
    kept = names_of(splits.train, "job")
    assert 0 < len(kept) < len(graphs.names["job"].texts)
    assert not {label for label, _ in kept} & {text for text, held in zip(jobs, held_out, strict=True) if held}
    names = sorted({name for _, name in kept})
    assert (assign_splits(names, validation=0.2, test=0.1) == TRAIN).all()
    assert not set(names) & {f"shared {k // 2}" for k in np.flatnonzero(held_out)}
    wanted = {
        (jobs[k], name)
        for k, own in shared.items()
        for name in own
        if not held_out[k] and assign_splits([name], validation=0.2, test=0.1) == TRAIN
        if not (name.startswith("shared") and held_out[[k - k % 2, k - k % 2 + 1]].any())
    }
    assert kept == wanted - {pair for pair in wanted if any(pair[1] in shared[h] for h in np.flatnonzero(held_out))}


def test_hashes_hold_the_names_and_their_pairs_with_labels():
    one = named(part(skill_job=pairs(SKILLS)), job=[("chef", "cook")], skill=[("cooking", "cookery")])
    hashes = TrainingHashes.of(compose([one]).graphs)
    texts = ["cook", "cookery", "cooking", "chef", "java"]
    assert np.isin(text_hashes(texts), hashes.nodes).all()

    def trained(a, b):
        return pair_hashes(*text_hashes([a, b])[:, None])[0] in hashes.edges

    assert trained("cook", "cooking")
    assert trained("cookery", "chef")
    assert not trained("cookery", "cook")  # of two names: not recorded
    assert not trained("cook", "java")


def test_esco_gives_names_of_skills_and_of_jobs(tmp_path):
    write_release(tmp_path)
    settings = SourceSettings(
        source="esco", path=str(tmp_path), graphs=("skill_job",), cache_dir=str(tmp_path / "cache")
    )
    plain = load_training_graphs(settings)
    assert not plain.names
    graphs = load_training_graphs(dataclasses.replace(settings, names=("skill", "job")))
    assert names_of(graphs, "skill") == {
        ("weld metal", "join metal"),
        ("weld metal", "metal joining"),
        ("plan shifts", "schedule staff"),
    }
    assert names_of(graphs, "job") == {("welder", "metal worker")}
    assert graphs.graphs.keys() == plain.graphs.keys()

    # In a mixture all sources that know names give them, or those that say so.
    def mixed(of_all, **own):
        parts = {"esco": PartSettings(path=str(tmp_path), graphs=("skill_job",), **own), "sample": PartSettings()}
        return load_training_graphs(
            dataclasses.replace(settings, source="combined", path="", graphs=(), parts=parts, names=of_all)
        ).names

    assert len(mixed(("skill", "job"))["skill"].texts) == 3 + 1466
    assert mixed(("job",))["job"].texts == mixed((), names=("job",))["job"].texts == ("metal worker",)
    assert not mixed(())


def write(folder, name, rows):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("left,right,left_id,right_id\n" + "".join(f"{row}\n" for row in rows))


def test_texts_of_one_id_are_names_in_edge_files(tmp_path):
    folder = tmp_path / "mine"
    write(folder, "skill_job.csv", ["Python,Developer,s1,j1", "py,Coder,s1,j1", "Java,Chef,s2,j2", "Cooking,Chef,,j2"])
    write(folder, "skill_alias.csv", ["Java,Java SE,s2,", "py,CPython,s1,"])
    settings = SourceSettings(source="edges", path=str(folder), kinds=("job",))
    assert load_training_graphs(settings).skills == ("Cooking", "Java", "Python", "py")
    graphs = load_training_graphs(dataclasses.replace(settings, names=("skill", "job")))
    assert graphs.skills == ("Cooking", "Java", "Python")
    assert graphs.graphs["job"].neighbours == ("Chef", "Developer")
    assert names_of(graphs, "job") == {("Developer", "Coder")}
    assert names_of(graphs, "skill") == {("Java", "Java SE"), ("Python", "py"), ("Python", "CPython")}
    (folder / "skill_alias.csv").unlink()
    graphs = load_training_graphs(dataclasses.replace(settings, names=("skill",)))
    assert names_of(graphs, "skill") == {("Python", "py")}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"names": ("jobs",)}, r"source.names is 'jobs'; it must be one of 'skill', 'job'. Did you mean 'job'?"),
        ({"names": ("job",)}, r"source.names holds 'job', but sample knows no further names .*; edges, esco, onet do"),
    ],
)
def test_names_that_no_source_knows_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        load_training_composition(SourceSettings(**settings))


def test_names_of_no_node_are_refused(tmp_path):
    write(tmp_path / "mine", "skill_job.csv", ["Python,Developer,s1,j1", "Java,Chef,s2,j2"])
    settings = SourceSettings(source="edges", path=str(tmp_path / "mine"), names=("job",))
    with pytest.raises(UserError, match=r"no node of the graphs has a further name in .*mine.*: edges, esco, onet do"):
        load_training_composition(settings)


@pytest.mark.thorough
def test_a_run_with_names_resumes_bit_for_bit_and_not_without_them(small_run, tmp_path, monkeypatch, capsys):
    flags = [*small_run, "--config.optimiser.decay=constant", "--config.optimiser.warmup_fraction=0.0"]
    # One graph, measured in one direction, compiles in half the time.
    flags += ["--config.source.kinds=('job',)", "--config.evaluation.skip=('job_to_skill',)"]
    named = [*flags, "--config.source.names=('skill',)"]
    assert run([*named, "--config.steps=3"], monkeypatch) == 0
    assert "; 1,466 further names of skill nodes, 1,008 of them for training; 3 steps" in capsys.readouterr().out
    assert run([*flags, "--config.steps=6"], monkeypatch) == 2
    assert "source.names: ['skill'] there, [] now" in capsys.readouterr().err
    assert run([*named, "--config.steps=6"], monkeypatch) == 0
    assert run([*named, "--config.steps=6", f"--config.workdir={tmp_path / 'whole'}"], monkeypatch) == 0
    resumed, whole = (checkpoint_bytes(tmp_path / folder, 6)[0] for folder in ("run", "whole"))
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    assert run([*flags, f"--config.workdir={tmp_path / 'labels'}"], monkeypatch) == 0
    labels, _ = checkpoint_bytes(tmp_path / "labels", 6)
    assert any(jax.tree.leaves(jax.tree.map(lambda one, other: (one != other).any(), labels, whole)))
