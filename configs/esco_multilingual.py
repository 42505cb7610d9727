"""Train a multilingual encoder on ESCO in English, German, French, Spanish and Dutch.

Labels of one concept in two languages are aliases: skills and jobs go by their English label or, in half of a batch, by
a name in any of the languages. --config.source.language=en,de takes two of them.

Command:   uwe-jax train --config=esco_multilingual --config.source.path=FOLDER_WITH_THE_ESCO_ZIPS
Hardware:  one GPU, or two CPU cores and 8 GiB of memory: most of the 118 million parameters are embeddings of tokens
Time:      not measured yet
Metric:    not measured yet
"""

from uwe_jax.config import default_config


def get_config():
    config = default_config()
    config.workdir = "runs/esco_multilingual"
    config.steps = 600
    config.checkpoint_every = 100
    config.encoder.name = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
    config.source.source = "esco"
    config.source.language = "en,de,fr,es,nl"
    config.source.kinds = ("job", "alias")
    config.source.names = ("skill", "job")
    config.split.validation = 0.05
    config.batch.global_batch_size = 128
    # Labels of other languages have more tokens than English ones.
    config.lengths.skill = 24
    config.lengths.job = 24
    config.lengths.alias = 24
    # A short run on a small encoder takes a higher rate than the paper's long one.
    config.optimiser.learning_rate = 1.5e-4
    config.evaluation.every = 200
    config.evaluation.max_queries = 300
    config.evaluation.max_test_queries = 1000
    # Encoding all names in all languages as targets would cost more than the training between two validations.
    config.evaluation.skip = ("skill_to_alias",)
    return config
