"""New edges as a folder of edge files, with where each is from beside it."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from uwe_jax.curation.enrich.candidates import Accepted, Rejected
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically
from uwe_jax.runtime.kinds import GRAPH_KINDS, SKILL
from uwe_jax.runtime.printable import json_text

ACCOUNT = "enrichment.json"
ANSWERS = "answers.jsonl"
REJECTED = "rejected.jsonl"

# What stands in the column relation.
RELATIONS = {"language_model": "generated", "template": "template"}
FROM_SOURCE = "source"

_EDGE = ("left", "right", "relation", "left_id", "right_id")
_TEXTS = ("generator", "model", "prompt_hash", "sibling", "answer_key")


def edge_file(kind: str) -> str:
    """The name of the file of a graph."""
    return f"{SKILL}_{kind}.parquet"


def check_out(out: Path, *, writing: bool = True) -> None:
    """Raises UserError where `out` is no folder, or holds edge files that no enrichment wrote: none is overwritten.

    Args:
      out: need not be there.
      writing: whether it must be possible to write there.
    """
    try:
        there = next(each for each in (out, *out.absolute().parents) if each.exists())
        if not there.is_dir():
            raise UserError(f"Cannot write to {out}: {there} is a file. Name another folder with out.")
        # The answers are there before anything else is, so a kill leaves no folder that is taken for another's.
        ours = (out / ACCOUNT).exists() or (out / ANSWERS).exists()
    except PermissionError as error:
        raise UserError(f"Cannot read {out}: {error.strerror}. Name another folder with out.") from error
    if writing and not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"Cannot write to {out}: {there} may not be written to. Name another folder with out.")
    foreign = [] if ours else sorted(path.name for path in out.glob(f"{SKILL}_*"))
    if foreign:
        raise UserError(
            f"{out} holds {', '.join(foreign[:5])}, which no enrichment has written. Name another folder with out; the "
            "source is left as it is."
        )


def check_source(path: str) -> None:
    """Raises UserError where a source of edges or examples is an enrichment's result: new texts are no real ones."""
    if path and (Path(path).expanduser() / ACCOUNT).exists():
        raise UserError(
            f"{path} is the result of an enrichment: its new texts would count as edges and serve as real examples. "
            "Name the source that it was made from."
        )


def write_edges(
    out: Path, graphs: GraphSet, accepted: Sequence[Accepted], *, with_source: bool
) -> dict[str, dict[str, int]]:
    """Writes a file per kind, each atomically; a kind without an edge has none.

    Args:
      out: the folder.
      graphs: that were enriched.
      accepted: new texts.
      with_source: whether the edges of `graphs` stand in the files as well.

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
        rows += [_row(each, graphs) for each in accepted if each.candidate.request.kind == kind]
        path = out / edge_file(kind)
        if not rows:
            path.unlink(missing_ok=True)
            continue
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
        write_atomically(path, buffer.getvalue())
        written[path.name] = dict(Counter(row["relation"] for row in rows))
    return written


def write_rejected(path: Path, rejected: Sequence[Rejected]) -> None:
    """Writes what was not taken, one JSON object a line, atomically."""
    lines = (json_text(vars(each)) + "\n" for each in rejected)
    write_atomically(path, "".join(lines).encode())


def _source_rows(graphs: GraphSet, kind: str) -> Iterator[dict[str, Any]]:
    graph = graphs.graphs.get(kind)
    if graph is None:
        return
    pairs = graph.edges.tocoo()
    for s, n in zip(*(axis.tolist() for axis in pairs.coords), strict=True):
        ends = (graph.skills[s], graph.neighbours[n], FROM_SOURCE, graphs.skill_ids[s], graph.neighbour_ids[n])
        yield dict(zip(_EDGE, ends, strict=True))


def _row(accepted: Accepted, graphs: GraphSet) -> dict[str, Any]:
    candidate = accepted.candidate
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
        "sibling": accepted.sibling,
        "answer_key": candidate.key,
        "grounding": list(candidate.grounding),
        "score_skill": accepted.score_skill,
        "score_sibling": accepted.score_sibling,
        "rank": accepted.rank,
    }
