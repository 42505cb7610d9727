"""Loading what a service ranks with."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.tasks import ServedModel

LOG = logging.getLogger(__name__)


def load_served(options: ServiceOptions) -> ServedModel:
    """The model and its spaces, warm.

    Raises:
      UserError: one of them is not there, cannot be read or does not go with the others.
    """
    # Imported here: they import jax, and the service tells that it is alive while they do.
    from uwe_jax.retrieval.qdrant.location import open_space
    from uwe_jax.retrieval.ranker import load
    from uwe_jax.retrieval.recorded import recorded_model

    start = time.monotonic()
    spaces = {name: apart_from_files(open_space(where)) for name, where in options.spaces}
    longest = max(space.origin.max_tokens for space in spaces.values())
    model = options.model or recorded_model([options.spaces[0][1]])
    ranker = load(model, cache_dir=options.cache_dir, max_tokens=longest)
    LOG.info("Model %s: %s", ranker.name, ranker.loaded.description)
    for name, where in options.spaces:
        if not len(spaces[name]):
            raise UserError(f"The space {name} ({where}) is empty. Add targets to it, or leave it out.")
        ranker.check(spaces[name], place=where)
        LOG.info("Space %s: %s targets of %s", name, f"{len(spaces[name]):,}", where)
    served = ServedModel(ranker, spaces)
    served.warm_up(options.limits.batch)
    LOG.info("Ready after %.1f s", time.monotonic() - start)
    return served


def apart_from_files(space: Any) -> Any:
    """A space whose answers, once it was searched, need its files no more.

    Its embeddings stand on the devices from then on; texts, ids and columns are copied here. Whoever reads
    on from a mapped file that was cut short since, as by a copy over it, is ended by the system.
    """
    from uwe_jax.retrieval.store.columns import Column
    from uwe_jax.retrieval.store.segment import Part, Segment
    from uwe_jax.retrieval.store.stored_targets import Space
    from uwe_jax.retrieval.store.strings import PackedStrings

    if not isinstance(space, Space):
        return space

    def copied(strings: PackedStrings) -> PackedStrings:
        return PackedStrings(strings.blob.copy(), strings.offsets.copy())

    def kept(segment: Segment) -> Segment:
        columns = {name: Column(copied(each.values), each.codes.copy()) for name, each in segment.columns.items()}
        return replace(segment, texts=copied(segment.texts), ids=copied(segment.ids), columns=columns)

    parts = [Part(kept(part.segment), part.kept) for part in space.parts]
    return Space(space.origin, space.dtype, space.width, space.pooled, parts)
