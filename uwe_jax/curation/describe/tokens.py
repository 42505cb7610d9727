"""How many texts the configured lengths cut, counted by the encoder's own tokeniser."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uwe_jax.config import LengthSettings
from uwe_jax.curation.describe.section import Grid, Section, percent
from uwe_jax.curation.describe.texts import texts_of
from uwe_jax.data.batches import truncation
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.statistics import fixed_sample

# Texts of a kind that are tokenised; of more, this many are drawn. Fewer are tokenised as a training run does it,
# which then finds them in its cache.
MOST_TEXTS = 200_000
_QUANTILES = (0.5, 0.95, 0.99)


def measure(graphs: GraphSet, encoder: str, lengths: LengthSettings, cache_dir: Path) -> dict[str, Any]:
    """Truncation by kind; where the tokeniser is not to be had, the reason alone.

    Args:
      encoder: its name, as of `EncoderSettings`.
      lengths: tokens of a text.
      cache_dir: of encoders and of token tables.

    Returns:
      encoder; then either `missing`, a sentence, or `kinds`: by kind the limit, texts looked_at, of how many, those
      that are cut, the quantiles and the most tokens of a text, special tokens included.
    """
    # Imported here: the hub's client takes a quarter of a second, and transformers seconds.
    from uwe_jax.models.resolve import resolve_encoder

    try:
        tokeniser = Tokeniser(resolve_encoder(encoder, cache_dir=cache_dir).folder, cache_dir / "tokens")
    except (UserError, OSError) as error:
        return {"encoder": encoder, "missing": str(error)}
    tables, sides = {}, {}
    for kind, texts in texts_of(graphs).items():
        drawn = fixed_sample(len(texts), MOST_TEXTS)
        chosen = texts if len(drawn) == len(texts) else [texts[place] for place in drawn]
        tables[kind] = tokeniser.table(chosen, label=f"{kind} nodes")
        sides[kind] = len(texts)
    limits = dataclasses.asdict(lengths)
    kinds = {}
    for kind, (cut, looked_at, most) in truncation(tables, lengths).items():
        quantiles = np.quantile(tables[kind].lengths, _QUANTILES, method="inverted_cdf")
        kinds[kind] = {
            "limit": limits[kind],
            "looked_at": looked_at,
            "of": sides[kind],
            "cut": cut,
            "quantiles": {f"{q:g}": int(value) for q, value in zip(_QUANTILES, quantiles, strict=True)},
            "most": most,
        }
    return {"encoder": encoder, "kinds": kinds}


def section(found: Mapping[str, Any]) -> Section:
    """Truncation as a table, or why it was not counted."""
    title = "Texts cut to the configured lengths"
    if "missing" in found:
        return Section(title, [f"Not counted, for want of the encoder's tokeniser. {found['missing']}"])
    rows = [
        [
            kind,
            f"{each['looked_at']:,}",
            f"{each['limit']}",
            f"{each['cut']:,}",
            percent(each["cut"], each["looked_at"]),
            *(f"{value:,}" for value in each["quantiles"].values()),
            f"{each['most']:,}",
        ]
        for kind, each in found["kinds"].items()
    ]
    quantiles = (f"{100 * q:g} %" for q in _QUANTILES)
    sampled = [
        f"Of {each['of']:,} {kind} texts {each['looked_at']:,} were tokenised, drawn at random."
        for kind, each in found["kinds"].items()
        if each["looked_at"] < each["of"]
    ]
    return Section(
        title,
        [f"Tokens of a text by the tokeniser of {found['encoder']}, special tokens included."],
        [Grid(("nodes", "texts", "length", "cut", "share", *quantiles, "longest"), rows)],
        sampled,
    )
