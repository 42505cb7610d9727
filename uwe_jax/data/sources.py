"""Where graphs come from. A new source is one function here and one entry in `SOURCES`."""

from __future__ import annotations

import time
from collections.abc import Callable

from uwe_jax.base.config import SourceSettings
from uwe_jax.base.errors import UserError
from uwe_jax.base.files import cache_folder
from uwe_jax.base.kinds import GRAPH_KINDS
from uwe_jax.base.progress import say
from uwe_jax.base.settings import one_of
from uwe_jax.data.edge_files import read_edge_folder
from uwe_jax.data.graph import Edge
from uwe_jax.data.graph_set import GraphSet, build_graph_set
from uwe_jax.data.sample import read_sample

Edges = dict[str, list[Edge]]  # by kind of the right side


def _sample(settings: SourceSettings) -> tuple[str, Edges]:
    if settings.path:
        raise UserError(
            f"source.path is {settings.path!r}, but source.source is 'sample', which is embedded and takes "
            "no path. Set source.source to 'esco' or 'edges' to read that folder, or leave source.path empty."
        )
    return "the embedded sample", read_sample(settings.kinds or None)


def _edges(settings: SourceSettings) -> tuple[str, Edges]:
    path = _path(settings, "the folder of your edge files")
    return path, read_edge_folder(path, settings.kinds or None)


def _esco(settings: SourceSettings) -> tuple[str, Edges]:
    # imported where it is needed: TFDS takes a second, and the other sources do without
    from uwe_jax.data.esco.esco_dataset_builder import load_edges
    from uwe_jax.data.esco.release import NEEDS, find_release

    path = _path(settings, "the folder of the ESCO zips")
    kinds = settings.kinds or tuple(NEEDS)
    for kind in kinds:
        if kind not in NEEDS:
            raise UserError(
                f"source.kinds holds {kind!r}, which ESCO does not have; expected "
                f"{' or '.join(map(repr, NEEDS))}. Take it out, or read it from a folder of edge files "
                "(source.source 'edges')."
            )
    release = find_release(path, kinds, settings.language, settings.version)
    data_dir = cache_folder(settings.cache_dir) / "tfds"
    edges = {kind: load_edges(release, kind, settings.relations, data_dir) for kind in kinds}
    return f"{release} in {path}", edges


SOURCES: dict[str, Callable[[SourceSettings], tuple[str, Edges]]] = {
    "sample": _sample,
    "esco": _esco,
    "edges": _edges,
}


def load_graphs(settings: SourceSettings) -> GraphSet:
    """Reads the graphs that the settings ask for, and says what was read from where.

    Returns:
      The whole graphs, in the order of `settings.kinds`, else of `GRAPH_KINDS`.

    Raises:
      UserError: an unknown source, or input that its reader rejects.
    """
    one_of("source.source", settings.source, tuple(SOURCES))
    started = time.perf_counter()
    origin, edges = SOURCES[settings.source](settings)
    for kind in edges:
        if kind not in GRAPH_KINDS:
            raise UserError(
                f"{origin} has edges for {kind!r}; a model is trained on "
                f"{', '.join(map(repr, GRAPH_KINDS))}. Rename the file to the kind that is meant, or list "
                "the kinds you want in source.kinds."
            )
    graphs = build_graph_set({kind: edges[kind] for kind in settings.kinds or GRAPH_KINDS if kind in edges})
    say(f"Read {origin}: {graphs.summary()}, in {time.perf_counter() - started:.1f} s")
    return graphs


def _path(settings: SourceSettings, what: str) -> str:
    if not settings.path:
        raise UserError(
            f"source.source is {settings.source!r} but source.path is empty. Expected {what}: set source.path."
        )
    return settings.path
