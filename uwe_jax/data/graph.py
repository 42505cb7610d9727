"""A bipartite graph of texts: skills on the left; jobs, vacancy sentences or aliases on the right."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import csr_array

from uwe_jax.data.ragged import run_entries
from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import SKILL


class Edge(NamedTuple):
    """One positive pair as a source states it. Ids may be empty: the text then stands for itself."""

    left_id: str
    left_text: str  # the skill
    right_id: str
    right_text: str  # the neighbour
    relation: str = ""  # what the source calls it, such as essential; not part of the graph


@dataclasses.dataclass(frozen=True, eq=False)
class BipartiteGraph:
    """Skills, their neighbours of one kind, and the edges between them. A node's id is its position.

    Raises:
      ValueError: the edges' shape is not [skills, neighbours], or ids and texts, or edges and what goes with them,
        differ in number.
    """

    kind: str  # of the right side
    skills: tuple[str, ...]  # [m] left texts; one object shared by all graphs of a set
    neighbours: tuple[str, ...]  # [n] right texts
    edges: csr_array  # bool [m, n], canonical: sorted indices, no duplicates
    neighbour_ids: tuple[str, ...] = ()  # [n] the source's identifiers, such as URIs; the texts where it has none
    # float32 [edges], in the order of the edges, positive: how often each is drawn, compared with the others. None: all
    # alike. They say what a batch is made of; every edge is as much of a positive as any other.
    weights: np.ndarray | None = None
    # int64 [edges], in the order of the edges: bit k says that part k of the set states the edge. None: there is one.
    parts: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = (len(self.skills), len(self.neighbours))
        if self.edges.shape != shape:
            raise ValueError(f"edges of {self.name} have shape {self.edges.shape}, the texts say {shape}")
        edges = csr_array(self.edges, dtype=bool, copy=True)
        edges.sum_duplicates()
        edges.eliminate_zeros()
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "neighbour_ids", self.neighbour_ids or self.neighbours)
        if len(self.neighbour_ids) != len(self.neighbours):
            raise ValueError(f"{self.name} has {len(self.neighbours)} neighbours but {len(self.neighbour_ids)} ids")
        for name in ("weights", "parts"):
            column = getattr(self, name)
            if column is not None and column.shape != (self.num_edges,):
                raise ValueError(f"{self.name} has {self.num_edges} edges but {name} of shape {column.shape}")

    @property
    def name(self) -> str:
        """For example skill-job."""
        return f"{SKILL}-{self.kind}"

    @property
    def num_edges(self) -> int:
        """Number of distinct positive pairs."""
        return int(self.edges.nnz)

    @cached_property
    def transpose(self) -> csr_array:
        """The edges as bool [n, m], canonical: a row is a neighbour."""
        transposed = self.edges.T.tocsr()
        transposed.sort_indices()
        return transposed

    def neighbours_of(self, skill_id: int | np.integer) -> Int[np.ndarray, " degree"]:
        """Ids of the neighbours of one skill, ascending."""
        return _row(self.edges, skill_id)

    def skills_of(self, neighbour_id: int | np.integer) -> Int[np.ndarray, " degree"]:
        """Ids of the skills of one neighbour, ascending."""
        return _row(self.transpose, neighbour_id)

    def positives(
        self, skill_ids: Int[np.ndarray, " a"], neighbour_ids: Int[np.ndarray, " b"]
    ) -> Bool[np.ndarray, "a b"]:
        """Which of the given pairs are edges, looked up in the whole graph; an id may occur more than once.

        Args:
          skill_ids: skills; -1 stands for no node, its row is False.
          neighbour_ids: neighbours; -1 stands for no node, its column is False.

        Raises:
          IndexError: an id is below -1 or not below the number of nodes.
        """
        skill_ids = _checked(skill_ids, len(self.skills), "skill")
        neighbour_ids = _checked(neighbour_ids, len(self.neighbours), "neighbour")
        column_of = np.full(len(self.neighbours) + 1, -1, np.int32)  # the last entry, which no edge names, takes the -1
        column_of[neighbour_ids] = np.arange(len(neighbour_ids))

        starts = self.edges.indptr[skill_ids]
        degrees = np.where(skill_ids < 0, 0, self.edges.indptr[skill_ids + 1] - starts)
        rows = np.repeat(np.arange(len(skill_ids)), degrees)
        columns = column_of[self.edges.indices[run_entries(starts, degrees)]]
        asked = columns >= 0

        found = np.zeros((len(skill_ids), len(neighbour_ids)), bool)
        found[rows[asked], columns[asked]] = True
        # Of a neighbour's several columns one was filled. Copying only these saves a pass over the whole matrix.
        filled = column_of[neighbour_ids]
        repeated = np.flatnonzero((filled != np.arange(len(filled))) & (neighbour_ids >= 0))
        found[:, repeated] = found[:, filled[repeated]]
        return found

    def subgraph(self, keep_skills: Bool[np.ndarray, " m"], keep_neighbours: Bool[np.ndarray, " n"]) -> BipartiteGraph:
        """The graph with the same nodes, numbered alike, and only the edges both ends of which are kept.

        Raises:
          ValueError: a mask does not have one entry per node.
        """
        if keep_skills.shape != (len(self.skills),) or keep_neighbours.shape != (len(self.neighbours),):
            raise ValueError(
                f"masks of {keep_skills.shape} and {keep_neighbours.shape} for {len(self.skills)} skills "
                f"and {len(self.neighbours)} neighbours"
            )
        rows = np.repeat(np.arange(len(self.skills)), np.diff(self.edges.indptr))
        return self.where(keep_skills[rows] & keep_neighbours[self.edges.indices])

    def where(self, keep: Bool[np.ndarray, " e"]) -> BipartiteGraph:
        """The graph with the same nodes, numbered alike, and only some of its edges, by their order."""
        rows = np.repeat(np.arange(len(self.skills)), np.diff(self.edges.indptr))
        # Rows and columns stay in order, so what goes with the edges does.
        edges = edge_matrix(rows[keep], self.edges.indices[keep], self.edges.shape)
        weights, parts = (column if column is None else column[keep] for column in (self.weights, self.parts))
        return dataclasses.replace(self, edges=edges, weights=weights, parts=parts)

    def of_part(self, number: int) -> BipartiteGraph:
        """The graph with only the edges that one part states."""
        return self if self.parts is None else self.where((self.parts >> number & 1).astype(bool))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the kind, every node's text and every edge with its weight, in hexadecimal.

        The same texts and edges give the same value on every machine, in whatever order a source lists them.
        Nodes without an edge count: they decide how the others are numbered, and with it what a batch holds.
        """
        return self.fingerprint_of(())

    def fingerprint_of(self, parts: Sequence[str]) -> str:
        """The fingerprint with which of some parts state each edge, whatever the order of the parts.

        Args:
          parts: names of those that the bits of `parts` stand for; empty leaves them out.
        """
        skills, left_rank = _sorted_texts(self.skills)
        neighbours, right_rank = _sorted_texts(self.neighbours)
        left = np.repeat(left_rank, np.diff(self.edges.indptr))
        right = right_rank[self.edges.indices]
        order = np.lexsort((right, left))
        pairs = np.stack([left[order], right[order]]).astype("<i8").tobytes()
        weights = b"" if self.weights is None else self.weights[order].astype("<f4").tobytes()
        kind, _ = _sorted_texts([self.kind])
        stated = b""
        if parts and self.parts is not None:
            stated, rank = _sorted_texts(parts)
            bits = [np.packbits((self.parts[order] >> number & 1).astype(bool)) for number in np.argsort(rank)]
            stated += np.concatenate(bits).tobytes()
        return hashlib.sha256(kind + skills + neighbours + pairs + weights + stated).hexdigest()


def check_kind(kind: str) -> str:
    """Returns `kind`.

    Raises:
      UserError: it cannot name the right side of a graph.
    """
    if not kind.isidentifier() or kind == SKILL:
        raise UserError(
            f"{kind!r} cannot name the right side of a graph: expected letters, digits and underscores, "
            f"starting with a letter, and not {SKILL!r}, which is the left side. Rename the graph, as in "
            "skill_job."
        )
    return kind


def edge_matrix(rows: Int[np.ndarray, " e"], columns: Int[np.ndarray, " e"], shape: tuple[int, int]) -> csr_array:
    """The bool matrix that is True at each (row, column); a pair that occurs twice is one edge."""
    return csr_array((np.ones(len(rows), bool), (rows, columns)), shape=shape)


def tidy_edges(kind: str, edges: Iterable[Edge]) -> list[Edge]:
    """The edges with normalised texts, and with the text as id where a source gives none.

    Raises:
      UserError: there is no edge, or an edge has an empty text.
    """
    clean: dict[str, str] = {}
    tidy = []
    for number, edge in enumerate(edges, 1):
        for text in (edge.left_text, edge.right_text):
            if text not in clean:
                clean[text] = normalise(text)
        left, right = clean[edge.left_text], clean[edge.right_text]
        if not left or not right:
            raise UserError(
                f"Edge {number} of the {SKILL}-{kind} graph has an empty text: skill {edge.left_text!r}, "
                f"{kind} {edge.right_text!r}. Expected a text on both sides: fill it in or drop the edge."
            )
        tidy.append(Edge(edge.left_id or left, left, edge.right_id or right, right, edge.relation))
    if not tidy:
        raise UserError(
            f"The {SKILL}-{kind} graph is empty: its source has 0 edges. Expected at least one skill with a "
            f"{kind}: check the source's path, or leave this graph out of source.graphs."
        )
    return tidy


def merge_nodes(ends: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Joins equal texts into nodes.

    Args:
      ends: (text, id) of every end of an edge, normalised.

    Returns:
      Texts in code point order, and their ids. Of several ids the smallest that a source gave is taken, so
      that neither depends on the order of rows.
    """
    ids: dict[str, str] = {}
    for text, node_id in ends:
        known = ids.setdefault(text, node_id)
        if known != node_id:
            ids[text] = min(known, node_id, key=lambda candidate: (candidate == text, candidate))
    texts = tuple(sorted(ids))
    return texts, tuple(ids[text] for text in texts)


def connect(kind: str, edges: Sequence[Edge], skills: tuple[str, ...], position: dict[str, int]) -> BipartiteGraph:
    """The graph of tidied edges over given skills.

    Args:
      kind: of the right side.
      edges: from `tidy_edges`.
      skills: left texts; kept as the very object.
      position: of each skill in `skills`.
    """
    neighbours, neighbour_ids = merge_nodes((edge.right_text, edge.right_id) for edge in edges)
    column = {text: place for place, text in enumerate(neighbours)}
    rows = np.fromiter((position[edge.left_text] for edge in edges), np.int64, len(edges))
    columns = np.fromiter((column[edge.right_text] for edge in edges), np.int64, len(edges))
    matrix = edge_matrix(rows, columns, (len(skills), len(neighbours)))
    return BipartiteGraph(check_kind(kind), skills, neighbours, matrix, neighbour_ids)


def build_graph(kind: str, edges: Iterable[Edge]) -> BipartiteGraph:
    """One graph on its own, its nodes sorted by text.

    Raises:
      UserError: no edge, an empty text, or a kind that is no identifier.
    """
    tidy = tidy_edges(check_kind(kind), edges)
    skills, _ = merge_nodes((edge.left_text, edge.left_id) for edge in tidy)
    return connect(kind, tidy, skills, {text: place for place, text in enumerate(skills)})


def _row(matrix: csr_array, row: int | np.integer) -> np.ndarray:
    if not 0 <= row < matrix.shape[0]:
        raise IndexError(f"node {row} of {matrix.shape[0]}")
    return matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]


def _checked(ids: np.ndarray, count: int, side: str) -> np.ndarray:
    if len(ids) and not (ids.min() >= -1 and ids.max() < count):
        raise IndexError(f"{side} ids run from {ids.min()} to {ids.max()}, the graph has {count}")
    return ids.astype(np.int64)


def _sorted_texts(texts: Sequence[str]) -> tuple[bytes, np.ndarray]:
    """The texts in code point order as bytes to hash, and the rank of each text in that order."""
    order = sorted(range(len(texts)), key=texts.__getitem__)
    # Lengths come first, so that no two lists of texts run into the same bytes.
    encoded = [texts[place].encode("utf-8", "surrogatepass") for place in order]
    lengths = np.array([len(encoded), *map(len, encoded)], "<i8")
    rank = np.empty(len(texts), np.int64)
    rank[order] = np.arange(len(texts))
    return lengths.tobytes() + b"".join(encoded), rank
