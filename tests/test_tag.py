"""`uwe-jax tag` from vacancies to edges that a source reads."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from graphs import edges_of
from tiny_encoder import write_tiny_encoder
from vacancy_files import TAXONOMY, many, write_rows, write_taxonomy

from uwe_jax.commands.tag import main
from uwe_jax.curation.tag import run
from uwe_jax.curation.tag.by_model import best, tag_by_model
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.names import LABEL_WEIGHT
from uwe_jax.sources.edge_files import read_edge_folder
from uwe_jax.sources.taxonomy import Skill, Taxonomy
from uwe_jax.sources.vacancies.files import find_vacancy_files
from uwe_jax.sources.vacancies.job import open_job
from uwe_jax.sources.vacancies.pool import run_job
from uwe_jax.sources.vacancies.tagger import JOB, VACANCY, TagSettings

WRITTEN = [JOB, VACANCY, "tagging.json", "vacancies.jsonl"]
KILLED = """
import os, signal, sys
from uwe_jax.sources.vacancies import job
from uwe_jax.commands.tag import main
write = job.ChunkDone.write
def dying(self, path):
    if path.stem == "00002":
        os.kill(os.getpid(), signal.SIGKILL)  # its edges are written, that it is done is not
    write(self, path)
job.ChunkDone.write = dying
main(sys.argv[1:])
"""


class Words:
    """Ranks by the share of a skill's words that a sentence has."""

    name = "words"

    def __init__(self):
        self.asked: list[str] = []

    def index(self, targets):
        def score(queries):
            self.asked += queries
            spoken = [set(query.lower().strip(".").split()) for query in queries]
            return np.array([[len(s & set(t.split())) / len(t.split()) for t in targets] for s in spoken], np.float32)

        return score


@pytest.fixture
def flags(tmp_path) -> list[str]:
    write_rows(tmp_path / "jobs" / "v.jsonl", many(12))
    write_taxonomy(tmp_path / "skills.csv")
    return [
        *("--vacancies", str(tmp_path / "jobs"), "--taxonomy", str(tmp_path / "skills.csv")),
        *("--chunk_rows", "3", "--processes", "1"),
    ]


def contents(folder) -> dict[str, list]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): pq.read_table(folder / path).to_pylist()
        if path.suffix == ".parquet"
        else [(folder / path).read_text()]
        for path in files
    }


def lines_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "vacancies.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_vacancy_has_a_line_with_all_its_skills(tmp_path, capsys):
    text = "You weld metal all day.\nSchedule staff at night.\nYou weld metal again."
    rows = [{"id": "a", "title": "Welder", "description": text}] * 2
    rows += [{"id": "c", "title": "Welder", "description": text, "skills": "weld metal; sing"}]
    rows += [{"id": "d", "title": "", "description": "Nothing has a name here."}, {"id": "e", "title": 7}]
    path, out = write_rows(tmp_path / "v.jsonl", rows), tmp_path / "out"
    flags = ["--vacancies", str(path), "--taxonomy", str(write_taxonomy(tmp_path / "skills.csv"))]
    main([*flags, "--out", str(out), "--processes", "1", "--chunk_rows", "2", "--max_broken", "0.5"])
    first = {"probability": None, "score": 1.0}
    weld = {"id": "s1", "label": "weld metal", "relation": "exact", **first, "sentence": "You weld metal all day."}
    weld |= {"span": "weld metal"}
    plan = {"id": "s2", "label": "plan shifts", "relation": "alias", **first, "sentence": "Schedule staff at night."}
    plan |= {"span": "Schedule staff"}
    sing = {"id": "", "label": "sing", "relation": "given", **first, "sentence": "", "span": ""}
    assert lines_of(out) == [
        {"id": "a", "row": "v.jsonl, line 1", "title": "Welder", "skills": [weld, plan]},
        {"id": "a", "row": "v.jsonl, line 2", "title": "Welder", "skills": [weld, plan]},
        {"id": "c", "row": "v.jsonl, line 3", "title": "Welder", "skills": [weld | {"relation": "given"}, sing, plan]},
        {"id": "d", "row": "v.jsonl, line 4", "title": "", "skills": []},
    ]
    counts = json.loads((out / "tagging.json").read_text())["counts"]
    assert (counts["rows"], counts["skills of rows"], counts["rows without a skill"]) == (4, 7, 1)
    assert re.search(r"^skills of rows +7  in vacancies.jsonl$", capsys.readouterr().out, re.MULTILINE)


def test_lines_of_vacancies_have_the_skills_of_a_model(tmp_path):
    rows = [{"title": "Cook", "description": "You love a haute French cuisine."}] * 3
    rows[1] = rows[1] | {"description": "You love a haute French cuisine.\nA cuisine of haute art."}
    flags = ["--vacancies", str(write_rows(tmp_path / "v.jsonl", rows)), "--processes", "1", "--chunk_rows", "2"]
    flags += ["--taxonomy", str(write_taxonomy(tmp_path / "skills.csv")), "--out", str(tmp_path / "out")]
    main([*flags, "--model", "bm25", "--threshold", "0.1", "--top_k", "1"])
    lines = lines_of(tmp_path / "out")
    found = [[(skill["label"], skill["relation"], skill["probability"]) for skill in line["skills"]] for line in lines]
    assert found == [[("haute cuisine", "model", None)]] * 3
    assert lines[0]["skills"][0]["sentence"] == "You love a haute French cuisine."
    assert lines[1]["skills"][0]["score"] >= lines[0]["skills"][0]["score"]  # of its best sentence
    counts = json.loads((tmp_path / "out" / "tagging.json").read_text())["counts"]
    assert (counts["skills of rows"], counts["rows without a skill"]) == (3, 0)
    assert counts["sentences tagged by the model alone"] == counts["sentences"] == 4


def test_edges_for_the_source_and_a_summary(tmp_path, flags, capsys):
    main([*flags, "--out", str(tmp_path / "out")])
    edges = read_edge_folder(tmp_path / "out")
    assert {kind: len(listed) for kind, listed in edges.items()} == {"job": 24, "vacancy": 24}
    assert set(edges_of(edges["job"])[0]) >= {"exact", "plan shifts", "s2"}
    row = pq.read_table(tmp_path / "out" / VACANCY / "00000.parquet").to_pylist()[0]
    names = {"left": "plan shifts", "right": "Day 0: plan shifts.", "left_id": "s2", "right_id": "0"}
    assert row == {**names, "relation": "exact", "score": 1.0, "span": "plan shifts"}
    said, logged = capsys.readouterr()
    assert "skills.csv: 4 skills with 6 names." in logged
    assert "rows                 12\n" in said
    assert "edges skill_vacancy  24  exact 24\n" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        JOB,
        VACANCY,
        "tagging.json",
        "vacancies.jsonl",
    ]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    before = contents(tmp_path / "out")
    main([*flags, "--out", str(tmp_path / "out")])  # done already
    assert capsys.readouterr().out == said
    assert contents(tmp_path / "out") == before
    with pytest.raises(UserError, match="contains a tagging of other vacancies or settings"):
        main([*flags, "--no_aliases", "--out", str(tmp_path / "out")])
    assert contents(tmp_path / "out") == before


@pytest.mark.thorough
def test_a_killed_run_leaves_no_edges_and_the_same_command_resumes(tmp_path, flags, capsys):
    main([*flags, "--out", str(tmp_path / "whole")])
    command = [*flags, "--out", str(tmp_path / "out")]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    killed = subprocess.run([sys.executable, "-c", KILLED, *command], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "out").exists()
    (partial,) = tmp_path.glob(".out.*.partial")
    assert len(list((partial / "done").iterdir())) == 2
    main(command)
    assert "Going on: 2 of 4 chunks" in capsys.readouterr().err
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not partial.exists()


def test_damaged_files_of_a_tagging_are_named(tmp_path, flags, monkeypatch):
    command = [*flags, "--out", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        patch.setattr(run, "_finish", lambda *_: None)
        main(command)
    (work,) = tmp_path.glob(".out.*.partial")
    for name, wrong in (("done/00001.json", "[]"), ("done/00001.json", '{"counts"'), ("job.json", '{"chunks": 1}')):
        whole = (work / name).read_text()
        (work / name).write_text(wrong)
        with pytest.raises(UserError, match=f"{name}.* is damaged .*Remove "):
            main(command)
        (work / name).write_text(whole)
    (work / "done" / "00001.json").unlink()  # as the message says
    main(command)
    (tmp_path / "out" / "tagging.json").write_text("[1]")
    with pytest.raises(UserError, match="contains a tagging of other vacancies"):
        main(command)


def test_two_commands_do_not_write_one_folder(tmp_path, flags, monkeypatch):
    command = [*flags, "--out", str(tmp_path / "out")]
    finish = run._finish

    def again(*arguments):
        with pytest.raises(UserError, match="Another process is tagging the same vacancies"):
            main(command)
        finish(*arguments)

    monkeypatch.setattr(run, "_finish", again)
    main(command)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        JOB,
        VACANCY,
        "tagging.json",
        "vacancies.jsonl",
    ]


def test_a_model_tags_sentences_that_name_no_skill(tmp_path):
    rows = [
        {"title": "Welder", "description": "You weld metal all day.\nIn all shifts plan well.\nDo it with metal here."},
        {"title": "Cook", "description": "In all shifts plan well."},
        {"title": "Own", "description": "In all shifts plan well.", "skills": "cook"},
    ]
    path = write_rows(tmp_path / "v.jsonl", rows)

    def job(name: str, keep: str):
        settings = TagSettings(keep_sentences=keep)
        made = open_job(tmp_path / name, find_vacancy_files(path), TAXONOMY, settings, chunk_rows=2)
        run_job(made, 1)
        return made

    ranker, untagged = Words(), job("untagged", "untagged")
    total = tag_by_model(untagged, TAXONOMY, ranker, threshold=0.6, top_k=2)
    assert "You weld metal all day." not in ranker.asked
    gained = {"rows without a skill": -1, "edges of an equal title or sentence, left out": 1, "skills of rows": 3}
    gained |= {"sentences read by the model": 4, "sentences tagged by the model": 3}
    gained |= {"sentences tagged by the model alone": 3}
    assert {what: number for what, number in total.counts.items() if number} == gained
    # One row in each chunk has the sentence; a row with skills of its own gets no others for its title.
    assert total.edges == {"skill_vacancy/model": 2, "skill_job/model": 2}
    added = [row for part in untagged.parts(JOB) if "model" in part.name for row in pq.read_table(part).to_pylist()]
    assert [(row["left"], row["right"], row["relation"], row["score"]) for row in added] == [
        ("plan shifts", "Welder", "model", 1.0),
        ("plan shifts", "Cook", "model", 1.0),
    ]
    ranker.asked.clear()
    assert tag_by_model(untagged, TAXONOMY, ranker, threshold=0.6, top_k=2) == total
    assert ranker.asked == []  # all chunks were done

    everything = tag_by_model(job("all", "all"), TAXONOMY, Words(), threshold=0.5, top_k=2)
    assert everything.counts["sentences read by the model"] == 5
    # weld metal is known of its own sentence, and named by half in another one
    assert everything.skills == {"plan shifts": 4, "weld metal": 2}


def test_a_model_ranks_skills_by_their_best_name(tmp_path):
    taxonomy = Taxonomy("mine", (Skill("1", "weld metal", ("join steel",)), Skill("2", "cook soup")))
    path = write_rows(tmp_path / "v.jsonl", [{"title": "Welder", "description": "All day you join parts of steel."}])
    scores = {}
    for aliases in (True, False):
        settings = TagSettings(keep_sentences="all", aliases=aliases)
        made = open_job(tmp_path / str(aliases), find_vacancy_files(path), taxonomy, settings)
        run_job(made, 1)
        tag_by_model(made, taxonomy, Words(), threshold=0.1, top_k=1, aliases=aliases)
        parts = [part for part in made.parts(VACANCY) if "model" in part.name]
        scores[aliases] = {row["left"]: row["score"] for part in parts for row in pq.read_table(part).to_pylist()}
    assert scores == {True: {"weld metal": pytest.approx(1 - LABEL_WEIGHT)}, False: {}}


def test_the_command_with_a_model(tmp_path, flags, capsys):
    write_rows(tmp_path / "jobs" / "v.jsonl", [{"title": "Chef", "description": "You love a haute French cuisine."}])
    main([*flags, "--model", "bm25", "--threshold", "0.1", "--out", str(tmp_path / "out")])
    (edge,) = edges_of(read_edge_folder(tmp_path / "out", ("job",))["job"])
    assert (edge.left_text, edge.right_text, edge.relation) == ("haute cuisine", "Chef", "model")
    result = json.loads((tmp_path / "out" / "tagging.json").read_text())
    assert (result["model"], result["threshold"], result["edges"]) == (
        "bm25",
        0.1,
        {"skill_vacancy/model": 1, "skill_job/model": 1},
    )
    assert "tagged by the model" in capsys.readouterr().out


def test_counts_of_sentences_read_by_the_model(tmp_path, capsys):
    rows = [
        {
            "id": 1,
            "title": "Chef",
            "description": "You love a haute French cuisine.\nEvery day a haute French cuisine.",
        },
        {"id": 2, "title": "Chef", "description": "You love a haute French cuisine."},
        {"id": 3, "title": "Clerk", "description": "Nothing that has a name here."},
        {"id": 4, "title": "Welder", "description": "You weld metal all day.\nYou love a haute French cuisine."},
    ]
    out, encoder = tmp_path / "out", write_tiny_encoder(tmp_path / "tiny", layers=1)
    flags = ["--vacancies", str(write_rows(tmp_path / "v.jsonl", rows)), "--processes", "1"]
    flags += ["--taxonomy", str(write_taxonomy(tmp_path / "skills.csv")), "--out", str(out)]
    main([*flags, "--model", "bm25", "--threshold", "0.1", "--top_k", "1"])
    said = capsys.readouterr().out
    assert re.search(r"^rows without a skill +1$", said, re.MULTILINE)  # not the two that the model alone has tagged
    assert re.search(r"^edges skill_vacancy +3  exact 1, model 2$", said, re.MULTILINE)
    # The sentence comes in two further rows, the title in one, and each keeps the id of one of its rows.
    assert re.search(r"^edges of an equal title or sentence, left out +3$", said, re.MULTILINE)
    assert "truncated" not in said
    assert json.loads((out / "tagging.json").read_text())["counts"]["rows without a skill"] == 1

    flags[-1] = str(tmp_path / "truncated")
    main([*flags, "--model", str(encoder), "--max_tokens", "22", "--threshold", "9"])
    said = capsys.readouterr()
    assert re.search(r"^  truncated +5  of 5 that it read, at 22 tokens$", said.out, re.MULTILINE)
    assert re.search(r"^rows without a skill +3$", said.out, re.MULTILINE)
    assert "1 of 6 skill names is truncated at 22 tokens" in said.err
    assert "unknown" not in said.out + said.err

    write_rows(tmp_path / "v.jsonl", [rows[2], rows[2] | {"description": "Nothing that \u770b\u8b77 has a name."}])
    flags[-1] = str(tmp_path / "unknown")
    main([*flags, "--model", str(encoder), "--threshold", "9"])
    said = capsys.readouterr()
    assert re.search(r"^  with unknown tokens +1  of 2 that it read$", said.out, re.MULTILINE)
    assert said.err.count("1 of 2 sentences (50.0 %) has tokens that the encoder's tokeniser does not know") == 1


def test_a_script_without_spaces_is_tagged_by_name(tmp_path, capsys):
    title, text = (
        "\u62c5\u5f53\u8005",
        "\u5f53\u793e\u3067\u306f\u4f1a\u8a08\u306e\u7d4c\u9a13\u8005\u3092\u52df\u96c6\u3002",
    )
    row = {"title": title, "description": text}
    (tmp_path / "skills.txt").write_text("\u4f1a\u8a08\n\u7d4c\u7406\u696d\u52d9\n", encoding="utf-8")
    flags = ["--vacancies", str(write_rows(tmp_path / "v.jsonl", [row])), "--taxonomy", str(tmp_path / "skills.txt")]
    main([*flags, "--language", "ja", "--out", str(tmp_path / "out"), "--processes", "1"])
    graphs = read_edge_folder(tmp_path / "out", ("vacancy", "job"))
    edges = {kind: [(edge.left_text, edge.right_text) for edge in edges_of(each)] for kind, each in graphs.items()}
    assert edges == {"vacancy": [("\u4f1a\u8a08", text)], "job": [("\u4f1a\u8a08", title)]}
    assert "too short" not in capsys.readouterr().out


def test_nan_scores_tag_nothing(tmp_path):
    files = find_vacancy_files(write_rows(tmp_path / "v.jsonl", many(2)))
    job = open_job(tmp_path / "job", files, TAXONOMY, TagSettings(keep_sentences="all"))
    run_job(job, 1)
    for wrong, expected in [
        (
            lambda queries: np.full((len(queries), 4), np.nan),
            "words on sentences of vacancies: 16 of 16 scores are NaN",
        ),
        (lambda queries: np.ones((len(queries), 3)), r"scores of shape \(4, 3\) for 4 queries and 4 targets"),
    ]:
        ranker = Words()
        ranker.index = lambda targets, wrong=wrong: wrong
        with pytest.raises(UserError, match=expected):
            tag_by_model(job, TAXONOMY, ranker, threshold=0.6, top_k=2, aliases=False)
    assert not job.parts(JOB)[1:]


def test_equal_scores_go_to_the_earlier_skill():
    scores = np.zeros((1, 40), np.float32)
    scores[0, 7] = 1
    assert [row.tolist() for row, _ in best(scores, 4, 0)] == [[7, 0, 1, 2]]


def test_wrong_arguments_give_an_error_message(tmp_path, flags):
    out, file = ["--out", str(tmp_path / "out")], str(tmp_path / "jobs" / "v.jsonl")
    for wrong, expected in [
        ([*flags], "--out is required"),
        ([*out], "--vacancies is required"),
        ([*flags[:2], *out], "no --taxonomy, and v.jsonl has no column of skills"),
        ([*flags, *out, "--title_column", "headline"], "no table of vacancies .1 tables.* headline,description"),
        ([*flags, *out, "--vacancies", file, "--id_column", "key"], "no column 'key', which you named for the id"),
        ([*flags, *out, "--top_k", "0"], "--top-k is 0; it must be at least 1"),
        ([*flags, *out, "--vacancies", str(tmp_path / "nowhere")], "There is no"),
        ([*flags, "--out", str(tmp_path)], "contains other files and no tagging.json"),
    ]:
        with pytest.raises(UserError, match=expected):
            main(wrong)
    assert not (tmp_path / "out").exists()
