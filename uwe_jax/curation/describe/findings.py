"""Findings of a description: rules with a threshold each, and advice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from uwe_jax.curation.describe.section import listed, percent
from uwe_jax.curation.describe.texts import RULES
from uwe_jax.evaluation.leakage import IN_DOMAIN
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.runtime.progress import counted

# Shares from which on a rule reports.
CUT = 0.05  # texts of a kind that are truncated
ONE_EDGE = 0.3  # skills with a single edge, of those with an edge in the graph
HUB = 0.2  # nodes of the other side that one node has an edge with, where there are HUB_NODES of them
HUB_NODES = 50
TOP_EDGES = 0.3  # edges of the 1 % of nodes of highest degree
JOINED = 0.5  # skills with an edge in a graph; fewer are reported
COVERED = 0.9  # skills of the taxonomy with an edge; fewer are reported
STRANGE = 0.01  # texts of a kind that a rule finds; of damaged texts a single one is reported
NEAR_EQUAL = 0.02  # texts of a kind that differ from another one in case, punctuation, white space or a plural
LOOPS = 0.01  # edges that join a text with itself
SHARED_ALIASES = 0.05  # aliases of several skills

Found = Mapping[str, Any]


def _cut(found: Found) -> Iterator[str]:
    for kind, each in found["truncation"].get("kinds", {}).items():
        if each["cut"] >= CUT * each["looked_at"] and each["cut"]:
            enough = -(-each["quantiles"]["0.99"] // 8) * 8
            yield (
                f"{percent(each['cut'], each['looked_at'])} of the {kind} texts are truncated at {each['limit']} "
                f"tokens; lengths.{kind} = {enough} would truncate at most 1 %."
            )


def _unknown(found: Found) -> Iterator[str]:
    for each in found["truncation"].get("kinds", {}).values():
        yield from each["unknown"]


def _damaged(found: Found) -> Iterator[str]:
    for kind, each in found["strange"].items():
        for name, rule in each["found"].items():
            if RULES[name].damage or rule["count"] >= STRANGE * each["looked_at"]:
                texts = counted(rule["count"], f"{kind} text")
                yield f"{texts}, of {each['looked_at']:,}, found by the rule: {RULES[name].meaning}."


def _leaks(found: Found) -> Iterator[str]:
    tasks = found["overlap"]["tasks"]
    if titles := [f"{task['title']} ({task['split']})" for task in tasks if task["leakage"]["domain"] == IN_DOMAIN]:
        yield f"Training on these graphs makes {', '.join(titles)} in-domain: their scores are not zero-shot results."
    for task in tasks:
        half = f"{task['title']} ({task['split']})"
        # Labels may well be shared; a sentence in both was annotated for the task.
        if task["query_kind"] == "vacancy" and task["leakage"]["queries"]:
            yield (
                f"{task['leakage']['queries']:,} of {task['queries']:,} sentences of {half} are texts of the graphs, "
                f"such as {listed(task['shared_queries'][:1])}."
            )
        elif task["leakage"]["domain"] != IN_DOMAIN and task["leakage"]["edges"]:
            yield f"{task['leakage']['edges']:,} of {task['edges']:,} query-target edges of {half} are in the graphs."


def _long_tail(found: Found) -> Iterator[str]:
    for kind, graph in found["graphs"].items():
        joined = graph["connected"][SKILL]
        one = graph["degrees"][SKILL]["bins"]["1"] if joined else 0
        if joined and one >= ONE_EDGE * joined:
            yield f"{percent(one, joined)} of the skills with an edge in skill-{kind} have exactly one."
        if joined < JOINED * found["skills"]:
            yield f"Only {percent(joined, found['skills'])} of all skills have an edge in skill-{kind}."


def _hubs(found: Found) -> Iterator[str]:
    for kind, graph in found["graphs"].items():
        for side, each in graph["degrees"].items():
            others = graph["connected"][kind if side == SKILL else SKILL]
            top = each["top"][0]
            if others >= HUB_NODES and top["degree"] >= HUB * others:
                yield (
                    f"The {side} {top['text']!r} has an edge with {percent(top['degree'], others)} of the other side "
                    f"of skill-{kind}: such a node says little about any of them."
                )
            # Of fewer than 500 nodes, 1 % is only a few.
            if graph["connected"][side] >= 500 and each["top_edges"] >= TOP_EDGES * graph["edges"]:
                yield (
                    f"1 % of the {side} nodes of skill-{kind} have {percent(each['top_edges'], graph['edges'])} of its "
                    "edges."
                )
        aliases = graph["connected"]["alias"] if kind == "alias" else 0
        several = aliases - graph["degrees"]["alias"]["bins"]["1"] if aliases else 0
        if several and several >= SHARED_ALIASES * aliases:
            yield f"{several:,} of {aliases:,} aliases ({percent(several, aliases)}) belong to several skills."


def _uncovered(found: Found) -> Iterator[str]:
    taxonomy = found["taxonomy"]
    if "missing" not in taxonomy and taxonomy["skills"] - taxonomy["uncovered"] < COVERED * taxonomy["skills"]:
        yield (
            f"{taxonomy['uncovered']:,} of the {taxonomy['skills']:,} skills of {taxonomy['origin']} "
            f"({percent(taxonomy['uncovered'], taxonomy['skills'])}) have no edge."
        )


def _near_equal(found: Found) -> Iterator[str]:
    for kind, each in found["duplicates"]["within"].items():
        surplus = each["levels"]["plural"]["surplus"]
        if surplus and surplus >= NEAR_EQUAL * each["texts"]:
            yield (
                f"{surplus:,} of {each['texts']:,} {kind} texts ({percent(surplus, each['texts'])}) differ from "
                "another node in case, punctuation, white space or a plural only."
            )
    for kind, count in found["duplicates"]["loops"].items():
        if count and count >= LOOPS * found["graphs"][kind]["edges"]:
            share = percent(count, found["graphs"][kind]["edges"])
            yield f"{share} of the edges of skill-{kind} join a text with itself."


# In the order of the report.
_RULES = (_leaks, _damaged, _cut, _unknown, _uncovered, _long_tail, _hubs, _near_equal)


def findings(found: Found) -> list[str]:
    """Returns a sentence for everything that the rules find in a description."""
    return [sentence for rule in _RULES for sentence in rule(found)]
