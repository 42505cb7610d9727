"""Evaluation of a model on held-out nodes, against the full target space."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from uwe_jax.config import EvaluationSettings, LengthSettings
from uwe_jax.data.split import GraphSplits, HeldOut
from uwe_jax.data.tokens import TokenTable
from uwe_jax.distributed import parallel
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.ranking.encode import TextEncoder
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.runtime.progress import progress
from uwe_jax.scoring.ranking_metrics import ranking_metrics, relevant_ranks
from uwe_jax.scoring.statistics import fixed_sample, macro_difference
from uwe_jax.training.step_log import WHAT_HELPS

Results = dict[str, Any]
QueryMaps = dict[str, list[float]]  # average precision of every query, in percent, by direction
METRICS = ("map", "rp@10", "mrr")


class Evaluator:
    """Ranks the full target space for held-out queries, per graph and direction.

    `tables` holds the token table of every node kind; `lengths` are those of the training.
    """

    def __init__(
        self, model: UweModel, tables: dict[str, TokenTable], lengths: LengthSettings, settings: EvaluationSettings
    ):
        self._model, self._tables, self._settings = model, tables, settings
        self._lengths = dataclasses.asdict(lengths)
        self._encode = TextEncoder(model, settings.texts_per_device, shared=True)

    def evaluate(
        self, params: Params, tasks: Mapping[str, tuple[Sequence[HeldOut], int]], *, label: str
    ) -> tuple[dict[str, Results], dict[str, QueryMaps]]:
        """Measures every direction, and the macro-average over directions, for each named set of rankings.

        Sets that share target spaces cost little more together than one alone.

        Args:
          params: replicated over devices.
          tasks: by name, rankings and how many queries of each to take (a fixed sample; 0 for all); see
            `rankings_of`.
          label: of the progress bars.

        Returns:
          By name {direction: {map, rp@10, mrr (in percent), queries, targets}, ..., macro_map, macro_rp@10, macro_mrr};
          and by name the average precisions behind each map, in the order of the queries.

        Raises:
          UserError: the parameters are not finite.
        """
        chosen = [(name, ranking, most) for name, (rankings, most) in tasks.items() for ranking in rankings]
        results: dict[str, Results] = {name: {} for name in tasks}
        by_query: dict[str, QueryMaps] = {name: {} for name in tasks}
        # By target kind, so that each target space is encoded once and only one is in memory.
        for target_kind in dict.fromkeys(ranking.target_kind for _, ranking, _ in chosen):
            bar = functools.partial(progress, label=f"{label}: encoding {target_kind} nodes", unit="batch")
            tokens = self._tokens(params, target_kind, np.arange(len(self._tables[target_kind])), bar)
            space = TargetSpace.build(tokens, self._model.scorer)
            for name, ranking, most in chosen:
                if ranking.target_kind == target_kind:
                    found, each = self._rank(params, ranking, space, most)
                    results[name][ranking.direction], by_query[name][ranking.direction] = found, each
        for measured in results.values():
            by_direction = list(measured.values())
            for metric in METRICS:
                measured[f"macro_{metric}"] = float(np.mean([each[metric] for each in by_direction]))
        return results, by_query

    def _tokens(self, params: Params, kind: str, nodes: np.ndarray, bar: Callable = iter) -> RaggedTokens:
        """Encodes nodes; raises UserError if the parameters are not finite."""
        tokens = self._encode(params, self._tables[kind], nodes, self._lengths[kind], bar)
        fine = tokens.scorable
        if not fine.all():
            raise UserError(
                f"{int((~fine).sum()):,} of {len(fine):,} {kind} texts have embeddings that are not finite, so they "
                f"cannot be ranked: the parameters are not finite. {WHAT_HELPS}"
            )
        return tokens

    def _rank(
        self, params: Params, ranking: HeldOut, space: TargetSpace, max_queries: int
    ) -> tuple[dict[str, float], list[float]]:
        picked = fixed_sample(len(ranking.query_ids), max_queries)
        queries = self._tokens(params, ranking.query_kind, ranking.query_ids[picked])
        tau_a = self._model.temperatures(parallel.first({"scorer": params["scorer"]}))
        relevant = ranking.relevant[picked]
        # Every process ranks its share of the queries, and the shares fill each other's zeros.
        ranks = np.zeros(relevant.nnz, np.int32)
        for rows, scores in space.score_chunks(queries, tau_a, (jax.process_index(), jax.process_count())):
            part = relevant[rows]
            own = slice(relevant.indptr[rows.start], relevant.indptr[rows.stop])
            ranks[own] = relevant_ranks(scores, part.indptr, part.indices)
        measured = ranking_metrics(parallel.sum_over_processes(ranks), relevant.indptr, METRICS)
        means = {name: 100.0 * float(np.mean(values)) for name, values in measured.items()}
        return means | {"queries": len(picked), "targets": space.size}, (100.0 * measured["map"]).tolist()


def rankings_of(split: int, splits: GraphSplits, settings: EvaluationSettings) -> list[HeldOut]:
    """Returns the rankings of VALIDATION or TEST nodes that are measured: without the directions in `skip`.

    Raises:
      UserError: there are rankings, and no direction is left.
    """
    found = splits.tasks(split)
    left = [ranking for ranking in found if ranking.direction not in settings.skip]
    if found and not left:
        raise UserError(
            f"evaluation.skip leaves none of {len(found)} rankings of held-out nodes to measure; it is "
            f"{', '.join(settings.skip)}. Remove one of {', '.join(ranking.direction for ranking in found)} from it."
        )
    return left


def against_frozen(trained: QueryMaps, frozen: QueryMaps, tasks: Sequence[HeldOut], max_queries: int) -> dict[str, Any]:
    """Compares average precisions of a trained model with those of the frozen encoder.

    Returns:
      `map`: the difference of macro MAP in points, and the ends of its 95 % interval; `queries`: distinct ones.
    """
    rankings = []
    for task in tasks:
        if task.direction in trained:
            ids = task.query_ids[fixed_sample(len(task.query_ids), max_queries)]
            names = [f"{task.query_kind} {node}" for node in ids]
            rankings.append((np.array(trained[task.direction]), np.array(frozen[task.direction]), names))
    *points, queries = macro_difference(rankings)
    return {"map": points, "queries": queries}


def directions(results: Results) -> list[str]:
    """Returns the directions that were measured."""
    return [name for name, value in results.items() if isinstance(value, dict) and SKILL in name]
