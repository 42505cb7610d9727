#!/usr/bin/env bash
# tyro 1.0.17: a line of a description that begins with a letter is joined to the line before, and no line is wrapped.
#
# `tyro.cli(..., description=...)` treats single line breaks as those of a docstring. An indented example command that is
# followed by a sentence without a blank line between them becomes one line, so that the command can no longer be told
# from the text; two blank-separated paragraphs stay apart. The result is printed as it is: a long paragraph exceeds the
# terminal, whose width the boxes of options respect.
#
# Output seen at COLUMNS=60: "  rank --targets FILE QUERY A query without an answer is reported.", a line of 149
# characters, and boxes of at most 60.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check tyro==1.0.17
COLUMNS=60 "$folder/env/bin/python" - <<'PY'
import contextlib
import io
from dataclasses import dataclass

import tyro


@dataclass
class Options:
    steps: int = 1


about = "Ranks targets.\n\n  rank --targets FILE QUERY\nA query without an answer is reported.\n\n" + "word " * 30
out = io.StringIO()
with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
    tyro.cli(Options, args=["--help"], description=about, prog="x")
lines = [line.rstrip() for line in out.getvalue().splitlines()]
joined = [line for line in lines if "FILE QUERY" in line]
longest, others = max(map(len, lines)), [line for line in lines if "--" in line and "QUERY" not in line]
print(f"{joined[0]!r}; the longest line has {longest} characters, those of options at most {max(map(len, others))}")
assert joined == ["  rank --targets FILE QUERY A query without an answer is reported."], "changed: the lines are apart"
assert longest == 149, "changed: the paragraph is wrapped"
assert max(map(len, others)) <= 60
PY
