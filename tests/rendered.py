"""Markdown pages as they are written and as a reader sees them."""

import re

from markdown_it import MarkdownIt

# Texts that are more than text in Markdown.
NASTY = [
    "C|C++ *[junior]*",
    r"a\|b \ c\\",
    "`code` <b>R&amp;D</b> &lt;",
    "__init__ _x_ snake_case _",
    "~~gone~~ #1 **bold**",
    "[link](http://x) ![image](y)",
    "1. first - second + third",
    "$5 to $6",
    "C #",
]


def sections(page):
    """Markdown tables by the heading above them: lists of rows, the header first, as raw cells."""
    found, heading = {}, ""
    for line in page.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|") and not set(line) <= set("|-: "):
            found.setdefault(heading, []).append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def shown(text):
    """Texts of headings and table cells, as a reader of the rendered page sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    leaves = {"text", "text_special", "code_inline"}
    return [
        "".join(child.content if child.type in leaves else f"<{child.type}>" for child in token.children)
        for token in tokens
        if token.type == "inline"
    ]
