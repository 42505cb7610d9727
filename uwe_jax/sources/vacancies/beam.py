"""Runs a tagging job on any Apache Beam runner, for who has outgrown one machine.

The folder of the job must be one that all workers see under the same name, as must the vacancies. The work is that of
`run_job`, chunk by chunk, and so are the files; a run on Beam goes on where one without has stopped, and the other way
round. Needs apache-beam, which the project does without elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.vacancies.job import ChunkDone, TaggingJob, run_chunk
from uwe_jax.sources.vacancies.parts import count_records, read_part


def import_beam() -> Any:
    """The module.

    Raises:
      UserError: it is not installed.
    """
    try:
        import apache_beam as beam
    except ImportError as error:
        raise UserError(
            f"Apache Beam cannot be imported ({error}). Install it with `pip install apache-beam`, or run without it."
        ) from error
    return beam


def run_job_on_beam(job: TaggingJob, runner: str = "DirectRunner", options: Sequence[str] = ()) -> ChunkDone:
    """Does the chunks that are not done, each as an element of a Beam pipeline.

    Args:
      runner: of Beam, such as DirectRunner, FlinkRunner, SparkRunner, DataflowRunner.
      options: of the runner, as on Beam's command line: --flink_master=..., --direct_num_workers=...

    Returns:
      The numbers of the whole job.

    Raises:
      UserError: Beam is not installed, or too many rows are broken.
    """
    beam = import_beam()
    folder = str(job.folder)
    with beam.Pipeline(runner=runner, options=pipeline_options(options)) as pipeline:
        _ = (
            pipeline
            | "Chunks" >> beam.Create(job.left())
            | "Spread" >> beam.Reshuffle()
            | "Tag" >> beam.Map(run_chunk, folder=folder)
        )
    return job.totals()


def pipeline_options(options: Sequence[str]) -> Any:
    """Beam's own object for options as on its command line; nothing is taken from this process's."""
    return import_beam().options.pipeline_options.PipelineOptions(list(options))


def edges_on_beam(job: TaggingJob, graph: str) -> Any:
    """A transform that tags what is left and gives (number, edge) of a whole graph, for a TFDS builder.

    The numbers are those that reading the parts one after the other would give, so that the records come to stand in
    the same order as without Beam.
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


# Functions of the module and not of the one above: a worker then imports them, where others would be sent to it whole.
def _tag(number: int, folder: str, graph: str, left: frozenset[int]) -> tuple[int, int]:
    """A chunk and the number of its edges."""
    if number in left:
        run_chunk(number, folder)
    part = _part(folder, graph, number)
    return number, count_records(part) if part.exists() else 0


def _numbered(
    chunk: tuple[int, int], counts: list[tuple[int, int]], folder: str, graph: str
) -> Iterator[tuple[int, dict[str, str]]]:
    number, count = chunk
    start = sum(before for other, before in counts if other < number)
    edges = read_part(_part(folder, graph, number)) if count else ()
    for place, edge in enumerate(edges, start):
        yield place, edge._asdict()


def _part(folder: str, graph: str, number: int) -> Path:
    return Path(folder) / graph / f"{number:05d}.parquet"
