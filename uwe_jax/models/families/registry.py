"""The supported families of encoders, by Hugging Face's `model_type`."""

from uwe_jax.models.families.bert import BERT
from uwe_jax.models.families.distilbert import DISTILBERT
from uwe_jax.models.families.modernbert import MODERNBERT
from uwe_jax.models.families.mpnet import MPNET
from uwe_jax.models.families.roberta import ROBERTA, XLM_ROBERTA

FAMILIES = {each.model_type: each for each in (BERT, MPNET, ROBERTA, XLM_ROBERTA, DISTILBERT, MODERNBERT)}
