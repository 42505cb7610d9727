"""The train step in PyTorch: padded, written the obvious way, and packed; and what all peers of the benchmarks share.

Torch is imported inside functions, so that only a benchmark with peers needs it.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from uwe_jax.config import LossSettings, OptimiserSettings, ScorerSettings
from uwe_jax.data.batches import Batch
from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.weights import Params, params_to_hf
from uwe_jax.scoring.scorers import target_share
from uwe_jax.studies.benchmarks.measure import Peak, host_peak
from uwe_jax.studies.benchmarks.outcome import cpu_threads
from uwe_jax.studies.benchmarks.padding import padded_nodes

# Settings of the train step of both: a constant learning rate from the first step.
SCORER, LOSS = ScorerSettings(), LossSettings()
OPTIMISER = OptimiserSettings(warmup_fraction=0.0, decay="constant")
Tensor = Any  # torch.Tensor, which cannot be named without importing torch
TINY = 1e-6


def choose_device(wanted: bool, platform: str) -> tuple[str | None, str]:
    """Returns cpu, cuda or None (no peers) by JAX's platform (cpu, gpu or tpu), and a sentence about it."""
    if not wanted:
        return None, "PyTorch was left out (--no-peers)."
    reason = "torch is not installed"
    if importlib.util.find_spec("torch") is not None:
        import torch

        if platform == "cpu":
            return "cpu", f"PyTorch runs on the CPU with {cpu_threads()} threads, as JAX does."
        if platform == "gpu" and torch.cuda.is_available():
            return "cuda", "PyTorch runs on the same GPU."
        reason = f"torch sees no device of the kind that JAX uses, {platform}"
    return None, f"PyTorch was left out: {reason}."


@contextlib.contextmanager
def equal_terms(*, tf32: bool) -> Iterator[None]:
    """Gives torch as many threads as JAX and, on CUDA, the same precision of float32 products; restores both."""
    import torch

    threads, products = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32
    torch.set_num_threads(cpu_threads())
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = products


def peer_peak(work: Callable[[], object], device: str) -> Peak:
    """Measures as `measure.peak_of` does; runs `work` twice."""
    import torch

    work()
    if device == "cpu":
        return host_peak(work)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return {"bytes": torch.cuda.max_memory_allocated() - before, "bound": False}


def out_of_memory() -> type[Exception]:
    """Returns the error that torch raises when the device's memory is full."""
    import torch

    return torch.OutOfMemoryError


def tensor(array: np.ndarray, device: str) -> Tensor:
    """Copies an array to a device."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(device, copy=True)


def _soft_scores(q: Tensor, q_mask: Tensor, y: Tensor, y_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Computes soft late interaction in both directions, s(q, y) and s(y, q) [q, y], from one product."""
    import torch

    dot = torch.einsum("qid,yjd->qyij", q, y).float()
    norm_q, norm_y = (x.float().norm(dim=-1).clamp(min=TINY) for x in (q, y))
    cosine = dot / norm_q[:, None, :, None] / norm_y[None, :, None, :]

    def attended(tau_a: float) -> tuple[Tensor, Tensor]:
        """Computes means over the tokens of the queries, of what each finds, and over those of the targets."""
        return (
            direction(tau_a, y_mask[None, :, None, :], q_mask[:, None, :].float(), -1),
            direction(tau_a, q_mask[:, None, :, None], y_mask[None, :, :].float(), -2),
        )

    def direction(tau_a: float, other: Tensor, own: Tensor, dim: int) -> Tensor:
        weights = torch.softmax((cosine / tau_a).masked_fill(~other, -torch.inf), dim=dim)
        return ((weights * cosine).sum(dim) * own).sum(-1) / own.sum(-1)

    weight, by_query = target_share(SCORER), attended(SCORER.tau_a)
    by_target = by_query if SCORER.target_tau_a == SCORER.tau_a else attended(SCORER.target_tau_a)
    return (
        (1 - weight) * by_query[0] + weight * by_target[1],
        (1 - weight) * by_query[1] + weight * by_target[0],
    )


class Trainer:
    """A train step in PyTorch, of a transformers model with the parameters of ours, and with SCORER, LOSS, OPTIMISER.

    A call takes one step on the next batch and appends its loss to `losses`. bfloat16 is by autocast; `dropout` is both
    rates of the encoder. Texts are padded as they are in the batch.
    """

    name, scorer = "torch, soft", "soft"
    program_bytes: int | None = None
    temporary_bytes: int | None = None
    compile_seconds: float | None = None

    def __init__(
        self, config: EncoderConfig, params: Params, batches: list[Batch], *, dtype: str, dropout: float, device: str
    ):
        import torch
        import transformers

        name = config.family.torch_class.removesuffix("Model")
        rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        hf_config = getattr(transformers, f"{name}Config")(**config.to_hf() | rates)
        self.model = getattr(transformers, f"{name}Model")(hf_config, add_pooling_layer=False)
        self.model.load_state_dict({k: torch.from_numpy(v) for k, v in params_to_hf(params, config).items()})
        self.model.to(device).train()
        groups = [
            {"params": [p for p in self.model.parameters() if p.ndim >= 2], "weight_decay": OPTIMISER.weight_decay},
            {"params": [p for p in self.model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        betas = (OPTIMISER.b1, OPTIMISER.b2)
        self._adamw = torch.optim.AdamW(groups, lr=OPTIMISER.learning_rate, betas=betas, eps=OPTIMISER.eps)
        self._device, self._autocast = device, dtype == "bfloat16"
        self._first_position = config.max_positions - config.max_tokens
        self.batches, self.losses = [self._prepared(batch) for batch in batches], list[float]()

    def __call__(self) -> None:
        import torch

        self._adamw.zero_grad(set_to_none=True)
        loss = self.backward(self.batches[len(self.losses) % len(self.batches)])
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), OPTIMISER.clip_norm)
        self._adamw.step()
        self.losses.append(loss.item())
        if self._device == "cuda":
            torch.cuda.synchronize()

    def peak(self) -> Peak:
        """Measures the memory of a step on top of parameters and optimiser state; takes steps."""
        return peer_peak(self, self._device)

    def encoded(self, batch: Batch) -> list[tuple[int, int]]:
        """Returns the (rows, tokens per row) of one of `batches` that go through the encoder."""
        return [rows["mask"].shape for rows in batch["nodes"].values()]

    def _prepared(self, batch: Batch) -> Batch:
        """Arranges a batch before it is timed, as a data loader would."""
        return batch | {"nodes": padded_nodes(batch)}

    def backward(self, batch: Batch) -> Tensor:
        """Adds the gradients of the loss of one of `batches` to the model's parameters; returns the loss."""
        import torch

        masks = {kind: tensor(rows["mask"], self._device) for kind, rows in batch["nodes"].items()}
        for mask in masks.values():
            mask[:, 0] = True  # a missing neighbour would have nothing to attend to; the loss ignores it anyway
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._autocast):
            encoded = self._encode(batch, masks)
            total = torch.zeros((), device=self._device)
            for kind in batch["positives"]:
                scores = _soft_scores(encoded["skill"], masks["skill"], encoded[kind], masks[kind])
                positives, valid = (tensor(batch[name][kind], self._device) for name in ("positives", "valid"))
                total = total + getattr(LOSS.alpha, kind) * _graph_loss(
                    *scores, positives & valid[None, :], valid, getattr(LOSS.tau, kind)
                )
        total.backward()
        return total.detach()

    def _encode(self, batch: Batch, masks: dict[str, Tensor]) -> dict[str, Tensor]:
        """Encodes every kind; kinds of one length go through the encoder together."""
        import torch

        token_ids = {kind: rows["token_ids"] for kind, rows in batch["nodes"].items()}
        encoded: dict[str, Tensor] = {}
        for length in {ids.shape[1] for ids in token_ids.values()}:
            kinds = [kind for kind, ids in token_ids.items() if ids.shape[1] == length]
            ids = tensor(np.concatenate([token_ids[kind] for kind in kinds]).astype(np.int64), self._device)
            mask = torch.cat([masks[kind] for kind in kinds])
            hidden = self.model(ids, attention_mask=mask.long()).last_hidden_state
            encoded |= dict(zip(kinds, hidden.chunk(len(kinds)), strict=True))
        return encoded


class PackedTrainer(Trainer):
    """The same step with hardly any padding: several texts to a row, with attention inside each text.

    On a CPU PyTorch 2.13 has no kernel for attention of unpadded texts: `varlen_attn` is for CUDA, and attention of
    jagged nested tensors pads inside.
    """

    name = "torch, packed"

    def encoded(self, batch: Batch) -> list[tuple[int, int]]:
        """Returns the (rows, tokens per row) of one of `batches` that go through the encoder."""
        return [batch["packed"]["token_ids"].shape]

    def _prepared(self, batch: Batch) -> Batch:
        """Cuts every kind to its longest text, for the scorer, and adds the positions of tokens in their texts."""
        nodes, positions = {}, np.zeros(batch["packed"]["segments"].shape, np.int64)
        for kind, texts in batch["nodes"].items():
            text, column = np.nonzero(texts["mask"])
            positions.flat[texts["starts"][text] + column] = column
            longest = max(1, int(texts["mask"].sum(1).max()))
            nodes[kind] = {"starts": texts["starts"], "mask": texts["mask"][:, :longest]}
        packed = batch["packed"] | {"positions": positions + self._first_position}
        return batch | {"nodes": nodes, "packed": {name: array.astype(np.int64) for name, array in packed.items()}}

    def _encode(self, batch: Batch, masks: dict[str, Tensor]) -> dict[str, Tensor]:
        import torch

        packed = {name: tensor(array, self._device) for name, array in batch["packed"].items()}
        segments = packed["segments"]
        other = segments[:, None, :, None] != segments[:, None, None, :]
        bias = torch.zeros(other.shape, device=self._device).masked_fill(other, torch.finfo(torch.float32).min)
        hidden = self.model(packed["token_ids"], attention_mask=bias, position_ids=packed["positions"])
        flat, last = hidden.last_hidden_state.flatten(0, 1), segments.numel() - 1
        encoded = {}
        for kind, mask in masks.items():
            starts = tensor(batch["nodes"][kind]["starts"].astype(np.int64), self._device)
            tokens = starts[:, None] + torch.arange(mask.shape[1], device=self._device)
            encoded[kind] = flat[tokens.clamp(max=last)]
        return encoded


def _graph_loss(forward: Tensor, backward: Tensor, positives: Tensor, valid: Tensor, tau: float) -> Tensor:
    """Computes both directions of one graph's many-to-many InfoNCE."""
    import torch

    def direction(scores: Tensor, positives: Tensor, valid: Tensor) -> Tensor:
        losses = -torch.log_softmax((scores / tau).masked_fill(~valid, -torch.inf), dim=1)
        number = positives.sum(1)
        rows = losses.masked_fill(~positives, 0.0).sum(1) / number.clamp(min=1)
        return rows.sum() / (number > 0).sum().clamp(min=1)

    return direction(forward, positives, valid) + direction(backward.T, positives.T, torch.ones_like(valid))


TRAINERS = (Trainer, PackedTrainer)
