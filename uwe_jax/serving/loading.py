"""Loading of the model and the indexes of a service."""

from __future__ import annotations

import logging
import pickle
import time
from dataclasses import replace
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.tasks import ServedModel

LOG = logging.getLogger(__name__)


def load_served(options: ServiceOptions) -> ServedModel:
    """Loads and warms up the model and its indexes.

    Raises:
      UserError: one of them is missing, cannot be read or does not match the others.
    """
    # Imported here: they import jax, and the service reports that it is alive meanwhile.
    from uwe_jax.retrieval.location import open_index, recorded_model
    from uwe_jax.retrieval.ranker import load

    start = time.monotonic()
    spaces = {name: _in_memory(open_index(where)) for name, where in options.spaces}
    longest = max(space.origin.max_tokens for space in spaces.values())
    model = options.model or recorded_model([options.spaces[0][1]])
    ranker = load(model, cache_dir=options.cache_dir, max_tokens=longest)
    LOG.info("Model %s: %s", ranker.name, ranker.loaded.description)
    for name, where in options.spaces:
        if not len(spaces[name]):
            raise UserError(f"The index {name} ({where}) is empty. Add targets to it, or leave it out.")
        ranker.check(spaces[name], place=where)
        LOG.info("Index %s: %s targets of %s", name, f"{len(spaces[name]):,}", where)
    served = ServedModel(ranker, spaces)
    served.warm_up(options.limits.max_batch)
    LOG.info("Ready after %.1f s", time.monotonic() - start)
    return served


def _in_memory(space: Any) -> Any:
    """Copies texts, ids and columns of a memory-mapped index; its embeddings are on the devices after a first search.

    Reading from a mapped file that was truncated since, for example by a copy over it, kills the process (SIGBUS).
    """
    from uwe_jax.retrieval.store.segment import Part
    from uwe_jax.retrieval.store.stored_targets import Index

    if not isinstance(space, Index):
        return space
    parts = []
    for part in space.parts:
        old = part.segment
        texts, ids, columns = pickle.loads(pickle.dumps((old.texts, old.ids, old.columns)))
        parts.append(Part(replace(old, texts=texts, ids=ids, columns=columns), part.kept))
    return Index(space.origin, space.dtype, space.width, space.pooled, parts)
