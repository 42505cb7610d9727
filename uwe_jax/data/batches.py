"""Arrays of one batch: token ids, masks and the positives among its nodes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from uwe_jax.config import LengthSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.node_names import NameDraw
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.tokens import TokenTable
from uwe_jax.runtime.kinds import SKILL

Batch = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class BatchBuilder:
    """Builds this process's rows of the global batch, a pure function of the step.

    A batch of m skills, of which this process holds b rows, is
      nodes:     {kind: {token_ids: int32 [b, length], mask: bool [b, length]}} for skills and every graph's kind;
      valid:     {kind: bool [b]}, false for a neighbour that is missing or was drawn before;
      positives: {kind: bool [b, m]}, every edge of the WHOLE graph between this process's skills and the batch's
                 neighbours; or, on request, only the neighbour that was drawn for each skill.
    """

    graphs: GraphSet  # for training
    tables: dict[str, TokenTable]  # by node kind: the labels of the graph set's nodes, then further names
    lengths: LengthSettings  # tokens per node of each kind
    sampler: BatchSampler  # draws the ids
    process: tuple[int, int] = (0, 1)  # index of this process and number of processes, which must divide the batch
    positives: str = "all"  # or sampled, as of `BatchSettings`
    names: NameDraw | None = None  # the names by which nodes go; None: their labels

    def __call__(self, step: int) -> Batch:
        ids = self.sampler(step)
        index, count = self.process
        rows = len(ids.skills) // count
        mine = slice(index * rows, (index + 1) * rows)
        drawn_nodes = {SKILL: ids.skills, **ids.neighbours}
        # Of the whole batch, since a name that is in it twice is not taken.
        texts = self.names(step, drawn_nodes) if self.names else drawn_nodes

        def node_rows(kind: str) -> dict[str, np.ndarray]:
            table, length, indices = self.tables[kind], getattr(self.lengths, kind), texts[kind][mine]
            if kind == "vacancy":
                rows = table.joined_rows(indices, ids.distractors[mine], ids.distractor_first[mine], length)
            else:
                rows = table.rows(indices, length)
            return dict(zip(("token_ids", "mask"), rows, strict=True))

        nodes = {kind: node_rows(kind) for kind in texts}
        valid, positives = {}, {}
        for kind, drawn in ids.neighbours.items():
            valid[kind] = drawn[mine] >= 0
            if self.positives == "sampled":
                positives[kind] = np.eye(len(drawn), dtype=bool)[mine] & (drawn >= 0)
            else:
                positives[kind] = self.graphs.graphs[kind].positives(ids.skills[mine], drawn)
        return {"nodes": nodes, "valid": valid, "positives": positives}


def fitted_lengths(tables: dict[str, TokenTable], lengths: LengthSettings, *, distractors: bool) -> LengthSettings:
    """Lowers each length to that of the kind's longest text, rounded up to a multiple of 8.

    Padding that every row has costs as much as tokens and changes nothing.

    Args:
      tables: by node kind; other kinds keep their length.
      lengths: the settings.
      distractors: whether vacancy sentences are joined in pairs.
    """
    fitted = dataclasses.asdict(lengths)
    for kind, table in tables.items():
        texts = 2 if kind == "vacancy" and distractors else 1
        longest = int(np.sort(table.lengths - table.special.count)[-texts:].sum()) + table.special.count
        fitted[kind] = min(fitted[kind], -(-longest // 8) * 8)
    return LengthSettings(**fitted)
