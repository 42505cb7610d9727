"""Which nodes make up batch k: a pure function of the seed and the step.

Every process derives the ids of the whole global batch, so no process has to tell another what it drew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from uwe_jax.base.config import BatchSettings
from uwe_jax.base.errors import UserError
from uwe_jax.data.graph import BipartiteGraph
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.ragged import run_entries

# Streams of random numbers that must not depend on each other's length.
_PERMUTATION, _WEIGHTED, _NEIGHBOURS, _DISTRACTORS = range(4)


@dataclass(frozen=True)
class BatchIds:
    """Node ids of one global batch of m skills."""

    skills: np.ndarray  # int [m], distinct
    neighbours: dict[str, np.ndarray]  # per graph kind int [m]; -1: none, or drawn before in this batch
    distractors: np.ndarray  # int [m], ids of vacancy sentences to join on; -1: none
    distractor_first: np.ndarray  # bool [m], the distractor stands before the sentence


class BatchSampler:
    """Draws skills without replacement and one neighbour per skill and graph.

    With `degree_temperature` 0 an epoch is a permutation of the skills that have an edge, cut into batches (what is
    left over waits for the next epoch's permutation). With a temperature t > 0 each batch is drawn without
    replacement with probabilities in proportion to degree ** t, so frequent skills come back sooner.

    Where edges have weights, a skill's neighbour is drawn in proportion to them, and skills without replacement in
    proportion to the mean weight of their edges times degree ** t, at any temperature.

    Raises:
      UserError: the batch is larger than the number of skills with a training edge.
    """

    def __init__(self, graphs: GraphSet, settings: BatchSettings, seed: int):
        self._graphs = graphs.graphs
        self._settings = settings
        self._seed = seed
        self._degrees = {kind: np.diff(graph.edges.indptr) for kind, graph in self._graphs.items()}
        degree = np.sum(list(self._degrees.values()), axis=0)
        self.skills = np.flatnonzero(degree)
        if settings.global_batch_size > len(self.skills):
            raise UserError(
                f"batch.global_batch_size is {settings.global_batch_size}, but only {len(self.skills)} skills have a "
                f"training edge. Set --config.batch.global_batch_size to at most {len(self.skills)} or add edges."
            )
        # Batches are made ahead, so that two epochs may be under way at once.
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)
        self._cumulative = {kind: _cumulative(graph) for kind, graph in self._graphs.items()}
        mean_weight = self._total_weight()[self.skills] / degree[self.skills]
        self._log_weights = settings.degree_temperature * np.log(degree[self.skills]) + np.log(mean_weight)
        if "vacancy" in self._graphs:
            mentions = np.diff(self._graphs["vacancy"].transpose.indptr) > 0
            self._sentences = np.flatnonzero(mentions)
            self._sentence_rank = np.cumsum(mentions) - 1  # place of a sentence's id in self._sentences

    def _total_weight(self) -> np.ndarray:
        """Sum of the weights of each skill's edges, over all graphs."""
        total = np.zeros(len(next(iter(self._degrees.values()))))
        for kind, graph in self._graphs.items():
            sums = self._cumulative[kind]
            total += self._degrees[kind] if sums is None else np.diff(sums[graph.edges.indptr])
        return total

    def _rng(self, stream: int, index: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, stream, index))

    def _draw_epoch(self, epoch: int) -> np.ndarray:
        return self._rng(_PERMUTATION, epoch).permutation(self.skills)

    def _draw_skills(self, step: int) -> np.ndarray:
        m = self._settings.global_batch_size
        if not self._log_weights.any():  # all alike
            batches = len(self.skills) // m
            return self._epoch(step // batches)[(step % batches) * m :][:m]
        # The m largest of log-weight + Gumbel noise are a weighted sample without replacement.
        keys = self._log_weights + self._rng(_WEIGHTED, step).gumbel(size=len(self.skills))
        return self.skills[np.argpartition(-keys, m - 1)[:m]]

    def _draw_neighbours(self, graph: BipartiteGraph, skills: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        degree = self._degrees[graph.kind][skills]
        place = rng.random(len(skills))
        drawn = np.full(len(skills), -1, np.int64)
        has = degree > 0
        first, last = graph.edges.indptr[skills[has]], graph.edges.indptr[skills[has] + 1]
        cumulative = self._cumulative[graph.kind]
        if cumulative is None:
            edge = first + (place[has] * (last - first)).astype(np.int64)
        else:
            # Where the cumulative weight passes a uniform point of the skill's own stretch of it.
            low, high = cumulative[first], cumulative[last]
            edge = np.searchsorted(cumulative, low + place[has] * (high - low), side="right") - 1
            edge = np.clip(edge, first, last - 1)  # a sum of many numbers is rounded
        drawn[has] = graph.edges.indices[edge]
        _, first = np.unique(drawn, return_index=True)
        repeated = np.ones(len(skills), bool)
        repeated[first] = False
        drawn[repeated] = -1
        return drawn

    def _draw_distractors(
        self, skills: np.ndarray, sentences: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        wanted = rng.random(len(skills)) < self._settings.distractor_probability
        first = rng.random(len(skills)) < 0.5
        # A distractor that matched any skill of the batch would turn one of its negatives into a hidden positive.
        graph = self._graphs["vacancy"]
        starts, degrees = graph.edges.indptr[skills], self._degrees["vacancy"][skills]
        matching = self._sentence_rank[np.unique(graph.edges.indices[run_entries(starts, degrees)])]
        candidates = len(self._sentences) - len(matching)
        if candidates == 0:
            return np.full(len(skills), -1, np.int64), first
        # Candidate k stands behind all matching sentences that have at most k candidates before them.
        drawn = rng.integers(candidates, size=len(skills))
        drawn += np.searchsorted(matching - np.arange(len(matching)), drawn, side="right")
        return np.where(wanted & (sentences >= 0), self._sentences[drawn], -1), first

    def __call__(self, step: int) -> BatchIds:
        """The ids of batch `step`, counted from 0."""
        skills = self._draw_skills(step)
        rng = self._rng(_NEIGHBOURS, step)
        neighbours = {kind: self._draw_neighbours(graph, skills, rng) for kind, graph in self._graphs.items()}
        none = np.full(len(skills), -1, np.int64), np.zeros(len(skills), bool)
        distractors, first = (
            self._draw_distractors(skills, neighbours["vacancy"], self._rng(_DISTRACTORS, step))
            if "vacancy" in neighbours
            else none
        )
        return BatchIds(skills, neighbours, distractors, first)


def _cumulative(graph: BipartiteGraph) -> np.ndarray | None:
    """Sum of the weights before each edge, float64 [edges + 1]; None where all weigh alike."""
    if graph.weights is None:
        return None
    return np.concatenate([[0.0], np.cumsum(graph.weights, dtype=np.float64)])
