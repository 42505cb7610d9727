"""`benchmark training`: the whole train step, compared with mean pooling and with PyTorch, padded and packed."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from uwe_jax.config import BatchSettings, EncoderSettings, LengthSettings, ScorerSettings
from uwe_jax.data.batches import Batch
from uwe_jax.distributed import parallel
from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.optimiser import make_optimiser
from uwe_jax.models.uwe import UweModel
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import NODE_KINDS
from uwe_jax.runtime.options import NameList
from uwe_jax.runtime.settings import all_within, one_of, within
from uwe_jax.studies.benchmarks import outcome, synthetic, torch_peers
from uwe_jax.studies.benchmarks.encoders import ENCODERS, random_params
from uwe_jax.studies.benchmarks.measure import METHODS, Peak, Spread, chained_products, interleaved, peak_of
from uwe_jax.studies.benchmarks.outcome import BenchmarkOptions, Column, Outcome, Row, facts
from uwe_jax.studies.benchmarks.padding import padded_batch
from uwe_jax.studies.benchmarks.torch_peers import Trainer
from uwe_jax.training.fit import planned
from uwe_jax.training.step import TrainState, make_train_step

LOG = logging.getLogger(__name__)
PRODUCT, PADDED = "bare products", ", padded"

LABELS = (Column("contender", "contender"),)
COLUMNS = (
    Column("ms (min..max)", "seconds", outcome.milliseconds),
    Column("/ padded", "ratio_to_padded", outcome.times),
    Column("/ mean\npool", "ratio_to_mean_pool", outcome.times),
    Column("texts\n/s", "texts_per_second", outcome.scaled),
    Column("tokens\n/s", "real_tokens_per_second", outcome.scaled),
    Column("% real\ntokens", "real_share", lambda share: outcome.significant(100 * share)),
    Column("FLOP/s", "flops_per_second", outcome.scaled),
    Column("% of\nproduct", "share_of_product", lambda share: outcome.significant(100 * share)),
    Column("compile\ns", "compile_seconds", outcome.significant),
    Column("program\nMiB", "program_bytes", outcome.in_mebibytes),
    Column("temporary\nMiB", "temporary_bytes", outcome.in_mebibytes),
    Column("peak\nMiB", "peak_memory", outcome.peak),
    Column("first\nloss", "first_loss", "{:.5f}".format),
)


@dataclass(frozen=True)
class TrainingOptions(BenchmarkOptions):
    """Options of `benchmark training`."""

    encoder: str = "minilm"
    skills: int = 64  # in the global batch, with as many neighbours in each of the three graphs
    lengths: LengthSettings = field(default_factory=lambda: LengthSettings(skill=16, job=16, vacancy=64, alias=16))
    dtype: str = "float32"
    scorers: NameList = ("soft", "mean_pool")  # to train with
    mini_batch_size: int = 0  # gradient-caching mini-batch size; 0 encodes all texts at once
    remat: bool = False
    dropout: float = 0.0
    runs: int = 5
    peers: bool = True  # compare with PyTorch where it is installed
    memory_only: bool = False  # compile and report the planned memory, without running

    def __post_init__(self) -> None:
        one_of("--encoder", self.encoder, tuple(ENCODERS))
        within("--skills", self.skills, 2, sum(synthetic.SKILLS))
        for kind, tokens in dataclasses.asdict(self.lengths).items():
            within(f"--lengths {kind}", tokens, 3, ENCODERS[self.encoder].max_tokens)
        all_within(self, "--", "mini_batch_size seed", 0)
        within("--runs", self.runs, 1)
        EncoderSettings(dtype=self.dtype, dropout=self.dropout)
        for kind in self.scorers:
            ScorerSettings(kind=kind)
        if not self.scorers:
            raise UserError("--scorers is empty; name at least one, such as soft,mean_pool.")

    @property
    def tokens(self) -> dict[str, int]:
        """Padded tokens per node, by kind, those of skills first."""
        return {kind: getattr(self.lengths, kind) for kind in NODE_KINDS}


class OurStep:
    """A compiled train step with its state. A call takes one step and appends its loss to `losses`."""

    def __init__(self, options: TrainingOptions, scorer: str, batches: list[Batch], rows_at_once: int, about: str = ""):
        config = ENCODERS[options.encoder]
        encoder = EncoderSettings(dtype=options.dtype, dropout=options.dropout, remat=options.remat)
        model = UweModel.create(config, encoder, ScorerSettings(kind=scorer))
        optimiser = make_optimiser(torch_peers.OPTIMISER, steps=1)
        params = model.initial_params(random_params(config, options.seed))
        self.name, self.scorer = f"uwe_jax, {scorer}{about}", scorer
        self.losses: list[float] = []
        self._state: Any = parallel.replicate(TrainState.create(params, optimiser))
        self.batches = batches
        step: Any = make_train_step(model, torch_peers.LOSS, optimiser, options.seed, rows_at_once)
        started = time.perf_counter()
        self._step = step.lower(self._state, parallel.shard_rows(batches[0])).compile()
        self.compile_seconds: float | None = time.perf_counter() - started
        plan = planned(self._step)  # on each device: arguments, results and temporaries
        self.program_bytes = plan.total if plan else None
        self.temporary_bytes = plan.temporary if plan else None

    def __call__(self) -> None:
        batch = self.batches[len(self.losses) % len(self.batches)]
        self._state, metrics = jax.block_until_ready(self._step(self._state, parallel.shard_rows(batch)))
        self.losses.append(float(parallel.first(metrics["loss"])))

    def encoded(self, batch: Batch) -> list[tuple[int, int]]:
        """Returns the (rows, tokens per row) of a batch that go through the encoder."""
        return [batch["packed"]["segments"].shape]

    def peak(self) -> Peak:
        """Measures the memory of a step on top of parameters and optimiser state; takes steps.

        Raises:
          UserError: the device's memory is too small.
        """
        try:
            return peak_of(self)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise UserError(
                f"The step of {self.name} does not fit in the device's memory: the compiler plans "
                f"{outcome.in_mebibytes(self.program_bytes or 0)} MiB. Lower --skills or --lengths, set "
                "--mini-batch-size or --remat, or print only the plan with --memory-only."
            ) from error


def encoder_flops(config: EncoderConfig, texts: int, tokens: int) -> int:
    """Counts a forward pass of texts padded to `tokens`: maps of d to d and to the feed-forward width, attention.

    One text of one token through one layer of width 2 with a feed-forward width of 3: 2 (4*4 + 2*6) + 4*2.

    >>> encoder_flops(EncoderConfig("bert", 9, width=2, layers=1, heads=1, intermediate=3, max_positions=9), 1, 1)
    64
    """
    d = config.width
    maps = 2 * tokens * (4 * d * d + (3 if config.family.gated else 2) * d * config.intermediate)
    attention = 4 * tokens * tokens * d  # logits, then the weighted values
    return texts * config.layers * (maps + attention)


def scorer_flops(kind: str, m: int, n: int, i: int, j: int, d: int) -> int:
    """Counts both directions of m skills of i tokens against n neighbours of j tokens.

    >>> scorer_flops("soft", 2, 2, 3, 5, 7), scorer_flops("mean_pool", 2, 2, 3, 5, 7)
    (840, 56)
    """
    pairs = {"mean_pool": 1, "soft_pooled": i + j}.get(kind, i * j)
    return 2 * m * n * pairs * d


def step_flops(
    config: EncoderConfig, encoded: Iterable[tuple[int, int]], kind: str, m: int, lengths: Mapping[str, int]
) -> int:
    """Counts a training step of m skills and m neighbours per graph: forward, and twice as much backward.

    Padding counts, as it is computed; recomputation by rematerialisation and gradient caching does not.

    Args:
      encoded: rows and tokens per row that go through the encoder.
      kind: of the scorer.
      lengths: tokens per node that the scorer reads, the skills' first.
    """
    i, *others = lengths.values()
    encoding = sum(encoder_flops(config, rows, tokens) for rows, tokens in encoded)
    scoring = sum(scorer_flops(kind, m, m, i, j, config.width) for j in others)
    return 3 * (encoding + scoring)


def _row(
    options: TrainingOptions, batches: list[Batch], step: OurStep | Trainer, times: Spread | None, peak: Peak
) -> Row:
    """Makes the row of a step, with rates and losses if it was timed."""
    config, count = ENCODERS[options.encoder], len(batches)
    encoded = [step.encoded(batch) for batch in step.batches]
    flops = (step_flops(config, each, step.scorer, options.skills, options.tokens) for each in encoded)
    sizes = {
        "texts": options.skills * len(NODE_KINDS),
        "real_tokens": sum(np.count_nonzero(batch["packed"]["segments"]) for batch in batches) / count,
        "program_tokens": sum(rows * tokens for each in encoded for rows, tokens in each) / count,
        "flops": sum(flops) / count,
    }
    compiled = {name: getattr(step, name) for name in ("compile_seconds", "program_bytes", "temporary_bytes")}
    compiled["real_share"] = sizes["real_tokens"] / sizes["program_tokens"]
    row = {"contender": step.name, **sizes, **compiled}
    if times is None:
        return row
    rates = {f"{name}_per_second": size / times["median"] for name, size in sizes.items()}
    losses = {"first_loss": step.losses[0], "losses": step.losses}
    return row | rates | losses | {"seconds": times, "peak_memory": peak}


def _products(options: TrainingOptions, step: OurStep) -> tuple[Callable[[], object], int]:
    """Prepares bare products of the feed-forward block with as many operations and tokens as a step."""
    config, encoded = ENCODERS[options.encoder], step.encoded(step.batches[0])
    tokens = sum(rows * tokens for rows, tokens in encoded)
    pair = 4 * tokens * config.width * config.intermediate
    pairs = max(1, round(step_flops(config, encoded, step.scorer, options.skills, options.tokens) / pair))
    return chained_products(tokens, config.width, config.intermediate, pairs, dtype=options.dtype)


def compared(rows: list[Row], product: Row) -> list[Row]:
    """Adds ratios to the product, to padding and to mean pooling to the rows of steps, and the product's own row."""
    pooled = next((row for row in rows if row["contender"] == "uwe_jax, mean_pool"), None)
    padded = next(row for row in rows if row["contender"].startswith("uwe_jax") and row["contender"].endswith(PADDED))
    for row in rows:
        row["ratio_to_padded"] = row["seconds"]["median"] / padded["seconds"]["median"]
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
    build = synthetic.batch_builder(BatchSettings(global_batch_size=options.skills), options.lengths, options.seed)
    batches = [build(step) for step in range(1 if options.memory_only else options.runs)]
    ours, rows_at_once = [], build.rows_at_once(options.mini_batch_size)
    for scorer in options.scorers:
        LOG.info(f"Compiling the step of {options.encoder} with {scorer}")
        ours.append(OurStep(options, scorer, batches, rows_at_once))
    padded = [padded_batch(batch, devices) for batch in batches]
    ours.append(OurStep(options, options.scorers[0], padded, rows_at_once, PADDED))
    if options.memory_only:
        rows = [_row(options, batches, step, None, None) for step in ours]
        return _outcome(options, about, rows, [_ABOUT_PROGRAM, "Nothing was run (--memory-only)."])

    # On accelerators JAX multiplies float32 with fewer bits by default; so does the peer.
    with torch_peers.equal_terms(tf32=True) if device else contextlib.nullcontext():
        steps: list[OurStep | Trainer] = [*ours]
        peaks = [step.peak() for step in ours]
        if device:
            config = ENCODERS[options.encoder]
            params = random_params(config, options.seed)
            for kind in torch_peers.TRAINERS:
                LOG.info(f"Building the step of {kind.name}")
                try:
                    peer = kind(config, params, batches, dtype=options.dtype, dropout=options.dropout, device=device)
                    peaks.append(peer.peak())
                    steps.append(peer)
                except torch_peers.out_of_memory():
                    about_peers += f" {kind.name} was left out: its step does not fit in the memory of the device."
        multiply, flops = _products(options, ours[0])
        contenders: dict[str, Callable[[], object]] = {step.name: step for step in steps}
        LOG.info(f"Taking {options.runs} steps of each")
        times = interleaved(contenders | {PRODUCT: multiply}, options.runs, settle=1)
    rows = [_row(options, batches, step, times[step.name], peak) for step, peak in zip(steps, peaks, strict=True)]
    product = {
        "contender": PRODUCT,
        "seconds": times[PRODUCT],
        "flops": flops,
        "flops_per_second": flops / times[PRODUCT]["median"],
    }
    return _outcome(options, about, compared(rows, product), _notes(options, rows, about_peers))


def _outcome(options: TrainingOptions, about: dict[str, Any], rows: list[Row], notes: list[str]) -> Outcome:
    values = {"mini_batch_size": options.mini_batch_size, "dropout": options.dropout}
    extras = [*(f"{name} {value}" for name, value in values.items() if value), *["remat"] * options.remat]
    title = ", ".join([f"Train step of {options.encoder}, {options.skills} skills", *extras])
    about_batch = (
        f"{options.skills} skills, jobs, vacancy sentences and aliases each, of at most "
        f"{', '.join(f'{kind} {tokens}' for kind, tokens in options.tokens.items())} tokens; random parameters."
    )
    return Outcome(title, about, options.settings(), LABELS, COLUMNS, rows, [about_batch, *notes])


_ABOUT_PROGRAM = (
    "Program is the compiler's plan on each device: arguments (parameters and optimiser state are most of them), "
    "results and temporaries."
)


def _notes(options: TrainingOptions, rows: list[Row], about_peers: str) -> list[str]:
    losses = {row["contender"]: row["first_loss"] for row in rows}
    peers = [trainer.name for trainer in torch_peers.TRAINERS if trainer.name in losses]
    agreement = ""
    if peers:
        difference = max(abs(losses[name] - losses["uwe_jax, soft"]) for name in peers)
        agreement = f" Its losses of the first step differ from ours by at most {difference:.1e}"
        agreement += ", because dropout differs." if options.dropout else "."
        if options.remat or options.mini_batch_size:
            agreement += " It neither rematerialises nor encodes in chunks."
    where = "host" if jax.default_backend() == "cpu" else "device"
    cuda = f"; of PyTorch, {METHODS['cuda']}" if agreement and where == "device" else ""
    return [
        f"Median and range of {options.runs} runs, taken in turn, each after one that does not count; a step runs "
        "from a batch in host memory to its loss there.",
        "Real tokens: their share of those that go through the encoder, padding included. FLOP/s counts the matrix "
        "products of the encoder over all of these and of the scorers over padded tokens, three times the forward "
        "pass. The bare products are those of the feed-forward block, over our tokens in the same dtype, one after "
        "another until they have as many operations as our step.",
        _ABOUT_PROGRAM,
        f"Peak memory on top of parameters and optimiser state: {METHODS[where]}{cuda}.",
        about_peers + agreement,
    ]
