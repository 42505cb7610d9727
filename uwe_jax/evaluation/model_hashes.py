"""Finds the training hashes of the models of an evaluation."""

from __future__ import annotations

import logging
from pathlib import Path

from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.models.exported import is_exported, read_manifest, written_files
from uwe_jax.models.folder import TRAINED_ON
from uwe_jax.models.loading import split_scorer
from uwe_jax.models.remote_workdir import is_workdir, make_local
from uwe_jax.models.resolve import resolve_encoder
from uwe_jax.runtime.errors import UserError

LOG = logging.getLogger(__name__)


def trained_on(spec: str, cache_dir: Path) -> TrainingHashes | None:
    """Reads the training hashes of a run or an export, whatever its scorer; None for any other ranker."""
    name, _ = split_scorer(make_local(spec, cache_dir))
    folder = Path(name).expanduser()
    if "/" in name and not folder.exists():  # the hub id of an export, perhaps
        try:
            folder = resolve_encoder(name, cache_dir=cache_dir).folder
        except UserError:  # which is reported when the model is loaded
            return None
    exported = is_exported(folder)
    if not exported and not is_workdir(folder):
        return None
    hashes = TrainingHashes.read(folder / TRAINED_ON)
    if hashes is None and not exported:
        LOG.warning(
            f"{folder} has no {TRAINED_ON}, as in runs of older versions: its leakage is not reported. Re-run its "
            "training command; a finished run only adds that file."
        )
    elif hashes is None and _lists_hashes(folder):
        LOG.warning(
            f"{folder} lacks the {TRAINED_ON} of this export: its leakage is not reported. Copy or download it again."
        )
    return hashes


def _lists_hashes(folder: Path) -> bool:
    """Tells whether an export was written with training hashes; older versions did not download them."""
    try:
        return TRAINED_ON in written_files(folder, read_manifest(folder))
    except UserError:  # likewise
        return False
