"""Questionnaires as a source: their statements and titles, and the spelling of these."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.source import SourceEdges, SourceRequest
from uwe_jax.sources.tables.reading import has_columns
from uwe_jax.sources.usajobs.source import SOURCE, read_job_edges
from uwe_jax.sources.usajobs.statements import MIN_FIELDS, clean, is_boilerplate, is_generic, one_spelling, wording

ROWS = [
    {"title": "Welder", "agency": "Navy", "statements": ["Weld pipes.", "Assign work."]},
    {"title": "LEAD WELDER (TITLE 32)", "agency": "Army", "statements": ["weld  pipes", "Train welders.; AND"]},
    {"title": "Chaplain", "agency": "Army", "statements": ["Assign work", "NOTE: Proof of training is required."]},
    {"title": "Park Ranger", "agency": "Parks", "statements": ["Assign work.", "Patrol trails."]},
    {"title": "WELDER", "agency": "Army", "statements": ["Weld pipes."]},
]
PAIRS = {
    ("Weld pipes", "Welder"),
    ("Weld pipes", "Lead Welder (Title 32)"),
    ("Train welders", "Lead Welder (Title 32)"),
    ("Patrol trails", "Park Ranger"),
}
SPELT = {"title": "Lead Ranger (Title 32)", "agency": "", "statements": ["Lead rangers."]}


def lines(rows=ROWS) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write(path: Path, content: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = lines([*ROWS, SPELT]) if content is None else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def load(folder: Path) -> SourceEdges:
    return SOURCE.read(SourceRequest("source", str(folder), SOURCE.choose((), ""), folder / ".cache"))


def message(folder: Path) -> str:
    with pytest.raises(UserError) as raised:
        load(folder)
    return str(raised.value)


def pairs(read: SourceEdges) -> set[tuple[str, str]]:
    found = [(edge.left_text, edge.right_text) for edge in read.edges["statement_job"]]
    assert len(found) == len(set(found))
    return set(found) - {("Lead rangers", "Lead Ranger (Title 32)")}


# --- the whole way


@pytest.mark.parametrize("name", ["questions.jsonl", "usajobs/questions.jsonl.gz"])
def test_edges_are_read_and_prepared_once(tmp_path, monkeypatch, name):
    path = write(tmp_path / name)
    first = load(tmp_path)
    assert pairs(first) == PAIRS
    assert {edge.relation for edge in first.edges["statement_job"]} == {"statement"}
    assert first.notes == (
        "1 of 10 statements left out as part of the form",
        "3 pairs of 1 statement that unrelated titles share left out",
        "1 spelling of a title joined with others",
    )
    assert first.origin == f"USAJOBS questionnaires in {path}"
    monkeypatch.setattr("uwe_jax.sources.usajobs.source.read_job_edges", lambda path: pytest.fail("read again"))
    assert load(tmp_path) == first


def test_every_format_gives_the_same_edges(tmp_path):
    expected = read_job_edges(write(tmp_path / "a.jsonl"))
    rows = [*ROWS, SPELT]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    table = "\n".join(["title\tstatements", *(f"{row['title']}\t{row['statements']}" for row in rows)]).encode()
    for path in (tmp_path / "b.parquet", write(tmp_path / "c.tsv", table), write(tmp_path / "d.tsv.gz", table)):
        assert has_columns(path, {"title": "text", "statements": "texts"})
        assert read_job_edges(path) == expected


def test_edges_do_not_depend_on_the_order_of_rows(tmp_path):
    forward, backward = (
        read_job_edges(write(tmp_path / f"{step}.jsonl", lines([*ROWS, SPELT][::step])))[0] for step in (1, -1)
    )
    assert {(wording(edge.left_text), edge.right_text) for edge in forward} == {
        (wording(edge.left_text), edge.right_text) for edge in backward
    }


def test_identical_copies_are_allowed_and_different_ones_refused(tmp_path):
    write(tmp_path / "a.jsonl.gz")
    write(tmp_path / "b.jsonl.gz")
    write(tmp_path / "other.jsonl", b'{"title": "a", "skills": []}\n')
    assert pairs(load(tmp_path)) == PAIRS
    write(tmp_path / "b.jsonl.gz", lines())
    assert "2 files in" in message(tmp_path)


# --- bad input


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"title": "Chef", "statements": ["Cook."', "line 7: found invalid JSON"),
        ('{"title": "Chef", "statements": "Cook."}', "line 7: found statements 'Cook.'; expected a list of texts"),
        ('{"title": "Chef", "statements": [1]}', "line 7: found statements '[1]'; expected a list of texts"),
        ('{"title": "Chef"}', "line 7: found no statements (keys: title); expected a JSON object with the keys"),
        ('{"title": " ", "statements": ["Cook."]}', "line 7: found no title above 1 statements"),
        ("[]", "line 7: found '[]'; expected a JSON object"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_broken_rows_are_counted_and_leave_nothing_behind(tmp_path, line, expected, ending):
    path = write(tmp_path / f"q.jsonl{ending}", lines([*ROWS, SPELT]) + f"{line}\n".encode() * 6)
    text = message(tmp_path)
    assert text.startswith(f"6 broken rows in {path}:")
    assert f"{path.name}, {expected}" in text
    assert "and 1 more" in text
    assert not list((tmp_path / ".cache").rglob("dataset_info.json"))


def test_a_truncated_or_damaged_gzip_is_reported(tmp_path):
    rows = [{"title": f"Welder {number}", "statements": [f"Weld pipe {number}."]} for number in range(5000)]
    whole = gzip.compress(lines(rows))
    path = tmp_path / "q.jsonl.gz"
    for content in (whole[: len(whole) // 2], whole[:-4], whole[:-8] + b"\0" * 8):
        path.write_bytes(content)
        assert f"{path.name} is a truncated or corrupt gzip file ({len(content):,} bytes; " in message(tmp_path)
        assert not list((tmp_path / ".cache").rglob("dataset_info.json"))


@pytest.mark.parametrize("content", [b"", b"PK", lines([{"title": "a", "duties": []}])])
def test_other_files_are_skipped(tmp_path, content):
    (tmp_path / "q.jsonl.gz").write_bytes(content)
    (tmp_path / "q.jsonl").write_bytes(content)
    text = message(tmp_path)
    assert f"{tmp_path} holds no titles with statements. Expected a table with the columns title and statements" in text
    assert "(each also gzipped" in text


def test_a_table_without_edges_is_reported(tmp_path):
    write(tmp_path / "q.jsonl", lines([{"title": "Chef", "statements": ["Note: see above."]}]))
    assert "is empty: the files in" in message(tmp_path)


# --- which statements count


@pytest.mark.parametrize(
    "statement",
    [
        "Demonstrated Knowledge, Skills, and Abilities (KSAs). In addition, the candidate must show all of these",
        "Complete certificate number (if applicable):",
        "NOTE: Mastery level certification is required for all positions above the journey level",
        "Documented experience between 1 and 3 years.",
        "ABILITY TO DO THE WORK OF A MAINTENANCE WORKER WITHOUT MORE THAN NORMAL SUPERVISION (SCREEN-OUT).",
        "Served continuously for at least one (1) year under the interchange agreement.",
        "Work in this task has been a central or major part of my job. I have routinely performed the work.",
        "Take my best guess and move on to the next assignment.",
        "Market Street, Philadelphia, Pennsylvania (PA)",
        'Select "Yes" or "No" to the following questions.',
    ],
)
def test_boilerplate_is_recognised(statement):
    assert is_boilerplate(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "Select candidates for team position when vacancies are available.",
        "Notes and investigates work related problems.",
        "Answer questions and provide information to customers regarding products and services.",
        "Adjust war reserve requirements for Class I and food service operations.",
        "Select material (e.g., sheet metal, I beams, brass) to accomplish a welding task.",
        "Performs Point of Care testing using glucometer and I-Stat devices.",
        "Serve as the primary Project Inspector (PI)",
        "Demonstrated knowledge of welding.",
        "Review the position description for accuracy of the duties when filling a vacancy.",
    ],
)
def test_duties_are_kept(statement):
    assert not is_boilerplate(statement)


def test_statements_are_generic_by_fields_and_not_titles():
    nurses = [f"Nurse Anaesthetist ({place})" for place in ("Boise", "Omaha", "Tampa", "Provo")]
    assert not is_generic(nurses)
    assert not is_generic(["Program Manager", "Supervisory Program Manager", "Lead Program Manager", "Welder"])
    fields = ["Welder", "Chaplain", "Park Ranger", "Podiatrist"]
    assert not is_generic(fields[: MIN_FIELDS - 1])
    assert is_generic(fields[:MIN_FIELDS])
    assert not is_generic(["Physical Therapist", "Therapy Aid", "Chaplain", "Chief of Therapy"])  # three of four


@given(st.text())
def test_cleaning_twice_changes_nothing_and_keeps_the_wording_of_the_rest(text):
    cleaned = clean(text)
    assert clean(f"{cleaned}.;") == cleaned or cleaned.casefold().endswith((" and", " or"))
    assert wording(text).startswith(wording(cleaned))


# --- one spelling


def test_titles_in_capitals_take_the_spelling_of_the_others():
    spelt = one_spelling(
        [
            *("IT SPECIALIST (INFOSEC)", "it specialist (infosec)"),
            *("IT Specialist (INFOSEC)", "IT Specialist (INFOSEC)"),
            *("FIRE CHIEF (Title 5)", "CHIEF OF STAFF'S AIDE - MVO", "Director of IT", "Chaplain's Aide"),
        ]
    )
    assert spelt == {
        **dict.fromkeys(
            ["IT SPECIALIST (INFOSEC)", "IT Specialist (INFOSEC)", "it specialist (infosec)"], "IT Specialist (INFOSEC)"
        ),
        "FIRE CHIEF (Title 5)": "Fire Chief (Title 5)",
        "CHIEF OF STAFF'S AIDE - MVO": "Chief of Staff's Aide - MVO",
        "Director of IT": "Director of IT",
        "Chaplain's Aide": "Chaplain's Aide",
    }


@given(st.lists(st.text(st.sampled_from("aAbB (5"), min_size=1, max_size=6)))
def test_titles_are_joined_if_and_only_if_they_differ_in_case_alone(titles):
    spelt = one_spelling(titles)
    assert set(spelt) == set(titles)
    assert one_spelling(titles[::-1]) == spelt
    for one in titles:
        assert spelt[one].casefold() == one.casefold()
        for other in titles:
            assert (spelt[one] == spelt[other]) == (one.casefold() == other.casefold())
