"""Our train step as a contender, and the options of its benchmark."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any

import jax

from uwe_jax.config import EncoderSettings, LengthSettings, ScorerSettings
from uwe_jax.data.batches import Batch
from uwe_jax.distributed import parallel
from uwe_jax.models.optimiser import make_optimiser
from uwe_jax.models.uwe import UweModel
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import NODE_KINDS
from uwe_jax.runtime.options import NameList
from uwe_jax.runtime.settings import one_of, within
from uwe_jax.studies.benchmarks import lengths, torch_peers
from uwe_jax.studies.benchmarks.encoders import ENCODERS, random_params
from uwe_jax.studies.benchmarks.memory import Peak, peak_of
from uwe_jax.studies.benchmarks.outcome import mebibytes
from uwe_jax.training.device_memory import planned
from uwe_jax.training.step import TrainState, make_train_step


@dataclass(frozen=True)
class TrainingOptions:
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
    seed: int = 0
    peers: bool = True  # compare with PyTorch where it is installed
    memory_only: bool = False  # compile and report the planned memory, without running

    def __post_init__(self) -> None:
        one_of("--encoder", self.encoder, tuple(ENCODERS))
        within("--skills", self.skills, 2, sum(lengths.SKILLS))
        for kind, tokens in dataclasses.asdict(self.lengths).items():
            within(f"--lengths {kind}", tokens, 3, ENCODERS[self.encoder].max_tokens)
        for name, least in (("mini_batch_size", 0), ("runs", 1), ("seed", 0)):
            within(f"--{name}", getattr(self, name), least)
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

    def __init__(self, options: TrainingOptions, scorer: str, batches: list[Batch]):
        config = ENCODERS[options.encoder]
        encoder = EncoderSettings(dtype=options.dtype, dropout=options.dropout, remat=options.remat)
        model = UweModel.create(config, encoder, ScorerSettings(kind=scorer))
        optimiser = make_optimiser(torch_peers.OPTIMISER, steps=1)
        params = model.initial_params(random_params(config, options.seed))
        self.name, self.scorer = f"uwe_jax, {scorer}", scorer
        self.losses: list[float] = []
        self._state: Any = parallel.replicate(TrainState.create(params, optimiser))
        self._batches = batches
        step: Any = make_train_step(model, torch_peers.LOSS, optimiser, options.seed, options.mini_batch_size)
        started = time.perf_counter()
        self._step = step.lower(self._state, parallel.shard_rows(batches[0])).compile()
        self.compile_seconds: float | None = time.perf_counter() - started
        plan = planned(self._step)  # on each device: arguments, results and temporaries
        self.program_bytes = plan.total if plan else None

    def __call__(self) -> None:
        batch = self._batches[len(self.losses) % len(self._batches)]
        self._state, metrics = jax.block_until_ready(self._step(self._state, parallel.shard_rows(batch)))
        self.losses.append(float(parallel.first(metrics["loss"])))

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
                f"{mebibytes(self.program_bytes or 0)}. Lower --skills or --lengths, set --mini_batch_size or "
                "--remat, or print only the plan with --memory_only."
            ) from error
