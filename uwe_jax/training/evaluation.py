"""How well a model ranks held-out nodes against the full target space."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uwe_jax.config import EvaluationSettings, LengthSettings
from uwe_jax.data.split import HeldOut
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

    Args:
      model: encoder and scorer.
      tables: token table of every node kind.
      lengths: tokens per node of each kind, as in training.
      settings: how many queries, and which directions are left out.
    """

    def __init__(
        self,
        model: UweModel,
        tables: dict[str, TokenTable],
        lengths: LengthSettings,
        settings: EvaluationSettings,
    ):
        self._tables = tables
        self._lengths = dataclasses.asdict(lengths)
        self._settings = settings
        self._model = model
        self._encode = TextEncoder(model, settings.texts_per_device)

    def evaluate(
        self, params: Params, tasks: Mapping[str, tuple[Sequence[HeldOut], int]], *, label: str
    ) -> tuple[dict[str, Results], dict[str, QueryMaps]]:
        """Metrics per direction, and their macro-average over directions, for each named set of rankings.

        Sets that share target spaces cost little more together than one alone.

        Args:
          params: replicated over devices.
          tasks: by name, the rankings to measure and how many queries of each to take (the same ones every time; 0
            takes all). Directions in `settings.skip` are left out.
          label: stands before the progress bars.

        Returns:
          By name {direction: {map, rp@10, mrr (in percent), queries, targets}, ..., macro_map, macro_rp@10, macro_mrr};
          and by name the average precisions behind each map, in the order of the queries.

        Raises:
          UserError: no direction is left to measure, or the parameters are not finite.
        """
        chosen = [
            (name, ranking, most)
            for name, (rankings, most) in tasks.items()
            for ranking in rankings
            if ranking.direction not in self._settings.skip
        ]
        for name in tasks:
            if not any(each[0] == name for each in chosen):
                raise UserError(
                    f"evaluation.skip leaves nothing of {len(tasks[name][0])} rankings to measure for {name}; it holds "
                    f"{', '.join(self._settings.skip)}. Leave at least one direction in."
                )
        results: dict[str, Results] = {name: {} for name in tasks}
        by_query: dict[str, QueryMaps] = {name: {} for name in tasks}
        # Rankings of the same targets stand together, so each target space is encoded once, kept while it is needed,
        # and let go before the next.
        for target_kind in dict.fromkeys(ranking.target_kind for _, ranking, _ in chosen):
            space = self._target_space(params, target_kind, label)
            for name, ranking, most in chosen:
                if ranking.target_kind == target_kind:
                    found, each = self._rank(params, ranking, space, most)
                    results[name][ranking.direction], by_query[name][ranking.direction] = found, each
        for measured in results.values():
            by_direction = list(measured.values())
            for metric in METRICS:
                measured[f"macro_{metric}"] = float(np.mean([each[metric] for each in by_direction]))
        return results, by_query

    def _target_space(self, params: Params, kind: str, label: str) -> TargetSpace:
        table = self._tables[kind]
        tokens = self._encode(
            params,
            table,
            np.arange(len(table)),
            self._lengths[kind],
            lambda groups: progress(groups, label=f"{label}: encoding {kind} nodes", unit="batch"),
        )
        _check_finite(tokens, kind)
        return TargetSpace.build(tokens, self._model.scorer)

    def _rank(
        self, params: Params, ranking: HeldOut, space: TargetSpace, max_queries: int
    ) -> tuple[dict[str, float], list[float]]:
        kind = ranking.query_kind
        picked = fixed_sample(len(ranking.query_ids), max_queries)
        queries = self._encode(params, self._tables[kind], ranking.query_ids[picked], self._lengths[kind])
        _check_finite(queries, kind)
        tau_a = float(self._model.tau_a(parallel.first({"scorer": params["scorer"]})))
        relevant = ranking.relevant[picked]
        ranks: list[np.ndarray] = []
        for rows, scores in space.score_chunks(queries, tau_a):
            part = relevant[rows]
            ranks.append(relevant_ranks(scores, part.indptr, part.indices))
        measured = ranking_metrics(np.concatenate(ranks), relevant.indptr, METRICS)
        means = {name: 100.0 * float(np.mean(values)) for name, values in measured.items()}
        return means | {"queries": len(picked), "targets": space.size}, (100.0 * measured["map"]).tolist()


def against_frozen(trained: QueryMaps, frozen: QueryMaps, tasks: Sequence[HeldOut], max_queries: int) -> dict[str, Any]:
    """What training gained on held-out nodes.

    Args:
      trained: of the trained model, by direction.
      frozen: likewise of the encoder before the first step.
      tasks: the rankings they are of.
      max_queries: taken of each.

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


def _check_finite(tokens: RaggedTokens, kind: str) -> None:
    """Raises UserError where training has made parameters that are not finite."""
    fine = tokens.scorable
    if not fine.all():
        raise UserError(
            f"{int((~fine).sum()):,} of {len(fine):,} {kind} texts have embeddings that are not finite, so they cannot "
            f"be ranked: the parameters are not finite. {WHAT_HELPS}"
        )


def directions(results: Results) -> list[str]:
    """The directions that stand in results."""
    return [name for name, value in results.items() if isinstance(value, dict) and SKILL in name]
