"""Converts descriptions, which may be HTML, to plain text."""

from __future__ import annotations

import html
import re

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
