"""The edges of one graph as columns, since a graph has millions."""

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

TEXT = pa.large_string()  # offsets of `pa.string()` are limited to 2 GiB of texts
_BATCH = 65_536  # edges that exist as objects at a time
# Texts that `normalise` and `str.strip` may change.
_NOT_NORMAL, _NOT_STRIPPED = "^ | $|  |[^ -~]", "^[^!-~]|[^!-~]$"
_FIELDS = dict(zip(("left_id", "left", "right_id", "right", "relation"), Edge._fields, strict=True))


@dataclass(frozen=True, eq=False)
class Nodes:
    """Texts with the source's identifiers.

    A text may have several identifiers in a source: two jobs of one name are two nodes until graphs are merged.
    """

    texts: pa.Array  # large strings without nulls
    ids: pa.Array | None = None  # large strings, null where the text is the identifier; None if it always is

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, positions: np.ndarray) -> Nodes:
        places = pa.array(positions)
        return Nodes(self.texts.take(places), None if self.ids is None else self.ids.take(places))

    def known_ids(self) -> pa.Array:
        """Returns the identifiers, or the text for nodes without one."""
        return self.texts if self.ids is None else pc.coalesce(self.ids, self.texts)

    def strings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns texts and identifiers as Python strings; no identifiers if all are the texts."""
        blocks = (self.texts.slice(start, _BATCH).to_pylist() for start in range(0, len(self), _BATCH))
        texts = tuple(chain.from_iterable(blocks))
        if self.ids is None or self.ids.null_count == len(self):
            return texts, ()
        # An identifier that is the text is the same object: it takes no memory.
        ids = zip(texts, self.ids.to_pylist(), strict=True)
        return texts, tuple(text if node_id is None else node_id for text, node_id in ids)


@dataclass(frozen=True, eq=False)
class EdgeColumns:
    """Edges of one graph: edge k joins `left[k]` and `right[k]`. A pair may occur more than once."""

    left_nodes: Nodes  # skills, or jobs in a graph of further titles
    right_nodes: Nodes
    left: np.ndarray  # int32 [e], positions in `left_nodes`
    right: np.ndarray  # int32 [e], positions in `right_nodes`
    relation: np.ndarray  # unsigned [e], positions in `relations`
    relations: tuple[str, ...]  # the source's names for the edges

    def __len__(self) -> int:
        return len(self.left)

    def where(self, keep: np.ndarray) -> EdgeColumns:
        """Returns the edges selected by a mask, bool [e]."""
        rows = {name: getattr(self, name)[keep] for name in ("left", "right", "relation")}
        return dataclasses.replace(self, **rows)


def columns_of(kind: str, edges: Iterable[Edge]) -> EdgeColumns:
    """Converts edges to columns and normalises their texts; UserError if there is no edge, or an empty text."""
    remaining, batches = iter(edges), []
    while batch := list(islice(remaining, _BATCH)):
        texts = {name: pa.array([getattr(e, field) for e in batch], TEXT) for name, field in _FIELDS.items()}
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
    """Converts a table of dictionary-encoded strings: left, right, relation, left_id and right_id.

    Texts are normalised, each once; the caller checks for empty ones.
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
    ids = pc.if_else(own, pa.scalar(None, TEXT), ids)
    return Nodes(texts, None if ids.null_count == len(ids) else ids), codes


def coded(
    column: pa.ChunkedArray, unusual: str = _NOT_STRIPPED, change: Callable[[str], str] = str.strip
) -> tuple[pa.Array, np.ndarray]:
    """Returns the distinct texts of a dictionary-encoded column in code point order, and their position per row, int32.

    Texts that match `unusual` are replaced by `change` of them.
    """
    texts = pa.concat_arrays([chunk.dictionary.cast(TEXT) for chunk in column.chunks])
    changing = pc.match_substring_regex(texts, unusual)
    if changing.true_count:
        changed = pa.array(map(change, texts.filter(changing).to_pylist()), TEXT)
        texts = pc.replace_with_mask(texts, changing, changed)
    texts, place = distinct(texts)
    codes, row = np.empty(len(column), np.int32), 0
    for chunk in column.chunks:
        np.take(place, chunk.indices.to_numpy(), out=codes[row : row + len(chunk)])
        row, place = row + len(chunk), place[len(chunk.dictionary) :]
    return texts, codes


def distinct(texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Returns the distinct texts in code point order, and the position of each of `texts` among them, int32."""
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
    """Joins nodes with equal texts; of several ids the smallest is kept, whatever the order of rows.

    Returns:
      Nodes in code point order of their texts, and for each of `listed` the positions of its nodes among them, int32.
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
    """Concatenates nodes."""
    if len(listed) == 1:
        return listed[0]
    ids = None
    if any(nodes.ids is not None for nodes in listed):
        ids = pa.concat_arrays([pa.nulls(len(each), TEXT) if each.ids is None else each.ids for each in listed])
    return Nodes(pa.concat_arrays([nodes.texts for nodes in listed]), ids)


def used_nodes(nodes: Nodes, used: np.ndarray) -> tuple[Nodes, np.ndarray]:
    """Returns the nodes that are `used`, bool [nodes], and each one's position among them, int32."""
    place = np.cumsum(used, dtype=np.int32) - 1
    return nodes if used.all() else nodes.take(np.flatnonzero(used)), place


def merged_relations(all_relations: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Joins the relations of several columns; returns them and for each column the new numbers of its own."""
    numbers: dict[str, int] = {}
    places = [[numbers.setdefault(each, len(numbers)) for each in relations] for relations in all_relations]
    narrow = np.min_scalar_type(len(numbers))
    return tuple(numbers), [np.array(each, narrow) for each in places]
