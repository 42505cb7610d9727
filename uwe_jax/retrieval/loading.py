"""Loading of a model for ranking."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.models.loading import DEFAULT_MODEL, load_model
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.scoring.names import DESCRIPTION_WEIGHT, LABEL_WEIGHT


def load(
    name: str | Path = DEFAULT_MODEL,
    *,
    cache_dir: Path | None = None,
    max_tokens: int | None = None,
    label_weight: float = LABEL_WEIGHT,
    description_weight: float = DESCRIPTION_WEIGHT,
    words: float = 0.0,
    clean_queries: bool = True,
    candidates: int | None = None,
) -> Ranker:
    """Loads a model for ranking.

    Args:
      name: a model that comes with uwe_jax, the workdir of a training run, an exported folder, or an encoder's folder,
        hub id or name, which scores as it was published, or by the scorer behind a colon, as in
        "all-MiniLM-L6-v2:soft".
      cache_dir: where encoders from wheels are kept; None takes $UWE_JAX_CACHE or the user's cache folder.
      max_tokens: longer texts are truncated; special tokens included. None takes the value of an export or of an
        encoder as published, else 64 as in the paper.
      label_weight, description_weight, words, clean_queries, candidates: see `uwe_jax.retrieval.settings.RankSettings`.

    Raises:
      UserError: there is no such model, it cannot be read, or it does not take so many tokens or such a weight.
    """
    how = RankSettings(label_weight, description_weight, words, clean_queries, candidates)
    return Ranker(load_model(name, cache_dir=cache_dir, max_tokens=max_tokens), how)
