"""Train uwe-minilm further on ESCO, to rank ESCO's own skills and occupations: two cores, twenty minutes.

Command:   uwe-jax train --config=uwe_minilm_esco --config.source.path=FOLDER_WITH_THE_DOWNLOADS
           where the folder holds ESCO's zips, SkillSkape's train.csv and SkillSpan's train.json. Job to skill, Skill to
           job and skill normalisation are then in-domain; one in ten nodes is held out to measure what is learned.
Hardware:  two CPU cores, 8 GiB of memory
Time:      TIME minutes, measured on two cores
Metric:    METRIC
"""

from uwe_jax.config import combine, default_config

PARTS = {
    "esco_relations": {"source": "esco", "graphs": ("skill_job",), "weight": 8.0},
    "esco_skill_alias": {"source": "esco", "graphs": ("skill_alias",), "weight": 3.0},
    "esco_job_alias": {"source": "esco", "graphs": ("job_alias",), "weight": 2.0},
    "esco_skill_descriptions": {"source": "esco", "graphs": ("skill_description",), "weight": 1.0},
    "esco_job_descriptions": {"source": "esco", "graphs": ("job_description",), "weight": 1.0},
    # Sentences, which uwe-minilm was trained on, lest they be forgotten.
    "skillskape": {"weight": 2.5},
    "skillspan": {"graphs": ("span_vacancy",), "weight": 2.5},
}


def get_config():
    config = default_config()
    config.workdir = "runs/uwe_minilm_esco"
    config.encoder.name = "uwe-minilm"
    config.steps = 250
    config.checkpoint_every = 50
    config.source.source = "combined"
    config.source.parts = combine(**PARTS)
    config.source.names = ("job",)
    config.source.decontaminate = ("test", "validation")
    config.split.validation = 0.0
    config.split.test = 0.1
    config.batch.global_batch_size = 128
    # A batch of several sources would teach to distinguish sources.
    config.batch.sources = "homogeneous"
    # A part of the way back to uwe-minilm keeps what it knows of sentences and titles.
    config.encoder.wise_ft_alpha = 0.7
    config.lengths.skill = 24
    config.lengths.job = 12
    config.lengths.alias = 12
    config.lengths.vacancy = 56
    # A short run on a small encoder takes a higher rate than the paper's long one.
    config.optimiser.learning_rate = 1.5e-4
    config.evaluation.max_test_queries = 200
    # Titles as queries alone: sentences and aliases as targets would cost as much as a tenth of the training.
    measured = "job_to_skill"
    kinds = ("job", "vacancy", "alias")
    directions = [each for kind in kinds for each in (f"skill_to_{kind}", f"{kind}_to_skill")]
    config.evaluation.skip = tuple(each for each in directions if each != measured)
    return config
