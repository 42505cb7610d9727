"""What the commands `index` and `rank` are asked for. Imports no jax, so that a wrong flag is answered at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class IndexOptions:
    """What the command line asks of a space.

    Attributes:
      out: its folder.
      cache_dir: where encoders from wheels are kept.
      model: as of `load_model`; empty takes the one that the space was built with.
      targets: to build the space of; None leaves it as it is.
      remove: files of ids to remove.
      add: targets to add, after that.
      compact, verify: the space at the end.
      upload: a place of `put_space` in Qdrant, to copy it to then; empty for none.
      kind, column, id_column, language, version: of targets and ids, as of `read_targets`.
      dtype: of a new space.
      max_tokens: of a text in a new space; None takes the model's, see `load_model`.
    """

    out: Path
    cache_dir: Path
    model: str = ""
    targets: Path | None = None
    remove: tuple[Path, ...] = ()
    add: tuple[Path, ...] = ()
    compact: bool = False
    verify: bool = False
    upload: str = ""
    kind: str = ""
    column: str = ""
    id_column: str = ""
    language: str = "en"
    version: str = ""
    dtype: str = "float16"
    max_tokens: int | None = None


@dataclass(frozen=True)
class RankOptions:
    """What the command line asks of a ranking.

    Attributes:
      spaces: names and places (see `open_space`) of spaces, all by one model.
      cache_dir: where encoders from wheels are kept.
      model: as of `load_model`; empty takes the one that the spaces were built with.
      queries: given on the command line.
      queries_file: read where none is given; None reads standard input.
      column: of the file, where it is a table.
      top_k: hits of a query in every space.
      candidates: of a space in Qdrant; None takes its default.
      json: write JSON lines, not tables.
      explain: the best hit in every space.
      picture: of the best hit's explanation; None for none.
      max_tokens: of a query; None takes that of the spaces.
    """

    spaces: tuple[tuple[str, str], ...]
    cache_dir: Path
    model: str = ""
    queries: tuple[str, ...] = ()
    queries_file: Path | None = None
    column: str = ""
    top_k: int = 10
    candidates: int | None = None
    json: bool = False
    explain: bool = False
    picture: Path | None = None
    max_tokens: int | None = None
