"""Cells of a grid: the commands to run, their folder, and the record of what is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.config import Config
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.json_file import read_json
from uwe_jax.training.workdir import differences

RECORD = "cell.json"


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
    costly: bool = False  # results of other settings are never overwritten
    steps: int = 0  # of training


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
        path = self.folder / RECORD
        return read_json(path, f"Remove {self.folder} to run this cell again.") if path.exists() else {}

    def note(self, stage: Stage, *, done: bool, seconds: float) -> None:
        """Records that a stage is done, or only started."""
        entry = {"settings": stage.settings, "done": done, "seconds": round(seconds, 1)}
        write_json(self.folder / RECORD, {**self.record(), stage.name: entry})

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
        """Raises UserError if the folder has the result of a costly stage under other settings."""
        record = self.record()
        changed = [
            difference
            for stage in self.stages
            if stage.costly and stage.name in record and (record[stage.name]["done"] or self.has_product(stage))
            for difference in changed_settings(stage.settings, record[stage.name]["settings"])
        ]
        if changed:
            raise UserError(
                f"{self.folder} was trained with other settings ({len(changed)} differ: {'; '.join(changed[:5])}). "
                "Name another folder with --out, or repeat the settings that it was started with."
            )
