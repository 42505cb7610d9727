"""Fields of work: groups of skills that are near each other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def fields_of(vectors: Float[np.ndarray, "n d"], size: int, least: int) -> Int[np.ndarray, " n"]:
    """Groups texts by k-means of their vectors, and numbers the groups from 0.

    Groups of fewer than `least` texts, the smallest first, are merged with the group whose centre is nearest.

    >>> fields_of(np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.1, 0.9]]), size=2, least=2)[[0, 1]].tolist()
    [0, 1]

    Args:
      size: of a group on average.
      least: texts that a group must have, unless there are fewer.
    """
    # Slow to import. On one thread it adds in one order, so that a run that is resumed has the same groups.
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    count = max(1, len(vectors) // size)
    with threadpool_limits(1):
        means = KMeans(count, init="random", n_init=1, max_iter=20, random_state=0).fit(vectors.astype(np.float32))
    fields, sums = means.labels_, means.cluster_centers_
    sizes = np.bincount(fields, minlength=count)
    sums = sums * sizes[:, None]
    while np.count_nonzero(sizes) > 1 and sizes[sizes > 0].min() < least:
        smallest = int(np.where(sizes > 0, sizes, np.inf).argmin())
        centres = sums / np.maximum(sizes, 1)[:, None]
        distances = np.square(centres - centres[smallest]).sum(axis=1)
        distances[(sizes == 0) | (np.arange(count) == smallest)] = np.inf
        nearest = int(distances.argmin())
        fields[fields == smallest] = nearest
        sums[nearest] += sums[smallest]
        sizes[nearest] += sizes[smallest]
        sizes[smallest] = 0
    # By their first texts: which number k-means gives a group says nothing.
    _, first, fields = np.unique(fields, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[fields]
