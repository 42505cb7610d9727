"""`uwe-jax benchmark`: measures how fast this machine ranks, encodes, trains and makes batches."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.memory import keep_freed_memory
from uwe_jax.runtime.options import read_options, wrapped
from uwe_jax.runtime.progress import report
from uwe_jax.runtime.settings import one_of
from uwe_jax.studies.benchmarks import encoding, names, pipeline, ranking, scoring, training
from uwe_jax.studies.benchmarks.outcome import Outcome

ABOUT = """Measures the speed of this machine, beside a bare matrix product and plain PyTorch where it is installed.

  uwe-jax benchmark scoring     ranking against a cached target space
  uwe-jax benchmark rank        a query from its text to its hits, alone, under load and from a fresh start
  uwe-jax benchmark names       from one side and from both; by several names per target
  uwe-jax benchmark encoding    texts to token embeddings, beside sentence-transformers
  uwe-jax benchmark training    the whole train step, beside mean pooling
  uwe-jax benchmark pipeline    making batches on one core

For example:
  uwe-jax benchmark scoring --queries 1,32,256 --widths 768 --dtype bfloat16
  uwe-jax benchmark rank --encoder mpnet --clients 1,4,16
  uwe-jax benchmark training --encoder mpnet --skills 512 --lengths.skill 64 --lengths.job 64 --dtype bfloat16
  uwe-jax benchmark training --encoder mpnet --skills 512 --mini-batch-size 128 --memory-only
  uwe-jax benchmark pipeline --edges 1000000

`uwe-jax benchmark MODE --help` lists the options of a mode. Nothing is downloaded: data and parameters are random."""

_MODES: dict[str, tuple[Any, Callable[[Any], Outcome]]] = {
    "scoring": (scoring.ScoringOptions, scoring.run),
    "rank": (ranking.RankingOptions, ranking.run),
    "names": (names.NamesOptions, names.run),
    "encoding": (encoding.EncodingOptions, encoding.run),
    "training": (training.TrainingOptions, training.run),
    "pipeline": (pipeline.PipelineOptions, pipeline.run),
}


def benchmark(arguments: Sequence[str]) -> None:
    """Runs the mode that the command line names."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(wrapped(ABOUT))
        return
    mode, *rest = arguments
    one_of("The mode of a benchmark", mode, tuple(_MODES))
    about = f"Measures {mode}; see `uwe-jax benchmark` for the other modes."
    # As a field: tyro reads comments on options from a class's source, which the subclass made by read_options lacks.
    field: Any = Annotated[_MODES[mode][0], tyro.conf.arg(name="")]
    given: Any = dataclasses.make_dataclass("Options", [("chosen", field)], frozen=True)
    renamed = {"encode-chunk-size": "mini-batch-size"}
    command = f"benchmark {mode}"
    chosen = read_options(given, rest, command=command, about=about, renamed=renamed, help_if_empty=False).chosen
    out: Path = chosen.out or Path(f"benchmark_{mode}.json")
    out.parent.mkdir(parents=True, exist_ok=True)  # and complain now rather than after minutes of measuring
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise UserError(f"--out {out} cannot be written: it is a folder, or its folder is read-only. Name a file.")
    if mode == "training":
        keep_freed_memory()  # as training does
    outcome = _MODES[mode][1](chosen)
    report(outcome.text())
    write_json(out, {"benchmark": mode, **outcome.to_dict()})
    report(f"\nWritten to {out}")


def run(arguments: Sequence[str]) -> None:
    """Runs the command; errors end the process with its exit status."""
    # Peers in PyTorch need room on the same accelerator.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    answer_errors(
        lambda: benchmark(arguments),
        after_full_disk="the table above holds what was measured.",
        after_interrupt="Nothing was written.",
    )
