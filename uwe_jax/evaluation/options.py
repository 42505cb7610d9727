"""Options of an evaluation, from a command line or from keyword arguments."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from uwe_jax.retrieval.settings import weights_within
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.options import FilePath, NameList, Repeated, RepeatedPath, at_least, names
from uwe_jax.runtime.settings import from_mapping
from uwe_jax.scoring.names import DESCRIPTION_WEIGHT, LABEL_WEIGHT, NameWeights
from uwe_jax.scoring.ranking_metrics import DEFAULT_METRICS

# The settings that decide the numbers, as in results.json.
SETTINGS = (
    *("split", "max_queries", "metrics", "max_tokens", "bootstrap", "esco_version", "drop_leaks"),
    *("languages", "language_mean"),
    *("target_names", "label_weight", "target_descriptions", "description_weight", "words", "clean_queries"),
)

VALIDATION = "validation"


def parse_threshold(classify: str) -> float | None:
    """Reads a threshold; None where the validation split chooses it. UserError for anything else."""
    if classify == VALIDATION:
        return None
    try:
        threshold = float(classify)
    except ValueError:
        threshold = math.nan
    if not math.isfinite(threshold):
        raise UserError(
            f"--classify is {classify!r}. Give a threshold of scores, such as 0.5, or validation, which takes the one "
            "of 0.1, 0.2, ... 0.9 with the best F1 on the validation split."
        )
    return threshold


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of `uwe-jax evaluate`.

    Attributes:
      model: a model as above; may be repeated.
      data: a folder of downloads; may be repeated.
      tasks: tasks, sets of tasks or task folders.
      out: folder of the results.
      run: a TREC run file, the ranking of another system, measured on the one task of --tasks; may be repeated.
      split: split of the tasks; any takes the test half where there is one, else the validation half.
      max_queries: queries per task, the same ones every time; 0 takes all.
      metrics: map, mrr, rp@k, ndcg@k, recall@k, hit@k for any k.
      max_tokens: tokens of a text that an encoder reads.
      bootstrap: resamples for the 95 % intervals; 0 computes none.
      esco_version: such as 1.1.1; by default the newest complete one in the folders.
      languages: of the tasks, such as en,de; a code is the language of targets, and of queries where a task has them in
        it; en-de stands for queries in English and targets in German.
      language_mean: averages are over the monolingual tasks, over all tasks by the language of their queries or that of
        their targets, or over all tasks alike.
      strict: stop if the data of a task is missing, instead of skipping the task.
      offline: never access the Hugging Face hub.
      drop_leaks: leave out queries that are in the training graphs of a model.
      target_names: rank by all names of a target that the data has, such as alternative labels, instead of its label
        alone; off by default, as published figures are of labels.
      label_weight: with --target-names, the weight of the label's own score; the rest is of the best name's.
      target_descriptions: rank by the descriptions of targets that the data has, too.
      description_weight: with --target-descriptions, the weight of the best description's score.
      words: weight of words in common, 0 to 1, which is added to the score of runs, exports and encoders for queries of
        at least 7 words.
      clean_queries: let these score queries without list bullets, gender markers and final full stops; published
        figures are of raw ones.
      classify: a threshold of scores, or validation for the best one of the validation split: measures F1, precision,
        recall and AUC of every target as a label, beside the ranking.
      dump_rankings: write so many of the worst queries of every task with what was ranked above the right answer.
      save_runs: write the ranking of every model and task as a TREC run file, below --out.
      run_depth: with --save-runs, targets of a query that are written; 0 writes all.
      save_tasks: write every task as a BEIR folder, below --out.
      join: folder of an earlier evaluation whose models join the tables; may be repeated.
      cache_dir: folder of prepared data and encoders; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    model: Repeated = ()
    data: Repeated = ()
    tasks: NameList = ("all",)
    out: FilePath = Path("runs/evaluation")
    run: RepeatedPath = ()
    split: Literal["any", "test", "validation", "train"] = "any"
    max_queries: int = 4000
    metrics: NameList = DEFAULT_METRICS
    max_tokens: int = 64
    bootstrap: int = 1000
    esco_version: str = ""
    languages: NameList = ("en",)
    language_mean: Literal["monolingual", "query", "target", "all"] = "monolingual"
    strict: bool = False
    offline: bool = False
    drop_leaks: bool = False
    target_names: bool = False
    label_weight: float = LABEL_WEIGHT
    target_descriptions: bool = False
    description_weight: float = DESCRIPTION_WEIGHT
    words: float = 0.0
    clean_queries: bool = False
    classify: str = ""
    dump_rankings: int = 0
    save_runs: bool = False
    run_depth: int = 1000
    save_tasks: bool = False
    join: RepeatedPath = ()
    cache_dir: str = ""

    def __post_init__(self) -> None:
        at_least(0, max_queries=self.max_queries, bootstrap=self.bootstrap, dump_rankings=self.dump_rankings)
        at_least(0, run_depth=self.run_depth)
        at_least(3, max_tokens=self.max_tokens)
        weights_within(self)
        if self.label_weight != LABEL_WEIGHT and not self.target_names:
            raise UserError("--label-weight has no effect without --target-names. Give both, or neither.")
        if self.description_weight != DESCRIPTION_WEIGHT and not self.target_descriptions:
            raise UserError("--description-weight has no effect without --target-descriptions. Give both, or neither.")
        if self.run and self.by_several:
            option = "--target-names" if self.target_names else "--target-descriptions"
            raise UserError(f"--run ranks targets as its file says, and not by their texts. Leave out {option}.")
        if self.classify:
            parse_threshold(self.classify)
        if not self.tasks:
            raise UserError("--tasks names nothing. Give tasks, sets of tasks or folders, separated by commas.")

    @property
    def by_several(self) -> bool:
        """Tells whether targets are ranked by more than their labels."""
        return self.target_names or self.target_descriptions

    @property
    def weights(self) -> NameWeights:
        """The weights in the score of a target with several names."""
        return NameWeights(self.label_weight, self.description_weight)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> EvaluationOptions:
        """Takes options by their names with underscores; a single text is a list of names, or the only one of several.

        Raises:
          UserError: an unknown name, or a value of another type or outside its range.
        """
        hints = typing.get_type_hints(cls, include_extras=True)
        values = dict(given)
        for name, value in given.items():
            single, hint = isinstance(value, str | Path), hints.get(name)
            if single and hint == NameList:
                values[name] = names(str(value))
            elif hint in (Repeated, RepeatedPath) and (single or isinstance(value, list | tuple)):
                several = [value] if single else value
                values[name] = [str(each) if isinstance(each, Path) else each for each in several]
            elif (single or name == "classify") and hint is str:
                values[name] = str(value)
        return from_mapping(cls, values)
