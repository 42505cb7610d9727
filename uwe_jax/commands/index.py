"""`uwe-jax index`: encodes targets once, so that they can be ranked many times."""

from __future__ import annotations

from collections.abc import Sequence

from uwe_jax.retrieval.options import IndexOptions
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.options import read_options

ABOUT = """Encodes targets once, so that they can be ranked many times.

  uwe-jax index --model runs/mine --targets downloads/esco --kind skills --out indexes/skills
  uwe-jax index --model runs/mine --targets titles.csv --column title --id-column code --out indexes/titles

An index is changed without encoding all of it again, and can be used meanwhile:
  uwe-jax index --out indexes/titles --add more.csv --remove old_ids.txt
  uwe-jax index --out indexes/titles --compact
  uwe-jax index --out indexes/titles --verify
  uwe-jax index --out indexes/titles --info

An index too large for the memory of one machine is searched in Qdrant:
  uwe-jax index --out indexes/titles --upload qdrant:https://host:6333#titles"""


def main(arguments: Sequence[str]) -> None:
    """Builds or changes an index as the command line says."""
    options = read_options(IndexOptions, arguments, command="index", about=ABOUT)
    keep_compiled_programs()
    # Imported here: jax reads the compile cache's settings when it is imported.
    from uwe_jax.retrieval.indexing import index

    index(options)


run = entry_point(
    main,
    after_full_disk="an index that was there before is unchanged.",
    after_interrupt="An index that was there before is unchanged. Re-run the same command to start again.",
)
