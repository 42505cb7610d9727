"""Edge files of an enrichment, with the provenance of every new edge."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from uwe_jax.curation.enrich.checks import Nearness
from uwe_jax.curation.enrich.generators import Candidate
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically
from uwe_jax.runtime.kinds import GRAPH_KINDS, SKILL

REPORT = "enrichment.json"
ANSWERS = "answers.jsonl"
REJECTED = "rejected.jsonl"

# The column relation of new edges by their generator.
RELATIONS = {"language_model": "generated", "template": "template"}

_EDGE = ("left", "right", "relation", "left_id", "right_id")
_TEXTS = ("generator", "model", "prompt_hash", "sibling", "answer_key")


def check_out(out: Path, *, writing: bool = True) -> None:
    """Raises UserError where `out` is a file, or has edge files of another origin: nothing is overwritten.

    Args:
      out: need not exist.
      writing: it must be writable as well.
    """
    try:
        there = next(each for each in (out, *out.absolute().parents) if each.exists())
        if not there.is_dir():
            raise UserError(f"Cannot write to {out}: {there} is a file. Name another folder with out.")
        # Answers are written before anything else, so a kill leaves no folder that seems to be of another origin.
        ours = (out / REPORT).exists() or (out / ANSWERS).exists()
    except PermissionError as error:
        raise UserError(f"Cannot read {out}: {error.strerror}. Name another folder with out.") from error
    if writing and not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"Cannot write to {out}: {there} is not writable. Name another folder with out.")
    foreign = [] if ours else sorted(path.name for path in out.glob(f"{SKILL}_*"))
    if foreign:
        raise UserError(
            f"{out} contains {', '.join(foreign[:5])}, not written by an enrichment. Name another folder with out; the "
            "source is never changed."
        )


def check_source(path: str) -> None:
    """Raises UserError where a source of edges or examples is the result of an enrichment."""
    if path and (Path(path).expanduser() / REPORT).exists():
        raise UserError(
            f"{path} is the result of an enrichment: its new texts would count as edges and serve as real examples. "
            "Name the source that it was made from."
        )


def write_edges(
    out: Path, graphs: GraphSet, accepted: Sequence[tuple[Candidate, Nearness]], *, with_source: bool
) -> dict[str, dict[str, int]]:
    """Writes a file per kind, each atomically; none for a kind without an edge.

    Args:
      out: the folder.
      graphs: that were enriched.
      accepted: new texts.
      with_source: writes the edges of `graphs` as well.

    Returns:
      Rows by relation, by name of the file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [(name, pa.string()) for name in (*_EDGE, *_TEXTS)]
        + [("grounding", pa.list_(pa.string())), ("score_skill", pa.float32()), ("score_sibling", pa.float32())]
        + [("rank", pa.int32())]
    )
    written = {}
    for kind in GRAPH_KINDS:
        rows = list(_source_rows(graphs, kind)) if with_source else []
        rows += [_row(graphs, *each) for each in accepted if each[0].request.kind == kind]
        path = out / f"{SKILL}_{kind}.parquet"
        if not rows:
            path.unlink(missing_ok=True)
            continue
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
        write_atomically(path, buffer.getvalue())
        written[path.name] = dict(Counter(row["relation"] for row in rows))
    return written


def _source_rows(graphs: GraphSet, kind: str) -> Iterator[dict[str, Any]]:
    if graph := graphs.graphs.get(kind):
        for s, n in zip(*(axis.tolist() for axis in graph.edges.tocoo().coords), strict=True):
            ends = (graph.skills[s], graph.neighbours[n], "source", graphs.skill_ids[s], graph.neighbour_ids[n])
            yield dict(zip(_EDGE, ends, strict=True))


def _row(graphs: GraphSet, candidate: Candidate, near: Nearness) -> dict[str, Any]:
    skill = candidate.request.skill
    return {
        "left": graphs.skills[skill],
        "right": candidate.text,
        "relation": RELATIONS[candidate.generator],
        "left_id": graphs.skill_ids[skill],
        "right_id": "",
        "generator": candidate.generator,
        "model": candidate.model,
        "prompt_hash": candidate.prompt_hash,
        "sibling": graphs.skills[near.sibling],
        "answer_key": candidate.key,
        "grounding": list(candidate.grounding),
        "score_skill": near.own,
        "score_sibling": near.other,
        "rank": near.rank,
    }
