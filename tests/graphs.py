"""Small graph sets for tests."""

import numpy as np

from uwe_jax.data.graph import Edge
from uwe_jax.data.graph_set import GraphSet, build_graph_set


def random_graphs(rng: np.random.Generator, skills=40, kinds=("job", "vacancy", "alias"), nodes=30) -> GraphSet:
    """Skills with a long-tailed number of neighbours; some skills lack a kind altogether."""
    edges = {}
    for kind in kinds:
        edges[kind] = [
            Edge("", f"skill {s}", "", f"{kind} {rng.integers(nodes)}", "")
            for s in range(skills)
            for _ in range(min(12, rng.zipf(1.6)))
            if (s + len(kind)) % 7
        ]
    return build_graph_set(edges)
