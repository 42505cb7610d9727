"""Scores of a teacher for pairs of texts, and the pairs that a batch draws of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from jaxtyping import Bool, Float, Int

from uwe_jax.config import DistillationSettings
from uwe_jax.data.dense_scores import STREAM, DenseScores
from uwe_jax.data.graph import hash_texts
from uwe_jax.data.node_names import NameDraw, NodeNames
from uwe_jax.data.ragged import run_entries, run_offsets
from uwe_jax.data.tokens import TokenTable
from uwe_jax.data.training_hashes import TrainingHashes, pair_hashes, text_hashes
from uwe_jax.runtime.kinds import QUERY, TARGET


@dataclass(frozen=True)
class TeacherScores:
    """Scores of targets for each of q queries: query k has entries offsets[k]:offsets[k + 1]."""

    queries: tuple[str, ...]
    targets: tuple[str, ...]
    offsets: Int[np.ndarray, " bounds"]  # int64 [q + 1]
    columns: Int[np.ndarray, " e"]  # positions in `targets`
    scores: Float[np.ndarray, " e"]

    @classmethod
    def of(cls, scores: Mapping[str, Mapping[str, float]]) -> TeacherScores:
        """Orders scores by query and by target."""
        queries = tuple(sorted(scores))
        targets = tuple(sorted({target for each in scores.values() for target in each}))
        place = {target: k for k, target in enumerate(targets)}
        entries = [sorted((place[target], score) for target, score in scores[query].items()) for query in queries]
        flat = [entry for own in entries for entry in own]
        return cls(
            queries,
            targets,
            run_offsets(np.array([len(own) for own in entries], np.int64)),
            np.array([column for column, _ in flat], np.int64),
            np.array([score for _, score in flat], np.float32),
        )

    @property
    def names(self) -> NodeNames:
        """Further names of the queries: none."""
        return NodeNames.of(self.queries, {})

    @property
    def target_names(self) -> NodeNames:
        """Further names of the targets: none."""
        return NodeNames.of(self.targets, {})

    def fingerprint(self) -> str:
        """Returns a SHA-256 over texts and scores, in hexadecimal."""
        digest = hashlib.sha256()
        for part in (self.queries, self.targets):
            hash_texts(digest, part)
        for column in (self.offsets, self.columns):
            digest.update(column.astype("<i8").tobytes())
        digest.update(self.scores.astype("<f4").tobytes())
        return digest.hexdigest()

    def training_hashes(self) -> TrainingHashes:
        """Hashes the texts and pairs as those that a model is trained on."""
        queries, targets = text_hashes(self.queries), text_hashes(self.targets)
        rows = np.repeat(np.arange(len(queries)), np.diff(self.offsets))
        pairs = pair_hashes(queries[rows], targets[self.columns])
        return TrainingHashes(np.unique(np.concatenate([queries, targets])), np.unique(pairs))

    def draw(self, seed: int, step: int, settings: DistillationSettings) -> dict[str, Int[np.ndarray, " n"]]:
        """Draws queries without replacement, and of each up to so many of its targets, a pure function of the step.

        Returns:
          By kind the positions of q queries, and of q times `settings.targets` targets; -1 for one that a query lacks,
          or that was drawn before in this batch.
        """
        rng = np.random.default_rng((seed, STREAM, step))
        queries = rng.choice(len(self.queries), settings.queries, replace=False)
        targets = np.full((settings.queries, settings.targets), -1, np.int64)
        for row, query in enumerate(queries):
            own = slice(*self.offsets[query : query + 2])
            among = self.columns[own]
            if settings.near:
                among = among[np.argsort(-self.scores[own], kind="stable")[: settings.near]]
            drawn = rng.permutation(among)[: settings.targets]
            targets[row, : len(drawn)] = drawn
        flat = targets.ravel()
        repeated = np.ones(len(flat), bool)
        repeated[np.unique(flat, return_index=True)[1]] = False
        return {QUERY: queries, TARGET: np.where(repeated, -1, flat)}

    def block(self, queries: Int[np.ndarray, " q"], targets: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
        """Returns the `scores` of pairs, float32 [q, n], and which of them the teacher has `scored`, bool [q, n].

        All of the file's pairs of these texts count, whichever query a target was drawn for.

        Args:
          targets: distinct, or -1 for none.
        """
        column_of = np.full(len(self.targets) + 1, -1)  # the last entry, which no pair names, takes the -1
        column_of[targets] = np.arange(len(targets))
        starts = self.offsets[queries]
        counts = self.offsets[queries + 1] - starts
        entries, rows = run_entries(starts, counts), np.repeat(np.arange(len(queries)), counts)
        columns = column_of[self.columns[entries]]
        here = columns >= 0
        scores = np.zeros((len(queries), len(targets)), np.float32)
        scored: Bool[np.ndarray, "q n"] = np.zeros(scores.shape, bool)
        scores[rows[here], columns[here]] = self.scores[entries][here]
        scored[rows[here], columns[here]] = True
        return {"scores": scores, "scored": scored}


@dataclass(frozen=True)
class Teacher:
    """Draws texts and scores for batches from the files of a teacher: one file in each step, in turn.

    The texts of all files are numbered together: the labels of the queries of every file, then all their further
    names; and those of the targets likewise.
    """

    files: tuple[TeacherScores | DenseScores, ...]
    tables: dict[str, TokenTable]  # of the texts, by kind; see `numbered`
    settings: DistillationSettings
    seed: int

    def draw(self, step: int) -> dict[str, Int[np.ndarray, " n"]]:
        """Draws the texts of a step; see `TeacherScores.draw`."""
        turn = step % len(self.files)
        drawn = self.files[turn].draw(self.seed, step, self.settings)
        queries = drawn[QUERY] + self._starts[QUERY][turn]
        targets = np.where(drawn[TARGET] < 0, -1, drawn[TARGET] + self._starts[TARGET][turn])
        return self._names(step, {QUERY: queries, TARGET: targets})

    def block(self, queries: Int[np.ndarray, " q"], targets: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
        """Returns the scores of drawn texts; see `TeacherScores.block`."""
        labels = self._labels[QUERY][queries]
        turn = int(np.searchsorted(self._starts[QUERY], labels[0], "right")) - 1
        own = np.where(targets < 0, -1, self._labels[TARGET][targets] - self._starts[TARGET][turn])
        return self.files[turn].block(labels - self._starts[QUERY][turn], own)

    def texts(self, kind: str) -> int:
        """Returns how many texts of a kind a batch has."""
        return self.settings.queries * (self.settings.targets if kind == TARGET else 1)

    def fingerprint(self) -> str:
        """Returns a SHA-256 over texts and scores, in hexadecimal."""
        each = [file.fingerprint() for file in self.files]
        return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()

    def training_hashes(self) -> TrainingHashes:
        """Hashes what a model is trained on; see those of the files."""
        return TrainingHashes.union([file.training_hashes() for file in self.files])

    @cached_property
    def _starts(self) -> dict[str, Int[np.ndarray, " files"]]:
        """The number of every file's first query and target."""
        return {kind: run_offsets(np.array([*map(len, each)]))[:-1] for kind, each in _label_texts(self.files).items()}

    @cached_property
    def _labels(self) -> dict[str, Int[np.ndarray, " texts"]]:
        """The number of the label of every text of a query, and of a target."""
        return {
            kind: np.concatenate([np.arange(sum(map(len, each))), self._further[kind].owners])
            for kind, each in _label_texts(self.files).items()
        }

    @cached_property
    def _names(self) -> NameDraw:
        labels = {kind: tuple(chain.from_iterable(each)) for kind, each in _label_texts(self.files).items()}
        return NameDraw(labels, self._further, self.seed)

    @cached_property
    def _further(self) -> dict[str, NodeNames]:
        return _joined_names(self.files)


def numbered(files: Sequence[TeacherScores | DenseScores]) -> dict[str, tuple[str, ...]]:
    """Returns the texts of a teacher's files by kind, in the order of their numbers in a `Teacher`."""
    names = _joined_names(files)
    return {kind: (*chain.from_iterable(each), *names[kind].texts) for kind, each in _label_texts(files).items()}


def _label_texts(files: Sequence[TeacherScores | DenseScores]) -> dict[str, list[tuple[str, ...]]]:
    return {QUERY: [file.queries for file in files], TARGET: [file.targets for file in files]}


def _joined_names(files: Sequence[TeacherScores | DenseScores]) -> dict[str, NodeNames]:
    names = {QUERY: [file.names for file in files], TARGET: [file.target_names for file in files]}
    return {
        kind: NodeNames(
            tuple(chain.from_iterable(own.texts for own in each)),
            run_offsets(np.concatenate([np.diff(own.offsets) for own in each])),
        )
        for kind, each in names.items()
    }
