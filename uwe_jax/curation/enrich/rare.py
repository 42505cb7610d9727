"""Long tail of a graph: skills with few edges."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int

from uwe_jax.data.graph_set import GraphSet

# Least number of edges of each bin of `long_tail`, and its name.
_BINS = {0: "0", 1: "1", 2: "2", 3: "3-5", 6: "6-10", 11: "11+"}


def degrees(graphs: GraphSet, kind: str) -> Int[np.ndarray, " m"]:
    """Returns the number of edges of every skill in a graph; 0 where the set lacks the graph."""
    if kind not in graphs.graphs:
        return np.zeros(len(graphs.skills), np.int64)
    return np.diff(graphs.graphs[kind].edges.indptr).astype(np.int64)


def rare_skills(graphs: GraphSet, kind: str, most_edges: int, count: int, seed: int) -> Int[np.ndarray, " rare"]:
    """Selects skills with at most `most_edges` edges in a graph, those with the fewest first.

    The order of equals depends on the seed and the texts, so a larger `count` only adds skills; 0 takes all.
    """
    degree = degrees(graphs, kind)

    def order(s: int) -> tuple[int, bytes]:
        text = f"{seed}:{graphs.skills[s]}".encode("utf-8", "surrogatepass")
        return int(degree[s]), hashlib.blake2b(text, digest_size=8).digest()

    found = np.array(sorted(np.flatnonzero(degree <= most_edges).tolist(), key=order), np.int64)
    return found[:count] if count else found


def long_tail(degree: Int[np.ndarray, " m"]) -> dict[str, int]:
    """Counts skills by their number of edges.

    >>> long_tail(np.array([0, 0, 1, 4, 99]))
    {'0': 2, '1': 1, '2': 0, '3-5': 1, '6-10': 0, '11+': 1}
    """
    places = np.searchsorted(list(_BINS), degree, side="right") - 1
    return dict(zip(_BINS.values(), np.bincount(places, minlength=len(_BINS)).tolist(), strict=True))
