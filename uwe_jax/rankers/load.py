"""Loading a model by what a person calls it: the folder of a run or of an export, or an encoder as published."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.base.config import EncoderSettings, ScorerSettings
from uwe_jax.base.errors import UserError
from uwe_jax.base.files import cache_folder
from uwe_jax.models.pretrained import load_encoder
from uwe_jax.models.uwe import UweModel
from uwe_jax.rankers.loaded import MAX_TOKENS, LoadedModel
from uwe_jax.rankers.run_folder import load_run
from uwe_jax.scoring.scorer_text import SCORER_OPTIONS, parse_scorer, scorer_text
from uwe_jax.training.workdir import is_workdir


def load_model(name: str | Path, *, cache_dir: Path | None = None, max_tokens: int = MAX_TOKENS) -> LoadedModel:
    """The model that a name means.

    Args:
      name: the workdir of a training run, an exported folder, or an encoder's folder or hub id, which scores by
        mean pooling, or by the scorer behind a colon, as in "all-MiniLM-L6-v2:soft".
      cache_dir: where encoders from wheels are kept; None takes $UWE_JAX_CACHE or the user's cache folder.
      max_tokens: longer texts lose their end.

    Raises:
      UserError: there is no such model, or it cannot be read.
    """
    cache_dir, folder = cache_dir or cache_folder(), Path(name).expanduser()
    if is_workdir(folder):
        return load_run(folder, cache_dir=cache_dir, max_tokens=max_tokens)
    encoder, _, scorer = ("", "", "") if folder.exists() else str(name).rpartition(":")
    if not encoder:
        encoder, scorer = str(name), "mean_pool"
    elif scorer.split(",")[0] not in SCORER_OPTIONS:
        raise UserError(f"Model {str(name)!r}: there is no scorer {scorer!r}; there are {', '.join(SCORER_OPTIONS)}.")
    elif is_workdir(Path(encoder).expanduser()):
        raise UserError(f"Model {str(name)!r}: a trained model is scored as it was trained. Give {encoder} alone.")
    return load_published(encoder, parse_scorer(scorer), cache_dir=cache_dir, max_tokens=max_tokens)


def load_published(
    name: str,
    scorer: ScorerSettings | None = None,
    *,
    cache_dir: Path,
    max_tokens: int = MAX_TOKENS,
    texts_per_device: int = 64,
) -> LoadedModel:
    """An encoder as it was published.

    Args:
      name: as of `resolve_encoder`.
      scorer: None takes mean pooling, what sentence encoders were trained for.

    Raises:
      UserError: the encoder is not found, not supported or damaged.
    """
    scorer = scorer or ScorerSettings(kind="mean_pool")
    pretrained = load_encoder(name, cache_dir=cache_dir)
    model = UweModel.create(pretrained.config, EncoderSettings(name=name), scorer)
    how = scorer_text(scorer)
    return LoadedModel(
        name=f"{Path(name).name} {how}",
        description=f"frozen {name} ({pretrained.provenance}), {how}",
        model=model,
        params=model.initial_params(pretrained.params),
        folder=pretrained.folder,
        cache_dir=cache_dir,
        max_tokens=max_tokens,
        texts_per_device=texts_per_device,
    )
