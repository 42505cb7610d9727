"""Real sentences and titles, and which of them are nearest to a skill."""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.text import normalise
from uwe_jax.evaluation.ranker import Ranker
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.edge_files import read_edge_folder

# Scores that exist at once: 64 MiB of float32.
_SCORES = 2**24


@dataclass(frozen=True)
class RealText:
    """A text of the real world.

    Attributes:
      text: normalised.
      id: where it is from: the source's identifier, a file with its line, or the text itself.
    """

    text: str
    id: str


@dataclass(frozen=True)
class Example(RealText):
    """A real text that is shown for a skill.

    Attributes:
      own: whether the graph joins it to the skill.
      score: by the ranker; -inf for an own text that it does not find.
    """

    own: bool
    score: float


def real_texts(
    graphs: GraphSet, kind: str, files: Sequence[str], setting: str, refused: Container[str] = ()
) -> tuple[list[RealText], int]:
    """The texts of one kind in the graphs and in further files, each once.

    Args:
      graphs: whose neighbours of this kind are real.
      kind: vacancy for sentences, job for titles.
      files: text files, one text a line, or folders of edge files.
      setting: that names the files, for messages.
      refused: texts of the files that are left out; what the graphs hold is trained on anyway.

    Returns:
      The texts, and how many of the files were left out.

    Raises:
      UserError: a file cannot be read.
    """
    found: dict[str, RealText] = {}
    if graph := graphs.graphs.get(kind):
        connected = np.flatnonzero(np.diff(graph.transpose.indptr))
        found = {graph.neighbours[n]: RealText(graph.neighbours[n], graph.neighbour_ids[n]) for n in connected}
    left_out = 0
    for name in files:
        for each in _read(Path(name).expanduser(), kind, setting):
            if each.text in refused:
                left_out += 1
            else:
                found.setdefault(each.text, each)
    return list(found.values()), left_out


def _read(path: Path, kind: str, setting: str) -> Iterator[RealText]:
    if path.is_dir():
        columns = read_edge_folder(path, (kind,))[kind]
        _, first = np.unique(columns.right, return_index=True)
        nodes = columns.right_nodes.take(columns.right[np.sort(first)])
        yield from map(RealText, nodes.texts.to_pylist(), nodes.known_ids().to_pylist())
        return
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{setting} names {path}, which cannot be read ({error}). Expected a UTF-8 text file with one text a line, "
            f"or a folder with skill_{kind} edge files."
        ) from error
    for number, line in enumerate(lines, 1):
        if text := normalise(line):
            yield RealText(text, f"{path.name}, line {number}")


def nearest_examples(
    ranker: Ranker, graphs: GraphSet, kind: str, skills: Sequence[int], texts: Sequence[RealText], k: int
) -> list[list[Example]]:
    """The k real texts nearest to each skill: its own neighbours in the graph first, then what the ranker finds.

    Args:
      ranker: of texts for the labels of skills.
      graphs: with the skills.
      kind: of the texts.
      skills: positions.
      texts: from `real_texts`.
      k: texts wanted.

    Returns:
      Up to k texts for every skill.
    """
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
        examples.append([Example(texts[n].text, texts[n].id, n in own, score.get(n, -np.inf)) for n in shown])
    return examples


def nearest(ranker: Ranker, queries: Sequence[str], texts: Sequence[str], k: int) -> list[list[tuple[int, float]]]:
    """Position and score of the k texts that score highest for each query, best first.

    Texts that score alike are taken from a place on that hangs on the query, so that queries that have nothing in
    common with any text do not all get the same ones.

    >>> from uwe_jax.evaluation.lexical import TfIdf
    >>> nearest(TfIdf.of_words(), ["cook rice"], ["a nurse", "rice", "fresh rice"], 1)
    [[(1, 1.0)]]
    """
    if not k or not texts or not queries:
        return [[] for _ in queries]
    score = ranker.index(texts)
    chunk = max(1, min(512, _SCORES // len(texts)))
    found = []
    for start in range(0, len(queries), chunk):
        part = queries[start : start + chunk]
        for query, row in zip(part, score(part), strict=True):
            found.append(_best(row, k, zlib.crc32(query.encode("utf-8", "surrogatepass")) % len(texts)))
    return found


def _best(row: np.ndarray, k: int, first: int) -> list[tuple[int, float]]:
    k = min(k, len(row))
    least = np.partition(row, len(row) - k)[len(row) - k]
    candidates = np.flatnonzero(row >= least)
    order = np.lexsort(((candidates - first) % len(row), -row[candidates]))
    return [(n, float(row[n])) for n in candidates[order[:k]].tolist()]
