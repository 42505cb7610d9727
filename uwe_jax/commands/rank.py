"""`uwe-jax rank --space ... QUERY`: the targets of a space that fit a query best.

Without a flag it says how it is called.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # an importer's environment is its own
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on how it compiles are not the user's concern

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from uwe_jax.retrieval.options import RankOptions
from uwe_jax.runtime.arguments import Parser, check_least
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.serving.options import parse_space

_PROGRAM = "uwe-jax rank"
USAGE = """uwe-jax rank --space [NAME=]SPACE [--space ...] [QUERY ...] [--flag value ...]

A space is a folder that uwe-jax index has built, or qdrant:STORE#NAME. Queries stand on the command line, in
a file, or are lines that come through a pipe, each answered as it comes:
  uwe-jax rank --space spaces/skills "head chef" "welder"
  uwe-jax rank --space spaces/skills --space spaces/jobs --queries vacancies.csv --column title
  cat titles.txt | uwe-jax rank --space spaces/skills --json --top_k 5 > answers.jsonl

With --json every query gives one JSON object on a line, in the order of the queries:
  {"number": 1, "query": "head chef", "hits": {"skills": [{"id": "...", "text": "plan menus", "score": 0.71}, ...]}}
A query that cannot be answered gives {"number": 2, "error": "..."}, costs none of the others, and the command ends with
status 2.

--help lists all flags."""


def _parser() -> Parser:
    defaults = RankOptions((), Path())
    parser = Parser.explained(USAGE)
    add = parser.add_argument
    add("queries", nargs="*", metavar="QUERY", help="a text (default: lines from standard input)")
    add("--space", dest="spaces", action="append", default=[], help="[NAME=]SPACE; repeat the flag for several")
    add("--model", default="", help="that the spaces were built with (default: from where it was when they were)")
    add("--queries", dest="queries_file", type=Path, help="file of queries: a table, or one a line")
    add(
        "--column", default="", help="of a table of queries (default: one called text, title or alike, or the only one)"
    )
    add("--top_k", type=int, default=defaults.top_k, help=f"hits of a query in a space (default: {defaults.top_k})")
    add(
        "--candidates", type=int, help="of a space in Qdrant, that are ranked exactly (default: 10 a hit, at least 100)"
    )
    add("--json", action="store_true", help="a JSON object a line, for programs")
    add("--explain", action="store_true", help="say which words of the query met which of the best hit")
    add("--picture", type=Path, help="draw that into a PNG; for one query and one space")
    add("--max_tokens", type=int, help="tokens of a query; longer ones lose their end (default: as in the spaces)")
    add("--cache_dir", default="", help="encoders (default: $UWE_JAX_CACHE or the user's cache)")
    return parser


def _options(arguments: Sequence[str]) -> RankOptions:
    chosen = vars(_parser().parse_intermixed_args(arguments))
    least = {"top_k": 1, "candidates": 1, "max_tokens": 3}
    check_least(chosen, **{name: value for name, value in least.items() if chosen[name] is not None})
    if not chosen["spaces"]:
        raise UserError(f"Command line: no --space. `{_PROGRAM}` alone says how it is called.")
    spaces = tuple(map(parse_space, chosen["spaces"]))
    if len(dict(spaces)) < len(spaces):
        raise UserError(
            f"Command line: {len(spaces)} spaces under {len(dict(spaces))} names. Give each its own, NAME=SPACE."
        )
    if chosen["queries"] and chosen["queries_file"]:
        raise UserError("Command line: queries and --queries; give one of them.")
    if chosen["column"] and not chosen["queries_file"]:
        raise UserError("Command line: --column is one of the file of --queries, and none is given.")
    if chosen["picture"] and (len(chosen["queries"]), len(chosen["spaces"])) != (1, 1):
        raise UserError("Command line: --picture draws one query, given on the command line, in one space.")
    return RankOptions(
        **{
            **chosen,
            "spaces": spaces,
            "queries": tuple(chosen["queries"]),
            "queries_file": chosen["queries_file"].expanduser() if chosen["queries_file"] else None,
            "cache_dir": cache_folder(chosen["cache_dir"]),
        }
    )


def main(arguments: Sequence[str]) -> None:
    """Ranks as the command line says.

    Raises:
      UserError: for anything that the user can mend, and at the end where a query was not answered.
    """
    if not arguments:
        print(USAGE)
        return
    options = _options(arguments)
    keep_compiled_programs()  # so that only the first query ever waits for compilation
    # Here: it imports jax, which then reads where programs are kept.
    from uwe_jax.retrieval.answering import rank

    try:
        rank(options)
    except BrokenPipeError:
        # Who reads, such as `head`, has seen enough; without this Python complains when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):  # JSON is UTF-8, whatever the terminal's language
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    answer_errors(
        lambda: main(sys.argv[1:]),
        after_full_disk="what was written is whole up to its last line.",
        after_interrupt="What was answered is above.",
    )
