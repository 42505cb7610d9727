"""Report of an enrichment: its cost, accepted and rejected texts, and the long tail before and after."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import uwe_jax
from uwe_jax.curation.enrich.budget import Cost
from uwe_jax.curation.enrich.checks import Nearness
from uwe_jax.curation.enrich.edges_out import REJECTED, REPORT, write_edges
from uwe_jax.curation.enrich.evaluation_texts import EvaluationTexts
from uwe_jax.curation.enrich.generators import Candidate, Rejected
from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.rare import degrees, long_tail
from uwe_jax.curation.enrich.settings import EnrichmentSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.files import write_atomically, write_json
from uwe_jax.runtime.printable import json_text


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
            "before": long_tail(degree),
            "after": long_tail(degree + new),
        }
    return found


def write_report(
    out: Path,
    settings: EnrichmentSettings,
    graphs: GraphSet,
    evaluation: EvaluationTexts,
    accepted: Sequence[tuple[Candidate, Nearness]],
    rejected: Sequence[Rejected],
    counts: dict[str, dict[str, Any]],
    *,
    spent: Cost,
    complete: bool,
) -> None:
    """Writes edges, rejected texts and the report into `out`.

    Args:
      counts: from `count`.
      spent: on all answers in the folder.
      complete: nothing is left to ask.
    """
    content = {
        "version": uwe_jax.__version__,
        "complete": False,
        "files": {},
        "counts": counts,
        "spent": {**dataclasses.asdict(spent), "money": spent.money(settings.endpoint)},
        "source_fingerprints": graphs.fingerprints(),
        "checked_by": settings.checks.ranker,
        "evaluation_texts": {"count": len(evaluation), "found": evaluation.found, "missing": evaluation.missing},
        "settings": settings.to_dict(),
    }
    # Before the first file of edges: a kill between two of them leaves no report that calls them complete.
    write_json(out / REPORT, content)
    files = write_edges(out, graphs, accepted, with_source=settings.with_source)
    write_atomically(out / REJECTED, "".join(json_text(vars(each)) + "\n" for each in rejected).encode())
    write_json(out / REPORT, content | {"complete": complete, "files": files})


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
