"""Scores of a teacher that reads more of its queries and targets than labels, for a model that learns from labels."""

from __future__ import annotations

import itertools
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from sklearn.preprocessing import scale

from uwe_jax.data.dense_scores import DenseScores, check_size
from uwe_jax.data.node_names import NodeNames
from uwe_jax.evaluation.ranker import Score
from uwe_jax.evaluation.target_names import NamesScore
from uwe_jax.evaluation.tasks.names import TargetNames
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.store.columns import DESCRIPTION
from uwe_jax.retrieval.targets import Targets
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import counted, data_size, progress, report
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.scoring.statistics import fixed_sample
from uwe_jax.sources.notes import noted
from uwe_jax.sources.vacancies.sentences import cut_sentences, plain_text

LOG = logging.getLogger(__name__)
_AT_ONCE = 64  # queries whose sentences are encoded together
_NEAR = 60  # best targets of a query from which a batch draws, as measured in docs/training.md


@dataclass
class _Read:
    """Texts of a query beside its label."""

    names: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)


def teach(
    rankers: Sequence[Ranker],
    queries: Targets,
    targets: Targets,
    weights: Sequence[int],
    out: Path,
    language: str = "en",
    *,
    model_weights: Sequence[int] = (1,),
    target_names: bool = False,
    keep_target_names: bool = False,
    max_queries: int = 0,
) -> None:
    """Scores every query, by its label and the sentences of its description, with every target.

    Args:
      rankers: the teachers, of which the first sets the scale of the scores.
      queries: with descriptions and, optional, other names, which are kept and not scored.
      targets: with further names, which are read if `target_names`.
      weights: of `label_and_sentence_scores`.
      out: the .npz to write; see `DenseScores`.
      language: of the descriptions, as of `cut_sentences`.
      model_weights: of the rankers, as of `averaged_scores`.
      target_names: score targets by all their names, as `uwe_jax.scoring.names.name_scores`, not by their labels.
      keep_target_names: keep the names that targets are scored by, for a target to occur under each in training.
      max_queries: score only so many queries, drawn at random; 0 scores all.

    Raises:
      UserError: a single teacher without words in common, where no query has a description and no target a further
        name; `target_names` without any; the scores are too many, or a text cannot be scored.
    """
    texts = texts_of(queries, language)
    names_of = {label: own.names if target_names else [] for label, own in texts_of(targets).items()}
    labels, candidates = tuple(texts), tuple(names_of)
    for read, kept in ((queries, labels), (targets, candidates)):
        joined = noted(len(read) - len(kept), "label", "equal to an earlier one, and joined with it")
        if notes := (*read.notes, *joined):
            LOG.info(f"{read.origin}: {'; '.join(notes)}.")
    if len(drawn := fixed_sample(len(labels), max_queries)) < len(labels):
        LOG.info(f"{len(drawn):,} of {len(labels):,} queries drawn at random.")
        labels = tuple(labels[k] for k in drawn)
        texts = {label: texts[label] for label in labels}
    described = [each for each in texts.values() if each.sentences]
    further = sum(map(len, names_of.values()))
    if target_names and not further:
        raise UserError(
            f"None of the {counted(len(candidates), 'target')} of {targets.origin} has a further name to be read by. "
            "Name a column of names with --target-names-column, or leave --target-names out."
        )
    if len(rankers) == 1 and not rankers[0].how.words and not described and not further:
        raise UserError(
            f"None of the {counted(len(labels), 'query')} of {queries.origin} has a description, and no target is read "
            "by further names, so the teacher would read no more than the model that learns from it. Name a column of "
            "descriptions with --query-descriptions, or read the targets' names with --target-names."
        )
    check_size(len(labels), len(candidates))
    sentences = [each for own in described for each in own.sentences]
    for ranker in rankers:
        for note in ranker.truncation(sentences).notes("sentence"):
            of_which = f"{ranker.name}: " if len(rankers) > 1 else ""
            LOG.warning(f"{of_which}{note}. --max-tokens sets another limit.")
    # As many more queries at once as there are names, of which a `NamesScore` takes fewer queries at once.
    at_once = _AT_ONCE * (1 + further // len(candidates))
    parts = [
        label_and_sentence_scores(target_scorer(ranker, names_of), texts, len(candidates), weights, at_once)
        for ranker in rankers
    ]
    scores = averaged_scores(parts, model_weights)
    names = NodeNames.of(labels, {k: own.names for k, own in enumerate(texts.values())})
    kept_names = NodeNames.of(candidates, dict(enumerate(names_of.values())) if keep_target_names else {})
    by = " and ".join(ranker.name for ranker in rankers)
    about = {
        "models": [ranker.name for ranker in rankers],
        "model_weights": list(model_weights),
        "scorers": [scorer_text(ranker.scorer) for ranker in rankers],
        "weights": list(weights),
        "words": rankers[0].how.words,
        "target_names": target_names,
    }
    DenseScores.of(labels, candidates, scores, names, kept_names).write(out, about)
    told = [f"The queries have {counted(len(names.texts), 'further name')}."] if names.texts else []
    if further:
        kept_too = f"; {len(kept_names.texts):,} of them are kept for training" if keep_target_names else ""
        told.insert(0, f"The targets are read by {counted(further, 'further name')} as well{kept_too}.")
    if described:
        told.insert(
            0,
            f"{len(described):,} of the queries have a description, of {len(sentences) / len(described):.1f} sentences "
            f"on average; {len(labels) - len(described):,} are scored by their label alone.",
        )
    report(
        f"{out}: scores of {counted(len(labels), 'query')} with {counted(len(candidates), 'target')} by {by}, "
        f"{' '.join((f'{data_size(out.stat().st_size)}.', *told))}"
    )
    # Training leaves held-out targets out and refuses fewer than `near`.
    near = f" --config.loss.distillation.near={_NEAR}" if len(candidates) >= 2 * _NEAR else ""
    LOG.info(
        f"Train on it with `uwe-jax train --config=CONFIG --config.loss.distillation.path={shlex.quote(str(out))}"
        f"{near} --config.loss.distillation.symmetric=True`."
    )


def texts_of(queries: Targets, language: str = "en") -> dict[str, _Read]:
    """Returns the further names of queries, and the sentences of their descriptions, by label; equal labels share."""
    found: dict[str, _Read] = {}
    for label, names in zip(queries.texts, queries.names or itertools.repeat(()), strict=False):
        own = found.setdefault(label, _Read())
        for name in names:
            if name.role == DESCRIPTION:
                cut = cut_sentences(plain_text(name.text), language)
                own.sentences += [each for each in cut if any(map(str.isalnum, each))]
            else:
                own.names.append(name.text)
    return found


def target_scorer(ranker: Ranker, names_of: Mapping[str, Sequence[str]]) -> Score:
    """Returns a function of q texts to the scores [q, n] of n targets, given by their labels with further names."""
    if not any(names_of.values()):
        return ranker.index(tuple(names_of))
    names = TargetNames.of([(label, *own) for label, own in names_of.items()])
    return NamesScore(ranker, names, ranker.how.weights, "a teacher")


def label_and_sentence_scores(
    score: Score, queries: Mapping[str, _Read], targets: int, weights: Sequence[int], at_once: int
) -> Float[np.ndarray, "q n"]:
    """Returns (a A + b B + m M) / (a + b + m) of every query and target, float16.

    A is the score of the query's label; B is the best, and M the mean, of the scores of its sentences, or of its label
    where there are none.

    Args:
      score: of `target_scorer`.
      queries: by label.
      targets: n.
      weights: a, b and m.
      at_once: queries whose sentences are encoded together.
    """
    total = sum(weights)
    found = np.empty((len(queries), targets), np.float16)
    starts = range(0, len(queries), at_once)
    for start in progress(starts, label="Scoring queries", unit=" batches", total=len(starts)):
        rows = [(label, *own.sentences) for label, own in itertools.islice(queries.items(), start, start + at_once)]
        scores = score([*itertools.chain.from_iterable(rows)])
        ends = np.cumsum([len(row) for row in rows])[:-1]
        for row, own in enumerate(np.split(scores, ends), start):
            sentences = own[1:] if len(own) > 1 else own
            parts = np.stack([own[0], sentences.max(axis=0), sentences.mean(axis=0)])
            found[row] = np.array(weights, np.float32) @ parts / total
    return found


def averaged_scores(scores: Sequence[Float[np.ndarray, "q n"]], weights: Sequence[int]) -> Float[np.ndarray, "q n"]:
    """Returns the weighted mean of several teachers' scores of the same pairs, float16.

    Teachers score on scales of their own, so the mean is over z-scores: every score less the mean of its query's
    scores, divided by their standard deviation. The result has each query's mean and standard deviation of the first
    teacher's scores, so that one temperature of distillation fits one teacher and several.

    Args:
      scores: of one or more teachers.
      weights: of the teachers, none negative and not all 0.
    """
    if len(scores) == 1:
        return scores[0]
    found = np.empty_like(scores[0])
    for row, parts in enumerate(zip(*scores, strict=True)):
        own = np.stack(parts).astype(np.float64)
        found[row] = own[0].mean() + own[0].std() * scale(np.array(weights) @ scale(own, axis=1))
    return found
