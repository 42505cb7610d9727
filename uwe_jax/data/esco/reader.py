"""Turns the CSV files of an ESCO release into edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from uwe_jax.base.errors import UserError
from uwe_jax.data.delimited import read_table
from uwe_jax.data.esco.release import EscoFile, EscoRelease
from uwe_jax.data.graph import Edge
from uwe_jax.data.notes import counted
from uwe_jax.data.problems import Problems, shorten
from uwe_jax.data.text import normalise

RELATIONS = ("essential", "optional")
ALTERNATIVE = "alternative"  # the relation of an alias

# The releases hold a few relations of concepts that were withdrawn (67 of 123,855 in 1.1.1). More than this
# share means that relations and classification do not belong together.
_MAX_UNKNOWN = 0.1


@dataclass(frozen=True)
class EscoEdges:
    """What was read, and what was left out."""

    edges: list[Edge]
    notes: list[str]  # a phrase per reason why rows gave no edge, with their number


def read_job_edges(release: EscoRelease, relations: str = "both") -> EscoEdges:
    """The skill-job graph: preferred labels of skills and of the occupations that need them.

    Args:
      release: with skills, occupations and relations.
      relations: essential, optional or both.

    Raises:
      UserError: a damaged zip, a missing column, broken rows, or relations of another release.
    """
    file = release.files["relations"]
    skills = read_concepts(release.files["skills"])
    occupations = read_concepts(release.files["occupations"])
    edges, total, unknown, unlabelled = [], 0, 0, 0
    problems = Problems(str(file))
    for line, (skill, occupation, relation) in read_table(
        file.read(),
        file.name,
        delimiter=",",
        required=("skillUri", "occupationUri", "relationType"),
        problems=problems,
    ):
        if relation not in RELATIONS:
            found = f"relationType {shorten(relation)}"
            problems.add(f"{file.name}, line {line}", found, " or ".join(RELATIONS))
            continue
        total += 1
        if skill not in skills.labels or occupation not in occupations.labels:
            unknown += 1
        elif not skills.labels[skill] or not occupations.labels[occupation]:
            unlabelled += 1
        elif relations in (relation, "both"):
            edges.append(Edge(skill, skills.labels[skill], occupation, occupations.labels[occupation], relation))
    problems.check()
    if unknown > _MAX_UNKNOWN * total:
        raise UserError(
            f"{unknown:,} of {total:,} relations in {file} name a skill or an occupation that is not in "
            f"{release.files['skills']} or {release.files['occupations']}: they are not of one release. "
            "Expected a classification and relations of the same version: download both again and keep their "
            "names."
        )
    notes = [
        *skills.notes,
        *occupations.notes,
        *counted(unknown, f"of {total:,} relations name a concept that the classification does not hold"),
        *counted(unlabelled, f"of {total:,} relations name a concept without a label in {release.language!r}"),
    ]
    return EscoEdges(edges, notes)


def read_alias_edges(release: EscoRelease) -> EscoEdges:
    """The skill-alias graph: preferred labels of skills and their alternative labels.

    An alternative that differs from the preferred label in case alone is no alias.

    Args:
      release: with skills.

    Raises:
      UserError: a damaged zip, a missing column, or broken rows.
    """
    skills = read_concepts(release.files["skills"], alternatives=True)
    edges = []
    for uri, label in skills.labels.items():
        for alias in skills.alternatives_of(uri):
            if label and alias.casefold() != label.casefold():
                edges.append(Edge(uri, label, "", alias, ALTERNATIVE))
    return EscoEdges(edges, list(skills.notes))


@dataclass(frozen=True)
class Concepts:
    """The concepts of one file, in its order. Shared by all that read the file: not to be changed.

    Attributes:
      labels: preferred label per concept URI, normalised; "" where the language has none.
      alternatives: alternative labels per concept URI as the file has them, one a line; "" without the column.
      notes: see `EscoEdges`.
    """

    labels: dict[str, str]
    alternatives: dict[str, str]
    notes: tuple[str, ...]

    def alternatives_of(self, uri: str) -> list[str]:
        """The distinct alternative labels of a concept, normalised, in the file's order."""
        return [text for text in dict.fromkeys(map(normalise, self.alternatives[uri].split("\n"))) if text]


def read_concepts(file: EscoFile, *, alternatives: bool = False) -> Concepts:
    """Skills or occupations with their labels. A file is read once in a process, as long as it stays the same.

    Args:
      file: of the role skills or occupations.
      alternatives: are wanted too, so their column must be there.

    Raises:
      UserError: a damaged zip, a missing column, or broken rows.
    """
    concepts = _read_concepts(file, file.stamp)
    if alternatives and not any(concepts.alternatives.values()):
        read_table(file.read(), file.name, delimiter=",", required=("altLabels",), problems=Problems(str(file)))
    return concepts


@lru_cache(maxsize=8)
def _read_concepts(file: EscoFile, stamp: tuple[int, int]) -> Concepts:
    del stamp  # a file written anew is another entry of the cache
    problems = Problems(str(file))
    labels: dict[str, str] = {}
    alternatives: dict[str, str] = {}
    for line, (uri, label, others) in read_table(
        file.read(),
        file.name,
        delimiter=",",
        required=("conceptUri", "preferredLabel"),
        optional=("altLabels",),
        problems=problems,
    ):
        if not uri:
            problems.add(f"{file.name}, line {line}", "no conceptUri", "the URI of the concept")
            continue
        labels[uri] = normalise(label)
        alternatives[uri] = others
    problems.check()
    unlabelled = sum(not label for label in labels.values())
    notes = counted(unlabelled, f"of {len(labels):,} concepts in {file.name} have no preferred label")
    return Concepts(labels, alternatives, tuple(notes))
