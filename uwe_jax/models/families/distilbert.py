"""DistilBERT (Sanh et al. 2019): BERT without token types, under names of its own."""

from uwe_jax.models.families.family import REQUIRED, Family

_LAYER = "transformer.layer.{}."

DISTILBERT = Family(
    model_type="distilbert",
    torch_class="DistilBertModel",
    example="multi-qa-distilbert-cos-v1",
    prefix="distilbert.",
    keys={
        "vocab_size": ("vocab_size", REQUIRED),
        "width": ("dim", REQUIRED),
        "layers": ("n_layers", REQUIRED),
        "heads": ("n_heads", REQUIRED),
        "intermediate": ("hidden_dim", REQUIRED),
        "max_positions": ("max_position_embeddings", REQUIRED),
        "hidden_dropout": ("dropout", 0.1),
        "attention_dropout": ("attention_dropout", 0.1),
        "activation": ("activation", "gelu"),
        "pad_token_id": ("pad_token_id", 0),
    },
    weights={
        "embeddings/word": "embeddings.word_embeddings",
        "embeddings/position": "embeddings.position_embeddings",
        "embeddings/norm": "embeddings.LayerNorm",
        "layer/attention/query": f"{_LAYER}attention.q_lin",
        "layer/attention/key": f"{_LAYER}attention.k_lin",
        "layer/attention/value": f"{_LAYER}attention.v_lin",
        "layer/attention/output": f"{_LAYER}attention.out_lin",
        "layer/feed_forward/up": f"{_LAYER}ffn.lin1",
        "layer/feed_forward/down": f"{_LAYER}ffn.lin2",
        "layer/attention/norm": f"{_LAYER}sa_layer_norm",
        "layer/feed_forward/norm": f"{_LAYER}output_layer_norm",
    },
    constants={"layer_norm_eps": 1e-12},
    mixed_dropout="",
)
