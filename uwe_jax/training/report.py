"""Text that a run prints: what it trains, its results, and commands to type next."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from uwe_jax.config import Config
from uwe_jax.data.batches import Batch
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.sampling import BatchIds
from uwe_jax.runtime.command import rank_command
from uwe_jax.runtime.progress import counted
from uwe_jax.runtime.text_table import render_table
from uwe_jax.training.evaluation import Results, directions

# A percentile bootstrap of fewer is too narrow to conclude from.
FEWEST_QUERIES = 20
LARGER = "sentence-transformers/all-mpnet-base-v2"
_OF_THIS_RUN = ("--config.encoder.name=", "--config.workdir=", "--config.distributed.")
NO_VALIDATION = (
    "split.validation is 0: nothing is measured between the first and the last step, and nothing chooses the "
    "checkpoint, so the last step is the model."
)


def opening(config: Config, parameters: int, graphs: GraphSet, train: GraphSet, devices: str) -> str:
    """Describes the training in one line: encoder, nodes, edges, steps and devices."""
    parts = [
        f"skill-{kind} ({len(graph.neighbours):,} {kind} nodes, {graph.num_edges:,} edges, "
        f"{train.graphs[kind].num_edges:,} of them for training)"
        for kind, graph in graphs.graphs.items()
    ]
    names = "".join(
        f"; {len(each.texts):,} further names of {kind} nodes, {len(train.names[kind].texts):,} of them for training"
        for kind, each in graphs.names.items()
    )
    return (
        f"Training {config.encoder.name} ({parameters / 1e6:.1f}M parameters) on {len(graphs.skills):,} skills with "
        f"{', '.join(parts)}{names}; {config.steps:,} steps of {config.batch.global_batch_size} skills on {devices}."
    )


def negatives(config: Config, batch: Batch, ids: BatchIds) -> Iterator[str]:
    """Yields a line each on the negatives of the first batch that are mined, and on those that the guide masks."""
    if wanted := config.batch.mined_negatives:
        found = (f"{(each[-wanted:] >= 0).sum():,} {kind} nodes" for kind, each in ids.neighbours.items())
        yield f"Mined negatives in the first batch, of at most {wanted:,} per graph: {', '.join(found)}."
    parts = [
        f"skill-{kind} {masks['forward'].sum():,} for skills and {masks['backward'].sum():,} for {kind} nodes, of "
        f"{(~batch['positives'][kind]).sum():,} pairs without an edge"
        for kind, masks in batch.get("masked", {}).items()
    ]
    if parts:
        yield f"Negatives that the guide masks in the first batch: {'; '.join(parts)}."


def ending(config: Config, summary: dict[str, Any], arguments: Sequence[str], skills: Path) -> str:
    """Returns the text at the end of a run: results, files, and commands (see `next_commands`)."""
    return (
        f"{results(summary)}\n\nWritten to {config.workdir}: checkpoints/, summary.json, metrics.jsonl, training.png, "
        f"config.json, skills.txt\nNext:\n{next_commands(config, arguments, skills)}"
    )


def results(summary: dict[str, Any]) -> str:
    """Returns the table of held-out nodes and its conclusion, or a sentence if nothing was held out."""
    held_out, step = summary["held_out"], summary["step"]
    if not summary["after"]:
        return f"Trained on all nodes: none was held out, so nothing was measured. The model is that of step {step}."
    title = f"Held-out {held_out} nodes against the full target space, percent (step {step})"
    return f"{table(summary['before'], summary['after'], title)}\n{verdict(summary)}"


def verdict(summary: dict[str, Any]) -> str:
    """Says whether training improved held-out rankings over the frozen encoder, or that this cannot be concluded."""
    (difference, low, high), queries = summary["against_frozen"]["map"], summary["against_frozen"]["queries"]
    sentence = (
        f"Macro MAP {summary['after']['macro_map']:.1f}, {abs(difference):.1f} points "
        f"{'worse than' if difference < 0 else 'above'} the frozen encoder"
    )
    if queries < FEWEST_QUERIES:
        sentence += f"; {counted(queries, 'distinct query')}: no conclusion."
    else:
        conclusion = ": no conclusion" if low <= 0 <= high else ""
        sentence += f" (95% interval {low:.1f} to {high:.1f}, {queries:,} distinct queries){conclusion}."
    if summary["held_out"] == "validation":
        sentence += " The checkpoint was chosen on the same nodes, which flatters it."
    return sentence


def table(before: Results, after: Results, title: str) -> str:
    """Renders MAP and RP@10 before and after training, per direction and macro-averaged, in at most 80 columns."""
    lines = Table(title=title)
    lines.add_column("ranking")
    for name in ("queries", "targets", "MAP (gain)", "RP@10"):
        lines.add_column(name, justify="right")

    def cells(prefix: str, old: Results, new: Results) -> tuple[str, str]:
        (map_before, map_after), (rp_before, rp_after) = (
            (old[prefix + metric], new[prefix + metric]) for metric in ("map", "rp@10")
        )
        gain = f"({map_after - map_before:+.1f})"
        return f"{map_before:.1f} → {map_after:.1f} {gain:>7}", f"{rp_before:.1f} → {rp_after:.1f}"

    for name in directions(before):
        old, new = before[name], after[name]
        sizes = f"{old['queries']:,}", f"{old['targets']:,}"
        lines.add_row(name.replace("_", " "), *sizes, *cells("", old, new))
    lines.add_section()
    lines.add_row("macro-average", "", "", *cells("macro_", before, after), style="bold")
    return render_table(lines, width=80)


def one_line(results: Results) -> str:
    """Returns a validation in one line: macro-averages, then MAP by direction."""
    parts = [f"{name.replace('_', ' ')} {results[name]['map']:.1f}" for name in directions(results)]
    return (
        f"validation MAP {results['macro_map']:.1f}, RP@10 {results['macro_rp@10']:.1f} "
        f"(MAP by ranking: {', '.join(parts)})"
    )


def next_commands(config: Config, arguments: Sequence[str], skills: Path) -> str:
    """Returns commands that can be typed as they are: rank with the model, export it, train a larger one.

    `arguments` are those of the command line; a run that was started from Python has no command to repeat.
    """
    model, index = shlex.quote(config.workdir), f"indexes/{Path(config.workdir).name}"
    cache = f" --cache-dir {shlex.quote(config.source.cache_dir)}" if config.source.cache_dir else ""
    commands = [
        f"uwe-jax index --model {model} --targets {shlex.quote(str(skills))} --out {shlex.quote(index)}{cache}",
        rank_command(index, _first_line(skills), config.source.cache_dir),
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


def _first_line(path: Path) -> str:
    """Returns the first text of a file, or "" where there is none, as on all machines of a training but the first."""
    with contextlib.suppress(OSError), path.open(encoding="utf-8") as lines:
        return lines.readline().strip()
    return ""
