"""The paper's settings: MPNet, 512 skills a batch, raw-dot scores from the query's side; for a TPU VM or a GPU.

Command:   uwe-jax train --config=uwe_mpnet --config.source.source=edges \\
               --config.source.path=FOLDER
           where FOLDER holds skill_job, skill_vacancy and skill_alias edge files (or source=esco for ESCO alone).
Hardware:  one accelerator of 40 GB or more, or a TPU VM; lower batch.global_batch_size or set encoder.remat on less
Time:      a step of this size took 268 ms on one H100 in the benchmark (without dropout, cosine logits), so about
           three quarters of an hour and the validations; not yet run to its end
Metric:    not measured yet; the paper reports a macro MAP of 40.2 over WorkBench against 32.3 for the frozen encoder
"""

from uwe_jax.config import default_config


def get_config():
    config = default_config()
    config.workdir = "runs/uwe_mpnet"
    config.steps = 10_000
    config.log_every = 20
    config.checkpoint_every = 500
    config.encoder.name = "sentence-transformers/all-mpnet-base-v2"
    config.encoder.dtype = "bfloat16"
    config.encoder.dropout = 0.1
    config.batch.global_batch_size = 512
    config.scorer.side = "query"
    config.scorer.logits = "dot"
    config.scorer.tau_a = 0.1
    config.evaluation.every = 1000
    config.evaluation.texts_per_device = 512
    return config
