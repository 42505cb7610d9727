"""Rankers from what lies on disk or on the hub: trained checkpoints, and encoders as they were published."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.config import ScorerSettings
from uwe_jax.evaluation.encoder_ranker import EncoderRanker
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.loading import load_published
from uwe_jax.models.run_folder import load_run


def encoder_ranker(loaded: LoadedModel) -> EncoderRanker:
    """The model as evaluation ranks with it.

    Raises:
      UserError: `max_tokens` is more than the encoder has positions for, or leaves no room for a text.
    """
    return EncoderRanker(
        loaded.name,
        loaded.model,
        loaded.params,
        loaded.tokeniser,
        max_tokens=loaded.max_tokens,
        texts_per_device=loaded.texts_per_device,
        description=loaded.description,
    )


def load_encoder_ranker(
    name: str,
    scorer: ScorerSettings | None = None,
    *,
    cache_dir: Path,
    max_tokens: int = 64,
    texts_per_device: int = 64,
) -> EncoderRanker:
    """A ranker with an encoder as it was published; arguments and errors as of `load_published`."""
    return encoder_ranker(
        load_published(name, scorer, cache_dir=cache_dir, max_tokens=max_tokens, texts_per_device=texts_per_device)
    )


def load_checkpoint_ranker(workdir: Path, *, cache_dir: Path, max_tokens: int = 64) -> EncoderRanker:
    """A ranker with the checkpoint of a run; arguments and errors as of `load_run`."""
    return encoder_ranker(load_run(workdir, cache_dir=cache_dir, max_tokens=max_tokens))
