"""Skills of the sentences that name none, by any ranker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from uwe_jax.evaluation.ranker import Ranker, Score
from uwe_jax.runtime.progress import progress
from uwe_jax.sources.taxonomy import Taxonomy
from uwe_jax.sources.vacancies.job import ChunkDone, TaggingJob
from uwe_jax.sources.vacancies.parts import PartWriter, read_records
from uwe_jax.sources.vacancies.tagger import JOB, MODEL, SENTENCES, VACANCY, Tagged

READ, TAGGED = "sentences read by the model", "sentences tagged by the model"
_QUERIES = 1000  # sentences that are scored at once
_SUFFIX = "-model"


def tag_by_model(job: TaggingJob, taxonomy: Taxonomy, ranker: Ranker, *, threshold: float, top_k: int) -> ChunkDone:
    """Gives each kept sentence of a job, and the title of its vacancy, the skills that score best.

    A chunk's edges are a part file beside those by name. Chunks that are done are not done again.

    Args:
      threshold: least score, on the ranker's own scale.
      top_k: skills of a sentence.

    Returns:
      The numbers of all chunks.
    """
    markers = [job.folder / "done" / f"{number:05d}{_SUFFIX}.json" for number in range(len(job.chunks))]
    left = [number for number, marker in enumerate(markers) if not marker.exists()]
    if left:
        score = ranker.index([skill.label for skill in taxonomy.skills])
        for number in progress(left, label=f"tagging with {ranker.name}", unit="chunk"):
            part = job.folder / SENTENCES / f"{number:05d}.parquet"
            _tag_chunk(job.folder, number, part, taxonomy, score, threshold, top_k).write(markers[number])
    total = ChunkDone()
    for marker in markers:
        total.merge(ChunkDone.read(marker))
    return total


def best(scores: Float[np.ndarray, "q n"], top_k: int, threshold: float) -> list[Int[np.ndarray, " k"]]:
    """Columns of the best scores of every row, best first: at most `top_k`, none below the threshold.

    >>> [row.tolist() for row in best(np.array([[0.1, 0.9, 0.7], [0.2, 0.3, 0.1]]), 2, 0.5)]
    [[1, 2], []]
    """
    top_k = min(top_k, scores.shape[1])
    columns = np.argpartition(-scores, top_k - 1, axis=1)[:, :top_k]
    order = np.argsort(-np.take_along_axis(scores, columns, 1), axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, 1)
    return [row[scores[number, row] >= threshold] for number, row in enumerate(columns)]


def _tag_chunk(
    folder: Path, number: int, part: Path, taxonomy: Taxonomy, score: Score, threshold: float, top_k: int
) -> ChunkDone:
    done = ChunkDone()
    titles: dict[tuple[str, str], Tagged] = {}
    with PartWriter(folder, number, _SUFFIX) as writer:

        def add(graph: str, edge: Tagged) -> None:
            writer.add(graph, edge)
            done.edges[f"{graph}/{MODEL}"] += 1
            done.skills[edge.left] += 1

        # A sentence may come again in a chunk, under other titles.
        seen: set[tuple[str, str]] = set()
        for sentences in _batches(part):
            texts = list(dict.fromkeys(sentence["text"] for sentence in sentences))
            scores = np.asarray(score(texts))
            chosen = dict(zip(texts, zip(best(scores, top_k, threshold), scores, strict=True), strict=True))
            for sentence in sentences:
                text, title = sentence["text"], sentence["title"]
                columns, row = chosen[text]
                skills = [column for column in columns if taxonomy.skills[column].label not in sentence["known"]]
                done.counts[READ] += 1
                done.counts[TAGGED] += bool(skills)
                for column in skills:
                    skill = taxonomy.skills[column]
                    edge = Tagged(skill.label, text, MODEL, skill.id, sentence["id"], float(row[column]), "")
                    if (skill.label, text) not in seen:
                        seen.add((skill.label, text))
                        add(VACANCY, edge)
                    before = titles.get((skill.label, title))
                    if title and (before is None or before.score < edge.score):
                        titles[skill.label, title] = edge._replace(right=title)
        for edge in titles.values():
            add(JOB, edge)
    return done


def _batches(part: Path) -> Iterator[Sequence[dict]]:
    batch: list[dict] = []
    for record in read_records(part) if part.exists() else ():
        batch.append(record)
        if len(batch) == _QUERIES:
            yield batch
            batch = []
    if batch:
        yield batch
