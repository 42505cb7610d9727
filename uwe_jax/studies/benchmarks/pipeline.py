"""`benchmark pipeline`: how fast batches are made on one core, alone and through Grain.

With `--edges`, of graphs of another size, and what comes before the first batch of such graphs.
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
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.runtime.settings import within
from uwe_jax.studies.benchmarks import formats
from uwe_jax.studies.benchmarks import lengths as text_lengths
from uwe_jax.studies.benchmarks.batches import batch_builder
from uwe_jax.studies.benchmarks.device import facts
from uwe_jax.studies.benchmarks.graph_stages import measured_builder, scaled_skills
from uwe_jax.studies.benchmarks.outcome import Column, Outcome, Row
from uwe_jax.studies.benchmarks.timing import interleaved

LOG = logging.getLogger(__name__)
COLUMNS = (
    Column("contender", "contender"),
    Column("edges", "edges", formats.whole),
    Column("nodes", "nodes", formats.whole),
    Column("s", "seconds_once", formats.significant),
    Column("CPU s", "cpu_seconds", formats.significant),
    Column("holds", "held_bytes", formats.mebibytes),
    Column("peak memory", "peak_memory", formats.peak),
    Column("skills", "skills", formats.whole),
    Column("batches/s", "batches_per_second", formats.significant),
    Column("ms a batch (min..max)", "seconds_per_batch", formats.milliseconds),
    Column("a batch", "batch_bytes", formats.mebibytes),
    Column("made", "bytes_per_second", formats.scaled("B/s")),
)

_FEWEST_EDGES = 2_000


@dataclass(frozen=True)
class PipelineOptions:
    """What batches are made, and how often."""

    skills: int = 512  # in a batch
    edges: int = 0  # about how many in the graphs, whose making is then measured as well; 0 takes ESCO's size
    lengths: LengthSettings = field(default_factory=LengthSettings)  # tokens per node of each kind
    batches: int = 50  # made in one run
    threads: int = 2  # of Grain
    runs: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.edges:
            within("--edges", self.edges, _FEWEST_EDGES)
        # A fifth of the skills of graphs that were read is held out, more or less.
        within("--skills", self.skills, 2, scaled_skills(self.edges) // 2 if self.edges else sum(text_lengths.SKILLS))
        for name, least in (("batches", 1), ("threads", 1), ("runs", 1), ("seed", 0)):
            within(f"--{name}", getattr(self, name), least)


@contextlib.contextmanager
def one_core() -> Iterator[int | None]:
    """Keeps this thread, and those it starts, on one processor; gives its number, or None where that cannot be."""
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


def _through_grain(build: BatchBuilder, settings: BatchSettings, number: int) -> Callable[[], object] | None:
    try:
        from uwe_jax.data.pipeline import batches  # needs Grain, which only this benchmark does
    except ImportError:
        return None

    def work() -> None:
        for _ in batches(build, settings, first=0, last=number):
            pass

    return work


def run(options: PipelineOptions) -> Outcome:
    """Measures the making of batches from synthetic graphs."""
    about = facts()
    settings = BatchSettings(global_batch_size=options.skills, threads=options.threads)
    rows: list[Row] = []
    if options.edges:
        with one_core():
            build, rows = measured_builder(options.edges, settings, options.lengths, options.seed)
    else:
        build = batch_builder(settings, options.lengths, options.seed)
    bytes_a_batch = sum(leaf.nbytes for leaf in jax.tree.leaves(build(0)))

    def alone() -> None:
        for step in range(options.batches):
            build(step)

    contenders: dict[str, Callable[[], object]] = {"BatchBuilder alone": alone}
    grain = _through_grain(build, settings, options.batches)
    if grain is not None:
        contenders[f"through Grain, {options.threads} thread{'s'[: options.threads > 1]}"] = grain
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
                "batch_bytes": bytes_a_batch,
                "bytes_per_second": bytes_a_batch * options.batches / taken.median,
            }
        )
    pinned = (
        "the process ran on all cores, as this system cannot pin it"
        if core is None
        else f"the process was kept on core {core}"
    )
    size = "in ESCO's proportions" if options.edges else "of ESCO's size"
    padded = ", ".join(f"{kind} {tokens}" for kind, tokens in dataclasses.asdict(options.lengths).items())
    notes = [
        f"Median and range of {options.runs} runs of {options.batches} batches, taken in turn; {pinned}.",
        f"Synthetic graphs {size} with texts as long as real ones, padded to {padded} tokens.",
    ]
    if options.edges:
        notes.append(
            "Each stage before the first batch ran once. Holds: matrices, texts and lists of graphs, or tables. "
            "Peak memory: growth of the resident set over what was there before the stage."
        )
    if grain is None:
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
