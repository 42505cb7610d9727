"""A tagging job: a folder that says what is to be done, and holds what was done, chunk by chunk.

    job.json                         settings, columns and chunks; written last when a job is made
    taxonomy.json                    skills
    skill_job/00000.parquet          edges of chunk 0, and so on; likewise skill_vacancy/ and sentences/
    done/00000.json                  counts of chunk 0, written when all of its files are there

Each file appears whole, so whoever is killed loses the chunks in hand and nothing else, and whoever runs the job again,
here or on another machine that sees the folder, does what is not done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically, write_json
from uwe_jax.runtime.printable import json_text
from uwe_jax.sources.notes import counted
from uwe_jax.sources.tables.chunk import Chunk
from uwe_jax.sources.tables.chunks import cut, read_chunk, stamp
from uwe_jax.sources.tables.problems import BrokenRows
from uwe_jax.sources.taxonomy import Skill, Taxonomy
from uwe_jax.sources.vacancies.columns import Vacancy, parse_row
from uwe_jax.sources.vacancies.files import VacancyFile
from uwe_jax.sources.vacancies.parts import PartWriter
from uwe_jax.sources.vacancies.tagger import (
    JOB,
    LEFT_OUT,
    REPEATED,
    ROWS,
    SENTENCES,
    VACANCY,
    Tagged,
    TagSettings,
    VacancyTagger,
)

# Raise it whenever the same files and settings give other edges or numbers.
VERSION = "1.0.3"
CHUNK_ROWS = 2_000
MAX_BROKEN = 0.01


@dataclass
class ChunkDone:
    """What became of a chunk, or of several.

    Attributes:
      counts: by what was counted.
      edges: number per graph and relation, as skill_job/given.
      skills: edges per skill.
      broken: rows that could not be read.
    """

    counts: Counter[str] = field(default_factory=Counter)
    edges: Counter[str] = field(default_factory=Counter)
    skills: Counter[str] = field(default_factory=Counter)
    broken: BrokenRows = field(default_factory=BrokenRows)

    def merge(self, other: ChunkDone) -> None:
        """Adds another's numbers."""
        self.counts.update(other.counts)
        self.edges.update(other.edges)
        self.skills.update(other.skills)
        self.broken.merge(other.broken)

    def notes(self) -> list[str]:
        """Phrases on what was left out, with their numbers."""
        rows = self.counts[ROWS] + self.broken.count
        notes = []
        if self.broken.count:
            notes.append(f"{self.broken.count:,} broken rows of {rows:,} left out: {self.broken.shown[0]}")
        for what in LEFT_OUT:
            notes += counted(self.counts[what], what)
        return notes

    @classmethod
    def read(cls, path: Path) -> ChunkDone:
        """What `write` has written.

        Raises:
          UserError: it is damaged.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            broken = BrokenRows(**values.pop("broken"))
            return cls(**{name: Counter(numbers) for name, numbers in values.items()}, broken=broken)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise UserError(
                f"{path}, the counts of a chunk, is damaged ({error}). Remove it, and the chunk is tagged again."
            ) from error

    def write(self, path: Path) -> None:
        """As JSON, atomically."""
        write_json(path, {**vars(self), "broken": self.broken.to_dict()})


@dataclass(frozen=True)
class TaggingJob:
    """A job as its folder says.

    Attributes:
      folder: of the job; other processes and machines must see it under this name.
      settings: of the tagging.
      columns: by role, per file.
      chunks: the work.
      max_broken: share of rows that may be broken before the job stops.
    """

    folder: Path
    settings: TagSettings
    columns: dict[str, dict[str, str]]
    chunks: tuple[Chunk, ...]
    max_broken: float

    @property
    def rows(self) -> int:
        """Of all chunks."""
        return sum(chunk.rows for chunk in self.chunks)

    def left(self) -> list[int]:
        """Numbers of the chunks that are not done."""
        return [number for number in range(len(self.chunks)) if not self.marker(number).exists()]

    def marker(self, number: int) -> Path:
        """The file that says that a chunk is done."""
        return self.folder / "done" / f"{number:05d}.json"

    def parts(self, graph: str) -> list[Path]:
        """The files of a graph, chunk by chunk, those that a chunk has."""
        return sorted((self.folder / graph).glob("*.parquet"))

    def totals(self) -> ChunkDone:
        """The numbers of all chunks that are done.

        Raises:
          UserError: more rows are broken than `max_broken` allows.
        """
        total = ChunkDone()
        for number in range(len(self.chunks)):
            if self.marker(number).exists():
                total.merge(ChunkDone.read(self.marker(number)))
        self.check(total.broken)
        return total

    def check(self, broken: BrokenRows) -> None:
        """Raises UserError if more rows are broken than `max_broken` allows."""
        if broken.count > self.max_broken * self.rows:
            files = ", ".join(list(self.columns)[:3]) + (" and others" if len(self.columns) > 3 else "")
            raise broken.error(
                files,
                f"That is more than {self.max_broken:.2%} of {self.rows:,} rows, so nothing is taken from these files. "
                "Correct the rows and run again.",
            )


def job_key(files: Sequence[VacancyFile], taxonomy: Taxonomy | None, settings: TagSettings, chunk_rows: int) -> str:
    """Sixteen hexadecimal digits that change with the content of any file, the taxonomy or a setting."""
    told = [
        VERSION,
        [[*file.signature(), file.columns] for file in files],
        taxonomy.digest if taxonomy else "",
        dataclasses.asdict(settings),
        chunk_rows,
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def open_job(
    folder: Path,
    files: Sequence[VacancyFile],
    taxonomy: Taxonomy | None,
    settings: TagSettings,
    *,
    chunk_rows: int = CHUNK_ROWS,
    max_broken: float = MAX_BROKEN,
) -> TaggingJob:
    """The job in a folder, made where there is none yet.

    Args:
      folder: named by `job_key`, so that what it holds belongs to these files and settings.

    Raises:
      UserError: a file cannot be cut into chunks, or no file has a row.
    """
    if (folder / "job.json").exists():
        return dataclasses.replace(_moved(load_job(folder), files), max_broken=max_broken)
    chunks = [
        chunk for file in files for chunk in cut(file.path.resolve(), file.name, chunk_rows, [*file.columns.values()])
    ]
    if not chunks:
        raise UserError(f"{', '.join(file.name for file in files)}: 0 rows. Expected at least one vacancy.")
    write_atomically(folder / "taxonomy.json", _taxonomy_json(taxonomy))
    for name in ("done", JOB, VACANCY, SENTENCES):
        (folder / name).mkdir(parents=True, exist_ok=True)
    columns = {file.name: file.columns for file in files}
    described = {
        "settings": dataclasses.asdict(settings),
        "columns": columns,
        "chunks": [dataclasses.asdict(chunk) for chunk in chunks],
    }
    write_json(folder / "job.json", described)
    return TaggingJob(folder, settings, columns, tuple(chunks), max_broken)


def _moved(job: TaggingJob, files: Sequence[VacancyFile]) -> TaggingJob:
    """The job with its files where they are now: the same content may have come to lie elsewhere since."""
    places = {file.name: (str(file.path.resolve()), *stamp(file.path)) for file in files}
    chunks = tuple(
        dataclasses.replace(chunk, path=path, size=size, mtime_ns=mtime_ns)
        for chunk in job.chunks
        for path, size, mtime_ns in [places[chunk.name]]
    )
    if chunks == job.chunks:
        return job
    described = json.loads((job.folder / "job.json").read_text(encoding="utf-8"))
    write_json(job.folder / "job.json", {**described, "chunks": [dataclasses.asdict(chunk) for chunk in chunks]})
    return dataclasses.replace(job, chunks=chunks)


def load_job(folder: Path) -> TaggingJob:
    """The job that was made in a folder.

    Raises:
      UserError: its description is damaged.
    """
    try:
        values = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        chunks = tuple(Chunk(**chunk) for chunk in values["chunks"])
        return TaggingJob(folder, TagSettings(**values["settings"]), values["columns"], chunks, MAX_BROKEN)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{folder / 'job.json'} is damaged ({error}). Remove {folder} to start again.") from error


def run_chunk(number: int, folder: str) -> dict[str, Any]:
    """Does one chunk of the job in a folder: the unit of work of a process, and of a Beam worker.

    Returns:
      Number and count of broken rows, with the first of them: plain values, for whoever waits.
    """
    job, tagger = _loaded(folder, (Path(folder) / "job.json").stat().st_mtime_ns)
    chunk, done = job.chunks[number], ChunkDone()
    seen: set[tuple[str, str, str]] = set()
    with PartWriter(job.folder, number) as writer:
        for vacancy in _vacancies(job, chunk, done.broken):
            for graph, record in tagger.tag(vacancy, done.counts):
                if isinstance(record, Tagged):
                    # A title or sentence that comes again, as boilerplate does, says nothing new.
                    if (graph, record.left, record.right) in seen:
                        done.counts[REPEATED] += 1
                        continue
                    seen.add((graph, record.left, record.right))
                    done.edges[f"{graph}/{record.relation}"] += 1
                    done.skills[record.left] += 1
                writer.add(graph, record)
    done.write(job.marker(number))
    return {"number": number, "broken": done.broken.to_dict()}


def _vacancies(job: TaggingJob, chunk: Chunk, broken: BrokenRows) -> Iterator[Vacancy]:
    columns = job.columns[chunk.name]
    for place, row in read_chunk(chunk, list(columns.values()), broken):
        vacancy = parse_row(row, columns)
        if isinstance(vacancy, Vacancy):
            yield vacancy
        else:
            broken.add(place, *vacancy)


@lru_cache(maxsize=1)  # a worker does many chunks of one job, and the names are looked up in one table
def _loaded(folder: str, stamp: int) -> tuple[TaggingJob, VacancyTagger]:
    del stamp  # a job that was written anew is read anew
    job = load_job(Path(folder))
    values = json.loads((job.folder / "taxonomy.json").read_text(encoding="utf-8"))
    skills = tuple(Skill(id, label, tuple(aliases)) for id, label, aliases in values["skills"])
    taxonomy = Taxonomy(values["origin"], skills) if skills else None
    return job, VacancyTagger(taxonomy, job.settings)


def _taxonomy_json(taxonomy: Taxonomy | None) -> bytes:
    values = {"origin": taxonomy.origin, "skills": taxonomy.skills} if taxonomy else {"origin": "", "skills": []}
    return json_text(values).encode()
