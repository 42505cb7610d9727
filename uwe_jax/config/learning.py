"""Settings of how a run learns from its graphs: batches, the guide, a teacher and the optimiser."""

from __future__ import annotations

from dataclasses import dataclass

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import all_within, one_of, within


@dataclass(frozen=True)
class BatchSettings:
    """Sampling of batches from the training graphs."""

    global_batch_size: int = 512  # skills in a batch over all devices, and at most as many neighbours per graph
    mini_batch_size: int = 0  # gradient-caching mini-batch size per device, in texts on average; 0: no gradient caching
    degree_temperature: float = 0.0  # 0 draws skills uniformly, 1 in proportion to their degree
    distractor_probability: float = 0.8  # of joining a vacancy sentence with a non-matching one
    # all: every edge between two nodes of the batch is a positive. sampled: only the neighbour drawn for a skill, the
    # paper's single-positive baseline; a neighbour drawn for several skills is a positive of the first one alone.
    positives: str = "all"
    # Share of a batch's skills that are drawn from one field of work, a group of skills that the guide finds near each
    # other, so that their neighbours are harder to tell apart; the others are drawn from all skills.
    field_share: float = 0.0
    skills_per_field: int = 0  # skills of a field on average; 0: four times as many as a batch draws from it
    # Texts beside the drawn ones in each graph of a batch, near negatives: for so many of its skills a node without an
    # edge to it, the nearest by the guide of those that are farther than its drawn neighbour by a relative margin.
    mined_negatives: int = 0
    mined_margin: float = 0.05  # share of the cosine of the drawn neighbour
    sources: str = "mixed"  # of a mixture in a batch: mixed, or homogeneous (one of them, drawn by its weight)
    prefetch: int = 4  # batches prepared ahead
    threads: int = 2  # threads that prepare them

    def __post_init__(self) -> None:
        within("batch.global_batch_size", self.global_batch_size, 2)
        within("batch.mini_batch_size", self.mini_batch_size, 0)
        within("batch.skills_per_field", self.skills_per_field, 0)
        within("batch.mined_negatives", self.mined_negatives, 0, self.global_batch_size)
        all_within(self, "batch.", "degree_temperature distractor_probability field_share mined_margin", 0.0, 1.0)
        if self.field_share and self.of_one_field < 2:
            raise UserError(
                f"batch.field_share {self.field_share} of batch.global_batch_size {self.global_batch_size} is "
                f"{self.of_one_field} skills; at least 2 must be from one field. Raise it to "
                f"{2 / self.global_batch_size:.3g} or more, or set it to 0."
            )
        all_within(self, "batch.", "prefetch threads", 1)
        one_of("batch.positives", self.positives, ("all", "sampled"))
        one_of("batch.sources", self.sources, ("mixed", "homogeneous"))

    @property
    def of_one_field(self) -> int:
        """Skills of a batch that are drawn from one field of work."""
        return round(self.field_share * self.global_batch_size)


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


@dataclass(frozen=True)
class DistillationSettings:
    """An additional loss: a teacher's scores of pairs of texts, from a file."""

    # Table with a query, a target and a score per row, in any format of tables, or an .npz of `uwe-jax teach`, which
    # has a score of every pair. Of several, separated by commas, each step takes the next. Empty: no teacher.
    path: str = ""
    weight: float = 1.0  # of this loss beside those of the graphs
    # kl: the divergence of the softmax over a query's targets from the teacher's. margin: the mean square difference
    # from the teacher in the score between two targets (MarginMSE).
    kind: str = "kl"
    tau: float = 0.05  # temperature of our scores
    teacher_tau: float = 0.05  # of the teacher's: 0.05 for cosines, about 1 for a cross-encoder's logits
    queries: int = 16  # in a batch, over all devices
    targets: int = 8  # drawn for each of them
    near: int = 0  # draw these from so many of a query's best; 0: from all that are scored
    symmetric: bool = False  # also compare the scores of each target over the batch's queries, as its ranking of them

    def __post_init__(self) -> None:
        one_of("loss.distillation.kind", self.kind, ("kl", "margin"))
        all_within(self, "loss.distillation.", "tau teacher_tau", 1e-4)
        within("loss.distillation.weight", self.weight, 0.0)
        within("loss.distillation.queries", self.queries, 1)
        within("loss.distillation.targets", self.targets, 2)
        if self.near and self.near < self.targets:
            raise UserError(
                f"loss.distillation.near is {self.near}, and {self.targets} targets of a query "
                "(loss.distillation.targets) are drawn from so many: set it to 0, for all, or to at least as many."
            )


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
        for name in ("b1", "b2"):
            if not 0 <= (value := getattr(self, name)) < 1:
                raise UserError(f"optimiser.{name} is {value}; it must be at least 0 and below 1.")
        if not self.eps > 0:
            raise UserError(f"optimiser.eps is {self.eps}; it must be above 0.")
        for expression, factor in self.learning_rate_factors:
            within(f"optimiser.learning_rate_factors: the factor of {expression!r}", factor, 0.0)
        within("optimiser.warmup_fraction", self.warmup_fraction, 0.0, 1.0)
