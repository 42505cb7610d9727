"""`uwe-jax teach`: scores pairs with a teacher that reads more than labels, for a model that learns from labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import tyro

from uwe_jax.retrieval.options import MIN_TOKENS
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, make_out
from uwe_jax.runtime.options import NumberList, OptionalInt, OptionalPath, Repeated, at_least, read_options
from uwe_jax.runtime.settings import within

ABOUT = """Scores pairs with a teacher that reads descriptions and names, for a model that learns from labels.

A query is read by its label and by the sentences of its description, a target by its label:
  uwe-jax teach --model uwe-minilm --queries downloads/esco --query-kind occupations \\
      --targets downloads/esco --target-kind skills --out scores.npz
  uwe-jax teach --queries jobs.csv --query-descriptions summary --targets skills.csv --out scores.npz

With --target-names a target is read by all its names, as when it is ranked:
  uwe-jax teach --queries downloads/onet --query-kind titles --query-descriptions "" \\
      --targets downloads/esco --target-kind occupations --target-names --out titles.npz

Several models teach together, and words in common with a name count, where that ranks better:
  uwe-jax teach --model uwe-minilm --model all-mpnet-base-v2:soft --model-weights 2,1 --words 0.15 \\
      --queries sentences.txt --query-descriptions "" --targets downloads/esco --target-kind skills --target-names \\
      --out sentences.npz

A model that reads labels alone is trained on the scores, beside its graphs (docs/training.md has more settings):
  uwe-jax train --config=quickstart --config.loss.distillation.path=scores.npz"""


@dataclass(frozen=True)
class Options:
    """Options of `uwe-jax teach`.

    Attributes:
      queries: texts with descriptions: the folder of ESCO's or O*NET's zips, or a table.
      targets: texts to score for them, as of `uwe-jax index`.
      out: file to write, which ends in .npz.
      model: the teacher: a run, an export, or an encoder such as all-MiniLM-L6-v2:soft; by default uwe-minilm; may be
        repeated, for the mean of their z-scores.
      model_weights: of several models in that mean; by default equal.
      words: weight of words in common with a label or name, 0 to 1, which is added to its score.
      weights: of the label's score, of the best and of the mean of the scores of the description's sentences.
      query_kind: of --queries where they are a folder, as --kind of `uwe-jax index`.
      query_column: column of --queries with the labels.
      query_id_column: column of --queries with the ids; rows with one id are names of one query.
      query_names: column of --queries with further names, under which a query occurs in training.
      query_descriptions: column of --queries with the descriptions.
      target_kind: of --targets where they are a folder, as --kind of `uwe-jax index`.
      target_column: column of --targets with the labels.
      target_id_column: column of --targets with the ids.
      target_names: read targets by all their names: ESCO's alternative labels, in a table the rows with one id.
      target_names_column: column of --targets with further names of every target; implies --target-names.
      keep_target_names: keep these names in the file: a target then occurs in training under each, with its own scores.
      language: of the descriptions and of ESCO's labels.
      version: of ESCO or O*NET, such as 1.1.1 or 29.3; by default the newest there is.
      query_version: of --queries, where --version is that of --targets alone.
      max_queries: score at most so many queries, drawn at random, the same ones every time; 0 scores all.
      max_tokens: longer texts are truncated; by default as of `uwe-jax index`.
      cache: folder of downloaded encoders; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    queries: OptionalPath = None
    targets: OptionalPath = None
    out: OptionalPath = None
    model: Repeated = ()
    model_weights: NumberList = ()
    words: float = 0.0
    weights: NumberList = (1, 2, 1)
    query_kind: str = ""
    query_column: str = ""
    query_id_column: str = ""
    query_names: str = ""
    query_descriptions: str = "description"
    target_kind: str = ""
    target_column: str = ""
    target_id_column: str = ""
    target_names: bool = False
    target_names_column: str = ""
    keep_target_names: bool = False
    language: str = "en"
    version: str = ""
    query_version: str = ""
    max_queries: int = 0
    max_tokens: OptionalInt = None
    cache: Annotated[str, tyro.conf.arg(name="cache-dir")] = ""

    def __post_init__(self) -> None:
        at_least(MIN_TOKENS, max_tokens=self.max_tokens)
        at_least(0, max_queries=self.max_queries)
        within("--words", self.words, 0, 1)
        for name in ("queries", "targets", "out"):
            if getattr(self, name) is None:
                raise UserError(f"--{name} is required. Run `uwe-jax teach --help`.")
        if self.out and self.out.suffix.lower() != ".npz":
            raise UserError(f"--out {self.out} does not end in .npz. Name it {self.out.with_suffix('.npz')}.")
        if self.keep_target_names and not (self.target_names or self.target_names_column):
            raise UserError(
                "--keep-target-names keeps the names that targets are scored by, and they are scored by labels alone. "
                "Add --target-names, or --target-names-column with the column of a table."
            )
        parts = "the label, and of the best and the mean of the sentences"
        _check_weights("--weights", self.weights, 3, f"three whole numbers, none negative and not all 0: of {parts}")
        if self.model_weights:
            models = len(self.model) or 1
            one_each = f"whole numbers, one for each model ({models} given), none negative and not all 0"
            _check_weights("--model-weights", self.model_weights, models, one_each)


def _check_weights(flag: str, weights: Sequence[int], count: int, expected: str) -> None:
    if len(weights) != count or min(weights) < 0 or not sum(weights):
        raise UserError(f"{flag} is {','.join(map(str, weights))}; it must be {expected}.")


def main(arguments: Sequence[str]) -> None:
    """Scores as the command line says."""
    options = read_options(Options, arguments, command="teach", about=ABOUT)
    keep_compiled_programs()
    # Imported here: jax reads the compile cache's settings when it is imported.
    from uwe_jax.curation.teach import teach
    from uwe_jax.models.loading import DEFAULT_MODEL
    from uwe_jax.retrieval.loading import load
    from uwe_jax.retrieval.table_targets import Flags
    from uwe_jax.retrieval.texts_in import read_targets

    assert options.queries
    assert options.targets
    assert options.out
    make_out(options.out.parent)
    read = partial(read_targets, keep=("",), language=options.language)
    queries = read(
        options.queries,
        version=options.query_version or options.version,
        kind=options.query_kind,
        column=options.query_column,
        id_column=options.query_id_column,
        names=options.query_names,
        descriptions=options.query_descriptions,
        flags=Flags("--query-column", "--query-id-column", "--query-kind", "--query-names", "--query-descriptions"),
    )
    targets = read(
        options.targets,
        version=options.version,
        kind=options.target_kind,
        column=options.target_column,
        id_column=options.target_id_column,
        names=options.target_names_column,
        flags=Flags("--target-column", "--target-id-column", "--target-kind", "--target-names-column"),
    )
    models = options.model or (DEFAULT_MODEL,)
    cache = cache_folder(options.cache)
    teach(
        [load(each, cache_dir=cache, max_tokens=options.max_tokens, words=options.words) for each in models],
        queries,
        targets,
        options.weights,
        options.out,
        options.language,
        model_weights=options.model_weights or (1,) * len(models),
        target_names=options.target_names or bool(options.target_names_column),
        keep_target_names=options.keep_target_names,
        max_queries=options.max_queries,
    )


run = entry_point(
    main,
    after_full_disk="a file of --out that was there before is unchanged.",
    after_interrupt="A file of --out that was there before is unchanged. Re-run the same command to start again.",
)
