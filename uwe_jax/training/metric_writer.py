"""Metrics of a run: metrics.jsonl, TensorBoard if it is installed, and Weights & Biases on request."""

from __future__ import annotations

import importlib.util
import json
import logging
import secrets
import shlex
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict

from uwe_jax.distributed.joining import is_first
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import naming, write_atomically
from uwe_jax.runtime.json_file import parse_json
from uwe_jax.runtime.optional_imports import extra_library
from uwe_jax.runtime.printable import json_text

LOG = logging.getLogger(__name__)

# Values in the queue of TensorBoard's writer. At its default of ten, a dead thread would block the training.
_QUEUE = 10_000


class MetricWriter:
    """Appends one JSON object per line to metrics.jsonl, each with its `step`; in the first process only.

    Args:
      workdir: folder of the file.
      resume_step: lines of later steps, left by an interrupted run after its last checkpoint, are dropped, since they
        will be written again.
      validated: whether the checkpoint of that step has its validation; otherwise its line is dropped as well.
      project: of Weights & Biases; empty for none.
      config: settings to show there.

    Raises:
      UserError: the file cannot be read, or Weights & Biases refuses the run. Damaged lines are dropped and reported.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        resume_step: int = 0,
        validated: bool = True,
        project: str = "",
        config: dict[str, Any] | None = None,
    ):
        self.path = workdir / "metrics.jsonl"
        self._board: Any = None
        self._wandb: Any = None
        if not is_first():
            return
        rows, damaged = _read(self.path)
        if damaged and resume_step:
            lines = ", ".join(map(str, damaged[:5])) + ", ..." * (len(damaged) > 5)
            LOG.warning(
                f"{self.path}: dropped {len(damaged)} damaged of {len(rows) + len(damaged)} lines (line {lines})."
            )
        kept = [
            row for row in rows if resume_step and row["step"] < resume_step + (validated or "validation" not in row)
        ]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        if project:
            self._wandb = _wandb_run(workdir, project, config, new=not resume_step)
        try:
            from tensorboardX import SummaryWriter

            self._board = SummaryWriter(
                str(workdir / "tensorboard"), purge_step=resume_step and resume_step + 1, max_queue=_QUEUE
            )
        except ImportError:
            return
        install = "" if importlib.util.find_spec("tensorboard") else "   (after pip install tensorboard)"
        LOG.info(f"Curves: tensorboard --logdir={shlex.quote(str(workdir / 'tensorboard'))}{install}")

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Writes one line; TensorBoard and Weights & Biases get nested values by names with slashes."""
        if not is_first():
            return
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json_text({"step": step, **values}) + "\n")
        if self._board and not self._board_is_alive():
            LOG.warning(
                f"TensorBoard's files in {self.path.parent} can no longer be written; {self.path.name} still is."
            )
            self._board = None
        leaves = flatten_dict(values, sep="/").items()
        numbers = {name: float(value) for name, value in leaves if isinstance(value, int | float)}
        for name, value in numbers.items() if self._board else ():
            self._board.add_scalar(name, value, step)
        if self._wandb:
            try:
                self._wandb.log(numbers, step=step)
            except Exception as error:  # a failing service must not end the training
                LOG.warning(f"Weights & Biases accepts no more values ({error}); {self.path.name} is still written.")
                self._wandb = None

    def _board_is_alive(self) -> bool:
        """Checks TensorBoard's thread: a full disk ends it, and adding to its queue would block then."""
        return self._board.file_writer.event_writer._worker.is_alive()  # there is no public way to ask

    def close(self) -> None:
        """Flushes TensorBoard and Weights & Biases."""
        if self._board and self._board_is_alive():
            self._board.close()
        if self._wandb:
            self._wandb.finish()


def wandb_module(project: str) -> Any:
    """Imports Weights & Biases; raises UserError if it is not installed."""
    return extra_library("wandb", use=f"--config.wandb={project}", extra="wandb")


def _wandb_run(workdir: Path, project: str, config: dict[str, Any] | None, *, new: bool) -> Any:
    wandb = wandb_module(project)
    path = workdir / "wandb_id"  # a resumed run continues its curves
    if new or not path.exists():
        write_atomically(path, secrets.token_hex(8).encode())
    try:
        return wandb.init(
            project=project,
            id=path.read_text(),
            resume="allow",
            name=workdir.absolute().name,
            dir=str(workdir),
            config=config,
            settings=wandb.Settings(console="off"),
        )
    except wandb.Error as error:
        raise UserError(
            f"Weights & Biases refuses the run: {str(error).rstrip('.')}. Log in with `wandb login`, set "
            "WANDB_MODE=offline to upload later with `wandb sync`, or leave out --config.wandb."
        ) from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Reads the intact lines of a metrics.jsonl; raises UserError if it exists and cannot be read."""
    return _read(path)[0]


def _read(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Reads the intact lines, and the numbers of damaged ones, counted from 1."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}. Make it readable, or move it away to resume without it."
        ) from error
    rows, damaged = [], []
    for number, line in enumerate(lines, 1):
        try:
            row = parse_json(line, path, "")
        except UserError:
            row = None
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
        elif number < len(lines):  # the last line is empty, or truncated by a kill
            damaged.append(number)
    return rows, damaged
