"""Libraries that only enrichment needs, imported where they are used."""

from __future__ import annotations

from typing import Any

from uwe_jax.runtime.optional_imports import extra_library


def library(module: str) -> Any:
    """A module of the extra `enrich`.

    Raises:
      UserError: it is not installed.
    """
    return extra_library(
        module,
        use="Enrichment by a language model",
        extra="enrich",
        otherwise=" or fill templates offline with --config.generator=template.",
    )
