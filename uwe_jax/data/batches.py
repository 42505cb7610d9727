"""Arrays of one batch: token ids, masks and the positives among its nodes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from uwe_jax.base.config import LengthSettings
from uwe_jax.base.kinds import SKILL
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.tokens import TokenTable, fill_rows

Batch = dict[str, Any]


class BatchBuilder:
    """`batch(step)`: this process's rows of the global batch, a pure function of the step.

    A batch of m skills, of which this process holds b rows, is
      nodes:     {kind: {token_ids: int32 [b, length], mask: bool [b, length]}} for skills and every graph's kind;
      valid:     {kind: bool [b]}, false for a neighbour that is missing or was drawn before;
      positives: {kind: bool [b, m]}, every edge of the WHOLE graph between this process's skills and the batch's
                 neighbours.

    Args:
      graphs: training graphs.
      tables: token table of every node kind, in the order of the graph set's nodes.
      lengths: tokens per node of each kind.
      sampler: draws the ids.
      process: this process's index and the number of processes, which must divide the batch.
    """

    def __init__(
        self,
        graphs: GraphSet,
        tables: dict[str, TokenTable],
        lengths: LengthSettings,
        sampler: BatchSampler,
        process: tuple[int, int] = (0, 1),
    ):
        self._graphs = graphs
        self._tables = tables
        self._lengths = dataclasses.asdict(lengths)
        self._sampler = sampler
        self._process = process

    def _joined(self, sentence: int, distractor: int, first: bool) -> np.ndarray | None:
        """A sentence with its distractor. What does not fit is cut from the distractor, never from the sentence."""
        if sentence < 0:
            return None
        table = self._tables["vacancy"]
        own = table.text(sentence)
        room = max(0, self._lengths["vacancy"] - table.special.count - len(own))
        if distractor < 0 or room == 0:
            return own
        other = table.text(distractor)[:room]
        return np.concatenate((other, own) if first else (own, other))

    def __call__(self, step: int) -> Batch:
        ids = self._sampler(step)
        index, count = self._process
        rows = len(ids.skills) // count
        mine = slice(index * rows, (index + 1) * rows)

        def node_rows(kind: str, indices: np.ndarray) -> dict[str, np.ndarray]:
            if kind == "vacancy":
                drawn = (indices, ids.distractors[mine], ids.distractor_first[mine])
                joined = [self._joined(*each) for each in zip(*(a.tolist() for a in drawn), strict=True)]
                rows = fill_rows(joined, self._lengths[kind], self._tables[kind].special)
            else:
                rows = self._tables[kind].rows(indices, self._lengths[kind])
            return dict(zip(("token_ids", "mask"), rows, strict=True))

        nodes = {SKILL: node_rows(SKILL, ids.skills[mine])}
        valid, positives = {}, {}
        for kind, drawn in ids.neighbours.items():
            nodes[kind] = node_rows(kind, drawn[mine])
            valid[kind] = drawn[mine] >= 0
            positives[kind] = self._graphs.graphs[kind].positives(ids.skills[mine], drawn)
        return {"nodes": nodes, "valid": valid, "positives": positives}


def truncation(tables: dict[str, TokenTable], lengths: LengthSettings) -> dict[str, tuple[int, int, int]]:
    """Per node kind: texts longer than the kind's length, all texts, and the longest text's tokens."""
    limit = dataclasses.asdict(lengths)
    return {
        kind: (int((table.lengths > limit[kind]).sum()), len(table), int(table.lengths.max(initial=0)))
        for kind, table in tables.items()
    }
