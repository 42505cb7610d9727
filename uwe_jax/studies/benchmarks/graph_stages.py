"""Seconds and memory of each stage from edge files to the first batch of a training run."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from uwe_jax.config import BatchSettings, LengthSettings, SourceSettings, SplitSettings
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.split import split_graphs
from uwe_jax.data.synthetic import synthetic_tables
from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.evaluation.decontamination import load_training_composition
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.sources.mixture.saved import read_saved, save
from uwe_jax.studies.benchmarks import lengths
from uwe_jax.studies.benchmarks.batches import graphs_like_esco
from uwe_jax.studies.benchmarks.memory import host_peak
from uwe_jax.studies.benchmarks.outcome import Row

T = TypeVar("T")
# Of graphs as large as ESCO's: nine edges a skill, one and a half a sentence, one an alias.
EDGES = 252_547


def scaled_skills(edges: int) -> int:
    """Skills of synthetic graphs with about so many edges."""
    return round(sum(lengths.SKILLS) * edges / EDGES)


class Stages:
    """Rows of the stages that were measured, in their order."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def measure(self, name: str, work: Callable[[], T], about: Callable[[T], dict[str, Any]] = lambda _: {}) -> T:
        """Runs a stage once and returns what it made.

        Args:
          name: of the stage.
          work: the stage.
          about: further values of its row, from what it made.
        """
        made: list[T] = []
        taken: list[tuple[float, float]] = []

        def timed() -> None:
            started = time.perf_counter(), time.process_time()
            made.append(work())
            taken.append((time.perf_counter() - started[0], time.process_time() - started[1]))

        peak = host_peak(timed)
        seconds = dict(zip(("seconds_once", "cpu_seconds"), taken[0], strict=True))
        self.rows.append({"contender": name, **seconds, "peak_memory": peak.to_dict(), **about(made[0])})
        return made[0]


def write_edge_files(graphs: GraphSet, folder: Path) -> None:
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


def measured_builder(
    edges: int, settings: BatchSettings, texts: LengthSettings, seed: int
) -> tuple[BatchBuilder, list[Row]]:
    """Makes what makes batches as a training run does, from edge files of synthetic graphs on disk.

    Args:
      edges: about how many; nodes in ESCO's proportions.
      settings: of batches.
      texts: tokens per node.
      seed: of graphs and batches.

    Returns:
      The builder over the training split, and a row for each stage. Token tables are made up, not tokenised.
    """
    stages = Stages()
    with tempfile.TemporaryDirectory() as name:
        files, combined = Path(name, "edges"), Path(name, "combined")
        files.mkdir()
        write_edge_files(graphs_like_esco(seed, edges / EDGES), files)
        composition = stages.measure(
            "reading edge files",
            lambda: load_training_composition(SourceSettings(source="edges", path=str(files), decontaminate=())),
            lambda made: _sizes(made.graphs),
        )
        save(composition, combined, {})
        del composition
        gc.collect()
        graphs = stages.measure(
            "reading what combine wrote", lambda: read_saved(combined).graphs, lambda made: _sizes(made)
        )
    split = SplitSettings()
    splits = stages.measure("splitting nodes", lambda: split_graphs(graphs, split.validation, split.test))
    stages.measure("hashes for evaluations", lambda: TrainingHashes.of(splits.train))
    tables = stages.measure(
        "token tables (random ids)",
        lambda: synthetic_tables(graphs, lengths.BY_KIND, seed),
        lambda made: {"held_bytes": sum(table.flat.nbytes + table.offsets.nbytes for table in made.values())},
    )
    build = stages.measure(
        "sampler and first batch",
        lambda: _first(BatchBuilder(splits.train, tables, texts, BatchSampler(splits.train, settings, seed))),
    )
    return build, stages.rows


def _first(build: BatchBuilder) -> BatchBuilder:
    build(0)
    return build


def _sizes(graphs: GraphSet) -> dict[str, int]:
    """Edges, nodes, and the bytes of matrices, weights and texts."""
    lists = [graphs.skills, graphs.skill_ids]
    lists += [texts for graph in graphs.graphs.values() for texts in (graph.neighbours, graph.neighbour_ids)]
    texts = {id(text): text.__sizeof__() for each in lists for text in each}
    held = sum(texts.values()) + sum(each.__sizeof__() for each in {id(each): each for each in lists}.values())
    for graph in graphs.graphs.values():
        matrix = graph.edges
        held += matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
        held += sum(column.nbytes for column in (graph.weights, graph.parts) if column is not None)
    return {
        "edges": sum(graph.num_edges for graph in graphs.graphs.values()),
        "nodes": len(graphs.skills) + sum(len(graph.neighbours) for graph in graphs.graphs.values()),
        "held_bytes": held,
    }
