"""Builds and changes indexes on disk, those in the cache folder included."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from pathlib import Path

from uwe_jax.models.loading import DEFAULT_MODEL
from uwe_jax.retrieval.calibration import calibration_of, read_calibration, shipped
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.location import SCHEME, in_qdrant, record, recorded
from uwe_jax.retrieval.options import IndexOptions
from uwe_jax.retrieval.qdrant.qdrant_space import QdrantIndex
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.settings import DEFAULT
from uwe_jax.retrieval.store.columns import ROLE
from uwe_jax.retrieval.store.folder import append, compact, load_index, remove, verify
from uwe_jax.retrieval.store.manifest import MANIFEST, read_manifest
from uwe_jax.retrieval.store.searchable import Origin
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.retrieval.store.writing import LONG_PATIENCE, changing, creating
from uwe_jax.retrieval.table_targets import read_ids
from uwe_jax.retrieval.targets import Targets
from uwe_jax.retrieval.texts_in import read_targets
from uwe_jax.runtime.command import rank_command
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import counted, data_size, duration, report
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.sources.tables.problems import shorten

LOG = logging.getLogger(__name__)


def index(options: IndexOptions) -> None:
    """Builds or changes an index, and describes the result. Raises UserError: for anything that the user can fix."""
    place = in_qdrant(options.upload)
    if options.upload and not place:
        raise UserError(f"--upload {options.upload} is not a location in Qdrant. Write qdrant:STORE#NAME.")
    if str(options.folder).startswith(SCHEME):
        raise UserError(
            f"--out {options.folder} is a location in Qdrant. Name a folder to build the index in, and give the "
            "location to --upload."
        )
    if options.targets is not None:
        _build(options, options.targets)
    # All files are read before the first of them changes anything.
    gone = [each for path in options.remove for each in read_ids(path, options.id_column)]
    more = [_read(options, path) for path in options.add]
    if gone:
        count = remove(options.folder, gone)
        LOG.info(f"Removed {counted(count, 'target')}; {len(set(gone)) - count:,} of the ids were not there.")
    for targets in more:
        _add(options, targets)
    if options.compact:
        compact(options.folder)
    if options.verify:
        verify(options.folder)
        LOG.info(f"{options.folder} is intact: all checksums match.")
    if place:
        QdrantIndex.create(*place, load_index(options.folder)).close()
        LOG.info(f"Uploaded to {options.upload}.")
    report(described(options.folder))
    if options.targets is not None:
        LOG.info(
            f"Next:\n{rank_command(options.folder, next(iter(load_index(options.folder).texts), ''), options.cache)}"
        )


def cached_index(ranker: Ranker, model: str, targets: Targets, cache_dir: Path) -> Index:
    """Opens the index of targets in the cache folder, or encodes them; any other model, text, id or column is another.

    Raises:
      UserError: a text is refused, or the folder cannot be written.
    """
    origin = ranker.origin
    content = [origin.fingerprint, origin.max_tokens, str(origin.scorer), targets.texts, targets.ids, targets.columns]
    key = json.dumps([*content, *([targets.names] if targets.names else [])])
    folder = cache_dir / "indexes" / hashlib.sha256(key.encode()).hexdigest()[:16]
    _log_targets(targets)
    try:
        return load_index(folder)
    except UserError:  # there is none, or it is damaged
        if (folder / MANIFEST).exists():  # a folder whose manifest cannot be read would not be replaced
            shutil.rmtree(folder)
        space = _write(ranker, model, targets, folder)
        LOG.info(f"Encoded {counted(len(targets), 'target')}. Their index is kept in {folder} for the next call.")
        return space


def described(folder: Path) -> str:
    """Describes an index in lines for a person. Raises UserError: there is no index in the folder."""
    manifest, note = read_manifest(folder), recorded(folder)
    origin, segments = manifest.origin, manifest.segments
    gone = sum(len(each.removed) for each in segments)
    # The manifest counts names.
    named = load_index(folder) if any(ROLE in each.columns for each in segments) else None
    count = f"{manifest.names:,}" if named is None else f"{len(named):,} with {len(named.names):,} names"
    freed = f", and {gone:,} removed that --compact frees" if gone else ""
    tokens, size = sum(each.tokens for each in segments), sum(each.bytes for each in segments)
    means = ", one mean per target" if manifest.pooled else ""
    columns = dict.fromkeys(name for each in segments for name in each.columns)
    lines = {
        "index": str(folder),
        "model": f"{origin.model}, fingerprint {origin.fingerprint}",
        "loaded from": note.model or "unknown: name it with --model",
        "scorer": f"{scorer_text(origin.scorer)}, at most {origin.max_tokens} tokens per text",
        "targets": count + freed,
        "columns": ", ".join(filter(None, columns)) or "only text and id",
        "read from": "; ".join(note.targets) or "unknown",
        "tokens": f"{tokens:,} of width {manifest.width}{means}",
        "stored as": f"{manifest.dtype}, {data_size(size)} in {counted(len(segments), 'segment')}",
        "probabilities": _probabilities(folder, origin),
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def _probabilities(folder: Path, origin: Origin) -> str:
    """Describes the calibration of an index, its own or one that comes with uwe_jax."""
    if own := read_calibration(folder):
        return f"calibrated {own}"
    known = any(each.subject.fingerprint == origin.fingerprint for each in shipped())  # else nothing is loaded
    held = calibration_of(load_index(folder), origin, DEFAULT)[0] if known else None
    return f"by the calibration that comes with uwe_jax, {held}" if held else "none: fit them with `uwe-jax calibrate`"


def _log_targets(targets: Targets) -> None:
    """Logs the source of targets, their number, and what was left out."""
    names = f" with {len(targets.all_names):,} names" if targets.names else ""
    message = "; ".join((f"{targets.origin}: {counted(len(targets), 'target')}{names}", *targets.notes))
    LOG.log(logging.INFO if names or targets.notes else logging.DEBUG, message)


def _read(options: IndexOptions, path: Path) -> Targets:
    names = ("kind", "column", "id_column", "language", "version", "keep", "names", "descriptions", "target_names")
    return read_targets(path, **{name: getattr(options, name) for name in names})


def _build(options: IndexOptions, path: Path) -> None:
    started = time.perf_counter()
    model = options.model or DEFAULT_MODEL
    targets = _read(options, path)
    _log_targets(targets)
    with creating(options.folder):  # fails before minutes of encoding
        pass
    if (options.folder / MANIFEST).exists():
        names = read_manifest(options.folder).names
        LOG.info(f"{options.folder} holds an index of {counted(names, 'text')}, which this one replaces.")
    ranker = load(model, cache_dir=options.cache_dir, max_tokens=options.max_tokens)
    _write(ranker, model, targets, options.folder, options.dtype)
    LOG.info(f"Built in {duration(time.perf_counter() - started)}.")


def _add(options: IndexOptions, targets: Targets) -> None:
    with changing(options.folder):  # likewise
        there = load_index(options.folder)
    targets = targets.unlike(there)
    _log_targets(targets)
    if not len(targets):
        return
    if lost := _lost_names(targets, there):
        LOG.warning(
            f"{targets.origin}: the targets that are replaced lose {counted(len(lost), 'further name')}, such as "
            f"{shorten(lost[0])}. To keep them, add these targets again with all their names (--names, --descriptions)."
        )
    model = options.model or recorded(options.folder).model
    if not model:
        raise UserError(
            f"{options.folder} does not say where its model, {there.origin.model}, was loaded from. "
            "Name it with --model."
        )
    ranker = load(model, cache_dir=options.cache_dir, max_tokens=there.origin.max_tokens)
    ranker.check(there)  # before it encodes
    space = _encode(ranker, targets, there.dtype)
    replaced = append(options.folder, space, patience=LONG_PATIENCE)
    with changing(options.folder, patience=LONG_PATIENCE):  # another process may have added targets meanwhile
        record(options.folder, model, (*recorded(options.folder).targets, targets.origin))
    LOG.info(f"Added {counted(len(targets) - replaced, 'target')}, and replaced {replaced:,}.")


def _lost_names(targets: Targets, there: Index) -> list[str]:
    """Returns the further names that targets have in an index and not among the new ones that replace them."""
    named = targets.names or ((),) * len(targets)
    new = dict(zip(targets.ids, zip(targets.texts, named, strict=True), strict=True))
    lost = []
    for at in (at for at, id in enumerate(there.ids) if id in new):
        text, further = new[there.ids[at]]
        kept = {each.casefold() for each in (text, *(name.text for name in further))}
        lost += [name.text for name in there.names_of(at)[1:] if name.text.casefold() not in kept]
    return lost


def _write(ranker: Ranker, model: str, targets: Targets, folder: Path, dtype: str = "float16") -> Index:
    space = _encode(ranker, targets, dtype)
    space.save(folder, patience=LONG_PATIENCE)
    record(folder, model, (targets.origin,))
    return space


def _encode(ranker: Ranker, targets: Targets, dtype: str) -> Index:
    truncation, what = ranker.truncation(targets.all_names), "name" if targets.names else "target"
    for note in truncation.notes(what):
        LOG.warning(f"{note}. Targets with equal beginnings have equal scores; --max-tokens sets another limit.")
    for note in truncation.unknown_notes(what):
        LOG.warning(note)
    return ranker.encode_targets(targets.texts, targets.ids, dtype=dtype, columns=targets.columns, names=targets.names)
