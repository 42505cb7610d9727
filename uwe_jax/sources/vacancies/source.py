"""A user's own vacancies as a source of graphs."""

from __future__ import annotations

import logging
import shutil
from functools import partial

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco.release import flags_of
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest
from uwe_jax.sources.taxonomy import EXPECTED, find_taxonomy, taxonomy_instead
from uwe_jax.sources.vacancies.files import find_vacancy_files
from uwe_jax.sources.vacancies.job import CHUNK_ROWS, PREPARED, VERSION, PartEdges, job_key, open_job
from uwe_jax.sources.vacancies.pool import run_job
from uwe_jax.sources.vacancies.tagger import JOB, VACANCY, TagSettings

LOG = logging.getLogger(__name__)


def _read(request: SourceRequest) -> SourceEdges:
    # imported lazily: TFDS takes a second
    from uwe_jax.sources.prepared import is_prepared, prepare
    from uwe_jax.sources.tfds_edges import EdgeBuilder, read_notes, read_prepared

    folder = request.folder("tables of vacancies with a title and a description, and a taxonomy beside them")
    files = find_vacancy_files(folder)
    taxonomy = find_taxonomy(folder, language=request.language, version=request.version)
    if taxonomy is None:
        instead = taxonomy_instead(folder, request.language, request.version, flags_of(request.setting))
        if bare := [file.name for file in files if "skills" not in file.columns]:
            raise UserError(
                f"There is no column of skills in {', '.join(bare[:3])} of {folder}, and no taxonomy to tag with."
                f"{instead} {EXPECTED} Put it into {folder}."
            )
        if instead:
            LOG.info(f"The vacancies in {folder} are tagged with their own skills alone.{instead}")
    settings = TagSettings(language=request.language, lines=False)
    digest = job_key(files, taxonomy, settings, CHUNK_ROWS)
    place = request.cache_dir / "tfds" / f"vacancies-{VERSION}-{digest}"

    def read(graph: str) -> tuple[PartEdges, list[str]]:
        job = open_job(place / "parts", files, taxonomy, settings)
        notes = run_job(job).notes()
        return PartEdges(job.parts(graph)), notes

    check = "the taxonomy is in the language of the vacancies"
    builders = {
        name: EdgeBuilder("vacancies", name, place, partial(read, name), folder, check=check, version=PREPARED)
        for name in (JOB, VACANCY)
    }
    for name in request.graphs:
        prepare(builders[name])
    if all(map(is_prepared, builders.values())):
        shutil.rmtree(place / "parts", ignore_errors=True)
    names = ", ".join(file.name for file in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    origin = f"vacancies {names} in {folder}, tagged with {taxonomy.origin if taxonomy else 'their own skills'}"
    edges = {name: read_prepared(builders[name]) for name in request.graphs}
    return SourceEdges(origin, edges, read_notes(builders[request.graphs[0]]))


SOURCE = Source({JOB: "job", VACANCY: "vacancy"}, _read, reads=dict.fromkeys(("language", "version"), (JOB, VACANCY)))
