"""Small graph sets for tests, and the plain reference that makes graphs of edges row by row."""

from collections.abc import Iterable, Mapping

import numpy as np

from uwe_jax.data.graph import BipartiteGraph, Edge, edge_matrix
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.text import normalise
from uwe_jax.sources.mixture.columns import EdgeColumns


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


def build_graph_set(edges: Mapping[str, Iterable[Edge]]) -> GraphSet:
    """Merges edge lists into graphs over one list of skills, row by row: the reference for columns and `compose`.

    Equal normalised texts are one node, with the smallest id that a row gives it, else the text. Nodes are sorted by
    text.
    """
    tidy = {
        kind: [(normalise(e.left_text), e.left_id.strip(), normalise(e.right_text), e.right_id.strip()) for e in listed]
        for kind, listed in edges.items()
    }
    skills, skill_ids = merge_nodes(row[:2] for rows in tidy.values() for row in rows)
    position = {text: place for place, text in enumerate(skills)}
    graphs = {}
    for kind, rows in tidy.items():
        neighbours, ids = merge_nodes(row[2:] for row in rows)
        column = {text: place for place, text in enumerate(neighbours)}
        ends = (np.array([place[row[side]] for row in rows]) for side, place in ((0, position), (2, column)))
        graphs[kind] = BipartiteGraph(kind, skills, neighbours, edge_matrix(*ends, (len(skills), len(neighbours))), ids)
    return GraphSet(skills, graphs, skill_ids)


def merge_nodes(ends: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Distinct texts of (text, id) in code point order, and their ids."""
    given: dict[str, set[str]] = {}
    for text, node_id in ends:
        given.setdefault(text, set()).update({node_id} - {text, ""})
    texts = tuple(sorted(given))
    return texts, tuple(min(given[text], default=text) for text in texts)


def build_graph(kind: str, edges: Iterable[Edge]) -> BipartiteGraph:
    """One graph on its own."""
    return build_graph_set({kind: edges}).graphs[kind]


def edges_of(columns: EdgeColumns) -> list[Edge]:
    """The edges row by row, with an id where the source gave one."""
    sides = []
    for nodes, codes in ((columns.left_nodes, columns.left), (columns.right_nodes, columns.right)):
        ids = [""] * len(nodes) if nodes.ids is None else nodes.ids.to_pylist()
        texts = nodes.texts.to_pylist()
        sides.append([(ids[code] or "", texts[code]) for code in codes])
    relations = [columns.relations[code] for code in columns.relation]
    return [Edge(*left, *right, relation) for left, right, relation in zip(*sides, relations, strict=True)]
