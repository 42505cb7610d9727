"""`uwe-jax rank`: ranks the targets of an index, or of a file, for queries."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from uwe_jax.retrieval.options import RankOptions
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.options import read_options

ABOUT = """Ranks targets for queries.

Targets come from a file, or from an index that `uwe-jax index` has built:
  uwe-jax rank --targets skills.csv "forklift driver night shift"
  uwe-jax rank --index indexes/skills "head chef" "welder"
  uwe-jax rank --index indexes/skills --index indexes/jobs --queries vacancies.csv --column title
  cat titles.txt | uwe-jax rank --index indexes/skills --json --top-k 5 > answers.jsonl

With --json each query gives one JSON object per line, in the order of the queries:
  {"number": 1, "query": "head chef", "hits": {"skills": [{"id": "...", "text": "plan menus", "score": 0.7, ...}, ...]}}

A query that cannot be answered gives {"number": 2, "error": "..."}; the others are answered, and the exit status is
2."""


def main(arguments: Sequence[str]) -> None:
    """Ranks as the command line says."""
    options = read_options(RankOptions, arguments, command="rank", about=ABOUT, renamed={"space": "index"})
    keep_compiled_programs()  # so that only the first query ever waits for compilation
    # Imported here: jax reads the compile cache's settings when it is imported.
    from uwe_jax.retrieval.answering import rank

    rank(options)


def run(arguments: Sequence[str]) -> None:
    """Runs the command; errors end the process with its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # JSON is UTF-8, whatever the terminal's language
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    answer_errors(
        lambda: main(arguments),
        after_full_disk="the lines written so far are complete.",
        after_interrupt="The answers so far are above.",
    )
