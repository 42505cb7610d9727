"""The data files of one split of a repository on the Hugging Face hub, found by the hub's own convention."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from uwe_jax.runtime.network import in_one_line, within
from uwe_jax.sources.hub.split_names import stated_split

LOG = logging.getLogger(__name__)

# Seconds for one answer, for the first contact with all its look-ups and proxies, and for one file.
ANSWER_SECONDS = 5.0
CONTACT_SECONDS = 8.0
FILE_SECONDS = 120.0

# In this order: a repository that has a split in several formats holds it several times.
FORMATS = (".parquet", ".jsonl", ".json", ".csv")

# Endpoints that kept silent, with what was waited for. Every further dataset would wait as long again.
_silent: dict[str, str] = {}


class Unreachable(Exception):
    """The hub has not given what it was asked for. The text says in a phrase what was tried, and why not."""


def download_split(repo: str, split: str, offline: bool = False) -> tuple[str, list[tuple[str, Path]]]:
    """Downloads the files of one split into the hub's cache.

    Args:
      repo: of a dataset, such as TechWolf/SkillMatch-1K.
      split: train, validation or test.
      offline: do not ask.

    Returns:
      The commit of the repository, and the name and the place of each file, sorted by name.

    Raises:
      Unreachable: the hub does not answer in seconds, refuses, or has no such repository or split.
    """
    if offline or constants.HF_HUB_OFFLINE:
        raise Unreachable(f"{'HF_HUB_OFFLINE is set' if constants.HF_HUB_OFFLINE else 'offline'}, so no hub was asked")
    endpoint = constants.ENDPOINT
    if endpoint in _silent:
        raise Unreachable(f"{endpoint}: {_silent[endpoint]} before, so it was not asked again")
    api = HfApi(endpoint=endpoint)
    try:
        # One question without retries gives both: the hub's own list of files would retry for minutes.
        info = within(CONTACT_SECONDS, lambda: api.dataset_info(repo, timeout=ANSWER_SECONDS))
        revision = info.sha or "main"  # a mirror may not say
        names = [file.rfilename for file in info.siblings or ()]
        chosen = files_of_split(names, split)
        if not chosen:
            held = ", ".join(name for name in names if _suffix(name) in FORMATS) or "none"
            raise Unreachable(f"{endpoint}: no file of the split {split!r} among its data files ({held})")
        LOG.info(f"Downloading {repo} ({split}) at {revision[:12]} from {endpoint}")
        paths = [Path(_download(api, repo, name, revision)) for name in chosen]
    except Unreachable:
        raise
    except Exception as error:  # of two HTTP libraries by the hub client's version
        reason = _reason(error)
        if "Timeout" in type(error).__name__:
            _silent[endpoint] = reason
        raise Unreachable(f"{endpoint}: {reason}") from error
    return revision, list(zip(chosen, paths, strict=True))


def files_of_split(names: Sequence[str], split: str) -> list[str]:
    """The data files of one split, of one format, sorted.

    The name of a file says its split, else that of the innermost folder that states one. Where none does, a
    repository is all train.

    >>> files_of_split(["README.md", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"], "test")
    ['data/test-00000-of-00001.parquet']
    >>> files_of_split(["dev/sentences.csv", "test/sentences.csv"], "validation")
    ['dev/sentences.csv']
    >>> files_of_split(["dataset.csv"], "train")
    ['dataset.csv']
    """
    data = sorted(name for name in names if _suffix(name) in FORMATS)
    stated = {name: _stated_split(name) for name in data}
    if not any(stated.values()):
        stated = dict.fromkeys(data, "train")
    of_split = [name for name in data if stated[name] == split]
    kind = min(map(_suffix, of_split), key=FORMATS.index, default="")
    return [name for name in of_split if _suffix(name) == kind]


def _stated_split(name: str) -> str:
    path = PurePosixPath(name)
    return stated_split((path.stem, *reversed(path.parent.parts)))


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _download(api: HfApi, repo: str, name: str, revision: str) -> str:
    def download() -> str:
        return api.hf_hub_download(repo, name, repo_type="dataset", revision=revision, etag_timeout=ANSWER_SECONDS)

    return within(FILE_SECONDS, download)


def _reason(error: Exception) -> str:
    if isinstance(error, GatedRepoError):
        return "the dataset is gated: accept its terms on its page and set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return "no such dataset, or none that you may see without setting HF_TOKEN"
    if isinstance(error, HfHubHTTPError | TimeoutError):
        return in_one_line(error)
    return f"{type(error).__name__}: {in_one_line(error)}"
