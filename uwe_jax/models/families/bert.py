"""BERT (Devlin et al. 2019), and MiniLM."""

from uwe_jax.models.families.family import REQUIRED, Family

BERT = Family(
    model_type="bert",
    torch_class="BertModel",
    example="all-MiniLM-L6-v2",
    prefix="bert.",
    keys={
        "vocab_size": ("vocab_size", REQUIRED),
        "width": ("hidden_size", REQUIRED),
        "layers": ("num_hidden_layers", REQUIRED),
        "heads": ("num_attention_heads", REQUIRED),
        "intermediate": ("intermediate_size", REQUIRED),
        "max_positions": ("max_position_embeddings", REQUIRED),
        "layer_norm_eps": ("layer_norm_eps", 1e-12),
        "hidden_dropout": ("hidden_dropout_prob", 0.1),
        "attention_dropout": ("attention_probs_dropout_prob", 0.1),
        "activation": ("hidden_act", "gelu"),
        "token_types": ("type_vocab_size", 2),
        "pad_token_id": ("pad_token_id", 0),
    },
    weights={
        "embeddings/word": "embeddings.word_embeddings",
        "embeddings/position": "embeddings.position_embeddings",
        "embeddings/token_type": "embeddings.token_type_embeddings",
        "embeddings/norm": "embeddings.LayerNorm",
        "layer/attention/query": "encoder.layer.{}.attention.self.query",
        "layer/attention/key": "encoder.layer.{}.attention.self.key",
        "layer/attention/value": "encoder.layer.{}.attention.self.value",
        "layer/attention/output": "encoder.layer.{}.attention.output.dense",
        "layer/feed_forward/up": "encoder.layer.{}.intermediate.dense",
        "layer/feed_forward/down": "encoder.layer.{}.output.dense",
        "layer/attention/norm": "encoder.layer.{}.attention.output.LayerNorm",
        "layer/feed_forward/norm": "encoder.layer.{}.output.LayerNorm",
    },
    fixed={"is_decoder": False, "add_cross_attention": False, "position_embedding_type": "absolute"},
    written={"position_embedding_type": "absolute"},
)
