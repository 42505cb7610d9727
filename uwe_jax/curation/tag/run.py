"""A tagging from vacancies to a folder of edges that appears when it is complete."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

from uwe_jax.curation.tag.options import TaggingOptions
from uwe_jax.curation.tag.summary import summary_table
from uwe_jax.models.remote_workdir import checkpoints_of, make_local
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import make_out, write_json
from uwe_jax.runtime.locks import exclusive
from uwe_jax.runtime.progress import duration, report
from uwe_jax.sources.taxonomy import Taxonomy, read_taxonomy
from uwe_jax.sources.vacancies.files import VacancyFile, find_vacancy_files
from uwe_jax.sources.vacancies.job import job_key, open_job
from uwe_jax.sources.vacancies.pool import run_job
from uwe_jax.sources.vacancies.tagger import JOB, SENTENCES, VACANCY, TagSettings

LOG = logging.getLogger(__name__)
RESULT = "tagging.json"
_LOCK = "lock"
_WORKING = ("done", "taxonomy.json", "job.json", SENTENCES, _LOCK)  # of the job, not needed once it is complete


def tag(options: TaggingOptions) -> None:
    """Tags the vacancies and prints a summary; resumes where an earlier call was stopped.

    Writes into `out` skill_job/ and skill_vacancy/ with Parquet files for the source edges, and tagging.json with the
    settings and counts.

    Raises:
      UserError: for anything that the user can fix.
    """
    started = time.perf_counter()
    make_out(options.out.parent)
    files = find_vacancy_files(options.vacancies, options.columns)
    taxonomy = _taxonomy(options, [file.name for file in files if "skills" not in file.columns])
    settings = TagSettings(
        language=options.language,
        min_words=options.min_words,
        max_characters=options.max_characters,
        aliases=options.aliases,
        keep_sentences=options.model_reads if options.model else "none",
    )
    key = _key(job_key(files, taxonomy, settings, options.chunk_rows), options)
    if (done := _read_result(options.out, key)) is not None:
        _tidy(options.out)
        LOG.info(f"{options.out} holds this tagging already.")
        report(summary_table(done))
        return
    work = options.out.parent / f".{options.out.name}.{key}.partial"
    for other in options.out.parent.glob(f".{options.out.name}.*.partial"):
        if other != work:
            LOG.warning(
                f"{other} is left of a tagging of other vacancies or settings. Remove it if you do not want to go on."
            )
    doing = f"tagging the same vacancies in {work}"
    with exclusive(work / _LOCK, doing, advice="name another folder with --out"):
        result = _tagged(options, work, key, files, taxonomy, settings)
        _finish(work, options.out, result)
    report(summary_table(result))
    use = "read it with the source 'edges'" if result["edges"] else "it holds no edge, as no text has a skill"
    LOG.info(f"Written to {options.out} in {duration(time.perf_counter() - started)}: {use}.")


def _tagged(
    options: TaggingOptions,
    work: Path,
    key: str,
    files: list[VacancyFile],
    taxonomy: Taxonomy | None,
    settings: TagSettings,
) -> dict[str, Any]:
    """Completes a job; returns the content of tagging.json."""
    job = open_job(work, files, taxonomy, settings, chunk_rows=options.chunk_rows, max_broken=options.max_broken)
    if len(job.left()) < len(job.chunks):
        LOG.info(f"Going on: {len(job.chunks) - len(job.left()):,} of {len(job.chunks):,} chunks are tagged by name.")
    if options.beam_runner:
        from uwe_jax.sources.vacancies.beam import run_job_on_beam

        total = run_job_on_beam(job, options.beam_runner, options.beam_options)
    else:
        total = run_job(job, options.processes)
    if options.model and taxonomy:
        # Imported here: the processes that tag by name import this module, and need no JAX.
        from uwe_jax.curation.tag.by_model import tag_by_model
        from uwe_jax.evaluation.specs import load_ranker

        ranker = load_ranker(options.model, cache_dir=options.cache_dir, max_tokens=options.max_tokens)
        total.merge(tag_by_model(job, taxonomy, ranker, threshold=options.threshold, top_k=options.top_k))
    return {
        "key": key,
        "vacancies": [str(file.path) for file in files],
        "taxonomy": taxonomy.origin if taxonomy else "",
        "model": options.model,
        "threshold": options.threshold if options.model else None,
        "max_tokens": options.max_tokens if options.model else None,
        "settings": dataclasses.asdict(settings),
        "counts": dict(total.counts),
        "edges": dict(total.edges),
        "skills": len(total.skills),
        "top_skills": total.skills.most_common(20),
        "broken": total.broken.to_dict(),
    }


def _taxonomy(options: TaggingOptions, bare: list[str]) -> Taxonomy | None:
    if options.taxonomy is not None:
        return read_taxonomy(options.taxonomy, language=options.language, version=options.esco_version)
    if bare or options.model:
        why = f"{', '.join(bare[:3])} has no column of skills" if bare else "a model ranks the skills of one"
        raise UserError(
            f"Command line: no --taxonomy, and {why}. Name the folder of the ESCO zips, or a file of skills."
        )
    return None


def _key(key: str, options: TaggingOptions) -> str:
    if not options.model:
        return key
    # A run in training may have another best checkpoint later.
    folder = checkpoints_of(Path(make_local(options.model, options.cache_dir)).expanduser())
    steps = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    told = [key, options.model, steps, options.threshold, options.top_k, options.max_tokens]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _read_result(out: Path, key: str) -> dict[str, Any] | None:
    """Returns tagging.json of a complete tagging of this key, None where `out` is empty; raises UserError otherwise."""
    try:
        if not any(out.iterdir()):
            return None
        result = json.loads((out / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not out.exists():
            return None
        raise UserError(f"{out} contains other files and no {RESULT}. Name another folder with --out.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{out} cannot be read ({error}). Name another folder with --out.") from error
    if isinstance(result, dict) and result.get("key") == key:
        return result
    raise UserError(f"{out} contains a tagging of other vacancies or settings. Name another folder with --out.")


def _finish(work: Path, out: Path, result: dict[str, Any]) -> None:
    write_json(work / RESULT, result)
    for graph in (JOB, VACANCY):
        if (work / graph).is_dir() and not any((work / graph).iterdir()):
            (work / graph).rmdir()  # the source edges refuses an empty folder
    # Atomic, and working files are removed afterwards: a kill leaves a job to resume, or all edges.
    work.replace(out)
    _tidy(out)


def _tidy(out: Path) -> None:
    for name in _WORKING:
        if (out / name).is_dir():
            shutil.rmtree(out / name)
        else:
            (out / name).unlink(missing_ok=True)
    for graph in (JOB, VACANCY):
        for partial in (out / graph).glob(".*.partial"):
            partial.unlink()
