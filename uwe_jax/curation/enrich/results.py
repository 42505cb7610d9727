"""Results of an enrichment: edges with their provenance, rejected texts, and a report of cost and long tail."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uwe_jax.curation.describe.degrees import binned
from uwe_jax.curation.enrich.checks import Nearness
from uwe_jax.curation.enrich.generators import Candidate, Rejected
from uwe_jax.curation.enrich.plan import Request, degrees
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically
from uwe_jax.runtime.kinds import GRAPH_KINDS, SKILL

REPORT, ANSWERS, REJECTED = "enrichment.json", "answers.jsonl", "rejected.jsonl"

# Least number of edges of each bin of the long tail, and its name.
_LONG_TAIL = {0: "0", 1: "1", 2: "2", 3: "3-5", 6: "6-10", 11: "11+"}
_EDGE = ("left", "right", "relation", "left_id", "right_id")
_TEXTS = ("generator", "model", "prompt_hash", "sibling", "answer_key")


def check_out(out: Path) -> None:
    """Raises UserError where `out` has edge files that no enrichment has written."""
    # Answers are written before anything else, so a kill leaves no folder that seems to be of another origin.
    ours = (out / REPORT).exists() or (out / ANSWERS).exists()
    if foreign := [] if ours else sorted(path.name for path in out.glob(f"{SKILL}_*")):
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
    """Writes a file per kind with an edge, each atomically; `with_source` adds the edges of the graphs.

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
    relation = "template" if candidate.generator == "template" else "generated"
    ends = (graphs.skills[skill], candidate.text, relation, graphs.skill_ids[skill], "")
    sibling = {"sibling": graphs.skills[near.sibling]}
    return {**vars(candidate), **near._asdict(), **sibling, **dict(zip(_EDGE, ends, strict=True))}


def count(
    requests: Sequence[Request],
    answered: Sequence[Request],
    accepted: Sequence[tuple[Candidate, Nearness]],
    rejected: Sequence[Rejected],
    graphs: GraphSet,
) -> dict[str, dict[str, Any]]:
    """Counts by kind of the graph.

    Returns:
      asked: skills that texts were requested for; answered: those with an answer; taken: accepted texts; enriched:
      skills with at least one of them; rejected: texts and answers by reason, the most frequent first; before, after:
      skills by number of edges, without and with the new edges.
    """
    found = {}
    for kind in dict.fromkeys(each.kind for each in requests):
        taken = [each.request.skill for each, _ in accepted if each.request.kind == kind]
        degree = degrees(graphs, kind)
        new = np.bincount(np.array(taken, np.int64), minlength=len(degree))
        found[kind] = {
            "asked": sum(each.kind == kind for each in requests),
            "answered": sum(each.kind == kind for each in answered),
            "taken": len(taken),
            "enriched": len(set(taken)),
            "rejected": dict(Counter(each.reason for each in rejected if each.kind == kind).most_common()),
            "before": binned(degree, _LONG_TAIL),
            "after": binned(degree + new, _LONG_TAIL),
        }
    return found


def report_text(counts: dict[str, dict[str, Any]]) -> str:
    """Formats the counts for people."""
    lines = []
    for kind, each in counts.items():
        lines.append(
            f"skill-{kind}: {each['taken']:,} new edges for {each['enriched']:,} skills, of {each['asked']:,} "
            f"requested and {each['answered']:,} answered"
        )
        if each["rejected"]:
            lines.append("  rejected: " + ", ".join(f"{n:,} {reason}" for reason, n in each["rejected"].items()))
        tail = ", ".join(f"{edges}: {n:,} -> {each['after'][edges]:,}" for edges, n in each["before"].items())
        lines.append(f"  skills by number of edges: {tail}")
    return "\n".join(lines)
