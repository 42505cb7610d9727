"""Texts of the nodes: the longest, those that a rule finds strange, and those truncated at the configured lengths."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from uwe_jax.config import LengthSettings
from uwe_jax.curation.describe.section import Grid, Section, examples, listed, percent, sampled
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.markup import has_markup
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.statistics import fixed_sample
from uwe_jax.sources.tables.problems import shorten

# Texts of a kind that the rules examine; of more, a sample is drawn.
MOST_TEXTS = 300_000
# Texts of a kind that are tokenised; of more, a sample is drawn. Fewer are tokenised as a training run does, which then
# finds them in its cache.
MOST_TOKENISED = 200_000
_LONGEST = 10
_SHOWN = 300  # characters of the longest texts
_QUANTILES = (0.5, 0.95, 0.99)

# Characters above which a text is too long for a label, or for a sentence or two.
LONG_LABEL, LONG_SENTENCE = 150, 1000

# Second and later bytes of a UTF-8 sequence, read as Windows-1252 or Latin-1.
_LATER = "".join(bytes([byte]).decode("cp1252", "ignore") + chr(byte) for byte in range(0x80, 0xC0))
# Only first bytes that occur in practice: others are letters before a closing quote, as in a German "groß" in quotes.
_MOJIBAKE = re.compile(
    f"[\u00c2\u00c3][{_LATER}]|\u00e2[\u20ac\u201a\u201e\u2020\u02c6\u2030][{_LATER}]?|\u00ef\u00bb\u00bf|\u00f0\u0178"
)
_ADDRESS = re.compile(r"https?://|\bwww\.|[\w.]@\w[\w-]*\.\w", re.I)
_RUN = re.compile(r"([^\W\d]|[^\w\s])\1{3}")
_WORD_RUN = re.compile(r"\b(\w+)(?:\W+\1\b){2}", re.I)
_NOT_LETTERS = re.compile(r"[\W\d_]")
_PLACEHOLDERS = {"n/a", "na", "nan", "nil", "none", "null", "other", "tbd", "test", "todo", "unk", "unknown", "xxx"}
# Between letters, joiners belong to the spelling of some scripts.
_JOINERS = "\u200c\u200d"
_LEAST_LETTERS = 0.5


def _unreadable(text: str) -> bool:
    return any(unicodedata.category(c)[0] == "C" and c not in _JOINERS for c in text)


def _letters(text: str) -> int:
    """Counts letters and combining marks."""
    if text.isascii():
        return len(text) - len(_NOT_LETTERS.findall(text))
    return sum(unicodedata.category(c)[0] in "LM" for c in text)


def _few(text: str) -> bool:
    letters = _letters(text)
    return not letters or (len(text) > 3 and letters < _LEAST_LETTERS * (len(text) - text.count(" ")))


class Rule(NamedTuple):
    """A reason to find a text strange."""

    meaning: str  # as tables show it
    holds: Callable[[str, str], object]  # true of a strange text and the kind of its node
    damage: bool = False  # such texts are damaged, not only unusual


RULES = {
    "replacement": Rule("the replacement character U+FFFD: a letter was lost", lambda text, _: "\ufffd" in text, True),
    "mojibake": Rule("UTF-8 read as Windows-1252, such as Ã© for é", lambda text, _: _MOJIBAKE.search(text), True),
    "invisible": Rule(
        "control, invisible, private or unassigned characters",
        lambda text, _: not text.isprintable() and _unreadable(text),
        True,
    ),
    "html": Rule("HTML tags or entities", lambda text, _: has_markup(text), True),
    "placeholder": Rule("a placeholder such as unknown or n/a", lambda text, _: text.casefold() in _PLACEHOLDERS, True),
    "address": Rule(
        "a web or e-mail address", lambda text, _: ("." in text or "://" in text) and _ADDRESS.search(text)
    ),
    "one_character": Rule("a single character", lambda text, _: len(text) == 1),
    "few_letters": Rule(
        f"no letter, or fewer than {100 * _LEAST_LETTERS:g} % letters in 4 characters or more",
        lambda text, _: _few(text),
    ),
    "capitals": Rule("10 letters or more, all capitals", lambda text, _: text.isupper() and _letters(text) >= 10),
    "repeats": Rule(
        "a letter or sign four times in a row, or a word three times",
        lambda text, _: _RUN.search(text) or _WORD_RUN.search(text),
    ),
    "long": Rule(
        f"more than {LONG_LABEL} characters, or {LONG_SENTENCE:,} in a vacancy sentence",
        lambda text, kind: len(text) > (LONG_SENTENCE if kind == "vacancy" else LONG_LABEL),
    ),
}


def reasons(text: str, kind: str) -> list[str]:
    """Returns the names of the rules that find a text strange.

    >>> reasons("CAF\u00c3\u00a9 &amp; more", "job"), reasons("C++", "skill"), reasons("C", "skill")
    (['mojibake', 'html'], [], ['one_character'])
    """
    return [name for name, rule in RULES.items() if rule.holds(text, kind)]


def longest(texts: Sequence[str]) -> dict[str, Any]:
    """Returns characters of the texts of a kind: median, most, and the longest texts."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    order = np.argsort(-lengths, kind="stable")[:_LONGEST]
    return {
        "median": float(np.median(lengths)) if len(lengths) else 0.0,
        "most": int(lengths.max(initial=0)),
        "texts": [{"text": texts[place], "characters": int(lengths[place])} for place in order],
    }


def strange(texts: Sequence[str], kind: str, most: int = MOST_TEXTS) -> dict[str, Any]:
    """Counts the texts that each rule finds.

    Returns:
      looked_at: texts examined, of how many; any: texts that a rule finds; found: by rule, count and examples.
    """
    drawn = fixed_sample(len(texts), most)
    strangers: dict[str, list[str]] = {name: [] for name in RULES}
    count = 0
    for place in drawn.tolist():
        names = reasons(texts[place], kind)
        count += bool(names)
        for name in names:
            strangers[name].append(texts[place])
    found = {name: {"count": len(each), "examples": examples(each)} for name, each in strangers.items() if each}
    return {"looked_at": len(drawn), "of": len(texts), "any": count, "found": found}


def measure(graphs: GraphSet) -> dict[str, Any]:
    """Returns `longest` and `strange` texts by kind."""
    texts = graphs.texts
    return {
        "longest": {kind: longest(each) for kind, each in texts.items()},
        "strange": {kind: strange(each, kind) for kind, each in texts.items()},
    }


def longest_section(found: Mapping[str, Any]) -> Section:
    """Renders the longest texts."""
    header, rows, page = ("nodes", "median characters", "most", "longest text"), [], []
    for kind, each in found.items():
        texts = [[shorten(top["text"], _SHOWN), f"{top['characters']:,}"] for top in each["texts"]]
        rows.append([kind, f"{each['median']:,.0f}", f"{each['most']:,}", texts[0][0]])
        page += [[kind, *text] for text in texts[1:]]
    further = Grid(("nodes", "next longest texts", "characters"), page, left=(0, 1), page_only=True)
    return Section("Longest texts", (), [Grid(header, rows, left=(0, 3)), further])


def strange_section(found: Mapping[str, Any]) -> Section:
    """Renders what the rules find, with examples."""
    rows = []
    for kind, each in found.items():
        for name, rule in each["found"].items():
            counts = (f"{rule['count']:,}", percent(rule["count"], each["looked_at"]))
            rows.append([kind, RULES[name].meaning, *counts, listed(rule["examples"])])
    kinds = ", ".join(f"{each['any']:,} of {each['looked_at']:,} {kind} texts" for kind, each in found.items())
    return Section(
        "Strange texts",
        [f"Rules find {kinds}; a text may be found by several.", *sampled(found)],
        [Grid(("nodes", "reason", "texts", "share", "examples"), rows, left=(0, 1, 4))],
    )


def truncated(graphs: GraphSet, encoder: str, lengths: LengthSettings, cache_dir: Path) -> dict[str, Any]:
    """Counts texts that are truncated at `lengths` tokens, by kind.

    Returns:
      encoder; then either `missing`, the reason why there is no tokeniser, or `kinds`: by kind the limit, texts
      looked_at, of how many, those that are cut, quantiles and most tokens of a text, special tokens included,
      and a sentence on texts with unknown tokens if there are any.
    """
    # Imported here: the hub's client takes a quarter of a second, and transformers seconds.
    from uwe_jax.models.resolve import resolve_encoder

    try:
        tokeniser = Tokeniser(resolve_encoder(encoder, cache_dir=cache_dir).folder, cache_dir / "tokens")
    except (UserError, OSError) as error:
        return {"encoder": encoder, "missing": str(error)}
    kinds = {}
    for kind, texts in graphs.texts.items():
        drawn = fixed_sample(len(texts), MOST_TOKENISED)
        chosen = texts if len(drawn) == len(texts) else [texts[place] for place in drawn]
        table = tokeniser.table(chosen, label=f"{kind} nodes")
        counts = tokeniser.truncation_of(table, chosen, getattr(lengths, kind))
        quantiles = np.quantile(table.lengths, _QUANTILES, method="inverted_cdf")
        kinds[kind] = {
            "limit": counts.limit,
            "looked_at": counts.texts,
            "of": len(texts),
            "cut": counts.truncated,
            "quantiles": {f"{q:g}": int(value) for q, value in zip(_QUANTILES, quantiles, strict=True)},
            "most": counts.longest,
            "unknown": counts.unknown_notes(f"{kind} text"),
        }
    return {"encoder": encoder, "kinds": kinds}


def truncated_section(found: Mapping[str, Any]) -> Section:
    """Renders truncation by kind, or why it was not counted."""
    title = "Truncated texts"
    if "missing" in found:
        return Section(title, [f"Not counted: the encoder's tokeniser is not available. {found['missing']}"])
    rows = []
    for kind, each in found["kinds"].items():
        cut = (f"{each['cut']:,}", percent(each["cut"], each["looked_at"]))
        lengths = (f"{value:,}" for value in (*each["quantiles"].values(), each["most"]))
        rows.append([kind, f"{each['looked_at']:,}", f"{each['limit']}", *cut, *lengths])
    quantiles = (f"{100 * q:g} %" for q in _QUANTILES)
    return Section(
        title,
        [f"Tokens per text by the tokeniser of {found['encoder']}, special tokens included."],
        [Grid(("nodes", "texts", "limit", "truncated", "share", *quantiles, "longest"), rows)],
        sampled(found["kinds"]),
    )
