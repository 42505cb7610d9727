"""Part files of a job: Parquet, written as a stream, there when they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from uwe_jax.data.graph import Edge
from uwe_jax.sources.vacancies.tagger import JOB, SENTENCES, VACANCY, Sentence, Tagged

_EDGES = pa.schema(
    [
        *((name, pa.string()) for name in ("left", "right", "relation", "left_id", "right_id")),
        ("score", pa.float32()),
        ("span", pa.string()),
    ]
)
SCHEMAS = {
    JOB: _EDGES,
    VACANCY: _EDGES,
    SENTENCES: pa.schema(
        [
            *((name, pa.string()) for name in ("text", "title", "id")),
            ("known", pa.list_(pa.string())),
            ("row", pa.int64()),
            ("bare", pa.bool_()),
        ]
    ),
}
_BUFFER = 10_000  # records that are held before they are written


class PartWriter:
    """Writes the records of a chunk; a file per graph that has any. Nothing is left where it does not end well.

    Args:
      folder: of the job, with a folder per graph in it.
      number: of the chunk.
      suffix: tells further parts of a chunk from its first.
    """

    def __init__(self, folder: Path, number: int, suffix: str = ""):
        self._folder, self._name = folder, f"{number:05d}{suffix}.parquet"
        self._records: dict[str, list[Tagged | Sentence]] = {graph: [] for graph in SCHEMAS}
        self._files: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> PartWriter:
        return self

    def add(self, graph: str, record: Tagged | Sentence) -> None:
        """Writes a record, now or with those to come."""
        self._records[graph].append(record)
        if len(self._records[graph]) >= _BUFFER:
            self._flush(graph)

    def __exit__(self, failed: Any, *_: Any) -> None:
        try:
            if failed is None:
                for graph in SCHEMAS:
                    self._flush(graph)
        finally:
            for file in self._files.values():
                file.close()
        for graph in self._files:
            if failed is None:
                self._partial(graph).replace(self._folder / graph / self._name)
            else:
                self._partial(graph).unlink(missing_ok=True)

    def _partial(self, graph: str) -> Path:
        return self._folder / graph / f".{self._name}.{os.getpid()}.partial"

    def _flush(self, graph: str) -> None:
        records = self._records[graph]
        if not records:
            return
        schema = SCHEMAS[graph]
        if graph not in self._files:
            self._files[graph] = pq.ParquetWriter(self._partial(graph), schema, compression="zstd")
        columns = [
            pa.array(column, field.type) for column, field in zip(zip(*records, strict=True), schema, strict=True)
        ]
        self._files[graph].write_table(pa.Table.from_arrays(columns, schema=schema))
        records.clear()


def count_records(path: Path) -> int:
    """Number of records in a part."""
    return pq.read_metadata(path).num_rows


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a part, as a stream."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BUFFER):
            yield from batch.to_pylist()


def read_part(path: Path) -> Iterator[Edge]:
    """The edges of a part, as a stream."""
    for record in read_records(path):
        yield Edge(record["left_id"], record["left"], record["right_id"], record["right"], record["relation"])
