"""The account of an enrichment: what was asked, taken and refused, and what it did to the long tail."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import uwe_jax
from uwe_jax.curation.enrich.budget import Cost
from uwe_jax.curation.enrich.candidates import Accepted, Rejected
from uwe_jax.curation.enrich.edges_out import ACCOUNT, REJECTED, write_edges, write_rejected
from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.rare import degrees, long_tail
from uwe_jax.curation.enrich.settings import EnrichmentSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.files import write_json


@dataclass(frozen=True)
class KindCounts:
    """What became of one graph.

    Attributes:
      asked: skills that texts were asked for.
      answered: of them, those with an answer.
      taken: texts.
      enriched: skills with at least one of them.
      rejected: texts and answers by reason, the most frequent first.
      before: skills by their number of edges.
      after: the same with the new edges.
    """

    asked: int
    answered: int
    taken: int
    enriched: int
    rejected: dict[str, int]
    before: dict[str, int]
    after: dict[str, int]


def count(
    requests: Sequence[Request],
    answered: Sequence[Request],
    accepted: Sequence[Accepted],
    rejected: Sequence[Rejected],
    graphs: GraphSet,
) -> dict[str, KindCounts]:
    """The counts of every kind that was asked for."""
    found = {}
    for kind in dict.fromkeys(each.kind for each in requests):
        taken = [each.candidate.request.skill for each in accepted if each.candidate.request.kind == kind]
        degree = degrees(graphs, kind)
        new = np.bincount(np.array(taken, np.int64), minlength=len(degree))
        reasons = Counter(each.reason for each in rejected if each.kind == kind)
        found[kind] = KindCounts(
            asked=sum(each.kind == kind for each in requests),
            answered=sum(each.kind == kind for each in answered),
            taken=len(taken),
            enriched=len(set(taken)),
            rejected=dict(reasons.most_common()),
            before=dict(long_tail(degree)),
            after=dict(long_tail(degree + new)),
        )
    return found


def write_account(
    out: Path,
    settings: EnrichmentSettings,
    graphs: GraphSet,
    accepted: Sequence[Accepted],
    rejected: Sequence[Rejected],
    counts: dict[str, KindCounts],
    *,
    spent: Cost,
    complete: bool,
    notes: dict[str, Any],
) -> None:
    """Writes the edges, what was refused, and the account: incomplete at first, as it is at last.

    Args:
      out: the folder.
      settings: of the enrichment.
      graphs: that were enriched.
      accepted: texts that are taken.
      rejected: texts and answers that are not.
      counts: of every kind.
      spent: on all answers in the folder.
      complete: whether nothing is left to ask.
      notes: further entries.
    """
    account = {
        "version": uwe_jax.__version__,
        "complete": False,
        "files": {},
        "counts": {kind: dataclasses.asdict(each) for kind, each in counts.items()},
        "spent": {**dataclasses.asdict(spent), "money": spent.money(settings.endpoint)},
        "source_fingerprints": graphs.fingerprints(),
        **notes,
        "settings": settings.to_dict(),
    }
    # Before the first file of edges: a kill between two of them leaves no account that calls them complete.
    write_json(out / ACCOUNT, account)
    files = write_edges(out, graphs, accepted, with_source=settings.with_source)
    write_rejected(out / REJECTED, rejected)
    write_json(out / ACCOUNT, account | {"complete": complete, "files": files})


def account_text(counts: dict[str, KindCounts]) -> str:
    """The counts, for people."""
    lines = []
    for kind, each in counts.items():
        lines.append(
            f"skill-{kind}: {each.taken:,} new edges for {each.enriched:,} skills, of {each.asked:,} that were asked "
            f"for and {each.answered:,} answered"
        )
        if each.rejected:
            lines.append("  not taken: " + ", ".join(f"{n:,} {reason}" for reason, n in each.rejected.items()))
        tail = ", ".join(f"{edges}: {n:,} -> {each.after[edges]:,}" for edges, n in each.before.items())
        lines.append(f"  skills by number of edges: {tail}")
    return "\n".join(lines)
