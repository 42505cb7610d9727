"""Columns read directly equal those of the row reader."""

import csv
import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables import columns
from uwe_jax.sources.tables.columns import read_columns
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.reading import read_rows

REQUIRED, OPTIONAL = {"left": "text", "right": "text"}, {"left_id": "id"}
shared_folder = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def answer(path, read):
    """Returns what a reader gives of a file: rows, or its error message."""
    problems = Problems("here")
    try:
        rows = read(path, path.name, REQUIRED, problems, optional=OPTIONAL)
        rows = rows.to_pylist() if isinstance(rows, pa.Table) else [row for _, row in rows]
        problems.check()
    except UserError as error:
        return str(error)
    return rows


def check(path):
    assert answer(path, read_columns) == answer(path, read_rows)


def test_plain_text_and_parquet_are_read_without_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "read_rows", None)
    content = b'\xef\xbb\xbfRIGHT,note, Left\r\nwelder,,"weld, ""cut""\n metal"\r\n\r\nNA,b,null\r\n'
    expected = [
        {"left": 'weld, "cut"\n metal', "right": "welder", "left_id": ""},
        {"left": "null", "right": "NA", "left_id": ""},
    ]
    (tmp_path / "a.csv").write_bytes(content)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content))
    pq.write_table(pa.Table.from_pylist(expected), tmp_path / "a.parquet")
    for path in tmp_path.iterdir():
        assert answer(path, read_columns) == expected
        assert all(pa.types.is_dictionary(kind) for kind in read_columns(path, "", REQUIRED, Problems("")).schema.types)


fields = st.text(st.sampled_from('ab,"\n\r\t é\x00\x1c\u2028'), max_size=6)
lines = st.lists(st.lists(fields, min_size=3, max_size=3), max_size=6)


@shared_folder
@given(lines, st.sampled_from(["\n", "\r\n"]), st.booleans())
@example([['a"b', "c", "d"]], "\n", False)
@example([['"a"b', "c", "d"]], "\n", False)
@example([["c", "d", '"a']], "\n", False)
@example([['a"b', '"" c', 'e"']], "\n", False)
@example([["a" * 20, "b", "c"], ["d" * 36 + "\r\n", "", ""]], "\r\n", True)
@example([["c", "d", "e\rf"]], "\n", False)
@example([["c", "d", '"e\r\nf"']], "\n", False)
@example([["a", "c", " d "]], "\n", False)
@example([["a", ' "c"', ' "d"']], "\n", False)
@example([['a, "b" c', " d", '"']], "\n", True)
@example([["\x00", "c", "d"], ["", "", ""]], "\n", False)
def test_text_is_read_as_by_rows(tmp_path, monkeypatch, listed, end, quoted):
    monkeypatch.setattr(columns, "_BLOCK", 64)  # quotes and line ends at the end of a block
    text = io.StringIO()
    if quoted:
        csv.writer(text, lineterminator=end).writerows([["left", "right", "left_id"], *listed])
    else:
        text.write(end.join([",".join(fields) for fields in [["left", "right", "left_id"], *listed]]))
    for name, content in (("a.csv", text.getvalue()), ("a.tsv", text.getvalue().replace(",", "\t"))):
        (tmp_path / name).write_text(content, encoding="utf-8", newline="")
        check(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"left,right", b"left,right\n", b"\nleft,right\na,b\n", b"left,right\ra,b\r", b"left;right\na;b\n"),
        *(b"left,left,right\na,b,c\n", b"left,wrong\na,b\n", b'"left","ri\nght"\na,b\n', b"left,right\n \n"),
        b"left,right,other\na,b,\xff\n",  # in a column that is not read
        b"\xff\xfel\x00",
        b"left,right\n" + b"a,b\n" * 100 + b"c\n",
    ],
)
def test_unusual_text_is_read_by_the_row_reader(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    check(tmp_path / "a.csv")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content)[:-1])
    cut_off = answer(tmp_path / "a.csv.gz", read_columns)
    assert "gzip" in cut_off or "column" in cut_off  # the header is looked at first


texts = st.lists(st.none() | st.sampled_from(["", "a", " b\u2003", "é"]), min_size=4, max_size=4)
kinds = st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.binary()])
ids = texts | st.sampled_from([[1, None, -7, 2**40], [True] * 4, [0.5] * 4, [None] * 4, [["a"]] * 4])


@shared_folder
@given(texts, kinds, ids, st.integers(1, 4), st.booleans())
def test_parquet_is_read_as_by_rows(tmp_path, listed, kind, left_ids, group, dictionary):
    table = pa.table({"left": pa.array(listed, kind), "right": list("xyxy"), "left_id": left_ids})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=group, use_dictionary=dictionary)
    check(tmp_path / "a.parquet")


def test_parquet_columns_of_invalid_utf8_are_refused(tmp_path):
    right = pa.array([b"caf\xe9", b"b"]).view(pa.string())
    pq.write_table(pa.table({"left": ["a", "b"], "right": right}), tmp_path / "a.parquet")
    check(tmp_path / "a.parquet")
    assert "cannot be read as Parquet" in answer(tmp_path / "a.parquet", read_columns)


def test_parquet_that_unpacks_to_too_much_is_refused(tmp_path):
    column = pa.DictionaryArray.from_arrays(np.zeros(3_000_000, np.int32), ["a"])
    pq.write_table(pa.table({"left": column, "right": column}), tmp_path / "a.parquet", compression="zstd")
    assert "bytes and unpacks to at least" in answer(tmp_path / "a.parquet", read_columns)
