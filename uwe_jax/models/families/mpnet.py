"""MPNet (Song et al. 2020): BERT with a learned bias by relative position, shared by all layers."""

from uwe_jax.models.families.bert import BERT
from uwe_jax.models.families.family import Family

# transformers' MPNet ignores both keys of the config: with other values it would misread its own weights.
_FIXED = {"pad_token_id": 1, "relative_attention_num_buckets": 32}
_ATTENTION = "encoder.layer.{}.attention."

MPNET = Family(
    model_type="mpnet",
    torch_class="MPNetModel",
    example="all-mpnet-base-v2",
    prefix="mpnet.",
    keys={name: key for name, key in BERT.keys.items() if name not in ("token_types", "pad_token_id")},
    weights={
        "embeddings/word": "embeddings.word_embeddings",
        "embeddings/position": "embeddings.position_embeddings",
        "embeddings/norm": "embeddings.LayerNorm",
        "relative_bias": "encoder.relative_attention_bias",
        "layer/attention/query": f"{_ATTENTION}attn.q",
        "layer/attention/key": f"{_ATTENTION}attn.k",
        "layer/attention/value": f"{_ATTENTION}attn.v",
        "layer/attention/output": f"{_ATTENTION}attn.o",
        "layer/feed_forward/up": "encoder.layer.{}.intermediate.dense",
        "layer/feed_forward/down": "encoder.layer.{}.output.dense",
        "layer/attention/norm": f"{_ATTENTION}LayerNorm",
        "layer/feed_forward/norm": "encoder.layer.{}.output.LayerNorm",
    },
    constants={"relative_buckets": 32, "pad_token_id": 1},
    fixed=_FIXED,
    written=_FIXED,
    positions="counted",
)
