"""Fits the filter of sentences without a skill to judged sentences."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uwe_jax.data.text import normalise
from uwe_jax.evaluation.calibrate.judgements import LABELS
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.skill_filter import fit_filter, write_filter
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, near_on_disk
from uwe_jax.runtime.progress import counted, report
from uwe_jax.scoring.calibration import half_width
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import read_rows
from uwe_jax.sources.tables.values import ANY

LOG = logging.getLogger(__name__)
MIN_EACH = 50  # sentences with a skill, and without


def fit_sentences(paths: Sequence[Path], model: str, out: Path, keep: float, cache_dir: str = "") -> None:
    """Fits a filter for a model, and writes it into a file.

    Args:
      paths: tables of `read_sentences`, which weigh the same.
      model: a run, an export or an encoder.
      out: of the filter.
      keep: share of the sentences with a skill that the filter is to keep.
      cache_dir: of encoders.

    Raises:
      UserError: a table is broken, or there are too few sentences.
    """
    rows = [(part, *row) for part, path in enumerate(paths) for row in read_sentences(path)]
    texts = [text for _, text, _, _ in rows]
    has_skill = np.array([label for _, _, label, _ in rows], bool)
    with_skill, least = int(has_skill.sum()), min(int(has_skill.sum()), int((~has_skill).sum()))
    if least < MIN_EACH:
        raise UserError(
            f"{counted(len(rows), 'sentence')} are judged, {with_skill:,} with a skill and {len(rows) - with_skill:,} "
            f"without: a share of {least} is known within {100 * half_width(least):.0f} points (95 % interval). "
            f"Expected at least {MIN_EACH} of each. Judge more sentences."
        )
    ranker = load(model, cache_dir=cache_folder(cache_dir))
    numbers: dict[tuple[int, str], int] = {}
    group = [numbers.setdefault((part, name or text), len(numbers)) for part, text, _, name in rows]
    fitted = fit_filter(
        ranker.encode(texts),
        has_skill,
        np.array([part for part, *_ in rows]),
        np.array(group),
        keep=keep,
        model=ranker.name,
        fingerprints=[ranker.origin.fingerprint],
        origin=", ".join(path.name for path in paths),
    )
    write_filter(out, fitted)
    report(
        f"{fitted.sentences:,} sentences, {fitted.with_skill:,} with a skill. On folds not fitted on: area under the "
        f"curve {fitted.area:.3f}; at probability {fitted.threshold:.2f} the filter keeps {100 * fitted.kept:.0f} % of "
        f"the sentences with a skill and drops {100 * fitted.dropped:.0f} % of those without."
    )
    LOG.info(f"Written to {out}; use it with `uwe-jax tag --model {model} --skill-filter {out}`.")


def read_sentences(path: Path) -> list[tuple[str, bool, str]]:
    """Reads a table of sentence, label (1 where it has a skill, else 0) and, optional, document; the last label counts.

    Raises:
      UserError: the table is missing or broken.
    """
    if not path.is_file():
        raise UserError(f"--sentences {path} is not a file.{near_on_disk(path)} Name a table with sentence and label.")
    problems = Problems(str(path))
    found: dict[str, tuple[str, bool, str]] = {}
    columns, optional = {"sentence": "text", "label": ANY}, {"document": "id"}
    for place, row in read_rows(path, path.name, columns, problems, optional=optional):
        text, label = normalise(row["sentence"]), LABELS.get(str(row["label"]).strip())
        if not text:
            problems.add(place, "an empty sentence", "a text")
        elif label is None:
            problems.add(place, f"label {shorten(str(row['label']))}", "0 or 1")
        else:
            found[text] = text, label, row["document"] or ""
    problems.check()
    return [*found.values()]
