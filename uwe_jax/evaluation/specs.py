"""Loads the ranker that a `--model` of the command line names."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from uwe_jax.evaluation import run_file
from uwe_jax.evaluation.lexical import Bm25, Random, TfIdf
from uwe_jax.evaluation.ranker import Ranker
from uwe_jax.models.folder import BASELINES
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import did_you_mean
from uwe_jax.scoring.scorer_text import PUBLISHED, SCORER_OPTIONS

WITHOUT_MODEL: dict[str, Callable[[], Ranker]] = {
    "random": Random,
    "bm25": Bm25,
    "tfidf": TfIdf,
    "tfidf_char": partial(TfIdf, characters=True),
}

FORMS = f"""A model is one of
  - {", ".join(WITHOUT_MODEL)}
  - the workdir of a training run, such as runs/uwe, or the folder or hub id of an export
  - an encoder's folder or hub id, such as all-MiniLM-L6-v2, as it was published, or with a scorer behind a colon:
    all-MiniLM-L6-v2:soft, or as the paper scores all-MiniLM-L6-v2:soft,side=query,logits=dot,tau_a=0.1 (scorers:
    {", ".join(SCORER_OPTIONS)}, {PUBLISHED})
  - a published model of the work domain: {", ".join(BASELINES)}
  - a ranking of one task that another system wrote: a TREC run file as run:FILE, or with --run FILE
  - a ranker of your own as module:attribute, such as my_rankers:Letters (see uwe_jax.evaluation.ranker)"""

RAW = RankSettings(clean_queries=False)  # published figures are of queries as they are


def load_ranker(spec: str, *, cache_dir: Path, max_tokens: int = 64, how: RankSettings = RAW) -> Ranker:
    """Loads the ranker of a spec, see `FORMS`; raises UserError if there is none, or it cannot be loaded.

    A scorer behind the colon means an encoder, so a ranker of one's own cannot have a scorer's name.

    Args:
      cache_dir: of encoders from wheels.
      max_tokens: longer texts are truncated by encoders.
      how: settings of encoders; those of names are the evaluation's.
    """
    if spec in WITHOUT_MODEL:
        return WITHOUT_MODEL[spec]()
    if spec.startswith(run_file.SPEC):
        return run_file.RunFile(Path(spec.removeprefix(run_file.SPEC)).expanduser())
    # Imported here: lexical rankers need no JAX.
    from uwe_jax.models.loading import split_scorer
    from uwe_jax.retrieval.loading import load

    name, behind = split_scorer(spec)
    scored = behind is None or behind.split(",")[0] in (PUBLISHED, *SCORER_OPTIONS)
    if not scored and all(part.isidentifier() for part in f"{name}.{behind}".split(".")):
        return _own_ranker(name, str(behind))
    try:
        return load(spec, cache_dir=cache_dir, max_tokens=max_tokens, **asdict(how))
    except UserError as error:
        if scored and (Path(name).expanduser() / "config.json").exists():  # a model was meant, and it is broken
            raise
        reason = str(error).removeprefix(f"Model {spec!r}: ")
        if near := did_you_mean(spec, WITHOUT_MODEL):
            reason = f"there is no model of this name.{near}"
        raise UserError(f"Model {spec!r}: {reason}" + f"\n{FORMS}" * ("Did you mean" not in reason)) from error


def _own_ranker(module: str, attribute: str) -> Ranker:
    """Imports a user's own ranker: an object with `name` and `index`, or a class or function that makes one."""
    spec = f"{module}:{attribute}"
    try:
        found: Any = importlib.import_module(module)
    except (ImportError, SyntaxError) as error:
        raise UserError(
            f"Model {spec!r}: the module cannot be imported ({type(error).__name__}: {error}). It is searched in the "
            f"current folder and among the installed packages.{did_you_mean(attribute, SCORER_OPTIONS)}\n{FORMS}"
        ) from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            public = ", ".join(each for each in vars(found) if not each.startswith("_"))
            raise UserError(f"Model {spec!r}: {found!r} has no {name!r}. It has {public}.")
        found = getattr(found, name)
    if inspect.isclass(found) or (callable(found) and not isinstance(found, Ranker)):
        try:
            inspect.signature(found).bind()
        except TypeError as error:
            raise UserError(
                f"Model {spec!r} requires arguments ({error}). Name a class or function that takes none, or an object."
            ) from error
        found = found()
    check_ranker(found, repr(spec))
    return found


def check_ranker(found: Any, shown: str) -> None:
    """Raises UserError unless an object has what a ranker has."""
    if lacking := [name for name in ("name", "index") if not hasattr(found, name)]:
        raise UserError(
            f"Model {shown} is a {type(found).__name__} without {' and '.join(lacking)}; a ranker has a name and "
            "index(targets) (see uwe_jax.evaluation.ranker)."
        )
