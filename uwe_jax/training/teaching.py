"""Reads the scores of a teacher from a file."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from uwe_jax.config import Config
from uwe_jax.data.split import TRAIN, assign_splits
from uwe_jax.data.teacher import Teacher, TeacherScores
from uwe_jax.data.text import normalise
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import near_on_disk
from uwe_jax.runtime.progress import counted
from uwe_jax.runtime.remote import is_remote, local_copy
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import read_rows

LOG = logging.getLogger(__name__)
_FORM = "a table with a query, a target and a score per row"
_FLOAT32 = 3e38


def load_teacher(config: Config, tokeniser: Tokeniser, cache: Path) -> Teacher:
    """Reads a teacher's scores, without pairs of which a text is held out, and tokenises their texts.

    Raises:
      UserError: the file is missing or broken, or has too few queries with two scored targets.
    """
    settings = config.loss.distillation
    path = local_copy(settings.path, cache) if is_remote(settings.path) else Path(settings.path).expanduser()
    if not path.is_file():
        raise UserError(f"loss.distillation.path {path} is not a file.{near_on_disk(path)} Name {_FORM}.")
    read = read_scores(path)
    texts = sorted({*read, *(target for each in read.values() for target in each)})
    split = config.split
    splits = assign_splits(texts, validation=split.validation, test=split.test, salt=split.salt)
    held_out = {text for text, number in zip(texts, splits.tolist(), strict=True) if number != TRAIN}
    kept = {
        query: {target: score for target, score in each.items() if target not in held_out}
        for query, each in read.items()
        if query not in held_out
    }
    compared = {query: each for query, each in kept.items() if len(each) > 1}
    pairs, used = (sum(map(len, each.values())) for each in (read, compared))
    about = (
        f"{counted(len(compared), 'query')} with {used:,} of the {pairs:,} scored pairs in {path}; "
        f"{pairs - sum(map(len, kept.values())):,} pairs have a held-out text, and {len(kept) - len(compared):,} "
        "queries fewer than two scored targets"
    )
    if len(compared) < settings.queries:
        raise UserError(
            f"A batch takes {settings.queries} queries of the teacher (loss.distillation.queries), but there are only "
            f"{about}. Score more pairs, or lower --config.loss.distillation.queries."
        )
    LOG.info(f"The teacher: {about}.")
    scores = TeacherScores.of(compared)
    tables = {kind: tokeniser.table(each, label=f"a teacher's {kind} texts") for kind, each in scores.texts.items()}
    return Teacher(scores, tables, settings, config.seed)


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """Reads scores by query and target, whose texts are normalised; UserError if a row is broken or contradicted."""
    problems = Problems(str(path))
    scores: dict[str, dict[str, float]] = {}
    for place, row in read_rows(path, path.name, {"query": "text", "target": "text", "score": "float"}, problems):
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
