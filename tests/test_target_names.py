"""Names of targets in the evaluation: what the tasks read, how targets are ranked by them, and what is reported."""

import csv
import json

import numpy as np
import pytest
from esco_downloads import OCCUPATION, SKILL, classification, relations, write_release
from esco_downloads import write_zip as write_esco
from graphs import build_graph_set
from onet_download import write_onet
from task_data import HubInMemory, load, make_task, write, write_titles

from uwe_jax.commands import evaluate
from uwe_jax.data.graph import Edge
from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.evaluation.error_analysis import dump_rankings
from uwe_jax.evaluation.leakage import leakage, without_leaks
from uwe_jax.evaluation.lexical import Bm25
from uwe_jax.evaluation.measure import measure
from uwe_jax.evaluation.target_names import NamesRanker, with_name_notes
from uwe_jax.evaluation.tasks.folder import task_folder
from uwe_jax.evaluation.tasks.task import TaskSources
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.names import NamePlaces, NameWeights, name_scores

SPACE = {"cook": ("chef", "kitchen hand"), "driver": (), "nurse": ("carer", "Chef")}


def task_of(pairs, names=SPACE, **changes):
    about = {"split": "all", "kinds": ("job", "job"), "origin": "a test", "targets": names, "names": names.items()}
    return make_task("own", "Own", pairs=pairs, **{**about, **changes})


# Scores of every name for two queries, as integers, which a ranker of one's own may return.
SCORES = {"cook": (1, 4), "chef": (8, 0), "kitchen hand": (2, 6), "driver": (3, 5), "nurse": (0, 2), "carer": (4, 2)}
SCORES |= {"Chef": (6, 0)}


class Listed:
    """A ranker whose scores are those of `SCORES`; queries that start with C or c are the first of the two."""

    name, description = "listed", "scores as listed"

    def index(self, targets):
        self.indexed = targets
        table = np.array([SCORES[target] for target in targets]).T
        return lambda queries: table[[int(query[0] not in "Cc") for query in queries]]


def test_names_are_normalised_and_joined_by_target():
    names = {"cook": ["chef ", "Chef", "", "COOK"], "cook ": ["fryer"], "pilot": ["flyer"], "nurse": [" "]}
    task = task_of([("x", ["cook"])], names, targets=["cook", "nurse", "cook "])
    assert task.names == {"cook": ("chef", "fryer")}
    texts, rows, (starts, descriptions) = task.target_names
    assert (texts, rows.tolist(), starts.tolist()) == (("cook", "chef", "fryer", "nurse"), [0, 1, 2, 3], [0, 3])
    assert descriptions is None


@pytest.mark.parametrize("chunk", [1, 2])
def test_a_target_scores_by_its_label_and_best_name(chunk):
    ranker, task = Listed(), task_of([("chef", ["cook"]), ("fry food", ["cook"])])
    named = NamesRanker(ranker, task, NameWeights(0.25))
    score = named.index(task.targets)
    assert ranker.indexed == ("cook", "chef", "kitchen hand", "driver", "nurse", "carer", "Chef")
    found = [score(task.queries[start : start + chunk]) for start in range(0, 2, chunk)]
    expected = [[0.25 * 1 + 0.75 * 8, 3, 0.75 * 6], [0.25 * 4 + 0.75 * 6, 5, 2]]
    np.testing.assert_array_equal(np.concatenate(found), expected)
    assert (named.name, named.description) == ("listed", "scores as listed")


@pytest.mark.parametrize(("weight", "expected"), [(0, [8, -np.inf]), (0.5, [4.5, -np.inf]), (1, [1, -np.inf])])
def test_targets_that_must_rank_last_do(weight, expected):
    scores = np.array([[1.0, 8.0, -np.inf, -np.inf]])
    np.testing.assert_array_equal(name_scores(scores, NamePlaces(np.array([0, 2])), NameWeights(weight)), [expected])


def test_a_query_that_is_a_name_of_its_target_is_not_ranked_by_it():
    pairs = [("CHEF", ["cook"]), ("Cook", ["cook"])]
    own, other = task_of(pairs, queries_are_names=True), task_of(pairs)
    scores = [NamesRanker(Listed(), task, NameWeights(0.0)).index(task.targets)(task.queries) for task in (own, other)]
    # Neither cook nor nurse has it for the first query; a label counts always, and so does the name for another query.
    np.testing.assert_array_equal(scores[0], [[2, 3, 4], [8, 3, 6]])
    np.testing.assert_array_equal(scores[1], [[8, 3, 6], [8, 3, 6]])
    assert with_name_notes(own).notes[-1] == "1 query equal to a further name, which is left out for it"
    assert with_name_notes(other).notes == (
        "4 further names of 2 targets",
        "1 name of several targets, kept for each",
        "1 query equal to a further name, which counts",
    )


@pytest.mark.parametrize(
    ("own_name", "matched"), [(False, ["chef", "driver", "Chef"]), (True, ["kitchen hand", "driver", "carer"])]
)
def test_the_worst_rankings_say_which_name_matched(own_name, matched, tmp_path):
    pairs = [("Chef" if own_name else "C", ["nurse"])]
    task = task_of(pairs, queries_are_names=own_name)
    measured = measure(NamesRanker(Listed(), task, NameWeights(0.5)), task, ("map",))
    dump_rankings(tmp_path, task, "listed", measured.average_precision, measured.score)
    told = json.loads((tmp_path / "own.jsonl").read_text())
    assert {each["target"]: each["name"] for each in told["top"]} == dict(zip(task.targets, matched, strict=True))
    assert told["relevant"][0]["name"] == matched[2]
    assert f"| nurse ({matched[2]}) |" in (tmp_path / "own.md").read_text()
    assert "| driver |" in (tmp_path / "own.md").read_text()


def test_a_label_is_never_left_out():
    task = task_of([("cook", ["cook"])], {"cook": (), "nurse": ("cook",)}, queries_are_names=True)
    score = NamesRanker(Listed(), task, NameWeights(0.0)).index(task.targets)
    assert score(["cook", "chef"]).tolist() == [[1, 0], [1, 1]]


def test_words_find_what_only_a_name_says():
    task = task_of([("carer wanted", ["nurse"]), ("kitchen hand", ["cook"])])
    by_label, by_name = (
        measure(ranker, task, ("map",)) for ranker in (Bm25(), NamesRanker(Bm25(), task, NameWeights()))
    )
    assert by_name.per_query["map"].tolist() == [1, 1]
    assert by_label.per_query["map"].tolist() == [pytest.approx(1 / 3), 1]  # all tie, and the order decides


def test_scores_of_names_that_cannot_be_ranked_are_reported():
    class Broken(Listed):
        def index(self, targets):
            return lambda queries: np.full((len(queries), len(targets)), np.nan)

    task = task_of([("chef", ["cook"])])
    with pytest.raises(UserError, match="listed on the names of Own: 7 of 7 scores are NaN"):
        measure(NamesRanker(Broken(), task, NameWeights()), task, ("map",))


def trained(*edges):
    return TrainingHashes.of(build_graph_set({"job": [Edge("", skill, "", job) for skill, job in edges]}))


def test_leakage_is_counted_over_names():
    pairs = [("fry food", ["cook", "driver"]), ("heal", ["nurse"])]
    named, plain = task_of(pairs), task_of(pairs, dict.fromkeys(SPACE, ()))
    hashes = trained(("Kitchen hand", "Fry food"), ("chef", "other"))
    assert leakage(plain, hashes, in_domain=False) == {"queries": 1, "targets": 0, "edges": 0, "domain": "zero-shot"}
    # "chef" is a name of two targets.
    assert leakage(named, hashes, in_domain=False) == {"queries": 1, "targets": 2, "edges": 1, "domain": "zero-shot"}
    assert without_leaks(named, [trained(("carer", "heal"))]).queries == ("fry food",)
    assert without_leaks(named, [trained(("carer", "heal"))]).names == named.names


# --- what the tasks read ---


def test_names_of_escos_tasks(tmp_path, monkeypatch):
    write_release(tmp_path)
    write_titles(tmp_path / "titles.csv", ("Metal Worker", OCCUPATION + "a"))
    write(tmp_path / "dev.csv", "sentence,skills\nWe weld.,['weld metal']\n")
    hub = HubInMemory(monkeypatch)
    hub.datasets["TechWolf/vacancy-job-to-skill", "validation"] = [
        ("Welder", ["weld metal"]),
        ("Chef", ["plan shifts"]),
    ]
    skills = {"weld metal": ("join metal", "metal joining"), "plan shifts": ("schedule staff",)}
    jobs = {"welder": ("metal worker",)}
    for name, split, expected in (
        ("job_to_skill", "test", skills),
        ("job_to_skill", "validation", skills),
        ("skill_to_job", "test", jobs),
        ("skill_to_job", "validation", {}),  # its targets are vacancy titles
        ("skillskape", "validation", skills),
        ("job_normalisation", "validation", jobs),
        ("skill_normalisation", "validation", skills),
    ):
        task = load(name, tmp_path, split, names=True)
        assert task.names == expected, name
        assert task.queries_are_names == (name == "skill_normalisation")
        assert load(name, tmp_path, split).names == {}
    title = with_name_notes(load("job_normalisation", tmp_path, "validation", names=True))
    assert title.notes == ("1 further name of 1 target", "1 query equal to a further name, which counts")


@pytest.mark.parametrize("version", ["", "1.1.0", "1.2.0"])
def test_names_of_the_annotators_labels(tmp_path, version):
    path = write(tmp_path / "tech_test.csv", "sentence,label\nWe weld,weld metal\n")
    write(path.with_name("skills_en_label.txt"), "weld metal\nplan shifts\nhaute cuisine\n")
    if version:
        alternatives = [(SKILL + "1", "weld metal", "join metal"), (SKILL + "2", "another label", "x")]
        write_esco(tmp_path, version, "en", classification(alternatives) | relations())
    task = load("skill_extraction_tech", tmp_path, names=True)
    names = {"weld metal": ("join metal",)} | ({"another label": ("x",)} if version == "1.1.0" else {})
    assert task.names == (names if version else {})
    assert task.origin.endswith("ESCO v1.1.0 (en)" if version == "1.1.0" else "skills_en_label.txt")


def test_names_of_onets_occupations(tmp_path):
    write_onet(tmp_path)
    task = load("onet_title_to_occupation", tmp_path, "all", names=True)
    assert task.names == {
        "Chief Executives": ("President", "Manager", "Welders"),
        "Head Cooks": ("Executive Chef", "Manager"),
    }
    assert task.queries_are_names
    assert with_name_notes(task).notes[-2:] == (
        "2 names of several targets, kept for each",
        "3 queries equal to a further name, which is left out for it",
    )
    assert load("onet_occupation_to_activity", tmp_path, "all", names=True).names == {}
    about = {
        "Chief Executives": ("Determine policies.",),
        "Head Cooks": ('Lead the "line".',),
        "Welders": ("Join metal.",),
    }
    for name, expected in (("onet_title_to_occupation", about), ("onet_occupation_to_activity", {})):
        assert load(name, tmp_path, "all", descriptions=True).descriptions == expected


def test_descriptions_of_escos_tasks(tmp_path):
    write_release(tmp_path)
    write_titles(tmp_path / "titles.csv", ("Metal Worker", OCCUPATION + "a"))
    path = write(tmp_path / "tech_test.csv", "sentence,label\nWe weld,weld metal\n")
    write(path.with_name("skills_en_label.txt"), "weld metal\nplan shifts\n")
    for name, split in (
        ("job_to_skill", "test"),
        ("job_normalisation", "validation"),
        ("skill_extraction_tech", "test"),
    ):
        task = load(name, tmp_path, split, descriptions=True)
        assert (task.names, load(name, tmp_path, split, names=True).descriptions) == ({}, {})
        assert dict(task.descriptions) == dict.fromkeys(task.targets, ("Text, over two lines.",))
    assert with_name_notes(task).notes[-1] == f"{len(task.targets)} descriptions of {len(task.targets)} targets"


def test_a_target_scores_by_its_description_too():
    space = {"cook": ("kitchen hand",), "driver": (), "nurse": ()}
    task = task_of([("chef", ["cook"])], space, descriptions=[("cook", ["chef"]), ("nurse", ["carer", "Chef"])])
    assert task.target_names.places.descriptions.tolist() == [False, False, True, False, False, True, True]
    score = NamesRanker(Listed(), task, NameWeights(0.25, 0.5)).index(task.targets)
    by_names = 0.25 * 1 + 0.75 * 2
    assert score(["chef"]).tolist() == [[0.5 * by_names + 0.5 * 8, 3, 0.5 * 0 + 0.5 * 6]]
    hashes = trained(("carer", "boil"))
    assert leakage(task, hashes, in_domain=False)["targets"] == 1
    assert score.matched("chef", [0, 2]) == ["kitchen hand", "nurse"]


def test_a_description_that_is_the_query_does_not_count_where_names_do_not():
    space = {"cook": (), "driver": (), "nurse": ()}
    task = task_of([("chef", ["cook"])], space, descriptions=[("cook", ["chef"])], queries_are_names=True)
    score = NamesRanker(Listed(), task, NameWeights(0.25, 0.5)).index(task.targets)
    assert score(["chef", "Cook"]).tolist() == [[1, 3, 0], [0.5 * 1 + 0.5 * 8, 3, 0]]
    none = with_name_notes(task_of([("chef", ["cook"])], space))
    assert none.notes == ("no target with a further name or a description",)


def write_rows(path, *rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def folder(tmp_path):
    """A task whose first target has names in a column and in a row of its own."""
    found = tmp_path / "courses"
    found.mkdir()
    write_rows(found / "queries.csv", ("id", "text"), ("q1", "chef wanted"), ("q2", "careful driver"))
    rows = (
        ("t1", "waiter", "kitchen hand | fryer"),
        ("t2", "driver", ""),
        ("t1", "chef", "fryer"),
        ("t3", "pilot", ""),
    )
    write_rows(found / "targets.csv", ("id", "text", "names"), *rows)
    write_rows(found / "relevant.csv", ("query_id", "target_id"), ("q1", "t1"), ("q2", "t2"))
    return found


def test_names_in_a_folder(folder):
    spec = task_folder(folder)
    task = spec.load(TaskSources((), folder, names=True), "all")
    assert (task.targets, task.notes) == (("driver", "pilot", "waiter"), ())
    assert task.names == {"waiter": ("kitchen hand", "fryer", "chef")}
    unused = spec.load(TaskSources((), folder), "all")
    assert (unused.targets, unused.names, unused.notes) == (task.targets, {}, ("4 further names of targets not used",))
    write_rows(folder / "targets.csv", ("id", "text"), ("t1", "cook"), ("t2", "driver"), ("t1", " "), ("t2", "driver"))
    with pytest.raises(UserError) as raised:
        task_folder(folder)
    assert "targets.csv, line 4: found an empty text for id 't1'" in str(raised.value)
    assert "line 5: found id 't2' again (first in courses/targets.csv, line 3); expected an id once, or another" in str(
        raised.value
    )


def test_descriptions_in_a_folder(folder):
    rows = (
        ("t1", "waiter", " Carries  dishes. "),
        ("t2", "driver", ""),
        ("t3", "pilot", "Flies."),
        ("t3", "flyer", ""),
    )
    write_rows(folder / "targets.csv", ("id", "text", "description"), *rows)
    spec = task_folder(folder)
    task = spec.load(TaskSources((), folder, descriptions=True), "all")
    assert task.descriptions == {"waiter": ("Carries dishes.",), "pilot": ("Flies.",)}
    assert task.notes == ("1 further name of targets not used",)
    unused = spec.load(TaskSources((), folder, names=True), "all")
    assert (unused.descriptions, unused.notes) == ({}, ("2 descriptions of targets not used",))


# --- the command ---


def run(*flags):
    try:
        answer_errors(lambda: evaluate.main([str(flag) for flag in flags]))
    except SystemExit as stop:
        return stop.code
    return 0


def test_the_command_ranks_by_names_and_says_so(folder, tmp_path, capsys):
    plain, named = tmp_path / "plain", tmp_path / "named"
    flags = ("--model", "bm25", "--tasks", folder, "--cache_dir", tmp_path / "cache", "--offline", "--bootstrap", "0")
    assert run(*flags, "--out", plain) == 0
    assert "all their names" not in capsys.readouterr().out + (plain / "results.md").read_text()
    assert run(*flags, "--out", named, "--target-names", "--label-weight", "0.25") == 0
    said = "Targets are ranked by all their names: 0.25 of the score of the label and 0.75 of that of the best name"
    assert said in capsys.readouterr().out.replace("\n", " ")
    assert said in (named / "results.md").read_text()
    found, before = (json.loads((each / "results.json").read_text()) for each in (named, plain))
    assert (found["settings"]["target_names"], found["settings"]["label_weight"]) == (True, 0.25)
    assert found["tasks"]["courses"]["notes"] == ["3 further names of 1 target"]
    hits = [each["models"]["bm25"]["results"]["courses"]["metrics"]["map"] for each in (found, before)]
    assert hits == [100, pytest.approx(200 / 3)]  # "chef" is a name alone, and the target with it comes last of equals

    for flag, joined, there in (("--target-names", plain, "labels alone"), ("--offline", named, "all names of")):
        assert run(*flags, "--out", tmp_path / "other", flag, "--join", joined) == 2
        assert f"--join {joined} ranked {there}" in capsys.readouterr().err
    assert run(*flags, "--out", tmp_path / "other", "--target-names", "--join", named) == 2
    assert "the label's weight being 0.25; this evaluation ranks all names of" in capsys.readouterr().err
    again = ("--target-names", "--label-weight", "0.25", "--join", named)
    assert run(*flags, "--model", "tfidf", "--out", tmp_path / "other", *again) == 0
    capsys.readouterr()
    assert run(*flags, "--label-weight", "0.25") == 2
    assert "--label-weight has no effect without --target-names" in capsys.readouterr().err
    assert run(*flags, "--target-names", "--label-weight", "1.5") == 2
    assert "--label-weight is 1.5; it must be between 0 and 1" in capsys.readouterr().err


def test_the_command_ranks_by_descriptions_and_says_so(folder, tmp_path, capsys):
    rows = (("t1", "waiter", "chef wanted"), ("t2", "driver", "a careful one"), ("t3", "pilot", "one who flies"))
    write_rows(folder / "targets.csv", ("id", "text", "description"), *rows)
    plain, described = tmp_path / "plain", tmp_path / "described"
    flags = ("--model", "bm25", "--tasks", folder, "--cache_dir", tmp_path / "cache", "--offline", "--bootstrap", "0")
    assert run(*flags, "--out", plain) == 0
    assert run(*flags, "--out", described, "--target-descriptions", "--description-weight", "0.25") == 0
    said = "Of the score of a target with descriptions, 0.25 is that of the best one"
    assert said in capsys.readouterr().out.replace("\n", " ")
    found, before = (json.loads((each / "results.json").read_text()) for each in (described, plain))
    assert (found["settings"]["target_descriptions"], found["settings"]["description_weight"]) == (True, 0.25)
    assert found["tasks"]["courses"]["notes"] == ["3 descriptions of 3 targets"]
    hits = [each["models"]["bm25"]["results"]["courses"]["metrics"]["map"] for each in (found, before)]
    assert hits == [100, pytest.approx(200 / 3)]
    for flag, joined in (("--target-descriptions", plain), ("--offline", described)):
        assert run(*flags, "--out", tmp_path / "other", flag, "--join", joined) == 2
        assert "'description_weight': 0" in capsys.readouterr().err
    for wrong, message in (
        (("--description-weight", "0.25"), "--description-weight has no effect without --target-descriptions"),
        (
            ("--target-descriptions", "--description-weight", "2"),
            "--description-weight is 2.0; it must be between 0 and 1",
        ),
        (("--target-descriptions", "--run", tmp_path / "x"), "not by their texts. Leave out --target-descriptions"),
    ):
        assert run(*flags, *wrong) == 2
        assert message in capsys.readouterr().err
