"""Adapts rankers to WorkRB, the field's benchmark toolkit (`pip install workrb`).

    import workrb
    from uwe_jax.evaluation.workrb_model import UweWorkRBModel

    tasks = [workrb.tasks.ESCOJob2SkillRanking(split="test", languages=["en"])]
    workrb.evaluate(UweWorkRBModel("runs/uwe"), tasks=tasks, output_folder="results/uwe", force_restart=True)

WorkRB keys the results by output folder alone: use one per model, and `force_restart` where the model has changed.
Only this module imports workrb and, with it, torch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from workrb.models.base import ModelInterface
from workrb.types import ModelInputType

from uwe_jax.evaluation.measure import scored
from uwe_jax.evaluation.ranker import Ranker
from uwe_jax.evaluation.specs import load_ranker
from uwe_jax.runtime.files import cache_folder

_CITATION = """
@misc{delange2025unifiedworkembeddings,
      title={Unified Work Embeddings: Contrastive Learning of a Bidirectional Multi-task Ranker},
      author={Matthias De Lange and Jens-Joris Decorte and Jeroen Van Hautte},
      year={2025},
      eprint={2511.07969},
      archivePrefix={arXiv},
      primaryClass={cs.CL},
      url={https://arxiv.org/abs/2511.07969},
}
"""


class UweWorkRBModel(ModelInterface):
    """A ranker that WorkRB can evaluate.

    Args:
      model: a ranker, or what `load_ranker` takes: the workdir of a training run, or an encoder.
      cache_dir: of encoders from wheels; None takes $UWE_JAX_CACHE or the user's cache folder.
      max_tokens: longer texts are truncated by encoders.

    Raises:
      UserError: as of `load_ranker`.
    """

    classification_label_space = None  # classes are ranked by their texts
    citation = _CITATION

    def __init__(self, model: Ranker | str | Path, *, cache_dir: Path | None = None, max_tokens: int = 64):
        if isinstance(model, str | Path):
            model = load_ranker(str(model), cache_dir=cache_dir or cache_folder(), max_tokens=max_tokens)
        self._ranker = model

    @property
    def name(self) -> str:
        """The ranker's name."""
        return self._ranker.name

    @property
    def description(self) -> str:
        """The model's origin, if the ranker states it."""
        return getattr(self._ranker, "description", "") or f"{self.name}, a ranker of uwe_jax"

    def _compute_rankings(
        self,
        queries: list[str],
        targets: list[str],
        query_input_type: ModelInputType | None = None,
        target_input_type: ModelInputType | None = None,
    ) -> torch.Tensor:
        """Returns scores, float32 [q, n]. The types of texts are ignored: one model serves all.

        Raises:
          UserError: as of `checked`; WorkRB itself would rank NaN and matrices of any shape.
        """
        chunks = scored(self._ranker.index(targets), queries, len(targets), f"{self.name} in WorkRB")
        return torch.from_numpy(np.concatenate([scores.astype(np.float32, copy=False) for scores in chunks]))

    def _compute_classification(
        self,
        texts: list[str],
        targets: list[str],
        input_type: ModelInputType,
        target_input_type: ModelInputType | None = None,
    ) -> torch.Tensor:
        """Returns scores, float32 [texts, classes], of the class labels, ranked as targets."""
        return self._compute_rankings(texts, targets, input_type, target_input_type)
