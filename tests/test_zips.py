"""Tests that zip bombs are refused before they take memory; the same content without compression is read."""

import gzip
import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from esco_downloads import classification, relations, write_zip
from onet_download import FILES

from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.runtime import zips
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco.release import find_release
from uwe_jax.sources.onet.release import find_release as find_onet
from uwe_jax.sources.onet.tables import OCCUPATIONS
from uwe_jax.sources.tables import lines as table_lines
from uwe_jax.sources.tables.problems import BrokenRows, Problems
from uwe_jax.sources.tables.reading import column_names, cut, read_chunk, read_rows

ROWS = 20_000
LIMIT = 100_000  # bytes that are always unpacked, here


@pytest.fixture(autouse=True)
def low_limit(monkeypatch):
    monkeypatch.setattr(zips, "_ALWAYS", LIMIT)


def content(name: str) -> bytes:
    """A table that repeats one row, and compresses to a hundredth or less."""
    if "jsonl" in name:
        return (json.dumps({"left": "weld metal", "right": "welder"}) + "\n").encode() * ROWS
    return b"left,right\n" + b"weld metal,welder\n" * ROWS


def whole(path) -> int:
    return sum(1 for _ in read_rows(path, path.name, {"left": "text", "right": "text"}, Problems(path.name)))


def streamed(path) -> int:
    assert column_names(path) == ["left", "right"]
    parts = cut(path, path.name, 1000)
    return sum(1 for part in parts for _ in read_chunk(part, ["left", "right"], BrokenRows()))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize("read", [whole, streamed])
def test_gzip(tmp_path, name, read):
    path, packed = tmp_path / name, tmp_path / f"{name}.gz"
    path.write_bytes(content(name))
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert 100 * packed.stat().st_size < path.stat().st_size
    with pytest.raises(UserError, match=rf"{name}\.gz has .* bytes and unpacks to at least .*; at most .*unpack it"):
        read(packed)
    assert read(path) == ROWS


def test_what_is_packed_as_text_packs_is_read(tmp_path, rng):
    path = tmp_path / "a.csv.gz"
    lines = [f"{a},{b}\n" for a, b in rng.integers(0, 1 << 60, (ROWS, 2)).tolist()]
    path.write_bytes(gzip.compress(("left,right\n" + "".join(lines)).encode()))
    assert whole(path) == streamed(path) == ROWS


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl.gz"])
def test_a_line_without_end(tmp_path, name, monkeypatch):
    monkeypatch.setattr(table_lines, "_LINE_LIMIT", 1000)
    written = b"left,right\n" + b"x" * 5000
    (tmp_path / name).write_bytes(gzip.compress(written) if name.endswith("gz") else written)
    with pytest.raises(UserError, match=rf"{name} has a line of at least 1,000 bytes, from byte 11 on"):
        cut(tmp_path / name, name, 10)


@pytest.mark.parametrize("columns", [{"left": ["weld"] * ROWS, "right": ["welder"] * ROWS}, {"other": [1] * ROWS}])
def test_parquet(tmp_path, columns):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd")
    with pytest.raises(UserError, match=r"a\.parquet has .* bytes and unpacks to at least"):
        list(read_rows(path, path.name, {}, Problems("a"), optional={"left": "text", "right": "text"}))


@pytest.mark.parametrize("read", [whole, streamed])
@pytest.mark.parametrize("nested", [False, True])
def test_a_large_text_that_parquet_names_in_every_row_is_counted_before_it_is_repeated(tmp_path, read, nested):
    path, text = tmp_path / "a.parquet", "weld metal " * 20_000
    left = [[[{"a": text}], None]] * 500 if nested else [text] * 500
    pq.write_table(pa.table({"left": left, "right": ["welder"] * 500}), path, compression="none")
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    try:
        with pytest.raises(UserError, match=r"a\.parquet has .* bytes and unpacks to at least 110,0"):
            read(path)
    finally:
        pa.set_memory_pool(before)
    assert pool.max_memory() < 20 * len(text) < 110_000_000


@pytest.mark.parametrize("read", [whole, streamed])
def test_parquet_in_which_texts_are_repeated_is_read(tmp_path, read):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"left": ["weld metal", None] * 500, "right": ["welder", "w"] * 500}), path)
    assert read(path) == 1000


def test_zips_of_esco_and_onet(tmp_path):
    members = classification() | relations()
    members["skills_en.csv"] += "\n" * (2 * LIMIT)
    release = find_release(write_zip(tmp_path / "esco", "1.1.1", "en", members).parent, ["skill_job"])
    with pytest.raises(UserError, match=r"skills_en\.csv has .* bytes and unpacks to at least"):
        release.files["skills"].read()
    release.files["relations"].read()
    with zipfile.ZipFile(tmp_path / "db_29_3_text.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in FILES.items():
            text = "".join("\t".join(row) + "\n" for row in rows) + "\n" * (2 * LIMIT)
            archive.writestr(f"db_29_3_text/{name}", text)
    with pytest.raises(UserError, match=r"Occupation Data\.txt has .* bytes and unpacks to at least"):
        find_onet(tmp_path).rows(OCCUPATIONS)


def test_hashes_of_what_a_model_was_trained_on(tmp_path):
    path = tmp_path / "trained_on.npz"
    np.savez_compressed(path, nodes=np.zeros(LIMIT, np.uint64), edges=np.zeros(1, np.uint64))
    with pytest.raises(UserError, match=r"nodes\.npy has .* bytes and unpacks to at least"):
        TrainingHashes.read(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<u8", "fortran_order": False, "shape": (1 << 59,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nodes.npy", header.getvalue())
    with pytest.raises(UserError, match=r"is damaged \(nodes\.npy has an impossible shape"):
        TrainingHashes.read(path)
