"""Train MiniLM on the embedded sample: two cores, under four minutes.

Command:   uwe-jax train --config=quickstart
Hardware:  two CPU cores, 4 GiB of memory
Time:      three minutes, measured on two cores with the download of the encoder
Metric:    macro MAP on held-out nodes 28.8 -> 34.3, job title to skill 28.0 -> 39.0
"""

from uwe_jax.config import default_config


def get_config():
    config = default_config()
    config.workdir = "runs/quickstart"
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
    return config
