"""Near-duplicates: nodes whose texts differ in spelling, in a plural, or in the order of their words alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from uwe_jax.curation.describe.section import Grid, Section, examples, listed, with_share
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.text import singular
from uwe_jax.runtime.kinds import SKILL

# A plus and a hash tell C, C++ and C# apart.
_SIGNS = re.compile(r"[^\w+#]+|_+")


def spelling(text: str) -> str:
    """Removes case, punctuation and runs of white space; keeps a text of nothing else.

    >>> spelling("Self-motivation (team)"), spelling("C++"), spelling("...")
    ('self motivation team', 'c++', '...')
    """
    return _SIGNS.sub(" ", text.casefold()).strip() or text


def sorted_words(key: str) -> str:
    """Sorts the words of a key."""
    return " ".join(sorted(key.split()))


# Each applied to the key of the one before it, so that every level joins at least as much as the last one.
LEVELS: dict[str, tuple[str, Callable[[str], str]]] = {
    "spelling": ("case, punctuation, white space", spelling),
    "plural": ("and plural endings", singular),
    "order": ("and the order of words", sorted_words),
}


def near_equal(texts: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Counts the texts of a kind that each of LEVELS would join with another one.

    Returns:
      By level `surplus`: texts less distinct keys; and `examples`: groups of texts joined by this level and not by the
      one before. And the keys of the first level.
    """
    found: dict[str, Any] = {}
    keys: list[str] = list(texts)
    first: list[str] = []
    for name, (_, key_of) in LEVELS.items():
        before, keys = keys, [key_of(key) for key in keys]
        first = first or keys
        joined = [[texts[place] for place in group.values()] for group in _groups(keys, before)]
        found[name] = {"surplus": len(keys) - len(set(keys)), "examples": examples(joined)}
    return found, first


def _groups(keys: Iterable[str], before: Iterable[str]) -> list[dict[str, int]]:
    """For every key that several earlier keys share: the first position of each of these."""
    firsts: dict[str, tuple[str, int]] = {}
    groups: dict[str, dict[str, int]] = {}
    for place, (key, old) in enumerate(zip(keys, before, strict=True)):
        known, first = firsts.setdefault(key, (old, place))
        if old != known:
            groups.setdefault(key, {known: first}).setdefault(old, place)
    return list(groups.values())


def measure(graphs: GraphSet) -> dict[str, Any]:
    """Counts duplicates within kinds and between them, and edges that join a text with itself.

    Returns:
      within: by kind `texts` and the `levels` of `near_equal`. between: for every two kinds that share texts their
      `kinds`, the number of `texts` of the first that the second has as well, and `examples`. loops: by kind of the
      graph, edges whose two texts are equal. The last two ignore case, punctuation and white space.
    """
    texts = graphs.texts
    number: dict[str, int] = {}
    within, ids = {}, {}
    for kind, each in texts.items():
        levels, keys = near_equal(each)
        within[kind] = {"texts": len(each), "levels": levels}
        ids[kind] = np.fromiter((number.setdefault(key, len(number)) for key in keys), np.int64, len(keys))
    between = []
    for one, other in combinations(texts, 2):
        shared = np.flatnonzero(np.isin(ids[one], ids[other]))
        if len(shared):
            shown = examples([texts[one][place] for place in shared])
            between.append({"kinds": [one, other], "texts": len(shared), "examples": shown})
    loops = {}
    for kind, graph in graphs.graphs.items():
        pairs = graph.edges.tocoo()
        loops[kind] = int(np.count_nonzero(ids[SKILL][pairs.coords[0]] == ids[kind][pairs.coords[1]]))
    return {"within": within, "between": between, "loops": loops}


def section(found: Mapping[str, Any]) -> Section:
    """Renders duplicates, from `measure`."""
    rows, groups = [], []
    for kind, each in found["within"].items():
        cells = (with_share(level["surplus"], each["texts"]) for level in each["levels"].values())
        rows.append([kind, f"{each['texts']:,}", *cells])
        for name, (meaning, _) in LEVELS.items():
            if shown := each["levels"][name]["examples"]:
                groups.append([kind, meaning, "; ".join(listed(group, " = ") for group in shown)])
    shared = [
        [" and ".join(each["kinds"]), f"{each['texts']:,}", listed(each["examples"])] for each in found["between"]
    ]
    loops = ", ".join(f"{count:,} of skill-{kind}" for kind, count in found["loops"].items())
    return Section(
        "Duplicates",
        ["Texts that equal another one of their kind, ignoring what a column names and those before it:"],
        [
            Grid(("nodes", "texts", *(meaning for meaning, _ in LEVELS.values())), rows),
            Grid(("nodes", "differ in", "examples"), groups, left=(0, 1, 2)),
            Grid(("nodes of both kinds", "texts", "examples"), shared, left=(0, 2)),
        ],
        [f"Edges that join a text with itself, ignoring case, punctuation and white space: {loops}."],
    )
