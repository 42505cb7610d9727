"""Reads the sources of training graphs. A new source is a package with a `source.py` here and an entry in `SOURCES`."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from uwe_jax.config import COMBINED, NAMED_KINDS, PartSettings, SourceSettings
from uwe_jax.data.decontamination import ExcludedTexts
from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.kinds import GRAPH_KINDS, SKILL
from uwe_jax.runtime.remote import is_remote, local_copy
from uwe_jax.runtime.settings import one_of
from uwe_jax.sources.edge_files import find_edge_files, read_edge_folder, read_sample
from uwe_jax.sources.mixture.columns import EdgeColumns, columns_of
from uwe_jax.sources.mixture.compose import compose
from uwe_jax.sources.mixture.joining import joined_by_id
from uwe_jax.sources.mixture.parts import Composition, Part, PartInfo
from uwe_jax.sources.mixture.saved import is_saved, read_saved
from uwe_jax.sources.source import TITLE, Source, SourceEdges, SourceRequest

LOG = logging.getLogger(__name__)

# Every kind of graph under the name that edge files have.
_GRAPHS = {f"{SKILL}_{kind}": kind for kind in GRAPH_KINDS}
_PART = PartSettings()


def _read_sample(request: SourceRequest) -> SourceEdges:
    if request.path:
        raise UserError(
            f"{request.setting}.path is {request.path!r}, but {request.setting}.source is 'sample', which is embedded "
            f"and takes no path. Set {request.setting}.source to 'esco' or 'edges' to read that folder, or leave "
            f"{request.setting}.path empty."
        )
    kinds = [_GRAPHS[name] for name in request.graphs]
    edges = read_sample(tuple(dict.fromkeys([*kinds, *["alias"] * len(request.names)])))
    names = {kind: [edges["alias"]] for kind in request.names}
    return SourceEdges("the embedded sample", {name: edges[_GRAPHS[name]] for name in request.graphs}, names=names)


def _read_edges(request: SourceRequest) -> SourceEdges:
    folder = request.folder("the folder of your edge files")
    if is_saved(folder):
        raise UserError(
            f"{request.setting}.path is {request.path!r}, which holds combined graphs. These cannot be combined again, "
            "because their edges have parts and weights of their own. Name their sources instead, or remove its "
            "graphs.json to read its edge files as those of one source."
        )
    kinds = tuple(_GRAPHS[name] for name in request.graphs)
    there = find_edge_files(folder)
    if not request.named:
        # A kind that models are not trained on is an error below, unless it was not requested.
        kinds = tuple(kind for kind in there if kind in kinds or len(kinds) == len(_GRAPHS))
    further = ("alias",) if SKILL in request.names and "alias" in there and "alias" not in kinds else ()
    edges = read_edge_folder(folder, (*kinds, *further))
    for kind in edges:
        if kind not in GRAPH_KINDS:
            raise UserError(
                f"{folder} has edges for {kind!r}; a model is trained on {', '.join(map(repr, GRAPH_KINDS))}. Rename "
                "the file to the kind that is meant, or list the kinds you want in source.kinds."
            )
    names: dict[str, list[EdgeColumns]] = {kind: [] for kind in request.names}
    if SKILL in names:
        edges, names[SKILL] = joined_by_id(edges, "left")
        if "alias" in edges:
            names[SKILL].append(edges["alias"])
    if "job" in names and "job" in edges:
        joined, names["job"] = joined_by_id({"job": edges["job"]}, "right")
        edges |= joined
    return SourceEdges(str(folder), {f"{SKILL}_{kind}": edges[kind] for kind in kinds}, names=names)


def _package(name: str) -> Source:
    """Imports a source when it is needed: some take a second."""
    return importlib.import_module(f"uwe_jax.sources.{name}.source").SOURCE


_PACKAGES = ("esco", "onet", "skillskape", "usajobs", "skillspan", "techwolf", "vacancies")
SOURCES: dict[str, Callable[[], Source]] = {
    "sample": lambda: Source(_GRAPHS, _read_sample, names=(SKILL,)),
    "edges": lambda: Source(_GRAPHS, _read_edges, names=NAMED_KINDS),
    **{name: functools.partial(_package, name) for name in _PACKAGES},
}


def load_composition(settings: SourceSettings, excluded: ExcludedTexts | None) -> Composition:
    """Reads and merges the sources of the settings, and logs what was read from where.

    Args:
      settings: with local paths, see `with_local_paths`.
      excluded: texts and pairs to exclude from the graphs, found by `uwe_jax.evaluation.decontamination`; None: none.

    Returns:
      The whole graphs, in the order of `settings.kinds`, else of `GRAPH_KINDS`.

    Raises:
      UserError: an unknown source, or input that its reader rejects.
    """
    started = time.perf_counter()
    one_of("source.source", settings.source, (COMBINED, *SOURCES))
    chosen = _chosen(settings)
    if settings.source == "edges" and settings.path and is_saved(Path(settings.path).expanduser()):
        if settings.join_aliases:
            raise UserError(
                f"source.join_aliases is True, but {settings.path} holds combined graphs, whose skills can no longer "
                "be joined. Set it when they are combined, and leave it at False here."
            )
        kinds = settings.kinds or tuple(kind for name, kind in _GRAPHS.items() if name in settings.graphs)
        composition = read_saved(Path(settings.path).expanduser(), kinds, excluded)
        if settings.names and set(settings.names) != set(composition.graphs.names):
            there = " and ".join(map(repr, composition.graphs.names)) or "no"
            raise UserError(
                f"source.names is {settings.names}, but {settings.path} holds combined graphs with further names of "
                f"{there} nodes. Choose names when graphs are combined, and leave it at () here."
            )
        said = settings.path
    else:
        parts = [_read(each) for each in chosen if each.request.graphs]
        for part in parts:
            for note in part.info.notes:
                LOG.info(f"{part.info.origin}: {note}")
        composition = compose(parts, settings.kinds, join_aliases=settings.join_aliases, excluded=excluded)
        said = " and ".join(part.info.origin for part in parts)
    wanted = sorted({*settings.names, *(kind for each in chosen for kind in each.request.names)})
    if wanted and not composition.graphs.names:
        raise UserError(
            f"source.names holds {' and '.join(map(repr, wanted))}, but no node of the graphs has a further name in "
            f"{said}. Leave it at (), or add a source that knows names of these nodes: {_naming(wanted)} do."
        )
    for note in composition.notes:
        LOG.info(note[0].upper() + note[1:])
    named_halves = settings.source == COMBINED or settings.decontaminate != SourceSettings().decontaminate
    if excluded is not None and excluded.missing and (excluded.found or named_halves):
        LOG.warning(f"Not decontaminated against (data not found): {', '.join(excluded.missing)}")
    LOG.debug(f"Read {said}: {composition.graphs.summary()}, in {time.perf_counter() - started:.1f} s")
    return composition


def with_local_paths(settings: SourceSettings) -> SourceSettings:
    """Replaces folders in buckets by local copies of them."""

    def here(path: str) -> str:
        return str(local_copy(path, cache_folder(settings.cache_dir))) if is_remote(path) else path

    parts = {
        name: dataclasses.replace(part, path=here(part.path)) if part.weight > 0 else part
        for name, part in settings.parts.items()
    }
    return dataclasses.replace(settings, path=here(settings.path), tasks_path=here(settings.tasks_path), parts=parts)


def _parts(settings: SourceSettings) -> list[tuple[str, str, PartSettings]]:
    """Returns the place of each part in the configuration, its name, and its settings with all defaults inherited."""
    if settings.source != COMBINED:
        names = {field.name for field in dataclasses.fields(PartSettings)} - {"weight"}
        return [("source", settings.source, PartSettings(**{name: getattr(settings, name) for name in names}))]
    if not settings.parts:
        raise UserError(
            f"source.source is {COMBINED!r} but source.parts is empty. Name the sources in the config file, such as "
            "config.source.parts = combine(onet={}, skillskape={}); configs/zero_shot_minilm.py does."
        )
    parts = []
    for name, part in settings.parts.items():
        if part.weight > 0:
            full = dataclasses.replace(part, source=part.source or name, path=part.path or settings.path)
            parts.append((f"source.parts.{name}", name, full))
    if not parts:
        raise UserError(f"All {len(settings.parts)} source.parts have weight 0. Give at least one a weight above 0.")
    for setting, _, part in parts:
        one_of(f"{setting}.source", part.source, tuple(SOURCES))
    return parts


class _Chosen(NamedTuple):
    """A part with its source, and what is requested of it."""

    name: str
    part: PartSettings
    source: Source
    request: SourceRequest


def _chosen(settings: SourceSettings) -> list[_Chosen]:
    """Returns what is read; raises UserError, before anything is, if no part offers a kind of graph that is wanted."""
    chosen = []
    for setting, name, part in _parts(settings):
        source = SOURCES[part.source]()
        graphs = source.choose(part.graphs, setting)
        if settings.kinds and not part.graphs:
            # In the order of the kinds; titles go with jobs, and aliases say which skills to join.
            further = [TITLE] * ("job" in settings.kinds) + ["alias"] * settings.join_aliases
            wanted = dict.fromkeys([*settings.kinds, *further])
            graphs = tuple(graph for kind in wanted for graph in graphs if source.offers[graph] == kind)
        _check_read(part, source, graphs, setting, alone=settings.source != COMBINED)
        request = SourceRequest(
            setting=setting,
            path=part.path,
            graphs=graphs,
            cache_dir=cache_folder(settings.cache_dir),
            named=bool(part.graphs or (settings.kinds and settings.source != COMBINED and not settings.join_aliases)),
            relations=part.relations,
            language=part.language,
            version=part.version,
            names=_names_wanted(part, source, setting, settings.names),
        )
        chosen.append(_Chosen(name, part, source, request))
    found = dict.fromkeys(each.source.offers[graph] for each in chosen for graph in each.request.graphs)
    for kind in settings.kinds:
        if kind not in found:
            there = ", ".join(repr(each) for each in found if each != TITLE) or "none of the kinds"
            raise UserError(
                f"source.kinds holds {kind!r}, of which {' and '.join(each.part.source for each in chosen)} has no "
                f"graph that is read; it has {there}. Take {kind!r} out of source.kinds, name a graph of that kind in "
                "source.graphs, or add a source that has one."
            )
    return chosen


def _names_wanted(part: PartSettings, source: Source, setting: str, of_all: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the kinds of node whose names a part is to give; UserError if its own setting asks for others."""
    for kind in part.names:
        if kind not in source.names:
            raise UserError(
                f"{setting}.names holds {kind!r}, but {part.source} knows no further names of {kind} nodes; "
                f"{_naming((kind,))} do. Take it out, or add such a source."
            )
    return part.names or tuple(kind for kind in of_all if kind in source.names)


def _naming(kinds: Sequence[str]) -> str:
    """Returns the sources that know names of nodes of some of these kinds."""
    return ", ".join(name for name, source in SOURCES.items() if set(kinds) & set(source().names))


def _read(chosen: _Chosen) -> Part:
    name, part, source, request = chosen
    read = source.read(request)

    def columns(kind: str, listed: list[Edge] | EdgeColumns) -> EdgeColumns:
        return listed if isinstance(listed, EdgeColumns) else columns_of(kind, listed)

    edges = {graph: columns(source.offers[graph], listed) for graph, listed in read.edges.items()}
    names = {kind: [columns("alias", each) for each in listed] for kind, listed in read.names.items()}
    return Part(PartInfo(name, read.origin, part.weight, read.notes), edges, source.offers, source.jobs, names)


def _check_read(part: PartSettings, source: Source, graphs: tuple[str, ...], setting: str, *, alone: bool) -> None:
    """Raises UserError if a part has a setting that its source does not read for its graphs.

    Language and version of a source that is `alone` are also used in comparisons: for them it only warns.
    """
    for name in ("relations", "language", "version"):
        value, default = getattr(part, name), getattr(_PART, name)
        if value == default or not graphs or set(graphs) & set(source.reads.get(name, ())):
            continue
        read_for = ", ".join(source.reads.get(name, ()))
        what = f"reads it for {read_for}, not for {', '.join(graphs)}" if read_for else "does not read it"
        told = f"{setting}.{name} is {value!r}, but {part.source} {what}."
        if alone and name != "relations":
            LOG.warning(f"{told} Only a comparison with tasks or a taxonomy uses it.")
            continue
        raise UserError(f"{told} Leave it at its default, {default!r}.")
