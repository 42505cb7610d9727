"""Splits by node: whether a text is held out depends on a hash of it alone, never on a row, a spelling or a kind.

Splitting edges would leave a held-out job title in training through its other edges. Here every node is
assigned, training keeps the edges between two training nodes, and a held-out node is asked for all its edges.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8
from scipy.sparse import csr_array

from uwe_jax.data.graph import BipartiteGraph
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.text import comparable
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import SKILL

TRAIN, VALIDATION, TEST = 0, 1, 2
# Hashed before every text, of any kind. It leaves job titles, of which there are fewest, on the side that they had when
# kinds were hashed, so that earlier figures are of nearly the same titles.
_PREFIX = "job"
SPLIT_NAMES = ("training", "validation", "test")
# What nodes are assigned by. A run that was started under another rule, such as the exact text and kind, has been
# trained on nodes that this one holds out.
SPLIT_BY = "normalised text"


def assign_splits(
    texts: Sequence[str], *, validation: float, test: float, salt: str = ""
) -> Int8[np.ndarray, " nodes"]:
    """The split of each node: TRAIN, VALIDATION or TEST.

    A node's place in [0, 1) is a BLAKE2b hash of the salt and its `comparable` text, the same on every machine.
    All spellings of a text are on one side, and so are a skill and an alias of the same text. Validation takes the
    low end and test the high end, so changing one fraction moves no node into or out of the other split.

    Args:
      texts: of the nodes, of any kind.
      validation: fraction of nodes, in [0, 1].
      test: fraction of nodes, in [0, 1].
      salt: another salt, another split.

    Raises:
      UserError: a fraction is outside [0, 1], or their sum is 1 or more.
    """
    if not (0 <= validation <= 1 and 0 <= test <= 1 and validation + test < 1):
        raise UserError(
            f"split.validation is {validation} and split.test is {test}; expected fractions from 0 to 1 with "
            "a sum below 1, so that something is left to train on."
        )
    seed = hashlib.blake2b(f"{salt}\0{_PREFIX}\0".encode(), digest_size=8)
    hashes = bytearray()
    for text in texts:
        hashed = seed.copy()
        hashed.update(comparable(text).encode("utf-8", "surrogatepass"))
        hashes += hashed.digest()
    # 53 bits are what a float holds: more would round the highest hashes up to 1.
    place = (np.frombuffer(bytes(hashes), "<u8") >> np.uint64(11)) * 2.0**-53
    splits = np.full(len(texts), TRAIN, np.int8)
    splits[place >= 1 - test] = TEST
    splits[place < validation] = VALIDATION
    return splits


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A ranking task: held-out nodes of one side ask for their neighbours on the whole other side."""

    kind: str  # of the graph's right side
    direction: str  # such as skill_to_job or job_to_skill
    query_texts: tuple[str, ...]  # [q] nodes of the split that have an edge
    query_ids: np.ndarray  # int [q], positions of the queries in their side of the graph, ascending
    target_texts: tuple[str, ...]  # [n] the whole other side, in the graph's order
    relevant: csr_array  # bool [q, n], all edges of the queries in the whole graph

    @property
    def query_kind(self) -> str:
        """Node kind of the queries."""
        return self.direction.partition("_to_")[0]

    @property
    def target_kind(self) -> str:
        """Node kind of the targets."""
        return self.direction.partition("_to_")[2]


@dataclass(frozen=True, eq=False)
class GraphSplits:
    """The whole graphs, the split of every node, and what training may see. Made by `split_graphs`."""

    whole: GraphSet
    skills: np.ndarray  # int8 [m], split of each skill
    neighbours: dict[str, np.ndarray]  # by kind: int8 [n], split of each neighbour
    train: GraphSet  # numbered as `whole`; only edges between two training nodes

    def held_out(self, kind: str, split: int, direction: str) -> HeldOut:
        """The ranking task of one graph, split and direction; without queries where the split holds none.

        Args:
          kind: of the graph's right side.
          split: VALIDATION or TEST.
          direction: f"skill_to_{kind}" or f"{kind}_to_skill".

        Raises:
          ValueError: the direction is neither.
        """
        graph = self.whole.graphs[kind]
        if direction == f"{SKILL}_to_{kind}":
            splits, edges, texts, targets = self.skills, graph.edges, graph.skills, graph.neighbours
        elif direction == f"{kind}_to_{SKILL}":
            splits, edges = self.neighbours[kind], graph.transpose
            texts, targets = graph.neighbours, graph.skills
        else:
            raise ValueError(f"{graph.name} has no direction {direction!r}")
        queries = np.flatnonzero((splits == split) & (np.diff(edges.indptr) > 0))
        return HeldOut(kind, direction, tuple(texts[i] for i in queries), queries, targets, edges[queries])

    def tasks(self, split: int) -> list[HeldOut]:
        """Every ranking task of a split that has a query: per graph from skills, then to skills."""
        tasks = [
            self.held_out(kind, split, direction)
            for kind in self.whole.graphs
            for direction in (f"{SKILL}_to_{kind}", f"{kind}_to_{SKILL}")
        ]
        return [task for task in tasks if task.query_texts]

    def summary(self) -> str:
        """Nodes and edges per split, as one line for a log."""
        parts = []
        for kind, graph in self.whole.graphs.items():
            asked = [
                sum(len(task.query_texts) for task in self.tasks(split) if task.kind == kind)
                for split in (VALIDATION, TEST)
            ]
            parts.append(
                f"{graph.name} trains on {self.train.graphs[kind].num_edges:,} of {graph.num_edges:,} edges, "
                f"{asked[0]:,} validation and {asked[1]:,} test queries"
            )
        return "; ".join(parts)


def split_graphs(graphs: GraphSet, validation: float, test: float, salt: str = "") -> GraphSplits:
    """Assigns every node of a graph set to training, validation or test.

    No edge of a held-out node, of either side, is in the training graphs.

    Args:
      graphs: the whole graphs.
      validation: fraction of nodes of every kind; may be 0.
      test: fraction of nodes of every kind; may be 0.
      salt: another salt, another split.

    Raises:
      UserError: the fractions are impossible, a graph is left with nothing to train or to validate on, or all of them
        with nothing to test on where nothing is validated on.
    """
    skills = assign_splits(graphs.skills, validation=validation, test=test, salt=salt)
    neighbours = {
        kind: assign_splits(graph.neighbours, validation=validation, test=test, salt=salt)
        for kind, graph in graphs.graphs.items()
    }
    train = {kind: graph.subgraph(skills == TRAIN, neighbours[kind] == TRAIN) for kind, graph in graphs.graphs.items()}
    splits = GraphSplits(graphs, skills, neighbours, dataclasses.replace(graphs, graphs=train))
    validated = {task.kind for task in splits.tasks(VALIDATION)}
    untested = test > 0 and validation == 0 and not splits.tasks(TEST)
    for kind, graph in graphs.graphs.items():
        for purpose, nothing in (
            ("train", not train[kind].num_edges),
            ("validate", validation > 0 and kind not in validated),
            ("test", untested),
        ):
            if nothing:
                raise _nothing_left(graph, skills, neighbours[kind], purpose, validation, test)
    return splits


def _nothing_left(
    graph: BipartiteGraph,
    skills: np.ndarray,
    neighbours: np.ndarray,
    purpose: str,
    validation: float,
    test: float,
) -> UserError:
    connected = [
        splits[np.diff(edges.indptr) > 0] for splits, edges in ((skills, graph.edges), (neighbours, graph.transpose))
    ]
    shares = ", ".join(
        f"{name} {np.count_nonzero(connected[0] == split)} skills and "
        f"{np.count_nonzero(connected[1] == split)} {graph.kind} nodes"
        for split, name in enumerate(SPLIT_NAMES)
    )
    change, expected = {
        "train": ("Lower split.validation or split.test", "at least one edge between two training nodes"),
        "validate": (
            f"Raise split.validation above {validation}, set it to 0 to train without validation",
            "at least one validation node with an edge",
        ),
        "test": (f"Raise split.test above {test}, set it to 0", "at least one test node with an edge"),
    }[purpose]
    return UserError(
        f"The split leaves nothing to {purpose} on in {graph.name}: of {graph.num_edges} edges, with "
        f"split.validation {validation} and split.test {test}, the nodes with an edge fall into {shares}; "
        f"expected {expected}. {change}, set another split.salt, add edges, or leave {graph.kind!r} out of "
        "source.kinds."
    )
