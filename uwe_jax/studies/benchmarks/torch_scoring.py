"""Ranking in plain PyTorch, written the obvious way; torch is imported inside functions."""

from __future__ import annotations

import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import Ranking
from uwe_jax.scoring.scorers import target_share
from uwe_jax.studies.benchmarks.torch_peers import TINY, Tensor, tensor


def _unit(x: Tensor) -> Tensor:
    return x / x.float().norm(dim=-1, keepdim=True).clamp(min=TINY).to(x.dtype)


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
        raw, self._mask = tensor(padded, device), tensor(mask, device)
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
            return torch.stack([self._score(tensor(text, self._device)) for text in texts])

    def scores(self, queries: RaggedTokens) -> np.ndarray:
        """Computes all scores s(q, y), float32 [q, n]."""
        return self._matrix(queries).cpu().numpy()

    def top_k(self, queries: RaggedTokens, k: int) -> Ranking:
        """Ranks the k best targets of every query."""
        best = self._matrix(queries).topk(k, dim=1)
        return Ranking(best.indices.cpu().numpy(), best.values.cpu().numpy())
