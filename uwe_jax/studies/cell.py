"""Cells of a grid: the commands to run, what their results depend on, their folder, and the record of what is done."""

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
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.json_file import read_json
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.studies.options import GridFlags
from uwe_jax.training.unread_settings import check_settings
from uwe_jax.training.workdir import differences

FROZEN = "frozen"
# Beginnings of the two commands of a cell.
TRAIN = (sys.executable, "-m", "uwe_jax.train")
EVALUATE = (sys.executable, "-m", "uwe_jax", "evaluate")
_RECORD = "cell.json"


def changed_settings(now: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """Compares settings (JSON values, a training config under `config`) with recorded ones.

    Settings that a recorded config lacks had their defaults.

    Returns:
      `key: there -> now` of each difference.
    """
    ours, theirs = dict(now), dict(recorded)
    config, recorded_config = (Config.from_dict(each.pop("config", {})).to_dict() for each in (ours, theirs))
    return differences(config, recorded_config) + differences(ours, theirs)


class Stage(NamedTuple):
    """One command of a cell."""

    name: str  # training or evaluation
    command: tuple[str, ...]
    settings: dict[str, Any]  # everything that its result depends on; a training config under `config`
    product: str  # pattern of the files that it writes, relative to the cell's folder
    steps: int = 0  # of a training, whose result is never overwritten by that of other settings


@dataclass(frozen=True)
class Cell:
    """One run of a grid."""

    name: str  # row of the table
    seed: int | None  # of its training
    folder: Path
    stages: tuple[Stage, ...]  # run in order; each needs those before it
    needed: bool = False  # if it fails, the others would fail too and are not run

    @property
    def title(self) -> str:
        """Row and seed."""
        return self.name if self.seed is None else f"{self.name}, seed {self.seed}"

    @property
    def log(self) -> Path:
        """Output of all its stages, earlier attempts included."""
        return self.folder / "log.txt"

    def record(self) -> dict[str, Any]:
        """Reads, for each stage that was started: its settings, whether it is done, and its seconds.

        Raises:
          UserError: the record is damaged.
        """
        path = self.folder / _RECORD
        return read_json(path, f"Remove {self.folder} to run this cell again.") if path.exists() else {}

    def note(self, stage: Stage, *, done: bool, seconds: float) -> None:
        """Records that a stage is done, or only started."""
        entry = {"settings": stage.settings, "done": done, "seconds": round(seconds, 1)}
        write_json(self.folder / _RECORD, {**self.record(), stage.name: entry})

    def has_product(self, stage: Stage) -> bool:
        """Returns whether files of the stage exist, whatever its settings were."""
        return any(self.folder.glob(stage.product))

    def remaining(self) -> tuple[Stage, ...]:
        """Returns the stages that still have to be run.

        None if all are done, even if files of earlier ones were removed since: only those of the last one are read.
        """
        record = self.record()
        settled = [
            stage.name in record
            and record[stage.name]["done"]
            and not changed_settings(stage.settings, record[stage.name]["settings"])
            for stage in self.stages
        ]
        if all(settled) and self.has_product(self.stages[-1]):
            return ()
        whole = [done and self.has_product(stage) for done, stage in zip(settled, self.stages, strict=True)]
        return self.stages[whole.index(False) :]

    def check_conflicts(self) -> None:
        """Raises UserError if the folder has the result of a training under other settings."""
        record = self.record()
        changed = [
            difference
            for stage in self.stages
            if stage.steps and stage.name in record and (record[stage.name]["done"] or self.has_product(stage))
            for difference in changed_settings(stage.settings, record[stage.name]["settings"])
        ]
        if changed:
            raise UserError(
                f"{self.folder} was trained with other settings ({len(changed)} differ: {'; '.join(changed[:5])}). "
                "Name another folder with --out, or repeat the settings that it was started with."
            )


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


@dataclass(frozen=True)
class Recipe:
    """Builds the cells of one grid."""

    options: GridFlags
    graphs: Mapping[str, str]  # fingerprints

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
            (*TRAIN, *arguments),
            {"config": settings.to_dict(), "graphs": dict(self.graphs), "split_by": SPLIT_BY},
            "training/checkpoints/[0-9]*",
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
            "languages": source.language,
            **({"esco_version": source.version} if source.version else {}),
        }
        command = [*EVALUATE, "--model", model, "--out", str(folder / "evaluation")]
        command += [part for data in options.data for part in ("--data", data)]
        command += [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        command += ["--cache-dir", source.cache_dir] if source.cache_dir else []
        command += ["--offline"] if options.offline else []
        data = [str(Path(each).absolute()) for each in options.data]
        return Stage("evaluation", tuple(command), {**flags, "data": data, **settings}, "evaluation/results.json")
