"""A user's vacancies as a TFDS dataset: one configuration per graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import progress
from uwe_jax.sources.taxonomy import read_taxonomy
from uwe_jax.sources.tfds_edges import EdgeBuilder
from uwe_jax.sources.vacancies.files import find_vacancy_files
from uwe_jax.sources.vacancies.job import CHUNK_ROWS, TaggingJob, job_key, open_job
from uwe_jax.sources.vacancies.parts import count_records, read_part
from uwe_jax.sources.vacancies.pool import run_job
from uwe_jax.sources.vacancies.tagger import JOB, VACANCY, TagSettings


class Builder(EdgeBuilder):
    """Titles of a user's vacancies with their skills, or sentences with the skills named in them."""

    VERSION = tfds.core.Version("1.0.1")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=JOB), tfds.core.BuilderConfig(name=VACANCY)]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Tables with the columns title,description[,skills][,id], and a taxonomy beside them."
    )

    def __init__(self, *, job: TaggingJob | None = None, processes: int = 0, on_beam: bool = False, **kwargs: Any):
        """Takes the arguments of a TFDS builder, and

        Args:
          job: to run; by default that of the vacancies and the taxonomy in `manual_dir`.
          processes: see `run_job`.
          on_beam: write the records by a Beam pipeline, on the `beam_runner` of the `DownloadConfig`.
        """
        self._job, self._processes, self._on_beam = job, processes, on_beam
        super().__init__(**kwargs)

    def read_edges(self, manual_dir: Path) -> list[Edge]:
        """Reads all edges at once; preparing streams them instead."""
        return list(chain.from_iterable(map(read_part, self._parts(manual_dir))))

    def _open(self, manual_dir: Path) -> TaggingJob:
        if self._job is None:
            files, taxonomy, settings = find_vacancy_files(manual_dir), read_taxonomy(manual_dir), TagSettings()
            folder = Path(self.data_dir).parent / f"parts-{job_key(files, taxonomy, settings, CHUNK_ROWS)}"
            self._job = open_job(folder, files, taxonomy, settings)
        return self._job

    def _parts(self, manual_dir: Path) -> list[Path]:
        job = self._open(manual_dir)
        self.keep_notes(run_job(job, self._processes).notes())
        return job.parts(self.builder_config.name)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        manual_dir = Path(dl_manager.manual_dir)
        graph = self.builder_config.name
        if self._on_beam:
            from uwe_jax.sources.vacancies.beam import edges_on_beam

            return {"train": edges_on_beam(self._open(manual_dir), graph)}
        # Everything is tagged before the first record is written: bad input leaves nothing behind.
        parts = self._parts(manual_dir)
        if not parts:
            raise UserError(
                f"{self.info.full_name} is empty: no {'title' if graph == JOB else 'sentence'} of the vacancies in "
                f"{manual_dir} has a skill. Expected at least one: check that the taxonomy is in the language of the "
                "vacancies, or leave this graph out."
            )
        return {"train": self._generate_examples(parts)}

    def _process_pipeline_result(self, pipeline_result: Any) -> None:
        if self._job is not None and self._on_beam:  # the number of broken rows is known after the pipeline
            self.keep_notes(self._job.totals().notes())

    def _generate_examples(self, parts: Sequence[Path]) -> Iterator[tuple[int, dict[str, str]]]:
        edges = chain.from_iterable(map(read_part, parts))
        total = sum(map(count_records, parts))
        label = f"preparing {self.info.full_name}"
        for key, edge in enumerate(progress(edges, label=label, unit=" edges", total=total)):
            yield key, self.example(edge)
