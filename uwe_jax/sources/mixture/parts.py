"""What goes into a composition and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from uwe_jax.data.graph_set import GraphSet
from uwe_jax.sources.mixture.columns import EdgeColumns


@dataclass(frozen=True, eq=False)
class Part:
    """What one source gave.

    Attributes:
      name: of the part in the configuration.
      origin: what was read from where.
      weight: of each of its edges, above 0.
      edges: by name of the graph; of one source, so that its titles find its jobs.
      kinds: of each graph: job, vacancy, alias or title.
      notes: phrases on what was left out.
      jobs: graphs with a job in the place of a skill; see `Source.jobs`.
    """

    name: str
    origin: str
    weight: float
    edges: Mapping[str, EdgeColumns]
    kinds: Mapping[str, str]
    notes: tuple[str, ...] = ()
    jobs: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Statements:
    """Who states the edges of one graph: a row per edge, part and relation, in this order.

    Attributes:
      left, right: int32 [s], positions in the graph's skills and neighbours.
      part: unsigned [s], counts in the composition's parts.
      relation: unsigned [s], counts in the composition's relations.
    """

    left: np.ndarray
    right: np.ndarray
    part: np.ndarray
    relation: np.ndarray


@dataclass(frozen=True)
class PartInfo:
    """What is known of a part beside its edges."""

    name: str
    origin: str
    weight: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Composition:
    """The graphs, and where each edge is from.

    Attributes:
      graphs: what is trained on.
      parts: those with an edge, in the order of the configuration.
      relations: what the sources call their edges.
      statements: by kind, as in `graphs`.
      notes: phrases on what was joined and left out in merging.
    """

    graphs: GraphSet
    parts: tuple[PartInfo, ...]
    relations: tuple[str, ...]
    statements: Mapping[str, Statements]
    notes: tuple[str, ...] = ()

    def counts(self) -> list[dict[str, object]]:
        """Per part and kind that it has edges of: `part`, `kind`, `weight`, `edges`, `only` (edges that no other part
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
                if not mine.any():
                    continue
                rows.append(
                    {
                        "part": part.name,
                        "kind": kind,
                        "weight": part.weight,
                        "edges": int(np.count_nonzero(parts == number)),
                        "only": int(np.count_nonzero(alone & (parts == number))),
                        "skills": len(np.unique(stated.left[mine])),
                        "neighbours": len(np.unique(stated.right[mine])),
                    }
                )
        return rows
