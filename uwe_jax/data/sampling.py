"""Which nodes make up batch k: a pure function of the seed and the step.

Every process derives the ids of the whole global batch, so no process has to tell another what it drew.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from uwe_jax.config import BatchSettings
from uwe_jax.data.graph import BipartiteGraph
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.ragged import run_entries
from uwe_jax.runtime.errors import UserError

# Streams of random numbers that must not depend on each other's length.
_PERMUTATION, _WEIGHTED, _NEIGHBOURS, _DISTRACTORS = range(4)
_GOLDEN = (5**0.5 - 1) / 2


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

    Of parts that are kept apart, a batch has skills, neighbours and distractors of one, and of its graphs alone.
    Parts take turns in proportion to their weights; each has epochs of its own.

    Raises:
      UserError: the batch is larger than the number of skills with a training edge.
    """

    def __init__(self, graphs: GraphSet, settings: BatchSettings, seed: int):
        self._graphs = graphs.graphs
        self._settings = settings
        self._seed = seed
        self._share = np.ones(1)
        if settings.parts == "apart" and len(graphs.part_weights) > 1:
            self._pools = [
                _Pool(_of_part(self._graphs, number), settings, seed, name, number)
                for number, name in enumerate(graphs.part_weights)
            ]
            self._share = np.array(list(graphs.part_weights.values())) / sum(graphs.part_weights.values())
        else:
            self._pools = [_Pool(self._graphs, settings, seed)]
        self.skills = np.unique(np.concatenate([pool.skills for pool in self._pools]))

    def _turn(self, step: int) -> tuple[_Pool, int]:
        """Whose turn a step is, and how many turns it has had before.

        Multiples of the golden ratio fall into each part's share of [0, 1) evenly.
        """
        if len(self._pools) == 1:
            return self._pools[0], step
        places = (np.arange(step + 1) + 0.5) * _GOLDEN % 1.0
        turns = np.searchsorted(np.cumsum(self._share)[:-1], places, side="right")
        return self._pools[turns[-1]], int(np.count_nonzero(turns[:-1] == turns[-1]))

    def _draw_distractors(
        self, pool: _Pool, skills: np.ndarray, sentences: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        wanted = rng.random(len(skills)) < self._settings.distractor_probability
        first = rng.random(len(skills)) < 0.5
        # A distractor that matched any skill of the batch, in whichever part, would turn one of its negatives into a
        # hidden positive.
        graph = self._graphs["vacancy"]
        starts = graph.edges.indptr[skills]
        degrees = graph.edges.indptr[skills + 1] - starts
        matching = np.unique(graph.edges.indices[run_entries(starts, degrees)])
        matching = np.searchsorted(pool.sentences, matching[pool.mentioned[matching]])
        candidates = len(pool.sentences) - len(matching)
        if candidates == 0:
            return np.full(len(skills), -1, np.int64), first
        # Candidate k stands behind all matching sentences that have at most k candidates before them.
        drawn = rng.integers(candidates, size=len(skills))
        drawn += np.searchsorted(matching - np.arange(len(matching)), drawn, side="right")
        return np.where(wanted & (sentences >= 0), pool.sentences[drawn], -1), first

    def __call__(self, step: int) -> BatchIds:
        """The ids of batch `step`, counted from 0."""
        pool, index = self._turn(step)
        skills = pool.draw_skills(index)
        rng = np.random.default_rng((self._seed, _NEIGHBOURS, step))
        neighbours = {kind: pool.draw_neighbours(kind, skills, rng) for kind in pool.graphs}
        none = np.full(len(skills), -1, np.int64), np.zeros(len(skills), bool)
        distractors, first = (
            self._draw_distractors(
                pool, skills, neighbours["vacancy"], np.random.default_rng((self._seed, _DISTRACTORS, step))
            )
            if "vacancy" in neighbours
            else none
        )
        return BatchIds(skills, neighbours, distractors, first)


class _Pool:
    """The edges that a batch is drawn from.

    Args:
      graphs: by kind, with at least one edge each.
      settings: of batches.
      seed: what its random numbers start from.
      name: of the part whose edges they are; empty where they are all there are.
      number: of the part.
    """

    def __init__(
        self,
        graphs: dict[str, BipartiteGraph],
        settings: BatchSettings,
        seed: int,
        name: str = "",
        number: int = 0,
    ):
        self.graphs = graphs
        self._settings = settings
        self._rng = lambda stream, index: np.random.default_rng((seed, stream, index, *([number] if name else [])))
        self._degrees = {kind: np.diff(graph.edges.indptr) for kind, graph in graphs.items()}
        degree = np.sum(list(self._degrees.values()), axis=0) if graphs else np.zeros(0)
        self.skills = np.flatnonzero(degree)
        if settings.global_batch_size > len(self.skills):
            of_part = f" in source.parts.{name}" if name else ""
            apart = " or set --config.batch.parts=together" if name else ""
            raise UserError(
                f"batch.global_batch_size is {settings.global_batch_size}, but only {len(self.skills)} skills have a "
                f"training edge{of_part}. Set --config.batch.global_batch_size to at most {len(self.skills)} or add "
                f"edges{apart}."
            )
        # Batches are made ahead, so that two epochs may be under way at once.
        self._epoch = lru_cache(maxsize=2)(lambda epoch: self._rng(_PERMUTATION, epoch).permutation(self.skills))
        if "vacancy" in graphs:
            self.mentioned = np.diff(graphs["vacancy"].transpose.indptr) > 0  # of all sentences, those with an edge
            self.sentences = np.flatnonzero(self.mentioned)
        self._cumulative = {kind: _cumulative(graph) for kind, graph in graphs.items()}
        mean_weight = self._total_weight()[self.skills] / degree[self.skills]
        self._log_weights = settings.degree_temperature * np.log(degree[self.skills]) + np.log(mean_weight)

    def _total_weight(self) -> np.ndarray:
        """Sum of the weights of each skill's edges, over all graphs."""
        total = np.zeros(len(next(iter(self._degrees.values()))))
        for kind, graph in self.graphs.items():
            sums = self._cumulative[kind]
            total += self._degrees[kind] if sums is None else np.diff(sums[graph.edges.indptr])
        return total

    def draw_skills(self, index: int) -> np.ndarray:
        """The skills of the batch with this number among those of the pool."""
        m = self._settings.global_batch_size
        if not self._log_weights.any():  # all alike
            batches = len(self.skills) // m
            return self._epoch(index // batches)[(index % batches) * m :][:m]
        # The m largest of log-weight + Gumbel noise are a weighted sample without replacement.
        keys = self._log_weights + self._rng(_WEIGHTED, index).gumbel(size=len(self.skills))
        return self.skills[np.argpartition(-keys, m - 1)[:m]]

    def draw_neighbours(self, kind: str, skills: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A neighbour of each skill; -1 where it has none, or where one drawn before has come again."""
        graph, degree = self.graphs[kind], self._degrees[kind][skills]
        place = rng.random(len(skills))
        drawn = np.full(len(skills), -1, np.int64)
        has = degree > 0
        first, last = graph.edges.indptr[skills[has]], graph.edges.indptr[skills[has] + 1]
        cumulative = self._cumulative[kind]
        if cumulative is None:
            edge = first + (place[has] * (last - first)).astype(np.int64)
        else:
            # Where the cumulative weight passes a uniform point of the skill's own stretch of it.
            low, high = cumulative[first], cumulative[last]
            edge = np.searchsorted(cumulative, low + place[has] * (high - low), side="right") - 1
            edge = np.clip(edge, first, last - 1)  # a sum of many numbers is rounded
        drawn[has] = graph.edges.indices[edge]
        _, first_of = np.unique(drawn, return_index=True)
        repeated = np.ones(len(skills), bool)
        repeated[first_of] = False
        drawn[repeated] = -1
        return drawn


def _of_part(graphs: dict[str, BipartiteGraph], number: int) -> dict[str, BipartiteGraph]:
    """The edges of one part, all of one weight; without the kinds that it has no edges of."""
    own = {kind: dataclasses.replace(graph.of_part(number), weights=None) for kind, graph in graphs.items()}
    return {kind: graph for kind, graph in own.items() if graph.num_edges}


def _cumulative(graph: BipartiteGraph) -> np.ndarray | None:
    """Sum of the weights before each edge, float64 [edges + 1]; None where all weigh alike."""
    if graph.weights is None:
        return None
    return np.concatenate([[0.0], np.cumsum(graph.weights, dtype=np.float64)])
