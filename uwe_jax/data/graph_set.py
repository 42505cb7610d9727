"""The graphs that are trained together: each has its own right side, all share the skill nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from uwe_jax.data.graph import BipartiteGraph, hash_texts
from uwe_jax.data.node_names import NodeNames
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.runtime.progress import counted

_NOUNS = {"job": "job title", "vacancy": "vacancy sentence"}


@dataclass(frozen=True, eq=False)
class GraphSet:
    """Bipartite graphs over one list of skills."""

    skills: tuple[str, ...]  # [m] left texts of every graph
    graphs: dict[str, BipartiteGraph]  # by kind of the right side, in the order of the configuration
    skill_ids: tuple[str, ...] = ()  # [m] the sources' identifiers, such as URIs; the texts where there are none
    part_weights: dict[str, float] = field(default_factory=dict)  # by name of the sources of a mixture, in order
    names: dict[str, NodeNames] = field(default_factory=dict)  # by node kind: further names that its nodes go by

    def __post_init__(self) -> None:
        object.__setattr__(self, "skill_ids", self.skill_ids or self.skills)

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """Texts of the nodes by kind, skills first."""
        return {SKILL: self.skills} | {kind: graph.neighbours for kind, graph in self.graphs.items()}

    def fingerprints(self) -> dict[str, str]:
        """Returns the SHA-256 of each graph by kind, in hexadecimal. See `BipartiteGraph.fingerprint`.

        It also covers what else batches depend on: in a mixture which source states each edge, and further names.
        """
        return dict(self._fingerprints)

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        names = tuple(self.part_weights) if len(self.part_weights) > 1 else ()
        return {kind: self._with_names(kind, graph.fingerprint(names)) for kind, graph in self.graphs.items()}

    def _with_names(self, kind: str, fingerprint: str) -> str:
        sides = [side for side in (SKILL, kind) if side in self.names]
        digest = hashlib.sha256(fingerprint.encode())
        for side in sides:
            labels, names = self.texts[side], self.names[side]
            pairs = zip(names.owners.tolist(), names.texts, strict=True)
            hash_texts(digest, [side, *sorted(f"{labels[node]}\n{name}" for node, name in pairs)])
        return digest.hexdigest() if sides else fingerprint

    def name_edges(self) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
        """Yields the pairs of a further name and a neighbour of its node, per graph and per side that has names.

        A pair is the position of the name in `names` of one kind, and that of the neighbour among the nodes of another:
        both kinds come first.
        """
        for kind, graph in self.graphs.items():
            left, right = graph.edges.tocoo().coords
            for side, other, own, others in ((SKILL, kind, left, right), (kind, SKILL, right, left)):
                if side in self.names:
                    edge, name = self.names[side].of_nodes(own)
                    yield side, other, name, others[edge]

    def counts(self) -> dict[str, dict[str, int]]:
        """Counts by kind: `skills` and `neighbours` that have an edge, and `edges`."""
        return {
            kind: {
                "skills": int(np.count_nonzero(np.diff(graph.edges.indptr))),
                "neighbours": int(np.count_nonzero(np.diff(graph.transpose.indptr))),
                "edges": graph.num_edges,
            }
            for kind, graph in self.graphs.items()
        }

    def summary(self) -> str:
        """Returns the counts as one line for a log."""
        parts = [
            f"skill-{kind} {counted(count['edges'], 'edge')} between {counted(count['skills'], 'skill')} and "
            f"{counted(count['neighbours'], _NOUNS.get(kind, kind))}"
            for kind, count in self.counts().items()
        ]
        return "; ".join([counted(len(self.skills), "skill"), *parts])
