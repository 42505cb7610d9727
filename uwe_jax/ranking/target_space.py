"""Target spaces on devices, and the ranking of queries against them.

Targets are split over the devices of this process, in blocks of one length. Queries come in chunks of few shapes, so a
program compiled for one number of queries serves others, and neither the scores of all queries nor the products of all
tokens exist at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.distributed import parallel
from uwe_jax.ranking.blocks import Span, bucket, spans
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.ragged import (
    Exponentials,
    PackedTexts,
    exponentials,
    formula,
    is_pooled,
    ragged_scores,
)
from uwe_jax.scoring.scorers import Temperatures, temperature_pair
from uwe_jax.scoring.tokens import unit_tokens

_QUERY_TOKENS = 1024  # scored at once
_SIDED_QUERY_TOKENS = 128  # the target's side sums over each query's tokens by a product with all queries
_SIDED_QUERIES = 32
_MANY_CHUNKS = 4  # at least three quarters of the tokens of each are real
_ONE_QUERY = 64  # tokens
# With few shapes: sizes in tokens that queries are padded to, four per text.
_FEW_QUERY_TOKENS = (16, 128, _QUERY_TOKENS)
_TOKENS_PER_TEXT = 4


class Ranking(NamedTuple):
    """Best targets of every query [q, k], best first, equal scores by position."""

    positions: np.ndarray
    scores: np.ndarray


def _chunk_scores(settings: ScorerSettings, how: Exponentials) -> Callable[..., jax.Array]:
    def score(span: Span, tokens: jax.Array, owner: jax.Array, counts: jax.Array, tau_a: jax.Array) -> jax.Array:
        queries = PackedTexts(unit_tokens(tokens, span.blocks[0].unit.dtype), owner, counts)
        return jnp.concatenate([ragged_scores(queries, block, tau_a, settings, how) for block in span.blocks], axis=1)

    return score


_SPAN_AND_QUERIES = (False, True, True, True, True)  # the span is sharded, the query arguments are replicated


def _score_program(settings: ScorerSettings, how: Exponentials) -> Callable:
    return parallel.on_own_devices(_chunk_scores(settings, how), _SPAN_AND_QUERIES)


def _top_k_program(settings: ScorerSettings, how: Exponentials, k: int) -> Callable:
    score = _chunk_scores(settings, how)

    def top_k(span: Span, *queries: jax.Array) -> tuple[jax.Array, jax.Array]:
        # Sorted by position, since top_k takes the first of equal scores.
        scores = jnp.where(span.counted[span.order][None, :], score(span, *queries)[:, span.order], -jnp.inf)
        best, at = jax.lax.top_k(scores, min(k, scores.shape[1]))
        return best, span.positions[span.order][at]

    return parallel.on_own_devices(top_k, _SPAN_AND_QUERIES)


def _only(span: Span, allowed: np.ndarray) -> Span:
    """Restricts ranking to the allowed targets."""
    positions = np.asarray(span.positions)
    return span._replace(counted=parallel.place((positions >= 0) & allowed[positions]))


def _padded(tokens: int, texts: int) -> tuple[int, int]:
    """Returns the numbers of tokens and of texts that so many queries are padded to."""
    # One query's are few, and each length of theirs is a program to compile; of several queries, padding costs more.
    return bucket(tokens, 4 if tokens <= _ONE_QUERY else 8), 1 << (texts - 1).bit_length()


def packed_queries(
    queries: RaggedTokens, few_shapes: bool = False, least: tuple[int, int] = (0, 0)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token embeddings [s, d] with their owners [s] and the texts' token counts [q], padded to a few sizes.

    Args:
      few_shapes: pads to a handful of sizes.
      least: numbers of tokens and of texts to pad to at least.
    """
    filled, texts = map(max, _padded(int(queries.offsets[-1]), len(queries)), least)
    if few_shapes:
        needed = max(filled, _TOKENS_PER_TEXT * len(queries))
        filled = next((size for size in _FEW_QUERY_TOKENS if size >= needed), filled)
        texts = filled // _TOKENS_PER_TEXT
    tokens = np.zeros((filled, queries.width), queries.flat.dtype)
    tokens[: len(queries.flat)] = queries.flat
    owner = np.full(filled, -1, np.int32)
    owner[: len(queries.flat)] = np.repeat(np.arange(len(queries), dtype=np.int32), queries.lengths)
    counts = np.zeros(texts, np.int32)
    counts[: len(queries)] = queries.lengths
    return tokens, owner, counts


def _best(parts: list[tuple[np.ndarray, np.ndarray]], number: int, k: int) -> Ranking:
    """Merges the candidates of all spans and devices into the k best of the first `number` queries."""
    scores, positions = (
        np.concatenate([part[side].swapaxes(0, 1).reshape(part[side].shape[1], -1) for part in parts], axis=1)[:number]
        for side in (0, 1)
    )
    order = np.lexsort((positions, -scores), axis=1)[:, :k]
    return Ranking(np.take_along_axis(positions, order, axis=1), np.take_along_axis(scores, order, axis=1))


@dataclass(frozen=True)
class TargetSpace:
    """n targets on devices, ready to be ranked."""

    spans: tuple[Span, ...]
    size: int  # n
    width: int  # d, of a token embedding
    settings: ScorerSettings  # their pooling is part of what is stored
    few_shapes: bool = False

    @classmethod
    def build(
        cls, targets: RaggedTokens, settings: ScorerSettings, *, dtype: str = "float32", few_shapes: bool = False
    ) -> TargetSpace:
        """Puts targets on the devices.

        Args:
          targets: raw token embeddings.
          dtype: of the stored unit vectors, float32 or bfloat16. Scores differ from a float64 reference by less than
            1e-5 in float32 and by about 2e-3 in bfloat16.
          few_shapes: pads targets and queries to a dozen shapes, for targets that are scored once. Otherwise programs
            are compiled for their numbers and lengths, which takes a second and pays off with many queries.

        Raises:
          UserError: there are no targets, or one cannot be scored.
        """
        if not len(targets):
            raise UserError("The target space has no texts. Give at least one target.")
        stored = targets.pooled() if is_pooled(settings.kind, query=False) else targets
        return cls(tuple(spans(stored, dtype, few_shapes)), len(targets), targets.width, settings, few_shapes)

    def top_k(self, queries: RaggedTokens, k: int, tau_a: Temperatures, allowed: np.ndarray | None = None) -> Ranking:
        """Ranks the k best targets of every query; the score matrix never exists as a whole.

        Args:
          queries: raw token embeddings of q texts.
          k: at most n.
          tau_a: attention temperature, or those of query and target tokens.
          allowed: targets to rank, bool [n]; None for all. Fewer than k give fewer results.

        Raises:
          UserError: k or the width does not match the space, or a query cannot be scored.
        """
        if not 1 <= k <= self.size:
            raise UserError(f"top_k is {k}; it must be between 1 and the {self.size} targets of the space.")
        # A power of two serves all numbers up to it, and any filter is an input of the program.
        at_most, ranked = 1 << (k - 1).bit_length(), self
        if allowed is not None:
            ranked = replace(self, spans=tuple(_only(span, allowed) for span in self.spans))
            k = min(k, int(allowed.sum()))
        runs = ranked._run(queries, tau_a, _top_k_program, at_most)
        found = [_best(parts, rows.stop - rows.start, k) for rows, parts in runs]
        if not found:
            return Ranking(np.zeros((0, k), np.int32), np.zeros((0, k), np.float32))
        return Ranking(*(np.concatenate(part) for part in zip(*found, strict=True)))

    def score_chunks(
        self, queries: RaggedTokens, tau_a: Temperatures, share: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields chunks of queries: (rows, scores float32 [rows, n] with all targets).

        Args:
          queries: raw token embeddings.
          tau_a: attention temperature, or those of query and target tokens.
          share: (k, n) for every n-th chunk from chunk k on: those of process k of n. Chunks, and so all scores, are
            the same for every n.
        """
        at = np.concatenate([np.asarray(span.positions).ravel() for span in self.spans])
        order = np.empty(self.size, np.int64)
        order[at[at >= 0]] = np.flatnonzero(at >= 0)
        for rows, parts in self._run(queries, tau_a, _score_program, share=share):
            number = rows.stop - rows.start
            flat = [part[:, :number].swapaxes(0, 1).reshape(number, -1) for part in parts]
            yield rows, np.concatenate(flat, axis=1)[:, order]

    def scores(self, queries: RaggedTokens, tau_a: Temperatures) -> np.ndarray:
        """All scores s(q, y), float32 [q, n]."""
        matrix = np.empty((len(queries), self.size), np.float32)
        for rows, part in self.score_chunks(queries, tau_a):
            matrix[rows] = part
        return matrix

    def _run(
        self,
        queries: RaggedTokens,
        tau_a: Temperatures,
        make_program: Callable,
        *args: int,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[tuple[slice, list]]:
        """Runs a program for these temperatures on a share of the chunks of queries: yields (rows, results per span).

        A chunk is dispatched to the devices before the previous one's results are awaited.
        """
        if queries.width != self.width:
            raise UserError(
                f"The queries' embeddings have width {queries.width} and the space's {self.width}: they are from "
                "different encoders. Encode both with one model."
            )
        queries.check_scorable("Query")
        if is_pooled(self.settings.kind, query=True):
            queries = queries.pooled()
        waiting: tuple[slice, list] | None = None
        query, target = temperature_pair(tau_a)
        taus, settings = (float(query), float(target)), formula(self.settings)
        program = parallel.program(make_program, settings, exponentials(taus, self.settings), *args)
        temperature = np.array(taus, np.float32)
        most = _QUERY_TOKENS if settings.side == "query" else _SIDED_QUERY_TOKENS
        texts = most // _TOKENS_PER_TEXT if self.few_shapes else None if most == _QUERY_TOKENS else _SIDED_QUERIES
        chunks = list(queries.chunks(most, texts) if self.few_shapes else queries.even_chunks(most, texts))
        # All in the shape of the largest: compiling for another one takes longer than scoring the padding. Many chunks
        # are nearly full, so that full ones cost little, and the next call of many needs no other program either.
        sizes = [_padded(int(queries.offsets[stop] - queries.offsets[start]), stop - start) for start, stop in chunks]
        if len(chunks) >= _MANY_CHUNKS:
            sizes.append((most, 1))
        least = tuple(map(max, zip(*sizes, strict=True))) if len(chunks) > 1 and not self.few_shapes else (0, 0)
        first, every = share
        for start, stop in itertools.islice(chunks, first, None, every):
            packed = packed_queries(queries.part(start, stop), self.few_shapes, least)
            results = [program(span, *packed, temperature) for span in self.spans]
            if waiting:
                yield waiting[0], jax.device_get(waiting[1])
            waiting = slice(start, stop), results
        if waiting:
            yield waiting[0], jax.device_get(waiting[1])
