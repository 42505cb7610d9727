"""Texts that the configured lengths truncate, counted with the encoder's own tokeniser."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uwe_jax.config import LengthSettings
from uwe_jax.curation.describe.section import Grid, Section, percent, sampled
from uwe_jax.curation.describe.texts import texts_of
from uwe_jax.data.batches import truncation
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.statistics import fixed_sample

# Texts of a kind that are tokenised; of more, a sample is drawn. Fewer are tokenised as a training run does, which then
# finds them in its cache.
MOST_TEXTS = 200_000
_QUANTILES = (0.5, 0.95, 0.99)


def measure(graphs: GraphSet, encoder: str, lengths: LengthSettings, cache_dir: Path) -> dict[str, Any]:
    """Counts texts that are truncated at `lengths` tokens, by kind.

    Returns:
      encoder; then either `missing`, the reason why there is no tokeniser, or `kinds`: by kind the limit, texts
      looked_at, of how many, those that are cut, quantiles and most tokens of a text, special tokens included.
    """
    # Imported here: the hub's client takes a quarter of a second, and transformers seconds.
    from uwe_jax.models.resolve import resolve_encoder

    try:
        tokeniser = Tokeniser(resolve_encoder(encoder, cache_dir=cache_dir).folder, cache_dir / "tokens")
    except (UserError, OSError) as error:
        return {"encoder": encoder, "missing": str(error)}
    tables = {}
    for kind, texts in texts_of(graphs).items():
        drawn = fixed_sample(len(texts), MOST_TEXTS)
        chosen = texts if len(drawn) == len(texts) else [texts[place] for place in drawn]
        tables[kind] = tokeniser.table(chosen, label=f"{kind} nodes")
    kinds = {}
    for kind, (cut, looked_at, most) in truncation(tables, lengths).items():
        quantiles = np.quantile(tables[kind].lengths, _QUANTILES, method="inverted_cdf")
        kinds[kind] = {
            "limit": dataclasses.asdict(lengths)[kind],
            "looked_at": looked_at,
            "of": len(texts_of(graphs)[kind]),
            "cut": cut,
            "quantiles": {f"{q:g}": int(value) for q, value in zip(_QUANTILES, quantiles, strict=True)},
            "most": most,
        }
    return {"encoder": encoder, "kinds": kinds}


def section(found: Mapping[str, Any]) -> Section:
    """Renders truncation by kind, or why it was not counted."""
    title = "Truncated texts"
    if "missing" in found:
        return Section(title, [f"Not counted: the encoder's tokeniser is not available. {found['missing']}"])
    rows = []
    for kind, each in found["kinds"].items():
        cut = (f"{each['cut']:,}", percent(each["cut"], each["looked_at"]))
        lengths = (f"{value:,}" for value in (*each["quantiles"].values(), each["most"]))
        rows.append([kind, f"{each['looked_at']:,}", f"{each['limit']}", *cut, *lengths])
    quantiles = (f"{100 * q:g} %" for q in _QUANTILES)
    return Section(
        title,
        [f"Tokens per text by the tokeniser of {found['encoder']}, special tokens included."],
        [Grid(("nodes", "texts", "limit", "truncated", "share", *quantiles, "longest"), rows)],
        sampled(found["kinds"]),
    )
