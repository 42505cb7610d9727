"""Turns the CSV files of an ESCO release into edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco.release import EscoFile, EscoRelease
from uwe_jax.sources.notes import counted
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.typed_rows import read_table

RELATIONS = ("essential", "optional")
ALTERNATIVE = "alternative"  # the relation of an alias or a further title
DESCRIPTION = "description"

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
    files = (release.files["skills"], release.files["occupations"])
    return _read_relations(release, "relations", ("skillUri", "occupationUri"), files, relations)


def read_skill_edges(release: EscoRelease, relations: str = "both") -> EscoEdges:
    """The skill-skill graph: preferred labels of skills and of the skills that they draw on, mostly knowledge.

    In the one direction that ESCO states. With its mirror image beside it an edge of a held-out skill would be
    trained on from the other side, where the same text may not be held out.

    Args:
      release: with skills and skill_relations.
      relations: essential, optional or both.

    Raises:
      UserError: a damaged zip, a missing column, broken rows, or relations of another release.
    """
    files = (release.files["skills"], release.files["skills"])
    return _read_relations(release, "skill_relations", ("originalSkillUri", "relatedSkillUri"), files, relations)


def read_alias_edges(release: EscoRelease) -> EscoEdges:
    """The skill-alias graph: preferred labels of skills and their alternative labels.

    An alternative that differs from the preferred label in case alone is no alias.

    Args:
      release: with skills.

    Raises:
      UserError: a damaged zip, a missing column, or broken rows.
    """
    return _read_alternatives(release.files["skills"])


def read_title_edges(release: EscoRelease) -> EscoEdges:
    """The graph of job titles: preferred labels of occupations and their alternative labels, as `read_alias_edges`.

    Args:
      release: with occupations.
    """
    return _read_alternatives(release.files["occupations"])


def read_description_edges(release: EscoRelease) -> EscoEdges:
    """The graph of descriptions: preferred labels of skills and what ESCO says of them, a sentence or a few.

    Args:
      release: with skills.

    Raises:
      UserError: a damaged zip, a missing column, or broken rows.
    """
    return _read_descriptions(release.files["skills"])


def read_job_description_edges(release: EscoRelease) -> EscoEdges:
    """Preferred labels of occupations, in the place of skills, and what ESCO says of them, as `read_description_edges`.

    Args:
      release: with occupations.
    """
    return _read_descriptions(release.files["occupations"])


def _read_descriptions(file: EscoFile) -> EscoEdges:
    concepts = read_concepts(file, descriptions=True)
    edges, without = [], 0
    for uri, label in concepts.labels.items():
        text = normalise(concepts.descriptions[uri])
        if not text or text.casefold() == label.casefold():
            without += 1
        elif label:
            edges.append(Edge(uri, label, "", text, DESCRIPTION))
    none = counted(without, f"of {len(concepts.labels):,} concepts have no description but their label")
    return EscoEdges(edges, [*concepts.notes, *none])


def _read_alternatives(file: EscoFile) -> EscoEdges:
    concepts = read_concepts(file, alternatives=True)
    edges = []
    for uri, label in concepts.labels.items():
        for alias in concepts.alternatives_of(uri):
            if label and alias.casefold() != label.casefold():
                edges.append(Edge(uri, label, "", alias, ALTERNATIVE))
    return EscoEdges(edges, list(concepts.notes))


def _read_relations(
    release: EscoRelease, role: str, columns: tuple[str, str], files: tuple[EscoFile, EscoFile], relations: str
) -> EscoEdges:
    """The relations of two kinds of concepts.

    Args:
      role: of the file that holds them.
      columns: of it, with the URIs of the left and of the right side.
      files: of the concepts of either side.
      relations: essential, optional or both.
    """
    file = release.files[role]
    left, right = (read_concepts(each) for each in files)
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
        *(note for each in distinct for note in read_concepts(each).notes),
        *counted(unknown, f"of {total:,} relations name a concept that the classification does not hold"),
        *counted(unlabelled, f"of {total:,} relations name a concept without a label in {release.language!r}"),
    ]
    return EscoEdges(edges, notes)


@dataclass(frozen=True)
class Concepts:
    """The concepts of one file, in its order. Shared by all that read the file: not to be changed.

    Attributes:
      labels: preferred label per concept URI, normalised; "" where the language has none.
      alternatives: alternative labels per concept URI as the file has them, one a line; "" without the column.
      descriptions: per concept URI as the file has them; "" without the column.
      notes: see `EscoEdges`.
    """

    labels: dict[str, str]
    alternatives: dict[str, str]
    descriptions: dict[str, str]
    notes: tuple[str, ...]

    def alternatives_of(self, uri: str) -> list[str]:
        """The distinct alternative labels of a concept, normalised, in the file's order."""
        return [text for text in dict.fromkeys(map(normalise, self.alternatives[uri].split("\n"))) if text]


def read_concepts(file: EscoFile, *, alternatives: bool = False, descriptions: bool = False) -> Concepts:
    """Skills or occupations with their labels. A file is read once in a process, as long as it stays the same.

    Args:
      file: of the role skills or occupations.
      alternatives: are wanted too, so their column must be there.
      descriptions: are wanted too, so their column must be there.

    Raises:
      UserError: a damaged zip, a missing column, or broken rows.
    """
    concepts = _read_concepts(file, file.stamp)
    wanted = ((alternatives, concepts.alternatives, "altLabels"), (descriptions, concepts.descriptions, "description"))
    for is_wanted, texts, column in wanted:
        if is_wanted and not any(texts.values()):
            read_table(file.read(), file.name, delimiter=",", required=(column,), problems=Problems(str(file)))
    return concepts


@lru_cache(maxsize=8)
def _read_concepts(file: EscoFile, stamp: tuple[int, int]) -> Concepts:
    del stamp  # a file written anew is another entry of the cache
    problems = Problems(str(file))
    labels: dict[str, str] = {}
    places: dict[str, int] = {}
    alternatives: dict[str, str] = {}
    descriptions: dict[str, str] = {}
    for line, (uri, label, others, description) in read_table(
        file.read(),
        file.name,
        delimiter=",",
        required=("conceptUri", "preferredLabel"),
        optional=("altLabels", "description"),
        problems=problems,
    ):
        if not uri:
            problems.add(f"{file.name}, line {line}", "no conceptUri", "the URI of the concept")
            continue
        if uri in places:
            again = f"conceptUri {shorten(uri)} again (first in line {places[uri]})"
            problems.add(f"{file.name}, line {line}", again, "a concept once")
            continue
        places[uri] = line
        labels[uri] = normalise(label)
        alternatives[uri] = others
        descriptions[uri] = description
    problems.check()
    unlabelled = sum(not label for label in labels.values())
    notes = counted(unlabelled, f"of {len(labels):,} concepts in {file.name} have no preferred label")
    return Concepts(labels, alternatives, descriptions, tuple(notes))
