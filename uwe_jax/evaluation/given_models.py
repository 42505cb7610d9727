"""Models of an evaluation: names of what is to be loaded, and rankers that exist already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.evaluation.options import EvaluationOptions
from uwe_jax.evaluation.ranker import Ranker
from uwe_jax.evaluation.specs import check_ranker, load_ranker
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.runtime.errors import UserError


class GivenModel(NamedTuple):
    """A model to measure.

    Attributes:
      spec: what is loaded (see `uwe_jax.evaluation.specs.FORMS`), or the type of the ranker.
      ranker: as it was given; None loads the spec.
      title: heads its results; empty takes the ranker's name.
      trained_in: spec of the run or export that has its training hashes; empty if there is none.
    """

    spec: str
    ranker: Any = None
    title: str = ""
    trained_in: str = ""


def given_models(models: Any) -> list[GivenModel]:
    """Returns one model, or several in a list or by their titles; equal names are one model.

    Raises:
      UserError: an object is not a ranker.
    """
    if isinstance(models, Mapping):
        return [_given(each, str(title)) for title, each in models.items()]
    several = models if isinstance(models, list | tuple) else [models]
    by_key = {each if isinstance(each, str) else id(each): each for each in several}  # rankers may not be hashable
    return list(map(_given, by_key.values()))


def _given(model: Any, title: str = "") -> GivenModel:
    if isinstance(model, str | Path):
        return GivenModel(str(model), title=title, trained_in=str(model))
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    check_ranker(model, f"of type {kind}")
    if isinstance(model, type):
        raise UserError(
            f"The model is the class {model.__qualname__}. Give an object of it: {model.__qualname__}(...)."
        )
    trained_in = getattr(getattr(model, "loaded", None), "trained_in", None)
    return GivenModel(kind, model, title, str(trained_in or ""))


def ranker_of(model: GivenModel, options: EvaluationOptions, cache_dir: Path) -> Ranker:
    """Returns the ranker of a model; what encodes ranks by the settings of the evaluation.

    Raises:
      UserError: it cannot be loaded, or a ranker of `uwe_jax.load` has other settings than the evaluation.
    """
    how = RankSettings(words=options.words, clean_queries=options.clean_queries)
    ranker: Any = model.ranker
    if ranker is None:
        return load_ranker(model.spec, cache_dir=cache_dir, max_tokens=options.max_tokens, how=how)
    if not hasattr(ranker, "loaded"):
        return ranker  # checked by `given_models`
    from uwe_jax.retrieval.ranker import Ranker as Encoding  # imported here: other rankers need no JAX

    if not isinstance(ranker, Encoding):
        return ranker
    settings = {"max_tokens": ranker.loaded.max_tokens, "words": ranker.how.words}
    for name, value in settings.items():
        if value != (here := getattr(options, name)):
            raise UserError(
                f"{ranker.name} was loaded with {name}={value!r}; the evaluation has {name}={here!r}, so its "
                "results would not be those of these settings. Give both the same."
            )
    return Encoding(ranker.loaded, replace(ranker.how, clean_queries=options.clean_queries))
