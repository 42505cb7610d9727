"""Small parts to combine."""

import numpy as np

from uwe_jax.data.graph import Edge
from uwe_jax.sources.mixture.columns import columns_of
from uwe_jax.sources.mixture.parts import Part, PartInfo

KINDS = {"skill_job": "job", "skill_vacancy": "vacancy", "skill_alias": "alias", "job_title": "title"}
KINDS |= {"job_alias": "alias", "job_description": "vacancy"}


def pairs(rows, relation=""):
    return [Edge("", left, "", right, relation) for left, right in rows]


def part(name="one", weight=1.0, **graphs):
    edges = {graph: columns_of(KINDS[graph], listed) for graph, listed in graphs.items()}
    return Part(
        PartInfo(name, f"{name} in a folder", weight), edges, KINDS, frozenset({"job_alias", "job_description"})
    )


def edge_weights(graph):
    rows, columns = graph.edges.nonzero()
    weights = np.ones(len(rows)) if graph.weights is None else graph.weights
    return {
        (graph.skills[row], graph.neighbours[column]): float(weight)
        for row, column, weight in zip(rows, columns, weights, strict=True)
    }
