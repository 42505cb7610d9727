"""`uwe-jax index --model ... --targets ... --out ...`: encodes targets once, to rank them many times.

Without a flag it says how it is called.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # an importer's environment is its own
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on how it compiles are not the user's concern

import sys
from collections.abc import Sequence
from pathlib import Path

from uwe_jax.retrieval.options import IndexOptions
from uwe_jax.retrieval.store.quantise import DTYPES
from uwe_jax.runtime.arguments import Parser, check_least
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.huge_pages import restart_with_huge_pages

_PROGRAM = "uwe-jax index"
USAGE = """uwe-jax index --model MODEL --targets FILE_OR_FOLDER --out FOLDER [--flag value ...]

A model is the folder of a training run or of an export, or an encoder such as all-MiniLM-L6-v2:soft.
Targets are the folder of ESCO's or O*NET's zips, a CSV, TSV, JSON lines (each also gzipped) or Parquet file, or a .txt
with one text a line:
  uwe-jax index --model runs/mine --targets downloads/esco --kind skills --out spaces/skills
  uwe-jax index --model runs/mine --targets titles.csv --column title --id_column code --out spaces/titles

A space is changed without encoding all of it again, and stays usable meanwhile:
  uwe-jax index --out spaces/titles --add more.csv --remove old_ids.txt
  uwe-jax index --out spaces/titles --compact
  uwe-jax index --out spaces/titles --verify
  uwe-jax index --out spaces/titles --info

One that is too large for a machine's memory is searched in Qdrant, a folder or a server:
  uwe-jax index --out spaces/titles --upload qdrant:https://host:6333#titles

Then: uwe-jax rank --space spaces/skills "head chef"
--help lists all flags."""


def _parser() -> Parser:
    defaults = IndexOptions(Path(), Path())
    parser = Parser.explained(USAGE)
    add = parser.add_argument
    add("--out", type=Path, help="folder of the space; one that is there is replaced when --targets are encoded")
    add("--model", default="", help="encodes the targets (default, for --add: the one that the space was built with)")
    add("--targets", type=Path, help="build the space of these")
    add("--remove", type=Path, action="append", default=[], help="file of ids to remove; repeat the flag for several")
    add(
        "--add",
        type=Path,
        action="append",
        default=[],
        help="targets to add, as of --targets; one whose id is there takes its place; repeat the flag for several",
    )
    add("--compact", action="store_true", help="free the room of what was removed, and join what was added")
    add("--verify", action="store_true", help="compare every file with its checksum, and look for ids that stand twice")
    add(
        "--upload", default="", metavar="qdrant:STORE#NAME", help="copy the space into Qdrant, a folder's or a server's"
    )
    add("--info", action="store_true", help="show what the space is, as every other call does at its end")
    add(
        "--kind",
        default="",
        help="skills or occupations of ESCO; occupations, activities, tasks, technologies, tools or titles of O*NET "
        "(default: skills)",
    )
    add("--column", default="", help="of texts (default: one called text, label, title or alike, or the only one)")
    add("--id_column", default="", help="of ids (default: one called id, uri, code or alike, else texts are ids)")
    add("--language", default=defaults.language, help="of ESCO's labels (default: en)")
    add("--version", default="", help="of ESCO or O*NET, such as 1.1.1 or 29.3 (default: the newest there is)")
    add(
        "--dtype",
        choices=tuple(DTYPES),
        default=defaults.dtype,
        help=f"in which a new space is stored (default: {defaults.dtype})",
    )
    add(
        "--max_tokens",
        type=int,
        help="tokens of a text in a new space; longer texts lose their end (default: that of an export, else 64)",
    )
    add("--cache_dir", default="", help="encoders (default: $UWE_JAX_CACHE or the user's cache)")
    return parser


def _options(arguments: Sequence[str]) -> IndexOptions:
    chosen = vars(_parser().parse_args(arguments))
    if chosen["max_tokens"] is not None:
        check_least(chosen, max_tokens=3)
    asked = {flag: chosen[flag] for flag in ("targets", "remove", "add", "compact", "verify", "upload")}
    if chosen["out"] is None:
        raise UserError(f"Command line: no --out. `{_PROGRAM}` alone says how it is called.")
    if not any((*asked.values(), chosen.pop("info"))):
        named = ", ".join(f"--{flag}" for flag in asked)
        raise UserError(f"Command line: nothing to do with {chosen['out']}. Expected one of {named} or --info.")
    if chosen["targets"] and (chosen["add"] or chosen["remove"]):
        raise UserError("Command line: --targets builds a space anew, --add and --remove change one. Give one of them.")
    return IndexOptions(
        **{
            **chosen,
            **{name: tuple(path.expanduser() for path in chosen[name]) for name in ("add", "remove")},
            "out": chosen["out"].expanduser(),
            "cache_dir": cache_folder(chosen["cache_dir"]),
        }
    )


def main(arguments: Sequence[str]) -> None:
    """Builds or changes a space as the command line says.

    Raises:
      UserError: for anything that the user can mend.
    """
    if not arguments:
        print(USAGE)
        return
    options = _options(arguments)
    keep_compiled_programs()
    # Here: it imports jax, which then reads where programs are kept.
    from uwe_jax.retrieval.indexing import index

    index(options)


if __name__ == "__main__":
    restart_with_huge_pages()  # as train does; before the imports that take seconds
    answer_errors(
        lambda: main(sys.argv[1:]),
        after_full_disk="a space that was there before is as it was.",
        after_interrupt="A space that was there before is as it was; the same command starts anew.",
    )
