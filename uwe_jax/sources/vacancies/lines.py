"""One line of JSON per vacancy, with all its skills and the sentences that name them.

A part per chunk is written beside those of the edges, and another one where a model has added skills. `join_lines`
makes one file of them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.runtime.files import naming, write_atomically
from uwe_jax.runtime.printable import json_text

LINES = "vacancies"  # folder of the parts
FILE = "vacancies.jsonl"
BY_MODEL = "-model"  # behind the number of a part with the skills of a model


class Found(NamedTuple):
    """A skill of a vacancy; its fields are documented in docs/vacancies.md."""

    id: str
    label: str
    relation: str
    probability: float | None
    score: float
    sentence: str
    span: str


class VacancyLine(NamedTuple):
    """A vacancy with its skills, each once."""

    id: str
    row: str  # its file and line
    title: str
    skills: list[Found]


def write_lines(folder: Path, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Writes the part of a chunk atomically."""
    text = "".join(f"{json_text(line)}\n" for line in lines)
    write_atomically(folder / LINES / f"{name}.jsonl", text.encode())


def line_values(line: VacancyLine) -> dict[str, Any]:
    """Returns a vacancy as JSON has it."""
    return {**line._asdict(), "skills": [skill._asdict() for skill in line.skills]}


def add_skills(folder: Path, name: str, added: Mapping[int, Iterable[Found]]) -> int:
    """Writes the part of a chunk again, with further skills by the number of their row from 1.

    Returns:
      The number of skills that their vacancies did not have.
    """
    count = 0

    def lines() -> Iterator[dict[str, Any]]:
        nonlocal count
        for row, line in enumerate(read_lines(folder / LINES / f"{name}.jsonl"), 1):
            known = {skill["label"] for skill in line["skills"]}
            further = [skill._asdict() for skill in added.get(row, ()) if skill.label not in known]
            count += len(further)
            yield {**line, "skills": line["skills"] + further}

    write_lines(folder, f"{name}{BY_MODEL}", lines())
    return count


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Streams the vacancies of a file."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def join_lines(folder: Path, chunks: int) -> None:
    """Writes the vacancies of all chunks of a folder into one file, in their order."""
    partial = folder / f".{FILE}.partial"
    with naming(partial), partial.open("wb") as joined:
        for number in range(chunks):
            part = folder / LINES / f"{number:05d}{BY_MODEL}.jsonl"
            with (part if part.exists() else folder / LINES / f"{number:05d}.jsonl").open("rb") as file:
                shutil.copyfileobj(file, joined)
        joined.flush()
        os.fsync(joined.fileno())
    partial.replace(folder / FILE)
