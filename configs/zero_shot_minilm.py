"""Train MiniLM without any relation or alias of ESCO, so that WorkBench stays zero-shot: two cores, half an hour.

Command:   uwe-jax train --config=zero_shot_minilm \\
               --config.source.path=FOLDER_WITH_THE_DOWNLOADS
           where the folder holds O*NET's text zip, SkillSkape's train.csv, SkillSpan's train.json, the federal
           questionnaires and ESCO's English zip, of which only the descriptions of skills and of occupations are read.
           With :job_names behind its name it also trains on ESCO's titles of occupations and on names of jobs: see
           docs/data.md. With :taught, and then :taught_again, it trains an export of that run further, with teachers:
           see docs/training.md; launch/zero_shot.sh runs all of it. With a source behind its name (:skillskape, :onet,
           :descriptions, :usajobs, :skillspan) it trains on that family alone for 30 steps, to see what it teaches.
Hardware:  two CPU cores, 8 GiB of memory
Time:      30 minutes, measured on two busy cores
Metric:    mean MAP over Job2Skill, Skill2Job, job normalisation, TECH and HOUSE 34.3 -> 38.8 (mean pooling: 30.1)
"""

from uwe_jax.config import combine, default_config

PARTS = {
    "onet": {"graphs": ("activity_job", "job_title", "activity_task", "activity_alias"), "weight": 4.0},
    "onet_titles": {"source": "onet", "graphs": ("job_alias",), "weight": 2.0},
    "onet_technologies": {"source": "onet", "graphs": ("technology_job", "job_title"), "weight": 1.0},
    "usajobs": {"weight": 1.0},
    "skillskape": {"weight": 2.5},
    "skillspan": {"graphs": ("span_vacancy",), "weight": 2.5},
    "esco_skill_descriptions": {"source": "esco", "graphs": ("skill_description",), "weight": 1.0},
    "esco_job_descriptions": {"source": "esco", "graphs": ("job_description",), "weight": 1.0},
}
# What is trained on alone, by the name behind a colon: its parts, and the direction to validate in.
ALONE = {
    "skillskape": (("skillskape",), "vacancy_to_skill"),
    "onet": (("onet", "onet_titles", "onet_technologies"), "job_to_skill"),
    "descriptions": (("esco_skill_descriptions", "esco_job_descriptions"), "vacancy_to_skill"),
    "usajobs": (("usajobs",), "job_to_skill"),
    "skillspan": (("skillspan",), "vacancy_to_skill"),
}
# What :job_names adds beside names of jobs: ESCO's occupations with their alternative labels. These are the vocabulary
# of the targets of job normalisation, which is then no longer zero-shot in vocabulary; its queries stay out.
ESCO_JOB_NAMES = {"esco_job_alias": {"source": "esco", "graphs": ("job_alias",), "weight": 2.0}}
# Exports of the run before, from which :taught and :taught_again continue, and the teachers' scores that they read.
BEFORE = {"taught": "runs/first", "taught_again": "runs/taught"}
SCORES = "occupations.npz,titles.npz,vacancies.npz,sentences.npz"
# Of several files each step takes the next: these two are of the tasks that gain most from more steps.
SCORES_AGAIN = "occupations.npz,titles.npz,vacancies.npz,occupations.npz,titles.npz,sentences.npz"
VARIANTS = ("job_names", *BEFORE)  # which add to all of them
DIRECTIONS = [each for kind in ("job", "vacancy", "alias") for each in (f"skill_to_{kind}", f"{kind}_to_skill")]


def get_config(alone=""):
    config = default_config()
    config.workdir = "runs/zero_shot_minilm"
    config.steps = 200
    config.checkpoint_every = 50
    config.source.source = "combined"
    config.source.parts = combine(**PARTS)
    # Both halves: what is measured on the validation half has to be zero-shot as well.
    config.source.decontaminate = ("test", "validation")
    config.split.validation = 0.01
    config.split.test = 0.0
    config.batch.global_batch_size = 96
    # A batch of several sources would teach to distinguish sources.
    config.batch.sources = "homogeneous"
    # Sources without a taxonomy pull the encoder away from the tasks' own words; a part of the way back keeps both.
    config.encoder.wise_ft_alpha = 0.7
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
    measured = "skill_to_alias"
    if alone in VARIANTS:
        config.source.parts = combine(**PARTS, **ESCO_JOB_NAMES)
        config.source.names = ("job",)
        config.workdir = f"runs/zero_shot_{alone}"
        # The higher rate moves further from the pretrained weights, so a lower alpha is best.
        config.optimiser.learning_rate = 3e-4
        config.encoder.wise_ft_alpha = 0.5
        if alone != "job_names":
            config.encoder.name = BEFORE[alone]
            config.encoder.wise_ft_alpha = 0.75
            config.steps = 300
            # Teachers have most to say; a few skills of the graphs in every batch keep what was learnt before.
            config.batch.global_batch_size = 32
            config.loss.distillation.update(path=SCORES, queries=32, targets=8, near=60, symmetric=True, weight=3.0)
            config.split.validation = 0.0
        if alone == "taught_again":
            config.encoder.wise_ft_alpha = 0.6
            config.steps = 450
            config.batch.global_batch_size = 16
            config.loss.distillation.update(path=SCORES_AGAIN, queries=48)
    elif alone:
        if alone not in ALONE:
            known = f"{', '.join(ALONE)}; {' and '.join(VARIANTS)} add to all of them"
            raise ValueError(f"there is no source {alone!r} to train on alone; there are {known}")
        parts, measured = ALONE[alone]
        config.source.parts = combine(**{name: PARTS[name] for name in parts})
        config.workdir = f"runs/zero_shot_{alone}"
        config.steps = config.checkpoint_every = config.evaluation.every = 30
        config.encoder.wise_ft_alpha = 1.0
    config.evaluation.skip = tuple(each for each in DIRECTIONS if each != measured)
    return config
