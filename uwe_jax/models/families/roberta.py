"""RoBERTa (Liu et al. 2019) and XLM-RoBERTa (Conneau et al. 2020): BERT whose positions count real tokens."""

from dataclasses import replace

from uwe_jax.models.families.bert import BERT

ROBERTA = replace(
    BERT,
    model_type="roberta",
    torch_class="RobertaModel",
    example="all-distilroberta-v1",
    prefix="roberta.",
    keys={**BERT.keys, "pad_token_id": ("pad_token_id", 1)},
    positions="counted",
)
XLM_ROBERTA = replace(
    ROBERTA,
    model_type="xlm-roberta",
    torch_class="XLMRobertaModel",
    example="paraphrase-multilingual-mpnet-base-v2",
)
