"""`benchmark pipeline`: the making of batches on one core, alone and through Grain.

With `--edges`, of graphs of another size, and of all stages before the first batch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import jax

from uwe_jax.config import BatchSettings, LengthSettings
from uwe_jax.runtime.settings import within
from uwe_jax.studies.benchmarks import lengths as text_lengths
from uwe_jax.studies.benchmarks import outcome
from uwe_jax.studies.benchmarks.batches import batch_builder
from uwe_jax.studies.benchmarks.device import facts
from uwe_jax.studies.benchmarks.graph_stages import measured_builder, scaled_skills
from uwe_jax.studies.benchmarks.outcome import Column, Outcome, Row
from uwe_jax.studies.benchmarks.timing import interleaved

LOG = logging.getLogger(__name__)
COLUMNS = (
    Column("contender", "contender"),
    Column("edges", "edges", outcome.whole),
    Column("nodes", "nodes", outcome.whole),
    Column("s", "seconds_once", outcome.significant),
    Column("CPU s", "cpu_seconds", outcome.significant),
    Column("holds", "held_bytes", outcome.mebibytes),
    Column("peak memory", "peak_memory", outcome.peak),
    Column("skills", "skills", outcome.whole),
    Column("batches/s", "batches_per_second", outcome.significant),
    Column("ms/batch (min..max)", "seconds_per_batch", outcome.milliseconds),
    Column("per batch", "batch_bytes", outcome.mebibytes),
    Column("made", "bytes_per_second", outcome.scaled("B/s")),
)

_FEWEST_EDGES = 2_000


@dataclass(frozen=True)
class PipelineOptions:
    """Options of `benchmark pipeline`."""

    skills: int = 512  # in a batch
    edges: int = 0  # of graphs whose making is then measured as well, about; 0 takes ESCO's size
    lengths: LengthSettings = field(default_factory=LengthSettings)  # tokens per node of each kind
    batches: int = 50  # per run
    threads: int = 2  # of Grain
    runs: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.edges:
            within("--edges", self.edges, _FEWEST_EDGES)
        # About a fifth of the skills of graphs that were read is held out.
        within("--skills", self.skills, 2, scaled_skills(self.edges) // 2 if self.edges else sum(text_lengths.SKILLS))
        for name, least in (("batches", 1), ("threads", 1), ("runs", 1), ("seed", 0)):
            within(f"--{name}", getattr(self, name), least)


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
    about = facts()
    settings = BatchSettings(global_batch_size=options.skills, threads=options.threads)
    rows: list[Row] = []
    if options.edges:
        with one_core():
            build, rows = measured_builder(options.edges, settings, options.lengths, options.seed)
    else:
        build = batch_builder(settings, options.lengths, options.seed)
    batch_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(build(0)))

    def alone() -> None:
        for step in range(options.batches):
            build(step)

    contenders: dict[str, Callable[[], object]] = {"BatchBuilder alone": alone}
    try:
        from uwe_jax.data.pipeline import batches  # needs Grain, which may not be installed
    except ImportError:
        grain = False
    else:
        grain = True

        def through_grain() -> None:
            for _ in batches(build, settings, first=0, last=options.batches):
                pass

        contenders[f"through Grain, {options.threads} thread{'s'[: options.threads > 1]}"] = through_grain
    LOG.info(f"Making {options.batches} batches of {options.skills} skills, {options.runs} times each way")
    with one_core() as core:
        times = interleaved(contenders, options.runs)
    for name, taken in times.items():
        whole = taken.to_dict()
        rows.append(
            {
                "contender": name,
                "skills": options.skills,
                "batches": options.batches,
                "seconds": whole,
                "seconds_per_batch": {key: whole[key] / options.batches for key in ("median", "low", "high")},
                "batches_per_second": options.batches / taken.median,
                "batch_bytes": batch_bytes,
                "bytes_per_second": batch_bytes * options.batches / taken.median,
            }
        )
    pinned = f"on core {core}" if core is not None else "on all cores, as this system cannot pin it"
    size = "in ESCO's proportions" if options.edges else "of ESCO's size"
    padded = ", ".join(f"{kind} {tokens}" for kind, tokens in dataclasses.asdict(options.lengths).items())
    notes = [
        f"Median and range of {options.runs} runs of {options.batches} batches, taken in turn, {pinned}.",
        f"Synthetic graphs {size} with texts as long as real ones, padded to {padded} tokens.",
    ]
    if options.edges:
        notes.append(
            "Each stage before the first batch ran once. Holds: matrices, texts and lists of graphs, or tables. "
            "Peak memory: growth of the resident set during the stage."
        )
    if not grain:
        notes.append("Grain is not installed: batches were not made through it.")
    return Outcome(
        mode="pipeline",
        title=f"Batches of {options.skills} skills and their neighbours",
        facts=about,
        settings=dataclasses.asdict(options) | {"core": core},
        columns=COLUMNS,
        rows=rows,
        notes=notes,
    )
