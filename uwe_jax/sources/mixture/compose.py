"""Merges what several sources give into graphs over one list of skills, and keeps who stated which edge."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from uwe_jax.data.decontamination import ExcludedTexts
from uwe_jax.data.graph import BipartiteGraph, edge_matrix
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import GRAPH_KINDS, SKILL
from uwe_jax.sources.mixture.aliases import joined_by_alias
from uwe_jax.sources.mixture.columns import EdgeColumns, NodeNumbers, Nodes, by_text, merged_relations
from uwe_jax.sources.mixture.parts import Composition, Part, PartInfo, Statements
from uwe_jax.sources.mixture.titles import with_titles
from uwe_jax.sources.notes import counted
from uwe_jax.sources.source import TITLE

_MOST_PARTS = 63  # bits of an integer
_JOB, _ALIAS = "job", "alias"
_SYNONYMS = ("", "alias", "alternative")  # relations of what a skill is called, by those who name any


def compose(
    parts: Sequence[Part],
    kinds: Sequence[str] = (),
    *,
    join_aliases: bool = False,
    excluded: ExcludedTexts | None = None,
) -> Composition:
    """One set of graphs from several sources.

    Skills with equal texts are one node, over all parts and graphs, and so are neighbours of one kind. Nodes are sorted
    by text, so that neither numbering nor fingerprints depend on the order of parts or edges. An edge that several
    parts state has the largest of their weights.

    Args:
      parts: what the sources gave.
      kinds: graphs wanted; empty takes all there are.
      join_aliases: a skill also joins the skill that has its text as an alias; see `joined_by_alias`.
      excluded: of evaluations.

    Raises:
      UserError: no part has an edge of a kind that is wanted, or nothing is left of one.
    """
    if len(parts) > _MOST_PARTS:
        raise UserError(
            f"{len(parts)} source.parts; at most {_MOST_PARTS} can be combined. Combine some of them first."
        )
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
    skills = NodeNumbers()
    if join_aliases and _ALIAS not in tables:
        raise UserError(
            f"source.join_aliases is True, but {_names(parts)} has no graph of aliases to join skills by; there are "
            f"graphs of {', '.join(map(repr, tables))}. Leave it at False, or add a source with skill_alias."
        )
    joining = [_ALIAS] * join_aliases
    merged = {kind: _merge(tables[kind], skills) for kind in dict.fromkeys([*wanted, *joining])}
    texts = skills.nodes()
    if joining:
        alias = merged[_ALIAS]
        # Of kind alias are wider activities, related skills and titles of jobs, too: no other names of a skill.
        synonyms = [k for k, relation in enumerate(relations) if relation in _SYNONYMS]
        same = np.isin(alias.relation, synonyms) & ~alias.of_jobs
        becomes = joined_by_alias(texts.texts, alias.left[same], alias.nodes.texts, alias.right[same])
        merged = {kind: dataclasses.replace(merged[kind], left=becomes[merged[kind].left]) for kind in wanted}
        notes += counted(int((becomes != np.arange(len(texts))).sum()), "skills joined another one that has their text")
    if excluded is not None:
        notes += _exclude(merged, texts, excluded)
    return _numbered(parts, relations, merged, texts, notes)


@dataclass(frozen=True, eq=False)
class _Merged:
    """The rows of one kind over all parts."""

    nodes: Nodes  # of the right side
    left: np.ndarray  # counts in the skills of all parts
    right: np.ndarray
    part: np.ndarray
    relation: np.ndarray
    weight: np.ndarray
    of_jobs: np.ndarray  # bool, a job stands in the place of the skill

    def where(self, keep: np.ndarray) -> _Merged:
        columns = {
            name: getattr(self, name)[keep] for name in ("left", "right", "part", "relation", "weight", "of_jobs")
        }
        return _Merged(self.nodes, **columns)


class _Table(NamedTuple):
    """The edges of one graph of a part."""

    part: int
    weight: float
    of_jobs: bool
    edges: EdgeColumns
    relation: np.ndarray  # the number in all relations of each of its own


def _tables(parts: Sequence[Part]) -> tuple[tuple[str, ...], dict[str, list[_Table]]]:
    """All relations, and the graphs of all parts by kind."""
    listed: list[tuple[str, int, float, bool, EdgeColumns]] = []
    for number, part in enumerate(parts):
        titles = [edges for name, edges in part.edges.items() if part.kinds[name] == TITLE]
        for name, edges in part.edges.items():
            kind = part.kinds[name]
            if kind == TITLE:
                continue
            if kind == _JOB:
                for further in titles:
                    edges = with_titles(edges, further)
            listed.append((kind, number, part.weight, name in part.jobs, edges))
    relations, places = merged_relations([edges.relations for *_, edges in listed])
    tables: dict[str, list[_Table]] = {}
    for (kind, number, weight, of_jobs, edges), place in zip(listed, places, strict=True):
        tables.setdefault(kind, []).append(_Table(number, weight, of_jobs, edges, place))
    return relations, {kind: tables[kind] for kind in GRAPH_KINDS if kind in tables}


def _merge(tables: Sequence[_Table], skills: NodeNumbers) -> _Merged:
    neighbours = NodeNumbers()
    columns = []
    for number, weight, of_jobs, edges, relation in tables:
        own = np.ones(len(edges), np.float32) if edges.weights is None else edges.weights
        columns.append(
            (
                skills.add_all(edges.left_nodes)[edges.left],
                neighbours.add_all(edges.right_nodes)[edges.right],
                np.full(len(edges), number, np.int32),
                relation[edges.relation],
                own * np.float32(weight),
                np.full(len(edges), of_jobs),
            )
        )
    return _Merged(neighbours.nodes(), *(np.concatenate(each) for each in zip(*columns, strict=True)))


def _exclude(merged: dict[str, _Merged], skills: Nodes, excluded: ExcludedTexts) -> list[str]:
    """Takes evaluation texts out of `merged`, and says how many."""
    notes = []
    held_skills = excluded.nodes(skills.texts, SKILL)
    held_jobs = excluded.nodes(skills.texts, _JOB)
    for kind, graph in merged.items():
        left = np.where(graph.of_jobs, held_jobs[graph.left], held_skills[graph.left])
        right = excluded.nodes(graph.nodes.texts, kind)[graph.right]
        if kind == _ALIAS and graph.of_jobs.any():
            right |= graph.of_jobs & excluded.nodes(graph.nodes.texts, _JOB)[graph.right]
        node = left | right
        pair = excluded.edges(skills.texts, graph.nodes.texts, graph.left, graph.right)
        texts = len(np.unique(graph.left[left])) + len(np.unique(graph.right[right]))
        notes += counted(texts, f"texts of skill-{kind} kept out with their edges: they are queries of an evaluation")
        notes += counted(int((pair & ~node).sum()), f"edges of skill-{kind} kept out: an evaluation asks for them")
        kept = graph.where(~(node | pair))
        if not len(kept.left):
            raise UserError(
                f"Nothing is left of skill-{kind}: all of its {len(graph.left):,} edges are those of evaluations "
                f"({', '.join(excluded.found)}). Set source.keep_out to () to train on them, or leave {kind!r} out of "
                "source.kinds."
            )
        merged[kind] = kept
    return notes


def _numbered(
    parts: Sequence[Part],
    relations: tuple[str, ...],
    merged: Mapping[str, _Merged],
    texts: Nodes,
    notes: Sequence[str],
) -> Composition:
    # A part may have no edge of the kinds that are wanted, or only such as are kept out.
    stating = np.zeros(len(parts), bool)
    for graph in merged.values():
        stating[graph.part] = True
    notes = [*notes, *(f"{parts[k].name} is left out: it has no edge here" for k in np.flatnonzero(~stating).tolist())]
    number = np.cumsum(stating, dtype=np.int32) - 1
    merged = {kind: dataclasses.replace(graph, part=number[graph.part]) for kind, graph in merged.items()}
    parts = [parts[k] for k in np.flatnonzero(stating).tolist()]

    used = np.zeros(len(texts), bool)
    for graph in merged.values():
        used[graph.left] = True
    skills, skill_place = by_text(texts, used)
    graphs, statements = {}, {}
    for kind, graph in merged.items():
        used = np.zeros(len(graph.nodes), bool)
        used[graph.right] = True
        neighbours, place = by_text(graph.nodes, used)
        left, right = skill_place[graph.left], place[graph.right]
        shape = (len(skills), len(neighbours))
        edges = edge_matrix(left, right, shape)
        stated = _per_edge(left.astype(np.int64) * shape[1] + right, graph.weight, graph.part)
        graphs[kind] = BipartiteGraph(kind, skills.texts, neighbours.texts, edges, neighbours.ids, *stated)
        statements[kind] = _distinct(Statements(left, right, graph.part, graph.relation), shape[1])
    graphs = _without_equal_weights(graphs)
    part_weights = {part.name: part.weight for part in parts}
    infos = tuple(PartInfo(part.name, part.origin, part.weight, part.notes) for part in parts)
    graph_set = GraphSet(skills.texts, graphs, skills.ids, part_weights)
    return Composition(graph_set, infos, relations, statements, tuple(notes))


def _per_edge(pair: np.ndarray, weight: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest weight of each distinct edge, float32 [edges], and the parts that state it, as bits of int64 [edges].

    Args:
      pair: int64 [s], the edge of each statement; edges come out in ascending order.
    """
    order = np.argsort(pair, kind="stable")
    first = np.flatnonzero(np.diff(pair[order], prepend=-1))
    bits = np.left_shift(np.int64(1), part[order].astype(np.int64))
    return np.maximum.reduceat(weight[order], first), np.bitwise_or.reduceat(bits, first)


def _distinct(statements: Statements, width: int) -> Statements:
    """The statements in the order of the edges, each once."""
    pair = statements.left.astype(np.int64) * width + statements.right
    order = np.lexsort((statements.relation, statements.part, pair))
    columns = [column[order] for column in (pair, statements.part, statements.relation)]
    new = np.ones(len(order), bool)
    new[1:] = np.any([np.diff(column) != 0 for column in columns], axis=0)
    keep = order[new]
    return Statements(*(getattr(statements, name)[keep] for name in ("left", "right", "part", "relation")))


def _without_equal_weights(graphs: dict[str, BipartiteGraph]) -> dict[str, BipartiteGraph]:
    """Weights that are the same everywhere say nothing, and are left out of graphs and fingerprints."""
    columns = [graph.weights for graph in graphs.values() if graph.weights is not None]
    if len(np.unique(np.concatenate([np.unique(column) for column in columns]))) > 1:
        return graphs
    return {kind: dataclasses.replace(graph, weights=None) for kind, graph in graphs.items()}


def _names(parts: Sequence[Part]) -> str:
    return " and ".join(part.name for part in parts)
