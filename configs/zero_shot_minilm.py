"""Train MiniLM without any relation or alias of ESCO, so that WorkBench stays zero-shot: two cores, half an hour.

Command:   python -m uwe_jax.train --config=configs/zero_shot_minilm.py \\
               --config.source.path=FOLDER_WITH_THE_DOWNLOADS
           where the folder holds O*NET's text zip, SkillSkape's train.csv, SkillSpan's train.json, the federal
           questionnaires and ESCO's English zip, of which only the descriptions of skills and of occupations are read.
Hardware:  two CPU cores, 8 GiB of memory
Time:      32 minutes, measured on two shared cores
Metric:    macro MAP over WorkBench's tasks at hand 39.2 -> 42.9, Job2Skill 11.8 -> 14.4, TECH 43.4 -> 56.2
"""

from uwe_jax.base.config import combine, default_config


def get_config():
    config = default_config()
    config.workdir = "runs/zero_shot_minilm"
    config.steps = 200
    config.checkpoint_every = 50
    config.source.source = "combined"
    config.source.parts = combine(
        onet={"graphs": ("activity_job", "job_title", "activity_task", "activity_alias"), "weight": 4.0},
        onet_titles={"source": "onet", "graphs": ("job_alias",), "weight": 2.0},
        onet_technologies={"source": "onet", "graphs": ("technology_job", "job_title"), "weight": 1.0},
        usajobs={"weight": 1.0},
        skillskape={"weight": 2.5},
        skillspan={"graphs": ("span_vacancy",), "weight": 2.5},
        esco_skill_descriptions={"source": "esco", "graphs": ("skill_description",), "weight": 1.0},
        esco_job_descriptions={"source": "esco", "graphs": ("job_description",), "weight": 1.0},
    )
    # Both halves: what is measured on the validation half has to be zero-shot as well.
    config.source.keep_out = ("test", "validation")
    config.split.validation = 0.01
    config.split.test = 0.0
    config.batch.global_batch_size = 96
    # A batch of several sources would teach to tell sources apart.
    config.batch.parts = "apart"
    # Sources without a taxonomy pull the encoder away from the tasks' own words; a part of the way back keeps both.
    config.encoder.pretrained_share = 0.3
    config.scorer.tau_a = 0.5
    config.lengths.skill = 24
    config.lengths.job = 12
    config.lengths.alias = 12
    config.lengths.vacancy = 56
    # A short run on a small encoder takes a higher rate than the paper's long one.
    config.optimiser.learning_rate = 1e-4
    # What counts is measured on work tasks afterwards. To encode the 94,000 skills and 40,000 sentences of all sources
    # as targets would cost half as much as the training; titles are short.
    config.evaluation.every = 200
    config.evaluation.max_queries = 200
    config.evaluation.max_test_queries = 200
    config.evaluation.skip = (
        "skill_to_job",
        "job_to_skill",
        "skill_to_vacancy",
        "vacancy_to_skill",
        "alias_to_skill",
    )
    return config
