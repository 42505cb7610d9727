"""Encoders from the Hugging Face hub: from its local cache, or from the network with short timeouts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError

from uwe_jax.models.folder import CONFIG, FILES, Unavailable, lacking
from uwe_jax.runtime.network import in_one_line, within

# Seconds for one answer, and for the first contact with its DNS look-ups, redirects and proxies.
ANSWER_SECONDS = 5.0
CONTACT_SECONDS = 8.0


def from_hub_cache(hub_id: str) -> Path:
    """Folder of a complete snapshot in the hub's cache; raises Unavailable if there is none."""
    config = try_to_load_from_cache(hub_id, CONFIG)
    if not isinstance(config, str):
        raise Unavailable(f"not in the hub's cache {constants.HF_HUB_CACHE}")
    folder = Path(config).parent
    if missing := lacking(folder):
        raise Unavailable(f"incomplete in the hub's cache: {folder} lacks {missing}")
    return folder


def from_hub_network(hub_id: str) -> Path:
    """Downloads an encoder's files into the hub's cache and returns the snapshot's folder.

    Raises Unavailable if the hub does not answer in seconds, refuses, or has no such encoder.
    """
    if constants.HF_HUB_OFFLINE:
        raise Unavailable("HF_HUB_OFFLINE is set, so the hub was not asked")
    try:
        _ask(hf_hub_url(hub_id, CONFIG))
        folder = download_files(hub_id, FILES)
    except TimeoutError as silence:
        raise Unavailable(f"{constants.ENDPOINT}: {silence}") from silence
    except Exception as error:  # its type depends on the hub client's HTTP library
        raise Unavailable(f"{constants.ENDPOINT}: {type(error).__name__}: {in_one_line(error)}") from error
    if missing := lacking(folder):
        raise Unavailable(f"{constants.ENDPOINT}: {hub_id} lacks {missing}")
    return folder


def _ask(url: str) -> None:
    """Checks with a timeout that a file exists: a download would retry an unresponsive hub for minutes."""
    within(CONTACT_SECONDS, lambda: get_hf_file_metadata(url, timeout=ANSWER_SECONDS))


def download_files(hub_id: str, names: Iterable[str]) -> Path:
    """Downloads those of the files that a repository has into the hub's cache; the first one must exist.

    One by one, with timeouts: `snapshot_download` first waits without a limit for a list of all files.

    Returns:
      The snapshot's folder.
    """
    folder = None
    for name in names:
        # All from one commit: the repository may change meanwhile.
        revision = folder.name if folder else None
        try:
            _ask(hf_hub_url(hub_id, name, revision=revision))
        except EntryNotFoundError:
            continue
        file = hf_hub_download(hub_id, name, revision=revision, etag_timeout=ANSWER_SECONDS)
        folder = folder or Path(file).parents[name.count("/")]
    if folder is None:
        raise Unavailable(f"{hub_id} has none of the files of an encoder")
    return folder
