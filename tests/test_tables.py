"""Tables of a user: every dialect gives the same rows, and no text is mistaken for a header."""

import datetime
import gzip
import json
import logging
import re
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from graphs import edges_of
from hypothesis import given, settings
from hypothesis import strategies as st
from task_data import read_task_folder

from uwe_jax.retrieval.queries_in import file_queries
from uwe_jax.retrieval.table_targets import Flags, read_ids
from uwe_jax.retrieval.texts_in import read_targets
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.edge_files import read_edge_folder
from uwe_jax.sources.tables.delimited import find_dialect
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.names import NAMES
from uwe_jax.sources.tables.problems import BrokenRows
from uwe_jax.sources.tables.reading import column_names, cut, read_chunk, table_rows
from uwe_jax.sources.tables.values import split_list
from uwe_jax.sources.taxonomy import Skill, read_taxonomy
from uwe_jax.sources.vacancies.files import VacancyColumns, find_vacancy_files, parse_row

IDS, LABELS = ("007", "8", ""), ("brew tea", "mow lawns, hedges", "café work")
TABLE = [("id", "label"), *zip(IDS, LABELS, strict=True)]


def joined(separator: str, end: str = "\n", rows=TABLE, quote: bool = False) -> bytes:
    cells = [[f'"{cell}"' if quote or separator in cell else cell for cell in row] for row in rows]
    return "".join(separator.join(row) + end for row in cells).encode()


def sheet(path: Path, *sheets) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        page = book.create_sheet(f"page {number}")
        for row in rows:
            page.append(row)
    book.save(path)
    return path.read_bytes()


def read_all(path: Path) -> list[list[tuple]]:
    """The ids and texts of a table, in each way that reads one."""
    targets = read_targets(path)
    broken = BrokenRows()
    chunks = [row for chunk in cut(path, path.name, 2) for row in read_chunk(chunk, ["id", "label"], broken)]
    rows = list(table_rows(path, ["id", "label"], broken))
    assert chunks == rows
    assert not broken.count
    skills = [(skill.id, skill.label) for skill in read_taxonomy(path).skills]
    assert list(file_queries(path)) == list(targets.texts)
    assert read_ids(path) == [number for number, _ in skills if number]
    return [skills, [(row["id"] or "", row["label"]) for _, row in rows]]


EXPECTED = list(zip(IDS, LABELS, strict=True))
DIALECTS = {
    "comma.csv": joined(","),
    "semicolon.csv": joined(";"),
    "tab.csv": joined("\t"),
    "bar.csv": joined("|"),
    "comma.tsv": joined(","),
    "tab.tsv": joined("\t"),
    "quoted.tsv": joined("\t", quote=True),
    "quoted.csv": joined(";", "\r\n", quote=True),
    "declared.csv": b"sep=;\r\n" + joined(";", "\r\n"),
    "declared_mark.csv": b"\xef\xbb\xbfsep=^\n" + joined("^"),
    "mark.csv": b"\xef\xbb\xbf" + joined(";"),
    "carriage.csv": joined(";", "\r"),
    "carriage.tsv": joined("\t", "\r"),
    "mixed.csv": joined(",", "\r")[:-1] + b"\n\r\n",
    "open_end.csv": joined(",")[:-1],
    "spaced.csv": b'id, "label"\n"007", "brew tea"\n8,  "mow lawns, hedges"\n"", "caf\xc3\xa9 work"\n',
    "upper.csv": b"SEP=;\r\n" + joined(";", "\r\n"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_gives_the_same_rows(tmp_path, name, packed):
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(DIALECTS[name]) if packed else DIALECTS[name])
    assert read_all(path) == [EXPECTED, EXPECTED]


def test_json_and_sheets_give_the_same_rows(tmp_path):
    objects = [{"id": number or None, "label": label} for number, label in EXPECTED]
    lists = {"list.json": json.dumps(objects, indent=2), "lines.json": "\n".join(map(json.dumps, objects))}
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        assert read_all(tmp_path / name) == [EXPECTED, EXPECTED]
    packed = tmp_path / "sheet.xlsx.gz"
    packed.write_bytes(gzip.compress(sheet(tmp_path / "sheet.xlsx", [[], *TABLE, [None]], [["another"]])))
    for path in (tmp_path / "sheet.xlsx", packed):
        assert read_all(path) == [EXPECTED, EXPECTED]
    assert [place for place, _ in table_rows(path, ["id"], BrokenRows(), "s")] == ["s, row 3", "s, row 4", "s, row 5"]


def test_keys_that_json_lines_have_late_are_columns(tmp_path):
    skills = [
        {"id": str(k), "label": f"skill {k}"} | ({"altLabels": [f"other {k}"]} if k > 200 else {}) for k in range(300)
    ]
    path = tmp_path / "skills.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in skills))
    assert sum(bool(skill.aliases) for skill in read_taxonomy(path).skills) == 99
    targets = read_targets(path, names="altLabels")
    assert [name.text for name in targets.names[250]] == ["other 250"]
    path = tmp_path / "vacancies.jsonl"
    path.write_text(
        "".join(
            json.dumps({"title": "cook", "description": "soup"} | ({"skills": ["soup"]} if k > 200 else {})) + "\n"
            for k in range(300)
        )
    )
    (found,) = find_vacancy_files(path)
    assert found.columns.keys() == {"title", "description", "skills"}
    path.write_text('{"title": "cook", "description": "soup", "wanted": ["soup"]}\n')
    (found,) = find_vacancy_files(path)
    assert found.columns.keys() == {"title", "description"}, "the file has changed since it was read"


def test_open_document_sheets(tmp_path):
    spaces = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "text", "table")
    )
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    rows = "".join(f"<table:table-row>{''.join(map(cell.format, row))}</table:table-row>" for row in TABLE[:3])
    content = f'<office:spreadsheet><table:table table:name="a">{rows}</table:table></office:spreadsheet>'
    with zipfile.ZipFile(tmp_path / "a.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        body = f"<office:body>{content}</office:body>"
        archive.writestr("content.xml", f"<office:document-content{spaces}>{body}</office:document-content>")
    assert read_all(tmp_path / "a.ods") == [EXPECTED[:2], EXPECTED[:2]]


# --- quotes that are no quotes ---

SONGS = ['"sing loud', "mow lawns", 'play drums"', '5" nails', '"solo"']


@pytest.mark.parametrize("separator", ["\t", "|"])
def test_tsv_quotes_are_literal_if_they_would_swallow_rows(tmp_path, separator):
    path = tmp_path / "songs.tsv"
    rows = [("n", "text"), *((str(number), text) for number, text in enumerate(SONGS))]
    path.write_text("\n".join(separator.join(row) for row in rows))
    assert read_targets(path).texts == tuple(SONGS)
    for rows in (1, 2, 9):
        chunks = cut(path, "songs", rows)
        assert [row["n"] for chunk in chunks for _, row in read_chunk(chunk, ["n"], BrokenRows())] == list("01234")
    (tmp_path / "edges").mkdir()
    lines = [f"{text}{separator}x\n" for text in SONGS]
    (tmp_path / "edges" / "skill_job.tsv").write_text(f"left{separator}right\n{''.join(lines)}")
    assert [edge.left_text for edge in edges_of(read_edge_folder(tmp_path / "edges")["job"])] == SONGS


@pytest.mark.parametrize("text", ['"never closed', '"closed" and more'])
def test_tsv_quotes_are_literal_if_they_cannot_be_parsed(tmp_path, text):
    path = tmp_path / "songs.tsv"
    path.write_text(f"n\ttext\n1\t{text}\n2\tmow lawns\n")
    assert read_targets(path).texts == (text, "mow lawns")


def test_quoted_fields_of_tsv_may_span_lines(tmp_path):
    path = tmp_path / "notes.tsv"
    rows = '1\t"brew ""green""\ttea\nslowly"\n2\t"mow"\n3\t"a\n\nb"\n4\t"weed\nsow\tand reap"\n'
    path.write_text(f"n\ttext\n{rows}")  # the lines of the last one would also be rows
    assert read_targets(path).texts == ('brew "green" tea slowly', "mow", "a b", "weed sow and reap")
    path.write_text('"n"\t"text"\n1\t"weed\nsow\tand reap"\n')
    assert read_targets(path).texts == ("weed sow and reap",)
    path.write_text(f'n\ttext\n{rows}5\t"never closed\n')
    with pytest.raises(UserError, match=r"line 10: found a row that cannot be parsed"):
        read_targets(path)


cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=8).map(str.strip)


@settings(max_examples=40)
@given(st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.tuples(cells, cells), max_size=4))
def test_quoted_fields_round_trip(separator, end, rows):
    quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in [("id", "text"), *rows]]
    data = "".join(separator.join(row) + end for row in quoted).encode()
    dialect = find_dialect(TextFile("a", data=data), ",")
    assert (dialect.separator, dialect.header) == (separator, ("id", "text"))
    assert [tuple(fields) for fields, _ in dialect.records(TextFile("a", data=data))] == rows


# --- headers ---


def test_a_first_row_that_may_be_data_is_refused_by_all_commands(tmp_path):
    (tmp_path / "one.csv").write_text("brew tea\nmow lawns\n")
    (tmp_path / "two.csv").write_text("1;brew tea\n2;mow lawns\n")
    sheet(tmp_path / "one.xlsx", [["brew tea"], ["mow lawns"]])
    single = r"one column, and its first row, 'brew tea', .*\(text, .*its number, --column 1, .*--column 'brew tea'"
    several = "--column NUMBER where the first row is data"
    for name, expected in (("one.csv", single), ("one.xlsx", single), ("two.csv", several)):
        for read in (read_targets, file_queries):
            with pytest.raises(UserError, match=expected):
                read(tmp_path / name)
        columns = {"column": "2", "id_column": "1"} if name == "two.csv" else {"column": "1"}
        found = read_targets(tmp_path / name, **columns)
        assert found.texts == ("brew tea", "mow lawns")
        assert found.ids == (("1", "2") if name == "two.csv" else found.texts)
        assert [*file_queries(tmp_path / name, columns["column"])] == [*found.texts]
        assert read_ids(tmp_path / name, columns["column"]) == [*found.texts]
        with pytest.raises(UserError, match="--id-column NUMBER where the first row is data"):
            read_ids(tmp_path / name)
        for read in (read_taxonomy, find_vacancy_files):
            with pytest.raises(UserError, match="needs a row of names above it"):
                read(tmp_path / name)
    (tmp_path / "skill_job.csv").write_text("brew tea,barista\n")
    with pytest.raises(UserError, match=r"no column 'left'.*'brew tea', 'barista'.*needs a row of names above it"):
        read_edge_folder(tmp_path)
    (tmp_path / "queries.csv").write_text("1,brew tea\n")
    with pytest.raises(UserError, match=r"no column 'id'.*'1', 'brew tea'.*needs a row of names above it"):
        read_task_folder(tmp_path)


def test_the_flag_of_the_running_command_is_named(tmp_path):
    for content in ("1;brew tea\n2;mow lawns\n", "brew tea\nmow lawns\n"):
        (tmp_path / "a.csv").write_text(content)
        with pytest.raises(UserError, match=r" --target-column (NUMBER|1)") as raised:
            read_targets(tmp_path / "a.csv", flags=Flags(column="--target-column"))
        assert "--column" not in str(raised.value)
    with pytest.raises(UserError, match=r"no column 'nope'.* Name one of these with --target-id-column"):
        read_targets(tmp_path / "a.csv", column="1", id_column="nope", flags=Flags(id_column="--target-id-column"))


@pytest.mark.parametrize("header", ["id,Label,label", "id,pref_label,label,Label"])
def test_columns_of_one_name_but_for_spelling_are_refused(tmp_path, header):
    (tmp_path / "a.csv").write_text(f"{header}\n{'x,' * header.count(',')}y\n")
    for read in (read_targets, file_queries, read_taxonomy):
        with pytest.raises(UserError, match=r"a.csv has 2 columns named 'label', .*'Label'.*expected one"):
            read(tmp_path / "a.csv")
    assert read_targets(tmp_path / "a.csv", column="label").texts
    (tmp_path / "a.csv").write_text("Title,title,text\na,b,c\n")
    with pytest.raises(UserError, match=r"a.csv has 2 columns named 'title', 'Title' and 'title'"):
        find_vacancy_files(tmp_path / "a.csv")


def test_a_file_without_a_query_is_refused(tmp_path):
    for name, content in (("a.txt", ""), ("a.csv", "text\n"), ("a.txt.gz", gzip.compress(b""))):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(UserError, match=rf"{name} holds no query. Expected one per line, or a column of texts"):
            file_queries(tmp_path / name)


def test_vacancies_without_a_header_are_read_by_the_numbers_of_columns(tmp_path):
    path = tmp_path / "v.tsv"
    path.write_text('a\tCook\t"You cook\nb\tBake\tYou bake"\n')  # the first row holds the quote that is none
    (file,) = find_vacancy_files(path, VacancyColumns(title="2", description="3", id="1"))
    columns = [*file.columns.values()]
    for rows in (1, 9):
        chunks = cut(path, path.name, rows, columns)
        found = [parse_row(row, file.columns) for c in chunks for _, row in read_chunk(c, columns, BrokenRows())]
        assert [(row.id, row.title, row.description) for row in found] == [
            ("a", "Cook", '"You cook'),
            ("b", "Bake", 'You bake"'),
        ]


def test_query_files_may_have_any_line_ends(tmp_path):
    for name, content in (
        ("q.txt", b"\xef\xbb\xbfbrew\r\rmow\xe9\rcook"),
        ("q.txt.gz", gzip.compress(b"brew\r\n\nm\xff\ncook\n", mtime=0)),
    ):
        (tmp_path / name).write_bytes(content)
        first, empty, broken, last = file_queries(tmp_path / name)
        assert (first, last) == ("brew", "cook")
        assert "Query 2 is empty" in str(empty)
        assert "Query 3 is not UTF-8 text: byte" in str(broken)


@pytest.mark.parametrize("name", ["Skill", " JOB_TITLE ", "preferredLabel"])
def test_known_names_in_any_spelling_are_headers(tmp_path, name):
    path = tmp_path / "one.csv"
    path.write_text(f"{name}\nbrew tea\n")
    assert read_targets(path).texts == ("brew tea",)
    assert list(file_queries(path)) == ["brew tea"]


def test_a_txt_is_one_text_per_line_whatever_separators_and_ends_it_has(tmp_path):
    packed = gzip.compress(b'brew, "tea"\n \nmow\tlawns')
    for name, content in (("a.txt", b'\xef\xbb\xbfbrew, "tea"\r\rmow\tlawns\r'), ("b.txt.gz", packed)):
        path = tmp_path / name
        path.write_bytes(content)
        assert read_targets(path).texts == ('brew, "tea"', "mow lawns")
        assert read_taxonomy(path).skills == (Skill("", 'brew, "tea"'), Skill("", "mow lawns"))
        assert read_ids(path) == ['brew, "tea"', "mow\tlawns"]


def test_texts_in_a_json_list_are_texts(tmp_path):
    (tmp_path / "a.json").write_text('["brew tea", "mow lawns"]')
    (tmp_path / "a.jsonl").write_text('"brew tea"\n"mow lawns"\n')
    for path in tmp_path.iterdir():
        assert read_targets(path).texts == ("brew tea", "mow lawns")


def test_tasks_accept_the_column_names_of_other_commands(tmp_path):
    (tmp_path / "queries.json").write_text('[{"_id": 1, "query": "brew tea"}]')
    (tmp_path / "targets.csv").write_text("uri;skill\n07;make tea\n8;mow lawns\n")
    (tmp_path / "relevant.tsv").write_text("query-id\tcorpus-id\n1\t07\n")
    task = read_task_folder(tmp_path)
    assert (task.queries, task.targets) == (("brew tea",), ("make tea", "mow lawns"))


def test_the_documentation_lists_every_name_of_a_column():
    text = (Path(__file__).parents[1] / "docs/data.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([a-z, ]+) \|$", text, re.MULTILINE))
    assert {role: tuple(names.split(", ")) for role, names in listed.items()} == NAMES


# --- ids ---


def test_whole_numbers_are_ids_without_a_point_and_missing_ones_are_missing(tmp_path):
    floats = pa.table({"id": pa.array([7.0, None, float("nan")]), "label": list(LABELS)})
    pq.write_table(floats, tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text(
        "".join(
            f'{{"id": {number}, "label": "{label}"}}\n'
            for number, label in zip(("7.0", "null", "NaN"), LABELS, strict=True)
        )
    )
    sheet(tmp_path / "a.xlsx", [["id", "label"], *([n, label] for n, label in zip((7, None, ""), LABELS, strict=True))])
    for path in sorted(tmp_path.iterdir()):
        assert [skill.id for skill in read_taxonomy(path).skills] == ["7", "", ""]
        assert read_targets(path).ids == ("7", *LABELS[1:])
        assert read_ids(path) == ["7"]
        found = {"title": "label", "description": "label", "id": "id"}
        rows = [parse_row(row, found) for _, row in table_rows(path, ["id", "label"], BrokenRows())]
        assert [row.id for row in rows] == ["7", "", ""]


def test_a_number_that_is_no_id_is_a_broken_row(tmp_path):
    pq.write_table(pa.table({"id": [7.5, 8.0], "label": list(LABELS[:2])}), tmp_path / "a.parquet")
    for read in (read_targets, read_ids, read_taxonomy):
        with pytest.raises(
            UserError, match=r"1 broken row.*\n  a.parquet, row 1: found id '7.5'; expected a text or an integer"
        ):
            read(tmp_path / "a.parquet")


def test_cells_of_sheets_are_texts(tmp_path):
    day = datetime.date(2026, 3, 4)
    cells = [2026, 1.5, day, datetime.datetime(2026, 3, 4, 5, 6), "007", True]
    sheet(tmp_path / "a.xlsx", [["text"], *([cell] for cell in cells)])
    expected = ("2026", "1.5", "2026-03-04", "2026-03-04 05:06:00", "007", "True")
    assert read_targets(tmp_path / "a.xlsx").texts == expected


def test_binary_ids_are_decoded(tmp_path):
    pq.write_table(pa.table({"id": [b"0041", None], "label": list(LABELS[:2])}), tmp_path / "a.parquet")
    assert read_targets(tmp_path / "a.parquet").ids == ("0041", LABELS[1])
    assert read_ids(tmp_path / "a.parquet") == ["0041"]
    pq.write_table(pa.table({"id": [b"\xff\xfe", b"8"], "label": list(LABELS[:2])}), tmp_path / "a.parquet")
    for read in (read_targets, read_ids, read_taxonomy):
        with pytest.raises(
            UserError, match=r"(?s)1 broken row.*row 1: found id .*xff.*; expected a text or an integer"
        ):
            read(tmp_path / "a.parquet")


def test_some_rows_without_an_id_are_counted(tmp_path):
    (tmp_path / "a.csv").write_bytes(joined(","))
    assert read_targets(tmp_path / "a.csv").notes == ("1 of 3 rows without an id; the text is the id",)
    (tmp_path / "a.csv").write_text("id,label\n,a\n,b\n")
    assert not read_targets(tmp_path / "a.csv").notes


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['plan menus' 'train dogs']", ["plan menus", "train dogs"]),
        ("['plan menus'\n \"a chef's, dogs\" '']", ["plan menus", "a chef's, dogs"]),
        ("['it\\'s' 'b', ' ' 'c']", ["it's", "b", "c"]),
        ("[Python, SQL]", ["Python", "SQL"]),
        ("[Python; C, D]", ["Python", "C, D"]),
        ("{Python,SQL}", ["Python", "SQL"]),
        ('{Python,"plan menus, dine",SQL}', ["Python", "plan menus, dine", "SQL"]),
        ("{'b', 'a'}", ["b", "a"]),
        ("[a] b [c]", ["[a] b [c]"]),
        ("{}", []),
    ],
)
def test_lists_in_cells(cell, expected):
    assert split_list(cell) == expected
    assert split_list(cell, commas=False) == expected


# --- what is said ---


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", joined(";"), "separated by semicolons, columns 'id', 'label', 3 rows"),
        (
            "a.tsv",
            b'id\tlabel\n1\t"a\n2\tb"\n',
            "separated by tabs, quotes taken literally, columns 'id', 'label', 2 rows",
        ),
        ("a.txt", b"a\nb\n", "one text per line, columns 'text', 2 rows"),
        ("a.jsonl", b'{"id": "1", "label": "a", "x": 0}', "JSON lines, columns 'id', 'label', 'x', 1 rows"),
        ("a.xlsx", None, "sheet 'page 0', not the sheets 'page 1', columns 'id', 'label', 3 rows"),
    ],
)
def test_reading_a_table_logs_one_line(tmp_path, caplog, name, content, expected):
    path = tmp_path / name
    if content is None:
        sheet(path, TABLE, TABLE)
    else:
        path.write_bytes(content)
    with caplog.at_level(logging.INFO, "uwe_jax.sources.tables"):
        read_targets(path)
    assert caplog.messages == [f"Read {path}: {expected}"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.csv",
            b"id;text\n1;a;b\n2;c\n3\n",
            r"2 broken rows .*a.csv, line 2: found 3 fields, .*a.csv, line 4: found 1 fields, the first '3'; exp",
        ),
        ("a.csv", b"id;text\r1;caf\xe9\r", r"a.csv, line 2: found byte 0xe9 at position 6; expected UTF-8 text"),
        ("a.csv", b"id;t\xe9xt\n", r"a.csv, line 1: found byte 0xe9 at position 5; expected UTF-8 text"),
        ("a.csv", "text\na\n".encode("utf-16"), "is UTF-16 text. Expected UTF-8"),
        ("a.csv", "text\na\n".encode("utf-16-le"), "is UTF-16 text. Expected UTF-8"),
        ("a.csv", b"\xef\xbb\xbf", "a.csv is empty"),
        ("a.csv", b"sep=;\n", "a.csv is empty"),
        ("a.csv", b"text,text\na,b\n", "2 columns named 'text'"),
        (
            "a.csv",
            b'text,n\n"a,1\nb,2\n',
            r"a.csv, line 2: found a row that cannot be parsed .*rest of the file was not read",
        ),
        ("a.json", b'[{"text": "a"}, 3]', r"a.json, row 2: found '3'; expected a JSON object with the keys text"),
        ("a.json", b'[{"text": "a"', r"a.json is not valid JSON \(.*line 1"),
        ("a.json", b'["caf\xe9"]', r"a.json, line 1: found byte 0xe9 at position 6"),
        ("a.json", b'{"data": [\n1]}', r"a.json, line 1: found invalid JSON .*expected a JSON object .*one per line"),
        ("a.jsonl", b"\n \n", "a.jsonl holds no row"),
        ("a.json", b"", "a.json holds no row"),
        ("a.json", b"[]", "a.json holds no row"),
        *(
            (
                "a.jsonl",
                content,
                "line 1: found .*; expected a JSON object .*, one per line; a list of objects belongs in a .json",
            )
            for content in (b'[{"text": "a"}]', b'[\n{"text": "a"}]')
        ),
        ("a.csv", b"PK\x03\x04\xc7\n", r"a.csv is a zip archive, not text.*\.xlsx"),
        ("a.jsonl", gzip.compress(b"text\na\n", mtime=0), r"a.jsonl is a gzip file, not text. Rename it to end in .gz"),
        ("a.xlsx", b"PK\x03\x04", r"a.xlsx cannot be read as a sheet \(4 bytes; .*without a password"),
        ("a.docx", b"", r"a.docx is in no supported format. .*\.csv, \.tsv, .*\.xlsx.*each also gzipped"),
    ],
)
def test_unreadable_tables_are_reported(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"(?s){expected}"):
        read_targets(tmp_path / name)


def test_an_empty_sheet_is_reported(tmp_path):
    sheet(tmp_path / "a.xlsx", [], TABLE)
    with pytest.raises(UserError, match=r"a.xlsx is empty \(sheet 'page 0', not the sheets 'page 1'\)"):
        column_names(tmp_path / "a.xlsx")
