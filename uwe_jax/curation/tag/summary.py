"""Summary of a tagging, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from uwe_jax.curation.describe.section import percent
from uwe_jax.curation.tag.by_model import ALONE, FILTERED, READ, TAGGED, TRUNCATED, UNKNOWN
from uwe_jax.sources.vacancies import tagger

_TOP = 10  # skills


def summary_table(result: Mapping[str, Any]) -> str:
    """Formats tagging.json: rows, sentences and edges by relation, what was left out, and the most frequent skills."""
    counts, edges, broken = Counter(result["counts"]), Counter(result["edges"]), result["broken"]
    sentences, by_model = counts[tagger.SENTENCES_READ], counts[TAGGED]
    tagged = counts[tagger.NAMED] + counts[ALONE]
    lines = [("rows", counts[tagger.ROWS], "")]
    if broken["count"]:
        lines.append(("broken rows, left out", broken["count"], broken["shown"][0]))
    lines += [(name, counts[name], "") for name in (tagger.OWN, tagger.LINKED, tagger.UNLINKED) if counts[name]]
    lines.append(("sentences", sentences, ""))
    lines.append(("  that name a skill", counts[tagger.NAMED], percent(counts[tagger.NAMED], sentences)))
    if result["model"]:
        lines.append(("  tagged by the model", by_model, f"{percent(by_model, sentences)}, {result['model']}"))
        if counts[TRUNCATED]:
            limit = f"of {counts[READ]:,} that it read, at {result['max_tokens']} tokens"
            lines.append(("  truncated", counts[TRUNCATED], limit))
        if counts[FILTERED]:
            lines.append(("  without a skill, by the filter", counts[FILTERED], percent(counts[FILTERED], sentences)))
        if counts[UNKNOWN]:
            lines.append(("  with unknown tokens", counts[UNKNOWN], f"of {counts[READ]:,} that it read"))
    lines.append(("  untagged", sentences - tagged, percent(sentences - tagged, sentences)))
    lines += [(name, counts[name], "") for name in tagger.LEFT_OUT if name != tagger.UNNAMED and counts[name]]
    for graph in (tagger.JOB, tagger.VACANCY):
        by_relation = {relation: edges[f"{graph}/{relation}"] for relation in tagger.RELATIONS}
        said = ", ".join(f"{relation} {number:,}" for relation, number in by_relation.items() if number)
        lines.append((f"edges {graph}", sum(by_relation.values()), said))
    lines.append((tagger.SKILLS, counts[tagger.SKILLS], "in vacancies.jsonl"))
    lines.append(("distinct skills", result["skills"], ""))
    width = max(len(name) for name, *_ in lines)
    numbers = max(len(f"{number:,}") for _, number, _ in lines)
    table = [f"{name:<{width}}  {number:>{numbers},}  {note}".rstrip() for name, number, note in lines]
    top = ", ".join(f"{skill} {number:,}" for skill, number in result["top_skills"][:_TOP])
    return "\n".join([*table, f"Most edges: {top or 'none'}"])
