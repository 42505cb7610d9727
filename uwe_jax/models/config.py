"""Architecture of BERT and MPNet encoders, read from and written to Hugging Face's config.json."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uwe_jax.runtime.errors import UserError

ARCHITECTURES = ("bert", "mpnet")

# Hugging Face's names of GELU with the error function, and of its tanh approximation.
EXACT_GELU = ("gelu", "gelu_python")
TANH_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")

# transformers' MPNet ignores both keys of the config: with other values it would misread its own weights.
_MPNET_PAD_TOKEN_ID = 1
_MPNET_BUCKETS = 32

# Our field, Hugging Face's key, and transformers' default (None: required).
_SHARED_KEYS: tuple[tuple[str, str, Any], ...] = (
    ("vocab_size", "vocab_size", None),
    ("width", "hidden_size", None),
    ("layers", "num_hidden_layers", None),
    ("heads", "num_attention_heads", None),
    ("intermediate", "intermediate_size", None),
    ("max_positions", "max_position_embeddings", None),
    ("layer_norm_eps", "layer_norm_eps", 1e-12),
    ("hidden_dropout", "hidden_dropout_prob", 0.1),
    ("attention_dropout", "attention_probs_dropout_prob", 0.1),
    ("activation", "hidden_act", "gelu"),
)

# Smallest and largest value of each size, well beyond the largest encoders: configs outside are damaged or hostile, and
# are refused before memory is allocated.
_SIZES = {
    "vocab_size": (1, 4_000_000),
    "width": (1, 32_768),
    "layers": (1, 512),
    "heads": (1, 1_024),
    "intermediate": (1, 262_144),
    "max_positions": (1, 1_048_576),
    "token_types": (0, 1_024),
    "pad_token_id": (0, 3_999_999),
}
_DAMAGED = "Its config.json is damaged or of another model."
_RATES = ("layer_norm_eps", "hidden_dropout", "attention_dropout")
_HF_NAMES = {ours: theirs for ours, theirs, _ in _SHARED_KEYS} | {"token_types": "type_vocab_size"}


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and constants of an encoder."""

    architecture: str  # bert or mpnet
    vocab_size: int  # rows of the word embedding
    width: int  # d
    layers: int
    heads: int  # attention heads; they divide the width
    intermediate: int  # width of the feed-forward layer
    max_positions: int  # rows of the position embedding
    token_types: int = 0  # rows of the token-type embedding, of which only type 0 is used; 0 for mpnet
    layer_norm_eps: float = 1e-12
    relative_buckets: int = 0  # buckets of relative positions, shared by all layers; 0 for bert
    pad_token_id: int = 0
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"  # Hugging Face's name

    def __post_init__(self) -> None:
        if self.activation not in EXACT_GELU + TANH_GELU:
            raise UserError(
                f"Activation {self.activation!r} of the {self.architecture} encoder is not supported: "
                f"it must be one of {', '.join(EXACT_GELU + TANH_GELU)}."
            )
        if self.width % self.heads:
            raise UserError(
                f"{self.heads} attention heads do not divide the encoder's width of {self.width}. {_DAMAGED}"
            )

    @property
    def max_tokens(self) -> int:
        """Maximum number of tokens of a text, with special tokens."""
        # MPNet's positions up to that of padding are unused.
        return self.max_positions - (self.pad_token_id + 1 if self.architecture == "mpnet" else 0)

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @classmethod
    def from_hf(cls, values: Mapping[str, Any]) -> EncoderConfig:
        """Reads the content of a Hugging Face config.json.

        Raises:
          UserError: the model type, activation or kind of positions is not supported, or a size is missing.

        >>> EncoderConfig.from_hf({"model_type": "gpt2"})
        Traceback (most recent call last):
        uwe_jax.runtime.errors.UserError: An encoder of architecture 'gpt2' is not supported. \
Supported are bert (such as all-MiniLM-L6-v2) and mpnet (such as all-mpnet-base-v2).
        """
        architecture: Any = values.get("model_type")
        if architecture not in ARCHITECTURES:
            raise UserError(
                f"An encoder of architecture {reprlib.repr(architecture)} is not supported. "
                "Supported are bert (such as all-MiniLM-L6-v2) and mpnet (such as all-mpnet-base-v2)."
            )
        _check_values(architecture, values)
        fields = {ours: values.get(theirs, default) for ours, theirs, default in _SHARED_KEYS}
        if architecture == "mpnet":
            fields |= {"relative_buckets": _MPNET_BUCKETS, "pad_token_id": _MPNET_PAD_TOKEN_ID}
        else:
            # For null, transformers treats no token as padding; 0 has no effect in this architecture.
            pad = values.get("pad_token_id")
            fields |= {"token_types": values.get("type_vocab_size", 2), "pad_token_id": 0 if pad is None else pad}
        _check_fields(fields)
        return cls(architecture, **fields)

    def to_hf(self) -> dict[str, Any]:
        """Content of a config.json from which transformers builds this encoder."""
        values = {theirs: getattr(self, ours) for ours, theirs, _ in _SHARED_KEYS}
        values |= {"model_type": self.architecture, "pad_token_id": self.pad_token_id}
        if self.architecture == "mpnet":
            return values | {"architectures": ["MPNetModel"], "relative_attention_num_buckets": self.relative_buckets}
        bert = {"architectures": ["BertModel"], "position_embedding_type": "absolute"}
        return values | bert | {"type_vocab_size": self.token_types}


def _check_fields(fields: Mapping[str, Any]) -> None:
    """Raises a UserError for values of a wrong type or out of range."""
    for name, (least, most) in _SIZES.items():
        value = fields.get(name, least)
        if type(value) is not int or not least <= value <= most:
            raise _wrong(name, value, f"a whole number from {least:,} to {most:,}")
    for name in _RATES:
        value = fields[name]
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise _wrong(name, value, "a number from 0 to 1")
    if fields["pad_token_id"] >= fields["vocab_size"]:
        raise _wrong("pad_token_id", fields["pad_token_id"], f"below vocab_size, {fields['vocab_size']:,}")
    if not isinstance(fields["activation"], str):
        raise _wrong("activation", fields["activation"], "the name of an activation")


def _wrong(name: str, value: Any, expected: str) -> UserError:
    return UserError(
        f"The encoder's {_HF_NAMES.get(name, name)} is {reprlib.repr(value)}; it must be {expected}. {_DAMAGED}"
    )


def _check_values(architecture: str, values: Mapping[str, Any]) -> None:
    """Raises a UserError for missing sizes, and for values that would load but silently compute something else."""
    missing = [theirs for _, theirs, default in _SHARED_KEYS if default is None and theirs not in values]
    if missing:
        raise UserError(
            f"The encoder's config.json has no {', '.join(missing)}. "
            f"A {architecture} encoder needs them: download the file again or complete it."
        )
    fixed = {"is_decoder": False, "add_cross_attention": False, "position_embedding_type": "absolute"}
    if architecture == "mpnet":
        fixed = {"pad_token_id": _MPNET_PAD_TOKEN_ID, "relative_attention_num_buckets": _MPNET_BUCKETS}
    for key, expected in fixed.items():
        if values.get(key, expected) != expected:
            raise UserError(
                f"The encoder's config.json has {key} = {reprlib.repr(values[key])}. For {architecture} encoders only "
                f"{expected!r} is supported: use an encoder with that value."
            )
