"""What a run tells a person: what it will do, how it went, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from uwe_jax.config import Config
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.text_table import render_table
from uwe_jax.training.evaluation import Results, directions

# A percentile bootstrap of fewer is too narrow to conclude from.
FEWEST_QUERIES = 20
LARGER = "sentence-transformers/all-mpnet-base-v2"
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


def ending(config: Config, summary: dict[str, Any], arguments: Sequence[str], skills: Path) -> str:
    """What a finished run says: its results, its files, and what to type next; arguments as of `next_commands`."""
    return (
        f"{results(summary)}\n\nWritten to {config.workdir}: checkpoints/, summary.json, metrics.jsonl, training.png, "
        f"config.json, skills.txt\nNext:\n{next_commands(config, arguments, skills)}"
    )


def results(summary: dict[str, Any]) -> str:
    """The results of a run: a table of held-out nodes and what it says, or that nothing was held out."""
    held_out, step = summary["held_out"], summary["step"]
    if not summary["after"]:
        return f"Trained on all nodes: none was held out, so nothing was measured. The model is that of step {step}."
    title = f"Held-out {held_out} nodes against the full target space, percent (step {step})"
    return f"{table(summary['before'], summary['after'], title)}\n{verdict(summary)}"


def verdict(summary: dict[str, Any]) -> str:
    """Whether training made held-out rankings better than the frozen encoder, or that this cannot be known."""
    (difference, low, high), queries = summary["against_frozen"]["map"], summary["against_frozen"]["queries"]
    worse = difference < 0
    told = (
        f"Macro MAP {summary['after']['macro_map']:.1f}, {abs(difference):.1f} points "
        f"{'worse than' if worse else 'above'} the frozen encoder"
    )
    if queries < FEWEST_QUERIES:
        told += f"; {queries} queries: no conclusion."
    else:
        conclusion = ": no conclusion" if low <= 0 <= high else ""
        told += f" (95% interval {low:.1f} to {high:.1f}, {queries:,} queries){conclusion}."
    if summary["held_out"] == "validation":
        told += " The checkpoint was chosen on the same nodes, which flatters it."
    return told


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


def next_commands(config: Config, arguments: Sequence[str], skills: Path) -> str:
    """Commands that can be typed as they are: rank with the model, take it to PyTorch, train a larger one.

    Args:
      config: of the run.
      arguments: of its command line; a run that was started from Python has no command to repeat.
      skills: file of the skills that it was trained on.
    """
    model = shlex.quote(config.workdir)
    cache = f" --cache-dir {shlex.quote(config.source.cache_dir)}" if config.source.cache_dir else ""
    commands = [
        f"uwe-jax index --model {model} --targets {shlex.quote(str(skills))} --out indexes/mine{cache}",
        f'uwe-jax rank --index indexes/mine "head chef"{cache}',
        f"uwe-jax export --model {model} --out exported{cache}",
    ]
    given = [each for each in arguments if not each.startswith(_OF_THIS_RUN)]
    if any(each.partition("=")[0] == "--config" for each in given) and config.encoder.name != LARGER:
        commands.append(f"uwe-jax train {shlex.join(given)} --config.encoder.name={LARGER} --config.workdir=runs/mpnet")
    if config.source.source == "sample":
        commands.append(
            "On data of your own: --config=esco_minilm --config.source.path=FOLDER, with ESCO's zips; or\n"
            "--config=quickstart --config.source.source=edges --config.source.path=FOLDER, with skill_job.csv, ..."
        )
    return "\n".join(commands)
