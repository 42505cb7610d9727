"""Counts the operations of a training step in its matrix products, from shapes."""

from __future__ import annotations

from collections.abc import Mapping

from uwe_jax.models.config import EncoderConfig


def encoder_flops(config: EncoderConfig, texts: int, tokens: int) -> int:
    """Counts a forward pass of texts padded to `tokens`: four maps of d to d, two to the feed-forward width, attention.

    One text of one token through one layer of width 2 with a feed-forward width of 3: 2 (4*4 + 2*6) + 4*2.

    >>> encoder_flops(EncoderConfig("bert", 9, width=2, layers=1, heads=1, intermediate=3, max_positions=9), 1, 1)
    64
    """
    d = config.width
    maps = 2 * tokens * (4 * d * d + 2 * d * config.intermediate)
    attention = 4 * tokens * tokens * d  # logits, then the weighted values
    return texts * config.layers * (maps + attention)


def scorer_flops(kind: str, m: int, n: int, i: int, j: int, d: int) -> int:
    """Counts both directions of m skills of i tokens against n neighbours of j tokens.

    >>> scorer_flops("soft", 2, 2, 3, 5, 7), scorer_flops("mean_pool", 2, 2, 3, 5, 7)
    (840, 56)
    """
    pairs = {"mean_pool": 1, "soft_pooled": i + j}.get(kind, i * j)
    return 2 * m * n * pairs * d


def step_flops(config: EncoderConfig, kind: str, m: int, lengths: Mapping[str, int]) -> int:
    """Counts a training step of m skills and m neighbours per graph: forward, and twice as much backward.

    Padding counts, as it is computed; recomputation by rematerialisation and gradient caching does not.

    Args:
      lengths: tokens per node, the skills' first.
    """
    i, *others = lengths.values()
    encoding = sum(encoder_flops(config, m, tokens) for tokens in lengths.values())
    scoring = sum(scorer_flops(kind, m, m, i, j, config.width) for j in others)
    return 3 * (encoding + scoring)
