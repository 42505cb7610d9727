"""Splits by node: whether a text is held out depends on a hash of it alone, not on its row, spelling or kind.

Splitting edges would leave a held-out job title in training through its other edges. Instead, training keeps the edges
between two training nodes, and a held-out node is evaluated on all its edges.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
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
# Hashed before every text of any kind. Earlier versions hashed the kind: job titles, of which there are fewest, stay in
# the split that they had then.
_PREFIX = "job"
SPLIT_NAMES = ("training", "validation", "test")
# What decides the split of a node. A run that was started under another rule has trained on nodes held out here.
SPLIT_BY = "normalised text"


def assign_splits(
    texts: Sequence[str], *, validation: float, test: float, salt: str = ""
) -> Int8[np.ndarray, " nodes"]:
    """Assigns each node, of any kind, to a split: TRAIN, VALIDATION or TEST.

    A BLAKE2b hash of the salt and the node's `comparable` text gives its place in [0, 1). All spellings of a text are
    in one split, and so are a skill and an alias of the same text. Validation takes the low end and test the high end:
    changing one fraction moves no node into or out of the other split.
    """
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
    """A ranking task: held-out nodes of one side query their neighbours among all nodes of the other side."""

    kind: str  # of the graph's right side
    direction: str  # such as skill_to_job or job_to_skill
    query_texts: tuple[str, ...]  # [q] nodes of the split that have an edge
    query_ids: np.ndarray  # int [q], positions of the queries in their side of the graph, ascending
    relevant: csr_array  # bool [q, n], all edges of the queries in the whole graph

    @property
    def query_kind(self) -> str:
        return self.direction.partition("_to_")[0]

    @property
    def target_kind(self) -> str:
        return self.direction.partition("_to_")[2]


@dataclass(frozen=True, eq=False)
class GraphSplits:
    """The whole graphs, the split of every node, and the training edges. Made by `split_graphs`."""

    whole: GraphSet
    skills: np.ndarray  # int8 [m], split of each skill
    neighbours: dict[str, np.ndarray]  # by kind: int8 [n], split of each neighbour
    train: GraphSet  # numbered as `whole`; only edges between two training nodes, and names that may be drawn

    def tasks(self, split: int) -> list[HeldOut]:
        """Returns the ranking tasks of VALIDATION or TEST that have a query: per graph from skills, then to skills."""
        tasks = []
        for kind, graph in self.whole.graphs.items():
            for direction, splits, edges, texts in (
                (f"{SKILL}_to_{kind}", self.skills, graph.edges, graph.skills),
                (f"{kind}_to_{SKILL}", self.neighbours[kind], graph.transpose, graph.neighbours),
            ):
                queries = np.flatnonzero((splits == split) & (np.diff(edges.indptr) > 0))
                if len(queries):
                    asked = tuple(texts[i] for i in queries)
                    tasks.append(HeldOut(kind, direction, asked, queries, edges[queries]))
        return tasks

    def summary(self) -> str:
        """Returns the nodes and edges per split, as one line for a log."""
        queries: Counter[tuple[str, int]] = Counter()
        for split in (VALIDATION, TEST):
            for task in self.tasks(split):
                queries[task.kind, split] += len(task.query_texts)
        return "; ".join(
            f"{graph.name} trains on {self.train.graphs[kind].num_edges:,} of {graph.num_edges:,} edges, "
            f"{queries[kind, VALIDATION]:,} validation and {queries[kind, TEST]:,} test queries"
            for kind, graph in self.whole.graphs.items()
        )


def split_graphs(graphs: GraphSet, validation: float, test: float, salt: str = "") -> GraphSplits:
    """Assigns every node of whole graphs to training, validation or test; see `assign_splits`.

    No edge of a held-out node, of either side, is in the training graphs. Neither is a further name whose text is held
    out, as a node of this text would be, or which a held-out node of the kind has as well.

    Raises:
      UserError: a graph has nothing to train or validate on, or none has anything to test
        on where nothing is validated.
    """

    def assigned(texts: Sequence[str]) -> np.ndarray:
        return assign_splits(texts, validation=validation, test=test, salt=salt)

    skills = assigned(graphs.skills)
    neighbours = {kind: assigned(graph.neighbours) for kind, graph in graphs.graphs.items()}
    train = {kind: graph.subgraph(skills == TRAIN, neighbours[kind] == TRAIN) for kind, graph in graphs.graphs.items()}
    names = {}
    for kind, each in graphs.names.items():
        trained = ((skills if kind == SKILL else neighbours[kind]) == TRAIN)[each.owners]
        forms = [comparable(name) for name in each.texts]
        held_out = {form for form, known in zip(forms, trained.tolist(), strict=True) if not known}
        apart = np.array([form not in held_out for form in forms], bool)
        names[kind] = each.where(trained & apart & (assigned(each.texts) == TRAIN))
    splits = GraphSplits(graphs, skills, neighbours, dataclasses.replace(graphs, graphs=train, names=names))
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
    graph: BipartiteGraph, skills: np.ndarray, neighbours: np.ndarray, purpose: str, validation: float, test: float
) -> UserError:
    connected = [
        splits[np.diff(edges.indptr) > 0] for splits, edges in ((skills, graph.edges), (neighbours, graph.transpose))
    ]
    counts = ", ".join(
        f"{name} {np.count_nonzero(connected[0] == split)} skills and "
        f"{np.count_nonzero(connected[1] == split)} {graph.kind} nodes"
        for split, name in enumerate(SPLIT_NAMES)
    )
    expected, change = {
        "train": ("edge between two training nodes", "Lower split.validation or split.test"),
        "validate": (
            "validation node with an edge",
            f"Raise split.validation above {validation}, set it to 0 to train without validation",
        ),
        "test": ("test node with an edge", f"Raise split.test above {test}, set it to 0"),
    }[purpose]
    return UserError(
        f"The split leaves nothing to {purpose} on in {graph.name}: of {graph.num_edges} edges, with "
        f"split.validation {validation} and split.test {test}, the nodes with an edge fall into {counts}; "
        f"expected at least one {expected}. {change}, set another split.salt, add edges, or leave {graph.kind!r} "
        "out of source.kinds."
    )
