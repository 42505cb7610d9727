"""A tagging job: a folder with its description and its results, chunk by chunk.

    job.json                         settings, columns and chunks; written last when a job is created
    taxonomy.json                    skills
    skill_job/00000.parquet          edges of chunk 0, and so on; likewise skill_vacancy/ and sentences/
    vacancies/00000.jsonl            the vacancies of chunk 0 with their skills
    done/00000.json                  counts of chunk 0, written after its other files

Each file is written atomically: a killed run loses only the chunks in progress, and another run, on any machine that
sees the folder, tags the remaining ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically, write_json
from uwe_jax.runtime.printable import json_text
from uwe_jax.runtime.progress import counted
from uwe_jax.sources.notes import noted
from uwe_jax.sources.tables.chunk import Chunk
from uwe_jax.sources.tables.problems import BrokenRows
from uwe_jax.sources.tables.reading import cut, read_chunk, stamp
from uwe_jax.sources.taxonomy import Skill, Taxonomy
from uwe_jax.sources.vacancies.files import Vacancy, VacancyFile, parse_row
from uwe_jax.sources.vacancies.lines import VacancyLine, line_values, write_lines
from uwe_jax.sources.vacancies.tagger import (
    JOB,
    LEFT_OUT,
    REPEATED,
    ROWS,
    SENTENCES,
    VACANCY,
    Sentence,
    Tagged,
    TagSettings,
    VacancyTagger,
)

# Raise it whenever the same files and settings give other edges or counts.
VERSION = "1.1.0"
PREPARED = "1.0.1"  # of the TFDS datasets of its edges
CHUNK_ROWS = 2_000
MAX_BROKEN = 0.01

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float32(), bool: pa.bool_(), list[str]: pa.list_(pa.string())}
SCHEMAS = {
    graph: pa.schema([(name, _TYPES[kind]) for name, kind in get_type_hints(record).items()])
    for graph, record in ((JOB, Tagged), (VACANCY, Tagged), (SENTENCES, Sentence))
}
_GROUP = 10_000  # records of a row group


@dataclass
class ChunkDone:
    """The results of one or several chunks."""

    counts: Counter[str] = field(default_factory=Counter)  # by the names in `tagger`
    edges: Counter[str] = field(default_factory=Counter)  # per graph and relation, as skill_job/given
    skills: Counter[str] = field(default_factory=Counter)  # edges per skill
    broken: BrokenRows = field(default_factory=BrokenRows)

    def merge(self, other: ChunkDone) -> None:
        """Adds the counts of other chunks."""
        self.counts.update(other.counts)
        self.edges.update(other.edges)
        self.skills.update(other.skills)
        self.broken.merge(other.broken)

    def notes(self) -> list[str]:
        """Returns phrases on what was left out, with their numbers."""
        notes = [note for name, words in LEFT_OUT.items() for note in noted(self.counts[name], *words)]
        if not self.broken.count:
            return notes
        rows = self.counts[ROWS] + self.broken.count
        return [f"{counted(self.broken.count, 'broken row')} of {rows:,} left out: {self.broken.shown[0]}", *notes]

    @classmethod
    def read(cls, path: Path) -> ChunkDone:
        """Reads what `write` wrote; UserError if it is damaged."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            broken = BrokenRows(**values.pop("broken"))
            return cls(**{name: Counter(numbers) for name, numbers in values.items()}, broken=broken)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise UserError(
                f"{path}, the counts of a chunk, is damaged ({error}). Remove it to tag the chunk again."
            ) from error

    def write(self, path: Path) -> None:
        """Writes JSON atomically."""
        write_json(path, {**vars(self), "broken": self.broken.to_dict()})


@dataclass(frozen=True)
class TaggingJob:
    """A job as described in its folder."""

    folder: Path  # other processes and machines must see it under this path
    settings: TagSettings
    columns: dict[str, dict[str, str]]  # by role, per file
    chunks: tuple[Chunk, ...]
    max_broken: float  # share of broken rows above which the job stops

    def left(self, suffix: str = "") -> list[int]:
        """Returns the numbers of the chunks that are not done; `suffix` distinguishes another pass over them."""
        return [number for number in range(len(self.chunks)) if not self.marker(number, suffix).exists()]

    def marker(self, number: int, suffix: str = "") -> Path:
        """Returns the file that marks a chunk as done."""
        return self.folder / "done" / f"{number:05d}{suffix}.json"

    def parts(self, graph: str) -> list[Path]:
        """Returns the files of a graph in the order of their chunks, some of which have none."""
        return sorted((self.folder / graph).glob("*.parquet"))

    def totals(self, suffix: str = "") -> ChunkDone:
        """Returns the counts of all chunks that are done; UserError as of `check`."""
        total = ChunkDone()
        for number in range(len(self.chunks)):
            if (marker := self.marker(number, suffix)).exists():
                total.merge(ChunkDone.read(marker))
        self.check(total.broken)
        return total

    def check(self, broken: BrokenRows) -> None:
        """Raises UserError if more rows are broken than `max_broken` allows."""
        rows = sum(chunk.rows for chunk in self.chunks)
        if broken.count > self.max_broken * rows:
            files = ", ".join(list(self.columns)[:3]) + (" and others" if len(self.columns) > 3 else "")
            raise broken.error(
                files,
                f"That is more than {self.max_broken:.2%} of {rows:,} rows, so nothing is taken from these files. "
                "Correct the rows and run again.",
            )


def job_key(files: Sequence[VacancyFile], taxonomy: Taxonomy | None, settings: TagSettings, chunk_rows: int) -> str:
    """Returns 16 hexadecimal digits that change with the content of any file, the taxonomy or a setting."""
    inputs = [
        VERSION,
        [[*file.signature(), file.columns] for file in files],
        taxonomy.digest if taxonomy else "",
        dataclasses.asdict(settings),
        chunk_rows,
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def open_job(
    folder: Path,
    files: Sequence[VacancyFile],
    taxonomy: Taxonomy | None,
    settings: TagSettings,
    *,
    chunk_rows: int = CHUNK_ROWS,
    max_broken: float = MAX_BROKEN,
) -> TaggingJob:
    """Opens the job in a folder, or creates it.

    Args:
      folder: named by `job_key`, so that its content belongs to these files and settings.

    Raises:
      UserError: a file cannot be cut into chunks, or no file has a row.
    """
    if (folder / "job.json").exists():
        job = dataclasses.replace(load_job(folder), max_broken=max_broken)
        # The same content may have been moved since.
        places = {file.name: (str(file.path.resolve()), *stamp(file.path)) for file in files}
        moved = tuple(
            dataclasses.replace(chunk, path=path, size=size, mtime_ns=mtime_ns)
            for chunk in job.chunks
            for path, size, mtime_ns in [places[chunk.name]]
        )
        if moved != job.chunks:
            job = dataclasses.replace(job, chunks=moved)
            _write(job)
        return job
    chunks = [
        chunk for file in files for chunk in cut(file.path.resolve(), file.name, chunk_rows, [*file.columns.values()])
    ]
    if not chunks:
        raise UserError(f"{', '.join(file.name for file in files)}: 0 rows. Expected at least one vacancy.")
    skills = {"origin": taxonomy.origin, "skills": taxonomy.skills} if taxonomy else {"origin": "", "skills": []}
    write_atomically(folder / "taxonomy.json", json_text(skills).encode())
    job = TaggingJob(folder, settings, {file.name: file.columns for file in files}, tuple(chunks), max_broken)
    _write(job)
    return job


def _write(job: TaggingJob) -> None:
    chunks = [dataclasses.asdict(chunk) for chunk in job.chunks]
    described = {"settings": dataclasses.asdict(job.settings), "columns": job.columns, "chunks": chunks}
    write_json(job.folder / "job.json", described)


def load_job(folder: Path) -> TaggingJob:
    """Loads the job that was created in a folder; UserError if its description is damaged."""
    try:
        values = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        chunks = tuple(Chunk(**chunk) for chunk in values["chunks"])
        return TaggingJob(folder, TagSettings(**values["settings"]), values["columns"], chunks, MAX_BROKEN)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{folder / 'job.json'} is damaged ({error}). Remove {folder} to start again.") from error


def run_chunk(number: int, folder: str) -> BrokenRows:
    """Tags one chunk of the job in a folder, on any worker; returns its broken rows."""
    job, tagger = _loaded(folder, (Path(folder) / "job.json").stat().st_mtime_ns)
    chunk, done = job.chunks[number], ChunkDone()
    columns = job.columns[chunk.name]
    records: dict[str, list[Tagged | Sentence]] = {graph: [] for graph in SCHEMAS}
    lines: list[VacancyLine] = []
    seen: set[tuple[str, str, str]] = set()
    for place, row in read_chunk(chunk, list(columns.values()), done.broken):
        vacancy = parse_row(row, columns)
        if not isinstance(vacancy, Vacancy):
            done.broken.add(place, *vacancy)
            continue
        for graph, record in tagger.tag(vacancy, done.counts, place):
            if isinstance(record, VacancyLine):
                lines.append(record)
                continue
            if isinstance(record, Tagged):
                # A repeated title or sentence, such as boilerplate, adds nothing.
                if (graph, record.left, record.right) in seen:
                    done.counts[REPEATED] += 1
                    continue
                seen.add((graph, record.left, record.right))
                done.edges[f"{graph}/{record.relation}"] += 1
                done.skills[record.left] += 1
            records[graph].append(record)
    write_parts(job.folder, f"{number:05d}", records)
    if job.settings.lines:
        write_lines(job.folder, f"{number:05d}", map(line_values, lines))
    done.write(job.marker(number))
    return done.broken


@lru_cache(maxsize=1)  # a worker tags many chunks of one job with one lookup table of names
def _loaded(folder: str, stamp: int) -> tuple[TaggingJob, VacancyTagger]:
    del stamp  # part of the cache's key, so that a changed job is read again
    job = load_job(Path(folder))
    values = json.loads((job.folder / "taxonomy.json").read_text(encoding="utf-8"))
    skills = tuple(Skill(id, label, tuple(aliases)) for id, label, aliases in values["skills"])
    return job, VacancyTagger(Taxonomy(values["origin"], skills) if skills else None, job.settings)


def write_parts(folder: Path, name: str, records: Mapping[str, Sequence[Tagged | Sentence]]) -> None:
    """Writes the records of a chunk atomically into a job's folder, one Parquet file per graph that has any."""
    for graph, found in records.items():
        if found:
            schema, buffer = SCHEMAS[graph], pa.BufferOutputStream()
            columns = map(pa.array, zip(*found, strict=True), schema.types)
            table = pa.Table.from_arrays(list(columns), schema=schema)
            pq.write_table(table, buffer, compression="zstd", row_group_size=_GROUP)
            write_atomically(folder / graph / f"{name}.parquet", buffer.getvalue().to_pybytes())


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Streams the records of a part."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_GROUP):
            yield from batch.to_pylist()


@dataclass(frozen=True)
class PartEdges(Collection[Edge]):
    """The edges of parts, one after another, as a stream."""

    parts: Sequence[Path]

    def __len__(self) -> int:
        return sum(pq.read_metadata(part).num_rows for part in self.parts)

    def __contains__(self, edge: object) -> bool:
        return any(edge == each for each in self)

    def __iter__(self) -> Iterator[Edge]:
        for part in self.parts:
            for record in read_records(part):
                yield Edge(record["left_id"], record["left"], record["right_id"], record["right"], record["relation"])
