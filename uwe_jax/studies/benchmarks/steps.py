"""Train steps as contenders: ours, and the same in PyTorch."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any

import jax

from uwe_jax.config import EncoderSettings, LengthSettings, LossSettings, OptimiserSettings, ScorerSettings
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
from uwe_jax.training.device_memory import planned
from uwe_jax.training.step import TrainState, make_train_step

# A constant learning rate from the first step, as the peer has.
_OPTIMISER = OptimiserSettings(warmup_fraction=0.0, decay="constant")
LOSS = LossSettings()


@dataclass(frozen=True)
class TrainingOptions:
    """Options of `benchmark training`."""

    encoder: str = "minilm"
    skills: int = 64  # in the global batch, with as many neighbours in each of the three graphs
    lengths: LengthSettings = field(default_factory=lambda: LengthSettings(skill=16, job=16, vacancy=64, alias=16))
    dtype: str = "float32"
    scorers: NameList = ("soft", "mean_pool")  # to train with
    encode_chunk_size: int = 0  # gradient-caching mini-batch size; 0 encodes all texts at once
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
        for name, least in (("encode_chunk_size", 0), ("runs", 1), ("seed", 0)):
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
        optimiser = make_optimiser(_OPTIMISER, steps=1)
        params = model.initial_params(random_params(config, options.seed))
        self.name, self.scorer = f"uwe_jax, {scorer}", scorer
        self.losses: list[float] = []
        self._state: Any = parallel.replicate(TrainState.create(params, optimiser))
        self._batches = batches
        step: Any = make_train_step(model, LOSS, optimiser, options.seed, options.encode_chunk_size)
        started = time.perf_counter()
        self._step = step.lower(self._state, parallel.shard_rows(batches[0])).compile()
        self.compile_seconds: float | None = time.perf_counter() - started

    def __call__(self) -> None:
        batch = self._batches[len(self.losses) % len(self._batches)]
        self._state, metrics = jax.block_until_ready(self._step(self._state, parallel.shard_rows(batch)))
        self.losses.append(float(parallel.first(metrics["loss"])))

    def peak(self) -> Peak:
        """Measures the memory of a step on top of parameters and optimiser state; takes steps."""
        return peak_of(self)

    @property
    def program_bytes(self) -> int | None:
        """Memory on each device as the compiler planned it: arguments, results and temporaries."""
        plan = planned(self._step)
        return plan.total if plan else None


class PeerStep:
    """The same step with soft late interaction in PyTorch."""

    name, scorer = "torch, soft", "soft"
    program_bytes: int | None = None
    compile_seconds: float | None = None

    def __init__(self, options: TrainingOptions, batches: list[Batch], device: str):
        config = ENCODERS[options.encoder]
        self.losses: list[float] = []
        self._batches, self._device = batches, device
        self.trainer = torch_peers.Trainer(
            config,
            random_params(config, options.seed),
            ScorerSettings(kind=self.scorer),
            LOSS,
            _OPTIMISER,
            dtype=options.dtype,
            dropout=options.dropout,
            device=device,
        )

    def __call__(self) -> None:
        self.losses.append(self.trainer.step(self._batches[len(self.losses) % len(self._batches)]))

    def peak(self) -> Peak:
        """Measures as `OurStep.peak` does."""
        return torch_peers.peer_peak(self, self._device)
