"""Folders of edge files: every format gives the same edges, and every kind of broken row is reported."""

import csv
import gzip
import json
from importlib import resources

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from graphs import edges_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uwe_jax.config import SourceSettings
from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.evaluation.decontamination import load_training_graphs
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.edge_files import read_edge_folder
from uwe_jax.sources.tables.formats import FORMATS

EDGES = [
    Edge("s1", "weld", "j1", "welder", "essential"),
    Edge("s2", 'say "hello", twice', "j2", "greeter; porter", ""),
    Edge("s3", "café work", "j1", "welder", "optional"),
]
WRITTEN = FORMATS[: FORMATS.index(".xlsx") + 1]
FIELDS = {
    "left": "left_text",
    "right": "right_text",
    "relation": "relation",
    "left_id": "left_id",
    "right_id": "right_id",
}


def rows(edges):
    return [{column: getattr(edge, field) for column, field in FIELDS.items()} for edge in edges]


def write(path, edges):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in (list(FIELDS), *(list(row.values()) for row in rows(edges))):
            book.active.append(row)
        book.save(path)
    elif path.suffix == ".gz":
        unzipped = path.with_suffix("")
        write(unzipped, edges)
        path.write_bytes(gzip.compress(unzipped.read_bytes()))
        unzipped.unlink()
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS, delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows(edges))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows(edges), indent=1), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows(edges)), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows(edges)), path)


def read(folder):
    return {kind: edges_of(columns) for kind, columns in read_edge_folder(folder).items()}


def message(folder, **kwargs) -> str:
    with pytest.raises(UserError) as raised:
        read_edge_folder(folder, **kwargs)
    return str(raised.value)


@pytest.mark.parametrize("suffix", [*WRITTEN, *(f"{each}.gz" for each in WRITTEN)])
def test_every_format_gives_the_same_edges(tmp_path, suffix):
    write(tmp_path / f"skill_job{suffix}", EDGES)
    assert read(tmp_path) == {"job": EDGES}


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(normalise)


@pytest.mark.thorough
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.builds(Edge, st.just(""), texts, st.just(""), texts, st.just("")), min_size=1, max_size=5))
def test_any_text_survives_every_format(tmp_path, edges):
    expected = [Edge("", normalise(edge.left_text), "", normalise(edge.right_text), "") for edge in edges]
    for suffix in (".csv", ".tsv", ".jsonl", ".parquet"):
        write(tmp_path / suffix[1:] / f"skill_job{suffix}", edges)
        assert read(tmp_path / suffix[1:]) == {"job": expected}


def test_several_files_of_one_kind_are_read_in_order_of_name(tmp_path):
    write(tmp_path / "skill_job" / "b.csv", EDGES[1:])
    write(tmp_path / "skill_job" / "a.jsonl", EDGES[:1])
    (tmp_path / "skill_job" / "README.md").write_text("where these come from")
    (tmp_path / "skill_job" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "notes.txt").write_text("other files are left alone")
    write(tmp_path / "skill_alias.tsv", EDGES[:1])
    assert read(tmp_path) == {"alias": EDGES[:1], "job": EDGES}
    assert list(read_edge_folder(tmp_path, ("job", "alias"))) == ["job", "alias"]
    assert list(read_edge_folder(tmp_path, ("job",))) == ["job"]


def test_columns_are_found_by_name_and_extra_ones_ignored(tmp_path):
    long = "x" * 200_000  # beyond what the csv module reads by default
    content = f'\ufeffRIGHT,note, Left\r\nwelder,{long},"weld\r\n metal"\r\n\r\nchef,b,cook\r\n'
    (tmp_path / "skill_job.csv").write_text(content, encoding="utf-8", newline="")
    before = 131_072
    csv.field_size_limit(before)
    assert read(tmp_path) == {"job": [Edge("", "weld metal", "", "welder", ""), Edge("", "cook", "", "chef", "")]}
    assert csv.field_size_limit() == before


def test_ids_may_be_integers_and_absent(tmp_path):
    (tmp_path / "skill_job.jsonl").write_text(
        '{"left": "weld", "right": "welder", "left_id": 7, "right_id": null}\n\n{"left": "a\\u2028b", "right": "c"}'
    )
    pq.write_table(
        pa.table({"left": pa.array(["weld"]).dictionary_encode(), "right": ["welder"], "left_id": [7]}),
        tmp_path / "skill_alias.parquet",
    )
    assert read(tmp_path) == {
        "alias": [Edge("7", "weld", "", "welder", "")],
        "job": [Edge("7", "weld", "", "welder", ""), Edge("", "a b", "", "c", "")],
    }


# --- what is wrong is named with file, line and what was expected ---


def test_missing_folder_and_missing_files(tmp_path):
    assert "does not exist. Expected a folder with skill_<kind>" in message(tmp_path / "nowhere")
    assert "it holds nothing. Expected skill_<kind>" in message(tmp_path)
    (tmp_path / "edges.csv").write_text("left,right\na,b\n")
    assert "it holds edges.csv. Expected skill_<kind> in one of .csv, .tsv, .jsonl, .parquet" in message(tmp_path)
    assert "is a file. Expected a folder" in message(tmp_path / "edges.csv")


def test_missing_kind_lists_those_there(tmp_path):
    write(tmp_path / "skill_job.csv", EDGES)
    assert "has no edges for 'alias'; it has 'job'. Add skill_alias.csv" in message(tmp_path, kinds=("job", "alias"))


@pytest.mark.parametrize("name", ["skill_job.gz", "skill_job.docx", "skill_alias/part.txt"])
def test_unknown_format_is_refused_and_not_skipped(tmp_path, name):
    write(tmp_path / "skill_vacancy.csv", EDGES)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    assert "is in no format that is read here. Expected a file ending in .csv" in message(tmp_path)


@pytest.mark.parametrize("kind", ["my jobs", "skill"])
def test_a_kind_that_names_no_graph_is_refused(tmp_path, kind):
    write(tmp_path / f"skill_{kind}.csv", EDGES)
    assert f"{kind!r} cannot name the right side of a graph" in message(tmp_path)


def test_two_sources_of_one_kind_are_refused(tmp_path):
    write(tmp_path / "skill_job.csv", EDGES)
    write(tmp_path / "skill_job.tsv", EDGES)
    assert "two sources for 'job': skill_job.tsv and skill_job.csv" in message(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "left,wrong\na,b\n",
            "skill_job.csv has no column 'right'; expected the columns left, right. Its columns: ",
        ),
        ("left,left,right\na,b,c\n", "has 2 columns named 'left'"),
        ("", "skill_job.csv is empty. Expected a first row with the names of the columns"),
        ("left,right\n", "has 0 edges for 'job': skill_job.csv hold no row"),
    ],
)
def test_wrong_header(tmp_path, content, expected):
    (tmp_path / "skill_job.csv").write_text(content)
    assert expected in message(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b'left,right\n"two\nlines",b\na\n',
            "line 4: found 1 fields, the first 'a'; expected 2 as in the header",
        ),
        (
            b"left,right\na,b\na, \t\n",
            "line 3: found an empty text in 'right'; expected a text on both sides",
        ),
        (b"left,right\na,b\ncaf\xe9,b\n", "line 3: found byte 0xe9 at position 4; expected UTF-8 text"),
        (b'left,right\na,b\n"open,b\nc,d\n', "line 3: found a row that cannot be parsed"),
        (
            b"left,right\n" + b"x" * 100_001 + b",b\n",
            "line 2: found 100,001 characters in 'left'; expected at most",
        ),
    ],
)
def test_broken_csv_rows(tmp_path, content, expected):
    (tmp_path / "skill_job.csv").write_bytes(content)
    text = message(tmp_path)
    assert text.startswith(f"1 broken row in {tmp_path}:\n  skill_job.csv, ")
    assert expected in text
    assert "Correct these rows and run again" in text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"left": "a"', "found invalid JSON"),
        ("[" * 100_000, "found invalid JSON"),
        ('["a", "b"]', 'found \'["a", "b"]\'; expected a JSON object with the keys left, right'),
        (
            '{"left": "a", "rigth": "b"}',
            "found no right (keys: left, rigth); expected a JSON object with the keys left, right",
        ),
        ('{"left": 3, "right": "b"}', "found left '3'; expected a text"),
        ('{"left": "a", "right": "b", "left_id": 1.5}', "found left_id '1.5'; expected a text or an integer"),
        ('{"left": "a", "right": null}', "found an empty text in 'right'"),
        ('{"left": "a", "right": "\\ud800"}', "found half a surrogate pair"),
        ('{"left": "a", "right": "b", "relation": "\\ud800"}', "found half a surrogate pair"),
    ],
)
def test_broken_json_rows(tmp_path, line, expected):
    (tmp_path / "skill_job.jsonl").write_text('{"left": "a", "right": "b"}\n' + line + "\n")
    assert f"skill_job.jsonl, line 2: {expected}" in message(tmp_path)


def test_broken_parquet(tmp_path):
    path = tmp_path / "skill_job.parquet"
    path.write_bytes(b"PAR1 but not really")
    assert "skill_job.parquet cannot be read as Parquet (19 bytes;" in message(tmp_path)
    pq.write_table(pa.table({"left": ["a"], "title": ["b"]}), path)
    assert "has no column 'right'; expected the columns left, right. Its columns: 'left', 'title'" in message(tmp_path)
    pq.write_table(pa.table({"left": ["a", "b"], "right": ["c", None]}), path)
    assert "skill_job.parquet, row 2: found an empty text in 'right'" in message(tmp_path)
    pq.write_table(pa.table({"left": ["a"], "right": np.arange(1)}), path)
    assert "row 1: found right '0'; expected a text" in message(tmp_path)


def test_utf16_is_recognised(tmp_path):
    (tmp_path / "skill_job.csv").write_text("left,right\na,b\n", encoding="utf-16")
    assert "skill_job.csv is UTF-16 text. Expected UTF-8" in message(tmp_path)


def test_five_broken_rows_are_shown_and_all_are_counted(tmp_path):
    (tmp_path / "skill_job.csv").write_text("left,right\n" + "a,b\n,b\n" * 4)
    (tmp_path / "skill_vacancy.jsonl").write_text("{}\n" * 3)
    lines = message(tmp_path).splitlines()
    assert lines[0] == f"7 broken rows in {tmp_path}:"
    assert [line.split(":")[0].strip() for line in lines[1:6]] == [
        *(f"skill_job.csv, line {line}" for line in (3, 5, 7, 9)),
        "skill_vacancy.jsonl, line 1",
    ]
    assert lines[6] == "  and 2 more"


def test_embedded_sample_is_a_small_labour_market():
    counts = load_training_graphs(SourceSettings(source="sample")).counts()
    assert set(counts) == {"job", "vacancy", "alias"}
    assert counts["job"]["neighbours"] >= 60
    assert counts["job"]["skills"] >= 400
    assert counts["job"]["edges"] >= 900
    assert counts["alias"]["neighbours"] >= 600
    assert counts["vacancy"]["neighbours"] >= 500
    sample = resources.files("uwe_jax.sources") / "sample"
    for kind in counts:
        assert len(list((sample / f"skill_{kind}").iterdir())) >= 10  # one file per sector
