"""A target space as a folder: reading it, and changing it without encoding its targets again.

    space.json                      the manifest: format, origin, dtype, width, segments
    segments/<name>.safetensors     targets; written once, never changed
    space.lock                      held by who writes

The manifest has `format` ("uwe_jax space"), `version` (2; 1 had no columns), `targets` (how many count), `origin`
(model, fingerprint, max_tokens, scorer), `dtype` (float32, bfloat16, float16, int8), `width`, `pooled` (only means are
held), `segments`, in the order of the targets: `file`, `targets`, `tokens`, `bytes`, `sha256`, `removed`, the positions
of those of its targets that count no longer, and `columns`, the names of its further columns; and `sha256` of all this
as JSON with sorted keys, which the first versions left out.

A segment of n targets with t tokens of width d has the tensors `values` [t, d] in the dtype, `scales` F32 [t] in int8
alone (a component is its value times its token's scale), `offsets` I64 [n + 1] (target k has the rows offsets[k] to
offsets[k + 1] - 1), and the targets' texts and ids as UTF-8: `texts` U8, `text_offsets` I64 [n + 1], `ids` U8,
`id_offsets` I64 [n + 1]. For each further column k, whose names the metadata `columns` lists as JSON, it has the
distinct values `column_k` U8 with `column_k_offsets` I64, and `column_k_codes` I32 [n], which of them each target has.
Any reader of safetensors opens it. A target whose segment lacks a column has "" in it.

Who writes adds a segment first and replaces the manifest then, in one step: a kill at any moment leaves the space as it
was or as it shall be. A file that no manifest names any longer is deleted by the next who writes, so that a reader who
has the old manifest finds its files; `compact` deletes at once, and readers start over with the new manifest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace as changed
from pathlib import Path

import numpy as np

from uwe_jax.retrieval.store.manifest import Entry, Manifest, read_manifest
from uwe_jax.retrieval.store.quantise import DTYPES
from uwe_jax.retrieval.store.segment import Part
from uwe_jax.retrieval.store.segment_file import read_segment
from uwe_jax.retrieval.store.stored_targets import Space, check_new, id_set
from uwe_jax.retrieval.store.writing import SEGMENTS, changing
from uwe_jax.runtime.errors import UserError

# A segment that is at most so many times the one behind it is joined with it: so a space that grew target by target has
# few segments, and every target was copied a few times.
_JOINED = 2


def load_space(folder: str | Path) -> Space:
    """Opens the space in a folder: compares all of it with its checksums, and memory-maps it.

    Later changes of the folder do not change what was opened.

    Raises:
      UserError: there is no finished space, one of a newer format, or a damaged one.
    """
    folder = Path(folder).expanduser()
    manifest = read_manifest(folder)
    while True:
        try:
            parts = [_open(folder, manifest, entry) for entry in manifest.segments]
        except PermissionError as error:
            raise UserError(
                f"{error.filename} may not be read by you. Ask its owner for the right to read it."
            ) from error
        except FileNotFoundError as error:
            # Who compacts deletes what the new manifest does not name.
            before, manifest = manifest, read_manifest(folder)
            if manifest == before:
                raise UserError(
                    f"{error.filename} is missing, which {folder} names. Restore it from a copy, or build the space "
                    "again."
                ) from error
        else:
            return Space(manifest.origin, manifest.dtype, manifest.width, manifest.pooled, parts)


def append(folder: str | Path, space: Space, *, replace: bool = False, patience: float = 0) -> int:
    """Adds the targets of a space to the one in a folder, in the dtype of the folder, behind those that are there.

    Args:
      folder: of a space.
      space: by the same model.
      replace: a target whose id is there already takes its place; it stands behind the others, too.
      patience: as of `changing`.

    Returns:
      How many targets were replaced.

    Raises:
      UserError: there is no space, it is of another model, some ids are there already, or it cannot be written.
      OSError: the disk is full; the space is as it was.
    """
    with changing(folder, patience=patience) as (writer, manifest):
        _check_same_model(writer.folder, manifest, space)
        there = load_space(writer.folder)
        both = check_new(there.ids, space.ids, replace=replace)
        entries, parts = _without(manifest, there, both)
        more = [part.in_dtype(manifest.dtype, space.dtype) for part in space.parts if len(part)]
        while parts and len(parts[-1]) <= _JOINED * sum(map(len, more)):
            more.insert(0, parts.pop())
            entries.pop()
        if more:
            entries.append(writer.add(more))
        writer.commit(changed(manifest, segments=tuple(entries)))
    return len(both)


def remove(folder: str | Path, ids: Iterable[str]) -> int:
    """Removes targets; those that are not there are passed over. `compact` frees their room.

    Returns:
      How many were removed.

    Raises:
      UserError: there is no space, or it cannot be written.
      OSError: the disk is full; the space is as it was.
    """
    with changing(folder) as (writer, manifest):
        there = load_space(writer.folder)
        found = id_set(ids) & set(there.ids)
        if found:
            entries, _ = _without(manifest, there, found)
            writer.commit(changed(manifest, segments=tuple(entries)))
    return len(found)


def compact(folder: str | Path) -> None:
    """Writes the targets that count into one segment and frees the room of all others.

    Raises:
      UserError: there is no space, or it cannot be written.
      OSError: the disk, which needs room for both, is full; the space is as it was.
    """
    with changing(folder) as (writer, manifest):
        if len(manifest.segments) > 1 or any(entry.removed for entry in manifest.segments):
            parts = load_space(writer.folder).parts
            entries = (writer.add(parts),) if parts else ()
            writer.commit(changed(manifest, segments=entries))
        writer.tidy()


def verify(folder: str | Path) -> None:
    """Opens a space, which compares it with its checksums, and looks for ids that stand twice.

    Raises:
      UserError: something is missing or damaged; names the file.
    """
    space = load_space(folder)
    if twice := len(space) - len(set(space.ids)):
        raise UserError(f"{folder} names {twice:,} ids twice. Build the space again.")


def _open(folder: Path, manifest: Manifest, entry: Entry) -> Part:
    """The targets of a segment that count."""
    path = folder / SEGMENTS / entry.file
    size = path.stat().st_size
    if size != entry.bytes:
        raise UserError(
            f"{path} has {size:,} bytes, and {entry.bytes:,} were written: it is damaged. Restore it from a copy, or "
            "build the space again."
        )
    segment = read_segment(path, entry.sha256)
    sizes = {len(segment), len(segment.texts), len(segment.ids)}
    expected = (entry.tokens, manifest.width), DTYPES[manifest.dtype]
    if sizes != {entry.targets} or (segment.values.shape, segment.values.dtype) != expected:
        raise UserError(
            f"{path} holds {len(segment):,} targets and {segment.values.dtype} embeddings {segment.values.shape}; "
            f"expected {entry.targets:,} and {manifest.dtype} {expected[0]}. Restore it from a copy, or build the "
            "space again."
        )
    if not entry.removed:
        return Part(segment)
    stays = np.ones(entry.targets, bool)
    stays[list(entry.removed)] = False
    return Part(segment, np.flatnonzero(stays))


def _without(manifest: Manifest, space: Space, ids: set[str]) -> tuple[list[Entry], list[Part]]:
    """Entries and parts after some targets were removed; a segment of which none is left is dropped."""
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


def _check_same_model(folder: Path, manifest: Manifest, space: Space) -> None:
    """Raises UserError unless the targets of a space can stand among those of a folder."""
    there, more = manifest.origin, space.origin
    if there.fingerprint != more.fingerprint:
        found = f"was made by {there.model} ({there.fingerprint}), and the targets to add by {more.model} "
        found += f"({more.fingerprint})"
    elif there.max_tokens != more.max_tokens:
        found = f"holds texts of up to {there.max_tokens} tokens, and those to add have up to {more.max_tokens}"
    elif manifest.width != space.width:
        found = f"has embeddings of width {manifest.width}, and the targets to add of width {space.width}"
    elif manifest.pooled != space.pooled:
        found = f"was made for the scorer {there.scorer.kind}, and the targets to add for {more.scorer.kind}"
    else:
        return
    raise UserError(f"{folder} {found}. Encode them as the others were, or build another space.")
