"""`uwe-jax benchmark scoring|rank|training|pipeline`: how fast this machine ranks, trains and makes batches.

Prints a table and writes the same numbers as JSON. Without a mode it says how it is called.
"""

from __future__ import annotations

import os

from uwe_jax.runtime.huge_pages import restart_with_huge_pages

if __name__ == "__main__":
    restart_with_huge_pages()  # as train does; before the imports that take seconds
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on how it compiles are not the user's concern
    # Peers in PyTorch need room on the same accelerator.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from uwe_jax.config import LengthSettings
from uwe_jax.runtime.arguments import Parser, names
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.progress import report
from uwe_jax.studies.benchmarks import pipeline, ranking, scoring, steps, training
from uwe_jax.studies.benchmarks.outcome import Outcome

_PROGRAM = "uwe-jax benchmark"
USAGE = """uwe-jax benchmark MODE [--flag value ...]

  scoring    ranking against a cached target space, beside the bare matrix product and plain PyTorch
  rank       a query from its text to its hits, alone, under load and from a fresh start of the command
  training   the whole train step, beside mean pooling and plain PyTorch
  pipeline   the making of batches on one core

For example:
  uwe-jax benchmark scoring
  uwe-jax benchmark scoring --queries 1,32,256 --widths 768 --dtype bfloat16
  uwe-jax benchmark rank --encoder mpnet --clients 1,4,16
  uwe-jax benchmark training --encoder mpnet --skills 512 --lengths skill=64,job=64,alias=64 --dtype bfloat16
  uwe-jax benchmark training --encoder mpnet --skills 512 --encode_chunk_size 128 --memory_only
  uwe-jax benchmark pipeline --threads 4
  uwe-jax benchmark pipeline --edges 1000000

MODE --help lists a mode's flags. Nothing is downloaded: data and parameters are random."""


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 1,32") from None


def _lengths(text: str) -> dict[str, int]:
    """Reads skill=16,job=16; kinds may be missing."""
    kinds = [each.name for each in dataclasses.fields(LengthSettings)]
    chosen = {}
    for part in names(text):
        kind, _, tokens = part.partition("=")
        if kind not in kinds or not tokens.isdecimal():
            raise argparse.ArgumentTypeError(f"{part!r} is not KIND=TOKENS with a kind of {', '.join(kinds)}")
        chosen[kind] = int(tokens)
    return chosen


def _text(value: Any) -> str:
    """A default as one would type it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, LengthSettings):
        return ",".join(f"{kind}={tokens}" for kind, tokens in dataclasses.asdict(value).items())
    return str(value)


# By option: how its flag is read, and what --help says. One that is read as bool has a --no- form.
_FLAGS: dict[str, tuple[Callable[[str], Any], str]] = {
    "queries": (_numbers, "queries ranked in one call, such as 1,32"),
    "targets": (int, "texts in the target space"),
    "widths": (_numbers, "components of a token embedding, such as 768,384"),
    "dtype": (str, "float32 or bfloat16"),
    "scorer": (str, "soft, max_sim, mean_pool or soft_pooled"),
    "logits": (str, "attention logits of soft and soft_pooled: dot or cosine"),
    "tau_a": (float, "attention temperature"),
    "top_k": (int, "targets returned of each query"),
    "query_tokens": (_numbers, "tokens of single queries, special ones included, such as 4,8"),
    "clients": (_numbers, "clients that ask at once, such as 1,4"),
    "requests": (int, "queries of all clients together"),
    "starts": (int, "starts of the command, on top of the one that compiles; 0 leaves it out"),
    "many": (int, "rank so many queries once, for their peak memory; minutes on a CPU; 0 does not"),
    "encoder": (str, "minilm or mpnet"),
    "skills": (int, "skills in the global batch"),
    "lengths": (_lengths, "padded tokens by node kind, such as skill=16,vacancy=64"),
    "scorers": (names, "scorers to train with, such as soft,mean_pool"),
    "encode_chunk_size": (int, "texts encoded at once under gradient caching; 0 encodes all"),
    "remat": (bool, "recompute activations in the backward pass"),
    "dropout": (float, "dropout rate of the encoder"),
    "memory_only": (bool, "compile and report memory, run nothing"),
    "batches": (int, "batches made in one run"),
    "edges": (int, "about how many the graphs have, and measure their reading as well; 0 takes ESCO's size"),
    "threads": (int, "threads of Grain"),
    "runs": (int, "runs that count, of every contender"),
    "seed": (int, "of data and parameters"),
    "peers": (bool, "do the same work in PyTorch (default: where it is installed)"),
}
_MODES: dict[str, tuple[Any, Callable[[Any], Outcome]]] = {
    "scoring": (scoring.ScoringOptions, scoring.run),
    "rank": (ranking.RankingOptions, ranking.run),
    "training": (steps.TrainingOptions, training.run),
    "pipeline": (pipeline.PipelineOptions, pipeline.run),
}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=_PROGRAM, add_help=False)
    modes = parser.add_subparsers(dest="mode", required=True, metavar="MODE", prog=_PROGRAM)
    for mode, (options, _) in _MODES.items():
        flags = modes.add_parser(mode)
        defaults = options()
        for field in dataclasses.fields(options):
            read, text = _FLAGS[field.name]
            default = getattr(defaults, field.name)
            shown = text if default is None else f"{text} (default: {_text(default)})"
            # What is not given stays absent, so that defaults stand in one place.
            how: dict[str, Any] = {"action": argparse.BooleanOptionalAction} if read is bool else {"type": read}
            flags.add_argument(f"--{field.name}", default=argparse.SUPPRESS, help=shown, **how)
        out = _default_out(mode)
        flags.add_argument("--out", type=Path, default=out, help=f"JSON file of every number (default: {out})")
    return parser


def _default_out(mode: str) -> Path:
    return Path(f"benchmark_{mode}.json")


def _check_writable(path: Path) -> None:
    """Raises UserError now rather than an error after minutes of measuring."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"--out {path} cannot be written: it is a folder, or its folder is read-only. Name a file.")


def benchmark(arguments: Sequence[str]) -> None:
    """Runs the mode that the command line names.

    Raises:
      UserError: a flag is unknown or its value does not fit.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return
    chosen = vars(_parser().parse_args(arguments))
    mode, out = chosen.pop("mode"), chosen.pop("out")
    options, run = _MODES[mode]
    if "lengths" in chosen:
        chosen["lengths"] = dataclasses.replace(options().lengths, **chosen["lengths"])
    settings = options(**chosen)
    _check_writable(out)
    outcome = run(settings)
    report(outcome.text())
    write_json(out, outcome.to_dict())
    report(f"\nWritten to {out}")


if __name__ == "__main__":
    answer_errors(
        lambda: benchmark(sys.argv[1:]),
        after_full_disk="the table above holds what was measured.",
        after_interrupt="Nothing was written.",
    )
