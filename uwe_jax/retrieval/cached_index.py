"""Indexes of targets that are ranked without building an index first, kept in the cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.recorded import record
from uwe_jax.retrieval.store.folder import load_space
from uwe_jax.retrieval.store.stored_targets import Space
from uwe_jax.retrieval.store.writing import LONG_PATIENCE
from uwe_jax.retrieval.texts_in import Targets
from uwe_jax.runtime.errors import UserError

LOG = logging.getLogger(__name__)


def cached_index(ranker: Ranker, model: str, targets: Targets, cache_dir: Path) -> Space:
    """Opens the index of these targets by this model in the cache folder; encodes them where there is none.

    Args:
      ranker: encodes.
      model: its name, as of `uwe_jax.load`.
      targets: texts, ids and columns; any other text, id, column or model is another index.
      cache_dir: the index goes into a folder `indexes` in it.

    Raises:
      UserError: a text is refused, or the folder cannot be written.
    """
    origin = ranker.origin
    key = json.dumps(
        [origin.fingerprint, origin.max_tokens, str(origin.scorer), targets.texts, targets.ids, targets.columns]
    )
    folder = cache_dir / "indexes" / hashlib.sha256(key.encode()).hexdigest()[:16]
    log_targets(targets)
    try:
        return load_space(folder)
    except UserError:  # there is none, or it is damaged
        index = ranker.encode_targets(targets.texts, targets.ids, columns=targets.columns)
        index.save(folder, patience=LONG_PATIENCE)
        record(folder, model, (targets.origin,))
        LOG.info(f"Encoded {len(targets):,} targets. Their index is kept in {folder} for the next call.")
        return index


def log_targets(targets: Targets) -> None:
    """Logs where targets were read from, and what is notable about them."""
    told = "; ".join((f"{targets.origin}: {len(targets):,} targets", *targets.notes))
    LOG.log(logging.INFO if targets.notes else logging.DEBUG, told)
