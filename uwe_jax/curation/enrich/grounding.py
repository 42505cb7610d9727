"""Real sentences and titles that ground requests: those nearest to a skill."""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.text import normalise
from uwe_jax.evaluation.measure import scored
from uwe_jax.evaluation.ranker import Ranker
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.edge_files import read_edge_folder


@dataclass(frozen=True)
class Example:
    """A real text, and how near it is to the skill that it is shown for."""

    text: str  # normalised
    id: str  # the source's identifier, a file with its line, or the text itself
    own: bool = False  # the graph joins it to the skill
    score: float = -np.inf  # by the ranker; -inf for an own text that it does not find


def real_texts(
    graphs: GraphSet, kind: str, files: Sequence[str], setting: str, refused: Container[str] = ()
) -> tuple[list[Example], int]:
    """Reads the texts of one kind in the graphs and in further files, each once.

    Args:
      files: text files with one text per line, or folders of edge files.
      setting: with the names of the files, for messages.
      refused: texts of the files that are left out; those of the graphs are trained on anyway.

    Returns:
      The texts, and how many of the files were left out.

    Raises:
      UserError: a file cannot be read.
    """
    found: dict[str, Example] = {}
    if graph := graphs.graphs.get(kind):
        connected = np.flatnonzero(np.diff(graph.transpose.indptr))
        found = {graph.neighbours[n]: Example(graph.neighbours[n], graph.neighbour_ids[n]) for n in connected}
    left_out = 0
    for name in files:
        for each in _read(Path(name).expanduser(), kind, setting):
            if each.text in refused:
                left_out += 1
            else:
                found.setdefault(each.text, each)
    return list(found.values()), left_out


def _read(path: Path, kind: str, setting: str) -> Iterator[Example]:
    if path.is_dir():
        columns = read_edge_folder(path, (kind,))[kind]
        _, first = np.unique(columns.right, return_index=True)
        nodes = columns.right_nodes.take(columns.right[np.sort(first)])
        yield from map(Example, nodes.texts.to_pylist(), nodes.known_ids().to_pylist())
        return
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{setting} names {path}, which cannot be read ({error}). Expected a UTF-8 text file with one text per "
            f"line, or a folder with skill_{kind} edge files."
        ) from error
    for number, line in enumerate(lines, 1):
        if text := normalise(line):
            yield Example(text, f"{path.name}, line {number}")


def nearest_examples(
    ranker: Ranker, graphs: GraphSet, kind: str, skills: Sequence[int], texts: Sequence[Example], k: int
) -> list[list[Example]]:
    """Selects up to k texts of a kind for each skill: its own neighbours in the graph first, then the nearest ones."""
    graph = graphs.graphs.get(kind)
    place = {each.text: number for number, each in enumerate(texts)}
    found = nearest(ranker, [graphs.skills[s] for s in skills], [each.text for each in texts], k)
    examples = []
    for s, row in zip(skills, found, strict=True):
        own = [place[graph.neighbours[n]] for n in graph.neighbours_of(s)] if graph and texts else []
        score = dict(row)
        # Of its own neighbours those first that the ranker finds as well.
        own.sort(key=lambda n: -score.get(n, -np.inf))
        shown = list(dict.fromkeys([*own, *score]))[:k]
        examples.append([dataclasses.replace(texts[n], own=n in own, score=score.get(n, -np.inf)) for n in shown])
    return examples


def nearest(ranker: Ranker, queries: Sequence[str], texts: Sequence[str], k: int) -> list[list[tuple[int, float]]]:
    """Finds position and score of the k texts that score highest for each query, best first.

    Ties are broken from a position that depends on the query, so that queries that have nothing in common with any
    text do not all get the same ones.

    >>> from uwe_jax.evaluation.lexical import TfIdf
    >>> nearest(TfIdf(), ["cook rice"], ["a nurse", "rice", "fresh rice"], 1)
    [[(1, 1.0)]]
    """
    if not k or not texts or not queries:
        return [[] for _ in queries]
    k = min(k, len(texts))
    found = []
    rows = itertools.chain.from_iterable(scored(ranker.index(texts), queries, len(texts), f"{ranker.name} on skills"))
    for query, row in zip(queries, rows, strict=True):
        first = zlib.crc32(query.encode("utf-8", "surrogatepass")) % len(texts)
        candidates = np.flatnonzero(row >= np.partition(row, len(row) - k)[len(row) - k])
        order = np.lexsort(((candidates - first) % len(row), -row[candidates]))
        found.append([(n, float(row[n])) for n in candidates[order[:k]].tolist()])
    return found
