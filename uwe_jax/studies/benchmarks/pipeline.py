"""`benchmark pipeline`: the making of batches on one core, alone and through Grain.

With `--edges`, of graphs of another size, and of all stages from edge files to the first batch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from uwe_jax.config import BatchSettings, LengthSettings, SourceSettings, SplitSettings
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.split import split_graphs
from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.evaluation.decontamination import load_training_composition
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.runtime.progress import counted
from uwe_jax.runtime.settings import all_within, within
from uwe_jax.sources.mixture.saved import read_saved, save
from uwe_jax.studies.benchmarks import outcome, synthetic
from uwe_jax.studies.benchmarks.measure import host_peak, interleaved
from uwe_jax.studies.benchmarks.outcome import BenchmarkOptions, Column, Outcome, Row, facts

LOG = logging.getLogger(__name__)
T = TypeVar("T")
LABELS = (Column("contender", "contender"),)
COLUMNS = (
    Column("edges", "edges", outcome.whole),
    Column("nodes", "nodes", outcome.whole),
    Column("holds\nMiB", "held_bytes", outcome.in_mebibytes),
    Column("s", "seconds_once", outcome.significant),
    Column("CPU s", "cpu_seconds", outcome.significant),
    Column("peak\nMiB", "peak_memory", outcome.peak),
    Column("ms/batch (min..max)", "seconds_per_batch", outcome.milliseconds),
    Column("batches\n/s", "batches_per_second", outcome.significant),
    Column("MiB\n/batch", "batch_bytes", outcome.in_mebibytes),
    Column("B/s", "bytes_per_second", outcome.scaled),
)

# Of graphs as large as ESCO's: nine edges a skill, one and a half a sentence, one an alias.
EDGES = 252_547
_FEWEST_EDGES = 2_000


@dataclass(frozen=True)
class PipelineOptions(BenchmarkOptions):
    """Options of `benchmark pipeline`."""

    skills: int = 512  # in a batch
    edges: int = 0  # of graphs whose making is then measured as well, about; 0 takes ESCO's size
    lengths: LengthSettings = field(default_factory=LengthSettings)  # tokens per node of each kind
    batches: int = 50  # per run
    threads: int = 2  # of Grain
    runs: int = 5

    def __post_init__(self) -> None:
        skills = sum(synthetic.SKILLS)
        if self.edges:
            within("--edges", self.edges, _FEWEST_EDGES)
        # About a fifth of the skills of graphs that were read is held out.
        within("--skills", self.skills, 2, round(skills * self.edges / EDGES) // 2 if self.edges else skills)
        all_within(self, "--", "batches threads runs", 1)
        within("--seed", self.seed, 0)


def _measure(rows: list[Row], name: str, work: Callable[[], T], about: Callable[[T], Row] = lambda _: {}) -> T:
    """Runs a stage once, appends its row with further values from what it made, and returns what it made."""
    made: list[T] = []
    row: Row = {"contender": name}

    def timed() -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        made.append(work())
        row.update(seconds_once=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)

    row["peak_memory"] = host_peak(timed)
    rows.append(row | about(made[0]))
    return made[0]


def _write_edge_files(graphs: GraphSet, folder: Path) -> None:
    """Writes graphs as a user's edge files, skill_<kind>.parquet, without identifiers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for kind, graph in graphs.graphs.items():
        rows = np.repeat(np.arange(len(graph.skills), dtype=np.int32), np.diff(graph.edges.indptr))
        columns = {"left": (rows, graph.skills), "right": (graph.edges.indices, graph.neighbours)}
        table = {
            name: pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(texts)).cast(pa.string())
            for name, (codes, texts) in columns.items()
        }
        pq.write_table(pa.table(table), folder / f"{SKILL}_{kind}.parquet")


def _sizes(graphs: GraphSet) -> dict[str, int]:
    """Counts edges, nodes, and the bytes of matrices, weights and texts."""
    lists = [graphs.skills, graphs.skill_ids]
    lists += [texts for graph in graphs.graphs.values() for texts in (graph.neighbours, graph.neighbour_ids)]
    texts = {id(text): text.__sizeof__() for each in lists for text in each}
    held = sum(texts.values()) + sum(each.__sizeof__() for each in {id(each): each for each in lists}.values())
    for graph in graphs.graphs.values():
        arrays = (graph.edges.data, graph.edges.indices, graph.edges.indptr, graph.weights, graph.parts)
        held += sum(array.nbytes for array in arrays if array is not None)
    return {
        "edges": sum(graph.num_edges for graph in graphs.graphs.values()),
        "nodes": len(graphs.skills) + sum(len(graph.neighbours) for graph in graphs.graphs.values()),
        "held_bytes": held,
    }


def _measured_builder(options: PipelineOptions, settings: BatchSettings, rows: list[Row]) -> BatchBuilder:
    """Makes what makes batches as a training run does, from edge files of synthetic graphs on disk.

    Appends a row for each stage. Token tables are made up, not tokenised.
    """
    with tempfile.TemporaryDirectory() as name:
        files, combined = Path(name, "edges"), Path(name, "combined")
        files.mkdir()
        _write_edge_files(synthetic.graphs_like_esco(options.seed, options.edges / EDGES), files)
        source = SourceSettings(source="edges", path=str(files), decontaminate=())
        composition = _measure(
            rows, "reading edge files", lambda: load_training_composition(source), lambda made: _sizes(made.graphs)
        )
        save(composition, combined, {})
        del composition
        gc.collect()
        graphs = _measure(rows, "reading what combine wrote", lambda: read_saved(combined).graphs, _sizes)
    split = SplitSettings()
    splits = _measure(rows, "splitting nodes", lambda: split_graphs(graphs, split.validation, split.test))
    _measure(rows, "hashes for evaluations", lambda: TrainingHashes.of(splits.train))
    tables = _measure(
        rows,
        "token tables (random ids)",
        lambda: synthetic.synthetic_tables(graphs, synthetic.BY_KIND, options.seed),
        lambda made: {"held_bytes": sum(table.flat.nbytes + table.offsets.nbytes for table in made.values())},
    )

    def builder() -> BatchBuilder:
        sampler = BatchSampler(splits.train, settings, options.seed)
        build = BatchBuilder(splits.train, tables, options.lengths, sampler, devices=jax.device_count())
        build(0)
        return build

    return _measure(rows, "sampler and first batch", builder)


@contextlib.contextmanager
def one_core() -> Iterator[int | None]:
    """Pins this thread, and those it starts, to one processor; yields its number, or None where it cannot be pinned."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = os.sched_getaffinity(0)
    core = min(before)
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, before)


def run(options: PipelineOptions) -> Outcome:
    """Measures how fast batches of synthetic graphs are made."""
    from uwe_jax.data.pipeline import batches  # imports Grain, which takes a second

    about = facts()
    settings = BatchSettings(global_batch_size=options.skills, threads=options.threads)
    rows: list[Row] = []
    if options.edges:
        with one_core():
            build = _measured_builder(options, settings, rows)
    else:
        build = synthetic.batch_builder(settings, options.lengths, options.seed)
    batch_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(build(0)))

    def alone() -> None:
        for step in range(options.batches):
            build(step)

    def through_grain() -> None:
        for _ in batches(build, settings, first=0, last=options.batches):
            pass

    contenders = {"BatchBuilder alone": alone, f"through Grain, {counted(options.threads, 'thread')}": through_grain}
    LOG.info(f"Making {options.batches} batches of {options.skills} skills, {options.runs} times each way")
    with one_core() as core:
        times = interleaved(contenders, options.runs)
    for name, seconds in times.items():
        rows.append(
            {
                "contender": name,
                "skills": options.skills,
                "batches": options.batches,
                "seconds": seconds,
                "seconds_per_batch": {key: seconds[key] / options.batches for key in ("median", "low", "high")},
                "batches_per_second": options.batches / seconds["median"],
                "batch_bytes": batch_bytes,
                "bytes_per_second": batch_bytes * options.batches / seconds["median"],
            }
        )
    pinned = f"on core {core}" if core is not None else "on all cores, as this system cannot pin it"
    size = "in ESCO's proportions" if options.edges else "of ESCO's size"
    most = ", ".join(f"{kind} {tokens}" for kind, tokens in dataclasses.asdict(options.lengths).items())
    notes = [
        f"Median and range of {options.runs} runs of {options.batches} batches, taken in turn, {pinned}.",
        f"Synthetic graphs {size} with texts as long as real ones, of at most {most} tokens.",
    ]
    if options.edges:
        notes.append(
            "Each stage before the first batch ran once. Holds: matrices, texts and lists of graphs, or tables. "
            "Peak memory: growth of the resident set during the stage."
        )
    title = f"Batches of {options.skills} skills and their neighbours"
    return Outcome(title, about, options.settings() | {"core": core}, LABELS, COLUMNS, rows, notes)
