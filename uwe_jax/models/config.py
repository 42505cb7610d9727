"""Architecture of an encoder, read from and written to Hugging Face's config.json."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uwe_jax.models.families.family import REQUIRED, Family
from uwe_jax.models.families.registry import FAMILIES
from uwe_jax.runtime.errors import UserError

# Hugging Face's names of GELU with the error function, and of its tanh approximation.
EXACT_GELU = ("gelu", "gelu_python")
TANH_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")

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
    "local_window": (0, 1_048_576),
    "global_every": (1, 512),
}
_DAMAGED = "Its config.json is damaged or of another model."
_RATES = ("layer_norm_eps", "hidden_dropout", "attention_dropout")
_THETAS = ("global_theta", "local_theta")


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and constants of an encoder."""

    architecture: str  # Hugging Face's model_type, one of FAMILIES
    vocab_size: int  # rows of the word embedding
    width: int  # d
    layers: int
    heads: int  # attention heads; they divide the width
    intermediate: int  # width of the feed-forward layer
    max_positions: int  # rows of the position embedding, or a limit where there is none
    token_types: int = 0  # rows of the token-type embedding, of which only type 0 is used; 0 for none
    layer_norm_eps: float = 1e-12
    relative_buckets: int = 0  # buckets of relative positions, shared by all layers; 0 for none
    pad_token_id: int = 0
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"  # Hugging Face's name
    local_window: int = 0  # tokens that a token of a local layer attends to, half of them before it; 0: all are global
    global_every: int = 1  # every so many layers, from the first one, attention is global
    global_theta: float = 0.0  # base of the wave lengths of rotary positions, in layers of global attention
    local_theta: float = 0.0

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
        if self.family.positions == "rotary" and self.head_width % 2:
            raise UserError(
                f"Attention heads have an odd width of {self.head_width}, which rotary positions cannot split in two. "
                f"{_DAMAGED}"
            )

    @property
    def family(self) -> Family:
        return FAMILIES[self.architecture]

    @property
    def max_tokens(self) -> int:
        """Maximum number of tokens of a text, with special tokens."""
        # Counted positions up to that of padding are unused.
        return self.max_positions - (self.pad_token_id + 1 if self.family.positions == "counted" else 0)

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
        uwe_jax.runtime.errors.UserError: An encoder of architecture 'gpt2' is not supported. Supported are \
bert (such as all-MiniLM-L6-v2), mpnet (such as all-mpnet-base-v2), roberta (such as all-distilroberta-v1), \
xlm-roberta (such as paraphrase-multilingual-mpnet-base-v2), distilbert (such as multi-qa-distilbert-cos-v1), \
modernbert (such as answerdotai/ModernBERT-base).
        """
        name: Any = values.get("model_type")
        if not isinstance(name, str) or name not in FAMILIES:
            supported = ", ".join(f"{each.model_type} (such as {each.example})" for each in FAMILIES.values())
            raise UserError(
                f"An encoder of architecture {reprlib.repr(name)} is not supported. Supported are {supported}."
            )
        family = FAMILIES[name]
        values = family.renamed(values)
        _check_values(family, values)
        fields = {ours: values.get(theirs, default) for ours, (theirs, default) in family.keys.items()}
        if fields.get("pad_token_id", 0) is None:  # transformers then treats no token as padding
            fields["pad_token_id"] = family.keys["pad_token_id"][1]
        fields |= family.constants
        _check_fields(family, fields)
        return cls(name, **fields)

    def to_hf(self) -> dict[str, Any]:
        """Content of a config.json from which transformers builds this encoder."""
        family = self.family
        values = {theirs: getattr(self, ours) for ours, (theirs, _) in family.keys.items()}
        return values | {"model_type": family.model_type, "architectures": [family.torch_class], **family.written}


def _check_fields(family: Family, fields: Mapping[str, Any]) -> None:
    """Raises a UserError for values of a wrong type or out of range."""

    def wrong(name: str, expected: str) -> UserError:
        theirs = family.keys.get(name, (name,))[0]
        return UserError(f"The encoder's {theirs} is {reprlib.repr(fields[name])}; it must be {expected}. {_DAMAGED}")

    for name, (least, most) in _SIZES.items():
        value = fields.get(name, least)
        if type(value) is not int or not least <= value <= most:
            raise wrong(name, f"a whole number from {least:,} to {most:,}")
    for names, low, high in ((_RATES, 0, 1), (_THETAS, 1, 10**12)):
        for name in names:
            value = fields.get(name, low)
            if type(value) not in (int, float) or not low <= value <= high:
                raise wrong(name, f"a number from {low} to {high:,}")
    if fields["pad_token_id"] >= fields["vocab_size"]:
        raise wrong("pad_token_id", f"below vocab_size, {fields['vocab_size']:,}")
    if not isinstance(fields["activation"], str):
        raise wrong("activation", "the name of an activation")


def _check_values(family: Family, values: Mapping[str, Any]) -> None:
    """Raises a UserError for missing sizes, and for values that would load but silently compute something else."""
    missing = [key for key, default in family.keys.values() if default is REQUIRED and key not in values]
    if missing:
        raise UserError(
            f"The encoder's config.json has no {', '.join(missing)}. "
            f"A {family.model_type} encoder needs them: download the file again or complete it."
        )
    for key, expected in family.fixed.items():
        if values.get(key, expected) != expected:
            raise UserError(
                f"The encoder's config.json has {key} = {reprlib.repr(values[key])}. For {family.model_type} encoders "
                f"only {expected!r} is supported: use an encoder with that value."
            )
