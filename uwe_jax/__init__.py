"""Unified Work Embeddings in JAX/Flax: a bi-encoder that ranks work-domain text.

`load` loads a model, `load_index` an index; `evaluate` measures models on tasks, those of the catalogue and those of
`ranking_task`; `UserError` is whatever a user can fix. `uwe_jax.retrieval.ranker` has an example. All are imported on
first use, so that `import uwe_jax` is fast.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uwe_jax.evaluation.api import evaluate
    from uwe_jax.evaluation.tasks.given import ranking_task
    from uwe_jax.retrieval.loading import load
    from uwe_jax.retrieval.ranker import Ranker
    from uwe_jax.retrieval.store.folder import load_index
    from uwe_jax.retrieval.store.searchable import Hit
    from uwe_jax.runtime.errors import UserError

__version__ = "0.1.0"
logging.getLogger(__name__).addHandler(logging.NullHandler())
__all__ = ["Hit", "Ranker", "UserError", "evaluate", "load", "load_index", "ranking_task"]

_HOMES = {
    "Hit": "uwe_jax.retrieval.store.searchable",
    "Ranker": "uwe_jax.retrieval.ranker",
    "UserError": "uwe_jax.runtime.errors",
    "evaluate": "uwe_jax.evaluation.api",
    "load": "uwe_jax.retrieval.loading",
    "load_index": "uwe_jax.retrieval.store.folder",
    "ranking_task": "uwe_jax.evaluation.tasks.given",
}


def __getattr__(name: str) -> Any:
    if name == "load_space":  # until the next release
        warnings.warn("uwe_jax.load_space is now uwe_jax.load_index", FutureWarning, stacklevel=2)
        name = "load_index"
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [name for name in globals() if name.startswith("__")] + __all__
