"""ModernBERT (Warner et al. 2024): rotary positions, local and global attention, GeGLU, norms first, no biases."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from uwe_jax.models.families.family import REQUIRED, Family
from uwe_jax.runtime.errors import UserError

_KINDS = {"global_rope_theta": "full_attention", "local_rope_theta": "sliding_attention"}


def _renamed(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Reads the lists of transformers 5, which replaced one number each, as that number.

    Raises UserError for an order of local and global layers, or for rotary positions, that no number describes.
    """
    found = {key: value for key, value in values.items() if key not in ("layer_types", "rope_parameters")}
    if (kinds := values.get("layer_types")) is not None:
        listed = kinds if isinstance(kinds, list) else []
        every = next((k for k, kind in enumerate(listed) if k and kind == "full_attention"), max(1, len(listed)))
        if kinds != ["sliding_attention" if k % every else "full_attention" for k in range(len(listed))]:
            raise UserError(
                f"The encoder's layer_types are {reprlib.repr(kinds)}; every n-th layer from the first one must be "
                "full_attention and the others sliding_attention. Use an encoder with that order."
            )
        found["global_attn_every_n_layers"] = every
    rotary = values.get("rope_parameters") or {}
    for key, kind in _KINDS.items():
        chosen = (rotary.get(kind) or {}) if isinstance(rotary, dict) else rotary
        if not isinstance(chosen, dict) or chosen.get("rope_type", "default") != "default":
            raise UserError(
                f"The encoder's rope_parameters are {reprlib.repr(rotary)}; only the rope_type 'default' is supported: "
                "use an encoder with it."
            )
        if "rope_theta" in chosen:
            found[key] = chosen["rope_theta"]
    if found.get("local_rope_theta", 0) is None:  # in config.json of the first versions: that of global attention
        found["local_rope_theta"] = found.get("global_rope_theta", 160_000.0)
    return found


_LAYER = "layers.{}."

MODERNBERT = Family(
    model_type="modernbert",
    torch_class="ModernBertModel",
    example="answerdotai/ModernBERT-base",
    prefix="model.",
    keys={
        "vocab_size": ("vocab_size", REQUIRED),
        "width": ("hidden_size", REQUIRED),
        "layers": ("num_hidden_layers", REQUIRED),
        "heads": ("num_attention_heads", REQUIRED),
        "intermediate": ("intermediate_size", REQUIRED),
        "max_positions": ("max_position_embeddings", 8192),
        "layer_norm_eps": ("norm_eps", 1e-5),
        "hidden_dropout": ("mlp_dropout", 0.0),
        "attention_dropout": ("attention_dropout", 0.0),
        "activation": ("hidden_activation", "gelu"),
        "pad_token_id": ("pad_token_id", 50283),
        "local_window": ("local_attention", 128),
        "global_every": ("global_attn_every_n_layers", 3),
        "global_theta": ("global_rope_theta", 160_000.0),
        "local_theta": ("local_rope_theta", 10_000.0),
    },
    weights={
        "embeddings/word": "embeddings.tok_embeddings",
        "embeddings/norm": "embeddings.norm",
        "layer/attention/norm": f"{_LAYER}attn_norm",
        "layer/attention/qkv": f"{_LAYER}attn.Wqkv",
        "layer/attention/output": f"{_LAYER}attn.Wo",
        "layer/feed_forward/norm": f"{_LAYER}mlp_norm",
        "layer/feed_forward/up": f"{_LAYER}mlp.Wi",
        "layer/feed_forward/down": f"{_LAYER}mlp.Wo",
        "final_norm": "final_norm",
    },
    fixed={"norm_bias": False, "attention_bias": False, "mlp_bias": False, "embedding_dropout": 0.0},
    renamed=_renamed,
    positions="rotary",
    pre_norm=True,
    gated=True,
    fused=True,
    biases=False,
    embedding_dropout="",
    mixed_dropout="attention_dropout",
)
