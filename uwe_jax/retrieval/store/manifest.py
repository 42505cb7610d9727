"""The manifest of a space's folder: what its segments are, and which of their targets were removed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uwe_jax.config import ScorerSettings
from uwe_jax.retrieval.store.quantise import check_dtype
from uwe_jax.retrieval.store.searchable import Origin
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.settings import from_mapping

MANIFEST = "space.json"
FORMAT = "uwe_jax space"
VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One segment.

    Attributes:
      file: its name in the folder of segments.
      targets: that it holds, the removed ones included.
      tokens: that it holds.
      bytes: of the file.
      sha256: of the file.
      removed: positions of its targets that were removed, ascending.
    """

    file: str
    targets: int
    tokens: int
    bytes: int
    sha256: str
    removed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A space; the attributes are those of `Space`, with an entry for every segment, in the order of the targets."""

    origin: Origin
    dtype: str
    width: int
    pooled: bool
    segments: tuple[Entry, ...]


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a space.

    Raises:
      UserError: the folder holds no finished space, one of a newer format, or a damaged one.
    """
    path = folder / MANIFEST
    try:
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}. Give the folder of a space, or build one.")
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {FORMAT!r}")
        if content["version"] > VERSION:
            raise UserError(
                f"{folder} is a space of format {content['version']}, and this uwe_jax reads formats up to {VERSION}. "
                "Install a newer uwe_jax, or build the space in a new folder."
            )
        return _manifest(content)
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} holds no {MANIFEST}, so it is not a space, or building it was interrupted. Give another folder, "
            "or build the space again."
        ) from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read by you. Ask its owner for the right to read it.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not the manifest of a space ({type(error).__name__}: {error}). Restore it from a copy, or "
            "build the space in a new folder."
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replaces the manifest in one step."""
    content = asdict(manifest)
    targets = sum(entry.targets - len(entry.removed) for entry in manifest.segments)
    write_json(folder / MANIFEST, {"format": FORMAT, "version": VERSION, "targets": targets, **content})


def _manifest(content: dict[str, Any]) -> Manifest:
    origin = dict(content["origin"])
    scorer = from_mapping(ScorerSettings, origin.pop("scorer"), "origin.scorer.")
    check_dtype(content["dtype"])
    return Manifest(
        Origin(**origin, scorer=scorer),
        content["dtype"],
        int(content["width"]),
        bool(content["pooled"]),
        tuple(_entry(each) for each in content["segments"]),
    )


def _entry(content: dict[str, Any]) -> Entry:
    entry = Entry(**{**content, "removed": tuple(content["removed"])})
    if Path(entry.file).name != entry.file:
        raise ValueError(f"the segment {entry.file!r} is not a name")
    if entry.removed and not 0 <= min(entry.removed) <= max(entry.removed) < entry.targets:
        raise ValueError(f"{entry.file} has {entry.targets} targets, and one beyond them was removed")
    return entry
