"""Encoders from the Hugging Face hub: from its local cache, or from the network with short timeouts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError

from uwe_jax.models.folder import CONFIG, FILES, Unavailable, lacking
from uwe_jax.models.sentence_modules import MODULES, declared_files, encoder_folder, lacking_modules
from uwe_jax.models.tensor_files import shard_files
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.network import in_one_line, within

# Seconds for one answer, and for the first contact with its DNS look-ups, redirects and proxies.
ANSWER_SECONDS = 5.0
CONTACT_SECONDS = 8.0


def from_hub_cache(hub_id: str) -> Path:
    """Folder of a complete snapshot in the hub's cache; raises Unavailable if there is none."""
    found = [path for name in (MODULES, CONFIG) if isinstance(path := try_to_load_from_cache(hub_id, name), str)]
    if not found:
        raise Unavailable(f"not in the hub's cache {constants.HF_HUB_CACHE}")
    folder = Path(found[0]).parent
    if missing := lacking(encoder_folder(folder)) or ", ".join(lacking_modules(folder)):
        raise Unavailable(f"incomplete in the hub's cache: {folder} lacks {missing}")
    return encoder_folder(folder)


def from_hub_network(hub_id: str) -> Path:
    """Downloads an encoder's files into the hub's cache and returns the snapshot's folder.

    Raises Unavailable if the hub does not answer in seconds, refuses, or has no such encoder.
    """
    if constants.HF_HUB_OFFLINE:
        raise Unavailable("HF_HUB_OFFLINE is set, so the hub was not asked")
    try:
        try:
            _ask(hf_hub_url(hub_id, CONFIG))
        except EntryNotFoundError:
            _ask(hf_hub_url(hub_id, MODULES))
        folder, asked = download_files(hub_id, FILES), set(FILES)
        if folder is None:
            raise Unavailable(f"{hub_id} has none of the files of an encoder")
        # Modules may name further modules, and an index names shards.
        while more := [name for name in _further_files(folder) if name not in asked]:
            download_files(hub_id, more, folder.name)
            asked.update(more)
    except TimeoutError as silence:
        raise Unavailable(f"{constants.ENDPOINT}: {silence}") from silence
    except (Unavailable, UserError) as error:
        raise Unavailable(str(error)) from error
    except Exception as error:  # its type depends on the hub client's HTTP library
        raise Unavailable(f"{constants.ENDPOINT}: {type(error).__name__}: {in_one_line(error)}") from error
    if missing := lacking(encoder_folder(folder)) or ", ".join(lacking_modules(folder)):
        raise Unavailable(f"{constants.ENDPOINT}: {hub_id} lacks {missing}")
    return encoder_folder(folder)


def _further_files(folder: Path) -> list[str]:
    encoder = encoder_folder(folder)
    shards = [(encoder / name).relative_to(folder).as_posix() for name in shard_files(encoder)]
    return [*declared_files(folder), *shards]


def _ask(url: str) -> None:
    """Checks with a timeout that a file exists: a download would retry an unresponsive hub for minutes."""
    within(CONTACT_SECONDS, lambda: get_hf_file_metadata(url, timeout=ANSWER_SECONDS))


def download_files(hub_id: str, names: Iterable[str], commit: str | None = None) -> Path | None:
    """Downloads those of the files that a repository has into the hub's cache.

    One by one, with timeouts: `snapshot_download` first waits without a limit for a list of all files.

    Args:
      commit: of the files; None takes the newest.

    Returns:
      The snapshot's folder; None where the repository has none of the files.
    """
    folder = None
    for name in names:
        # All from one commit: the repository may change meanwhile.
        revision = folder.name if folder else commit
        try:
            _ask(hf_hub_url(hub_id, name, revision=revision))
        except EntryNotFoundError:
            continue
        file = hf_hub_download(hub_id, name, revision=revision, etag_timeout=ANSWER_SECONDS)
        folder = folder or Path(file).parents[name.count("/")]
    return folder
