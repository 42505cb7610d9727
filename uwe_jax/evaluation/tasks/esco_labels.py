"""ESCO for ranking tasks: finds a release in the user's folders and reads its labels and relations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from uwe_jax.evaluation.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.sources.esco.reader import EscoEdges, read_concepts, read_job_edges
from uwe_jax.sources.esco.release import (
    DOWNLOAD,
    NEEDS,
    EscoFile,
    EscoRelease,
    choose_release,
    file_names,
    find_files,
    found_instead,
    plain_version,
)
from uwe_jax.sources.folders import DEPTH


def find_esco(
    sources: TaskSources, roles: Sequence[str], *, version: str | None = None, language: str | None = None
) -> EscoRelease:
    """Finds the files of some roles, in the first folder that holds them all in one version.

    Args:
      sources: its version and language are the defaults.
      roles: of skills, occupations and relations.

    Raises:
      TaskDataMissing: not found in any folder.
      UserError: a damaged zip, or two different files of one name and version.
    """
    fixed = version is not None or language is not None
    version = plain_version(sources.esco_version if version is None else version)
    language = sources.language if language is None else language
    instead = ""
    for folder in sources.folders:
        found = find_files(folder, DEPTH)
        release = choose_release(found, roles, language, version)
        if release is not None:
            return release
        instead = instead or found_instead(found, chosen=not fixed)
    names = file_names(language)
    wanted = ", ".join(names[role][0] for role in roles)
    raise TaskDataMissing(
        f"No ESCO{' v' + version if version else ''} with {wanted} in {sources.listed}.{instead} {DOWNLOAD}"
    )


def labels_of(release: EscoRelease, role: str) -> dict[str, str]:
    """Returns the preferred label by URI of all skills or occupations that have one in the release's language."""
    return {uri: label for uri, label in read_concepts(release.files[role]).labels.items() if label}


def relations_of(release: EscoRelease) -> EscoEdges:
    """Returns essential and optional relations, see `read_job_edges`. Cached: callers must not change them."""
    files = tuple(release.files[role] for role in NEEDS["skill_job"])
    return _relations(release.version, release.language, files, tuple(file.stamp for file in files))


@lru_cache(maxsize=2)
def _relations(
    version: str, language: str, files: tuple[EscoFile, ...], stamps: tuple[tuple[int, int], ...]
) -> EscoEdges:
    del stamps  # a part of the cache key: changed files are read again
    return read_job_edges(EscoRelease(version, language, dict(zip(NEEDS["skill_job"], files, strict=True))))
