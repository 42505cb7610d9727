"""Train uwe-minilm further on ESCO's relations and names, to rank ESCO's own skills and occupations: two cores.

Command:   uwe-jax train --config=uwe_minilm_esco --config.source.path=FOLDER_WITH_THE_ESCO_ZIPS
           Job to skill, Skill to job and skill normalisation are then in-domain; one in ten nodes is held out, to
           measure what is learned.
Hardware:  two CPU cores, 6 GiB of memory
Time:      8 minutes, measured on two cores without other work
Metric:    MAP on held-out nodes of ESCO 1.1.1: occupation to skill 16.8 -> 20.8, skill to occupation 33.5 -> 37.0
"""

from uwe_jax.config import default_config


def get_config():
    config = default_config()
    config.workdir = "runs/uwe_minilm_esco"
    config.encoder.name = "uwe-minilm"
    # A part of the way back to uwe-minilm keeps what it knows of sentences.
    config.encoder.wise_ft_alpha = 0.7
    config.steps = 200
    config.checkpoint_every = 50
    config.source.source = "esco"
    config.source.kinds = ("job", "alias")
    # Both halves: what is measured on the validation half must not be trained on.
    config.source.decontaminate = ("test", "validation")
    # The last step is taken: a validation would choose by what the blend above is not for.
    config.split.validation = 0.0
    config.split.test = 0.1
    config.batch.global_batch_size = 128
    # Nearly all labels fit: one in a hundred skills and one in twenty aliases is cut.
    config.lengths.skill = 12
    config.lengths.job = 12
    config.lengths.alias = 12
    # A short run on a small encoder takes a higher rate than the paper's long one.
    config.optimiser.learning_rate = 1.5e-4
    config.evaluation.max_test_queries = 300
    # Encoding 85,000 aliases would cost as much as a third of the training.
    config.evaluation.skip = ("skill_to_alias", "alias_to_skill")
    return config
