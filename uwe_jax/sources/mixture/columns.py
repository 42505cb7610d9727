"""The edges of one graph as columns: a graph has millions, too many for an object each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import SKILL

_TEXT = pa.large_string()  # the offsets of the other end at 2 GiB of texts
_BATCH = 65_536  # edges that exist as objects at once
# Texts that `normalise` and `str.strip` may change; all others stay as they are.
_NOT_NORMAL, _NOT_STRIPPED = "^ | $|  |[^ -~]", "^[^!-~]|[^!-~]$"
_FIELDS = dict(zip(("left_id", "left", "right_id", "right", "relation"), Edge._fields, strict=True))


@dataclass(frozen=True, eq=False)
class Nodes:
    """Texts, each with the source's identifier.

    Of one source a text may occur with several identifiers: two jobs of one name are two until graphs are merged.

    Attributes:
      texts: large strings without nulls.
      ids: large strings, null where there is none and the text identifies itself; None where there is none at all.
    """

    texts: pa.Array
    ids: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, positions: np.ndarray) -> Nodes:
        """The nodes at some positions, in their order."""
        ids = None if self.ids is None else self.ids.take(pa.array(positions))
        return Nodes(self.texts.take(pa.array(positions)), ids)

    def known_ids(self) -> pa.Array:
        """The identifiers, the text where there is none."""
        return self.texts if self.ids is None else pc.coalesce(self.ids, self.texts)

    def strings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Texts and identifiers as Python holds them; no identifiers where all are the texts."""
        blocks = (self.texts.slice(start, _BATCH).to_pylist() for start in range(0, len(self), _BATCH))
        texts = tuple(chain.from_iterable(blocks))
        if self.ids is None or self.ids.null_count == len(self):
            return texts, ()
        # An identifier that is the text is the same object: it takes no memory.
        ids = zip(texts, self.ids.to_pylist(), strict=True)
        return texts, tuple(text if node_id is None else node_id for text, node_id in ids)


@dataclass(frozen=True, eq=False)
class EdgeColumns:
    """Edges of one graph, row by row: `left[k]` and `right[k]` belong together. A pair may occur more than once.

    Attributes:
      left_nodes: what `left` counts in: skills, or jobs in a graph of further titles.
      right_nodes: what `right` counts in.
      left, right: int32 [e].
      relation: unsigned [e], counts in `relations`.
      relations: what the source calls the edges.
    """

    left_nodes: Nodes
    right_nodes: Nodes
    left: np.ndarray
    right: np.ndarray
    relation: np.ndarray
    relations: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.left)

    def where(self, keep: np.ndarray) -> EdgeColumns:
        """The rows of a mask, bool [e]."""
        rows = {name: getattr(self, name)[keep] for name in ("left", "right", "relation")}
        return dataclasses.replace(self, **rows)


def columns_of(kind: str, edges: Iterable[Edge]) -> EdgeColumns:
    """The columns of listed edges, their texts normalised; nodes are told apart by text and identifier.

    Raises:
      UserError: there is no edge, or an edge has an empty text.
    """
    remaining, batches = iter(edges), []
    while batch := list(islice(remaining, _BATCH)):
        texts = {name: pa.array([getattr(e, field) for e in batch], _TEXT) for name, field in _FIELDS.items()}
        batches.append(pa.table({name: column.dictionary_encode() for name, column in texts.items()}))
    if not batches:
        raise UserError(
            f"The {SKILL}-{kind} graph is empty: its source has 0 edges. Expected at least one skill with a "
            f"{kind}: check the source's path, or leave this graph out of source.graphs."
        )
    table = pa.concat_tables(batches)
    columns = edge_columns(table)
    empty = [pc.equal(nodes.texts, "").to_numpy(False) for nodes in (columns.left_nodes, columns.right_nodes)]
    for row in np.flatnonzero(empty[0][columns.left] | empty[1][columns.right]).tolist():
        left, right = (table[side][row].as_py() for side in ("left", "right"))
        raise UserError(
            f"Edge {row + 1} of the {SKILL}-{kind} graph has an empty text: skill {left!r}, {kind} {right!r}. Expected "
            "a text on both sides: fill it in or drop the edge."
        )
    return columns


def edge_columns(table: pa.Table) -> EdgeColumns:
    """The edges of a table with the columns left, right, relation, left_id and right_id of dictionary-encoded strings.

    Texts are normalised, each once; one that is empty then is for the caller to find.
    """
    left_nodes, left = _nodes(table, "left")
    right_nodes, right = _nodes(table, "right")
    relations, relation = coded(table["relation"])
    relation = relation.astype(np.min_scalar_type(len(relations)))
    return EdgeColumns(left_nodes, right_nodes, left, right, relation, tuple(relations.to_pylist()))


def _nodes(table: pa.Table, side: str) -> tuple[Nodes, np.ndarray]:
    texts, codes = coded(table[side], _NOT_NORMAL, normalise)
    ids, id_codes = coded(table[f"{side}_id"])
    if len(ids) == 1 and not ids[0].as_py():
        return Nodes(texts), codes
    id_of = np.empty(len(texts), np.int32)
    id_of[codes] = id_codes
    if not np.array_equal(id_of[codes], id_codes):  # a text with several ids: a node each
        pairs, codes = np.unique(codes.astype(np.int64) * len(ids) + id_codes, return_inverse=True)
        place, id_of = np.divmod(pairs, len(ids))
        texts, codes = texts.take(pa.array(place)), codes.astype(np.int32)
    ids = ids.take(pa.array(id_of))
    own = pc.or_(pc.equal(ids, ""), pc.equal(ids, texts))
    ids = pc.if_else(own, pa.scalar(None, _TEXT), ids)
    return Nodes(texts, None if ids.null_count == len(ids) else ids), codes


def coded(
    column: pa.ChunkedArray, unusual: str = _NOT_STRIPPED, change: Callable[[str], str] = str.strip
) -> tuple[pa.Array, np.ndarray]:
    """The texts of a dictionary-encoded column in code point order, each once, and the place of each row's, int32.

    Args:
      unusual: regular expression of the texts that may change.
      change: of those, into what they are replaced by.
    """
    texts = pa.concat_arrays([chunk.dictionary.cast(_TEXT) for chunk in column.chunks])
    changing = pc.match_substring_regex(texts, unusual)
    if changing.true_count:
        changed = pa.array(map(change, texts.filter(changing).to_pylist()), _TEXT)
        texts = pc.replace_with_mask(texts, changing, changed)
    texts, place = distinct(texts)
    codes, row = np.empty(len(column), np.int32), 0
    for chunk in column.chunks:
        np.take(place, chunk.indices.to_numpy(), out=codes[row : row + len(chunk)])
        row, place = row + len(chunk), place[len(chunk.dictionary) :]
    return texts, codes


def distinct(texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The texts in code point order, each once, and the place of each of `texts` among them, int32."""
    if pc.all(pc.less(texts[:-1], texts[1:]), min_count=0).as_py():
        return texts, np.arange(len(texts), dtype=np.int32)
    order = pc.sort_indices(texts)  # the order of UTF-8 is that of code points
    ordered = texts.take(order)
    new = np.ones(len(texts), bool)
    new[1:] = pc.not_equal(ordered[1:], ordered[:-1]).to_numpy(False)
    place = np.empty(len(texts), np.int32)
    place[order.to_numpy()] = np.cumsum(new, dtype=np.int32) - 1
    return ordered if new.all() else ordered.filter(pa.array(new)), place


def merge_nodes(listed: Sequence[Nodes]) -> tuple[Nodes, list[np.ndarray]]:
    """Joins nodes with equal texts.

    Of several ids the smallest that a source gave is kept, so that it does not depend on the order of rows.

    Returns:
      Nodes in code point order of their texts, and for each of `listed` the places of its own among them, int32.
    """
    own = list({id(nodes): nodes for nodes in listed}.values())
    every = joined(own)
    texts, place = distinct(every.texts)
    ids = None
    if every.ids is not None:
        names, rank = distinct(every.ids.drop_null())
        smallest = np.full(len(texts), len(names), np.int32)
        np.minimum.at(smallest, place[every.ids.is_valid().to_numpy(False)], rank)
        ids = names.take(pa.array(smallest, mask=smallest == len(names)))
    ends = np.cumsum([len(nodes) for nodes in own])
    places = {id(nodes): place[end - len(nodes) : end] for nodes, end in zip(own, ends, strict=True)}
    return Nodes(texts, ids), [places[id(nodes)] for nodes in listed]


def joined(listed: Sequence[Nodes]) -> Nodes:
    """The nodes of several, one after another."""
    if len(listed) == 1:
        return listed[0]
    ids = None
    if any(nodes.ids is not None for nodes in listed):
        ids = pa.concat_arrays([pa.nulls(len(each), _TEXT) if each.ids is None else each.ids for each in listed])
    return Nodes(pa.concat_arrays([nodes.texts for nodes in listed]), ids)


def used_nodes(nodes: Nodes, used: np.ndarray) -> tuple[Nodes, np.ndarray]:
    """The used nodes, and each node's place among them, int32; meaningless where it is unused.

    Args:
      used: bool [nodes].
    """
    place = np.cumsum(used, dtype=np.int32) - 1
    return nodes if used.all() else nodes.take(np.flatnonzero(used)), place


def merged_relations(all_relations: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """One list of relations for several columns, and for each the new number of its old ones."""
    numbers: dict[str, int] = {}
    places = [[numbers.setdefault(each, len(numbers)) for each in relations] for relations in all_relations]
    narrow = np.min_scalar_type(len(numbers))
    return tuple(numbers), [np.array(each, narrow) for each in places]
