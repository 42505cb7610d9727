"""Fits the calibration of an index to judged hits, and measures it on queries that it was not fitted on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from uwe_jax.evaluation.calibrate.judgements import Judged, read_judgements, read_scores
from uwe_jax.evaluation.calibrate.options import CalibrateOptions
from uwe_jax.evaluation.calibrate.report import Outcome, described, measure_all, table, write_report
from uwe_jax.evaluation.calibrate.sentences import fit_sentences
from uwe_jax.retrieval.calibration import Calibration, Point, Subject, calibration_of, write_calibration
from uwe_jax.retrieval.limits import check_index
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.location import in_qdrant, recorded_model
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.retrieval.store.folder import load_index
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, make_out
from uwe_jax.runtime.progress import counted, progress, report
from uwe_jax.runtime.text_table import render_table
from uwe_jax.scoring.calibration import (
    IN_CONTEXT,
    SCORE,
    expected_calibration_error,
    features,
    fit,
    half_width,
    log_loss,
    operating_point,
)

LOG = logging.getLogger(__name__)
MIN_JUDGED, MIN_EACH = 100, 10  # judged hits; right ones and wrong ones
_BATCH = 256
_THRESHOLDS = np.arange(1, 100) / 100


def calibrate(options: CalibrateOptions) -> None:
    """Fits and writes a calibration, or measures the one that is there, and prints a report.

    Raises:
      UserError: for anything that the user can fix.
    """
    if options.sentences:
        assert options.out is not None  # of the options
        fit_sentences(options.sentences, options.model, options.out, options.keep, options.cache_dir)
        return
    if in_qdrant(options.folder):
        raise UserError(
            f"--index {options.folder} is in Qdrant. Give the folder of an index on disk, and upload that again."
        )
    index, how = load_index(options.folder), RankSettings.of(options)
    judged = read_judgements(options, index)
    scores = read_scores(options.none_scores, judged) if options.none_scores else None
    if options.out:
        make_out(options.out)
    ranker = load(
        options.model or recorded_model([str(options.folder)]),
        cache_dir=cache_folder(options.cache_dir),
        max_tokens=index.origin.max_tokens,
        label_weight=how.label_weight,
        description_weight=how.description_weight,
        words=how.words,
        clean_queries=how.clean_queries,
    )
    # A calibration that does not hold is fitted again, but not measured.
    check_index(ranker.origin, index.origin, options.depth, str(options.folder))
    held, why = calibration_of(index, ranker.origin, ranker.how)
    if options.evaluate and held is None:
        raise UserError(f"{options.folder}: --evaluate measures a calibration, but {why}")
    outcomes = {name: judge_hits(ranker, index, each, options.depth, name) for name, each in judged.items()}
    whole = Outcome.joined([*outcomes.values()])
    check_enough(whole)
    if options.evaluate:
        assert held is not None  # checked above
        calibration, p = held, held.platt.of(whole.x)
    else:
        subject = Subject.of_index(index, ranker.origin, how)
        calibration, p = fitted(whole, subject, ", ".join(outcomes), options.depth)
        write_calibration(options.folder, calibration)
    threshold = chosen_threshold(calibration, options)
    if (highest := p.max()) < threshold:
        LOG.warning(f"No hit reaches probability {threshold:g}: the highest of {len(p):,} is {highest:.2f}.")
    results = measure_all(outcomes, p, threshold, calibration, scores)
    report(render_table(table(results, threshold)))
    report(described(calibration))
    if options.out:
        write_report(options.out, results, calibration)
        LOG.info(f"Wrote the report and its figures to {options.out}.")
    if not options.evaluate:
        LOG.info(f"Written to {options.folder}; `uwe-jax rank --index {options.folder}` shows probabilities now.")


def judge_hits(ranker: Ranker, index: Index, judged: Sequence[Judged], depth: int, name: str) -> Outcome:
    """Ranks an index for queries, and returns those of their `depth` best hits that are judged."""
    starts = range(0, len(judged), _BATCH)
    x, right, query = [np.zeros((0, len(IN_CONTEXT)))], [], []
    first = np.full((len(judged), len(IN_CONTEXT)), -np.inf)
    for start in progress(starts, label=f"{name}: ranking", unit="batch") if len(starts) > 1 else starts:
        part = judged[start : start + _BATCH]
        answers = ranker.search([each.query for each in part], [index], depth + 1, None, start + 1)
        for at, (asked, answer) in enumerate(zip(part, answers, strict=True), start):
            if isinstance(answer, UserError):
                raise answer
            hits = answer[0]
            known = [hit.id in asked.right or asked.wrong is None or hit.id in asked.wrong for hit in hits[:depth]]
            of_hits = features(np.array([hit.score for hit in hits]))[:depth]
            first[at] = of_hits[0] if len(of_hits) else -np.inf
            x.append(of_hits[known])
            right += [hit.id in asked.right for hit, judged_one in zip(hits, known, strict=False) if judged_one]
            query += [at] * sum(known)
    targets = np.array([len(each.right) for each in judged])
    return Outcome(np.concatenate(x), np.array(right, bool), np.array(query, int), targets, first)


def check_enough(found: Outcome) -> None:
    """Raises UserError for too few judged hits, or too few that are right or wrong."""
    n, right = len(found.right), int(found.right.sum())
    if n >= MIN_JUDGED and min(right, n - right) >= MIN_EACH:
        return
    now, then = (f"{100 * half_width(each):.0f}" for each in (n, MIN_JUDGED))
    raise UserError(
        f"{n:,} hits of {counted(len(found.targets), 'query')} are judged, {right:,} of them right and {n - right:,} "
        f"wrong: a precision measured on them is known within {now} points (95 % interval). Expected at least "
        f"{MIN_JUDGED} (within {then} points), {MIN_EACH} of them right and {MIN_EACH} wrong. Judge more pairs, "
        "right and wrong ones, or raise --depth."
    )


def fitted(found: Outcome, subject: Subject, origin: str, depth: int) -> tuple[Calibration, Float[np.ndarray, " n"]]:
    """Fits a calibration to all judged hits.

    What is measured is predicted by halves: hits of one half of the queries by the map that was fitted to the other
    one. The features that predict best are chosen.

    Returns:
      The calibration, and the predicted probabilities.
    """
    half = np.random.default_rng(0).permutation(len(found.targets))[found.query] % 2
    predicted = {}
    for names in (SCORE, IN_CONTEXT):
        p = np.empty(len(found.right))
        for each in (0, 1):
            p[half == each] = fit(found.x[half != each], found.right[half != each], names).of(found.x[half == each])
        predicted[names] = p
    names = min(predicted, key=lambda each: log_loss(predicted[each], found.right))
    p = predicted[names]
    points = (operating_point(p, found.right, found.query, found.targets, float(each)) for each in _THRESHOLDS)
    calibration = Calibration(
        subject,
        fit(found.x, found.right, names),
        origin,
        len(found.targets),
        len(found.right),
        int(found.right.sum()),
        depth,
        expected_calibration_error(p, found.right),
        tuple(Point(**each) for each in points),
    )
    return calibration, p


def chosen_threshold(calibration: Calibration, options: CalibrateOptions) -> float:
    """Returns the probability at which the report measures; see `CalibrateOptions`."""
    if options.min_probability is not None:
        return options.min_probability
    if options.precision is not None:
        return calibration.threshold(options.precision).probability
    return max(calibration.points, key=lambda point: point.f1).probability
