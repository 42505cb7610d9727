"""`benchmark training`: the whole train step, compared with mean pooling and with plain PyTorch."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any

import jax

from uwe_jax.config import BatchSettings
from uwe_jax.data.batches import Batch
from uwe_jax.models.config import EncoderConfig
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import NODE_KINDS
from uwe_jax.studies.benchmarks import outcome, torch_peers
from uwe_jax.studies.benchmarks.batches import batch_builder
from uwe_jax.studies.benchmarks.device import facts
from uwe_jax.studies.benchmarks.encoders import ENCODERS, random_params
from uwe_jax.studies.benchmarks.memory import METHODS, Peak
from uwe_jax.studies.benchmarks.outcome import Column, Outcome, Row
from uwe_jax.studies.benchmarks.products import chained_products
from uwe_jax.studies.benchmarks.steps import OurStep, TrainingOptions
from uwe_jax.studies.benchmarks.timing import Times, interleaved
from uwe_jax.studies.benchmarks.torch_peers import Trainer

LOG = logging.getLogger(__name__)
PRODUCT = "bare products"

COLUMNS = (
    Column("contender", "contender"),
    Column("ms (min..max)", "seconds", outcome.milliseconds),
    Column("/ mean_pool", "ratio_to_mean_pool", outcome.times),
    Column("texts/s", "texts_per_second", outcome.scaled("")),
    Column("tokens/s", "real_tokens_per_second", outcome.scaled("")),
    Column("with padding", "padded_tokens_per_second", outcome.scaled("")),
    Column("achieved", "flops_per_second", outcome.scaled("FLOP/s")),
    Column("/ product", "share_of_product", lambda share: f"{outcome.significant(100 * share)} %"),
    Column("compile s", "compile_seconds", outcome.significant),
    Column("program", "program_bytes", outcome.mebibytes),
    Column("peak memory", "peak_memory", outcome.peak),
    Column("first loss", "first_loss", "{:.5f}".format),
)


def encoder_flops(config: EncoderConfig, texts: int, tokens: int) -> int:
    """Counts a forward pass of texts padded to `tokens`: four maps of d to d, two to the feed-forward width, attention.

    One text of one token through one layer of width 2 with a feed-forward width of 3: 2 (4*4 + 2*6) + 4*2.

    >>> encoder_flops(EncoderConfig("bert", 9, width=2, layers=1, heads=1, intermediate=3, max_positions=9), 1, 1)
    64
    """
    d = config.width
    maps = 2 * tokens * (4 * d * d + 2 * d * config.intermediate)
    attention = 4 * tokens * tokens * d  # logits, then the weighted values
    return texts * config.layers * (maps + attention)


def scorer_flops(kind: str, m: int, n: int, i: int, j: int, d: int) -> int:
    """Counts both directions of m skills of i tokens against n neighbours of j tokens.

    >>> scorer_flops("soft", 2, 2, 3, 5, 7), scorer_flops("mean_pool", 2, 2, 3, 5, 7)
    (840, 56)
    """
    pairs = {"mean_pool": 1, "soft_pooled": i + j}.get(kind, i * j)
    return 2 * m * n * pairs * d


def step_flops(config: EncoderConfig, kind: str, m: int, lengths: Mapping[str, int]) -> int:
    """Counts a training step of m skills and m neighbours per graph: forward, and twice as much backward.

    Padding counts, as it is computed; recomputation by rematerialisation and gradient caching does not.

    Args:
      lengths: tokens per node, the skills' first.
    """
    i, *others = lengths.values()
    encoding = sum(encoder_flops(config, m, tokens) for tokens in lengths.values())
    scoring = sum(scorer_flops(kind, m, m, i, j, config.width) for j in others)
    return 3 * (encoding + scoring)


def _sizes(options: TrainingOptions, batches: list[Batch]) -> Row:
    masks = [rows["mask"] for batch in batches for rows in batch["nodes"].values()]
    return {
        "texts": options.skills * len(NODE_KINDS),
        "real_tokens": sum(int(mask.sum()) for mask in masks) / len(batches),
        "padded_tokens": options.skills * sum(options.tokens.values()),
    }


def _row(options: TrainingOptions, sizes: Row, step: OurStep | Trainer) -> Row:
    flops = step_flops(ENCODERS[options.encoder], step.scorer, options.skills, options.tokens)
    compiled = {"compile_seconds": step.compile_seconds, "program_bytes": step.program_bytes}
    return sizes | {"contender": step.name, "flops": flops, **compiled}


def _timed_row(options: TrainingOptions, sizes: Row, step: OurStep | Trainer, times: Times, peak: Peak) -> Row:
    row = _row(options, sizes, step)
    rates = {f"{name}_per_second": row[name] / times.median for name in (*sizes, "flops")}
    losses = {"first_loss": step.losses[0], "losses": step.losses}
    return row | rates | losses | {"seconds": times.to_dict(), "peak_memory": peak.to_dict()}


def _products(options: TrainingOptions) -> tuple[Callable[[], object], int]:
    """Prepares bare products of the feed-forward block with as many operations as a step."""
    config = ENCODERS[options.encoder]
    tokens = options.skills * sum(options.tokens.values())
    pair = 4 * tokens * config.width * config.intermediate
    pairs = max(1, round(step_flops(config, options.scorers[0], options.skills, options.tokens) / pair))
    return chained_products(tokens, config.width, config.intermediate, pairs, dtype=options.dtype)


def compared(rows: list[Row], product: Row) -> list[Row]:
    """Adds ratios to the product and to mean pooling to the rows of steps, and the product's own row."""
    pooled = next((row for row in rows if row["contender"] == "uwe_jax, mean_pool"), None)
    for row in rows:
        row["share_of_product"] = row["flops_per_second"] / product["flops_per_second"]
        if pooled is not None:
            row["ratio_to_mean_pool"] = row["seconds"]["median"] / pooled["seconds"]["median"]
    return [*rows, product]


def run(options: TrainingOptions) -> Outcome:
    """Compiles the step with every scorer, and times it with its peers unless `memory_only`.

    Raises:
      UserError: the number of skills is not divisible by the number of devices.
    """
    if options.skills % (devices := jax.local_device_count()):
        fitting = (options.skills // devices + 1) * devices
        raise UserError(f"--skills {options.skills} is not divisible by the {devices} devices; {fitting} is.")
    about = facts(options.dtype)
    device, about_peers = torch_peers.choose_device(options.peers, jax.default_backend())
    if device and "soft" not in options.scorers:
        device, about_peers = None, "PyTorch was left out: its step is that of soft late interaction."
    build = batch_builder(BatchSettings(global_batch_size=options.skills), options.lengths, options.seed)
    batches = [build(step) for step in range(1 if options.memory_only else options.runs)]
    sizes = _sizes(options, batches)
    ours = []
    for scorer in options.scorers:
        LOG.info(f"Compiling the step of {options.encoder} with {scorer}")
        ours.append(OurStep(options, scorer, batches))
    if options.memory_only:
        rows = [_row(options, sizes, step) for step in ours]
        return _outcome(options, about, rows, [_ABOUT_PROGRAM, "Nothing was run (--memory_only)."])

    # On accelerators JAX multiplies float32 with fewer bits by default; so does the peer.
    with torch_peers.equal_terms(tf32=True) if device else contextlib.nullcontext():
        steps: list[OurStep | Trainer] = [*ours]
        peaks = [step.peak() for step in ours]
        if device:
            LOG.info("Building the step in PyTorch")
            try:
                config = ENCODERS[options.encoder]
                params = random_params(config, options.seed)
                peer = Trainer(config, params, batches, dtype=options.dtype, dropout=options.dropout, device=device)
                peaks.append(peer.peak())
                steps.append(peer)
            except torch_peers.out_of_memory():
                about_peers = f"PyTorch was left out: its step does not fit in the memory of the {device} device."
        multiply, flops = _products(options)
        contenders: dict[str, Callable[[], object]] = {step.name: step for step in steps}
        LOG.info(f"Taking {options.runs} steps of each")
        times = interleaved(contenders | {PRODUCT: multiply}, options.runs, settle=1)
    rows = [_timed_row(options, sizes, step, times[step.name], peak) for step, peak in zip(steps, peaks, strict=True)]
    product = {
        "contender": PRODUCT,
        "seconds": times[PRODUCT].to_dict(),
        "flops": flops,
        "flops_per_second": flops / times[PRODUCT].median,
    }
    return _outcome(options, about, compared(rows, product), _notes(options, rows, about_peers))


def _outcome(options: TrainingOptions, about: dict[str, Any], rows: list[Row], notes: list[str]) -> Outcome:
    values = {"mini_batch_size": options.mini_batch_size, "dropout": options.dropout}
    extras = [*(f"{name} {value}" for name, value in values.items() if value), *["remat"] * options.remat]
    return Outcome(
        mode="training",
        title=", ".join([f"Train step of {options.encoder}, {options.skills} skills", *extras]),
        facts=about,
        settings=dataclasses.asdict(options),
        columns=COLUMNS,
        rows=rows,
        notes=[
            f"{options.skills} skills, jobs, vacancy sentences and aliases each, padded to "
            f"{', '.join(f'{kind} {tokens}' for kind, tokens in options.tokens.items())} tokens; random parameters.",
            *notes,
        ],
    )


_ABOUT_PROGRAM = (
    "Program is the compiler's plan on each device: arguments (parameters and optimiser state are most of them), "
    "results and temporaries."
)


def _notes(options: TrainingOptions, rows: list[Row], about_peers: str) -> list[str]:
    losses = {row["contender"]: row["first_loss"] for row in rows}
    agreement = ""
    if Trainer.name in losses:
        difference = abs(losses[Trainer.name] - losses["uwe_jax, soft"])
        agreement = f" Its loss of the first step differs from ours by {difference:.1e}"
        agreement += ", because dropout differs." if options.dropout else "."
        if options.remat or options.mini_batch_size:
            agreement += " It neither rematerialises nor encodes in chunks."
    where = "host" if jax.default_backend() == "cpu" else "device"
    cuda = f"; of PyTorch, {METHODS['cuda']}" if agreement and where == "device" else ""
    return [
        f"Median and range of {options.runs} runs, taken in turn, each after one that does not count; a step runs "
        "from a batch in host memory to its loss there.",
        "Achieved counts the matrix products of encoder and scorers over padded tokens, three times the forward pass. "
        "The bare products are those of the feed-forward block, over the same tokens in the same dtype, one after "
        "another until they have as many operations as a step.",
        _ABOUT_PROGRAM,
        f"Peak memory on top of parameters and optimiser state: {METHODS[where]}{cuda}.",
        about_peers + agreement,
    ]
