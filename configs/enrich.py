"""Enrich the skills of the embedded sample that have few edges; offline by templates, or by a language model.

Command:   uwe-jax enrich --config=enrich --config.generator=template
           or uwe-jax enrich --config=enrich --config.endpoint.model=MODEL \\
               --config.endpoint.base_url=http://localhost:8000/v1
Hardware:  two CPU cores, 4 GiB of memory; the language model runs elsewhere
Time:      templates a minute; a language model as long as it takes to answer
Metric:    the report of new edges and of rejected texts, in runs/enrich/enrichment.json
"""

from uwe_jax.config import default_config
from uwe_jax.curation.enrich.settings import EnrichmentSettings


def get_config():
    config = default_config(EnrichmentSettings)
    config.out = "runs/enrich"
    config.rare.skills = 100
    return config
