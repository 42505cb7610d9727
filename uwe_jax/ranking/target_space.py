"""A target space on the devices, and the ranking of queries against it.

Targets are split over the devices of this process and stand there in blocks of one length. Queries come in chunks of
few shapes, so a program compiled for one number of queries serves others, and neither the scores of all queries nor the
products of all tokens exist at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.distributed import parallel
from uwe_jax.ranking.ragged import MOST, RaggedTokens, not_scorable
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.ragged import PackedTexts, TokenBlock, formula, is_pooled, ragged_scores
from uwe_jax.scoring.tokens import unit_tokens

# Tokens of the queries scored at once.
_QUERY_TOKENS = 1024
# Tokens of a block of targets. On a CPU the products with a short query stay in a core's cache: for 8 query tokens
# blocks of 8,192 take a fifth to a third less time than those of 32,768, for more as much. An accelerator would wait
# for more launches.
_BLOCK_TOKENS = {"cpu": 8192}
_ACCELERATOR_BLOCK_TOKENS = 32768
# Texts of up to so many tokens stand among texts of their own length, if these have so many tokens together.
_EXACT = 16
_SMALL_BLOCK_TOKENS = 1024
# Targets and blocks that one program scores: bounds its score matrix and its compile time.
_SPAN_TARGETS = 65536
_SPAN_BLOCKS = 64
# Of texts that are scored once, which would be compiled for their very number and lengths: sizes in tokens that queries
# are filled up to, of which each text gets room for four, and tokens of every block of targets.
_FEW_QUERY_TOKENS = (16, 128, _QUERY_TOKENS)
_TOKENS_PER_TEXT = 4
_FEW_BLOCK_TOKENS = 2048


class Span(NamedTuple):
    """Blocks that one program scores; leading axis devices.

    `positions` [devices, n] of the targets, -1 for filling, `order` [devices, n], in which these ascend, and `counted`
    [devices, n], whether each is ranked: what fills up is not, nor is what a filter leaves out.
    """

    blocks: tuple[TokenBlock, ...]
    positions: jax.Array
    order: jax.Array
    counted: jax.Array


class Ranking(NamedTuple):
    """The best targets of every query, best first, equal scores by position: both [q, k]."""

    positions: np.ndarray
    scores: np.ndarray


def bucket(tokens: int) -> int:
    """The packed length that so many tokens are filled up to: steps of 4, then four lengths an octave."""
    step = max(4, 1 << max(0, (tokens - 1).bit_length() - 3))
    return max(4, -(-tokens // step) * step)


def _chunk_scores(settings: ScorerSettings) -> Callable[..., jax.Array]:
    def score(span: Span, tokens: jax.Array, owner: jax.Array, counts: jax.Array, tau_a: jax.Array) -> jax.Array:
        queries = PackedTexts(unit_tokens(tokens, span.blocks[0].unit.dtype), owner, counts)
        return jnp.concatenate([ragged_scores(queries, block, tau_a, settings) for block in span.blocks], axis=1)

    return score


_SPAN_AND_QUERIES = (False, True, True, True, True)  # which arguments every device gets whole


def _score_program(settings: ScorerSettings) -> Callable:
    return parallel.on_own_devices(_chunk_scores(settings), _SPAN_AND_QUERIES)


def _top_k_program(settings: ScorerSettings, k: int) -> Callable:
    score = _chunk_scores(settings)

    def top_k(span: Span, *queries: jax.Array) -> tuple[jax.Array, jax.Array]:
        # By position, since of equal scores the first are taken.
        scores = jnp.where(span.counted[span.order][None, :], score(span, *queries)[:, span.order], -jnp.inf)
        best, at = jax.lax.top_k(scores, min(k, scores.shape[1]))
        return best, span.positions[span.order][at]

    return parallel.on_own_devices(top_k, _SPAN_AND_QUERIES)


def _unit_program(dtype: str) -> Callable:
    return parallel.on_own_devices(lambda tokens: unit_tokens(tokens, dtype), (False,))


def padded_lengths(lengths: np.ndarray, *, few_shapes: bool = False) -> np.ndarray:
    """The length that every text is stored with, int64 [n].

    Short texts are not padded at all and longer ones to four lengths an octave; with few shapes, all to powers of two.
    Lengths of which there is little are stored as the next longer one, since a block of its own would cost more than
    their padding.
    """
    if few_shapes:
        stored = np.array([max(8, 1 << (k - 1).bit_length()) for k in lengths.tolist()])
    else:
        stored = np.where(lengths <= _EXACT, np.maximum(lengths, 1), [bucket(k) for k in lengths.tolist()])
    for length in np.unique(stored).tolist()[:-1]:
        same = stored == length
        if same.sum() * length < _SMALL_BLOCK_TOKENS:
            stored[same] = stored[stored > length].min()
    return stored


def _members(stored: np.ndarray, few_shapes: bool) -> Iterator[tuple[int, np.ndarray]]:
    """Cuts texts into blocks: (stored length, positions [devices, b], filled up with -1)."""
    devices = jax.local_device_count()
    most = _BLOCK_TOKENS.get(jax.default_backend(), _ACCELERATOR_BLOCK_TOKENS)
    for length in np.unique(stored).tolist():
        same = np.flatnonzero(stored == length)
        whole = devices * max(1, (_FEW_BLOCK_TOKENS if few_shapes else most) // length)
        blocks = -(-len(same) // whole)
        # All of one shape, filled up by a few: one of what is left over would cost as much as a whole one.
        each = whole if few_shapes else -(-len(same) // (blocks * devices)) * devices
        filled = np.full((blocks, each), -1, np.int32)
        filled.ravel()[: len(same)] = same
        for members in filled:
            yield length, members.reshape(devices, -1)


def _units(rows: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [devices, r, d] and norms [devices, r] of raw vectors [devices, r, d], in host memory.

    Filled up to numbers of rows of which there are few, since every one takes a program of its own.
    """
    filled = np.zeros((rows.shape[0], 1 << max(0, rows.shape[1] - 1).bit_length(), rows.shape[2]), rows.dtype)
    filled[:, : rows.shape[1]] = rows
    unit, norms = parallel.program(_unit_program, dtype)(filled)
    return np.asarray(unit)[:, : rows.shape[1]], np.asarray(norms)[:, : rows.shape[1]]


def _block(tokens: RaggedTokens, length: int, members: np.ndarray, dtype: str, masked: bool) -> TokenBlock:
    """The texts `members` [devices, b] on their devices, with a mask at least where one is needed."""
    rows, mask = tokens.padded(members.ravel(), length)
    devices, texts = members.shape
    by_device = rows.reshape(length, devices, texts, -1).swapaxes(0, 1)
    unit, norms = _units(by_device.reshape(devices, length * texts, -1), dtype)
    mask = mask.reshape(length, devices, texts).swapaxes(0, 1)
    shape = devices, length, texts
    norms = norms.reshape(shape)
    broken = ~(norms <= MOST * tokens.width**0.5).all(axis=1)
    if broken.any():
        raise UserError(not_scorable("Target", int(members[broken].min()) + 1))
    # What fills up to equal shares of the devices is never reported, so it needs no mask.
    complete = not masked and mask.swapaxes(1, 2)[members >= 0].all()
    return TokenBlock(*parallel.place((unit.reshape(*shape, -1), norms, None if complete else mask)))


def _spans(tokens: RaggedTokens, dtype: str, few_shapes: bool) -> Iterator[Span]:
    blocks: list[TokenBlock] = []
    positions: list[np.ndarray] = []

    def span() -> Span:
        at = np.concatenate(positions, axis=1)
        order = np.argsort(at, axis=1, kind="stable").astype(np.int32)
        return Span(tuple(blocks), *parallel.place((at, order, at >= 0)))

    for length, members in _members(padded_lengths(tokens.lengths, few_shapes=few_shapes), few_shapes):
        blocks.append(_block(tokens, length, members, dtype, few_shapes))
        positions.append(members)
        if few_shapes or len(blocks) == _SPAN_BLOCKS or sum(map(np.size, positions)) >= _SPAN_TARGETS:
            yield span()
            blocks, positions = [], []
    if blocks:
        yield span()


def _only(span: Span, allowed: np.ndarray) -> Span:
    """The span in which no others than the allowed targets are ranked."""
    positions = np.asarray(span.positions)
    return span._replace(counted=parallel.place((positions >= 0) & allowed[positions]))


def _packed(queries: RaggedTokens, few_shapes: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token embeddings [s, d] with their owners [s] and the texts' counts [q], filled up to lengths of few sizes."""
    filled, texts = bucket(int(queries.offsets[-1])), 1 << (len(queries) - 1).bit_length()
    if few_shapes:
        least = max(filled, _TOKENS_PER_TEXT * len(queries))
        filled = next((size for size in _FEW_QUERY_TOKENS if size >= least), filled)
        texts = filled // _TOKENS_PER_TEXT
    tokens = np.zeros((filled, queries.width), queries.flat.dtype)
    tokens[: len(queries.flat)] = queries.flat
    owner = np.full(filled, -1, np.int32)
    owner[: len(queries.flat)] = np.repeat(np.arange(len(queries), dtype=np.int32), queries.lengths)
    counts = np.zeros(texts, np.int32)
    counts[: len(queries)] = queries.lengths
    return tokens, owner, counts


def _best(parts: list[tuple[np.ndarray, np.ndarray]], number: int, k: int) -> Ranking:
    """The k best of the candidates of every span and device, for the first `number` queries."""
    scores, positions = (
        np.concatenate([part[side].swapaxes(0, 1).reshape(part[side].shape[1], -1) for part in parts], axis=1)[:number]
        for side in (0, 1)
    )
    order = np.lexsort((positions, -scores), axis=1)[:, :k]
    return Ranking(np.take_along_axis(positions, order, axis=1), np.take_along_axis(scores, order, axis=1))


@dataclass(frozen=True)
class TargetSpace:
    """n targets of width d, ready to be ranked.

    Attributes:
      spans: the targets on the devices.
      size: n.
      width: d.
      settings: the scorer that the space was built for; its pooling is part of what is stored.
      few_shapes: see `build`.
    """

    spans: tuple[Span, ...]
    size: int
    width: int
    settings: ScorerSettings
    few_shapes: bool = False

    @classmethod
    def build(
        cls, targets: RaggedTokens, settings: ScorerSettings, *, dtype: str = "float32", few_shapes: bool = False
    ) -> TargetSpace:
        """Puts targets on the devices.

        Args:
          targets: raw token embeddings.
          settings: the scorer.
          dtype: of the stored unit vectors, float32 or bfloat16. Scores differ from a float64 reference by less than
            1e-5 in float32 and by about 2e-3 in bfloat16.
          few_shapes: targets and queries are filled up to a dozen shapes, for targets that are scored once: others are
            compiled for their numbers and lengths, which takes a second and pays where many queries follow.

        Raises:
          UserError: there is no target, or one cannot be scored.
        """
        if not len(targets):
            raise UserError("The target space has no texts. Give at least one target.")
        stored = targets.pooled() if is_pooled(settings.kind, query=False) else targets
        return cls(tuple(_spans(stored, dtype, few_shapes)), len(targets), targets.width, settings, few_shapes)

    def top_k(self, queries: RaggedTokens, k: int, tau_a: float, allowed: np.ndarray | None = None) -> Ranking:
        """The k best targets of every query; the score matrix is never whole.

        Args:
          queries: raw token embeddings of q texts.
          k: at most the size of the space.
          tau_a: attention temperature.
          allowed: which targets are ranked, bool [n]; None for all. Fewer than k give fewer results.

        Raises:
          UserError: k or the width does not fit the space, or a query cannot be scored.
        """
        if not 1 <= k <= self.size:
            raise UserError(f"top_k is {k}; it must be between 1 and the {self.size} targets of the space.")
        # A power of two serves all numbers up to it, and the program takes any filter as an input.
        program = parallel.program(_top_k_program, formula(self.settings), 1 << (k - 1).bit_length())
        ranked = self
        if allowed is not None:
            ranked = replace(self, spans=tuple(_only(span, allowed) for span in self.spans))
            k = min(k, int(allowed.sum()))
        found = [_best(parts, rows.stop - rows.start, k) for rows, parts in ranked._run(program, queries, tau_a)]
        if not found:
            return Ranking(np.zeros((0, k), np.int32), np.zeros((0, k), np.float32))
        return Ranking(*(np.concatenate(part) for part in zip(*found, strict=True)))

    def score_chunks(self, queries: RaggedTokens, tau_a: float) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields (which queries, their scores float32 [., n] with all targets) until every query had its turn."""
        at = np.concatenate([np.asarray(span.positions).ravel() for span in self.spans])
        order = np.empty(self.size, np.int64)
        order[at[at >= 0]] = np.flatnonzero(at >= 0)
        for rows, parts in self._run(parallel.program(_score_program, formula(self.settings)), queries, tau_a):
            number = rows.stop - rows.start
            flat = [part[:, :number].swapaxes(0, 1).reshape(number, -1) for part in parts]
            yield rows, np.concatenate(flat, axis=1)[:, order]

    def scores(self, queries: RaggedTokens, tau_a: float) -> np.ndarray:
        """All scores s(q, y), float32 [q, n]."""
        matrix = np.empty((len(queries), self.size), np.float32)
        for rows, part in self.score_chunks(queries, tau_a):
            matrix[rows] = part
        return matrix

    def _run(self, program: Callable, queries: RaggedTokens, tau_a: float) -> Iterator[tuple[slice, list]]:
        """Runs a program on every chunk of queries and every span: yields (rows, the results span by span).

        A chunk is given to the devices before the results of the one before are waited for.
        """
        if queries.width != self.width:
            raise UserError(
                f"The queries' embeddings have width {queries.width} and the space's {self.width}: they come from two "
                "encoders. Encode both with one model."
            )
        queries.check_scorable("Query")
        if is_pooled(self.settings.kind, query=True):
            queries = queries.pooled()
        waiting: tuple[slice, list] | None = None
        temperature = np.float32(tau_a)
        texts = _QUERY_TOKENS // _TOKENS_PER_TEXT if self.few_shapes else None
        for start, stop in queries.chunks(_QUERY_TOKENS, texts):
            packed = _packed(queries.part(start, stop), self.few_shapes)
            results = [program(span, *packed, temperature) for span in self.spans]
            if waiting:
                yield waiting[0], jax.device_get(waiting[1])
            waiting = slice(start, stop), results
        if waiting:
            yield waiting[0], jax.device_get(waiting[1])
