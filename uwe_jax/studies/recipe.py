"""How a cell is trained and measured: the commands of its stages, the graphs, and what an outcome depends on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uwe_jax.config import Config
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.split import SPLIT_BY, split_graphs
from uwe_jax.evaluation.decontamination import load_training_graphs
from uwe_jax.runtime.config_file import read_command_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.studies.cell import Cell, Stage
from uwe_jax.studies.options import Options
from uwe_jax.training.unread_settings import check_settings

FROZEN = "frozen"


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
        graphs = load_training_graphs(config.source)
        splits = split_graphs(graphs, config.split.validation, config.split.test, config.split.salt)
        skills = {kind: count["skills"] for kind, count in splits.train.counts().items()}
        if alone:
            _check_batch(config.batch.global_batch_size, skills)
        BatchSampler(splits.train, config.batch, config.seed)
        return cls(graphs.fingerprints(), skills)


def _check_batch(size: int, skills: Mapping[str, int]) -> None:
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


@dataclass(frozen=True)
class Programs:
    """How the two commands of a cell begin."""

    train: tuple[str, ...] = (sys.executable, "-m", "uwe_jax.train")
    evaluate: tuple[str, ...] = (sys.executable, "-m", "uwe_jax", "evaluate")


PROGRAMS = Programs()


@dataclass(frozen=True)
class Recipe:
    """Makes the cells of one grid.

    Attributes:
      options: of the command line.
      graphs: fingerprint of each training graph.
      programs: that cells run.
    """

    options: Options
    graphs: Mapping[str, str]
    programs: Programs = PROGRAMS

    def trained(self, name: str, seed: int, config: Sequence[str]) -> Cell:
        """A training run, and its evaluation where there is data to measure on.

        Args:
          name: of its row.
          seed: of its batches.
          config: `--config` and its overrides.

        Raises:
          UserError: the settings are wrong.
        """
        folder = self._folder(f"{name}-{seed}")
        workdir = folder / "training"
        arguments = (*config, f"--config.seed={seed}", f"--config.workdir={workdir}")
        settings = read_command_line(arguments, Config, "train")
        check_settings(settings)
        training = Stage(
            "training",
            (*self.programs.train, *arguments),
            {"config": settings.to_dict(), "graphs": dict(self.graphs), "split_by": SPLIT_BY},
            "training/checkpoints/[0-9]*",
            costly=True,
            steps=settings.steps,
        )
        stages = (training, self._evaluation(folder, str(workdir), settings, {})) if self.options.data else (training,)
        return Cell(name, seed, folder, stages)

    def frozen(self, config: Config) -> Cell:
        """The encoder as published under the config's scorer. It is needed: what fails here fails everywhere."""
        folder = self._folder(FROZEN)
        model = f"{config.encoder.name}:{scorer_text(config.scorer)}"
        return Cell(FROZEN, None, folder, (self._evaluation(folder, model, config, {"model": model}),), needed=True)

    def _folder(self, name: str) -> Path:
        return self.options.out / "cells" / name

    def _evaluation(self, folder: Path, model: str, config: Config, settings: Mapping[str, Any]) -> Stage:
        options = self.options
        flags: dict[str, Any] = {
            "tasks": ",".join(options.tasks),
            "split": options.split,
            "max_queries": options.max_queries,
            "max_tokens": options.max_tokens,
            "language": config.source.language,
            **({"esco_version": config.source.version} if config.source.version else {}),
        }
        command = [*self.programs.evaluate, "--model", model, "--out", str(folder / "evaluation")]
        command += [part for data in options.data for part in ("--data", str(data))]
        command += [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        if config.source.cache_dir:
            command += ["--cache_dir", config.source.cache_dir]
        if options.offline:
            command.append("--offline")
        data = [str(each.absolute()) for each in options.data]
        return Stage("evaluation", tuple(command), {**flags, "data": data, **settings}, "evaluation/results.json")
