"""Draws the nodes of batch k as a pure function of the seed and the step.

Every process derives the ids of the whole global batch, so processes need not exchange them.
"""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from uwe_jax.config import BatchSettings
from uwe_jax.data.fields import fields_of
from uwe_jax.data.graph import BipartiteGraph
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.guide import Guide, near_negatives
from uwe_jax.data.ragged import run_entries
from uwe_jax.runtime.errors import UserError

# Streams of random numbers that must not depend on each other's length.
_PERMUTATION, _WEIGHTED, _NEIGHBOURS, _DISTRACTORS, _FIELDS, _MINED = range(6)
_GOLDEN = (5**0.5 - 1) / 2
_SEARCHED = 8192  # nodes at most that a batch is mined from
_TURNS = 4096  # of sources, computed at once at the least


@dataclass(frozen=True)
class BatchIds:
    """Node ids of one global batch of m skills."""

    skills: np.ndarray  # int [m], distinct
    # Per graph kind int [n]: m drawn ones, -1 where there is none or it was drawn before in this batch; then mined
    # ones, -1 where none was found.
    neighbours: dict[str, np.ndarray]
    distractors: np.ndarray  # int [n], ids of vacancy sentences to join on; -1: none
    distractor_first: np.ndarray  # bool [n], the distractor goes before the sentence


class BatchSampler:
    """Draws skills without replacement and one neighbour per skill and graph.

    With `degree_temperature` 0 an epoch is a permutation of the skills that have an edge, cut into whole batches. With
    a temperature t > 0 each batch is drawn without replacement, with probabilities proportional to degree ** t.

    Where edges have weights, a skill's neighbour is drawn in proportion to them, and skills without replacement in
    proportion to the mean weight of their edges times degree ** t, at any temperature.

    After `group`, a share of each batch is drawn so from one field of work, itself drawn in proportion to the weights
    of its skills: a skill is as likely as without fields.

    With `mined_negatives` and a guide a batch has further neighbours, near its skills but without an edge to them.

    A homogeneous batch has skills, neighbours, distractors and graphs of one source of the mixture. The sources take
    turns in proportion to their weights; each has epochs of its own.

    Raises:
      UserError: the batch is larger than the number of skills with a training edge.
    """

    guide: Guide | None = None  # to mine with

    def __init__(self, graphs: GraphSet, settings: BatchSettings, seed: int):
        self._graphs = graphs.graphs
        self.settings = settings
        self._seed = seed
        self._share = np.ones(1)
        if settings.sources == "homogeneous" and len(graphs.part_weights) > 1:
            self._pools = [
                _Pool(_of_part(self._graphs, number), settings, seed, name, number)
                for number, name in enumerate(graphs.part_weights)
            ]
            self._share = np.array(list(graphs.part_weights.values())) / sum(graphs.part_weights.values())
        else:
            self._pools = [_Pool(self._graphs, settings, seed)]
        self.skills = np.unique(np.concatenate([pool.skills for pool in self._pools]))
        # For powers of two of steps, so that a run computes few of them.
        self._turns = lru_cache(maxsize=2)(self._turns_of)

    def group(self, vectors: np.ndarray) -> list[list[int]]:
        """Groups skills by their vectors, [m, d], into the fields of each pool; returns the sizes of these fields."""
        return [pool.group(vectors) for pool in self._pools]

    @property
    def fields_checksum(self) -> int:
        """A number that two samplers of the same fields share."""
        return zlib.crc32(b"".join(pool.fields.astype("<i4").tobytes() for pool in self._pools)) & 0x7FFFFFFF

    def _turn(self, step: int) -> tuple[_Pool, int]:
        """Returns the pool of a step and the number of its earlier turns."""
        if len(self._pools) == 1:
            return self._pools[0], step
        turns, earlier = self._turns(max(_TURNS, 1 << step.bit_length()))
        return self._pools[turns[step]], int(earlier[step])

    def _turns_of(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the number of the pool of each of the first steps, and of its earlier turns.

        Multiples of the golden ratio are spread evenly over each source's share of [0, 1).
        """
        places = (np.arange(steps) + 0.5) * _GOLDEN % 1.0
        turns = np.searchsorted(np.cumsum(self._share)[:-1], places, side="right")
        earlier = np.empty(steps, np.int64)
        for number in range(len(self._pools)):
            own = turns == number
            earlier[own] = np.arange(np.count_nonzero(own))
        return turns, earlier

    def _draw_distractors(
        self, pool: _Pool, skills: np.ndarray, sentences: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        wanted = (rng.random(len(sentences)) < self.settings.distractor_probability) & (sentences >= 0)
        first = rng.random(len(sentences)) < 0.5
        if wanted.any():
            # A distractor that matched any skill of the batch, in any source, would make one of its negatives a
            # positive.
            edges = self._graphs["vacancy"].edges
            starts = edges.indptr[skills]
            unmatched = pool.mentioned.copy()
            unmatched[edges.indices[run_entries(starts, edges.indptr[skills + 1] - starts)]] = False
            candidates = np.flatnonzero(unmatched)
            if len(candidates):
                drawn = candidates[rng.integers(len(candidates), size=len(sentences))]
                return np.where(wanted, drawn, -1), first
        return np.full(len(sentences), -1, np.int64), first

    def _mine(self, pool: _Pool, kind: str, skills: np.ndarray, drawn: np.ndarray, step: int) -> np.ndarray:
        """Finds a near negative for some of the skills; see `near_negatives`.

        It looks through a random half of the pool's nodes, so that a skill is not always held against the same one.
        """
        wanted = self.settings.mined_negatives
        mined = np.full(wanted, -1, np.int64)
        if self.guide is None or not wanted:
            return mined
        rng = np.random.default_rng((self._seed, _MINED, step))
        asking = rng.permutation(np.flatnonzero(drawn >= 0))[:wanted]
        nodes = pool.nodes(kind)
        searched = np.setdiff1d(rng.choice(nodes, min(_SEARCHED, -(-len(nodes) // 2)), replace=False), drawn)
        if len(asking) and len(searched):
            similarity = self.guide.similarity(skills[asking], kind, np.concatenate([searched, drawn[asking]]))
            limits = np.diagonal(similarity[:, len(searched) :])
            edges = self._graphs[kind].positives(skills[asking], searched)
            limits = limits - self.settings.mined_margin * np.abs(limits)
            places = near_negatives(similarity[:, : len(searched)], edges, limits)
            mined[: len(asking)] = np.where(places < 0, -1, searched[places])
        return mined

    def __call__(self, step: int) -> BatchIds:
        """Draws batch `step`, counted from 0."""
        pool, index = self._turn(step)
        skills = pool.draw_skills(index)
        rng = np.random.default_rng((self._seed, _NEIGHBOURS, step))
        neighbours = {kind: pool.draw_neighbours(kind, skills, rng) for kind in pool.graphs}
        for kind, drawn in neighbours.items():
            neighbours[kind] = np.concatenate([drawn, self._mine(pool, kind, skills, drawn, step)])
        if "vacancy" not in neighbours:
            missing = len(skills) + self.settings.mined_negatives
            return BatchIds(skills, neighbours, np.full(missing, -1, np.int64), np.zeros(missing, bool))
        rng = np.random.default_rng((self._seed, _DISTRACTORS, step))
        return BatchIds(skills, neighbours, *self._draw_distractors(pool, skills, neighbours["vacancy"], rng))


class _Pool:
    """The edges that a batch is drawn from: all, or those of the source of a mixture with this name and number."""

    def __init__(
        self, graphs: dict[str, BipartiteGraph], settings: BatchSettings, seed: int, name: str = "", number: int = 0
    ):
        self.graphs = graphs
        self._settings = settings
        self._rng = lambda stream, index: np.random.default_rng((seed, stream, index, *([number] if name else [])))
        self._degrees = {kind: np.diff(graph.edges.indptr) for kind, graph in graphs.items()}
        degree = np.sum(list(self._degrees.values()), axis=0) if graphs else np.zeros(0)
        self.skills = np.flatnonzero(degree)
        if settings.global_batch_size > len(self.skills):
            of_part = f" in source.parts.{name}" if name else ""
            mixed = " or set --config.batch.sources=mixed" if name else ""
            raise UserError(
                f"batch.global_batch_size is {settings.global_batch_size}, but only {len(self.skills)} skills have a "
                f"training edge{of_part}. Set --config.batch.global_batch_size to at most {len(self.skills)} or add "
                f"edges{mixed}."
            )
        # Batches are prefetched, so that two epochs may be in use at once.
        self._epoch = lru_cache(maxsize=2)(lambda epoch: self._rng(_PERMUTATION, epoch).permutation(self.skills))
        # Of a kind those with an edge; only mining asks for them.
        self.nodes = lru_cache(maxsize=None)(lambda kind: np.flatnonzero(np.diff(graphs[kind].transpose.indptr)))
        if "vacancy" in graphs:
            self.mentioned = np.diff(graphs["vacancy"].transpose.indptr) > 0  # of all sentences, those with an edge
        self._cumulative = {kind: _cumulative(graph) for kind, graph in graphs.items()}
        total_weight = np.zeros(len(degree))  # of each skill's edges, over all graphs
        for kind, graph in graphs.items():
            sums = self._cumulative[kind]
            total_weight += self._degrees[kind] if sums is None else np.diff(sums[graph.edges.indptr])
        mean_weight = total_weight[self.skills] / degree[self.skills]
        self._log_weights = settings.degree_temperature * np.log(degree[self.skills]) + np.log(mean_weight)
        self.fields = np.zeros(0, np.int64)  # of its skills, once they are grouped

    def group(self, vectors: np.ndarray) -> list[int]:
        """Groups its skills by the vectors of all skills, [m, d]; returns the sizes of the fields."""
        drawn = self._settings.of_one_field
        self.fields = fields_of(vectors[self.skills], self._settings.skills_per_field or 4 * drawn, drawn)
        weights = np.bincount(self.fields, np.exp(self._log_weights))
        self._field_weights = weights / weights.sum()
        return np.bincount(self.fields).tolist()

    def draw_skills(self, index: int) -> np.ndarray:
        """Draws the skills of the batch with this number among those of the pool."""
        m = self._settings.global_batch_size
        if len(self.fields):
            return self.skills[self._draw_of_field(m, self._rng(_FIELDS, index))]
        if not self._log_weights.any():  # all alike
            batches = len(self.skills) // m
            return self._epoch(index // batches)[(index % batches) * m :][:m]
        # The m largest of log-weight + Gumbel noise are a weighted sample without replacement.
        keys = self._log_weights + self._rng(_WEIGHTED, index).gumbel(size=len(self.skills))
        return self.skills[_largest(keys, m)]

    def _draw_of_field(self, m: int, rng: np.random.Generator) -> np.ndarray:
        """Draws the positions of m skills, the first of them from one field."""
        own = np.flatnonzero(self.fields == rng.choice(len(self._field_weights), p=self._field_weights))
        keys = self._log_weights + rng.gumbel(size=len(self.skills))
        first = own[_largest(keys[own], min(self._settings.of_one_field, len(own)))]
        keys[first] = -np.inf
        return np.concatenate([first, _largest(keys, m - len(first))])

    def draw_neighbours(self, kind: str, skills: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws a neighbour of each skill; -1 where it has none, or where the neighbour was drawn before."""
        graph, degree = self.graphs[kind], self._degrees[kind][skills]
        place = rng.random(len(skills))
        drawn = np.full(len(skills), -1, np.int64)
        has = degree > 0
        first, last = graph.edges.indptr[skills[has]], graph.edges.indptr[skills[has] + 1]
        cumulative = self._cumulative[kind]
        if cumulative is None:
            edge = first + (place[has] * (last - first)).astype(np.int64)
        else:
            # Inverse transform sampling in the skill's own interval of cumulative weights.
            low, high = cumulative[first], cumulative[last]
            edge = np.searchsorted(cumulative, low + place[has] * (high - low), side="right") - 1
            edge = np.clip(edge, first, last - 1)  # a sum of many numbers is rounded
        drawn[has] = graph.edges.indices[edge]
        _, first_of = np.unique(drawn, return_index=True)
        repeated = np.ones(len(skills), bool)
        repeated[first_of] = False
        drawn[repeated] = -1
        return drawn


def _largest(keys: np.ndarray, k: int) -> np.ndarray:
    """Returns the positions of the k largest keys."""
    return np.argpartition(-keys, max(k - 1, 0))[:k]


def _of_part(graphs: dict[str, BipartiteGraph], number: int) -> dict[str, BipartiteGraph]:
    """Returns the edges of one source, all of one weight, by those kinds of which it has edges."""
    own = {kind: dataclasses.replace(graph.of_part(number), weights=None) for kind, graph in graphs.items()}
    return {kind: graph for kind, graph in own.items() if graph.num_edges}


def _cumulative(graph: BipartiteGraph) -> np.ndarray | None:
    """Returns the sum of the weights before each edge, float64 [edges + 1]; None if all weigh alike."""
    if graph.weights is None:
        return None
    return np.concatenate([[0.0], np.cumsum(graph.weights, dtype=np.float64)])
