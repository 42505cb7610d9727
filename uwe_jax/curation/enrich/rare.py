"""The long tail of a graph: skills with few edges."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from uwe_jax.data.graph_set import GraphSet

# Numbers of edges that a table of the long tail counts skills for; the last one stands for more than the one before.
_STEPS = (0, 1, 2, 5, 10)


def degrees(graphs: GraphSet, kind: str) -> Int[np.ndarray, " m"]:
    """Edges of every skill in a graph; none where the set lacks the graph."""
    if kind not in graphs.graphs:
        return np.zeros(len(graphs.skills), np.int64)
    return np.diff(graphs.graphs[kind].edges.indptr).astype(np.int64)


def rare_skills(graphs: GraphSet, kind: str, most_edges: int, count: int, seed: int) -> Int[np.ndarray, " rare"]:
    """Skills with at most `most_edges` edges in a graph, those with the fewest first, equals in an order of the seed.

    The order hangs on the texts, not on how many skills there are, so a larger `count` only adds skills.

    Args:
      graphs: whose skills are looked at, all of them.
      kind: of the graph.
      most_edges: of a rare skill.
      count: of skills wanted; 0 takes all.
      seed: another one, another order.
    """
    degree = degrees(graphs, kind)
    order = [
        (int(degree[s]), _hash(f"{seed}:{graphs.skills[s]}"), int(s)) for s in np.flatnonzero(degree <= most_edges)
    ]
    found = np.array([s for _, _, s in sorted(order)], np.int64)
    return found[:count] if count else found


def long_tail(degree: Int[np.ndarray, " m"]) -> Mapping[str, int]:
    """How many skills have how many edges.

    >>> long_tail(np.array([0, 0, 1, 4, 99]))
    {'0': 2, '1': 1, '2': 0, '3-5': 1, '6-10': 0, '11+': 1}
    """
    counts = {}
    least = 0
    for most in _STEPS:
        counts[str(most) if least == most else f"{least}-{most}"] = int(((degree >= least) & (degree <= most)).sum())
        least = most + 1
    return {**counts, f"{least}+": int((degree >= least).sum())}


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
