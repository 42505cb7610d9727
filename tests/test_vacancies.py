"""A user's vacancies: rows as a stream, sentences, tagging chunk by chunk, and what a failure leaves."""

import json
import os
import sys
import warnings
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from esco_downloads import write_release
from task_data import read_task_folder
from tracing import events
from vacancy_files import ROWS, TAXONOMY, many, write_rows, write_taxonomy

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.skillspan.source import SOURCE as SKILLSPAN
from uwe_jax.sources.source import SourceRequest
from uwe_jax.sources.tables.problems import BrokenRows, Problems
from uwe_jax.sources.tables.reading import column_names, cut, read_chunk, read_rows
from uwe_jax.sources.taxonomy import Skill, Taxonomy
from uwe_jax.sources.vacancies.files import Vacancy, VacancyColumns, find_columns, find_vacancy_files
from uwe_jax.sources.vacancies.job import PartEdges, job_key, open_job, read_records, run_chunk
from uwe_jax.sources.vacancies.lines import LINES
from uwe_jax.sources.vacancies.pool import run_job
from uwe_jax.sources.vacancies.sentences import cut_sentences, length_problem, plain_text
from uwe_jax.sources.vacancies.source import SOURCE
from uwe_jax.sources.vacancies.tagger import JOB, SENTENCES, VACANCY, Tagged, TagSettings, VacancyTagger

FORMATS = ["v.csv", "v.tsv", "v.jsonl", "v.csv.gz", "v.jsonl.gz", "v.parquet"]


def tagged(vacancy: Vacancy, taxonomy=TAXONOMY, **settings) -> dict[str, list]:
    records: dict[str, list] = {JOB: [], VACANCY: [], SENTENCES: [], LINES: []}
    for graph, record in VacancyTagger(taxonomy, TagSettings(**settings)).tag(vacancy, Counter()):
        records[graph].append(record)
    return records


def job_in(folder: Path, path: Path, *, chunk_rows: int = 3, max_broken: float = 0.01, **settings):
    files = find_vacancy_files(path)
    return open_job(folder, files, TAXONOMY, TagSettings(**settings), chunk_rows=chunk_rows, max_broken=max_broken)


def edges_of(job, graph: str) -> list[Edge]:
    return list(PartEdges(job.parts(graph)))


# --- rows as a stream ---


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_the_chunks_of_a_file_are_its_rows(tmp_path, name, rows):
    written = [
        {"id": str(n), "title": f"Job {n}", "description": 'two\nlines, "quoted"\n' * (n % 3)} for n in range(50)
    ]
    path = write_rows(tmp_path / name, written, **({"row_group_size": 20} if "parquet" in name else {}))
    assert column_names(path) == ["id", "title", "description"]
    chunks, broken = cut(path, name, rows), BrokenRows()
    assert [row for chunk in chunks for _, row in read_chunk(chunk, ["id", "title", "description"], broken)] == written
    assert sum(chunk.rows for chunk in chunks) == 50
    assert broken.count == 0
    # Each chunk on its own, the last one first.
    assert [row["id"] for _, row in read_chunk(chunks[-1], ["id"], broken)][-1] == "49"
    assert len(chunks) <= (20 if name.endswith("gz") else 60)


def test_broken_rows_are_reported_with_their_line_and_skipped(tmp_path):
    path = tmp_path / "v.csv"
    lines = [b'\xef\xbb\xbftitle,"description"', b"a,b", b"", b'"c\nc",d', b"e", b"caf\xe9,f", b"g,h"]
    path.write_bytes(b"\r\n".join(lines) + b"\r\n")
    places, broken = [], BrokenRows()
    for chunk in cut(path, "v.csv", 2):
        places += [(place, row["title"]) for place, row in read_chunk(chunk, ["title"], broken)]
    assert places == [("v.csv, line 2", "a"), ("v.csv, line 4", "c\nc"), ("v.csv, line 8", "g")]
    assert broken.count == 2
    assert "v.csv, line 6: found 1 fields, the first 'e'; expected 2 as in the header" in broken.shown[0]
    assert "v.csv, line 7: found byte 0xe9 at position 4; expected UTF-8 text" in broken.shown[1]

    path = tmp_path / "v.jsonl"
    path.write_bytes(b'{"title": "a"}\n\n{"title"\n[1]\n{"title": "\xe9"}\n{"title": "b"}')
    (chunk,) = cut(path, "v.jsonl", 9)
    broken = BrokenRows()
    assert [row["title"] for _, row in read_chunk(chunk, ["title"], broken)] == ["a", "b"]
    assert [shown.split(":")[0] for shown in broken.shown] == [f"v.jsonl, line {line}" for line in (3, 4, 5)]


@pytest.mark.parametrize("value", ["[" * 900 + "]" * 900, '{"a": ' * 60 + "1" + "}" * 60, "[" * 5000 + "]" * 5000])
def test_rows_that_are_nested_too_deep_are_broken_rows(tmp_path, value):
    rows = '{"id": "1", "title": "a", "text": "b"}\n{"id": "2", "title": "a", "text": ' + value + "}\n"
    path, broken, problems = tmp_path / "queries.jsonl", BrokenRows(), Problems("v")
    path.write_text(rows)
    (chunk,) = cut(path, "v.jsonl", 9)
    assert [row["title"] for _, row in read_chunk(chunk, ["title", "text"], broken)] == ["a"]
    assert "v.jsonl, line 2: found invalid JSON (nested more than 50 levels deep)" in broken.shown[0]
    assert len(list(read_rows(path, "v.jsonl", {"title": "text", "text": "text"}, problems))) == 1
    with pytest.raises(UserError, match=r"line 2: found invalid JSON \(nested more than 50 levels deep"):
        problems.check()
    (tmp_path / "task.json").write_text(value)
    with pytest.raises(
        UserError, match=r"task\.json (is not readable|holds a list|has an unknown).* Expected an object"
    ):
        read_task_folder(tmp_path)


def test_a_parquet_value_out_of_range_of_python_is_reported(tmp_path):
    times = pa.array([2**62], pa.timestamp("us"))  # the year 148,108
    pq.write_table(pa.table({"title": ["Chef"], "description": ["You cook."], "id": times}), tmp_path / "v.parquet")
    with pytest.raises(UserError, match=r"v\.parquet cannot be read as Parquet .*out of range"):
        run_job(job_in(tmp_path / "job", tmp_path / "v.parquet"), 1)
    with pytest.raises(UserError, match=r"cannot be read as Parquet .*out of range"):
        list(read_rows(tmp_path / "v.parquet", "v.parquet", {"id": "id"}, Problems("v")))


def test_files_that_cannot_be_cut_are_reported(tmp_path):
    for name, content, expected in [
        ("a.csv", b'title,description\n"a,b\nc,d\n', "line 2: a row that cannot be parsed"),
        ("b.csv", b"", "is empty"),
        ("c.csv", "title".encode("utf-16"), "UTF-16"),
        ("d.parquet", b"PAR1", "cannot be read as Parquet"),
        ("e.csv.gz", b"\x1f\x8b nothing", "is a truncated or corrupt gzip"),
        ("f.xlsx", b"", "cannot be read as a sheet"),
        ("g.docx", b"", "in no format that is read here"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=expected):
            (column_names(tmp_path / name), cut(tmp_path / name, name, 10))


# --- columns, texts and sentences ---


def test_columns_are_found_by_known_names_or_by_the_users():
    names = ["Job Title", "job_description", "Required skills", "posting id", "text"]
    assert list(find_columns(names, VacancyColumns()).items()) == [
        ("title", "Job Title"),
        ("description", "job_description"),
        ("skills", "Required skills"),
        ("id", "posting id"),
    ]
    assert find_columns(names, VacancyColumns(description="TEXT", skills="none"))["description"] == "text"
    assert "skills" not in find_columns(names, VacancyColumns(skills="none"))


def test_html_becomes_lines_and_other_text_is_unchanged():
    html = "<div>We&nbsp;build\n<b>fast</b>.<script>x()</script></div><ul><li>C&#43;&#43;<li>SQL</ul><td>a</td><td>b"
    assert plain_text(html) == "We build fast.\nC++\nSQL\na\nb"
    assert plain_text("&lt;p&gt;R&amp;amp;D&lt;br/&gt;you&lt;/p&gt;") == "R&D\nyou"
    assert plain_text("a < b & c > d <ORGANIZATION>\nx") == "a < b & c > d <ORGANIZATION>\nx"


def test_the_language_code_is_case_insensitive():
    text = "Am 3. Oktober geht es los. Dr. Müller hilft."
    assert cut_sentences(text, "DE") == cut_sentences(text, "de") == ["Am 3. Oktober geht es los.", "Dr. Müller hilft."]


def test_sentences_of_lists_and_prose():
    text = (
        "Requirements:\n• 5+ years of C# and .NET. Dr. Smith calls e.g. today.\n- plan shifts\n1. weld metal ▪ sing\n"
        "A line that a mail program has broken at about seventy characters\nand that goes on here. The end!"
    )
    assert cut_sentences(text) == [
        "Requirements:",
        "5+ years of C# and .NET.",
        "Dr. Smith calls e.g. today.",
        "plan shifts",
        "weld metal",
        "sing",
        "A line that a mail program has broken at about seventy characters and that goes on here.",
        "The end!",
    ]
    assert [length_problem(each) for each in ("Fun", "plan two shifts", "x " * 201)] == ["short", "", "long"]


# --- tagging ---


def test_titles_get_the_skills_of_their_vacancy_and_sentences_their_own():
    records = tagged(Vacancy("Welder", ROWS[0]["description"], None, "1"))
    assert records[VACANCY] == [
        Tagged("weld metal", "You weld metal & more.", "exact", "s1", "1", 1.0, "weld metal"),
        Tagged("plan shifts", "Schedule staff on two sites", "alias", "s2", "1", 1.0, "Schedule staff"),
    ]
    assert [(edge.left, edge.right, edge.relation) for edge in records[JOB]] == [
        ("weld metal", "Welder", "exact"),
        ("plan shifts", "Welder", "alias"),
    ]
    assert tagged(Vacancy("Welder", ROWS[0]["description"], None, "1"), aliases=False)[VACANCY] == records[VACANCY][:1]


def test_skills_of_the_row_come_first():
    row = Vacancy("Chef", "You schedule staff and cook with love.\nYou also weld metal.", ["Plan Shifts", "cook"], "")
    records = tagged(row)
    # The title has what the row says and nothing else; linked to the taxonomy where it has the skill.
    assert [(edge.left, edge.left_id, edge.relation) for edge in records[JOB]] == [
        ("plan shifts", "s2", "given"),
        ("cook", "", "given"),
    ]
    assert [(edge.left, edge.relation, edge.span) for edge in records[VACANCY]] == [
        ("cook", "given", "cook"),
        ("plan shifts", "alias", "schedule staff"),
        ("weld metal", "exact", "weld metal"),
    ]
    assert [edge.left for edge in tagged(row, taxonomy=None)[JOB]] == ["Plan Shifts", "cook"]
    assert [edge.left for edge in tagged(row, taxonomy=None)[VACANCY]] == ["cook"]


def test_short_and_ordinary_words_of_a_row_are_found_in_their_own_spelling():
    taxonomy = Taxonomy("", tuple(Skill(str(k), label) for k, label in enumerate(("Go", "Word", "Excel", "CSS"))))
    text = "You go to market, in other words you excel.\nYou know Word."
    row = Vacancy("Clerk", text, ["go", "word", "Excel", "css", "US"], "")
    records = tagged(row, taxonomy=taxonomy)
    assert [(edge.left, edge.left_id) for edge in records[JOB]] == [
        ("go", ""),
        ("word", ""),
        ("Excel", "2"),
        ("CSS", "3"),
        ("US", ""),
    ]
    assert [(edge.left, edge.right, edge.relation) for edge in records[VACANCY]] == [
        ("Word", "You know Word.", "exact")
    ]


def test_the_work_is_linear_in_the_skills_of_a_row():
    taxonomy = Taxonomy("", tuple(Skill(str(k), f"weld part {k:03d}") for k in range(400)))
    counted = []
    for number in (100, 400):
        names = [skill.label for skill in taxonomy.skills[:number]]
        tagger, row = VacancyTagger(taxonomy, TagSettings()), Vacancy("Welder", ", ".join(names), names, "")
        counted.append(events(lambda tagger=tagger, row=row: list(tagger.tag(row, Counter()))))
    assert counted[0] > 1000
    assert counted[1] < 4.1 * counted[0]


def test_a_skill_whose_small_letters_are_longer_is_found():
    # The small letter of the first one is two characters.
    row = Vacancy("Guide", "You know İstanbul and plan shifts.", ["İstanbul"], "")
    assert [edge.left for edge in tagged(row)[VACANCY]] == ["İstanbul", "plan shifts"]
    own = Taxonomy("", (Skill("0", "İstanbul"),))
    assert [edge.left_id for edge in tagged(row, taxonomy=own)[JOB]] == ["0"]


def test_a_long_title_is_not_counted_as_none():
    for title, what in (("x" * 301, "titles too long, left out"), (" ", "rows without a title")):
        counts: Counter[str] = Counter()
        list(VacancyTagger(TAXONOMY, TagSettings()).tag(Vacancy(title, "You plan shifts.", None, ""), counts))
        assert {each for each in counts if "title" in each and counts[each]} == {what}


def test_a_file_that_changed_after_it_was_cut_is_reported(tmp_path):
    path = write_rows(tmp_path / "v.jsonl", many(9))
    job = job_in(tmp_path / "job", path)
    write_rows(path, many(10))
    with pytest.raises(UserError, match="has changed since it was cut into chunks"):
        run_job(job, 1)
    os.utime(write_rows(path, many(9)), (1, 1))
    assert run_job(job_in(tmp_path / "job", path), 1).counts["rows"] == 9


def test_sentences_are_kept_for_a_model_as_configured():
    row = Vacancy("Welder", "You weld metal all day.\nYou are good with people.", None, "7")
    assert tagged(row)[SENTENCES] == []
    (sentence,) = tagged(row, keep_sentences="untagged")[SENTENCES]
    assert sentence == ("You are good with people.", "Welder", "7", [], 1, False)
    assert [each.known for each in tagged(row, keep_sentences="all")[SENTENCES]] == [["weld metal"], []]


# --- jobs ---


def test_all_formats_and_chunk_sizes_give_the_same_edges(tmp_path):
    expected = None
    for number, name in enumerate(FORMATS):
        job = job_in(tmp_path / f"job{number}", write_rows(tmp_path / name), chunk_rows=1 + number)
        total = run_job(job, 1)
        edges = [sorted(edges_of(job, graph)) for graph in (JOB, VACANCY)]
        assert (total.counts["rows"], sum(total.edges.values())) == (4, sum(map(len, edges)))
        expected = expected or edges
        assert edges == expected
    assert len(expected[0]) == 6


@pytest.mark.thorough
def test_several_processes_give_the_edges_of_one(tmp_path):
    path = write_rows(tmp_path / "v.jsonl", many(30))
    one, two = (job_in(tmp_path / name, path, keep_sentences="all") for name in ("one", "two"))
    assert run_job(one, 1) == run_job(two, 2)
    for graph in (JOB, VACANCY, SENTENCES):
        assert [list(read_records(part)) for part in one.parts(graph)] == [
            list(read_records(part)) for part in two.parts(graph)
        ]
    assert len(edges_of(one, VACANCY)) == 60


def test_boilerplate_counts_once_in_a_chunk(tmp_path):
    job = job_in(tmp_path / "job", write_rows(tmp_path / "v.jsonl", [ROWS[1]] * 5), chunk_rows=5)
    total = run_job(job, 1)
    assert total.edges == {"skill_vacancy/exact": 2, "skill_job/exact": 2}
    assert total.counts["edges of an equal title or sentence, left out"] == 4 * 4


def test_a_failed_chunk_leaves_nothing_and_is_tagged_again(tmp_path, monkeypatch):
    job = job_in(tmp_path / "job", write_rows(tmp_path / "v.jsonl", many(9)))
    real, seen = VacancyTagger.tag, []

    def failing(self, vacancy, counts, row):
        seen.append(vacancy.id)
        if vacancy.id == "5":
            raise RuntimeError("the lights went out")
        return real(self, vacancy, counts, row)

    with monkeypatch.context() as patch:
        patch.setattr(VacancyTagger, "tag", failing)
        with pytest.raises(RuntimeError):
            run_job(job, 1)
    assert job.left() == [1, 2]
    assert [path.name for path in (job.folder / VACANCY).iterdir()] == ["00000.parquet"]
    # The same file elsewhere is the same vacancies.
    (tmp_path / "moved").mkdir()
    path = (tmp_path / "v.jsonl").rename(tmp_path / "moved" / "v.jsonl")
    again, whole = (job_in(tmp_path / name, path) for name in ("job", "whole"))
    assert run_job(again, 1) == run_job(whole, 1)
    assert edges_of(again, JOB) == edges_of(whole, JOB)


def test_broken_rows_are_left_out_up_to_a_share(tmp_path):
    path = write_rows(
        tmp_path / "v.jsonl", [*many(8), {"title": 7, "description": "x"}, {"title": "", "description": None}]
    )
    total = run_job(job_in(tmp_path / "a", path, max_broken=0.2), 1)
    assert (total.broken.count, total.counts["rows"]) == (2, 8)
    assert total.notes()[0] == "2 broken rows of 10 left out: v.jsonl, line 9: found title '7'; expected a text"
    with pytest.raises(UserError, match=r"(?s)2 broken rows.*line 10: found neither a title.*than 10.00% of 10"):
        run_job(job_in(tmp_path / "b", path, max_broken=0.1), 1)


def test_the_key_changes_with_content_settings_and_skills(tmp_path):
    def key(settings=TagSettings(), taxonomy=TAXONOMY, rows=3) -> str:  # noqa: B008
        return job_key(find_vacancy_files(tmp_path), taxonomy, settings, rows)

    path = write_rows(tmp_path / "v.jsonl")
    keys = {key(), key(TagSettings(aliases=False)), key(taxonomy=None), key(rows=4)}
    path.write_bytes(path.read_bytes().replace(b"Welder", b"Wielder"[:6]))
    assert len(keys | {key()}) == 5


# --- the sources ---


def request(folder: Path, cache: Path, *graphs: str) -> SourceRequest:
    return SourceRequest("source", str(folder), graphs, cache)


def test_a_folder_of_vacancies_is_prepared_once(tmp_path, monkeypatch):
    write_release(tmp_path / "data")  # its tables are not vacancies
    write_rows(tmp_path / "data" / "jobs" / "one.csv", ROWS[:2])
    write_rows(tmp_path / "data" / "jobs" / "two.parquet", ROWS[2:])
    write_rows(tmp_path / "data" / "test.jsonl", ROWS)  # states a test split
    read = SOURCE.read(request(tmp_path / "data", tmp_path / "cache", JOB, VACANCY))
    assert read.origin.startswith("vacancies jobs/one.csv, jobs/two.parquet in ")
    assert "1 row without a skill" in read.notes
    assert {edge.right_text for edge in read.edges[JOB]} == {"Welder", "Head chef", "Developer"}
    assert (
        Edge(*("http://data.europa.eu/esco/skill/3", "haute cuisine", "2", "We love haute cuisine.", "exact"))
        in (read.edges[VACANCY])
    )
    assert not list((tmp_path / "cache").rglob("parts"))
    monkeypatch.setattr("uwe_jax.sources.vacancies.pool.run_chunk", None)  # nothing is tagged again
    assert SOURCE.read(request(tmp_path / "data", tmp_path / "cache", JOB, VACANCY)) == read


def test_missing_tables_columns_and_taxonomies_are_reported(tmp_path):
    with pytest.raises(UserError, match="holds no table of vacancies"):
        SOURCE.read(request(tmp_path, tmp_path / "cache", JOB))
    path = write_rows(tmp_path / "vacancies" / "v.csv")
    with pytest.raises(UserError, match=r"no column of skills in vacancies/v.csv.*no taxonomy"):
        SOURCE.read(request(tmp_path, tmp_path / "cache", JOB))
    path.write_text("headline,description\na,b\n")
    with pytest.raises(UserError, match=r"no column for the title; its columns: headline, .* takes --title-column"):
        SOURCE.read(request(tmp_path, tmp_path / "cache", JOB))
    path.write_text("title,description,skills\nChef,You cook.,cook;plan shifts\n")
    edges = SOURCE.read(request(tmp_path, tmp_path / "cache", JOB)).edges[JOB]
    assert [edge.left_text for edge in edges] == ["cook", "plan shifts"]
    path.write_text("title,description,skills\n,You bake.,\n")
    with pytest.raises(
        UserError, match=r"vacancies/skill_job/1\.0\.1 is empty: .*check that the taxonomy is in the language"
    ):
        SOURCE.read(request(tmp_path, tmp_path / "cache", JOB))


def test_files_named_as_test_splits_are_skipped_with_a_warning(tmp_path, capsys):
    own = ["nurse.csv", "test-engineer.csv", "software-testing.csv", "evaluation officer.tsv", "contest.jsonl.gz"]
    splits = ["test.csv", "x_test.CSV.gz", "x-test-00000-of-00001.parquet", "deep/testing.jsonl"]
    for name in (*own, *splits):
        write_rows(tmp_path / name)
    (tmp_path / "eval.csv").write_text("sentence,label\na,b\n")  # of something else
    found = find_vacancy_files(tmp_path)
    assert sorted(file.name for file in found) == sorted(own)
    said = capsys.readouterr().err
    assert "test splits: test.csv, x-test-00000-of-00001.parquet, x_test.CSV.gz, deep/testing.jsonl. Rename" in said
    write_rows(tmp_path / "alone" / "dev_test.csv")
    with pytest.raises(UserError, match=r"\(0 tables.*names are those of test splits: dev_test.csv"):
        find_vacancy_files(tmp_path / "alone")
    assert find_vacancy_files(tmp_path / "alone" / "dev_test.csv")  # named by itself


def test_skillspan_is_tagged_by_name_and_its_test_split_is_not_read(tmp_path):
    def write(name: str, *sentences: str) -> None:
        rows = [{"tokens": sentence.split(), "tags_skill": []} for sentence in sentences]
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))

    write("test.json", "Never read to weld metal")
    with pytest.raises(UserError, match="whose name states train"):
        SKILLSPAN.read(request(tmp_path, tmp_path / "cache", VACANCY))
    write("train.json", "You weld metal .", "You weld metal .", "Weld metal", "Nothing is named here")
    with pytest.raises(UserError, match=r"train.json but no taxonomy.*Expected the folder of the ESCO zips"):
        SKILLSPAN.read(request(tmp_path, tmp_path / "cache", VACANCY))
    write_taxonomy(tmp_path / "taxonomy.csv")
    read = SKILLSPAN.read(request(tmp_path, tmp_path / "cache", VACANCY))
    assert read.edges[VACANCY] == [Edge("s1", "weld metal", "", "You weld metal .", "exact")]
    assert len(read.notes) == 3


def test_skillspans_spans_are_skills_without_a_taxonomy(tmp_path):
    graph = "span_vacancy"
    rows = [
        ("You plan shifts and weld metal", "O B I O B I", "O O O O O B"),
        ("You plan shifts and weld metal", "O B I O B I", "O O O O O B"),  # the same sentence of another vacancy
        ("You code R at <ORGANIZATION>", "O B O O B", "O O B O O"),
        ("Weld metal", "B I", "O O"),  # too short for a sentence
        ("Nothing is marked here", "O O O O", "O O O O"),
    ]

    def write(*rows: tuple[str, str, str]) -> None:
        keys = ("tokens", "tags_skill", "tags_knowledge")
        lines = (json.dumps(dict(zip(keys, map(str.split, row), strict=True))) for row in rows)
        (tmp_path / "train.json").write_text("\n".join(lines))

    write(*rows)
    read = SKILLSPAN.read(request(tmp_path, tmp_path / "cache", graph))
    assert [(edge.left_text, edge.right_text, edge.relation) for edge in read.edges[graph]] == [
        ("plan shifts", "You plan shifts and weld metal", "skill"),
        ("weld metal", "You plan shifts and weld metal", "skill"),
        ("metal", "You plan shifts and weld metal", "knowledge"),
        ("code", "You code R at <ORGANIZATION>", "skill"),
    ]
    assert [note.split()[0] for note in read.notes] == ["1", "2"]
    write(*rows, ("You weld", "O O B", "O O"))
    with pytest.raises(UserError, match=r"2 tokens and \{'tags_skill': 3\}.*one tag per token"):
        SKILLSPAN.read(request(tmp_path, tmp_path / "cache", graph))


# --- Apache Beam ---


@pytest.fixture
def beam():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a package that is not ours
        return pytest.importorskip("apache_beam")


@pytest.mark.filterwarnings("ignore")
def test_beam_gives_the_edges_of_one_machine(tmp_path, beam):
    from uwe_jax.sources.vacancies.beam import run_job_on_beam

    path = write_rows(tmp_path / "v.jsonl", many(10))
    here, there = job_in(tmp_path / "here", path), job_in(tmp_path / "there", path)
    run_chunk(1, str(there.folder))  # begun without Beam
    assert run_job_on_beam(there) == run_job(here, 1)
    for graph in (JOB, VACANCY):
        assert [pq.read_table(part) for part in there.parts(graph)] == [
            pq.read_table(part) for part in here.parts(graph)
        ]


@pytest.mark.filterwarnings("ignore")
def test_the_builder_writes_the_same_records_on_beam(tmp_path, beam):
    import tensorflow_datasets as tfds

    from uwe_jax.sources.tfds_edges import read_prepared
    from uwe_jax.sources.vacancies.beam import BeamEdges, pipeline_options

    path = write_rows(tmp_path / "v.jsonl", many(10))
    here, there = job_in(tmp_path / "here", path), job_in(tmp_path / "there", path)
    run_job(here, 1)
    builder = BeamEdges(there, JOB, tmp_path / "tfds")
    config = tfds.download.DownloadConfig(beam_runner="DirectRunner", beam_options=pipeline_options(()))
    builder.download_and_prepare(download_config=config)
    assert read_prepared(builder) == edges_of(here, JOB)
    assert "tensorflow" not in sys.modules


def test_a_missing_beam_is_reported_with_the_install_command(tmp_path, monkeypatch):
    from uwe_jax.sources.vacancies.beam import run_job_on_beam

    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"Tagging by Beam needs the Python package apache_beam.*\[beam\]"):
        run_job_on_beam(job_in(tmp_path / "job", write_rows(tmp_path / "v.jsonl")))
