"""Ranking in two stages: the means of names choose candidates, and only the names of these are scored exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.data.ragged import run_entries
from uwe_jax.distributed import parallel
from uwe_jax.ranking.blocks import bucket
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace, packed_queries
from uwe_jax.scoring.names import NamePlaces, NameWeights, name_scores
from uwe_jax.scoring.ragged import Exponentials, PackedTargets, PackedTexts, exponentials, formula, ragged_scores
from uwe_jax.scoring.tokens import unit_tokens

_QUERIES = 32  # whose scores with all names are held at once
# Rows of tokens that a program scores, and of the only one for few tokens. A program of more would get new pages of
# memory in every call: on a CPU one of 24,576 rows took 25 ms of processor time, and one of 8,192 rows 3 ms.
_ROWS, _FEW_ROWS = 8192, 1024
_ROWS_PER_NAME = 4


def _score_program(settings: ScorerSettings, how: Exponentials) -> Callable:
    def score(flat: jax.Array, rows: jax.Array, *query: jax.Array) -> jax.Array:
        tokens, owner, counts, tau_a = query
        targets = PackedTargets(unit_tokens(flat, "float32"), rows)
        return ragged_scores(PackedTexts(unit_tokens(tokens, "float32"), owner, counts), targets, tau_a, settings, how)

    return parallel.on_own_devices(score, (False, False, True, True, True, True))


class CandidateSpace:
    """Names of n targets, by the means of their tokens on the devices, and by all tokens in host memory.

    Args:
      tokens: raw token embeddings of all names, those of one target next to each other and its label first.
      places: of the names.
      settings: of a scorer that does not pool targets.
    """

    def __init__(self, tokens: RaggedTokens, places: NamePlaces, settings: ScorerSettings):
        self._tokens, self._places, self._settings = tokens, places, settings
        self._counts = np.diff(places.starts, append=len(tokens))
        self._means = TargetSpace.build(tokens.pooled(), settings)

    def score_chunks(
        self,
        queries: RaggedTokens,
        tau_a: tuple[float, float],
        number: int,
        weights: NameWeights,
        allowed: np.ndarray | None = None,
        always: Sequence[Iterable[int]] = (),
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields chunks of queries as `TargetSpace.score_chunks` does; names of other targets have minus infinity.

        Args:
          number: of candidates per query, at most n: the best targets by the scores of their names' means.
          weights: of the label and the description in the score of a target.
          allowed: targets that may be candidates, bool [n]; None for all.
          always: by query, targets that are candidates besides.
        """
        for start in range(0, len(queries), _QUERIES):
            rows = slice(start, min(start + _QUERIES, len(queries)))
            by_means = self._means.scores(queries.part(rows.start, rows.stop), tau_a)
            first = name_scores(by_means, self._places, weights)
            if allowed is not None:
                first[:, ~allowed] = -np.inf
            scores = np.full_like(by_means, -np.inf)
            for at, query in enumerate(range(rows.start, rows.stop)):
                best = np.argpartition(-first[at], number - 1)[:number]
                besides = np.fromiter(always[query] if always else (), np.int64)
                targets = np.union1d(best[np.isfinite(first[at, best])], besides)
                names = run_entries(self._places.starts[targets], self._counts[targets])
                scores[at, names] = self._exact(queries.part(query, query + 1), names, tau_a)
            yield rows, scores

    def _exact(self, query: RaggedTokens, names: np.ndarray, tau_a: tuple[float, float]) -> np.ndarray:
        """Scores of a query with names [k], float32; their tokens are multiplied without padding to one length."""
        tokens, scores = self._tokens.take(names), np.zeros(len(names), np.float32)
        longest = int(tokens.lengths.max(initial=1))
        size = max(_FEW_ROWS if tokens.offsets[-1] <= _FEW_ROWS else _ROWS, bucket(longest))
        place = np.arange(max(8, 1 << (longest - 1).bit_length()))[:, None]
        program = parallel.program(_score_program, formula(self._settings), exponentials(tau_a, self._settings))
        asked = (*packed_queries(query), np.array(tau_a, np.float32))
        parts, running = list(tokens.chunks(size, size // _ROWS_PER_NAME)), []
        for first in range(0, len(parts), devices := jax.local_device_count()):
            flat = np.zeros((devices, size, tokens.width), tokens.flat.dtype)
            rows = np.full((devices, len(place), size // _ROWS_PER_NAME), -1, np.int32)
            for device, (start, stop) in enumerate(parts[first : first + devices]):
                part = tokens.part(start, stop)
                flat[device, : len(part.flat)] = part.flat
                rows[device, :, : len(part)] = np.where(place < part.lengths, part.offsets[:-1] + place, -1)
            running.append(program(flat, rows, *asked))
        for k, (start, stop) in enumerate(parts):
            scores[start:stop] = np.asarray(running[k // devices])[k % devices, 0, : stop - start]
        return scores
