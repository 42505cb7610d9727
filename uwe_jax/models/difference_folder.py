"""Exports of a difference, and the whole exports that are made of them in the cache.

Such a folder has `uwe_jax.json` as every export (see `uwe_jax.models.exported`), config.json, and instead of weights
and tokeniser `difference.safetensors`: what training changed in the encoder that `base_model` names. The fingerprint of
the manifest is that of the whole model, so that it is known whether the base was the same.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from uwe_jax.models.difference import add_difference
from uwe_jax.models.exported import MANIFEST, changed, checksum, files_in, load_exported, read_manifest, written_files
from uwe_jax.models.folder import CONFIG, DIFFERENCE, TOKENISER_FILES, WEIGHTS
from uwe_jax.models.weights import params_to_hf, read_config, read_params, read_pooler
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.folders import replacing

LOG = logging.getLogger(__name__)
_WHOLE = "whole"  # folder of the cache


def base_of(folder: Path) -> str:
    """Returns the name of the encoder that a difference is added to; raises UserError if its folder names none."""
    base = read_manifest(folder).get("base_model")
    if not isinstance(base, str) or not base:
        raise UserError(f"{folder / MANIFEST} names no base_model, which {DIFFERENCE} is added to. Export again.")
    return base


def whole_folder(folder: Path, base: Path, cache_dir: Path) -> Path:
    """Returns the whole export that a difference and its base make, from the cache or written there now.

    Raises:
      UserError: the folder was changed, its base is another one than that of the export, or the cache cannot be
        written.
    """
    manifest = read_manifest(folder)
    known = {name: sums for name, sums in written_files(folder, manifest).items() if name in (CONFIG, DIFFERENCE)}
    if DIFFERENCE not in known or (wrong := changed(folder, known)):
        what = ", ".join(wrong) if DIFFERENCE in known else f"{MANIFEST} does not list {DIFFERENCE}"
        raise UserError(f"{folder} was changed after the export: {what}. Export or copy it again.")
    _, content = checksum(folder / MANIFEST)  # two exports may differ in their name and settings alone
    target = cache_dir / _WHOLE / f"{manifest['fingerprint']}-{content:08x}"
    if (target / MANIFEST).is_file():
        return target
    with replacing(target, patience=math.inf, advice="name another cache with $UWE_JAX_CACHE") as fresh:
        if (target / MANIFEST).is_file():  # by another process
            return target
        LOG.info(f"{manifest['name']}: adding what training changed to {manifest['base_model']}, once")
        fresh.mkdir()
        config = read_config(base)
        tensors = params_to_hf(read_params(base, config), config)
        try:
            restored = add_difference(tensors, load_file(folder / DIFFERENCE))
        except (SafetensorError, UserError) as error:
            raise UserError(f"{folder / DIFFERENCE}: {error} Export or copy it again.") from error
        write_json(fresh / CONFIG, config.to_hf())
        save_file(restored | read_pooler(base), fresh / WEIGHTS, metadata={"format": "pt"})
        for name in TOKENISER_FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, fresh / name)
        sums = {name: checksum(fresh / name) for name in files_in(fresh)}
        write_json(fresh / MANIFEST, {**manifest, "files": sums})
        loaded = load_exported(fresh, cache_dir=cache_dir)
        found = dataclasses.replace(loaded, stored_fingerprint="").fingerprint
        if found != manifest["fingerprint"]:
            raise UserError(
                f"{folder} makes another model of {manifest['base_model']} in {base} than was exported: fingerprint "
                f"{found} instead of {manifest['fingerprint']}. Remove changed copies of this encoder, so that the "
                "published one is taken."
            )
    return target


def write_difference(folder: Path, difference: Mapping[str, np.ndarray]) -> None:
    """Writes difference.safetensors, readable by all."""
    save_file(dict(difference), folder / DIFFERENCE, metadata={"format": "difference"})
    (folder / DIFFERENCE).chmod((folder / CONFIG).stat().st_mode)
