"""Training hashes: hashes of the texts and edges that a model was trained on, saved beside every checkpoint.

With them an evaluation counts how many of its queries, targets and query-target pairs were in the training graphs.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.text import comparable, normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically
from uwe_jax.runtime.zips import ZIP_DAMAGE, read_npz

# The form of a text that is hashed, by number. Files that name no form have the first.
_FORMS: dict[int, Callable[[str], str]] = {1: lambda text: normalise(text).casefold(), 2: comparable}
_FORM = 2


def text_hashes(texts: Iterable[str], form: int = _FORM) -> np.ndarray:
    """Returns 64-bit hashes of texts, uint64 [n]; they depend on the texts' `comparable` form."""
    form_of = _FORMS[form]
    digests = (hashlib.blake2b(form_of(text).encode("utf-8", "surrogatepass"), digest_size=8) for text in texts)
    return np.frombuffer(b"".join(digest.digest() for digest in digests), "<u8").astype(np.uint64)


def pair_hashes(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns 64-bit hashes of unordered pairs of text hashes, uint64 [n]."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    # An odd multiplier is a bijection of 64-bit words; without it, pairs of the same sum or xor would collide.
    return (low * np.uint64(0x9E3779B97F4A7C15)) ^ (high + np.uint64(0x7F4A7C15F39CC060))


def held(hashes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns which hashes are among the sorted known ones; NumPy's `isin` would sort millions of them each time."""
    if not len(known):
        return np.zeros(len(hashes), bool)
    return known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes


def task_hashes(
    queries: Iterable[str], targets: Iterable[str], relevant: csr_array, form: int = _FORM
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes an evaluation's queries [q], targets [n] and pairs of `relevant`, bool [q, n], in their order [e]."""
    q, y = text_hashes(queries, form), text_hashes(targets, form)
    rows = np.repeat(np.arange(relevant.shape[0]), np.diff(relevant.indptr))
    return q, y, pair_hashes(q[rows], y[relevant.indices])


@dataclass(frozen=True)
class Overlap:
    """The part of an evaluation that is in the training graphs."""

    queries: np.ndarray  # bool [q], the query's text is a training node
    targets: np.ndarray  # bool [n], the target's text is a training node
    edges: np.ndarray  # bool [e], in the order of the relevant pairs: query and target have a training edge


@dataclass(frozen=True)
class TrainingHashes:
    """Hashes of the texts and of the edges that were trained on, each sorted and without repeats."""

    nodes: np.ndarray  # uint64
    edges: np.ndarray  # uint64
    forms: tuple[int, ...] = (_FORM,)  # of the hashed texts; several in a union with an older one

    @classmethod
    def of(cls, train: GraphSet) -> TrainingHashes:
        """Hashes the edges of training graphs, and the nodes that have one, with the names that they go by in batches.

        Edges of a name are those with the labels of its node's neighbours. Those between two names are left out: their
        number is the product of both sides' names, and an evaluation's target is known by its label.
        """
        skills = text_hashes(train.skills)
        nodes, edges = [], []
        for graph in train.graphs.values():
            pairs = graph.edges.tocoo()
            left, right = skills[pairs.coords[0]], text_hashes(graph.neighbours)[pairs.coords[1]]
            nodes += [np.unique(left), np.unique(right)]
            edges.append(pair_hashes(left, right))
        further = {kind: text_hashes(names.texts) for kind, names in train.names.items()}
        for kind, other, name, neighbour in train.name_edges():
            named, labels = further[kind][name], text_hashes(train.texts[other])[neighbour]
            nodes.append(np.unique(named))
            edges.append(np.unique(pair_hashes(named, labels)))
        return cls(np.unique(np.concatenate(nodes)), np.unique(np.concatenate(edges)))

    @classmethod
    def union(cls, all_hashes: Iterable[TrainingHashes]) -> TrainingHashes:
        """Joins the training hashes of several models."""
        several = list(all_hashes)
        return cls(
            np.unique(np.concatenate([each.nodes for each in several])),
            np.unique(np.concatenate([each.edges for each in several])),
            tuple(sorted({form for each in several for form in each.forms})),
        )

    def overlap(self, queries: Iterable[str], targets: Iterable[str], relevant: csr_array) -> Overlap:
        """Finds q queries, n targets and their relevant pairs, bool [q, n], in the training graphs."""
        texts = list(queries), list(targets)
        known = self.nodes, self.nodes, self.edges
        found = [map(held, task_hashes(*texts, relevant, form), known) for form in self.forms]
        return Overlap(*(np.any(each, axis=0) for each in zip(*found, strict=True)))

    def write(self, path: Path) -> None:
        """Writes the hashes atomically."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, nodes=self.nodes, edges=self.edges, forms=self.forms)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> TrainingHashes | None:
        """Reads the file of `write`; None if there is none, UserError if it is damaged."""
        if not path.exists():
            return None
        try:
            arrays = read_npz(path)
            forms = tuple(map(int, arrays["forms"])) if "forms" in arrays else (1,)
            if unknown := set(forms) - _FORMS.keys():
                raise UserError(
                    f"{path} is of form {max(unknown)}; this version reads forms {min(_FORMS)} to {max(_FORMS)}. "
                    "Update uwe_jax."
                )
            return cls(arrays["nodes"], arrays["edges"], forms)
        except (KeyError, *ZIP_DAMAGE) as error:
            raise UserError(
                f"{path} is damaged ({error}): what the model was trained on is unknown. Re-run the training command: "
                "on a finished run it only writes this file and the table again."
            ) from error
