"""Describes a family of encoders: what `uwe_jax.models.encoder` assembles, and how Hugging Face names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

REQUIRED = object()  # in place of a default: config.json must have the key


@dataclass(frozen=True)
class Family:
    """One `model_type` of Hugging Face.

    Attributes:
      model_type: in config.json.
      torch_class: of transformers, as in config.json's `architectures`.
      example: a published encoder of the family.
      prefix: of the weights' names in files of the model with a head.
      keys: by field of `EncoderConfig`, the key in config.json and transformers' default, or REQUIRED.
      weights: by module of `Encoder`, the name of its weights, with {} for the number of a layer; in the order in which
        they are read and written.
      constants: fields of `EncoderConfig` that config.json does not have.
      fixed: values that config.json must have where it has the key: with others, the weights mean something else.
      written: further content of config.json.
      renamed: rewrites a config.json of other versions of transformers to `keys`.
      positions: "columns" (a table, indexed by column), "counted" (a table, indexed by real tokens from
        `pad_token_id + 1`) or "rotary" (queries and keys are rotated by their position).
      pre_norm: norms before attention and feed-forward block, except before the first attention, and after the last
        layer; otherwise after every residual sum.
      gated: W2 (gelu(a) * b) with [a, b] = W1 x; otherwise W2 gelu(W1 x).
      fused: one matrix projects to queries, keys and values.
      biases: linear maps and norms have one.
      embedding_dropout, mixed_dropout: fields of `EncoderConfig` with the dropout rates of embeddings and of the
        attention's output; empty for none.
    """

    model_type: str
    torch_class: str
    example: str
    prefix: str
    keys: Mapping[str, tuple[str, Any]]
    weights: Mapping[str, str]
    constants: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    written: Mapping[str, Any] = field(default_factory=dict)
    renamed: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    positions: str = "columns"
    pre_norm: bool = False
    gated: bool = False
    fused: bool = False
    biases: bool = True
    embedding_dropout: str = "hidden_dropout"
    mixed_dropout: str = "hidden_dropout"
