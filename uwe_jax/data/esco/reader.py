"""Turns the CSV files of an ESCO release into edges."""

from __future__ import annotations

from dataclasses import dataclass

from uwe_jax.base.errors import UserError
from uwe_jax.data.delimited import read_table
from uwe_jax.data.esco.release import EscoFile, EscoRelease
from uwe_jax.data.graph import Edge
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
    skills = _Labels(release.files["skills"])
    occupations = _Labels(release.files["occupations"])
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
        *_note(unknown, f"of {total:,} relations name a concept that the classification does not hold"),
        *_note(unlabelled, f"of {total:,} relations name a concept without a label in {release.language!r}"),
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
    skills = _Labels(release.files["skills"], alternatives=True)
    edges = []
    for uri, label in skills.labels.items():
        aliases = dict.fromkeys(map(normalise, skills.alternatives[uri].split("\n")))
        for alias in aliases:
            if label and alias and alias.casefold() != label.casefold():
                edges.append(Edge(uri, label, "", alias, ALTERNATIVE))
    return EscoEdges(edges, skills.notes)


class _Labels:
    """Preferred label per concept URI, "" where the language has none."""

    def __init__(self, file: EscoFile, *, alternatives: bool = False):
        problems = Problems(str(file))
        required = ("conceptUri", "preferredLabel", *(("altLabels",) if alternatives else ()))
        self.labels: dict[str, str] = {}
        self.alternatives: dict[str, str] = {}
        for line, (uri, label, *others) in read_table(
            file.read(), file.name, delimiter=",", required=required, problems=problems
        ):
            if not uri:
                problems.add(f"{file.name}, line {line}", "no conceptUri", "the URI of the concept")
                continue
            self.labels[uri] = normalise(label)
            self.alternatives[uri] = others[0] if others else ""
        problems.check()
        unlabelled = sum(not label for label in self.labels.values())
        self.notes = _note(unlabelled, f"of {len(self.labels):,} concepts in {file.name} have no preferred label")


def _note(count: int, phrase: str) -> list[str]:
    return [f"{count:,} {phrase}"] if count else []
