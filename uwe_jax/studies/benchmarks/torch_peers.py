"""The work of the benchmarks in plain PyTorch, written the obvious way.

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
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import Ranking
from uwe_jax.scoring.scorers import target_share
from uwe_jax.studies.benchmarks.measure import Peak, host_peak
from uwe_jax.studies.benchmarks.outcome import cpu_threads

# Settings of the train step of both: a constant learning rate from the first step.
SCORER, LOSS = ScorerSettings(), LossSettings()
OPTIMISER = OptimiserSettings(warmup_fraction=0.0, decay="constant")
Tensor = Any  # torch.Tensor, which cannot be named without importing torch
_TINY = 1e-6


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


def _tensor(array: np.ndarray, device: str) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(device, copy=True)


def _unit(x: Tensor) -> Tensor:
    return x / x.float().norm(dim=-1, keepdim=True).clamp(min=_TINY).to(x.dtype)


class PaddedScoring:
    """Ranks as the equation reads: targets padded to the longest, one query at a time.

    Soft late interaction over raw dots takes two products, the raw one for the weights and the normalised one for the
    cosines; everything else takes one.

    Targets are padded and normalised once. Products are in `dtype`, softmax and sums in float32.
    """

    def __init__(self, targets: RaggedTokens, settings: ScorerSettings, dtype: str, device: str):
        import torch

        self._settings, self._dtype, self._device = settings, getattr(torch, dtype), device
        lengths = targets.lengths
        mask = np.arange(lengths.max())[None, :] < lengths[:, None]
        padded = np.zeros((*mask.shape, targets.width), np.float32)
        padded[mask] = targets.flat
        raw, self._mask = _tensor(padded, device), _tensor(mask, device)
        if settings.kind in ("mean_pool", "soft_pooled"):
            raw = raw.sum(1) / self._mask.sum(1, keepdim=True)
        self._unit = _unit(raw).to(self._dtype)
        two = settings.kind in ("soft", "soft_pooled") and settings.logits == "dot"
        self._raw = raw.to(self._dtype) if two else None
        self.name = f"torch, {'two products' if two else 'one product'}"

    def _score(self, query: Tensor) -> Tensor:
        """Computes scores [y] of one query's real tokens [i, d]."""
        import torch

        settings = self._settings
        if settings.kind == "mean_pool":
            pooled = _unit(query.mean(0)).to(self._dtype)
            return torch.einsum("d,yd->y", pooled, self._unit).float()
        query, unit = query[None].to(self._dtype), _unit(query)[None].to(self._dtype)
        letters = "qid,yd->qyi" if settings.kind == "soft_pooled" else "qid,yjd->qyij"
        cosine = torch.einsum(letters, unit, self._unit).float()
        raw = cosine if self._raw is None else torch.einsum(letters, query, self._raw).float()
        if settings.kind == "soft_pooled":
            return (torch.softmax(raw / settings.tau_a, dim=-1) * cosine).sum(-1)[0]

        def found(dim: int, tau_a: float) -> Tensor:
            """Computes what each token finds along `dim`, -1 for the tokens of the targets, -2 for the query's."""
            padding = ~self._mask[None, :, None, :] if dim == -1 else torch.tensor(False, device=self._device)
            if settings.kind == "max_sim":
                return cosine.masked_fill(padding, -torch.inf).amax(dim)[0]
            return (torch.softmax((raw / tau_a).masked_fill(padding, -torch.inf), dim=dim) * cosine).sum(dim)[0]

        weight, scores = target_share(settings), torch.zeros(len(self._mask), device=self._device)
        if weight < 1:
            scores = scores + (1 - weight) * found(-1, settings.tau_a).mean(-1)
        if weight > 0:
            by_target = found(-2, settings.target_tau_a) * self._mask
            scores = scores + weight * by_target.sum(-1) / self._mask.sum(-1)
        return scores

    def _matrix(self, queries: RaggedTokens) -> Tensor:
        import torch

        texts = np.split(queries.flat, queries.offsets[1:-1])
        with torch.inference_mode():
            return torch.stack([self._score(_tensor(text, self._device)) for text in texts])

    def scores(self, queries: RaggedTokens) -> np.ndarray:
        """Computes all scores s(q, y), float32 [q, n]."""
        return self._matrix(queries).cpu().numpy()

    def top_k(self, queries: RaggedTokens, k: int) -> Ranking:
        """Ranks the k best targets of every query."""
        best = self._matrix(queries).topk(k, dim=1)
        return Ranking(best.indices.cpu().numpy(), best.values.cpu().numpy())


def _soft_scores(q: Tensor, q_mask: Tensor, y: Tensor, y_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Computes soft late interaction in both directions, s(q, y) and s(y, q) [q, y], from one product."""
    import torch

    dot = torch.einsum("qid,yjd->qyij", q, y).float()
    norm_q, norm_y = (x.float().norm(dim=-1).clamp(min=_TINY) for x in (q, y))
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


def padded_nodes(batch: Batch) -> dict[str, dict[str, np.ndarray]]:
    """Unpacks the texts of a batch of one process into padded rows for each kind of node."""
    packed = batch["packed"]["token_ids"].ravel()

    def padded(starts: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        token_ids = np.zeros(mask.shape, np.int32)
        text, column = np.nonzero(mask)
        token_ids[mask] = packed[starts[text] + column]
        return {"token_ids": token_ids, "mask": mask}

    return {kind: padded(**texts) for kind, texts in batch["nodes"].items()}


class Trainer:
    """A train step in PyTorch, of a transformers model with the parameters of ours, and with SCORER, LOSS, OPTIMISER.

    A call takes one step on the next batch and appends its loss to `losses`. bfloat16 is by autocast; `dropout` is both
    rates of the encoder.
    """

    name, scorer = "torch, soft", "soft"
    program_bytes: int | None = None
    compile_seconds: float | None = None

    def __init__(
        self, config: EncoderConfig, params: Params, batches: list[Batch], *, dtype: str, dropout: float, device: str
    ):
        import torch
        import transformers

        name = {"bert": "Bert", "mpnet": "MPNet"}[config.architecture]
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
        self._batches, self.losses = batches, list[float]()

    def __call__(self) -> None:
        import torch

        self._adamw.zero_grad(set_to_none=True)
        loss = self.backward(self._batches[len(self.losses) % len(self._batches)])
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), OPTIMISER.clip_norm)
        self._adamw.step()
        self.losses.append(loss.item())
        if self._device == "cuda":
            torch.cuda.synchronize()

    def peak(self) -> Peak:
        """Measures the memory of a step on top of parameters and optimiser state; takes steps."""
        return peer_peak(self, self._device)

    def backward(self, batch: Batch) -> Tensor:
        """Adds the gradients of a batch's loss to the model's parameters; returns the loss."""
        import torch

        nodes = padded_nodes(batch)
        masks = {kind: _tensor(rows["mask"], self._device) for kind, rows in nodes.items()}
        for mask in masks.values():
            mask[:, 0] = True  # a missing neighbour would have nothing to attend to; the loss ignores it anyway
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._autocast):
            encoded = self._encode({kind: rows["token_ids"] for kind, rows in nodes.items()}, masks)
            total = torch.zeros((), device=self._device)
            for kind in batch["positives"]:
                scores = _soft_scores(encoded["skill"], masks["skill"], encoded[kind], masks[kind])
                positives, valid = (_tensor(batch[name][kind], self._device) for name in ("positives", "valid"))
                total = total + getattr(LOSS.alpha, kind) * _graph_loss(
                    *scores, positives & valid[None, :], valid, getattr(LOSS.tau, kind)
                )
        total.backward()
        return total.detach()

    def _encode(self, token_ids: dict[str, np.ndarray], masks: dict[str, Tensor]) -> dict[str, Tensor]:
        """Encodes every kind; kinds of one length go through the encoder together, as they do in ours."""
        import torch

        encoded: dict[str, Tensor] = {}
        for length in {ids.shape[1] for ids in token_ids.values()}:
            kinds = [kind for kind, ids in token_ids.items() if ids.shape[1] == length]
            ids = _tensor(np.concatenate([token_ids[kind] for kind in kinds]).astype(np.int64), self._device)
            mask = torch.cat([masks[kind] for kind in kinds])
            hidden = self.model(ids, attention_mask=mask.long()).last_hidden_state
            encoded |= dict(zip(kinds, hidden.chunk(len(kinds)), strict=True))
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
