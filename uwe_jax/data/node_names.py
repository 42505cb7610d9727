"""Further names of nodes, such as alternative labels, and which of its names a node goes by in a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from uwe_jax.data.ragged import run_entries, run_offsets
from uwe_jax.data.text import comparable

LABEL_SHARE = 0.5  # of the batches in which a node goes by its label; in the others by any other name, all alike
# Odd multipliers of SplitMix64, whose output passes for random in every bit.
_STEP, _MIX_1, _MIX_2 = map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


@dataclass(frozen=True, eq=False)
class NodeNames:
    """Further names of n nodes of one kind: those of node k are texts[offsets[k]:offsets[k + 1]]."""

    texts: tuple[str, ...]
    offsets: Int[np.ndarray, " bounds"]  # int64 [n + 1]

    @classmethod
    def of(cls, labels: Sequence[str], names: Mapping[int, Collection[str]]) -> NodeNames:
        """Orders the names of nodes, given by their positions in `labels`.

        Of the spellings of a name that differ in case or a final full stop the first in code point order is kept, and
        none of the label.
        """
        kept: dict[int, list[str]] = {}
        for node in sorted(names):
            distinct = {comparable(name): name for name in sorted(names[node], reverse=True)}
            distinct.pop(comparable(labels[node]), None)
            kept[node] = sorted(distinct.values())
        counts = np.array([len(kept.get(node, ())) for node in range(len(labels))], np.int64)
        return cls(tuple(name for own in kept.values() for name in own), run_offsets(counts))

    @cached_property
    def owners(self) -> Int[np.ndarray, " names"]:
        """The node of each name."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def of_nodes(self, nodes: Int[np.ndarray, " k"]) -> tuple[Int[np.ndarray, " t"], Int[np.ndarray, " t"]]:
        """Returns every name of every one of `nodes`: its node's place in `nodes`, and its own in `texts`."""
        starts = self.offsets[nodes]
        counts = self.offsets[nodes + 1] - starts
        return np.repeat(np.arange(len(nodes)), counts), run_entries(starts, counts)

    def taken(self, nodes: Int[np.ndarray, " k"]) -> NodeNames:
        """Returns the names of only some nodes, in the order given."""
        _, places = self.of_nodes(nodes)
        return NodeNames(tuple(self.texts[place] for place in places), run_offsets(np.diff(self.offsets)[nodes]))

    def where(self, keep: Bool[np.ndarray, " names"]) -> NodeNames:
        """Returns only some of the names, of the same nodes."""
        kept = tuple(self.texts[place] for place in np.flatnonzero(keep))
        return NodeNames(kept, run_offsets(np.bincount(self.owners[keep], minlength=len(self.offsets) - 1)))


class NameDraw:
    """Draws the name by which each node of a batch goes: a pure function of seed, step, kind and node.

    A name stands for its row of a token table: rows 0..n-1 are the labels of the n nodes, those of the further names
    follow. A name that another text of the batch equals, as `comparable` forms, gives way to the label: the two would
    be negatives of each other, or, as a skill and its alias, a positive that teaches nothing.

    Args:
      texts: labels by node kind.
      names: further names, of some of the kinds.
      seed: of the run.
    """

    def __init__(self, texts: Mapping[str, Sequence[str]], names: Mapping[str, NodeNames], seed: int):
        self._names, self._seed = names, seed
        self._labels = {kind: len(labels) for kind, labels in texts.items()}
        numbers: dict[str, int] = {}
        self._texts = {}  # by kind: a number per row, the same for all spellings of a text
        for kind, labels in texts.items():
            rows = (*labels, *names[kind].texts) if kind in names else labels
            each = (numbers.setdefault(comparable(text), len(numbers)) for text in rows)
            self._texts[kind] = np.fromiter(each, np.int64, len(rows))

    def __call__(self, step: int, nodes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the rows of the nodes of a whole batch, int [m] by kind; -1 (no node) stays -1."""
        rows = {kind: self._rows(step, kind, drawn) for kind, drawn in nodes.items()}
        seen = [self._texts[kind][drawn[drawn >= 0]] for kind, drawn in nodes.items()]
        seen += [self._texts[kind][drawn[drawn >= self._labels[kind]]] for kind, drawn in rows.items()]
        known, counts = np.unique(np.concatenate(seen), return_counts=True)
        repeated = known[counts > 1]
        return {
            kind: np.where(
                (drawn >= self._labels[kind]) & np.isin(self._texts[kind][drawn], repeated), nodes[kind], drawn
            )
            for kind, drawn in rows.items()
        }

    def _rows(self, step: int, kind: str, nodes: np.ndarray) -> np.ndarray:
        if kind not in self._names:
            return nodes
        key = hashlib.blake2b(f"{self._seed} {step} {kind}".encode(), digest_size=8).digest()
        bits = np.frombuffer(key, "<u8") + nodes.astype(np.uint64) * _STEP
        bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
        bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
        place = ((bits ^ (bits >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53  # in [0, 1)
        offsets = self._names[kind].offsets
        first = offsets[nodes]
        counts = np.where(nodes < 0, 0, offsets[nodes + 1] - first)
        chosen = first + ((place - LABEL_SHARE) / (1 - LABEL_SHARE) * counts).astype(np.int64)
        return np.where((place >= LABEL_SHARE) & (counts > 0), self._labels[kind] + chosen, nodes)
