"""Tagging by a ranker of the sentences that name no skill."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from itertools import islice

import numpy as np
from jaxtyping import Int, Num

from uwe_jax.data.truncation import Truncation
from uwe_jax.evaluation.ranker import Ranker, Score, truncation
from uwe_jax.evaluation.target_names import NamesScore
from uwe_jax.evaluation.tasks.names import TargetNames
from uwe_jax.retrieval.skill_filter import SkillFilter
from uwe_jax.runtime.progress import progress
from uwe_jax.scoring.calibration import Platt
from uwe_jax.scoring.names import NameWeights
from uwe_jax.sources.taxonomy import Taxonomy
from uwe_jax.sources.vacancies.job import ChunkDone, TaggingJob, read_records, write_parts
from uwe_jax.sources.vacancies.lines import BY_MODEL, Found, add_skills
from uwe_jax.sources.vacancies.tagger import JOB, MODEL, NO_SKILL, REPEATED, SENTENCES, SKILLS, VACANCY, Tagged

LOG = logging.getLogger(__name__)

# Counts of a model, as in tagging.json.
READ, TAGGED = "sentences read by the model", "sentences tagged by the model"
FILTERED, ALONE = "sentences without a skill, by the filter", "sentences tagged by the model alone"
TRUNCATED, UNKNOWN = "sentences truncated by the model", "sentences with tokens unknown to the model"
_QUERIES = 1000  # sentences per call of the ranker


def tag_by_model(
    job: TaggingJob,
    taxonomy: Taxonomy,
    ranker: Ranker,
    *,
    threshold: float,
    top_k: int,
    aliases: bool = True,
    weights: NameWeights = NameWeights(),  # noqa: B008 (immutable)
    platt: Platt | None = None,
    skill_filter: SkillFilter | None = None,
) -> ChunkDone:
    """Tags each kept sentence of a job, and the title of its vacancy, with the skills of highest score.

    Writes a part file per chunk beside those by name; complete chunks are skipped.

    Args:
      threshold: least score, on the ranker's own scale, or least probability with `platt`.
      top_k: skills of a sentence, at most.
      aliases: score a skill by its label and its best name, see `uwe_jax.scoring.names`; else by its label.
      weights: of the label's score.
      platt: from scores to probabilities.
      skill_filter: for the ranker, which then ranks only sentences that are taken to have a skill.

    Returns:
      Counts of all chunks, to be added to those by name: rows with skills by the model only are subtracted from the
      rows without one.
    """
    if left := job.left(BY_MODEL):
        names = TargetNames.of([(skill.label, *(skill.aliases if aliases else ())) for skill in taxonomy.skills])
        counts = truncation(ranker, names.texts)
        for note in counts.notes("skill name"):
            LOG.warning(f"{ranker.name}: {note}.")
        for note in counts.unknown_notes("skill name"):
            LOG.warning(f"{ranker.name}: {note}")
        read = Truncation(0)
        scores = NamesScore(ranker, names, weights, f"{ranker.name} on sentences of vacancies")
        choose = partial(best, top_k=top_k, least=threshold, platt=platt)
        for number in progress(left, label=f"tagging with {ranker.name}", unit="chunk"):
            done, counts = _tag_chunk(job, number, taxonomy, ranker, scores, choose, platt, skill_filter)
            done.write(job.marker(number, BY_MODEL))
            read += counts
        for note in read.unknown_notes("sentence"):
            LOG.warning(f"{ranker.name}: {note}")
    return job.totals(BY_MODEL)


def best(
    scores: Num[np.ndarray, "q n"], top_k: int, least: float, platt: Platt | None = None
) -> list[tuple[Int[np.ndarray, " k"], Num[np.ndarray, " k"]]]:
    """Returns the columns of the `top_k` best scores of every row, best first, ties in order, and what they reach.

    That is a score, or a probability with `platt`; none is below `least`.

    >>> [row.tolist() for row, _ in best(np.array([[0.1, 0.9, 0.7], [0.2, 0.3, 0.1]]), 2, 0.5)]
    [[1, 2], []]
    """
    seen = min(top_k + (platt is not None), scores.shape[1])  # with the next one, for the gap to it
    found = []
    for row, lowest in zip(scores, np.partition(scores, -seen, axis=1)[:, -seen], strict=True):
        columns = np.flatnonzero(row >= lowest)
        columns = columns[np.argsort(-row[columns], kind="stable")][:seen]
        values = row[columns] if platt is None else platt(row[columns])
        reach = values[:top_k] >= least
        found.append((columns[:top_k][reach], values[:top_k][reach]))
    return found


def _tag_chunk(
    job: TaggingJob,
    number: int,
    taxonomy: Taxonomy,
    ranker: Ranker,
    score: Score,
    choose: Callable,
    platt: Platt | None,
    skill_filter: SkillFilter | None,
) -> tuple[ChunkDone, Truncation]:
    part = job.folder / SENTENCES / f"{number:05d}.parquet"
    records = iter(read_records(part) if part.exists() else ())
    done, read = ChunkDone(), Truncation(0)
    titles: dict[tuple[str, str], Tagged] = {}
    rows: dict[tuple[str, str], set[int]] = {}  # with the title and the skill of an edge
    bare: set[int] = set()  # rows with a skill by the model only
    edges: dict[str, list[Tagged]] = {VACANCY: [], JOB: []}
    of_rows: dict[int, dict[str, Found]] = {}  # skills of every vacancy by label, each from its best sentence
    # A sentence may be repeated in a chunk, under other titles.
    seen: set[tuple[str, str]] = set()
    while sentences := list(islice(records, _QUERIES)):
        texts = list(dict.fromkeys(sentence["text"] for sentence in sentences))
        if skill_filter:
            texts = [text for text, kept in zip(texts, skill_filter.keeps(ranker, texts), strict=True) if kept]
        chosen = {}
        if texts:
            scores = score(texts)
            chosen = dict(zip(texts, zip(choose(scores), scores, strict=True), strict=True))
        done.counts[FILTERED] += sum(sentence["text"] not in chosen for sentence in sentences)
        sentences = [sentence for sentence in sentences if sentence["text"] in chosen]
        read += truncation(ranker, [sentence["text"] for sentence in sentences])
        for sentence in sentences:
            text, title = sentence["text"], sentence["title"]
            (columns, reached), row = chosen[text]
            skills = [
                (taxonomy.skills[column], float(row[column]), float(value))
                for column, value in zip(columns, reached, strict=True)
                if taxonomy.skills[column].label not in sentence["known"]
            ]
            done.counts[READ] += 1
            done.counts[TAGGED] += bool(skills)
            done.counts[ALONE] += bool(skills) and not sentence["known"]
            if skills and sentence["bare"]:
                bare.add(sentence["row"])
            listed = of_rows.setdefault(sentence["row"], {})
            for skill, raw, value in skills:
                if skill.label not in listed or listed[skill.label].score < raw:
                    probability = value if platt else None
                    listed[skill.label] = Found(skill.id, skill.label, MODEL, probability, raw, text, "")
                edge = Tagged(skill.label, text, MODEL, skill.id, sentence["id"], raw, "")
                if (skill.label, text) in seen:
                    done.counts[REPEATED] += 1
                else:
                    seen.add((skill.label, text))
                    edges[VACANCY].append(edge)
                if not title:
                    continue
                rows.setdefault((skill.label, title), set()).add(sentence["row"])
                before = titles.get((skill.label, title))
                if before is None or before.score < edge.score:
                    titles[skill.label, title] = edge._replace(right=title)
    edges[JOB] = list(titles.values())
    for graph, found in edges.items():
        done.edges.update(f"{graph}/{MODEL}" for _ in found)
        done.skills.update(edge.left for edge in found)
    write_parts(job.folder, f"{number:05d}{BY_MODEL}", edges)
    if job.settings.lines:
        further = {row: listed.values() for row, listed in of_rows.items()}
        done.counts[SKILLS] += add_skills(job.folder, f"{number:05d}", further)
    done.counts.update({TRUNCATED: read.truncated, UNKNOWN: read.unknown})
    done.counts[REPEATED] += sum(map(len, rows.values())) - len(rows)
    done.counts[NO_SKILL] -= len(bare)
    return done, read
