"""Loading of the model and the indexes of a service."""

from __future__ import annotations

import copy
import logging
import time
from dataclasses import replace
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.tasks import ServedModel

LOG = logging.getLogger(__name__)


def load_served(options: ServiceOptions) -> ServedModel:
    """Loads and warms up the model and its indexes.

    Raises:
      UserError: one of them is missing, cannot be read or does not match the others.
    """
    # Imported here: they import jax, and the service reports that it is alive meanwhile.
    from uwe_jax.retrieval.qdrant.location import open_index
    from uwe_jax.retrieval.ranker import load
    from uwe_jax.retrieval.recorded import recorded_model

    start = time.monotonic()
    indexes = {name: _in_memory(open_index(where)) for name, where in options.indexes.items()}
    longest = max(index.origin.max_tokens for index in indexes.values())
    model = options.model or recorded_model([*options.indexes.values()][:1])
    ranker = load(model, cache_dir=cache_folder(options.cache_dir), max_tokens=longest)
    LOG.info("Model %s: %s", ranker.name, ranker.loaded.description)
    for name, where in options.indexes.items():
        if not len(indexes[name]):
            raise UserError(f"The index {name} ({where}) is empty. Add targets to it, or leave it out.")
        ranker.check(indexes[name], place=where)
        LOG.info("Index %s: %s targets of %s", name, f"{len(indexes[name]):,}", where)
    served = ServedModel(ranker, indexes)
    served.warm_up(options.limits.max_batch)
    LOG.info("Ready after %.1f s", time.monotonic() - start)
    return served


def _in_memory(index: Any) -> Any:
    """Copies texts, ids and columns of a memory-mapped index; its embeddings are on the devices after a first search.

    Reading from a mapped file that was truncated since, for example by a copy over it, kills the process (SIGBUS).
    """
    from uwe_jax.retrieval.store.segment import Part
    from uwe_jax.retrieval.store.stored_targets import Index

    if not isinstance(index, Index):
        return index
    parts = []
    for part in index.parts:
        copies = {name: copy.deepcopy(getattr(part.segment, name)) for name in ("texts", "ids", "columns")}
        parts.append(Part(replace(part.segment, **copies), part.kept))
    return Index(index.origin, index.dtype, index.width, index.pooled, parts)
