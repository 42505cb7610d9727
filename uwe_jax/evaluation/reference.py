"""The paper's figures on WorkBench (Unified Work Embeddings, arXiv 2511.07969), percent, and titles for tables."""

from __future__ import annotations

from uwe_jax.evaluation.leakage import IN_DOMAIN_SHARE

IN_DOMAIN_MARK = "†"
IN_DOMAIN_MEANING = (
    f"the graphs that the model was trained on hold {100 * IN_DOMAIN_SHARE:g} % or more of the query-target edges"
)
PAPER = "arXiv 2511.07969"
# A task of several sets is the mean over all of them.
PAPER_SETS = {"skill_extraction": 3}
# By model: metrics of single tasks, and "macro", those averaged over the six.
PAPER_ROWS: dict[str, dict[str, dict[str, float]]] = {
    "UWE (109M)": {
        "job_to_skill": {"map": 17.9},
        "job_normalisation": {"map": 39.3},
        "macro": {"map": 40.2, "rp@10": 57.7},
    },
    "ConTeXT-match": {"macro": {"map": 37.6}},
    "Qwen3-8B": {"macro": {"map": 35.8}},
    "MPNet, frozen": {"job_normalisation": {"map": 32.9}, "macro": {"map": 32.3}},
}


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
