"""Scores of a teacher for every pair of queries and targets, their file, and the pairs that a batch draws of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from uwe_jax.config import DistillationSettings
from uwe_jax.data.graph import hash_texts
from uwe_jax.data.node_names import NodeNames
from uwe_jax.data.text import normalise
from uwe_jax.data.training_hashes import TrainingHashes, text_hashes
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import replacing
from uwe_jax.runtime.kinds import QUERY, TARGET
from uwe_jax.runtime.zips import ZIP_DAMAGE, npz_shapes, read_npz

STREAM = 101  # of random numbers of a teacher, apart from those of `sampling`
_VERSION = 1
_MOST_BYTES = 4 << 30  # of a file: training holds it in memory


@dataclass(frozen=True, eq=False)
class DenseScores:
    """Scores of n targets for each of q queries.

    Attributes:
      queries: distinct labels.
      targets: distinct.
      names: further names of the queries, which have the scores of their label.
      target_names: further names of the targets, likewise.
      scores: finite, float16.
      near: positions of each query's k best targets, from which a batch draws; k is 0 where it draws from all.
    """

    queries: tuple[str, ...]
    targets: tuple[str, ...]
    names: NodeNames
    target_names: NodeNames
    scores: Float[np.ndarray, "q n"]
    near: Int[np.ndarray, "q k"]

    @classmethod
    def of(
        cls,
        queries: tuple[str, ...],
        targets: tuple[str, ...],
        scores: Float[np.ndarray, "q n"],
        names: NodeNames | None = None,
        target_names: NodeNames | None = None,
    ) -> DenseScores:
        """Holds scores of which a batch draws any targets; see `drawing`."""
        further = names or NodeNames.of(queries, {}), target_names or NodeNames.of(targets, {})
        return cls(queries, targets, *further, scores, np.zeros((len(queries), 0), np.int64))

    def drawing(self, near: int) -> DenseScores:
        """Returns the same scores, whose batches draw from so many of each query's best; 0: from all."""
        if not near:
            return self
        best = np.empty((len(self.queries), near), np.int64)
        for row, halves in enumerate(self.scores):
            scores = halves.astype(np.float32)
            # Equal scores by position, so that every process finds the same ones.
            at = np.flatnonzero(scores >= np.partition(scores, len(scores) - near)[len(scores) - near])
            best[row] = at[np.argsort(-scores[at], kind="stable")][:near]
        return replace(self, near=best)

    def where(
        self,
        queries: Bool[np.ndarray, " q"],
        names: Bool[np.ndarray, " names"],
        targets: Bool[np.ndarray, " n"],
        target_names: Bool[np.ndarray, " target_names"],
    ) -> DenseScores:
        """Returns only some queries and targets, each with some of its names."""
        if all(kept.all() for kept in (queries, names, targets, target_names)):
            return self
        q, n = np.flatnonzero(queries), np.flatnonzero(targets)
        return DenseScores.of(
            tuple(self.queries[k] for k in q),
            tuple(self.targets[k] for k in n),
            self.scores[np.ix_(q, n)],
            self.names.where(names).taken(q),
            self.target_names.where(target_names).taken(n),
        )

    def fingerprint(self) -> str:
        """Returns a SHA-256 over texts and scores, in hexadecimal."""
        digest = hashlib.sha256()
        for part in (self.queries, self.names.texts, self.targets):
            if (rank := hash_texts(digest, part)) is not None:
                digest.update(rank.astype("<i4").tobytes())
        digest.update(self.names.offsets.astype("<i8").tobytes())
        if self.target_names.texts:
            hash_texts(digest, self.target_names.texts)
            digest.update(self.target_names.offsets.astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(self.scores, "<f2").ravel().view(np.uint8))
        return digest.hexdigest()

    def training_hashes(self) -> TrainingHashes:
        """Hashes the texts; of the pairs none, since every one has a score: it does not tell which belong together."""
        texts = self.queries, self.names.texts, self.targets, self.target_names.texts
        nodes = np.concatenate([text_hashes(each) for each in texts])
        return TrainingHashes(np.unique(nodes), np.zeros(0, np.uint64))

    def draw(self, seed: int, step: int, settings: DistillationSettings) -> dict[str, Int[np.ndarray, " n"]]:
        """Draws queries without replacement, and so many targets for each, a pure function of the step.

        The targets are distinct: where two queries draw one, another one of all targets takes its second place.

        Returns:
          By kind the positions of q queries, and of q times `settings.targets` targets; -1 where there are fewer.
        """
        rng = np.random.default_rng((seed, STREAM, step))
        queries = rng.choice(len(self.queries), settings.queries, replace=False)
        drawn = np.unique(rng.permuted(self.near[queries], axis=1)[:, : settings.targets])
        others = np.setdiff1d(np.arange(len(self.targets)), drawn, assume_unique=True)
        targets = np.full(settings.queries * settings.targets, -1, np.int64)
        missing = min(len(targets) - len(drawn), len(others))
        drawn = np.concatenate([drawn, rng.choice(others, missing, replace=False)])
        targets[: len(drawn)] = drawn
        return {QUERY: queries, TARGET: targets}

    def block(self, queries: Int[np.ndarray, " q"], targets: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
        """Returns the `scores` of pairs, float32 [q, n], and which of them are `scored`, bool [q, n].

        Args:
          queries: positions.
          targets: positions, or -1 for none.
        """
        scored: Bool[np.ndarray, "q n"] = np.tile(targets >= 0, (len(queries), 1))
        return {
            "scores": np.where(scored, self.scores[queries[:, None], targets], 0).astype(np.float32),
            "scored": scored,
        }

    def write(self, path: Path, about: Mapping[str, Any]) -> None:
        """Writes an .npz file atomically, with facts about the scores."""
        with replacing(path, "wb") as file:
            np.savez(
                file,
                queries=np.array(self.queries),
                names=np.array(self.names.texts, str),
                name_offsets=self.names.offsets,
                targets=np.array(self.targets),
                target_names=np.array(self.target_names.texts, str),
                target_name_offsets=self.target_names.offsets,
                scores=self.scores,
                about=np.array(json.dumps({"version": _VERSION, **about})),
            )

    @classmethod
    def read(cls, path: Path) -> DenseScores:
        """Reads the file of `write`. Raises UserError if it is not such a file."""
        try:
            arrays = read_npz(path)
            version = json.loads(str(arrays["about"]))["version"]
            if "target_names" not in arrays:  # of files of earlier versions
                bounds = np.zeros(len(arrays["targets"]) + 1, np.int64)
                arrays |= {"target_names": np.array([], str), "target_name_offsets": bounds}
            queries, targets, names, target_names = (
                tuple(map(normalise, arrays[name].astype(str).ravel().tolist()))
                for name in ("queries", "targets", "names", "target_names")
            )
            of_queries, of_targets = (
                arrays[name].astype(np.int64).ravel() for name in ("name_offsets", "target_name_offsets")
            )
            with np.errstate(over="ignore"):  # infinity is refused below
                scores = arrays["scores"].astype(np.float16, copy=False)
        except (KeyError, TypeError, *ZIP_DAMAGE) as error:
            raise _damaged(path, error) from error
        if version != _VERSION:
            raise UserError(f"{path} has version {version}; this uwe_jax reads version {_VERSION}. Update uwe_jax.")
        further = len(names) + len(target_names)
        counts = f"{len(queries):,} queries, {len(targets):,} targets and {further:,} further names"
        if scores.shape != (len(queries), len(targets)) or not np.isfinite(scores.sum(dtype=np.float64)):
            raise UserError(f"{path} has {counts}, and {scores.shape} scores; expected a finite float16 of every pair.")
        if "" in (*names, *target_names) or any(len({*texts, ""}) <= len(texts) for texts in (queries, targets)):
            raise UserError(f"{path} has {counts}, some of them empty or twice. Join the scores of equal texts.")
        for labels, own, offsets, where in (
            (queries, names, of_queries, "name_offsets do not bound the names of every query"),
            (targets, target_names, of_targets, "target_name_offsets do not bound the names of every target"),
        ):
            rising = len(offsets) == len(labels) + 1 and (np.diff(offsets) >= 0).all()
            if not rising or offsets[[0, -1]].tolist() != [0, len(own)]:
                raise UserError(f"{path} has {counts}, and {where}.")
        return cls.of(queries, targets, scores, NodeNames(names, of_queries), NodeNames(target_names, of_targets))

    @staticmethod
    def read_shape(path: Path) -> tuple[int, int]:
        """Reads the numbers of queries and of targets alone. Raises UserError if it is not a file of `write`."""
        try:
            shapes = npz_shapes(path)
            (queries,), (targets,), found = (shapes[name] for name in ("queries", "targets", "scores"))
        except (KeyError, TypeError, *ZIP_DAMAGE) as error:
            raise _damaged(path, error) from error
        if found != (queries, targets):
            raise UserError(
                f"{path} has {queries:,} queries, {targets:,} targets and {found} scores; expected one of every pair."
            )
        return queries, targets


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} is not a teacher's .npz file, or it is damaged ({error!r}). Write it with `uwe-jax teach`; a table of "
        "pairs has another ending, such as .csv."
    )


def check_size(queries: int, targets: int) -> None:
    """Raises UserError if the scores of so many pairs are more than training holds in memory."""
    if (size := 2 * queries * targets) > _MOST_BYTES:
        raise UserError(
            f"The scores of {queries:,} queries and {targets:,} targets take {size / 2**30:,.1f} GiB; at most "
            f"{_MOST_BYTES / 2**30:.0f} are allowed. Take at most {_MOST_BYTES // (2 * targets):,} of the queries, or "
            "fewer targets."
        )
