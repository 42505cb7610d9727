"""The sources that go into a composition, and the composition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from uwe_jax.data.graph_set import GraphSet
from uwe_jax.sources.mixture.columns import EdgeColumns


@dataclass(frozen=True)
class PartInfo:
    """The description of a source of a mixture."""

    name: str  # in the configuration
    origin: str  # what was read from where
    weight: float  # of each of its edges, above 0
    notes: tuple[str, ...] = ()  # phrases on what was left out


@dataclass(frozen=True, eq=False)
class Part:
    """A source of a mixture."""

    info: PartInfo
    edges: Mapping[str, EdgeColumns]  # by name of the graph
    kinds: Mapping[str, str]  # of each graph: job, vacancy, alias or title
    jobs: frozenset[str] = frozenset()  # graphs with a job in the place of a skill; see `Source.jobs`
    # By kind of node, skill or job: its nodes on the left, a further name of each on the right.
    names: Mapping[str, Sequence[EdgeColumns]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Statements:
    """Provenance of the edges of one graph: a row per edge, source, relation and role, sorted in this order."""

    left: np.ndarray  # int32 [s], positions in the graph's skills
    right: np.ndarray  # int32 [s], positions in the graph's neighbours
    part: np.ndarray  # unsigned [s], positions in the composition's parts
    relation: np.ndarray  # unsigned [s], positions in the composition's relations
    of_jobs: np.ndarray  # bool [s], whether the left node is a job, in the place of a skill; see `Part.jobs`


@dataclass(frozen=True, eq=False)
class Composition:
    """The graphs of a mixture, and the provenance of each edge."""

    graphs: GraphSet  # for training
    parts: tuple[PartInfo, ...]  # those with an edge, in the order of the configuration
    relations: tuple[str, ...]  # the sources' names for their edges
    statements: Mapping[str, Statements]  # by kind, as in `graphs`
    notes: tuple[str, ...] = ()  # phrases on what was joined and left out in merging

    def counts(self) -> list[dict[str, object]]:
        """Counts per part and kind of its edges: `part`, `kind`, `weight`, `edges`, `only` (edges that no other part
        states), `skills` and `neighbours`.
        """
        rows: list[dict[str, object]] = []
        for kind, stated in self.statements.items():
            new = np.ones((2, len(stated.left)), bool)  # a row begins an edge, or a part that states it
            new[0, 1:] = (stated.left[1:] != stated.left[:-1]) | (stated.right[1:] != stated.right[:-1])
            new[1, 1:] = new[0, 1:] | (stated.part[1:] != stated.part[:-1])
            edge, parts = np.cumsum(new[0])[new[1]], stated.part[new[1]]
            alone = np.bincount(edge)[edge] == 1
            for number, part in enumerate(self.parts):
                mine = stated.part == number
                if mine.any():
                    row = {"part": part.name, "kind": kind, "weight": part.weight}
                    row["edges"] = int(np.count_nonzero(parts == number))
                    row["only"] = int(np.count_nonzero(alone & (parts == number)))
                    row["skills"] = len(np.unique(stated.left[mine]))
                    row["neighbours"] = len(np.unique(stated.right[mine]))
                    rows.append(row)
        return rows
