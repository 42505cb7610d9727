"""Loading of models by name: a run's workdir, an export, or an encoder as published."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from uwe_jax.config import EncoderSettings, ScorerSettings
from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.exported import exported_record, is_exported, load_exported
from uwe_jax.models.folder import BASELINES
from uwe_jax.models.loaded import MAX_TOKENS, LoadedModel
from uwe_jax.models.remote_workdir import is_workdir, make_local
from uwe_jax.models.resolve import ResolvedEncoder, resolve_encoder
from uwe_jax.models.sentence_folder import max_seq_length, read_published
from uwe_jax.models.sentence_model import Side
from uwe_jax.models.sentence_modules import not_applied, sentence_folder, warn_of_not_applied
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.models.weights import read_config, read_params
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.scoring.scorer_text import PUBLISHED, parse_published, parse_scorer, scorer_text

_CONTEXT_MATCH = "soft_pooled,logits=dot,tau_a=1"
# Of encoders without a scorer after their name, where it is not `published`.
_SCORERS = {"ConTeXT-match": _CONTEXT_MATCH, BASELINES["ConTeXT-match"]: _CONTEXT_MATCH}
DEFAULT_MODEL = "uwe-minilm"  # in `shipped`; see docs/models.md


class PretrainedEncoder(NamedTuple):
    """Encoder as published."""

    config: EncoderConfig
    params: Params  # NumPy float32, for `Encoder.apply({"params": ...})`
    folder: Path  # of the tokeniser
    provenance: str  # for logs and reports


def load_encoder(name: str, *, cache_dir: Path | None = None) -> PretrainedEncoder:
    """Finds an encoder (see `resolve_encoder`) and reads it; raises UserError if it is missing or cannot be read."""
    found = resolve_encoder(name, cache_dir=cache_dir)
    warn_of_not_applied(name, found.folder)
    return _read_encoder(found)


def _read_encoder(found: ResolvedEncoder) -> PretrainedEncoder:
    config = read_config(found.folder)
    return PretrainedEncoder(config, read_params(found.folder, config), found.folder, found.provenance)


def split_scorer(name: str) -> tuple[str, str | None]:
    """Splits a model's name from the scorer after its colon, if any; a folder's name may contain a colon.

    >>> split_scorer("all-MiniLM-L6-v2:soft,tau_a=0.1"), split_scorer("runs/mine")
    (('all-MiniLM-L6-v2', 'soft,tau_a=0.1'), ('runs/mine', None))
    """
    model, _, behind = ("", "", "") if Path(name).expanduser().exists() else name.rpartition(":")
    return (model, behind) if model else (name, None)


def load_model(name: str | Path, *, cache_dir: Path | None = None, max_tokens: int | None = None) -> LoadedModel:
    """Loads a model; raises UserError if it does not exist, or cannot be read.

    Args:
      name: workdir of a training run, or folder, hub id or name of an export or of an encoder. An encoder scores as it
        was published (by the mean of its tokens where it declares nothing else), or by the scorer after a colon, as in
        "all-MiniLM-L6-v2:soft". A folder may be a URL such as gs://bucket/runs/mine.
      cache_dir: of encoders from wheels; None takes $UWE_JAX_CACHE or the user's cache folder.
      max_tokens: longer texts are truncated; None takes the limit of an export or of an encoder as it was published,
        or the paper's 64.
    """
    cache_dir = cache_dir or cache_folder()
    name = make_local(str(name), cache_dir)
    folder = Path(name).expanduser()
    if is_workdir(folder):
        # Imported here: Orbax takes half a second, and other models do not need it.
        from uwe_jax.models.run_folder import load_run

        return load_run(folder, cache_dir=cache_dir, max_tokens=MAX_TOKENS if max_tokens is None else max_tokens)
    encoder, scorer = split_scorer(name)
    if scorer is not None and is_workdir(Path(encoder).expanduser()):
        raise UserError(f"Model {name!r}: a trained model has its own scorer. Use {encoder} without a scorer.")
    found = resolve_encoder(encoder, cache_dir=cache_dir)
    if scorer is None and is_exported(found.folder):
        return load_exported(found.folder, cache_dir=cache_dir, max_tokens=max_tokens)
    return _load_encoder(encoder, scorer, found, cache_dir=cache_dir, max_tokens=max_tokens)


def _load_encoder(
    name: str, given: str | None, found: ResolvedEncoder, *, cache_dir: Path, max_tokens: int | None
) -> LoadedModel:
    """Loads an encoder with a given scorer, or with its default."""
    scorer = given or _SCORERS.get(name, PUBLISHED)
    as_published = scorer.split(",")[0] == PUBLISHED
    chosen = parse_published(scorer) if as_published else {}
    settings = ScorerSettings(kind="mean_pool") if as_published else parse_scorer(scorer)
    declared, root = not_applied(found.folder), sentence_folder(found.folder)
    if not as_published:
        warn_of_not_applied(name, found.folder)
    pretrained = _read_encoder(found)
    model, how = UweModel.create(pretrained.config, EncoderSettings(name=name), settings), scorer_text(settings)
    exported = exported_record(found.folder) if is_exported(found.folder) else None
    params, limit = model.initial_params(pretrained.params), exported.max_tokens if exported else MAX_TOKENS
    sides: tuple[Side, ...] = ()
    if as_published and root and (declared or given):
        how = ",".join([PUBLISHED, *(f"{side}={value}" for side, value in chosen.items())])
        query, target, head = read_published(root, found.folder, model, chosen)
        model, params, sides = query.model, params | {"sentence": head}, (query, target)
        limit = max_seq_length(found.folder, pretrained.config.max_tokens)
    what = " and ".join(declared)
    return LoadedModel(
        name=f"{Path(name).name} {how}",
        description=f"{'' if exported else 'frozen '}{name} ({found.provenance}), {how}"
        + (what and f", {'with' if sides else 'without'} its {what}"),
        model=model,
        params=params,
        folder=found.folder,
        cache_dir=cache_dir,
        max_tokens=limit if max_tokens is None else max_tokens,
        sides=sides,
        training=exported.training if exported else {},
        trained_in=found.folder if exported else None,
    )
