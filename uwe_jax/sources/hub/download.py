"""Downloads the data files of a split from the Hugging Face hub, found by the hub's own convention."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from uwe_jax.runtime.network import in_one_line, within
from uwe_jax.sources.folders import stated_split, table_root

LOG = logging.getLogger(__name__)

# Seconds for one answer, for the first contact with all its look-ups and proxies, and for one file.
ANSWER_SECONDS = 5.0
CONTACT_SECONDS = 8.0
FILE_SECONDS = 120.0

# In order of preference, for repositories that have a split in several formats.
FORMATS = (".parquet", ".jsonl", ".json", ".csv")

# Endpoints that did not answer, with the reason: every further dataset would wait as long again.
_silent: dict[str, str] = {}


class Unreachable(Exception):
    """The hub did not deliver. The text is a phrase: what was tried, and the reason."""


def download_split(repo: str, split: str, offline: bool = False, table: str = "") -> tuple[str, list[tuple[str, Path]]]:
    """Downloads the files of a split (train, validation or test), of a table if the repository has several.

    Returns:
      The commit of the repository, and the name and path of each file, sorted by name.

    Raises:
      Unreachable: the hub does not answer in seconds, refuses, or has no such repository or split; or `offline`.
    """
    if offline or constants.HF_HUB_OFFLINE:
        raise Unreachable(
            f"{'HF_HUB_OFFLINE is set' if constants.HF_HUB_OFFLINE else 'offline'}, so the hub was not asked"
        )
    endpoint = constants.ENDPOINT
    if endpoint in _silent:
        raise Unreachable(f"{endpoint}: {_silent[endpoint]} before, so it was not asked again")
    api = HfApi(endpoint=endpoint)
    get = partial(api.hf_hub_download, repo, repo_type="dataset", etag_timeout=ANSWER_SECONDS)
    try:
        # One request without retries gives both: the hub's own list of files would retry for minutes.
        info = within(CONTACT_SECONDS, lambda: api.dataset_info(repo, timeout=ANSWER_SECONDS))
        revision = info.sha or "main"  # a mirror may not say
        names = [file.rfilename for file in info.siblings or ()]
        chosen = files_of_split(names, split, table)
        if chosen:
            LOG.info(f"Downloading {repo} ({split}) at {revision[:12]} from {endpoint}")
        paths = [Path(within(FILE_SECONDS, partial(get, name, revision=revision))) for name in chosen]
    except Exception as error:  # of two HTTP libraries, depending on the hub client's version
        reason = _reason(error)
        if "Timeout" in type(error).__name__:
            _silent[endpoint] = reason
        raise Unreachable(f"{endpoint}: {reason}") from error
    if not chosen:
        held = ", ".join(name for name in names if _suffix(name) in FORMATS) or "none"
        of_table = f" of the table {table!r}" if table else ""
        raise Unreachable(f"{endpoint}: no file of the split {split!r}{of_table} among its data files ({held})")
    return revision, list(zip(chosen, paths, strict=True))


def files_of_split(names: Sequence[str], split: str, table: str = "") -> list[str]:
    """Returns the data files of one split, of one format, sorted.

    The name of a file states its split, else the innermost folder that does. If none does, all files are train; of a
    table that is named as `split` they are all.

    >>> files_of_split(["README.md", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"], "test")
    ['data/test-00000-of-00001.parquet']
    >>> files_of_split(["dev/sentences.csv", "test/sentences.csv"], "validation")
    ['dev/sentences.csv']
    >>> files_of_split(["dataset.csv"], "train")
    ['dataset.csv']
    >>> files_of_split(["de/corpus.csv", "de/queries.csv", "fr/queries.csv"], "queries", "de/queries")
    ['de/queries.csv']
    """
    data = sorted(
        name for name in names if _suffix(name) in FORMATS and (not table or table_root(name, table) is not None)
    )
    paths = map(PurePosixPath, data)
    stated = {str(path): stated_split((path.stem, *reversed(path.parent.parts))) for path in paths}
    if not any(stated.values()):
        stated = dict.fromkeys(data, "train")
    whole = bool(table) and table.split("/")[-1] == split
    of_split = [name for name in data if whole or stated[name] == split]
    kind = min(map(_suffix, of_split), key=FORMATS.index, default="")
    return [name for name in of_split if _suffix(name) == kind]


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _reason(error: Exception) -> str:
    if isinstance(error, GatedRepoError):
        return "the dataset is gated: accept its terms on its page and set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return "no such dataset, or none that you may see without setting HF_TOKEN"
    if isinstance(error, HfHubHTTPError | TimeoutError):
        return in_one_line(error)
    return f"{type(error).__name__}: {in_one_line(error)}"
