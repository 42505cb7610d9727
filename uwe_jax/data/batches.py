"""Arrays of one batch: its texts packed into rows, and the positives among its nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from uwe_jax.config import LengthSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.guide import Guide
from uwe_jax.data.node_names import NameDraw
from uwe_jax.data.packing import Packing, most_rows, pack
from uwe_jax.data.ragged import run_entries
from uwe_jax.data.sampling import BatchIds, BatchSampler
from uwe_jax.data.teacher import Teacher
from uwe_jax.data.tokens import Spans, TokenTable
from uwe_jax.runtime.kinds import QUERY, SKILL, TARGET

Batch = dict[str, Any]
_STANDARD_DEVIATIONS = 3.09  # above the mean is one in a thousand


@dataclasses.dataclass(frozen=True)
class BatchBuilder:
    """Builds this process's part of the global batch, a pure function of the step.

    A batch of m skills and n neighbours per graph, of which this process holds b and c, is
      packed:    {token_ids, segments: int32 [rows, length]}, this process's share of the rows into which the texts of
                 the whole batch are packed, of all kinds and several to a row, each on any device; segments number
                 the texts from 1, and are 0 for padding;
      nodes:     {kind: {starts: int32 [b], mask: bool [b, length of the kind]}} for skills, [c] for every graph's kind:
                 each text's first token among those of the rows of ALL processes, and which tokens from there on are
                 its own;
      valid:     {kind: bool [c]}, false for a neighbour that is missing or was drawn before: it has no tokens;
      positives: {kind: bool [b, n]}, every edge of the WHOLE graph between this process's skills and the batch's
                 neighbours; or, on request, only the neighbour that was drawn for each skill;
      masked:    with a guide that masks, {kind: {forward, backward: bool [b, n]}}, the pairs that are not negatives of
                 this process's skills, and not of the neighbours;
      teacher:   with one, {scores: float32, scored: bool [of this process's queries, all targets]}; `nodes` has both.

    Batches of the same kinds have one of two numbers of rows.
    """

    graphs: GraphSet  # for training
    tables: dict[str, TokenTable]  # by node kind: the labels of the graph set's nodes, then further names
    lengths: LengthSettings  # tokens per node of each kind
    sampler: BatchSampler  # draws the ids
    process: tuple[int, int] = (0, 1)  # index of this process and number of processes, which must divide the devices
    positives: str = "all"  # or sampled, as of `BatchSettings`
    names: NameDraw | None = None  # the names by which nodes go; None: their labels
    devices: int = 1  # of all processes, which must divide the batch
    counted: int = 1000  # batches whose rows are counted, before the first is built
    guide: Guide | None = None  # that masks negatives
    teacher: Teacher | None = None  # whose scores are in each batch

    def __call__(self, step: int) -> Batch:
        ids = self.sampler(step)
        asked = self.teacher.draw(step) if self.teacher else {}
        spans = self._spans(step, ids, asked)
        packing = self._packing(spans)
        index, count = self.process
        share = (
            next(rows for rows in self.rows(spans) if rows * self.devices >= len(packing.rows)) * self.devices // count
        )

        def own(texts: int) -> slice:
            return slice(index * texts // count, (index + 1) * texts // count)

        mine = own(len(ids.skills))

        token_ids = np.full((share, self.row_length), self.tables[SKILL].special.pad, np.int32)
        segments = np.zeros(token_ids.shape, np.int32)
        ends = np.cumsum([len(texts.lengths) for texts in spans.values()])[:-1]
        starts = np.split(packing.starts, ends)
        numbers = np.split(np.arange(1, packing.starts.size + 1), ends)
        nodes = {}
        for (kind, whole), start, number in zip(spans.items(), starts, numbers, strict=True):
            here = (start // token_ids.size == index) & (whole.lengths > 0)
            texts = Spans(*(part[here] for part in whole))
            places = run_entries(start[here] - index * token_ids.size, texts.lengths)
            token_ids.flat[places] = self._tables[kind].tokens(texts)
            segments.flat[places] = np.repeat(number[here], texts.lengths)
            part = own(len(start))
            mask = np.arange(self._length(kind)) < whole.lengths[part, None]
            nodes[kind] = {"starts": start[part].astype(np.int32), "mask": mask}

        packed = {"token_ids": token_ids, "segments": segments}
        batch: Batch = {"packed": packed, "nodes": nodes, "valid": {}, "positives": {}}
        for kind, drawn in ids.neighbours.items():
            batch["valid"][kind] = drawn[own(len(drawn))] >= 0
            rows = slice(None) if self.guide else mine  # a neighbour's nearest positive is among all skills
            if self.positives == "sampled":
                positives = np.eye(len(ids.skills), len(drawn), dtype=bool)[rows] & (drawn >= 0)
            else:
                positives = self.graphs.graphs[kind].positives(ids.skills[rows], drawn)
            if self.guide:
                masks = self.guide.masks(self.guide.similarity(ids.skills, kind, drawn), positives)
                masked = {direction: mask[mine] & (drawn >= 0) for direction, mask in masks.items()}
                batch.setdefault("masked", {})[kind] = masked
                positives = positives[mine]
            batch["positives"][kind] = positives
        if self.teacher:
            batch["teacher"] = self.teacher.block(asked[QUERY][own(len(asked[QUERY]))], asked[TARGET])
        return batch

    @cached_property
    def _tables(self) -> dict[str, TokenTable]:
        return self.tables | (self.teacher.tables if self.teacher else {})

    def _length(self, kind: str) -> int:
        """Returns the most tokens of a text of a kind; a teacher's may fill a row."""
        if kind in self.tables:
            return getattr(self.lengths, kind)
        return min(self.row_length, -(-int(self._tables[kind].lengths.max()) // 8) * 8)

    @property
    def row_length(self) -> int:
        """Tokens of a row: as many as the longest text may have."""
        return max(getattr(self.lengths, kind) for kind in self.tables)

    def rows(self, kinds: Iterable[str]) -> tuple[int, int]:
        """Returns numbers of rows of a device for batches of these kinds: one that is usually enough, and the most."""
        return self._usual_rows.get(tuple(kinds), self._most_rows), self._most_rows

    def rows_at_once(self, texts: int = 0) -> int:
        """Returns how many rows hold so many texts of a device on average; those of a usual batch for 0 texts."""
        usual = max(self._usual_rows.values())
        of_device = sum(map(self._texts, self._tables)) // self.devices
        return -(-usual * min(texts or of_device, of_device) // of_device)

    @cached_property
    def _usual_rows(self) -> dict[tuple[str, ...], int]:
        """By kinds, since homogeneous batches may lack some: enough rows for all but one batch in a thousand.

        The most that one of the first `counted` batches needs or, if more, the quantile of a normal distribution.
        """
        needed: dict[tuple[str, ...], list[int]] = {}
        for step in range(self.counted):
            asked = self.teacher.draw(step) if self.teacher else {}
            spans = self._spans(step, self.sampler(step), asked)
            needed.setdefault(tuple(spans), []).append(len(self._packing(spans).rows))
        quantile = {kinds: round(np.mean(rows) + _STANDARD_DEVIATIONS * np.std(rows)) for kinds, rows in needed.items()}
        return {
            kinds: min(-(-max(*rows, quantile[kinds]) // self.devices), self._most_rows)
            for kinds, rows in needed.items()
        }

    @cached_property
    def _most_rows(self) -> int:
        """Enough rows for the longest texts of all kinds."""
        settings, longest = self.sampler.settings, []
        for kind, table in self._tables.items():
            lengths = np.sort(table.lengths)[-self._texts(kind) :]
            if kind == "vacancy" and settings.distractor_probability:
                lengths = lengths + (lengths.max(initial=table.special.count) - table.special.count)
            longest.append(np.minimum(lengths, self._length(kind)))
        return -(-most_rows(np.concatenate(longest), self.row_length) // self.devices)

    def _texts(self, kind: str) -> int:
        """Returns how many texts of a kind a batch has at most."""
        if self.teacher and kind in self.teacher.tables:
            return self.teacher.texts(kind)
        settings = self.sampler.settings
        return settings.global_batch_size + (settings.mined_negatives if kind != SKILL else 0)

    def _spans(self, step: int, ids: BatchIds, asked: dict[str, np.ndarray]) -> dict[str, Spans]:
        """Returns by kind where the texts of the whole batch are, `asked` of the teacher's among them."""
        drawn = {SKILL: ids.skills, **ids.neighbours}
        spans = {}
        # Of the whole batch, since a name that is in it twice is not taken.
        for kind, texts in (self.names(step, drawn) if self.names else drawn).items():
            table, length = self.tables[kind], getattr(self.lengths, kind)
            if kind == "vacancy":
                spans[kind] = table.joined_spans(texts, ids.distractors, ids.distractor_first, length)
            else:
                spans[kind] = table.spans(texts, length)
        for kind, texts in asked.items():
            spans[kind] = self._tables[kind].spans(texts, self._length(kind))
        return spans

    def _packing(self, spans: dict[str, Spans]) -> Packing:
        return pack(np.concatenate([texts.lengths for texts in spans.values()]), self.row_length)


def fitted_lengths(tables: dict[str, TokenTable], lengths: LengthSettings, *, distractors: bool) -> LengthSettings:
    """Lowers each length to that of the kind's longest text, rounded up to a multiple of 8.

    The scorers' tensors are as wide as the lengths, and rows as the largest.

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
