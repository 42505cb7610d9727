"""`uwe-jax teach`: scores of labels and of sentences of descriptions, as a file to train on."""

import json
import re

import numpy as np
import pytest
import scipy.stats
from esco_downloads import write_release
from onet_download import write_onet
from tiny_encoder import write_tiny_encoder

import uwe_jax
from uwe_jax.commands import teach
from uwe_jax.data import dense_scores
from uwe_jax.data.dense_scores import DenseScores
from uwe_jax.runtime.errors import UserError

# A label, further names and a description; "nurse" is a label twice, and "clerk" has no description.
JOBS = [
    ("1", "nurse", "carer", "Care for patients. Write code for software!"),
    ("2", "engineer", "coder;Software  engineer", "<p>Write software.</p><ul><li>Write code</li></ul>"),
    ("3", "nurse", "", "Patients for care. ***"),
    ("4", "clerk", "", ""),
]
SKILLS = ["care for patients", "write code", "software engineer", "care"]
SENTENCES = {
    "nurse": ["Care for patients.", "Write code for software!", "Patients for care."],
    "engineer": ["Write software.", "Write code"],
    "clerk": [],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return f"{write_tiny_encoder(tmp_path_factory.mktemp('encoder'))}:soft"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = ["id,title,aliases,description", *(",".join(f'"{each}"' for each in row) for row in JOBS)]
    (tmp_path / "jobs.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "skills.txt").write_text("\n".join([*SKILLS, "care"]) + "\n")
    return tmp_path


@pytest.mark.parametrize("weights", [(1, 2, 1), (0, 1, 3)])
def test_scores_equal_the_formula_of_the_rankers_scores(folder, model, weights, capsys, monkeypatch):
    monkeypatch.setattr("uwe_jax.curation.teach._AT_ONCE", 2)
    given = ["--model", model, "--queries=jobs.csv", "--query-names=aliases", "--targets=skills.txt"]
    teach.main([*given, "--out=out/teacher.npz", *(() if weights == (1, 2, 1) else ["--weights=0,1,3"])])
    found = DenseScores.read(folder / "out" / "teacher.npz")
    assert (found.queries, found.targets) == (tuple(SENTENCES), tuple(SKILLS))
    assert [found.names.texts[a:b] for a, b in zip(found.names.offsets, found.names.offsets[1:], strict=False)] == [
        ("carer",),
        ("Software engineer", "coder"),
        (),
    ]
    ranker = uwe_jax.load(model)
    for row, (label, sentences) in enumerate(SENTENCES.items()):
        read = ranker.scores(sentences or [label], SKILLS)
        parts = ranker.scores([label], SKILLS)[0], read.max(axis=0), read.mean(axis=0)
        expected = sum(w * part for w, part in zip(weights, parts, strict=True)) / sum(weights)
        np.testing.assert_allclose(found.scores[row], expected, rtol=1e-3, atol=1e-3)
    with np.load("out/teacher.npz") as arrays:
        about = json.loads(str(arrays["about"]))
    (scorer,) = about["scorers"]
    assert scorer.startswith("soft")
    assert about == {
        "version": 1,
        "models": [ranker.name],
        "model_weights": [1],
        "scorers": [scorer],
        "weights": list(weights),
        "words": 0.0,
        "target_names": False,
    }
    said = capsys.readouterr()
    assert "3 queries with 4 targets" in said.out
    assert "2 of the queries have a description, of 2.5 sentences on average" in said.out
    assert "1 label equal to an earlier one, and joined with it" in said.err
    assert "--config.loss.distillation.path=out/teacher.npz" in said.err
    assert "near=60" not in said.err  # of 4 targets training refuses it


@pytest.mark.thorough
def test_targets_are_read_by_all_their_names_on_request(folder, model, capsys):
    rows = ["label,others", "care for patients,nurse people|tend the sick", "write code,", "care,nurse people"]
    (folder / "named.csv").write_text("\n".join(rows) + "\n")
    (folder / "titles.txt").write_text("night nurse\ncoder\n")
    given = ["--model", model, "--queries=titles.txt", "--query-descriptions=", "--targets=named.csv"]
    teach.main([*given, "--target-names-column=others", "--out=teacher.npz"])
    found = DenseScores.read(folder / "teacher.npz")
    ranker = uwe_jax.load(model)
    names = [["nurse people", "tend the sick"], [], ["nurse people"]]
    index = ranker.encode_targets(list(found.targets), names=names, dtype="float32", progress=False)
    for query, scores in zip(found.queries, found.scores, strict=True):
        ranked = {hit.text: hit.score for hit in ranker.rank(query, index)}
        np.testing.assert_allclose(scores, [ranked[target] for target in found.targets], rtol=1e-3, atol=1e-3)
    assert not found.target_names.texts
    said = capsys.readouterr().out
    assert "The targets are read by 3 further names as well." in said
    assert "description" not in said
    teach.main([*given, "--target-names-column=others", "--keep-target-names", "--out=kept.npz"])
    kept = DenseScores.read(folder / "kept.npz")
    assert [kept.targets[k] for k in kept.target_names.owners] == ["care for patients"] * 2 + ["care"]
    assert kept.target_names.texts == ("nurse people", "tend the sick", "nurse people")
    np.testing.assert_array_equal(kept.scores, found.scores)
    assert "by 3 further names as well; 3 of them are kept for training." in capsys.readouterr().out
    with pytest.raises(UserError, match="Add --target-names, or --target-names-column with the column of a table"):
        teach.main([*given, "--keep-target-names", "--out=kept.npz"])
    with pytest.raises(UserError, match=r"None of the 3 targets .*named\.csv.* with --target-names-column, or leave"):
        teach.main([*given, "--target-names", "--out=none.npz"])
    with pytest.raises(UserError, match=r"no column 'nope'.* with --target-names-column"):
        teach.main([*given, "--target-names-column=nope", "--out=none.npz"])
    teach.main([*given, "--target-names-column=others", "--out=one.npz", "--max-queries=1"])
    (one,) = DenseScores.read(folder / "one.npz").queries
    assert found.queries.count(one) == 1
    assert "1 of 2 queries drawn at random" in capsys.readouterr().err


def test_several_teachers_give_the_mean_of_their_z_scores_on_the_scale_of_the_first(folder, model, tmp_path, capsys):
    other = f"{write_tiny_encoder(tmp_path / 'other', seed=7)}:soft"
    given = ["--queries=jobs.csv", "--targets=skills.txt", "--query-descriptions="]
    teach.main(["--model", model, "--model", other, "--model-weights=1,3", *given, "--out=both.npz"])
    found = DenseScores.read(folder / "both.npz").scores.astype(np.float64)
    labels = list(SENTENCES)
    first, second = (uwe_jax.load(each).scores(labels, SKILLS).astype(np.float64) for each in (model, other))
    standard = [scipy.stats.zscore(each, axis=1) for each in (first, second)]
    expected = scipy.stats.zscore(0.25 * standard[0] + 0.75 * standard[1], axis=1)
    expected = first.mean(axis=1, keepdims=True) + first.std(axis=1, keepdims=True) * expected
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert abs(found - first).max() > 0.01
    assert re.search(r"by encoder\d+ soft and other soft", capsys.readouterr().out)


def test_truncated_sentences_are_reported_for_each_of_several_teachers(folder, model, tmp_path, capsys):
    other = f"{write_tiny_encoder(tmp_path / 'other', seed=7)}:soft"
    given = ["--model", model, "--model", other, "--queries=jobs.csv", "--targets=skills.txt", "--max-tokens=4"]
    teach.main([*given, "--query-descriptions=description", "--out=both.npz"])
    told = " ".join(capsys.readouterr().err.split())
    assert re.search(r"encoder\d+ soft: \d of \d sentences .*truncated at 4 tokens", told)
    assert re.search(r"other soft: \d of \d sentences .*truncated at 4 tokens", told)


def test_words_in_common_count_on_request(folder, model):
    given = ["--model", model, "--queries=jobs.csv", "--query-descriptions=", "--targets=skills.txt"]
    (folder / "jobs.csv").write_text("id,title\n1,a software engineer for code and more code\n")
    teach.main([*given, "--words=0.5", "--out=words.npz"])
    found = DenseScores.read(folder / "words.npz")
    ranker = uwe_jax.load(model, words=0.5)
    np.testing.assert_allclose(found.scores, ranker.index(SKILLS)(list(found.queries)), rtol=1e-3, atol=1e-3)
    gained = found.scores[0] - uwe_jax.load(model).scores(list(found.queries), SKILLS)[0]
    assert gained[2] > 0.2  # "software engineer"
    assert gained[0] > -1e-3


def test_occupations_and_skills_of_esco_are_read_from_its_zips(tmp_path, model):
    write_release(tmp_path / "esco")
    kinds = ("--query-kind=occupations", "--target-kind=skills")
    sides = (f"--queries={tmp_path / 'esco'}", f"--targets={tmp_path / 'esco'}")
    teach.main(["--model", model, *sides, *kinds, f"--out={tmp_path / 'teacher.npz'}"])
    found = DenseScores.read(tmp_path / "teacher.npz")
    assert found.queries == ("welder", "head chef")
    assert found.targets == ("weld metal", "plan shifts", "haute cuisine")
    assert found.names.texts == ("metal worker",)


def test_queries_of_onet_and_targets_of_esco_have_versions_of_their_own(tmp_path, model):
    write_onet(tmp_path / "onet")
    write_release(tmp_path / "esco", "1.1.1")
    write_release(tmp_path / "esco", "1.2.0")
    sides = (f"--queries={tmp_path / 'onet'}", "--query-kind=occupations", f"--targets={tmp_path / 'esco'}")
    given = ["--model", model, *sides, "--target-kind=skills", "--version=1.1.1", f"--out={tmp_path / 'teacher.npz'}"]
    with pytest.raises(UserError, match=r"no version 1\.1\.1 of O\*NET"):
        teach.main(given)
    teach.main([*given, "--query-version=29.3"])
    assert DenseScores.read(tmp_path / "teacher.npz").targets == ("weld metal", "plan shifts", "haute cuisine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--query-descriptions="], "None of the 3 queries of jobs.csv.* has a description.*with --target-names"),
        (["--query-descriptions=summary"], "has no column 'summary'. Its columns: id, .*with --query-descriptions"),
        (["--query-names=title"], "--query-names names the column 'title', which is that of texts already"),
        (["--out=teacher.csv"], r"--out teacher\.csv does not end in \.npz"),
        (["--weights=1,2"], "--weights is 1,2; it must be three whole numbers"),
        (["--weights=0,0,0"], "not all 0"),
        (
            ["--model-weights=2,1"],
            r"--model-weights is 2,1; it must be whole numbers, one for each model \(1 given\)",
        ),
        (["--words=2"], "--words is 2.*between 0 and 1"),
        (["--target-kind=skills"], r"--target-kind skills is for folders of ESCO or O\*NET, and skills\.txt is a file"),
        (["--targets=none.csv"], r"There is no none\.csv"),
    ],
)
def test_bad_input_is_refused_before_a_file_is_written(folder, model, options, message):
    given = {"--model": model, "--queries": "jobs.csv", "--targets": "skills.txt", "--out": "teacher.npz"}
    given |= dict(each.split("=", 1) for each in options)
    with pytest.raises(UserError, match=message):
        teach.main([f"{name}={value}" for name, value in given.items()])
    assert not list(folder.glob("*.npz"))


def test_scores_beyond_the_limit_are_refused_with_the_numbers(folder, model, monkeypatch):
    monkeypatch.setattr(dense_scores, "_MOST_BYTES", 20)
    with pytest.raises(UserError, match=r"3 queries and 4 targets take .* GiB; .* Take at most 2 of the queries"):
        teach.main(["--model", model, "--queries=jobs.csv", "--targets=skills.txt", "--out=teacher.npz"])


def test_options_that_are_missing_are_named():
    with pytest.raises(UserError, match="--targets is required"):
        teach.main(["--queries=jobs.csv"])
