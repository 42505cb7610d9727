"""What a grid has to know of the training graphs before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uwe_jax.base.config import Config
from uwe_jax.base.errors import UserError
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.sources import load_graphs
from uwe_jax.data.split import split_graphs


@dataclass(frozen=True)
class TrainingGraphs:
    """The graphs of a source.

    Attributes:
      fingerprints: SHA-256 by kind, in the order of the training.
      skills: by kind, how many skills have a training edge in that graph.
    """

    fingerprints: dict[str, str]
    skills: dict[str, int]

    @classmethod
    def read(cls, config: Config, *, alone: bool = False) -> TrainingGraphs:
        """Reads the source as a training run would, and forgets the edges again.

        Args:
          alone: each graph has to fill a batch by itself, not only all of them together.

        Raises:
          UserError: what a training run would refuse of its graphs.
        """
        graphs = load_graphs(config.source)
        splits = split_graphs(graphs, config.split.validation, config.split.test, config.split.salt)
        skills = {kind: count["skills"] for kind, count in splits.train.counts().items()}
        if alone:
            check_batch(config.batch.global_batch_size, skills)
        BatchSampler(splits.train, config.batch, config.seed)
        return cls(graphs.fingerprints(), skills)


def check_batch(size: int, skills: Mapping[str, int]) -> None:
    """Raises UserError unless each graph alone has the skills for a batch of `size`."""
    small = [kind for kind, count in skills.items() if count < size]
    if not small:
        return
    counts = ", ".join(f"skill-{kind} {count:,}" for kind, count in skills.items())
    rest = tuple(kind for kind in skills if kind not in small)
    without = f', or leave {" and ".join(small)} out: --config.source.kinds="{rest}"' if rest else ""
    raise UserError(
        f"batch.global_batch_size is {size}, but alone {' and '.join(f'skill-{kind}' for kind in small)} cannot fill a "
        f"batch. Skills with a training edge: {counts}. All trainings take the same batch size, so set "
        f"--config.batch.global_batch_size to at most {min(skills.values())}{without}."
    )
