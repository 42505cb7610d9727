"""Merges the graphs of several sources over one list of skills, with the provenance of each edge."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from uwe_jax.data.decontamination import ExcludedTexts
from uwe_jax.data.graph import BipartiteGraph
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import GRAPH_KINDS, SKILL
from uwe_jax.sources.mixture.columns import EdgeColumns, Nodes, merge_nodes, merged_relations, used_nodes
from uwe_jax.sources.mixture.joining import joined_by_alias, with_titles
from uwe_jax.sources.mixture.naming import sides_of, with_names
from uwe_jax.sources.mixture.parts import Composition, Part, Statements
from uwe_jax.sources.notes import noted
from uwe_jax.sources.source import TITLE

_MOST_PARTS = 63  # bits of an integer
_JOB, _ALIAS = "job", "alias"
_SYNONYMS = ("", "alias", "alternative")  # relations of other names of a skill


def compose(
    parts: Sequence[Part],
    kinds: Sequence[str] = (),
    *,
    join_aliases: bool = False,
    excluded: ExcludedTexts | None = None,
) -> Composition:
    """Merges the graphs of several sources.

    Skills with equal texts are one node, over all parts and graphs, and so are neighbours of one kind. Nodes are sorted
    by text, so that neither numbering nor fingerprints depend on the order of parts or edges. An edge that several
    parts state has the largest of their weights.

    Args:
      parts: the sources.
      kinds: graphs wanted; empty takes all.
      join_aliases: a skill also joins the skill that has its text as an alias; see `joined_by_alias`.
      excluded: texts and pairs of evaluations.

    Raises:
      UserError: no part has an edge of a kind that is wanted, or all its edges are excluded.
    """
    if len(parts) > _MOST_PARTS:
        raise UserError(
            f"{len(parts)} source.parts; at most {_MOST_PARTS} can be combined. Combine some of them first."
        )
    pa.default_memory_pool().release_unused()
    relations, tables = _tables(parts)
    if not tables:
        raise UserError(
            f"{_names(parts)} gives further titles of jobs, and no skills that they could take over. Name a graph of "
            "skills and jobs of the same source beside them, such as skill_job, in source.graphs."
        )
    wanted = [kind for kind in kinds or GRAPH_KINDS if kind in tables]
    if missing := [kind for kind in kinds if kind not in tables]:
        raise UserError(
            f"source.kinds holds {missing[0]!r}, of which {_names(parts)} has no edges; there are some of "
            f"{', '.join(map(repr, tables))}. Take it out of source.kinds, or add a source that has them."
        )
    notes: list[str] = []
    joined: dict[str, str] = {}
    if join_aliases and _ALIAS not in tables:
        raise UserError(
            f"source.join_aliases is True, but {_names(parts)} has no graph of aliases to join skills by; there are "
            f"graphs of {', '.join(map(repr, tables))}. Leave it at False, or add a source with skill_alias."
        )
    chosen = {kind: tables[kind] for kind in dict.fromkeys([*wanted, *[_ALIAS] * join_aliases])}
    skills, places = merge_nodes([table.edges.left_nodes for listed in chosen.values() for table in listed])
    remaining = iter(places)
    merged = {kind: _merge(listed, remaining) for kind, listed in chosen.items()}
    if join_aliases:
        alias = merged[_ALIAS]
        # Graphs of kind alias also hold wider activities, related skills and titles of jobs.
        synonyms = [k for k, relation in enumerate(relations) if relation in _SYNONYMS]
        same = np.isin(alias.relation, synonyms) & ~alias.of_jobs
        texts, other_names = skills.texts.to_pylist(), alias.nodes.texts.to_pylist()
        becomes = joined_by_alias(texts, alias.left[same], other_names, alias.right[same])
        merged = {kind: dataclasses.replace(merged[kind], left=becomes[merged[kind].left]) for kind in wanted}
        joined = {texts[k]: texts[becomes[k]] for k in np.flatnonzero(becomes != np.arange(len(skills))).tolist()}
        notes += noted(len(joined), "skill", "joined another one that has the same text")
    if excluded is not None:
        notes += _exclude(merged, skills.texts.to_pylist(), excluded)
    jobs, others = (np.zeros(len(skills), bool) for _ in range(2))
    for graph in merged.values():
        jobs[graph.left[graph.of_jobs]] = True
        others[graph.left[~graph.of_jobs]] = True
    composition = _numbered(parts, relations, merged, skills, notes)
    if not any(part.names for part in parts):
        return composition
    used = jobs | others
    sides = sides_of(composition.graphs, others[used], jobs[used])
    graphs, notes = with_names(composition.graphs, parts, sides, joined, excluded)
    return dataclasses.replace(composition, graphs=graphs, notes=(*composition.notes, *notes))


class _Table(NamedTuple):
    """The edges of one graph of a source."""

    part: int
    of_jobs: bool  # jobs take the place of skills
    edges: EdgeColumns
    relation: np.ndarray  # positions of its relations among those of all sources


@dataclass(frozen=True, eq=False)
class _Merged:
    """The edges of one kind of all sources."""

    nodes: Nodes  # of the right side
    left: np.ndarray  # positions in the skills of all sources
    right: np.ndarray
    relation: np.ndarray
    part: np.ndarray  # uint8
    of_jobs: np.ndarray  # bool, as of `_Table`

    def where(self, keep: np.ndarray) -> _Merged:
        rows = {name: getattr(self, name)[keep] for name in ("left", "right", "relation", "part", "of_jobs")}
        return dataclasses.replace(self, **rows)


def _tables(parts: Sequence[Part]) -> tuple[tuple[str, ...], dict[str, list[_Table]]]:
    """Returns all relations, and the graphs of all parts by kind."""
    listed: list[tuple[str, int, bool, EdgeColumns]] = []
    for number, part in enumerate(parts):
        titles = [edges for name, edges in part.edges.items() if part.kinds[name] == TITLE]
        for name, edges in part.edges.items():
            kind = part.kinds[name]
            for further in titles if kind == _JOB else ():
                edges = with_titles(edges, further)
            if kind != TITLE:
                listed.append((kind, number, name in part.jobs, edges))
    relations, places = merged_relations([edges.relations for *_, edges in listed])
    tables: dict[str, list[_Table]] = {}
    for (kind, number, of_jobs, edges), place in zip(listed, places, strict=True):
        tables.setdefault(kind, []).append(_Table(number, of_jobs, edges, place))
    return relations, {kind: tables[kind] for kind in GRAPH_KINDS if kind in tables}


def _merge(tables: Sequence[_Table], skill_places: Iterator[np.ndarray]) -> _Merged:
    nodes, places = merge_nodes([table.edges.right_nodes for table in tables])
    counts = [len(table.edges) for table in tables]
    part = np.repeat(np.array([table.part for table in tables], np.uint8), counts)
    of_jobs = np.repeat(np.array([table.of_jobs for table in tables]), counts)
    left, right, relation = (
        each[0] if len(each) == 1 else np.concatenate(each)
        for each in (
            [next(skill_places)[table.edges.left] for table in tables],
            [place[table.edges.right] for table, place in zip(tables, places, strict=True)],
            [table.relation[table.edges.relation] for table in tables],
        )
    )
    return _Merged(nodes, left, right, relation, part, of_jobs)


def _exclude(merged: dict[str, _Merged], skills: Sequence[str], excluded: ExcludedTexts) -> list[str]:
    """Removes evaluation texts from `merged`, and returns notes on their number."""
    notes = []
    held_skills = excluded.nodes(skills, SKILL)
    held_jobs = excluded.nodes(skills, _JOB)
    for kind, graph in merged.items():
        texts, of_jobs = graph.nodes.texts.to_pylist(), graph.of_jobs
        left = np.where(of_jobs, held_jobs[graph.left], held_skills[graph.left])
        right = excluded.nodes(texts, kind)[graph.right]
        if kind == _ALIAS and of_jobs.any():
            right |= of_jobs & excluded.nodes(texts, _JOB)[graph.right]
        node = left | right
        pair = excluded.edges(skills, texts, graph.left, graph.right)
        count = len(np.unique(graph.left[left])) + len(np.unique(graph.right[right]))
        notes += noted(count, "text", f"of skill-{kind} excluded with all edges, as queries of an evaluation")
        notes += noted(int((pair & ~node).sum()), "edge", f"of skill-{kind} excluded as pairs of an evaluation")
        kept = graph.where(~(node | pair))
        if not len(kept.left):
            raise UserError(
                f"Nothing is left of skill-{kind}: all of its {len(graph.left):,} edges are those of evaluations "
                f"({', '.join(excluded.found)}). Set source.decontaminate to () to train on them, or leave "
                f"{kind!r} out of source.kinds."
            )
        merged[kind] = kept
    return notes


def _numbered(
    parts: Sequence[Part], relations: tuple[str, ...], merged: dict[str, _Merged], nodes: Nodes, notes: Sequence[str]
) -> Composition:
    """Builds the composition; removes the kinds from `merged` one by one, so that not all exist twice."""
    # A part may have no edge of the kinds that are wanted, or only excluded ones.
    stating, used = np.zeros(len(parts), bool), np.zeros(len(nodes), bool)
    for graph in merged.values():
        stating[graph.part] = True
        used[graph.left] = True
    notes = [
        *notes,
        *(f"{parts[k].info.name} is left out: it has no edge here" for k in np.flatnonzero(~stating).tolist()),
    ]
    number = np.cumsum(stating, dtype=np.int8) - 1
    infos = tuple(parts[k].info for k in np.flatnonzero(stating).tolist())
    weights = np.array([info.weight for info in infos], np.float32)

    nodes, skill_place = used_nodes(nodes, used)
    skills, skill_ids = nodes.strings()
    graphs, statements = {}, {}
    for kind in tuple(merged):
        graph = merged.pop(kind)
        used = np.zeros(len(graph.nodes), bool)
        used[graph.right] = True
        nodes, place = used_nodes(graph.nodes, used)
        digits = len(skills), len(nodes), len(infos), len(relations), 2
        if math.prod(digits) > np.iinfo(np.int64).max:
            raise UserError(
                f"skill-{kind} has {digits[0]:,} skills, {digits[1]:,} neighbours, {digits[2]} parts and {digits[3]:,} "
                "relations: the number of combinations exceeds 63 bits. Read fewer sources or relations."
            )
        columns = skill_place[graph.left], place[graph.right], number[graph.part], graph.relation, graph.of_jobs
        key = np.ravel_multi_index(columns, digits)
        del graph, used, place, columns
        statements[kind] = _statements(key, digits)
        del key
        edges, *per_edge = _edges(statements[kind], digits[:2], weights)
        texts, ids = nodes.strings()
        graphs[kind] = BipartiteGraph(kind, skills, texts, edges, ids, *per_edge)
    if len(infos) > 1:
        graphs = _without_equal_weights(graphs)
    graph_set = GraphSet(skills, graphs, skill_ids, {info.name: info.weight for info in infos})
    pa.default_memory_pool().release_unused()
    return Composition(graph_set, infos, relations, statements, tuple(notes))


def _statements(key: np.ndarray, digits: Sequence[int]) -> Statements:
    """Decodes numbers in mixed radix into distinct statements in the order of the edges; sorts `key` in place."""
    key.sort()
    new = np.ones(len(key), bool)
    np.not_equal(key[1:], key[:-1], out=new[1:])
    if not new.all():
        key = key[new]
    columns: list[np.ndarray] = []
    for base in reversed(digits):
        columns.append((key % base).astype(np.int32 if len(columns) > 2 else np.min_scalar_type(base)))
        key = key // base
    left, right, part, relation, of_jobs = reversed(columns)
    return Statements(left, right, part, relation, of_jobs.astype(bool))


def _edges(
    stated: Statements, shape: tuple[int, int], weights: np.ndarray
) -> tuple[csr_array, np.ndarray | None, np.ndarray | None]:
    """Returns the distinct edges, bool, canonical; the largest weight of each, and its parts as bits.

    With the weight of a single part, edges have neither weights nor parts.
    """
    new = np.ones(len(stated.left), bool)
    new[1:] = (stated.left[1:] != stated.left[:-1]) | (stated.right[1:] != stated.right[:-1])
    left, right = (stated.left, stated.right) if new.all() else (stated.left[new], stated.right[new])
    starts = np.searchsorted(left, np.arange(shape[0] + 1, dtype=np.int32)).astype(np.int32)
    edges = csr_array((np.ones(len(right), bool), right, starts), shape=shape)
    if len(weights) == 1:
        return edges, None, None
    first = np.flatnonzero(new)
    bit = np.left_shift(1, np.arange(len(weights)), dtype=np.int64).astype(np.min_scalar_type((1 << len(weights)) - 1))
    return edges, np.maximum.reduceat(weights[stated.part], first), np.bitwise_or.reduceat(bit[stated.part], first)


def _without_equal_weights(graphs: dict[str, BipartiteGraph]) -> dict[str, BipartiteGraph]:
    """Removes weights from graphs, and thus from fingerprints, if all are equal."""
    columns = [graph.weights for graph in graphs.values() if graph.weights is not None]
    if len(np.unique([each for column in columns for each in (column.min(), column.max())])) > 1:
        return graphs
    return {kind: dataclasses.replace(graph, weights=None) for kind, graph in graphs.items()}


def _names(parts: Sequence[Part]) -> str:
    return " and ".join(part.info.name for part in parts)
