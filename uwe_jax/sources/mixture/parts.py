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
    """Who states the edges of one graph: a row per edge, part and relation. All int32 [s].

    Attributes:
      left, right: positions in the graph's skills and neighbours.
      part: counts in the composition's parts.
      relation: counts in the composition's relations.
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
        for kind, statements in self.statements.items():
            pair = statements.left.astype(np.int64) * len(self.graphs.graphs[kind].neighbours) + statements.right
            of_part = [np.unique(pair[statements.part == number]) for number in range(len(self.parts))]
            stated, times = np.unique(np.concatenate(of_part), return_counts=True)
            once = stated[times == 1]
            for number, (part, edges) in enumerate(zip(self.parts, of_part, strict=True)):
                if not len(edges):
                    continue
                mine = statements.part == number
                rows.append(
                    {
                        "part": part.name,
                        "kind": kind,
                        "weight": part.weight,
                        "edges": len(edges),
                        "only": int(np.isin(edges, once, assume_unique=True).sum()),
                        "skills": len(np.unique(statements.left[mine])),
                        "neighbours": len(np.unique(statements.right[mine])),
                    }
                )
        return rows
