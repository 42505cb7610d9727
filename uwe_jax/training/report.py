"""What a run tells a person: what it will do, how it went, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from uwe_jax.config import Config, SourceSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.remote import is_remote
from uwe_jax.runtime.text_table import render_table
from uwe_jax.training.evaluation import Results, directions

_DEFAULTS = SourceSettings()
_LARGER = "sentence-transformers/all-mpnet-base-v2"
_OF_THIS_RUN = ("--config.encoder.name=", "--config.workdir=", "--config.distributed.")


def opening(config: Config, parameters: int, graphs: GraphSet, train: GraphSet, devices: str) -> str:
    """One line: what is trained on what, with nodes, edges, parameters and devices."""
    parts = [
        f"skill-{kind} ({len(graph.neighbours):,} {kind} nodes, {graph.num_edges:,} edges, "
        f"{train.graphs[kind].num_edges:,} of them for training)"
        for kind, graph in graphs.graphs.items()
    ]
    return (
        f"Training {config.encoder.name} ({parameters / 1e6:.1f}M parameters) on {len(graphs.skills):,} skills with "
        f"{', '.join(parts)}; {config.steps:,} steps of {config.batch.global_batch_size} skills on {devices}."
    )


NO_VALIDATION = (
    "split.validation is 0: nothing is measured between the first and the last step, and nothing chooses the "
    "checkpoint, so the last step is the model."
)


def results(summary: dict[str, Any]) -> str:
    """The results of a run: a table of held-out nodes, or that nothing was held out."""
    held_out, step = summary["held_out"], summary["step"]
    if not summary["after"]:
        return f"Trained on all nodes: none was held out, so nothing was measured. The model is that of step {step}."
    title = f"Held-out {held_out} nodes against the full target space, percent (step {step})"
    return table(summary["before"], summary["after"], title)


def table(before: Results, after: Results, title: str) -> str:
    """MAP and RP@10 before and after, per direction and macro."""
    lines = Table(title=title, title_justify="left", title_style="bold")
    lines.add_column("ranking")
    for name in ("queries", "targets", "MAP before", "MAP after", "gain", "RP@10 before", "RP@10 after"):
        lines.add_column(name, justify="right")
    for name in directions(before):
        one, two = before[name], after[name]
        lines.add_row(
            name.replace("_", " "),
            f"{one['queries']:,}",
            f"{one['targets']:,}",
            *_pair(one["map"], two["map"]),
            *_pair(one["rp@10"], two["rp@10"])[:2],
        )
    lines.add_section()
    lines.add_row(
        "macro-average",
        "",
        "",
        *_pair(before["macro_map"], after["macro_map"]),
        *_pair(before["macro_rp@10"], after["macro_rp@10"])[:2],
        style="bold",
    )
    return render_table(lines, width=110)


def one_line(results: Results) -> str:
    """A validation in one line: macro-averages, then MAP by direction."""
    parts = [f"{name.replace('_', ' ')} {results[name]['map']:.1f}" for name in directions(results)]
    return (
        f"validation MAP {results['macro_map']:.1f}, RP@10 {results['macro_rp@10']:.1f} "
        f"(MAP by ranking: {', '.join(parts)})"
    )


def _pair(before: float, after: float) -> tuple[str, str, str]:
    return f"{before:.1f}", f"{after:.1f}", f"{after - before:+.1f}"


def next_commands(config: Config, arguments: Sequence[str] = ()) -> str:
    """Commands that go on from here: rank with the model, take it to PyTorch, train a better one.

    Args:
      config: of the run.
      arguments: of its command line; the parts of combined sources stand in no other place.
    """
    model = shlex.quote(config.workdir)
    commands = (
        f"uwe-jax index --model {model} --targets {_targets(config.source)} --out indexes/mine",
        'uwe-jax rank --index indexes/mine "head chef"',
        f"uwe-jax export --model {model} --out exported",
        *_more_training(config, arguments),
    )
    return "\n".join(commands)


def _targets(source: SourceSettings) -> str:
    if source.source != "esco" or is_remote(source.path):
        return "TEXTS.txt"
    chosen = {"language": source.language, "version": source.version}
    flags = [f"--{name} {shlex.quote(value)}" for name, value in chosen.items() if value != getattr(_DEFAULTS, name)]
    return " ".join((shlex.quote(source.path), "--kind skills", *flags))


def _more_training(config: Config, arguments: Sequence[str]) -> list[str]:
    if config.source.source == "combined":
        given = [each for each in arguments if not each.startswith(_OF_THIS_RUN)]
        if not any(each.partition("=")[0] == "--config" for each in given):
            return []
        return [f"uwe-jax train {shlex.join(given)} --config.encoder.name={_LARGER} --config.workdir=runs/mpnet"]
    if config.source.source == "sample":
        return [
            "uwe-jax train --config=esco_minilm "
            "--config.source.path=FOLDER_WITH_THE_ESCO_ZIPS\n"
            "  or, on edge files of your own (left,right columns in skill_job.csv, skill_alias.csv, ...):",
            "uwe-jax train --config=quickstart --config.source.source=edges "
            "--config.source.path=FOLDER --config.workdir=runs/mine",
        ]
    changed = {name: value for name, value in vars(config.source).items() if value != getattr(_DEFAULTS, name)}
    flags = " ".join(shlex.quote(f"--config.source.{name}={value}") for name, value in changed.items())
    return [f"uwe-jax train --config=uwe_mpnet --config.workdir=runs/mpnet {flags}"]
