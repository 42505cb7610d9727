"""A bipartite graph of texts: skills on the left; jobs, vacancy sentences or aliases on the right."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import operator
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import csr_array

from uwe_jax.data.ragged import run_entries
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import SKILL

_BLOCK = 1 << 16  # edges or texts that are hashed at once


class Edge(NamedTuple):
    """One positive pair as a source states it. An empty id means that the text is the id."""

    left_id: str
    left_text: str  # the skill
    right_id: str
    right_text: str  # the neighbour
    relation: str = ""  # what the source calls it, such as essential; not part of the graph


@dataclasses.dataclass(frozen=True, eq=False)
class BipartiteGraph:
    """Skills, their neighbours of one kind, and the edges between them. A node's id is its position."""

    kind: str  # of the right side
    skills: tuple[str, ...]  # [m] left texts; one object shared by all graphs of a set
    neighbours: tuple[str, ...]  # [n] right texts
    edges: csr_array  # bool [m, n], canonical: sorted indices, no duplicates
    neighbour_ids: tuple[str, ...] = ()  # [n] the source's identifiers, such as URIs; the texts where it has none
    # float32 [edges], in their order, positive: how often each is drawn relative to others; None: all alike. Whatever
    # its weight, an edge is a positive.
    weights: np.ndarray | None = None
    parts: np.ndarray | None = None  # unsigned [edges], in their order: bit k: source k of the mixture states the edge

    def __post_init__(self) -> None:
        shape = (len(self.skills), len(self.neighbours))
        if self.edges.shape != shape:
            raise ValueError(f"edges of {self.name} have shape {self.edges.shape}, the texts say {shape}")
        edges = self.edges
        if edges.dtype != bool or not edges.has_canonical_format or not edges.data.all():
            edges = csr_array(edges, dtype=bool, copy=True)
            edges.sum_duplicates()
            edges.eliminate_zeros()
            object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "neighbour_ids", self.neighbour_ids or self.neighbours)

    @property
    def name(self) -> str:
        """Such as skill-job."""
        return f"{SKILL}-{self.kind}"

    @property
    def num_edges(self) -> int:
        return int(self.edges.nnz)

    @cached_property
    def transpose(self) -> csr_array:
        """The edges as bool [n, m], canonical."""
        transposed = self.edges.T.tocsr()
        transposed.sort_indices()
        return transposed

    def neighbours_of(self, skill_id: int | np.integer) -> Int[np.ndarray, " degree"]:
        """Returns the neighbours of a skill, ascending."""
        return self.edges.indices[self.edges.indptr[skill_id] : self.edges.indptr[skill_id + 1]]

    def positives(
        self, skill_ids: Int[np.ndarray, " a"], neighbour_ids: Int[np.ndarray, " b"]
    ) -> Bool[np.ndarray, "a b"]:
        """Returns which of the given pairs are edges; ids may repeat, and those of -1 (no node) have none."""
        skill_ids, neighbour_ids = skill_ids.astype(np.int64), neighbour_ids.astype(np.int64)
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
        """Returns the graph with the same nodes and only the edges between two kept ones."""
        rows = np.repeat(np.arange(len(self.skills)), np.diff(self.edges.indptr))
        return self.where(keep_skills[rows] & keep_neighbours[self.edges.indices])

    def where(self, keep: Bool[np.ndarray, " e"]) -> BipartiteGraph:
        """Returns the graph with the same nodes and only some of its edges, by their order."""
        # Rows and columns stay in order, so what goes with the edges does.
        kept = np.concatenate([[0], np.cumsum(keep, dtype=self.edges.indptr.dtype)], dtype=self.edges.indptr.dtype)
        columns = self.edges.indices[keep]
        edges = csr_array((np.ones(len(columns), bool), columns, kept[self.edges.indptr]), shape=self.edges.shape)
        weights, parts = (column if column is None else column[keep] for column in (self.weights, self.parts))
        return dataclasses.replace(self, edges=edges, weights=weights, parts=parts)

    def of_part(self, number: int) -> BipartiteGraph:
        """Returns the graph with only the edges that one source of the mixture states."""
        return self if self.parts is None else self.where((self.parts >> number & 1).astype(bool))

    def fingerprint(self, parts: Sequence[str] = ()) -> str:
        """Returns a SHA-256 over the kind, every node's text and every edge with its weight, in hexadecimal.

        It depends neither on the machine nor on the order in which a source lists edges. Nodes without an edge count,
        because the numbering of nodes, and with it each batch, depends on them. With the names of the sources of a
        mixture, in any order, it covers which of them state each edge.
        """
        digest = hashlib.sha256()
        _, left_rank, right_rank = (hash_texts(digest, texts) for texts in ([self.kind], self.skills, self.neighbours))
        order: np.ndarray | slice = slice(None)
        left = np.repeat(np.arange(len(self.skills), dtype=np.int32), np.diff(self.edges.indptr))
        right = self.edges.indices
        if left_rank is not None or right_rank is not None:
            left = left if left_rank is None else left_rank[left]
            right = right if right_rank is None else right_rank[right]
            order = np.lexsort((right, left))
        for column in (left[order], right[order]):
            for start in range(0, len(column), _BLOCK):
                digest.update(column[start : start + _BLOCK].astype("<i8").tobytes())
        if self.weights is not None:
            digest.update(self.weights[order].astype("<f4").tobytes())
        if parts and self.parts is not None:
            rank = hash_texts(digest, parts)
            for number in range(len(parts)) if rank is None else np.argsort(rank).tolist():
                digest.update(np.packbits((self.parts[order] >> number & 1).astype(bool)).tobytes())
        return digest.hexdigest()


def check_kind(kind: str) -> str:
    """Returns `kind`; raises UserError if it cannot name the right side of a graph."""
    if not kind.isidentifier() or kind == SKILL:
        raise UserError(
            f"{kind!r} cannot name the right side of a graph: expected letters, digits and underscores, "
            f"starting with a letter, and not {SKILL!r}, which is the left side. Rename the graph, as in "
            "skill_job."
        )
    return kind


def edge_matrix(rows: Int[np.ndarray, " e"], columns: Int[np.ndarray, " e"], shape: tuple[int, int]) -> csr_array:
    """Returns the bool matrix that is True at each (row, column), which may repeat."""
    return csr_array((np.ones(len(rows), bool), (rows, columns)), shape=shape)


def hash_texts(digest: hashlib._Hash, texts: Sequence[str]) -> np.ndarray | None:
    """Hashes the texts in code point order, and returns their ranks; None if they are in that order."""
    rank = None
    if not all(map(operator.lt, texts, itertools.islice(texts, 1, None))):
        order = sorted(range(len(texts)), key=texts.__getitem__)
        rank = np.empty(len(texts), np.int32)
        rank[order] = np.arange(len(texts))
        texts = [texts[place] for place in order]
    # Lengths come first, so that no two lists of texts run into the same bytes.
    lengths = (len(text.encode("utf-8", "surrogatepass")) for text in texts)
    digest.update(np.fromiter(itertools.chain([len(texts)], lengths), "<i8", len(texts) + 1).tobytes())
    for start in range(0, len(texts), _BLOCK):
        digest.update("".join(texts[start : start + _BLOCK]).encode("utf-8", "surrogatepass"))
    return rank
