"""A cell of a grid: what is run for it, in which folder, and what of that is done already."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uwe_jax.config import Config
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.training.workdir import differences

RECORD = "cell.json"


def changed_settings(now: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """How settings differ from recorded ones, as `key: there -> now`; empty where the outcome is the same.

    Args:
      now: JSON values; a training config stands under `config`.
      recorded: likewise; what a training config lacks there was at its default.
    """
    ours, theirs = dict(now), dict(recorded)
    config, recorded_config = (Config.from_dict(each.pop("config", {})).to_dict() for each in (ours, theirs))
    return differences(config, recorded_config) + differences(ours, theirs)


@dataclass(frozen=True)
class Stage:
    """One command of a cell.

    Attributes:
      name: training or evaluation.
      command: the argument vector.
      settings: all that its outcome depends on, as JSON values; a training config stands under `config`.
      product: pattern, relative to the cell's folder, of what it leaves behind.
      costly: what it left under other settings is never done over.
      steps: training steps.
    """

    name: str
    command: tuple[str, ...]
    settings: dict[str, Any]
    product: str
    costly: bool = False
    steps: int = 0


@dataclass(frozen=True)
class Cell:
    """One run: its stages, in order, each of which needs those before it.

    Attributes:
      name: the row of the table that it counts for.
      seed: of its training; None where nothing is drawn.
      folder: holds all that it writes.
      stages: what is run.
      needed: where it fails, the others are not run, for they would fail alike.
    """

    name: str
    seed: int | None
    folder: Path
    stages: tuple[Stage, ...]
    needed: bool = False

    @property
    def title(self) -> str:
        """How a person is told of it."""
        return self.name if self.seed is None else f"{self.name}, seed {self.seed}"

    @property
    def log(self) -> Path:
        """Output of all its stages, earlier attempts included."""
        return self.folder / "log.txt"

    def record(self) -> dict[str, Any]:
        """By stage that was ever begun: its settings, whether it is done, and the seconds that it took.

        Raises:
          UserError: the record is broken.
        """
        path = self.folder / RECORD
        try:
            return json.loads(path.read_text()) if path.exists() else {}
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path} is not valid JSON ({error}); it is written by the run itself. Remove {self.folder} to run "
                "this cell anew."
            ) from error

    def note(self, stage: Stage, *, done: bool, seconds: float) -> None:
        """Writes down that a stage is done, or only begun."""
        entry = {"settings": stage.settings, "done": done, "seconds": round(seconds, 1)}
        write_json(self.folder / RECORD, {**self.record(), stage.name: entry})

    def has_product(self, stage: Stage) -> bool:
        """Whether the stage has left something behind, whatever its settings were."""
        return any(self.folder.glob(stage.product))

    def remaining(self) -> tuple[Stage, ...]:
        """The stages that are still to be run.

        None where all are done, even if what the earlier ones left has been removed since: only the last one's
        outcome is read.
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

    def conflicts(self) -> list[str]:
        """Settings of what its costly stages left that are not those of now."""
        record = self.record()
        return [
            difference
            for stage in self.stages
            if stage.costly and stage.name in record and (record[stage.name]["done"] or self.has_product(stage))
            for difference in changed_settings(stage.settings, record[stage.name]["settings"])
        ]


def check_conflicts(cells: Sequence[Cell]) -> None:
    """Raises UserError where a cell's folder holds a training under other settings."""
    for cell in cells:
        if changed := cell.conflicts():
            raise UserError(
                f"{cell.folder} was trained with other settings ({len(changed)} differ: {'; '.join(changed[:5])}). "
                "Name another folder with --out, or repeat the settings that it was started with."
            )
