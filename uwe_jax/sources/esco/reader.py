"""Turns the CSV files of an ESCO release into edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco.release import EscoFile, EscoRelease
from uwe_jax.sources.notes import noted_of
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import read_table, stamp

RELATIONS = ("essential", "optional")

# Releases hold a few relations of withdrawn concepts (67 of 123,855 in 1.1.1). A larger share than this means that
# relations and classification are of different releases.
_MAX_UNKNOWN = 0.1


class EscoEdges(NamedTuple):
    """Edges, and a phrase with a number per reason why rows gave no edge."""

    edges: list[Edge]
    notes: list[str]


def read_job_edges(release: EscoRelease, relations: str = "both") -> EscoEdges:
    """Reads the skill-job graph: preferred labels of skills and of the occupations that need them.

    `relations` are essential, optional or both.

    Raises:
      UserError: a damaged zip, a missing column, broken rows, or relations of another release.
    """
    return _read_relations(release, "relations", ("skillUri", "occupationUri"), ("skills", "occupations"), relations)


def read_skill_edges(release: EscoRelease, relations: str = "both") -> EscoEdges:
    """Reads the skill-skill graph: preferred labels of skills and of the skills they draw on, mostly knowledge.

    Only in the direction that ESCO states: the mirrored edge of a held-out skill would be trained on from the other
    side, where the same text may not be held out. Arguments and errors are those of `read_job_edges`.
    """
    columns = ("originalSkillUri", "relatedSkillUri")
    return _read_relations(release, "skill_relations", columns, ("skills", "skills"), relations)


def read_alias_edges(release: EscoRelease, role: str = "skills") -> EscoEdges:
    """Reads preferred labels and their alternative labels, without those that differ in case alone.

    The role is skills, or occupations, whose alternative labels are job titles.

    Raises:
      UserError: a damaged zip, a missing column, or broken rows.
    """
    concepts = read_concepts(release, role, alternatives=True)
    edges = [
        Edge(uri, label, "", alias, "alternative")
        for uri, label in concepts.labels.items()
        for alias in concepts.alternatives_of(uri)
        if label and alias.casefold() != label.casefold()
    ]
    return EscoEdges(edges, list(concepts.notes))


def read_description_edges(release: EscoRelease, role: str = "skills") -> EscoEdges:
    """Reads preferred labels and their descriptions of a few sentences; arguments as of `read_alias_edges`."""
    concepts = read_concepts(release, role, descriptions=True)
    edges, without = [], 0
    for uri, label in concepts.labels.items():
        text = normalise(concepts.descriptions[uri])
        if not text or text.casefold() == label.casefold():
            without += 1
        elif label:
            edges.append(Edge(uri, label, "", text, "description"))
    none = noted_of(without, len(concepts.labels), "concept", "without a description other than the label")
    return EscoEdges(edges, [*concepts.notes, *none])


def _read_relations(
    release: EscoRelease, role: str, columns: tuple[str, str], sides: tuple[str, str], relations: str
) -> EscoEdges:
    """Reads the relations in the file of `role`: `columns` hold the URIs of concepts of the roles `sides`."""
    file, files = release.files[role], [release.files[side] for side in sides]
    left, right = map(_read_file, files)
    edges, total, unknown, unlabelled = [], 0, 0, 0
    problems = Problems(str(file))
    for line, (one, other, relation) in read_table(
        file.read(), file.name, delimiter=",", required=(*columns, "relationType"), problems=problems
    ):
        if relation not in RELATIONS:
            found = f"relationType {shorten(relation)}"
            problems.add(f"{file.name}, line {line}", found, " or ".join(RELATIONS))
            continue
        total += 1
        if one not in left.labels or other not in right.labels:
            unknown += 1
        elif not left.labels[one] or not right.labels[other]:
            unlabelled += 1
        elif relations in (relation, "both"):
            edges.append(Edge(one, left.labels[one], other, right.labels[other], relation))
    problems.check()
    distinct = list(dict.fromkeys(files))
    if unknown > _MAX_UNKNOWN * total:
        raise UserError(
            f"{unknown:,} of {total:,} relations in {file} name a concept that is not in "
            f"{' or '.join(map(str, distinct))}: they are not of one release. Expected a classification and relations "
            "of the same version: download both again and keep their names."
        )
    notes = [
        *(note for each in distinct for note in _read_file(each).notes),
        *noted_of(unknown, total, "relation", "of a concept that the classification does not hold"),
        *noted_of(unlabelled, total, "relation", f"of a concept without a label in {release.language!r}"),
    ]
    return EscoEdges(edges, notes)


@dataclass(frozen=True)
class Concepts:
    """Concepts by URI, in the order of their file. Shared by all callers: do not modify."""

    labels: dict[str, str]  # preferred ones, normalised; "" where the language has none
    alternatives: dict[str, str]  # alternative labels as in the file, one per line; "" without the column
    descriptions: dict[str, str]  # as in the file; "" without the column
    notes: tuple[str, ...]  # see `EscoEdges`

    def alternatives_of(self, uri: str) -> list[str]:
        """Returns the distinct alternative labels of a concept, normalised, in the file's order."""
        return [text for text in dict.fromkeys(map(normalise, self.alternatives[uri].split("\n"))) if text]


def read_concepts(
    release: EscoRelease, role: str, *, alternatives: bool = False, descriptions: bool = False
) -> Concepts:
    """Reads skills or occupations with their labels; cached within a process until a file changes.

    Labels and descriptions are in the release's first language. All labels in the further ones are alternatives.
    Alternative labels and descriptions are optional unless required.

    Raises:
      UserError: a damaged zip, a missing column, or broken rows.
    """
    file, further = release.files[role], [_read_file(each) for each in release.further.get(role, ())]
    concepts = _read_file(file)
    if further:
        alternatives_of = {uri: [text] for uri, text in concepts.alternatives.items()}
        for each in further:
            for uri in alternatives_of.keys() & each.labels.keys():
                alternatives_of[uri] += [each.labels[uri], each.alternatives[uri]]
        merged = {uri: "\n".join(texts) for uri, texts in alternatives_of.items()}
        notes = tuple(note for each in (concepts, *further) for note in each.notes)
        concepts = replace(concepts, alternatives=merged, notes=notes)
    wanted = ((alternatives, concepts.alternatives, "altLabels"), (descriptions, concepts.descriptions, "description"))
    for is_wanted, texts, column in wanted:
        if is_wanted and not any(texts.values()):
            read_table(file.read(), file.name, delimiter=",", required=(column,), problems=Problems(str(file)))
    return concepts


def _read_file(file: EscoFile) -> Concepts:
    return _read_unchanged(file, stamp(file.path))


@lru_cache(maxsize=8)
def _read_unchanged(file: EscoFile, changed: tuple[int, int]) -> Concepts:
    del changed  # part of the cache's key, so that a changed file is read again
    problems = Problems(str(file))
    concepts: dict[str, tuple[str, str, str]] = {}
    lines: dict[str, int] = {}
    for line, (uri, *texts) in read_table(
        file.read(),
        file.name,
        delimiter=",",
        required=("conceptUri", "preferredLabel"),
        optional=("altLabels", "description"),
        problems=problems,
    ):
        place = f"{file.name}, line {line}"
        if not uri:
            problems.add(place, "no conceptUri", "the URI of the concept")
        elif uri in concepts:
            problems.add(place, f"conceptUri {shorten(uri)} again (first in line {lines[uri]})", "a concept once")
        else:
            label, alternatives, description = texts
            lines[uri], concepts[uri] = line, (normalise(label), alternatives, description)
    problems.check()
    labels, others, descriptions = ({uri: texts[k] for uri, texts in concepts.items()} for k in range(3))
    unlabelled = sum(not label for label in labels.values())
    notes = noted_of(unlabelled, len(labels), "concept", f"in {file.name} without a preferred label")
    return Concepts(labels, others, descriptions, tuple(notes))
