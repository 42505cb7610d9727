"""Options of the command `calibrate`. Imports no jax, so that an invalid option is reported at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uwe_jax.retrieval.settings import weights_within
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.options import NameList, OptionalFloat, OptionalPath, Repeated, RepeatedPath, at_least
from uwe_jax.runtime.settings import within
from uwe_jax.scoring.names import DESCRIPTION_WEIGHT, LABEL_WEIGHT


@dataclass(frozen=True)
class CalibrateOptions:
    """Options of `uwe-jax calibrate`.

    Attributes:
      index: folder of the index; the calibration is written into it.
      pairs: a table with query and target_id, and label, 1 where the target is right and 0 where it is wrong; may be
        repeated. Without label, rows have all right targets of their queries, and other hits are wrong; a query without
        a right target has an empty target_id.
      sentences: a table with sentence and label, 1 where it has a skill and 0 where it has none, and, optional,
        document; may be repeated. In place of an index: fits the filter of sentences without a skill for --model.
      keep: share of the sentences with a skill that the filter of --sentences is to keep.
      tasks: tasks and task folders, as of `uwe-jax evaluate`; their targets are found in the index by their labels.
      none: a file of queries that have no right target, one per line or a table; may be repeated.
      none_scores: a table with query and score, higher where a query has a right target, such as the probability of a
        filter: the report measures how well it recognises queries without one, instead of the best hit's probability.
      out: a folder for the report as JSON, the curve of risk by coverage and the reliability diagram; with --sentences
        the file of the filter.
      data: a folder of downloads, for tasks; may be repeated.
      split: split of the tasks; by default the validation half where there is one, else the test half.
      model: a run, an export or an encoder; by default the model of the index.
      evaluate: measure the calibration that the index has, instead of fitting one.
      precision: of hits, 0 to 1, at which the report measures; by default where F1 is highest.
      min_probability: threshold at which the report measures, instead of a precision.
      depth: hits per query that are judged.
      max_queries: queries per task or file, the same ones every time; 0 takes all.
      label_weight: of the label in the score of a target with several names, as rankings will have it.
      description_weight: of the best description in the score of a target with descriptions, 0 to 1.
      words: weight of words in common, as rankings will have it.
      clean_queries: score queries without bullets, gender markers and final full stops, as rankings will.
      esco_version: of tasks, such as 1.1.1; by default the newest in the folders.
      cache_dir: folder of encoders and prepared data; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    index: OptionalPath = None
    pairs: RepeatedPath = ()
    sentences: RepeatedPath = ()
    keep: float = 0.95
    tasks: NameList = ()
    none: RepeatedPath = ()
    none_scores: OptionalPath = None
    out: OptionalPath = None
    data: Repeated = ()
    split: Literal["any", "test", "validation", "train"] = "any"
    model: str = ""
    evaluate: bool = False
    precision: OptionalFloat = None
    min_probability: OptionalFloat = None
    depth: int = 10
    max_queries: int = 2000
    label_weight: float = LABEL_WEIGHT
    description_weight: float = DESCRIPTION_WEIGHT
    words: float = 0.0
    clean_queries: bool = True
    esco_version: str = ""
    cache_dir: str = ""

    def __post_init__(self) -> None:
        within("--keep", self.keep, 0, 1)
        if self.sentences:
            if self.index or not self.model or self.out is None:
                raise UserError("--sentences fits a filter for --model into --out. Give both, and no --index.")
            return
        if self.index is None:
            raise UserError("--index is required. Run `uwe-jax calibrate --help`.")
        if not self.pairs and not self.tasks:
            raise UserError("--pairs or --tasks is required: judgements, with right targets.")
        if self.precision is not None and self.min_probability is not None:
            raise UserError("--precision and --min-probability both name a threshold. Give one.")
        at_least(1, depth=self.depth)
        at_least(0, max_queries=self.max_queries)
        weights_within(self)
        within("--precision", self.precision or 0, 0, 1)
        within("--min-probability", self.min_probability or 0, 0, 1)

    @property
    def folder(self) -> Path:
        """The folder of the index."""
        assert self.index is not None
        return self.index

    @property
    def candidates(self) -> None:
        """All targets are scored exactly."""
        return None
