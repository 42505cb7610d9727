"""Gradient caching: value and gradient of a batch whose activations would not fit into memory at once.

A loss that compares all texts of a batch needs their embeddings at once, but not the encoder's activations (GradCache,
Gao et al. 2021, arXiv 2101.06983, section 3):

1. encode rows of texts chunk by chunk and keep only the embeddings;
2. differentiate the loss once, with respect to the embeddings and to the parameters that it reads itself;
3. encode every chunk again and backpropagate its part of the cached cotangents into the parameters.

It costs one more forward pass, with activations of one chunk in memory. A chunk's dropout key depends on the step's key
and the chunk's number, so that both passes draw the same masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

Tree = Any
Encode = Callable[[Tree, Tree, Array | None], Tree]  # (parameters, rows [b, ...], dropout key) to embeddings [b, ...]


def fold_in(key: Array | None, number: Int[Array, ""] | int) -> Array | None:
    """Key of a part; None without dropout."""
    return None if key is None else jax.random.fold_in(key, number)


def _in_chunks(rows: Tree, chunk: int) -> Tree:
    """Leaves [b, ...] as [chunks, chunk, ...], the last chunk padded with zeros: rows without texts."""

    def split(leaf: Array) -> Array:
        chunks = -(-leaf.shape[0] // chunk)
        size = -(-leaf.shape[0] // chunks)
        filled = jnp.pad(leaf, ((0, chunks * size - leaf.shape[0]), *((0, 0),) * (leaf.ndim - 1)))
        return filled.reshape(chunks, size, *leaf.shape[1:])

    return jax.tree.map(split, rows)


def _numbered(*trees: Tree) -> tuple[Tree, ...]:
    """Chunk numbers, followed by the chunked trees."""
    return jnp.arange(jax.tree.leaves(trees)[0].shape[0]), *trees


def encode_in_chunks(encode: Encode, params: Tree, rows: Tree, chunk: int, key: Array | None) -> Tree:
    """Embeddings [b, ...], encoded at most `chunk` rows at a time."""
    count = jax.tree.leaves(rows)[0].shape[0]
    embeddings = jax.lax.map(
        lambda part: encode(params, part[1], fold_in(key, part[0])), _numbered(_in_chunks(rows, chunk))
    )
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], embeddings)


def cached_value_and_grad(
    encode: Encode,
    loss: Callable[[Tree, Tree], tuple[Array, Any]],
    params: Tree,
    rows: Tree,
    chunk: int,
    key: Array | None,
) -> tuple[tuple[Array, Any], Tree]:
    """Equals `jax.value_and_grad(lambda p: loss(encode_in_chunks(encode, p, ...), p), has_aux=True)(params)`.

    Inside a parallel function it is one device's part: the collectives are in the loss, which runs once.

    >>> encode = lambda params, rows, key: rows * params
    >>> loss = lambda embeddings, params: (jnp.sum(embeddings ** 2) + params, "aux")
    >>> cached = cached_value_and_grad(encode, loss, jnp.float32(2.0), jnp.arange(3.0), 2, None)
    >>> jax.tree.map(float, cached[0][0]), cached[0][1], float(cached[1])  # 5 p^2 + p and 10 p + 1
    (22.0, 'aux', 21.0)

    Args:
      encode: embeds rows independently of each other; must be finite for rows of zeros, which pad the last chunk.
      loss: (embeddings, parameters) to (scalar, anything else); differentiated in both arguments.
      rows: leaves [b, ...].
      chunk: rows encoded at once, at least 1.
      key: the step's dropout key; None without dropout.

    Returns:
      (loss, its second result) and the gradient, summed over chunks in float32.
    """
    embeddings = encode_in_chunks(encode, params, rows, chunk, key)
    value, (cotangents, direct) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(embeddings, params)

    def add_chunk(total: Tree, numbered: tuple[Array, Tree, Tree]) -> tuple[Tree, None]:
        number, part, cotangent = numbered
        _, pull_back = jax.vjp(lambda params: encode(params, part, fold_in(key, number)), params)
        return jax.tree.map(lambda a, b: a + b.astype(jnp.float32), total, *pull_back(cotangent)), None

    start = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), direct)
    chunks = _numbered(_in_chunks(rows, chunk), _in_chunks(cotangents, chunk))
    return value, jax.lax.scan(add_chunk, start, chunks)[0]
