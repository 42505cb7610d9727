"""The tasks of WorkRB that WorkBench does not have, in the layouts of their publishers."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from esco_downloads import write_release
from task_data import load, missing, relevant, sources_of, write

from uwe_jax.commands import evaluate
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE, EVERY, SETS, choose, load_tasks
from uwe_jax.evaluation.tasks.languages import Pair, parse_languages
from uwe_jax.runtime.errors import UserError

TITLES = {"Koch": "Koch", "Q2": "Schweißer"}
CORPUS = {"Chefkoch": "Chefkoch", "C2": "Küchenchef", "C3": "Schweiß-\u00a0Fachkraft", "C4": "Pilot"}
JUDGED = [("Koch", "Chefkoch", 1), ("Koch", "C2", 1), ("Q2", "C3", 1)]
PAIRS = {("Koch", "Chefkoch"), ("Koch", "Küchenchef"), ("Schweißer", "Schweiß- Fachkraft")}


def lines(rows):
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def write_set(folder, corpus="corpus_documents", judged=JUDGED, queries=TITLES, documents=CORPUS):
    """A set as its authors publish it: TSV without a header, and TREC qrels."""
    write(folder / "queries.tsv", lines(queries.items()))
    write(folder / f"{corpus}.tsv", lines(documents.items()))
    write(folder / "annotations.tsv", lines((query, 0, target, grade) for query, target, grade in judged))
    return folder


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_hub_set(folder, labels=((0, 1), (2,))):
    """The same set in the layout of the hub."""
    queries = [{"text": text, "labels": list(each)} for text, each in zip(TITLES.values(), labels, strict=True)]
    write_rows(folder / "queries-00000-of-00001.parquet", queries)
    write_rows(folder / "corpus-00000-of-00001.parquet", [{"text": text} for text in CORPUS.values()])


def load_all(names, folder, *languages):
    return load_tasks(choose(names), sources_of(folder), "any", parse_languages(languages or ["en"]))


@pytest.mark.parametrize("write_de", [write_set, write_hub_set])
def test_job_title_similarity_is_read_by_language(tmp_path, write_de, monkeypatch):
    write_de(tmp_path / "job-title-similarity" / "de")
    tasks, skipped = load_all(["job_title_similarity"], tmp_path, "de", "fr", "en-de")
    (task,) = tasks
    assert (task.name, task.family, task.languages) == ("job_title_similarity_de", "job_title_similarity", ("de", "de"))
    assert relevant(task) == PAIRS
    assert task.targets == tuple(sorted(("Chefkoch", "Küchenchef", "Schweiß- Fachkraft", "Pilot")))
    assert task.origin.startswith("job-title-similarity/de")
    assert [each["task"] for each in skipped] == ["job_title_similarity_fr", "job_title_similarity_en_de"]
    assert skipped[0]["reason"].startswith(
        f"No folder of its name with queries.tsv, corpus_documents.tsv and annotations.tsv. Not in {tmp_path}. "
        "Avature/Job-Title-Similarity is not prepared"
    )
    assert "and 'en-de' was asked for" in skipped[1]["reason"]
    monkeypatch.chdir(tmp_path)
    assert load("job_title_similarity", Path("job-title-similarity"), language="de").origin.startswith("de")
    # The folder of one set alone.
    assert load("job_title_similarity", tmp_path / "job-title-similarity" / "de", language="de").queries == task.queries


def test_ids_of_files_name_queries_and_targets(tmp_path):
    task = load("job_title_similarity", write_set(tmp_path / "de"), language="de")
    assert task.query_ids == ("Koch", "Q2")
    assert task.target_ids["C2"] == task.targets.index("Küchenchef")


def test_sets_of_melo_and_mels_are_measured_in_their_own_languages(tmp_path):
    assert (len(SETS["melo"]), len(SETS["mels"])) == (48, 8)
    write_set(tmp_path / "melo" / "deu_q_de_c_en", "corpus_elements")
    write_hub_set(tmp_path / "MELS-Benchmark" / "deu_q_de_c_en", labels=((3,), (3,)))
    several = "usa_q_en_c_de_en_es_fr_it_nl_pl_pt"
    write_set(tmp_path / "melo" / several, "corpus_elements")
    tasks, skipped = load_all(["melo", "mels"], tmp_path, "fr", "en")
    assert [(task.name, task.family, task.languages) for task in tasks] == [
        ("melo_deu_q_de_c_en", "melo", Pair("de", "en")),
        (f"melo_{several}", "melo", Pair("en", "mul")),
        ("mels_deu_q_de_c_en", "mels", Pair("de", "en")),
    ]
    assert relevant(tasks[0]) == PAIRS
    assert {target for _, target in relevant(tasks[2])} == {"Pilot"}
    assert [task.query_kind for task in tasks] == ["job", "job", "skill"]
    assert len(skipped) == 53
    assert len({each["reason"] for each in skipped}) == 2  # shown in one line each


def test_broken_sets_are_named_with_file_and_line(tmp_path):
    write_set(tmp_path / "de", judged=[*JUDGED, ("Q3", "C1", 1)])
    write(tmp_path / "fr" / "queries.tsv", "no text here\nq1\ta\nq1\tb\n")
    for name in ("corpus_documents", "annotations"):
        write(tmp_path / "fr" / f"{name}.tsv", "q1\t0\tb\t1\n" if name == "annotations" else "b\tb\nc\tc\n")
    with pytest.raises(UserError, match=r"de/annotations.tsv, line 4: found query_id 'Q3'; expected an id of the 2"):
        load("job_title_similarity", tmp_path, language="de")
    with pytest.raises(UserError, match=r"fr/queries.tsv, line 1: found 3 fields(.|\n)*line 3: found id 'q1' again"):
        load("job_title_similarity", tmp_path, language="fr")
    write_hub_set(tmp_path / "nl", labels=((0,), (2, 4)))
    with pytest.raises(UserError, match=r"the query of row 2, 'Schweißer', has the label 4. .* the corpus of 4 texts"):
        load("job_title_similarity", tmp_path, language="nl")
    write_set(tmp_path / "copy" / "pl")
    write_set(tmp_path / "pl", judged=JUDGED[:2])
    with pytest.raises(UserError, match=r"2 files in .* hold the table pl/annotations, with different content"):
        load("job_title_similarity", tmp_path, language="pl")


def write_graded(folder, split="validation", scores=(4, 0, 2)):
    skills = [("s1", "weld metal"), ("s2", "plan shifts"), ("s3", "solder")]
    write_rows(folder / "queries" / f"{split}.parquet", [{"_id": "q1", "text": "We weld"}, {"_id": "q2", "text": "Hi"}])
    write_rows(folder / "corpus" / "corpus.parquet", [{"_id": k, "title": t, "text": "long"} for k, t in skills])
    rows = [{"query-id": "q1", "corpus-id": k, "score": s} for (k, _), s in zip(skills, scores, strict=True)]
    write_rows(folder / "qrels" / f"{split}.parquet", rows)


def test_graded_sets_are_told_apart_by_the_names_of_their_repositories(tmp_path):
    write_graded(tmp_path / "Skill-extraction-House-graded")
    write_graded(tmp_path / "Skill-extraction-Tech-graded", scores=(0, 1, 3))
    tasks, skipped = load_all(["graded"], tmp_path)
    house, tech = tasks
    assert (house.name, house.split, house.query_kind) == ("skill_extraction_house_graded", "validation", "vacancy")
    assert house.targets == ("plan shifts", "solder", "weld metal")
    assert house.relevant.toarray().tolist() == [[0, 2, 4]]
    assert tech.relevant.toarray().tolist() == [[1, 3, 0]]
    assert house.query_ids == ("q1",)
    assert len(skipped) == 3
    write_graded(tmp_path / "Skill-extraction-House-graded", scores=(4, 1.5, 2))
    with pytest.raises(UserError, match=r"qrels, judgement 2 above 0: found score '1.5'; expected a whole number"):
        load("skill_extraction_house_graded", tmp_path, "validation")


def test_skill_xl_leaves_out_sentences_that_are_not_relevant(tmp_path):
    write_release(tmp_path, "1.1.0")
    rows = "sentence,skill,relevant\nWe weld,weld metal,True\nWe weld,plan pigs,True\nWe smile,weld metal,False\n"
    write(tmp_path / "Skill-XL" / "test.csv", rows)
    task = load("skill_extraction_xl", tmp_path)
    assert relevant(task) == {("We weld", "weld metal")}
    assert task.notes == ("1 rows that are not relevant left out", "1 labels that are no target left out")
    assert task.group == ""  # not of WorkBench's average


def write_freelancers(folder, experiences=None):
    jobs = (
        [{"title": "Dev", "description": "Built it", "skills": ["Go", "SQL"]}] if experiences is None else experiences
    )
    profiles = [
        {
            "profile_id": k,
            "language": language,
            "headline": f"Head {k}",
            "description": "Bio text",
            "skills": ["a", "b"],
        }
        | {"soft_skills": ["kind"], "experiences": jobs}
        for k, language in enumerate(("en", "de", "en", "de"))
    ]
    tables = {
        "profiles": profiles,
        "briefs": [{"brief_id": k, "title": f"Project {k}", "description": "Do it"} for k in range(2)],
        "brief_scores": [
            {"brief_id": b, "profile_id": p, "score": score}
            for (b, p), score in {
                (0, 0): 0.8,
                (0, 1): 0.95,
                (0, 2): 0.79,
                (1, 3): 0.9,
                (1, 1): 0.81,
                (9, 1): 1.0,
            }.items()
        ],
    }
    for name, rows in tables.items():
        path = folder / "Freelancer-Project-Matching" / f"{name}.jsonl"
        write(path, "".join(json.dumps(row) + "\n" for row in rows))


def test_freelancers_are_ranked_in_one_language_or_in_all(tmp_path):
    write_freelancers(tmp_path)
    tasks, skipped = load_all(["freelancers"], tmp_path, "en", "de")
    names = ["project_to_freelancer", "project_to_freelancer_en_de", "project_to_freelancer_multilingual"]
    assert [task.name for task in tasks] == names
    english, german, both = tasks
    assert [len(task.targets) for task in tasks] == [2, 2, 4]
    assert {task.family for task in tasks} == {"project_to_freelancer"}
    text = "Bio: Bio text Skills: a,b,kind Experiences: Dev Built it Go, SQL"
    assert relevant(english) == {("Project 0 Do it", f"Head 0 {text}")}
    assert {(q, y[:6]) for q, y in relevant(german)} == {
        ("Project 0 Do it", "Head 1"),
        *(("Project 1 Do it", f"Head {k}") for k in (1, 3)),
    }
    assert both.relevant.nnz == 4
    assert both.languages == ("en", "mul")
    assert english.notes == (
        "1 scores of unknown queries or profiles left out",
        "1 queries without a relevant target left out",
    )
    assert {each["task"].partition("_to_")[0] for each in skipped} == {"search"}
    assert "and 'pt' was asked for" in missing("project_to_freelancer", tmp_path, language="pt")
    for wrong, message in (
        ("none", "found experiences 'none'; expected a JSON value"),
        (["Dev"], "profile 0 has exper"),
    ):
        write_freelancers(tmp_path, experiences=wrong)
        with pytest.raises(UserError, match=message):
            load("project_to_freelancer", tmp_path)


def test_sets_of_tasks_and_what_is_skipped(tmp_path, capsys):
    assert set(SETS["all"]) == CATALOGUE.keys() == EVERY.keys() - {*SETS["melo"], *SETS["mels"]}
    assert set(SETS["workrb"]) >= {*SETS["workbench"], *SETS["melo"], *SETS["mels"], *SETS["graded"], "skillskape"}
    write_set(tmp_path / "data" / "melo" / "deu_q_de_c_de", "corpus_elements")
    flags = ("--tasks", "melo,mels", "--data", tmp_path / "data", "--offline", "--cache_dir", tmp_path / "cache")
    evaluate.main([str(flag) for flag in ("--model", "bm25", *flags, "--out", tmp_path / "out")])
    printed = capsys.readouterr()
    assert [line.partition(":")[0] for line in printed.out.splitlines() if line.startswith("Skipped")] == [
        "Skipped melo_aut_q_de_c_de, melo_aut_q_de_c_en, melo_bel_q_fr_c_fr and 44 more",
        "Skipped mels_bel_q_fr_c_fr, mels_bel_q_fr_c_en, mels_bel_q_nl_c_nl and 5 more",
    ]
    assert printed.err.count("Skipped") == 2
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(results["skipped"]) == 55
    assert results["models"]["bm25"]["results"]["melo_deu_q_de_c_de"]["metrics"]["mrr"] > 0
    assert results["models"]["bm25"]["languages"].keys() == {"de"}
