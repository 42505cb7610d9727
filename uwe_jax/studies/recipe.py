"""Builds the cells of a grid: the commands of their stages, and the settings that their results depend on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.config import Config
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.split import SPLIT_BY, split_graphs
from uwe_jax.evaluation.decontamination import load_training_graphs
from uwe_jax.runtime.config_file import read_command_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.studies.cell import Cell, Stage
from uwe_jax.studies.options import GridFlags
from uwe_jax.training.unread_settings import check_settings

FROZEN = "frozen"


class TrainingGraphs(NamedTuple):
    """Facts about the graphs of a source, by kind in the order of the training."""

    fingerprints: dict[str, str]  # SHA-256
    skills: dict[str, int]  # number of skills with a training edge

    @classmethod
    def read(cls, config: Config, *, alone: bool = False) -> TrainingGraphs:
        """Reads the source as a training run would; with `alone`, each graph has to fill a batch by itself.

        Raises:
          UserError: a training run would refuse the graphs.
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
        f"batch. Skills with a training edge: {counts}. All trainings have the same batch size, so set "
        f"--config.batch.global_batch_size to at most {min(skills.values())}{without}."
    )


class Programs(NamedTuple):
    """Beginnings of the two commands of a cell."""

    train: tuple[str, ...] = (sys.executable, "-m", "uwe_jax.train")
    evaluate: tuple[str, ...] = (sys.executable, "-m", "uwe_jax", "evaluate")


PROGRAMS = Programs()


@dataclass(frozen=True)
class Recipe:
    """Builds the cells of one grid."""

    options: GridFlags
    graphs: Mapping[str, str]  # fingerprints
    programs: Programs = PROGRAMS

    def trained(self, name: str, seed: int, config: Sequence[str]) -> Cell:
        """Builds a training run from `--config` and its overrides, and its evaluation where there is data of tasks.

        Raises:
          UserError: the settings are invalid.
        """
        folder = self.options.out / "cells" / f"{name}-{seed}"
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
        """Builds the evaluation of the published encoder under the config's scorer; if it fails, all others would."""
        folder = self.options.out / "cells" / FROZEN
        model = f"{config.encoder.name}:{scorer_text(config.scorer)}"
        return Cell(FROZEN, None, folder, (self._evaluation(folder, model, config, {"model": model}),), needed=True)

    def _evaluation(self, folder: Path, model: str, config: Config, settings: Mapping[str, Any]) -> Stage:
        options, source = self.options, config.source
        flags: dict[str, Any] = {
            "tasks": ",".join(options.tasks),
            "split": options.split,
            "max_queries": options.max_queries,
            "max_tokens": options.max_tokens,
            "language": source.language,
            **({"esco_version": source.version} if source.version else {}),
        }
        command = [*self.programs.evaluate, "--model", model, "--out", str(folder / "evaluation")]
        command += [part for data in options.data for part in ("--data", data)]
        command += [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        command += ["--cache_dir", source.cache_dir] if source.cache_dir else []
        command += ["--offline"] if options.offline else []
        data = [str(Path(each).absolute()) for each in options.data]
        return Stage("evaluation", tuple(command), {**flags, "data": data, **settings}, "evaluation/results.json")
