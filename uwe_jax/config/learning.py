"""Settings of how a run learns from its graphs: the guide and the optimiser."""

from __future__ import annotations

from dataclasses import dataclass

from uwe_jax.runtime.settings import all_within, one_of, within


@dataclass(frozen=True)
class GuideSettings:
    """A frozen model that says which texts are near each other, since graphs lack edges."""

    name: str = (
        ""  # a model, as of --model elsewhere; empty: the mean of a text's tokens in the encoder before training
    )
    # In-batch negatives that the loss leaves out, since the guide finds them nearer to a text than its nearest positive
    # less a margin: none, those of an absolute margin (of the cosine), or of a relative one (a share of it).
    mask: str = "none"
    margin: float = 0.0  # a negative one keeps negatives that are only a little nearer

    def __post_init__(self) -> None:
        one_of("guide.mask", self.mask, ("none", "absolute", "relative"))
        within("guide.margin", self.margin, -1.0, 1.0)

    @property
    def is_read(self) -> bool:
        """Whether a setting needs the guide."""
        return self.mask != "none"


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW with warm-up and decay."""

    learning_rate: float = 8e-5  # at the end of the warm-up
    warmup_fraction: float = 0.1  # of all steps, linear from zero
    decay: str = "cosine"  # to zero over the remaining steps: cosine, linear or constant (no decay)
    weight_decay: float = 0.01  # not on norms, biases and scalars
    clip_norm: float = 1.0  # global gradient norm; 0 does not clip
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    # (regular expression, factor): the learning rate of parameters is multiplied by the factor of the first
    # expression that matches their path, e.g. (("embeddings/", 0.1), ("tau_a", 10.0))
    learning_rate_factors: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        one_of("optimiser.decay", self.decay, ("cosine", "linear", "constant"))
        all_within(self, "optimiser.", "learning_rate weight_decay clip_norm", 0.0)
        within("optimiser.warmup_fraction", self.warmup_fraction, 0.0, 1.0)
