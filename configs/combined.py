"""Combine ESCO, O*NET, SkillSkape and federal questionnaires, and train MiniLM on all of them: two cores.

Command:   uwe-jax combine --config=combined --config.source.path=FOLDER_WITH_THE_DOWNLOADS
           uwe-jax train --config=combined --config.source.path=FOLDER_WITH_THE_DOWNLOADS
Hardware:  two CPU cores, 8 GiB of memory
Time:      combining takes two minutes, measured on two cores; training was not run to its end
Metric:    not measured yet
"""

from uwe_jax.config import combine, default_config


def get_config():
    config = default_config()
    config.workdir = "runs/combined"
    config.steps = 600
    config.checkpoint_every = 50
    config.source.source = "combined"
    config.source.parts = combine(
        esco={
            "graphs": ("skill_job", "skill_alias", "job_title", "skill_description"),
            "weight": 3.0,
        },
        onet={"weight": 2.0},
        skillskape={},
        usajobs={},
    )
    config.split.validation = 0.01
    config.split.test = 0.01
    config.batch.global_batch_size = 128
    config.batch.sources = "homogeneous"
    config.lengths.skill = 24
    config.lengths.job = 12
    config.lengths.alias = 12
    config.lengths.vacancy = 56
    # A short run on a small encoder takes a higher rate than the paper's long one.
    config.optimiser.learning_rate = 1.5e-4
    config.evaluation.every = 300
    config.evaluation.max_queries = 300
    config.evaluation.max_test_queries = 300
    # To encode a hundred thousand skills, titles or aliases as targets would cost more than the training.
    config.evaluation.skip = (
        "skill_to_job",
        "job_to_skill",
        "skill_to_alias",
        "alias_to_skill",
        "vacancy_to_skill",
    )
    return config
