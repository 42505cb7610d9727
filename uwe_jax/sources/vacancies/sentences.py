"""Converts descriptions, which may be HTML, to plain text, and splits them into sentences."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from uwe_jax.data.scripts import count_words
from uwe_jax.data.text import normalise

MIN_WORDS = 3
MAX_CHARACTERS = 400

# Tags that start a new line, and tags within a line.
_BLOCKS = (
    *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figure", "footer"),
    *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"),
    *("table", "td", "th", "tr", "ul"),
)
_INLINE = ("a", "b", "body", "em", "font", "html", "i", "img", "span", "strong", "style", "sub", "sup", "tbody", "u")
# Plain text may contain <5 years or <COMPANY>: only text with a tag of HTML is HTML.
_NAMES = "|".join((*_BLOCKS, *_INLINE))
_TAG = re.compile(rf"</?(?:{_NAMES})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_ESCAPED_TAG = re.compile(rf"&lt;/?(?:{_NAMES})(?:\s.*?)?/?&gt;", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
_BREAK = "\x1e"  # a line break of the layout, unlike those of the source; occurs in no text
_BLOCK = re.compile(rf"</?(?:{'|'.join(_BLOCKS)})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_UNSEEN = ["script", "style", "template", "noscript", "head"]

_LINE = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Characters that open a list item anywhere, and those that do so only between spaces or at the start.
_INLINE_BULLET = re.compile(r"[•▪◦●■□‣\u2043∙►➢✓✔]|(?<=\s)[*·](?=\s)")
_ITEM = re.compile(r"^\s*(?:[-*+\u2013\u2014·>o]\s+|\(?\d{1,2}[.)]\s+|\(?[a-z]\)\s+)+")
# Mail and terminals wrap prose: a long line without a final mark continues in lower case.
_OPEN_END, _GOES_ON = re.compile(r"[\w,]"), re.compile("[a-z]")
_WRAP_WIDTH = 60


def plain_text(text: str) -> str:
    r"""Returns HTML as a browser shows it, one line per paragraph, list item and cell, and other text unchanged.

    HTML that was escaped twice, as in feeds, is read as well.

    >>> plain_text("<p>We &amp; you<br>build</p><ul><li>Python</li><li>C&#43;&#43;</li></ul>")
    'We & you\nbuild\nPython\nC++'
    >>> plain_text("<5 years in R&amp;D\nat <COMPANY>")
    '<5 years in R&D\nat <COMPANY>'
    """
    if "<" not in text and "&" not in text:
        return text
    if not _TAG.search(text):
        if not _ESCAPED_TAG.search(text):
            return html.unescape(text) if _ENTITY.search(text) else text
        text = html.unescape(text)
    # imported lazily: most descriptions are plain text, and other sources do not need it
    from selectolax.lexbor import LexborHTMLParser

    # Inserting breaks into the source is three times as fast as into the nodes of the tree.
    tree = LexborHTMLParser(_BLOCK.sub(rf"{_BREAK}\g<0>{_BREAK}", text.replace(_BREAK, " ")))
    tree.strip_tags(_UNSEEN)
    shown = tree.body.text() if tree.body else ""
    lines = (" ".join(line.split()) for line in shown.split(_BREAK))
    return "\n".join(line for line in lines if line)


def cut_sentences(text: str, language: str = "en") -> list[str]:
    """Splits a plain text into its sentences, normalised.

    Line breaks and bullets separate; the text between them is split by sentencex, with the rules and abbreviations of
    the language. Bullets and numbers of list items are removed.

    Args:
      language: code such as en, of several the first; sentencex falls back to a related one.

    >>> cut_sentences("You:\\n• know e.g. C# and .NET. Mr. Li helps.\\n2) plan shifts")
    ['You:', 'know e.g. C# and .NET.', 'Mr. Li helps.', 'plan shifts']
    """
    # imported lazily: other sources do not need it
    import sentencex

    found, code = [], language.split(",")[0].strip().lower()
    for line in _unwrapped(text):
        for item in _INLINE_BULLET.split(line):
            bare = _ITEM.sub("", item)
            for segment in _joined(sentencex.segment(code, bare)) if bare.strip() else ():
                if tidy := normalise(segment):
                    found.append(tidy)
    return found


def length_problem(sentence: str, min_words: int = MIN_WORDS, max_characters: int = MAX_CHARACTERS) -> str:
    """Returns "short" or "long" for a sentence to leave out, else "".

    >>> length_problem("Apply now!"), length_problem("You weld metal."), length_problem("word " * 100)
    ('short', '', 'long')
    """
    if len(sentence) > max_characters:
        return "long"
    return "short" if count_words(sentence) < min_words else ""


def _unwrapped(text: str) -> list[str]:
    """Returns the lines of a text, with wrapped ones joined again; in time linear in the text."""
    lines: list[list[str]] = []
    length, last = 0, ""  # of the line so far: its characters, and the last of them that is not blank
    for part in _LINE.split(text):
        if lines and length >= _WRAP_WIDTH and _OPEN_END.match(last) and _GOES_ON.match(part):
            lines[-1].append(part)
            length += 1 + len(part)
            last = part.rstrip(" \t")[-1:] or last
        else:
            lines.append([part])
            length, last = len(part), part.rstrip(" \t")[-1:]
    return [" ".join(parts) for parts in lines]


def _joined(segments: list[str]) -> Iterator[str]:
    """Joins segments again that sentencex split after the full stop that opens a word, as in .NET."""
    held = ""
    for segment in segments:
        held += segment
        if not (held.endswith(".") and (len(held) == 1 or held[-2].isspace())):
            yield held
            held = ""
    if held:
        yield held
