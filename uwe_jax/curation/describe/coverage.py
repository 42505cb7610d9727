"""Coverage of a taxonomy: its skills that are in the graphs, and their numbers of edges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uwe_jax.curation.describe.section import Grid, Section, examples, listed, with_share
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.text import comparable
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco.release import flags_of
from uwe_jax.sources.taxonomy import Taxonomy, find_taxonomy, read_taxonomy, taxonomy_instead

# Edges that a skill should have: one, and enough to learn from.
LEAST_EDGES = (1, 5)
_EXAMPLES = 20
_ANY = "any"


def measure(graphs: GraphSet, taxonomy: Taxonomy) -> dict[str, Any]:
    """Finds the skills of a taxonomy among those of the graphs, by id or by label in any spelling.

    Returns:
      origin; skills of the taxonomy; nodes: those that are a node; edges: by kind of the graph, and `any` for all
      together, the skills with at least so many edges, by LEAST_EDGES; uncovered: skills without any edge, examples
      of them, and how many have an alias that is a skill of the graphs (as_alias) or a label that is the text of a
      neighbour (as_neighbour); foreign: skills of the graphs with an edge that are not in the taxonomy, and
      foreign_examples.
    """
    texts: dict[str, list[int]] = {}
    for place, text in enumerate(graphs.skills):
        texts.setdefault(comparable(text), []).append(place)
    ids = {identity: [place] for place, identity in enumerate(graphs.skill_ids)}
    skills = taxonomy.skills
    nodes = [{*texts.get(comparable(skill.label), ()), *ids.get(skill.id, ())} for skill in skills]
    owners = np.repeat(np.arange(len(skills)), [len(each) for each in nodes])
    places = np.fromiter((place for each in nodes for place in each), np.int64, len(owners))
    degrees = {kind: np.diff(graph.edges.indptr) for kind, graph in graphs.graphs.items()}
    degrees[_ANY] = sum(degrees.values(), np.zeros(len(graphs.skills), np.int64))
    edges = {kind: np.bincount(owners, each[places], len(skills)) for kind, each in degrees.items()}

    uncovered = [skills[place] for place in np.flatnonzero(edges[_ANY] == 0)]
    neighbours = set(map(comparable, (text for graph in graphs.graphs.values() for text in graph.neighbours)))
    connected = {text for text, found in texts.items() if degrees[_ANY][found].any()}
    theirs = np.zeros(len(graphs.skills), bool)
    theirs[places] = True
    foreign = np.flatnonzero(~theirs & (degrees[_ANY] > 0))
    return {
        "origin": taxonomy.origin,
        "skills": len(skills),
        "nodes": sum(map(bool, nodes)),
        "edges": {
            kind: {str(least): int(np.count_nonzero(each >= least)) for least in LEAST_EDGES}
            for kind, each in edges.items()
        },
        "uncovered": len(uncovered),
        "examples": examples([skill.label for skill in uncovered], _EXAMPLES),
        "as_alias": sum(not connected.isdisjoint(map(comparable, skill.aliases)) for skill in uncovered),
        "as_neighbour": sum(comparable(skill.label) in neighbours for skill in uncovered),
        "foreign": len(foreign),
        "foreign_examples": examples([graphs.skills[place] for place in foreign], _EXAMPLES),
    }


def find(path: Path | None, folders: Iterable[Path], language: str, version: str) -> Taxonomy:
    """Reads the taxonomy at `path`, or the first one in folders of downloads.

    Raises:
      UserError: there is none, or it is damaged.
    """
    flags = flags_of("source")
    if path is not None:
        return read_taxonomy(path, language=language, version=version, flags=flags)
    instead = ""
    for folder in folders:
        if found := find_taxonomy(folder, language=language, version=version):
            return found
        instead = instead or taxonomy_instead(folder, language, version, flags)
    raise UserError(f"Name one with --taxonomy, a file of labels or the folder of the ESCO zips.{instead}")


def section(found: Mapping[str, Any]) -> Section:
    """Renders coverage with examples of uncovered skills, or why there is no taxonomy."""
    title = "Coverage of a taxonomy"
    if "missing" in found:
        return Section(title, [f"No taxonomy to compare with. {found['missing']}"])
    total = found["skills"]
    rows = [
        ["all graphs" if kind == _ANY else f"skill-{kind}", *(with_share(count, total) for count in each.values())]
        for kind, each in found["edges"].items()
    ]
    notes = []
    if found["uncovered"]:
        notes.append(f"Without an edge: {with_share(found['uncovered'], total)}, such as {listed(found['examples'])}.")
    if found["as_alias"] or found["as_neighbour"]:
        notes.append(
            f"Of these, {found['as_alias']:,} have an alias that is a skill of the graphs, and "
            f"{found['as_neighbour']:,} a label that is the text of a neighbour."
        )
    if found["foreign"]:
        shown = listed(found["foreign_examples"])
        notes.append(f"Skills of the graphs that are not in the taxonomy: {found['foreign']:,}, such as {shown}.")
    return Section(
        title,
        [f"{found['origin']} has {total:,} skills; {with_share(found['nodes'], total)} are nodes."],
        [Grid(("skills with edges in", *(f"at least {least}" for least in LEAST_EDGES)), rows)],
        notes,
    )
