"""The workdir of a run in a bucket: its small files are mirrored on this machine, its checkpoints stay in the bucket.

Checkpoints are written and read there by Orbax, which knows gs:// alone. The other files are a few megabytes; libraries
append to them and replace them as files of the own disk.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path

from etils import epath

from uwe_jax.runtime import remote
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.folders import replacing, restore
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.remote_cache import address, mirror

LOG = logging.getLogger(__name__)
CHECKPOINTS = "checkpoints"
_IN_THE_BUCKET = (CHECKPOINTS, "damaged_checkpoints")


def is_workdir(folder: Path) -> bool:
    """Tells whether a folder is the workdir of a training run: an encoder also has a config.json."""
    if (folder / "checkpoints").is_dir():
        return True
    try:
        return "workdir" in read_json(folder / "config.json", "")
    except UserError:
        return False


@dataclass
class RunFolder:
    """Where the files of a run lie.

    Attributes:
      local: folder of its small files: config.json, metrics.jsonl, summary.json and their like.
      checkpoints: folder of its checkpoints, in the bucket where the workdir is one.
      url: of the workdir; empty for a local one, for which `pull` and `push` do nothing.
    """

    local: Path
    checkpoints: Path | epath.Path
    url: str = ""
    _pushed: dict[Path, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, workdir: str, cache: Path, process: int = 0) -> RunFolder:
        """The folder of a run.

        Args:
          workdir: a path, or gs://bucket/folder.
          cache: local folder that the small files of a workdir in a bucket go into.
          process: of the training; those on one machine have a folder each.

        Raises:
          UserError: checkpoints cannot be written to that kind of URL.
        """
        if not remote.is_remote(workdir):
            return cls(Path(workdir), Path(workdir) / CHECKPOINTS)
        url = workdir.rstrip("/")
        if remote.split_url(url)[0] != "gs":
            raise UserError(
                f"The workdir {workdir} is neither a path nor in a bucket of Google Cloud Storage: checkpoints are "
                "written there, or to a disk, alone. Name gs://bucket/folder or a path with --config.workdir=..."
            )
        local = mirror(url, cache / "workdirs" / (f"process-{process}" if process else "first"))
        return cls(local, remote.bucket_path(f"{url}/{CHECKPOINTS}"), url)

    @property
    def lock(self) -> Path:
        """The file that a training holds: of a workdir in a bucket beside the local folder, which `pull` replaces."""
        return self.local.with_name(f".{self.local.name}.lock") if self.url else self.local / ".lock"

    def pull(self) -> None:
        """Makes the local files those of the bucket, and takes away others.

        Raises:
          UserError: the bucket cannot be read.
        """
        if self.url:
            pull(self.url, self.local)
            self._pushed = {path: _state(path) for path in self._files()}

    def push(self) -> None:
        """Writes the local files to the bucket that have changed since they were pulled or pushed.

        Raises:
          UserError: the bucket cannot be written.
        """
        if not self.url:
            return
        states = {path: _state(path) for path in self._files()}
        changed = [path for path, state in states.items() if self._pushed.get(path) != state]
        remote.upload(self.local, self.url, changed)
        self._pushed = states

    def try_to_push(self) -> None:
        """As `push`, but says what goes wrong: the next one writes what this one did not."""
        try:
            self.push()
        except UserError as error:
            LOG.warning(f"The files beside the checkpoints are written later: {error}")

    def _files(self) -> list[Path]:
        # Hidden ones are half written.
        inside = [path for path in self.local.rglob("*") if path.is_file()]
        return [p for p in inside if not any(part.startswith(".") for part in p.relative_to(self.local).parts)]


def _state(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_size, about.st_mtime_ns


def pull(url: str, local: Path, *, top: bool = False) -> None:
    """Makes a folder's files those of a run in a bucket but for its checkpoints, each replaced in one step.

    Args:
      top: those of the workdir itself alone, and not those of the folders in it.

    Raises:
      UserError: the bucket cannot be read.
    """
    there = {
        inside: file
        for inside, file in remote.listing(url).items()
        if inside.split("/")[0] not in _IN_THE_BUCKET and not (top and "/" in inside)
    }
    local.mkdir(parents=True, exist_ok=True)
    with replacing(local, patience=math.inf) as other:  # file by file: a run may be reading and appending there
        fetched = other.with_name("fetched")
        remote.fetch(url, [(file, fetched / inside) for inside, file in there.items()])
        for inside in there:
            (local / inside).parent.mkdir(parents=True, exist_ok=True)
            (fetched / inside).replace(local / inside)
    for path in local.rglob("*"):
        if path.is_file() and path.relative_to(local).as_posix() not in there:
            path.unlink()


def at_hand(name: str, cache: Path) -> str:
    """A model's name with its files on this machine, for what looks for them under a path.

    Args:
      name: of a model, perhaps with a scorer behind a colon. One that is no URL is returned as it is; the folder of an
        export is put back where a killed export had moved it.
      cache: local folder.

    Returns:
      For a run in a bucket the local folder of its small files, whose `checkpoints_of` are in the bucket; for an export
      or an encoder there a local copy.

    Raises:
      UserError: there is nothing, or it cannot be read.
    """
    if not remote.is_remote(name):
        restore(Path(name).expanduser())
        return name
    scheme, _, rest = name.partition("://")
    rest, colon, scorer = rest.partition(":")
    url = f"{scheme}://{rest.rstrip('/')}"
    if remote.exists(f"{url}/{CHECKPOINTS}"):
        local = mirror(url, cache / "workdirs" / "read")
        pull(url, local, top=True)
    else:
        local = remote.local_copy(url, cache)
    return f"{local}{colon}{scorer}"


def checkpoints_of(workdir: Path) -> Path | epath.Path:
    """The folder of a run's checkpoints, which for one that is `at_hand` is in a bucket."""
    url = address(workdir.absolute())
    return remote.bucket_path(f"{url}/{CHECKPOINTS}") if url else workdir / CHECKPOINTS
