"""How a cell is trained and measured: the commands of its stages, and what their outcome depends on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uwe_jax.base.command import read_config
from uwe_jax.base.config import Config
from uwe_jax.base.errors import UserError
from uwe_jax.evaluation.scorer_text import scorer_text
from uwe_jax.experiments.cell import Cell, Stage
from uwe_jax.experiments.options import Options

FROZEN = "frozen"


@dataclass(frozen=True)
class Programs:
    """How the two commands of a cell begin."""

    train: tuple[str, ...] = (sys.executable, "-m", "uwe_jax.train")
    evaluate: tuple[str, ...] = (sys.executable, "-m", "uwe_jax.evaluate")


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
        settings = read_config(arguments)
        training = Stage(
            "training",
            (*self.programs.train, *arguments),
            {"config": settings.to_dict(), "graphs": dict(self.graphs)},
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
        }
        command = [*self.programs.evaluate, "--models", model, "--out", str(folder / "evaluation")]
        command += [part for data in options.data for part in ("--data", str(data))]
        command += [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        if config.source.cache_dir:
            command += ["--cache_dir", config.source.cache_dir]
        if options.offline:
            command.append("--offline")
        data = [str(each.absolute()) for each in options.data]
        return Stage("evaluation", tuple(command), {**flags, "data": data, **settings}, "evaluation/results.json")


def check_data(options: Options) -> None:
    """Raises UserError, before hours of training, where the evaluation would refuse its tasks or folders."""
    from uwe_jax.data.tasks.catalogue import choose

    choose(options.tasks)
    for folder in options.data:
        if not folder.is_dir():
            raise UserError(f"--data {folder} is no folder. Name the one that holds the downloads.")
