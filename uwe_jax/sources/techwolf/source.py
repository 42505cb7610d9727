"""Two datasets of the hub as a source: synthetic vacancy sentences of ESCO skills, and skills tagged in vacancies.

Only the splits for training are read. The validation split of the tagged vacancies is that of WorkBench's tasks
between jobs and skills, so it is never trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.folders import check_folder
from uwe_jax.sources.hub.dataset import find_copy, hub_origin, load_hub_rows, read_copy
from uwe_jax.sources.hub.declaration import DataMissing, HubDataset
from uwe_jax.sources.notes import counted
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest
from uwe_jax.sources.tables.typed_rows import Row

SPLIT = "train"
# Ten sentences for nearly every skill of ESCO 1.1.0, written by a language model (arXiv 2307.10778).
SENTENCES = HubDataset("TechWolf/Synthetic-ESCO-skill-sentences", {"sentence": "text", "skill": "text"})
# Skills that the publisher found in the descriptions of vacancies; the labels are English ones of ESCO 1.2.0.
TAGGED_VACANCIES = HubDataset(
    "TechWolf/vacancy-job-to-skill", {"vacancy_job_title": "text", "tagged_esco_skills": "texts"}
)


@dataclass(frozen=True)
class _Graph:
    """Which columns of a dataset are the two sides of its edges."""

    dataset: HubDataset
    skills: str
    neighbour: str
    relation: str

    def edges(self, rows: list[Row]) -> Iterator[Edge]:
        """An edge per row and skill in it; texts may be empty."""
        for row in rows:
            skills = row[self.skills]
            neighbour = normalise(row[self.neighbour])
            for skill in [skills] if isinstance(skills, str) else skills:
                yield Edge("", normalise(skill), "", neighbour, self.relation)


_GRAPHS = {
    "skill_vacancy": _Graph(SENTENCES, "skill", "sentence", "synthetic"),
    "skill_job": _Graph(TAGGED_VACANCIES, "tagged_esco_skills", "vacancy_job_title", "tagged"),
}


def read(request: SourceRequest) -> SourceEdges:
    """The graphs from copies in the user's folder, where one is named and holds them, else from the hub.

    Raises:
      UserError: no such folder, a graph that neither gives, or rows that are not as published.
    """
    origins: list[str] = []
    edges: dict[str, list[Edge]] = {}
    notes: list[str] = []
    for name in request.graphs:
        graph = _GRAPHS[name]
        rows, origin = _rows(graph.dataset, request)
        found = list(graph.edges(rows))
        edges[name] = [edge for edge in found if edge.left_text and edge.right_text]
        if not edges[name]:
            raise UserError(f"{origin} gives 0 edges in {len(rows):,} rows. Expected at least one: look at its files.")
        origins.append(origin)
        notes += counted(len(found) - len(edges[name]), f"pairs of {graph.dataset.repo} without a text left out")
    return SourceEdges(" and ".join(origins), edges, tuple(notes))


def _rows(dataset: HubDataset, request: SourceRequest) -> tuple[list[Row], str]:
    """The rows for training, and where they are from."""
    copy = None
    if request.path:
        folder = request.folder("a folder with copies of the datasets")
        check_folder(folder, f"Expected {request.setting}.path to be a folder, or empty for the hub.")
        copy = find_copy(dataset, folder)
    rows = read_copy(dataset, SPLIT, copy) if copy else None
    if rows is not None:
        return rows, f"{dataset.repo} in {copy}"
    try:
        return (
            load_hub_rows(dataset, SPLIT, request.cache_dir),
            hub_origin(dataset, SPLIT, request.cache_dir),
        )
    except DataMissing as error:
        held = f"{copy} has no file of the split {SPLIT!r}" if copy else "no folder is named like it"
        looked = f" In {request.path} {held}." if request.path else ""
        raise UserError(f"{error}{looked} Or leave this graph out of {request.setting}.graphs.") from error


# The tagged vacancies have to be asked for: they may hold nothing but the split that evaluates.
SOURCE = Source({"skill_vacancy": "vacancy", "skill_job": "job"}, read, default=("skill_vacancy",))
