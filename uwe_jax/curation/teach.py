"""Scores of a teacher that reads the descriptions of its queries, for a model that is to learn from labels alone."""

from __future__ import annotations

import itertools
import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from uwe_jax.data.dense_scores import DenseScores, check_size
from uwe_jax.data.node_names import NodeNames
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.store.columns import DESCRIPTION
from uwe_jax.retrieval.table_targets import Targets
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import counted, data_size, progress, report
from uwe_jax.scoring.scorer_text import scorer_text
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
    ranker: Ranker, queries: Targets, targets: Targets, weights: Sequence[int], out: Path, language: str = "en"
) -> None:
    """Scores every query, by its label and the sentences of its description, with every target, by its label.

    Args:
      ranker: the teacher.
      queries: with descriptions and, optional, other names, which are kept and not scored.
      targets: whose further names are not read.
      weights: of `read_scores`.
      out: the .npz to write; see `DenseScores`.
      language: of the descriptions, as of `cut_sentences`.

    Raises:
      UserError: no query has a description, the scores are too many, or a text cannot be scored.
    """
    texts = texts_of(queries, language)
    labels, candidates = tuple(texts), tuple(dict.fromkeys(targets.texts))
    for read, kept in ((queries, labels), (targets, candidates)):
        joined = noted(len(read) - len(kept), "label", "equal to an earlier one, and joined with it")
        if notes := (*read.notes, *joined):
            LOG.info(f"{read.origin}: {'; '.join(notes)}.")
    described = [each for each in texts.values() if each.sentences]
    if not described:
        raise UserError(
            f"None of the {counted(len(labels), 'query')} of {queries.origin} has a description, so the teacher would "
            "read no more than the model that learns from it. Name a column of descriptions with --query-descriptions."
        )
    check_size(len(labels), len(candidates))
    sentences = [each for own in described for each in own.sentences]
    for note in ranker.truncation(sentences).notes("sentence"):
        LOG.warning(f"{note}. --max-tokens sets another limit.")
    scores = label_and_sentence_scores(ranker, texts, candidates, weights)
    names = NodeNames.of(labels, {k: own.names for k, own in enumerate(texts.values())})
    about = {"model": ranker.name, "scorer": scorer_text(ranker.scorer), "weights": list(weights)}
    DenseScores.of(labels, candidates, names, scores).write(out, about)
    report(
        f"{out}: scores of {counted(len(labels), 'query')} with {counted(len(candidates), 'target')} by {ranker.name}, "
        f"{data_size(out.stat().st_size)}. {len(described):,} of the queries have a description, of "
        f"{len(sentences) / len(described):.1f} sentences on average; {len(labels) - len(described):,} are scored by "
        f"their label alone. The queries have {counted(len(names.texts), 'further name')}."
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


def label_and_sentence_scores(
    ranker: Ranker, queries: dict[str, _Read], targets: Sequence[str], weights: Sequence[int]
) -> Float[np.ndarray, "q n"]:
    """Returns (a A + b B + m M) / (a + b + m) of every query and target, float16.

    A is the score of the query's label; B is the best, and M the mean, of the scores of its sentences, or of its label
    where there are none. The weights are a, b and m.
    """
    score, total = ranker.index(targets), sum(weights)
    found = np.empty((len(queries), len(targets)), np.float16)
    starts = range(0, len(queries), _AT_ONCE)
    for start in progress(starts, label="Scoring queries", unit=" batches", total=len(starts)):
        rows = [(label, *own.sentences) for label, own in itertools.islice(queries.items(), start, start + _AT_ONCE)]
        scores = score([*itertools.chain.from_iterable(rows)])
        ends = np.cumsum([len(row) for row in rows])[:-1]
        for row, own in enumerate(np.split(scores, ends), start):
            sentences = own[1:] if len(own) > 1 else own
            parts = np.stack([own[0], sentences.max(axis=0), sentences.mean(axis=0)])
            found[row] = np.array(weights, np.float32) @ parts / total
    return found
