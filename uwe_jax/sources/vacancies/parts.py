"""Part files of a job: Parquet, written as a stream, renamed into place when complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from uwe_jax.data.graph import Edge
from uwe_jax.sources.vacancies.tagger import JOB, SENTENCES, VACANCY, Sentence, Tagged

_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float32(),
    bool: pa.bool_(),
    list[str]: pa.list_(pa.string()),
}
SCHEMAS = {
    graph: pa.schema([(name, _TYPES[kind]) for name, kind in get_type_hints(record).items()])
    for graph, record in ((JOB, Tagged), (VACANCY, Tagged), (SENTENCES, Sentence))
}
_BUFFER = 10_000  # records that are held before they are written


class PartWriter:
    """Writes the records of a chunk, one file per graph that has any; leaves nothing after an error.

    The folder of the job has one per graph; a suffix distinguishes further parts of a chunk from its first.
    """

    def __init__(self, folder: Path, number: int, suffix: str = ""):
        self._folder, self._name = folder, f"{number:05d}{suffix}.parquet"
        self._records: dict[str, list[Tagged | Sentence]] = {graph: [] for graph in SCHEMAS}
        self._files: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> PartWriter:
        return self

    def add(self, graph: str, record: Tagged | Sentence) -> None:
        """Writes a record, buffered."""
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
        records, schema = self._records[graph], SCHEMAS[graph]
        if not records:
            return
        if graph not in self._files:
            self._files[graph] = pq.ParquetWriter(self._partial(graph), schema, compression="zstd")
        columns = map(pa.array, zip(*records, strict=True), schema.types)
        self._files[graph].write_table(pa.Table.from_arrays(list(columns), schema=schema))
        records.clear()


def count_records(path: Path) -> int:
    """Returns the number of records in a part."""
    return pq.read_metadata(path).num_rows


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Streams the records of a part."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BUFFER):
            yield from batch.to_pylist()


def read_part(path: Path) -> Iterator[Edge]:
    """Streams the edges of a part."""
    for record in read_records(path):
        yield Edge(record["left_id"], record["left"], record["right_id"], record["right"], record["relation"])
