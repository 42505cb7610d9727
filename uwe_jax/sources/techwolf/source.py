"""Two datasets of the hub as a source: synthetic vacancy sentences of ESCO skills, and skills tagged in vacancies.

Only the splits for training are read. The validation split of the tagged vacancies is that of WorkBench's tasks
between jobs and skills, so it is never trained on.
"""

from __future__ import annotations

from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.folders import check_folder
from uwe_jax.sources.hub.dataset import DataMissing, HubDataset, find_copy, load_hub_rows, read_copy
from uwe_jax.sources.notes import noted
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest
from uwe_jax.sources.tables.chunk import Row

SPLIT = "train"
# Ten sentences for nearly every skill of ESCO 1.1.0, written by a language model (arXiv 2307.10778).
SENTENCES = HubDataset("TechWolf/Synthetic-ESCO-skill-sentences", {"sentence": "text", "skill": "text"})
# Skills that the publisher found in the descriptions of vacancies; the labels are English ones of ESCO 1.2.0.
TAGGED_VACANCIES = HubDataset(
    "TechWolf/vacancy-job-to-skill", {"vacancy_job_title": "text", "tagged_esco_skills": "texts"}
)

# Per graph its dataset, the columns of the skills and of the other side, and the relation of its edges.
_GRAPHS = {
    "skill_vacancy": (SENTENCES, "skill", "sentence", "synthetic"),
    "skill_job": (TAGGED_VACANCIES, "tagged_esco_skills", "vacancy_job_title", "tagged"),
}


def _read(request: SourceRequest) -> SourceEdges:
    origins: list[str] = []
    edges: dict[str, list[Edge]] = {}
    notes: list[str] = []
    for name in request.graphs:
        dataset, left, right, relation = _GRAPHS[name]
        rows, origin = _rows(dataset, request)
        found = [
            Edge("", normalise(skill), "", normalise(row[right]), relation)
            for row in rows
            for skill in ([row[left]] if isinstance(row[left], str) else row[left])
        ]
        edges[name] = [edge for edge in found if edge.left_text and edge.right_text]
        if not edges[name]:
            raise UserError(f"{origin} gives 0 edges in {len(rows):,} rows. Expected at least one: check its files.")
        origins.append(origin)
        notes += noted(len(found) - len(edges[name]), "pair", f"of {dataset.repo} without a text left out")
    return SourceEdges(" and ".join(origins), edges, tuple(notes))


def _rows(dataset: HubDataset, request: SourceRequest) -> tuple[list[Row], str]:
    """Reads the rows for training and their origin: a copy in the user's folder, if there is one, else the hub."""
    copy = None
    if request.path:
        folder = request.folder("a folder with copies of the datasets")
        check_folder(folder, f"Expected {request.setting}.path to be a folder, or empty for the hub.")
        copy = find_copy(dataset, folder)
    rows = read_copy(dataset, SPLIT, copy) if copy else None
    if rows is not None:
        return rows, f"{dataset.repo} in {copy}"
    try:
        return load_hub_rows(dataset, SPLIT, request.cache_dir)
    except DataMissing as error:
        held = f"{copy} has no file of the split {SPLIT!r}" if copy else "there is no folder of its name"
        looked = f" In {request.path} {held}." if request.path else ""
        raise UserError(f"{error}{looked} Or leave this graph out of {request.setting}.graphs.") from error


# The tagged vacancies are not a default: a copy may hold the split for evaluation alone.
SOURCE = Source({"skill_vacancy": "vacancy", "skill_job": "job"}, _read, default=("skill_vacancy",))
