"""Batches in the order of their steps, prefetched by Grain's threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grain

from uwe_jax.config import BatchSettings
from uwe_jax.data.batches import Batch


def batches(build: Callable[[int], Batch], settings: BatchSettings, *, first: int, last: int) -> Iterator[Batch]:
    """Iterates over batch `first` to batch `last - 1`.

    A batch depends on its step alone: resuming needs only the number of the next step, on any number of processes.
    """
    dataset = grain.MapDataset.range(first, last).map(build)
    options = grain.ReadOptions(num_threads=settings.threads, prefetch_buffer_size=settings.prefetch)
    return iter(dataset.to_iter_dataset(options))
