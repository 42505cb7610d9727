"""Options of the commands `index` and `rank`. Imports no jax, so that an invalid option is reported at once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from uwe_jax.retrieval.settings import weights_within
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.options import (
    Arguments,
    OptionalFloat,
    OptionalInt,
    OptionalPath,
    Repeated,
    RepeatedPath,
    at_least,
)
from uwe_jax.runtime.settings import within
from uwe_jax.scoring.names import DESCRIPTION_WEIGHT, LABEL_WEIGHT

# Options of `rank` that say how --targets are read.
_OF_TARGETS = ("kind", "target_column", "id_column", "names", "descriptions", "target_names", "keep", "language")
# Options of `index` that say how a new index is stored, which of them only taxonomies have, and how targets are read.
_OF_NEW = ("max_tokens", "dtype")
_OF_TAXONOMIES = ("language", "version")
_OF_READING = ("model", "kind", "column", "id_column", "names", "descriptions", "target_names", "keep", *_OF_TAXONOMIES)
MIN_TOKENS = 3  # of a text: two special tokens and one of its own


def parse_index(text: str) -> tuple[str, str]:
    """Parses `INDEX` or `NAME=INDEX` into a name and a place, see `open_index`; an existing folder wins.

    >>> parse_index("skills=indexes/esco"), parse_index("indexes/esco"), parse_index("qdrant:all#jobs")
    (('skills', 'indexes/esco'), ('esco', 'indexes/esco'), ('jobs', 'qdrant:all#jobs'))

    Raises:
      UserError: the text names no place.
    """
    named = None if Path(text.strip()).is_dir() else re.fullmatch(r"([\w.-]+)=(.*)", text.strip(), re.DOTALL)
    name, place = (named[1], named[2]) if named else ("", text.strip())
    name = name or re.split(r"[/#]", place.rstrip("/"))[-1]
    if not name or not place:
        raise UserError(f"--index {text!r} does not name an index. Give a folder, or NAME=FOLDER.")
    return name, place


def _given(options: object, names: Sequence[str]) -> list[str]:
    """Returns the flags of the options among `names` that differ from their defaults, as they are typed."""
    values = {name: getattr(options, name) for name in names}
    changed = {name: value for name, value in values.items() if value != getattr(type(options), name)}
    return [f"--{'no-' if value is False else ''}{name.replace('_', '-')}" for name, value in changed.items()]


def _check_taxonomies(options: object, names: Sequence[str], paths: Iterable[Path]) -> None:
    """Raises UserError for an option of ESCO and O*NET beside a table or a list of texts, which would not read it."""
    tables = [path for path in paths if path.is_file() and path.suffix.lower() != ".zip"]
    if tables and (given := _given(options, names)):
        raise UserError(
            f"{given[0]} is of ESCO's and O*NET's downloads, and {tables[0]} is a file of texts, which are read as "
            "they are. Leave it out."
        )


@dataclass(frozen=True)
class IndexOptions:
    """Options of `uwe-jax index`.

    Attributes:
      out: folder of the index; an index that is there is replaced when --targets are encoded.
      model: encodes the targets: a run, an export, or an encoder such as all-MiniLM-L6-v2:soft; by default uwe-minilm,
        which comes with uwe_jax. With --add the default is the model that the index was built with.
      targets: build the index of these: the folder of ESCO's or O*NET's zips, a table, or a .txt with one text per
        line.
      remove: file of ids to remove; may be repeated.
      add: targets to add, as of --targets; a target whose id is there already is replaced; may be repeated.
      compact: free the space of removed targets, and join what was added.
      verify: compare every file with its checksum, and look for ids that occur twice.
      upload: copy the index into Qdrant, qdrant:STORE#NAME, where STORE is a folder or the URL of a server.
      info: show what the index holds, as every other call does at its end.
      kind: of ESCO skills or occupations; of O*NET occupations, activities, tasks, technologies, tools or titles.
      column: column of the texts, or its number where the table has no header; by default one called text, label, title
        or alike.
      id_column: column of the ids; by default one called id, uri, code or alike, else the texts are the ids.
      names: column of further names of every target, a list or texts separated by line breaks, | or ;; a table may also
        have several rows with one id.
      descriptions: column of a description of every target, which has a weight of its own in its score; of ESCO and of
        O*NET's occupations: description. By default none.
      target_names: take as further names of a target the alternative labels of ESCO, the alternate and reported titles
        of O*NET's occupations, and all rows of a table with one id.
      keep: further column to keep, which hits show and rankings are filtered by; may be repeated; by default all, and
        '' keeps none.
      language: of ESCO's labels; several, as en,de, add the labels of the others as further names.
      version: of ESCO or O*NET, such as 1.1.1 or 29.3; by default the newest there is.
      dtype: number format in which a new index is stored.
      max_tokens: longer texts are truncated; by default the value of an export, else 64.
      cache: folder of downloaded encoders; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    out: OptionalPath = None
    model: str = ""
    targets: OptionalPath = None
    remove: RepeatedPath = ()
    add: RepeatedPath = ()
    compact: bool = False
    verify: bool = False
    upload: str = ""
    info: bool = False
    kind: str = ""
    column: str = ""
    id_column: str = ""
    names: str = ""
    descriptions: str = ""
    target_names: bool = True
    keep: Repeated = ()
    language: str = "en"
    version: str = ""
    dtype: Literal["float16", "bfloat16", "float32", "int8"] = "float16"
    max_tokens: OptionalInt = None
    cache: Annotated[str, tyro.conf.arg(name="cache-dir")] = ""

    def __post_init__(self) -> None:
        at_least(MIN_TOKENS, max_tokens=self.max_tokens)
        if self.out is None:
            raise UserError("--out is required. Run `uwe-jax index --help`.")
        work = ("targets", "remove", "add", "compact", "verify", "upload", "info")
        if not any(getattr(self, name) for name in work):
            raise UserError(
                f"Nothing to do with {self.out}. Give one of {', '.join(f'--{name}' for name in work)}; run "
                "`uwe-jax index --help`."
            )
        if self.targets and (self.add or self.remove):
            raise UserError("--targets builds a new index, --add and --remove change one. Give only one of them.")
        if not self.targets and (given := _given(self, _OF_NEW)):
            raise UserError(
                f"{given[0]} is of an index that is built of --targets; one that is there keeps its own. Leave it out, "
                "or build the index again."
            )
        read = ("id_column",) if self.remove else ()
        unread = [name for name in _OF_READING if name not in read]
        if not self.targets and not self.add and (given := _given(self, unread)):
            raise UserError(f"{given[0]} is of targets that are read, by --targets or --add. Leave it out.")
        _check_taxonomies(self, _OF_TAXONOMIES, (*([self.targets] if self.targets else []), *self.add))

    @property
    def folder(self) -> Path:
        """The folder of the index."""
        assert self.out is not None
        return self.out

    @property
    def cache_dir(self) -> Path:
        """The folder of downloaded encoders."""
        return cache_folder(self.cache)


@dataclass(frozen=True)
class RankOptions:
    """Options of `uwe-jax rank`.

    Attributes:
      queries: texts to rank targets for; by default the lines of standard input.
      index: [NAME=]INDEX, the folder of an index or qdrant:STORE#NAME; may be repeated.
      targets: rank these without building an index first: the folder of ESCO's or O*NET's zips, a table, or a .txt with
        one text per line. Their embeddings are kept in the cache for the next call.
      model: a run, an export, or an encoder such as all-MiniLM-L6-v2:soft; by default the model of the index, and
        uwe-minilm, which comes with uwe_jax, for --targets. The paper's formula for an encoder is
        all-MiniLM-L6-v2:soft,side=query,logits=dot,tau_a=0.1.
      queries_file: file of queries: a table, or one query per line.
      column: column of the file of queries; by default one called text, query, title or alike.
      kind: of --targets, as of `uwe-jax index`.
      target_column: column of --targets with the texts.
      id_column: column of --targets with the ids.
      names: column of --targets with further names, as of `uwe-jax index`.
      descriptions: column of --targets with descriptions, as of `uwe-jax index`.
      target_names: rank --targets by several names, as of `uwe-jax index`.
      label_weight: of the label in the score of a target with several names, 0 to 1; the rest is the best name's.
      description_weight: of the best description in the score of a target with descriptions, 0 to 1.
      words: weight of words in common, 0 to 1, which is added to the model's score for queries of at least 7 words.
      clean_queries: score queries without list bullets, gender markers such as (m/f/d) and final full stops.
      keep: further column of --targets, as of `uwe-jax index`; may be repeated.
      language: of the labels of --targets where they are ESCO's, as of `uwe-jax index`.
      top_k: hits per query and index.
      min_score: show only hits of at least this score; a query without one is answered "none of these".
      min_probability: show only hits of at least this probability, 0 to 1, of an index with a calibration (`uwe-jax
        calibrate`); a query without one is answered "none of these".
      skill_filter: for queries that are sentences of vacancies: one that is no requirement (company, benefits) is
        answered "none of these". shipped is the filter that comes with uwe_jax for the model, as of `uwe-jax tag`; or a
        file of `uwe-jax calibrate --sentences`. By default none: job titles and skills are no sentences.
      where: COLUMN=VALUE, rank only targets that have this value; may be repeated: several values of one column are
        alternatives, different columns must all fit.
      show: further column to show in tables; may be repeated; JSON has all of them.
      candidates: targets per query that are scored exactly, at least --top-k; by default all, and of an index in Qdrant
        10 per hit, at least 100. Those of an index on disk have the best mean embeddings.
      json: print a JSON object per line and query, for programs.
      out: write the answers to this file instead, when all queries are answered: .jsonl with what --json
        prints, or .csv with a row per hit.
      explain: show which words of the query met which words of the best hit.
      picture: draw that into a PNG; for one query and one index.
      max_tokens: longer queries are truncated; by default as in the index.
      cache: folder of encoders and of indexes of --targets; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    queries: Annotated[Arguments, tyro.conf.arg(metavar="[QUERY ...]")] = ()
    index: Repeated = ()
    targets: OptionalPath = None
    model: str = ""
    queries_file: Annotated[OptionalPath, tyro.conf.arg(name="queries")] = None
    column: str = ""
    kind: str = ""
    target_column: str = ""
    id_column: str = ""
    names: str = ""
    descriptions: str = ""
    target_names: bool = True
    label_weight: float = LABEL_WEIGHT
    description_weight: float = DESCRIPTION_WEIGHT
    words: float = 0.0
    clean_queries: bool = True
    keep: Repeated = ()
    language: str = "en"
    top_k: int = 10
    min_score: OptionalFloat = None
    min_probability: OptionalFloat = None
    skill_filter: str = "none"
    where: Repeated = ()
    show: Repeated = ()
    candidates: OptionalInt = None
    json: bool = False
    out: OptionalPath = None
    explain: bool = False
    picture: OptionalPath = None
    max_tokens: OptionalInt = None
    cache: Annotated[str, tyro.conf.arg(name="cache-dir")] = ""

    def __post_init__(self) -> None:
        at_least(1, top_k=self.top_k, candidates=self.candidates)
        weights_within(self)
        within("--min-probability", self.min_probability or 0, 0, 1)
        if not math.isfinite(self.min_score or 0):
            raise UserError(f"--min-score is {self.min_score}; it must be a finite number.")
        at_least(MIN_TOKENS, max_tokens=self.max_tokens)
        if not self.index and not self.targets:
            raise UserError("--index or --targets is required. Run `uwe-jax rank --help`.")
        if not self.targets and (given := _given(self, _OF_TARGETS)):
            instead = " To score it by labels alone, give --label-weight 1." if given[0].startswith("--no-") else ""
            raise UserError(f"{given[0]} is of --targets; an index is ranked as it was built. Leave it out.{instead}")
        _check_taxonomies(self, ("language",), [self.targets] if self.targets else [])
        names = [name for name, _ in self.indexes] + ([self.targets.stem] if self.targets else [])
        if len(set(names)) < len(names):
            raise UserError(
                f"{len(names)} indexes under {len(set(names))} names: {', '.join(names)}. Name each, as NAME=INDEX."
            )
        if self.queries and self.queries_file:
            raise UserError("Queries were given both as arguments and with --queries; give only one.")
        if self.column and not self.queries_file:
            raise UserError("--column names a column of the --queries file, but --queries was not given.")
        if self.picture and (len(self.queries), len(names)) != (1, 1):
            raise UserError("--picture needs exactly one query, given as an argument, and one index.")
        if self.out and self.out.suffix.lower() not in ((".jsonl",) if self.explain else (".jsonl", ".csv")):
            endings = ".jsonl, which takes explanations" if self.explain else ".jsonl or .csv"
            raise UserError(f"--out {self.out} does not end in {endings}.")
        if wrong := [each for each in self.where if not each.partition("=")[0] or "=" not in each]:
            raise UserError(f"--where {wrong[0]!r} does not name a column and a value. Write COLUMN=VALUE.")

    @property
    def indexes(self) -> tuple[tuple[str, str], ...]:
        """Name and place of every index."""
        return tuple(map(parse_index, self.index))

    @property
    def filter(self) -> dict[str, list[str]]:
        """Allowed values by column."""
        allowed: dict[str, list[str]] = {}
        for column, _, value in (each.partition("=") for each in self.where):
            allowed.setdefault(column.strip(), []).append(value)
        return allowed

    @property
    def cache_dir(self) -> Path:
        """The folder of encoders and of indexes of --targets."""
        return cache_folder(self.cache)
