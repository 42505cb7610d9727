"""Manifest of an index folder: its segments, and which of their targets were removed."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uwe_jax.retrieval.store.columns import ROLE
from uwe_jax.retrieval.store.quantise import check_dtype
from uwe_jax.retrieval.store.searchable import Origin
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import near_on_disk, write_atomically
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.printable import json_text
from uwe_jax.runtime.settings import from_mapping, within

MANIFEST = "space.json"
FORMAT = "uwe_jax space"
VERSION = 3  # targets with several names; without them version 2 is written, whose segments have further columns
_MOST_BYTES = 1 << 28  # ten million removed targets; Python takes ten times as much memory to read it
_AGAIN = "Restore it from a copy, or build the index in a new folder."


@dataclass(frozen=True)
class Entry:
    """One segment.

    Attributes:
      file: its name in the folder of segments.
      targets: number of targets, removed ones included; a target counts once per name.
      tokens: number of tokens, those of removed targets included.
      bytes: of the file.
      sha256: of the file.
      removed: positions of its targets that were removed, ascending.
      columns: names of its further columns, with "" for that of roles.
    """

    file: str
    targets: int
    tokens: int
    bytes: int
    sha256: str
    removed: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("targets", "tokens", "bytes"):
            within(name, getattr(self, name), 0)
        if self.file in ("", ".", "..") or Path(self.file).name != self.file:
            raise UserError(f"file is {self.file!r}; it must be the name of a file.")
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise UserError(f"sha256 is {self.sha256!r}; it must be 64 hexadecimal digits.")
        if any(one >= other for one, other in itertools.pairwise((-1, *self.removed, self.targets))):
            raise UserError(f"the removed of {self.file} do not ascend from 0 to {self.targets - 1}.")


@dataclass(frozen=True)
class Manifest:
    """An index; the attributes are those of `Index`, with an entry per segment, in the order of the targets."""

    origin: Origin
    dtype: str
    width: int
    pooled: bool
    segments: tuple[Entry, ...]

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        within("width", self.width, 1)

    @property
    def names(self) -> int:
        """The number of names that are not removed: of targets where each has one."""
        return sum(entry.targets - len(entry.removed) for entry in self.segments)


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of an index; raises UserError if the index is incomplete, damaged or of a newer format."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.{near_on_disk(folder)} Give the folder of an index.")
    try:
        content = read_json(path, _AGAIN, most_bytes=_MOST_BYTES)
    except UserError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise UserError(
            f"{folder} holds no {MANIFEST}: it is not an index, or building it was interrupted. Give another folder, "
            "or build the index again."
        ) from error
    try:
        if content.get("format") != FORMAT:
            raise UserError(f"its format is {content.get('format')!r}, not {FORMAT!r}")
        version = content.get("version")
        if not isinstance(version, int):
            raise UserError(f"its version is {version!r}, not a number")
        if version <= VERSION:
            # Indexes of the first versions have no checksum of their manifest, and none of version 1 has columns.
            written, found = content.pop("sha256", None), _digest(content)
            if written not in (None, found):
                raise UserError(f"its sha256 is {found[:12]}..., expected {str(written)[:12]}...")
            stated = ("format", "version", "targets")
            return from_mapping(Manifest, {name: value for name, value in content.items() if name not in stated})
    except (UserError, TypeError) as error:
        raise UserError(f"{path} is not the manifest of an index, or damaged: {error} {_AGAIN}") from error
    raise UserError(
        f"{folder} is an index of format {version}, and this uwe_jax reads formats up to {VERSION}. Install a newer "
        "uwe_jax, or build the index in a new folder."
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replaces the manifest atomically; raises UserError if removed targets make it too large to be read."""
    version = VERSION if any(ROLE in entry.columns for entry in manifest.segments) else VERSION - 1
    content = {"format": FORMAT, "version": version, "targets": manifest.names, **asdict(manifest)}
    text = json_text({**content, "sha256": _digest(content)}, indent=2) + "\n"
    if len(text) > _MOST_BYTES:
        raise UserError(
            f"The manifest of {folder} would have {len(text):,} bytes; at most {_MOST_BYTES:,} can be read. Free the "
            "space of targets removed earlier (--compact), then remove these."
        )
    write_atomically(folder / MANIFEST, text.encode())


def _digest(content: Mapping[str, Any]) -> str:
    """Returns the sha256 of the manifest's content, independent of its layout."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
