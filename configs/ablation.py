"""The paper's ablations at a small budget: what the scorer, its side and temperature, and the loss contribute.

Command:   uwe-jax ablate --config=ablation --data=FOLDER_WITH_THE_ESCO_ZIPS
           or one variant alone: uwe-jax train --config=ablation:max_sim
Hardware:  two CPU cores, 4 GiB of memory
Time:      three to four minutes a variant and seed with its evaluation, measured on two busy cores with ESCO's graphs
Metric:    macro MAP on held-out nodes for seed 0: query_side 29.2 -> 35.9, the same at 0.3 31.4 -> 36.8, paper 27.4 ->
           34.4 (before the split by normalised text, which moved 862 of the sample's 2,817 nodes);
           on work tasks after 40 steps on ESCO and SkillSkape, all from the query's side at 0.3: query_side 40.7,
           soft_pooled 40.0, mean_pool 39.9, max_sim 39.3
"""

import difflib

from uwe_jax.config import default_config
from uwe_jax.runtime.errors import UserError

# By name: what it is, and the settings in which it differs from the first, which the others are compared with.
_VARIANTS = {
    "soft": ("soft late interaction from both sides, cosine logits over 0.1, every edge a positive", {}),
    "mean_pool": ("cosine of mean-pooled embeddings", {"scorer.kind": "mean_pool"}),
    "max_sim": ("each token takes the best token of the other text", {"scorer.kind": "max_sim"}),
    "soft_pooled": ("query tokens attend to the mean-pooled target", {"scorer.kind": "soft_pooled"}),
    "query_side": ("only query tokens look for their like", {"scorer.side": "query"}),
    "target_side": ("only target tokens look for their like", {"scorer.side": "target"}),
    "paper": ("the paper's: query side, dot products over 0.1", {"scorer.side": "query", "scorer.logits": "dot"}),
    "cosine_0.3": ("cosine logits over 0.3, flatter", {"scorer.tau_a": 0.3, "scorer.target_tau_a": 0.3}),
    "one_directional": ("neighbours are ranked for skills, not skills for neighbours", {"loss.symmetric": False}),
    "single_positive": ("only the neighbour drawn for a skill is its positive", {"batch.positives": "sampled"}),
    "no_distractors": ("vacancy sentences stand alone", {"batch.distractor_probability": 0.0}),
}
VARIANTS = {name: description for name, (description, _) in _VARIANTS.items()}


def get_config(variant="soft"):
    if variant not in _VARIANTS:
        near = difflib.get_close_matches(variant, _VARIANTS, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UserError(f"There is no variant {variant!r}. {hint}There are: {', '.join(_VARIANTS)}.")
    config = default_config()
    config.workdir = f"runs/ablation_{variant}"
    config.steps = 32
    config.checkpoint_every = 16
    config.batch.global_batch_size = 48
    config.lengths.skill = 12
    config.lengths.job = 12
    config.lengths.alias = 12
    config.lengths.vacancy = 40
    # A short run on a small encoder takes a higher rate than the paper's long one.
    config.optimiser.learning_rate = 1.5e-4
    config.evaluation.every = 16
    config.update_from_flattened_dict(_VARIANTS[variant][1])
    return config
