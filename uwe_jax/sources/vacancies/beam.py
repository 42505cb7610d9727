"""Runs a tagging job on any Apache Beam runner, for data that one machine cannot tag in time.

All workers must see the job's folder and the vacancies under the same paths. Work, files and resuming are those of
`run_job`, chunk by chunk, so a job may be started with Beam and resumed without it, and vice versa. Needs apache-beam,
an optional dependency.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from uwe_jax.runtime.optional_imports import extra_library
from uwe_jax.sources.tfds_edges import EdgeBuilder
from uwe_jax.sources.vacancies.job import PREPARED, ChunkDone, PartEdges, TaggingJob, run_chunk


def import_beam() -> Any:
    """Imports the module; UserError if it is not installed."""
    return extra_library("apache_beam", use="Tagging by Beam", extra="beam", otherwise=" or run without it.")


def run_job_on_beam(job: TaggingJob, runner: str = "DirectRunner", options: Sequence[str] = ()) -> ChunkDone:
    """Tags the remaining chunks as elements of a Beam pipeline; returns the counts of the whole job.

    Args:
      runner: of Beam, such as DirectRunner, FlinkRunner, SparkRunner, DataflowRunner.
      options: of the runner, as on Beam's command line: --flink_master=..., --direct_num_workers=...

    Raises:
      UserError: Beam is not installed, or too many rows are broken.
    """
    beam = import_beam()
    with beam.Pipeline(runner=runner, options=pipeline_options(options)) as pipeline:
        _ = (
            pipeline
            | "Chunks" >> beam.Create(job.left())
            | "Spread" >> beam.Reshuffle()
            | "Tag" >> beam.Map(run_chunk, folder=str(job.folder))
        )
    return job.totals()


def pipeline_options(options: Sequence[str]) -> Any:
    """Returns Beam's own options object, without the options of this process's command line."""
    return import_beam().options.pipeline_options.PipelineOptions(list(options))


class BeamEdges(EdgeBuilder, skip_registration=True):  # type: ignore[call-arg]
    """The edges of a tagging job, tagged and written by a Beam pipeline on the `beam_runner` of a `DownloadConfig`."""

    def __init__(self, job: TaggingJob, graph: str, data_dir: Path):
        self._job = job
        super().__init__("vacancies", graph, data_dir, lambda: ((), ()), job.folder, version=PREPARED)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {"train": _numbered_edges(self._job, self.builder_config.name)}

    def _process_pipeline_result(self, pipeline_result: Any) -> None:
        self.keep_notes(self._job.totals().notes())  # the number of broken rows is known after the pipeline


def _numbered_edges(job: TaggingJob, graph: str) -> Any:
    """Returns a transform that tags the remaining chunks and gives (number, edge) of a graph, for a TFDS builder.

    The numbers are those of reading the parts in order, so that the records are in the same order as without Beam.
    """
    beam = import_beam()
    where = {"folder": str(job.folder), "graph": graph}

    def expand(pipeline: Any) -> Any:
        counts = (
            pipeline
            | "Chunks" >> beam.Create(range(len(job.chunks)))
            | "Spread" >> beam.Reshuffle()
            | "Tag" >> beam.Map(_tag, left=frozenset(job.left()), **where)
            | "Keep" >> beam.Reshuffle()  # no chunk is tagged again for the second use of the counts
        )
        everything = beam.pvalue.AsSingleton(counts | "All" >> beam.combiners.ToList())
        return counts | "Number" >> beam.FlatMap(_numbered, counts=everything, **where)

    return beam.ptransform_fn(expand)()


# Functions of the module, since workers import these, and nested ones would be pickled by value.
def _tag(number: int, folder: str, graph: str, left: frozenset[int]) -> tuple[int, int]:
    """Tags a chunk if necessary; returns its number and its number of edges."""
    if number in left:
        run_chunk(number, folder)
    return number, len(_edges(folder, graph, number))


def _numbered(
    chunk: tuple[int, int], counts: list[tuple[int, int]], folder: str, graph: str
) -> Iterator[tuple[int, dict[str, str]]]:
    number, _ = chunk
    start = sum(before for other, before in counts if other < number)
    for place, edge in enumerate(_edges(folder, graph, number), start):
        yield place, edge._asdict()


def _edges(folder: str, graph: str, number: int) -> PartEdges:
    part = Path(folder) / graph / f"{number:05d}.parquet"
    return PartEdges([part] if part.exists() else [])
