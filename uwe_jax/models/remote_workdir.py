"""Workdirs in a bucket: small files are mirrored on this machine, checkpoints stay in the bucket.

Orbax, which supports only gs://, reads and writes the checkpoints there. Libraries append to and replace the other
files, a few megabytes, on the local disk.
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
    """Tells a training run's workdir from other folders; an encoder also has a config.json."""
    if (folder / CHECKPOINTS).is_dir():
        return True
    try:
        return "workdir" in read_json(folder / "config.json", "")
    except UserError:
        return False


@dataclass
class RunFolder:
    """Location of a run's files.

    Attributes:
      local: folder of its small files: config.json, metrics.jsonl, summary.json and others.
      checkpoints: folder of its checkpoints, in the bucket if the workdir is in one.
      url: of the workdir; empty for a local one, for which `pull` and `push` do nothing.
    """

    local: Path
    checkpoints: Path | epath.Path
    url: str = ""
    _pushed: dict[Path, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, workdir: str, cache: Path, process: int = 0) -> RunFolder:
        """Locates the files of a workdir, a path or gs://bucket/folder, whose small files are mirrored in `cache`.

        Each `process` on a machine has a folder of its own. Raises UserError for any other kind of URL.
        """
        if not remote.is_remote(workdir):
            return cls(Path(workdir), Path(workdir) / CHECKPOINTS)
        url = workdir.rstrip("/")
        if remote.split_url(url)[0] != "gs":
            raise UserError(
                f"The workdir {workdir} is neither a path nor in a bucket of Google Cloud Storage, the only places "
                "that checkpoints can be written to. Give gs://bucket/folder or a path with --config.workdir=..."
            )
        local = mirror(url, cache / "workdirs" / (f"process-{process}" if process else "first"))
        return cls(local, remote.bucket_path(f"{url}/{CHECKPOINTS}"), url)

    @property
    def lock(self) -> Path:
        """Lock file of a training; for a bucket beside the local folder, which `pull` replaces."""
        return self.local.with_name(f".{self.local.name}.lock") if self.url else self.local / ".lock"

    def pull(self) -> None:
        """Replaces the local files by those of the bucket; a UserError if it cannot be read."""
        if self.url:
            pull(self.url, self.local)
            self._pushed = self._states()

    def push(self) -> None:
        """Uploads files changed since the last pull or push; a UserError if the bucket cannot be written."""
        if not self.url:
            return
        states = self._states()
        changed = [path for path, state in states.items() if self._pushed.get(path) != state]
        remote.upload(self.local, self.url, changed)
        self._pushed = states

    def try_to_push(self) -> None:
        """As `push`, but only logs errors: the next push writes the files again."""
        try:
            self.push()
        except UserError as error:
            LOG.warning(f"Files other than checkpoints are written later: {error}")

    def _states(self) -> dict[Path, tuple[int, int]]:
        """Size and time of every file, without hidden files and folders, which are incomplete."""
        inside = {path: path.relative_to(self.local).parts for path in self.local.rglob("*") if path.is_file()}
        stats = {path: path.stat() for path, parts in inside.items() if not any(p.startswith(".") for p in parts)}
        return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def pull(url: str, local: Path, *, top: bool = False) -> None:
    """Makes a folder's files those of a run in a bucket except its checkpoints, each replaced atomically.

    With `top`, subfolders of the workdir are excluded.
    """
    there = {
        inside: file
        for inside, file in remote.listing(url).items()
        if inside.split("/")[0] not in _IN_THE_BUCKET and not (top and "/" in inside)
    }
    local.mkdir(parents=True, exist_ok=True)
    with replacing(local, patience=math.inf) as other:  # file by file: a run may use the folder
        fetched = other.with_name("fetched")
        remote.fetch(url, [(file, fetched / inside) for inside, file in there.items()])
        for inside in there:
            (local / inside).parent.mkdir(parents=True, exist_ok=True)
            (fetched / inside).replace(local / inside)
    for path in local.rglob("*"):
        if path.is_file() and path.relative_to(local).as_posix() not in there:
            path.unlink()


def make_local(name: str, cache: Path) -> str:
    """Makes the files of a model available on this machine, and returns its name with a path in the local `cache`.

    For a run in a bucket that of its small files, whose `checkpoints_of` are in the bucket; for an export or an encoder
    that of a copy. Names that are not URLs stay, as does a scorer after a colon; an export's folder that a killed
    export had moved is restored. Raises UserError if there is nothing, or it cannot be read.
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
    """Folder of a run's checkpoints, in a bucket if `make_local` gave the workdir of one."""
    url = address(workdir.absolute())
    return remote.bucket_path(f"{url}/{CHECKPOINTS}") if url else workdir / CHECKPOINTS
