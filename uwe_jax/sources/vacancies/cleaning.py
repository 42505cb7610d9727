"""The text of a description that may be HTML."""

from __future__ import annotations

import html
import re

# Tags that start on a new line. What stands in the others runs on.
_BLOCKS = (
    *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figure", "footer"),
    *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"),
    *("table", "td", "th", "tr", "ul"),
)
_INLINE = ("a", "b", "body", "em", "font", "html", "i", "img", "span", "strong", "style", "sub", "sup", "tbody", "u")
# A description may well hold <5 years or <COMPANY>: it is HTML where a tag of HTML stands in it.
_NAMES = "|".join((*_BLOCKS, *_INLINE))
_TAG = re.compile(rf"</?(?:{_NAMES})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_ESCAPED_TAG = re.compile(rf"&lt;/?(?:{_NAMES})(?:\s.*?)?/?&gt;", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
_BREAK = "\x1e"  # no text holds it, so line breaks of the source and of the layout are told apart
_BLOCK = re.compile(rf"</?(?:{'|'.join(_BLOCKS)})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_UNSEEN = ["script", "style", "template", "noscript", "head"]


def plain_text(text: str) -> str:
    r"""The text as a browser shows it, a line for every paragraph, list item and cell; other text comes back as it is.

    HTML that was escaped once more, as in feeds, is read as well.

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
    # imported where it is needed: most descriptions are plain, and other sources do without
    from selectolax.lexbor import LexborHTMLParser

    # Breaks are set into the source: into the tree, node by node, takes three times as long.
    tree = LexborHTMLParser(_BLOCK.sub(rf"{_BREAK}\g<0>{_BREAK}", text.replace(_BREAK, " ")))
    tree.strip_tags(_UNSEEN)
    shown = tree.body.text() if tree.body else ""
    lines = (" ".join(line.split()) for line in shown.split(_BREAK))
    return "\n".join(line for line in lines if line)
