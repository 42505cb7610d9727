"""Reads the scores of a teacher from files."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from uwe_jax.config import Config
from uwe_jax.data.dense_scores import DenseScores
from uwe_jax.data.split import TRAIN, assign_splits
from uwe_jax.data.teacher import Teacher, TeacherScores, numbered
from uwe_jax.data.text import normalise
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import near_on_disk
from uwe_jax.runtime.progress import counted
from uwe_jax.runtime.remote import is_remote, local_copy
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, table_format
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import read_rows

LOG = logging.getLogger(__name__)
_FORM = "a table with a query, a target and a score per row, or an .npz of `uwe-jax teach`; several with commas between"
_COLUMNS = {"query": "text", "target": "text", "score": "float"}
_FLOAT32 = 3e38


def load_teacher(config: Config, tokeniser: Tokeniser, cache: Path) -> Teacher:
    """Reads a teacher's scores, without pairs of which a text is held out, and tokenises their texts.

    Raises:
      UserError: a file is missing or broken, or has too few queries with two scored targets.
    """
    settings = config.loss.distillation
    files = tuple(
        _dense(path, config) if _is_dense(path) else _of_table(path, config) for path in _files(settings.path, cache)
    )
    tables = {kind: tokeniser.table(each, label=f"a teacher's {kind} texts") for kind, each in numbered(files).items()}
    return Teacher(files, tables, settings, config.seed)


def check_teacher(config: Config, cache: Path) -> None:
    """Refuses files that `load_teacher` would refuse, by their beginnings alone: to be called before graphs are built.

    Raises:
      UserError: a file is missing or in no known format, lacks columns, its first row is broken, or it has too few
        queries or targets even if none is held out.
    """
    for path in _files(config.loss.distillation.path, cache):
        if _is_dense(path):
            queries, targets = DenseScores.read_shape(path)
            _check_targets(targets, f"{targets:,} in {path}", config)
            _check_queries(queries, f"{counted(queries, 'query')} in {path}", config)
            continue
        if not table_format(path):
            raise UserError(
                f"loss.distillation.path {path} is in no supported format. Name {_FORM}, in {EXPECTED_FORMATS}."
            )
        problems = Problems(str(path))
        next(read_rows(path, path.name, _COLUMNS, problems), None)
        problems.check()


def _files(given: str, cache: Path) -> list[Path]:
    """Returns the files that are given, separated by commas, which may be in a path, too; remote ones as copies."""
    paths = [given] if Path(given).expanduser().is_file() else [each.strip() for each in given.split(",")]
    return [_local(path, cache) for path in paths]


def _local(path: str, cache: Path) -> Path:
    local = local_copy(path, cache) if is_remote(path) else Path(path).expanduser()
    if not local.is_file():
        raise UserError(f"loss.distillation.path {local} is not a file.{near_on_disk(local)} Name {_FORM}.")
    return local


def _is_dense(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _of_table(path: Path, config: Config) -> TeacherScores:
    read = read_scores(path)
    texts = sorted({*read, *(target for each in read.values() for target in each)})
    held_out = {text for text, kept in zip(texts, _in_training(texts, config), strict=True) if not kept}
    kept = {
        query: {target: score for target, score in each.items() if target not in held_out}
        for query, each in read.items()
        if query not in held_out
    }
    compared = {query: each for query, each in kept.items() if len(each) > 1}
    pairs, used = (sum(map(len, each.values())) for each in (read, compared))
    about = (
        f"{counted(len(compared), 'query')} with {used:,} of the {pairs:,} scored pairs in {path}; "
        f"left out: {counted(pairs - sum(map(len, kept.values())), 'pair')} with a held-out text, and "
        f"{counted(len(kept) - len(compared), 'query')} with fewer than two scored targets"
    )
    _check_queries(len(compared), about, config)
    LOG.info(f"The teacher: {about}.")
    return TeacherScores.of(compared)


def _dense(path: Path, config: Config) -> DenseScores:
    read, near = DenseScores.read(path), config.loss.distillation.near
    texts = read.queries, read.names.texts, read.targets, read.target_names.texts
    scores = read.where(*(_in_training(each, config) for each in texts))
    further = [f"({counted(len(own.texts), 'further name')})" for own in (scores.names, scores.target_names)]
    about = (
        f"{counted(len(scores.queries), 'query')} of {len(read.queries):,} {further[0]} and {len(scores.targets):,} of "
        f"{counted(len(read.targets), 'target')} {further[1]} in {path}; the others are held out"
    )
    _check_targets(len(scores.targets), about, config)
    _check_queries(len(scores.queries), about, config)
    LOG.info(f"The teacher: {about}.")
    return scores.drawing(near)


def _in_training(texts: Sequence[str], config: Config) -> Bool[np.ndarray, " texts"]:
    split = config.split
    return assign_splits(texts, validation=split.validation, test=split.test, salt=split.salt) == TRAIN


def _check_targets(number: int, about: str, config: Config) -> None:
    least = max(2, config.loss.distillation.near)
    if number < least:
        raise UserError(
            f"The targets of a query are drawn from its best {least} (loss.distillation.near, of at least two), but "
            f"there are only {about}. Score more targets, or lower --config.loss.distillation.near."
        )


def _check_queries(number: int, about: str, config: Config) -> None:
    if number < config.loss.distillation.queries:
        raise UserError(
            f"A batch takes {config.loss.distillation.queries} queries of the teacher (loss.distillation.queries), but "
            f"there are only {about}. Score more pairs, or lower --config.loss.distillation.queries."
        )


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """Reads scores by query and target, whose texts are normalised; UserError if a row is broken or contradicted."""
    problems = Problems(str(path))
    scores: dict[str, dict[str, float]] = {}
    for place, row in read_rows(path, path.name, _COLUMNS, problems):
        query, target, score = normalise(row["query"]), normalise(row["target"]), row["score"]
        if not query or not target:
            problems.add(place, f"an empty {'target' if query else 'query'}", "a text")
        elif not math.isfinite(score) or abs(score) > _FLOAT32:
            problems.add(place, f"score {score}", "a finite number")
        elif scores.setdefault(query, {}).setdefault(target, score) != score:
            other = scores[query][target]
            problems.add(
                place, f"score {score:g} of {shorten(query)} and {shorten(target)}, {other:g} above", "one score"
            )
    problems.check()
    return scores
