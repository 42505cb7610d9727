"""An index as a folder: reading it, and changing it without encoding its targets again.

    space.json                      the manifest: format, origin, dtype, width, segments
    segments/<name>.safetensors     targets; written once, never changed
    space.lock                      held while a process writes
    calibration.json                see `uwe_jax.retrieval.calibration`; not there before `uwe-jax calibrate`

The manifest has `format` ("uwe_jax space"), `version` (2; 1 had no columns; 3 where a target has several names),
`targets` (how many count), `origin`
(model, fingerprint, max_tokens, scorer), `dtype` (float32, bfloat16, float16, int8), `width`, `pooled` (only means are
held), `segments` in the order of the targets, and `sha256` of all this as JSON with sorted keys (absent in the first
versions). A segment has `file`, `targets`, `tokens`, `bytes`, `sha256`, `removed` (positions of removed targets) and
`columns` (names of its further columns).

A segment of n targets with t tokens of width d has the tensors `values` [t, d] in the dtype, `scales` F32 [t] only in
int8 (a component is its value times its token's scale), `offsets` I64 [n + 1] (target k has the rows offsets[k] to
offsets[k + 1] - 1), and the targets' texts and ids as UTF-8: `texts` U8, `text_offsets` I64 [n + 1], `ids` U8,
`id_offsets` I64 [n + 1]. Each further column k, named by the JSON list `columns` of the metadata, has its distinct
values in `column_k` U8 with `column_k_offsets` I64, and each target's value in `column_k_codes` I32 [n]. Any reader of
safetensors opens it. A column that a segment lacks is "" for all its targets.

A target with several names is stored once per name, adjacent, with one id, the label first; `targets` count names. The
column with the empty name has their roles: "" for a label, "alternative", or another role.

A writer adds a segment first and then replaces the manifest atomically: a kill at any moment leaves the old or the new
index. A file that no manifest names any longer is deleted by the next writer, so that a reader with the old manifest
still finds its files; `compact` deletes at once, and readers start over with the new manifest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace as changed
from pathlib import Path

import numpy as np

from uwe_jax.retrieval.calibration import Calibration, calibration_of, read_calibration
from uwe_jax.retrieval.settings import DEFAULT
from uwe_jax.retrieval.store.manifest import Entry, Manifest, read_manifest
from uwe_jax.retrieval.store.quantise import DTYPES
from uwe_jax.retrieval.store.segment import Part, read_segment
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.retrieval.store.writing import SEGMENTS, changing
from uwe_jax.runtime.errors import UserError

# A segment at most this many times as large as the next one is joined with it: an index that grows target by target
# keeps few segments, and every target is copied only a few times.
_JOINED = 2
_AGAIN = "Restore it from a copy, or build the index again."


def load_index(folder: str | Path) -> Index:
    """Opens the index in a folder: verifies all checksums, and memory-maps it.

    Later changes of the folder do not affect an open index.

    Raises:
      UserError: there is no complete index, one of a newer format, or a damaged one or calibration.
    """
    folder = Path(folder).expanduser()
    manifest = read_manifest(folder)
    while True:
        try:
            parts = [_open(folder, manifest, entry) for entry in manifest.segments]
        except PermissionError as error:
            raise UserError(f"{error.filename} cannot be read: permission denied. Ask its owner for access.") from error
        except FileNotFoundError as error:
            # A compaction deletes what the new manifest does not name.
            before, manifest = manifest, read_manifest(folder)
            if manifest == before:
                raise UserError(f"{error.filename} is missing, which {folder} names. {_AGAIN}") from error
        else:
            return Index(
                manifest.origin, manifest.dtype, manifest.width, manifest.pooled, parts, read_calibration(folder)
            )


def calibration_in(folder: str | Path) -> Calibration | None:
    """Reads the calibration of the index in a folder, else takes one that comes with uwe_jax; None without either.

    Raises:
      UserError: as of `load_index`.
    """
    index = load_index(folder)
    return index.calibration or calibration_of(index, index.origin, DEFAULT)[0]


def append(folder: str | Path, space: Index, *, patience: float = 0) -> int:
    """Adds the targets of an index behind those of the one in a folder, in the dtype of the folder.

    Targets whose ids exist are replaced; the new ones are added at the end, too.

    Returns:
      The number of replaced targets.

    Raises:
      UserError: there is no index, it is of another model, or it cannot be written.
      OSError: the disk is full; the index is unchanged.
    """
    with changing(folder, patience=patience) as (writer, manifest):
        _check_same_model(writer.folder, manifest, space)
        there = load_index(writer.folder)
        both = set(there.ids) & set(space.ids)
        entries, parts = _without(manifest, there, both)
        convert = space.dtype != manifest.dtype
        more = [part.in_dtype(manifest.dtype) if convert else part for part in space.parts]
        while parts and len(parts[-1]) <= _JOINED * sum(map(len, more)):
            more.insert(0, parts.pop())
            entries.pop()
        writer.commit(changed(manifest, segments=(*entries, *writer.add(more))))
    return len(both)


def remove(folder: str | Path, ids: Iterable[str]) -> int:
    """Removes targets, and returns their number; unknown ids are ignored. `compact` frees their disk space.

    Raises:
      UserError: there is no index, or it cannot be written.
      OSError: the disk is full; the index is unchanged.
    """
    with changing(folder) as (writer, manifest):
        there = load_index(writer.folder)
        found = ({ids} if isinstance(ids, str) else set(ids)) & set(there.ids)
        if found:
            writer.commit(changed(manifest, segments=tuple(_without(manifest, there, found)[0])))
    return len(found)


def compact(folder: str | Path) -> None:
    """Writes the targets that count into one segment and deletes all others.

    Raises:
      UserError: there is no index, or it cannot be written.
      OSError: the disk, which must have room for both, is full; the index is unchanged.
    """
    with changing(folder) as (writer, manifest):
        if len(manifest.segments) > 1 or any(entry.removed for entry in manifest.segments):
            writer.commit(changed(manifest, segments=writer.add(load_index(writer.folder).parts)))
        writer.tidy()


def verify(folder: str | Path) -> None:
    """Opens an index, which verifies its checksums, and looks for duplicate ids.

    Raises:
      UserError: something is missing or damaged; names the file.
    """
    space = load_index(folder)
    if twice := len(space) - len(set(space.ids)):  # once per target, whatever its names
        raise UserError(f"{folder} has {twice:,} duplicate ids. Build the index again.")


def _open(folder: Path, manifest: Manifest, entry: Entry) -> Part:
    path = folder / SEGMENTS / entry.file
    size = path.stat().st_size
    if size != entry.bytes:
        raise UserError(f"{path} is damaged: it has {size:,} bytes, expected {entry.bytes:,}. {_AGAIN}")
    segment = read_segment(path, entry.sha256)
    sizes = {len(segment), len(segment.texts), len(segment.ids)}
    expected = (entry.tokens, manifest.width), DTYPES[manifest.dtype]
    if sizes != {entry.targets} or (segment.values.shape, segment.values.dtype) != expected:
        raise UserError(
            f"{path} holds {len(segment):,} targets and {segment.values.dtype} embeddings {segment.values.shape}; "
            f"expected {entry.targets:,} and {manifest.dtype} {expected[0]}. {_AGAIN}"
        )
    return Part(segment, np.delete(np.arange(entry.targets), entry.removed) if entry.removed else None)


def _without(manifest: Manifest, space: Index, ids: set[str]) -> tuple[list[Entry], list[Part]]:
    """Returns the entries and parts that remain without some targets; an empty segment is dropped."""
    entries, parts = [], []
    for entry, part in zip(manifest.segments, space.parts, strict=True):
        left = part.without(ids)
        if not len(left):
            continue
        if left.kept is not None:
            gone = np.setdiff1d(np.arange(entry.targets), left.kept)
            entry = changed(entry, removed=tuple(gone.tolist()))
        entries.append(entry)
        parts.append(left)
    return entries, parts


def _check_same_model(folder: Path, manifest: Manifest, space: Index) -> None:
    """Raises UserError unless the targets of an index can be added to a folder."""
    there, more = manifest.origin, space.origin
    if there.fingerprint != more.fingerprint:
        found = f"was encoded by {there.model} ({there.fingerprint}), and the targets to add by {more.model} "
        found += f"({more.fingerprint})"
    elif there.max_tokens != more.max_tokens:
        found = f"holds texts of up to {there.max_tokens} tokens, and those to add have up to {more.max_tokens}"
    elif manifest.pooled != space.pooled:
        found = f"was built for the scorer {there.scorer.kind}, and the targets to add for {more.scorer.kind}"
    else:
        return
    raise UserError(f"{folder} {found}. Encode them as the others were, or build another index.")
