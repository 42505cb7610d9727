"""The edges of one graph as columns: a combined graph has millions, too many for an object each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from uwe_jax.data.graph import Edge, tidy_edges


@dataclass(frozen=True, eq=False)
class Nodes:
    """Texts in any order, each with the source's identifier; the text itself where there is none.

    Of one source a text may stand with several identifiers: two jobs of one name are two until graphs are merged.
    """

    texts: tuple[str, ...]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, positions: np.ndarray) -> Nodes:
        """The nodes at some positions, in their order."""
        return Nodes(tuple(self.texts[i] for i in positions), tuple(self.ids[i] for i in positions))


@dataclass(frozen=True, eq=False)
class EdgeColumns:
    """Edges of one graph, row by row: `left[k]` and `right[k]` belong together. A pair may occur more than once.

    Attributes:
      left_nodes: what `left` counts in: skills, or jobs in a graph of further titles.
      right_nodes: what `right` counts in.
      left, right: int32 [e].
      relation: int32 [e], counts in `relations`.
      relations: what the source calls the edges.
      weights: float32 [e]; None where all are 1.
    """

    left_nodes: Nodes
    right_nodes: Nodes
    left: np.ndarray
    right: np.ndarray
    relation: np.ndarray
    relations: tuple[str, ...]
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.left)

    def where(self, keep: np.ndarray) -> EdgeColumns:
        """The rows of a mask, bool [e]."""
        weights = None if self.weights is None else self.weights[keep]
        return dataclasses.replace(
            self, left=self.left[keep], right=self.right[keep], relation=self.relation[keep], weights=weights
        )


def columns_of(kind: str, edges: Iterable[Edge]) -> EdgeColumns:
    """The columns of listed edges, their texts normalised; nodes are told apart by text and identifier.

    Raises:
      UserError: there is no edge, or an edge has an empty text.
    """
    tidy = tidy_edges(kind, edges)
    lefts: dict[tuple[str, str], int] = {}
    rights: dict[tuple[str, str], int] = {}
    relations: dict[str, int] = {}
    left = np.fromiter((lefts.setdefault((e.left_text, e.left_id), len(lefts)) for e in tidy), np.int32, len(tidy))
    right = np.fromiter((rights.setdefault((e.right_text, e.right_id), len(rights)) for e in tidy), np.int32, len(tidy))
    relation = np.fromiter((relations.setdefault(edge.relation, len(relations)) for edge in tidy), np.int32, len(tidy))
    left_nodes, right_nodes = (Nodes(*zip(*numbers, strict=True)) for numbers in (lefts, rights))
    return EdgeColumns(left_nodes, right_nodes, left, right, relation, tuple(relations))


class NodeNumbers:
    """Numbers texts in the order in which they first come: equal texts are one node.

    Of several ids the smallest that a source gave is kept, so that it does not depend on the order of rows.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._ids: list[str] = []

    def add(self, text: str, node_id: str) -> int:
        """The number of a text."""
        number = self._numbers.setdefault(text, len(self._ids))
        if number == len(self._ids):
            self._ids.append(node_id)
        elif node_id != (known := self._ids[number]):
            self._ids[number] = min(known, node_id, key=lambda candidate: (candidate == text, candidate))
        return number

    def add_all(self, nodes: Nodes) -> np.ndarray:
        """The number of each node, int32."""
        pairs = zip(nodes.texts, nodes.ids, strict=True)
        return np.fromiter((self.add(text, node_id) for text, node_id in pairs), np.int32, len(nodes))

    def nodes(self) -> Nodes:
        """All nodes, by number."""
        return Nodes(tuple(self._numbers), tuple(self._ids))


def by_text(nodes: Nodes, used: np.ndarray) -> tuple[Nodes, np.ndarray]:
    """The used nodes in code point order of their texts, and each node's place among them, int32; -1 if unused.

    Args:
      used: bool [nodes].
    """
    order = np.array(sorted(np.flatnonzero(used), key=nodes.texts.__getitem__), np.int64)
    place = np.full(len(nodes), -1, np.int32)
    place[order] = np.arange(len(order))
    return nodes.take(order), place


def merged_relations(all_relations: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """One list of relations for several columns, and for each the new number of its old ones, int32."""
    numbers: dict[str, int] = {}
    places = [
        np.array([numbers.setdefault(relation, len(numbers)) for relation in relations], np.int32)
        for relations in all_relations
    ]
    return tuple(numbers), places
