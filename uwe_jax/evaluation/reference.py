"""The paper's figures on WorkBench (Unified Work Embeddings, arXiv 2511.07969), percent, and titles for tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from uwe_jax.evaluation.leakage import IN_DOMAIN_SHARE

IN_DOMAIN_MARK = "†"
IN_DOMAIN_MEANING = (
    f"the graphs that the model was trained on hold {100 * IN_DOMAIN_SHARE:g} % or more of the query-target edges"
)
PAPER = "arXiv 2511.07969"
# A task of several sets is the mean over all of them.
PAPER_SETS = {"skill_extraction": 3}


class PaperRow(NamedTuple):
    """A model's figures in the paper: macro-averaged metrics over the six tasks, and MAP of single ones."""

    name: str
    macro: Mapping[str, float]
    task_map: Mapping[str, float]


PAPER_ROWS = (
    PaperRow("UWE (109M)", {"map": 40.2, "rp@10": 57.7}, {"job_to_skill": 17.9, "job_normalisation": 39.3}),
    PaperRow("ConTeXT-match", {"map": 37.6}, {}),
    PaperRow("Qwen3-8B", {"map": 35.8}, {}),
    PaperRow("MPNet, frozen", {"map": 32.3}, {"job_normalisation": 32.9}),
)


def group_title(group: str) -> str:
    """Returns the title of a WorkBench task in tables.

    >>> group_title("job_to_skill")
    'Job to skill'
    """
    return group.replace("_", " ").capitalize()


def metric_title(metric: str) -> str:
    """Returns the title of a metric in tables.

    >>> metric_title("map"), metric_title("rp@10"), metric_title("ndcg@10"), metric_title("hit@10")
    ('MAP', 'RP@10', 'nDCG@10', 'hit@10')
    """
    return {"map": "MAP", "mrr": "MRR"}.get(metric, metric).replace("rp@", "RP@").replace("ndcg", "nDCG")
