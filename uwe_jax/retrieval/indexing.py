"""Building a target space on disk, and changing it."""

from __future__ import annotations

import logging
import shlex
import time
from pathlib import Path

from uwe_jax.retrieval.cached_index import log_targets
from uwe_jax.retrieval.options import IndexOptions
from uwe_jax.retrieval.qdrant.location import in_qdrant, put_space
from uwe_jax.retrieval.ranker import Ranker, load
from uwe_jax.retrieval.recorded import record, recorded
from uwe_jax.retrieval.store.folder import append, compact, load_space, remove, verify
from uwe_jax.retrieval.store.manifest import read_manifest
from uwe_jax.retrieval.store.writing import LONG_PATIENCE, changing, creating
from uwe_jax.retrieval.texts_in import Targets, read_ids, read_targets
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import duration, report
from uwe_jax.scoring.scorer_text import scorer_text

LOG = logging.getLogger(__name__)


def index(options: IndexOptions) -> None:
    """Builds or changes the space, and shows what it is then.

    Raises:
      UserError: for anything that the user can fix.
    """
    if options.upload and not in_qdrant(options.upload):
        raise UserError(f"--upload {options.upload} is no place in Qdrant. Write qdrant:STORE#NAME.")
    if options.targets is not None:
        _build(options, options.targets)
    # All files are read before the first of them changes anything.
    gone = [each for path in options.remove for each in read_ids(path, options.id_column)]
    more = [_read(options, path) for path in options.add]
    if gone:
        count = remove(options.folder, gone)
        LOG.info(f"Removed {count:,} targets; {len(set(gone)) - count:,} of the ids were not there.")
    for targets in more:
        _add(options, targets)
    if options.compact:
        compact(options.folder)
    if options.verify:
        verify(options.folder)
        LOG.info(f"{options.folder} is whole: every file is as it was written.")
    if options.upload:
        put_space(options.upload, load_space(options.folder), replace=True)
        LOG.info(f"Uploaded to {options.upload}.")
    report(described(options.folder))


def described(folder: Path) -> str:
    """What a space is, in lines for a person.

    Raises:
      UserError: there is no space in the folder.
    """
    manifest, note = read_manifest(folder), recorded(folder)
    origin, segments = manifest.origin, manifest.segments
    held, gone = sum(each.targets for each in segments), sum(len(each.removed) for each in segments)
    tokens, size = sum(each.tokens for each in segments), sum(each.bytes for each in segments)
    means = ", one mean a target" if manifest.pooled else ""
    lines = {
        "space": str(folder),
        "model": f"{origin.model}, fingerprint {origin.fingerprint}",
        "loaded from": note.model or "not known: name it with --model",
        "scorer": f"{scorer_text(origin.scorer)}, {origin.max_tokens} tokens a text at most",
        "targets": f"{held - gone:,}" + (f", and {gone:,} removed that --compact frees" if gone else ""),
        "columns": ", ".join(dict.fromkeys(name for each in segments for name in each.columns))
        or "none but text and id",
        "read from": "; ".join(note.targets) or "not known",
        "tokens": f"{tokens:,} of width {manifest.width}{means}",
        "stored as": f"{manifest.dtype}, {size / 1e6:,.1f} MB in {len(segments)} segments",
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def _read(options: IndexOptions, path: Path) -> Targets:
    return read_targets(
        path,
        kind=options.kind,
        column=options.column,
        id_column=options.id_column,
        language=options.language,
        version=options.version,
        keep=options.keep,
    )


def _build(options: IndexOptions, path: Path) -> None:
    started = time.perf_counter()
    if not options.model:
        raise UserError("Command line: no --model. Name the model that is to encode the targets.")
    targets = _read(options, path)
    log_targets(targets)
    with creating(options.folder):  # before minutes of encoding that would end there
        pass
    ranker = load(options.model, cache_dir=options.cache_dir, max_tokens=options.max_tokens)
    _tell_truncated(ranker, targets)
    space = ranker.encode_targets(targets.texts, targets.ids, dtype=options.dtype, columns=targets.columns)
    space.save(options.folder, patience=LONG_PATIENCE)
    record(options.folder, options.model, (targets.origin,))
    out = shlex.quote(str(options.folder))
    cache = f" --cache-dir {shlex.quote(options.cache)}" if options.cache else ""
    LOG.info(
        f'Built in {duration(time.perf_counter() - started)}.\nNext:\nuwe-jax rank --index {out} "head chef"{cache}'
    )


def _add(options: IndexOptions, targets: Targets) -> None:
    with changing(options.folder):  # likewise
        there = load_space(options.folder)
    targets = targets.unlike(there)
    log_targets(targets)
    if not len(targets):
        return
    model = options.model or recorded(options.folder).model
    if not model:
        raise UserError(
            f"{options.folder} does not say where its model, {there.origin.model}, was loaded from. "
            "Name it with --model."
        )
    ranker = load(model, cache_dir=options.cache_dir, max_tokens=there.origin.max_tokens)
    ranker.check(there)  # before it encodes
    _tell_truncated(ranker, targets)
    space = ranker.encode_targets(targets.texts, targets.ids, dtype=there.dtype, columns=targets.columns)
    replaced = append(options.folder, space, replace=True, patience=LONG_PATIENCE)
    with changing(options.folder, patience=LONG_PATIENCE):  # another process may have added, too, meanwhile
        record(options.folder, model, (*recorded(options.folder).targets, targets.origin))
    LOG.info(f"Added {len(targets) - replaced:,} targets, and replaced {replaced:,}.")


def _tell_truncated(ranker: Ranker, targets: Targets) -> None:
    for note in ranker.loaded.truncation(targets.texts).notes("targets"):
        LOG.warning(f"{note}. Targets that are equal up to there have equal scores; --max_tokens sets another limit.")
