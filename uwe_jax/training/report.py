"""What a run tells a person: what it will do, how it went, and what to type next."""

from __future__ import annotations

import shlex

from rich.table import Table

from uwe_jax.base.config import Config
from uwe_jax.base.text_table import drawn
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.training.evaluation import Results, directions


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
    return drawn(lines, width=110)


def one_line(results: Results) -> str:
    """A validation in one line: macro-averages, then MAP by direction."""
    parts = [f"{name.replace('_', ' ')} {results[name]['map']:.1f}" for name in directions(results)]
    return (
        f"validation MAP {results['macro_map']:.1f}, RP@10 {results['macro_rp@10']:.1f} "
        f"(MAP by ranking: {', '.join(parts)})"
    )


def _pair(before: float, after: float) -> tuple[str, str, str]:
    return f"{before:.1f}", f"{after:.1f}", f"{after - before:+.1f}"


def next_commands(config: Config) -> str:
    """Commands that go on from here: rank with the model, take it to PyTorch, train a better one."""
    model = shlex.quote(config.workdir)
    targets = f"{shlex.quote(config.source.path)} --kind skills" if config.source.source == "esco" else "TEXTS.txt"
    return "\n".join(
        (
            f"python -m uwe_jax.index --model {model} --targets {targets} --out spaces/mine",
            'python -m uwe_jax.rank --space spaces/mine "head chef"',
            f"python -m uwe_jax.export --checkpoint {model} --out exported",
            _more_training(config),
        )
    )


def _more_training(config: Config) -> str:
    if config.source.source == "sample":
        return (
            "python -m uwe_jax.train --config=configs/esco_minilm.py --config.source.path=FOLDER_WITH_THE_ESCO_ZIPS\n"
            "  or, on edge files of your own (left,right columns in skill_job.csv, skill_alias.csv, ...):\n"
            "python -m uwe_jax.train --config=configs/quickstart.py --config.source.source=edges "
            "--config.source.path=FOLDER --config.workdir=runs/mine"
        )
    return (
        "python -m uwe_jax.train --config=configs/uwe_mpnet.py --config.workdir=runs/mpnet "
        f"--config.source.source={config.source.source} --config.source.path={shlex.quote(config.source.path)}"
    )
