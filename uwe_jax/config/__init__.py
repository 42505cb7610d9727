"""The settings of a training run, as frozen dataclasses with defaults and checks.

A file in `configs/` changes some keys of `default_config()`, a locked `ml_collections.ConfigDict`;
`Config.from_dict` turns the result, with the overrides of the command line, into a `Config`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import ml_collections

from uwe_jax.config.learning import BatchSettings, DistillationSettings, GuideSettings, OptimiserSettings
from uwe_jax.runtime.config_dict import section
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import GRAPH_KINDS, SKILL
from uwe_jax.runtime.settings import all_of, all_within, from_mapping, one_of, within

COMBINED = "combined"
NAMED_KINDS = (SKILL, "job")  # kinds of node of which sources know further names
RELATIONS = ("essential", "optional", "both")
SIDES = ("query", "target", "both")
SIDED = ("soft", "max_sim")  # scorers whose tokens of either side can be summed over


@dataclass(frozen=True)
class EncoderSettings:
    """The pretrained encoder that is trained, and how it computes."""

    name: str = "sentence-transformers/all-MiniLM-L6-v2"  # a folder, a hub id, or one of the pinned wheels
    dtype: str = "float32"  # of activations; parameters, softmax and norms stay float32
    dropout: float = 0.0  # overrides both dropout rates of the encoder's own config
    remat: bool = False  # recompute activations in the backward pass: less memory, about a third more time
    wise_ft_alpha: float = 1.0  # of the evaluated and exported weights: 1 is the trained, 0 the pretrained ones

    def __post_init__(self) -> None:
        within("encoder.wise_ft_alpha", self.wise_ft_alpha, 0.0, 1.0)
        one_of("encoder.dtype", self.dtype, ("float32", "bfloat16"))
        within("encoder.dropout", self.dropout, 0.0, 0.99)


@dataclass(frozen=True)
class PartSettings:
    """One source of a mixture, under a name of the user's choice, which is recorded as provenance."""

    source: str = ""  # as source.source; empty: its name
    path: str = ""  # folder of its downloads; empty: source.path
    graphs: tuple[str, ...] = ()  # such as skill_job; empty: the source's default ones
    weight: float = 1.0  # sampling weight of its edges relative to other sources; 0 excludes the source
    relations: str = "both"  # as source.relations
    language: str = "en"  # as source.language
    version: str = ""  # as source.version
    names: tuple[str, ...] = ()  # as source.names; empty: source.names, of the kinds that the source has names of

    def __post_init__(self) -> None:
        one_of("source.parts: relations", self.relations, RELATIONS)
        all_of("source.parts: names", self.names, NAMED_KINDS)
        within("source.parts: weight", self.weight, 0.0)


@dataclass(frozen=True)
class SourceSettings:
    """The source of the graphs."""

    source: str = "sample"  # sample (embedded), edges (a folder of edge files), combined (a mixture), esco, onet, ...
    path: str = ""  # folder of the edge files or of the downloads
    graphs: tuple[str, ...] = ()  # such as skill_job; empty: the source's default ones
    parts: dict[str, PartSettings] = field(default_factory=dict)  # sources of the mixture, by name; see `combine`
    join_aliases: bool = False  # merge skills with a skill that has their text as an alias, not only equal texts
    kinds: tuple[str, ...] = ()  # kinds of graphs, of job, vacancy, alias; empty: all of the source
    relations: str = "both"  # ESCO skill-job and skill-skill relations: essential, optional or both
    # Of ESCO's labels, of vacancies, and of the tasks and taxonomy that graphs are compared with. Of several, as en,de,
    # the labels of the first, and those of the others are alternative labels of the same concept.
    language: str = "en"
    version: str = ""  # of the source, such as 1.1.1; empty: the newest complete one in the folder
    # Decontamination: splits (test, validation) of evaluation tasks whose queries and relevant pairs are excluded.
    decontaminate: tuple[str, ...] = ("test",)
    tasks_path: str = ""  # folder of the data of the evaluation tasks; empty: source.path
    # Kinds of node, skill and job, that go by any of the names that their sources know: in a batch a node has its label
    # or, in half of them, one of its alternative labels. Empty: always the label.
    names: tuple[str, ...] = ()
    cache_dir: str = ""  # prepared datasets; empty: $UWE_JAX_CACHE or the user's cache folder

    def __post_init__(self) -> None:
        one_of("source.relations", self.relations, RELATIONS)
        all_of("source.kinds", self.kinds, GRAPH_KINDS)
        all_of("source.names", self.names, NAMED_KINDS)
        all_of("source.decontaminate", self.decontaminate, ("test", "validation"))


@dataclass(frozen=True)
class SplitSettings:
    """Shares of the nodes of every kind that are held out, by a hash of their normalised text."""

    validation: float = 0.1  # chooses the best checkpoint; 0 trains on these nodes too and takes the last step
    test: float = 0.1  # only for the table before and after training; 0 reports on validation, if that is not 0
    salt: str = ""  # changes the split

    def __post_init__(self) -> None:
        all_within(self, "split.", "validation test", 0.0, 0.9)
        within("split.validation + split.test", self.validation + self.test, 0.0, 0.95)


@dataclass(frozen=True)
class LengthSettings:
    """Maximum tokens per node of each kind, special tokens included; fixed, so that a step compiles once."""

    skill: int = 64
    job: int = 64
    vacancy: int = 64
    alias: int = 64

    def __post_init__(self) -> None:
        all_within(self, "lengths.", "skill job vacancy alias", 3)


@dataclass(frozen=True)
class ScorerSettings:
    """The score s(q, y) of a query and a target from their token embeddings."""

    kind: str = "soft"  # soft late interaction, or max_sim, mean_pool, soft_pooled
    logits: str = "cosine"  # attention logits: cosine, or dot (the paper's raw dot products)
    tau_a: float = 0.1  # attention temperature of query tokens
    # Of soft and max_sim, the texts whose tokens are summed over: query (the paper's; does each query token find its
    # like in the target?), target (the reverse), or both, a weighted sum.
    side: str = "both"
    target_tau_a: float = 0.1  # attention temperature of target tokens, with side target or both
    target_weight: float = 0.5  # of the target's side where side is both; the query's has 1 - target_weight
    learn_tau_a: bool = False  # train the attention temperatures with the encoder
    reduce: str = "mean"  # over tokens: mean keeps scores in [-1, 1], sum is the Frobenius product
    chunk: int = 0  # queries scored at once, in training and in evaluation; 0 picks by a memory budget

    def __post_init__(self) -> None:
        one_of("scorer.kind", self.kind, ("soft", "max_sim", "mean_pool", "soft_pooled"))
        one_of("scorer.logits", self.logits, ("cosine", "dot"))
        one_of("scorer.reduce", self.reduce, ("mean", "sum"))
        one_of("scorer.side", self.side, SIDES)
        within("scorer.tau_a", self.tau_a, 1e-4)
        within("scorer.target_tau_a", self.target_tau_a, 1e-4)
        within("scorer.target_weight", self.target_weight, 0.0, 1.0)
        within("scorer.chunk", self.chunk, 0)

    @staticmethod
    def completed(values: dict[str, Any]) -> dict[str, Any]:
        """Completes saved values: those without a side are older than the setting, and score from the query's."""
        return {"side": "query", **values} if values.get("kind", "soft") in SIDED else values

    @property
    def temperatures(self) -> tuple[float, float]:
        """Attention temperatures of the query's tokens and of the target's."""
        return self.tau_a, self.target_tau_a


@dataclass(frozen=True)
class PerGraph:
    """A number per kind of graph."""

    job: float
    vacancy: float
    alias: float


@dataclass(frozen=True)
class LossSettings:
    """Many-to-many InfoNCE over the graphs."""

    alpha: PerGraph = field(default_factory=lambda: PerGraph(1.0, 0.5, 0.5))  # weight of each graph's loss
    tau: PerGraph = field(default_factory=lambda: PerGraph(0.05, 0.02, 0.02))  # temperature of its softmax
    symmetric: bool = True  # both directions; false: only skills rank neighbours
    side: str = "scorer"  # of the scores in the loss: scorer, as they rank (scorer.side), or query, target, both
    drop_other_positives: bool = False  # exclude a row's other positives from each positive's denominator
    distillation: DistillationSettings = field(default_factory=DistillationSettings)

    def __post_init__(self) -> None:
        one_of("loss.side", self.side, ("scorer", *SIDES))
        for kind in GRAPH_KINDS:
            within(f"loss.alpha.{kind}", getattr(self.alpha, kind), 0.0)
            within(f"loss.tau.{kind}", getattr(self.tau, kind), 1e-4)


@dataclass(frozen=True)
class EvaluationSettings:
    """Ranking of held-out nodes against the full target space."""

    every: int = 100  # steps between validations; the last step is always validated
    max_queries: int = 1000  # validation queries per graph and direction, the same ones each time; 0: all
    max_test_queries: int = 0  # the same for the table before and after training
    skip: tuple[str, ...] = ()  # directions to skip, e.g. ("skill_to_alias",) for many aliases
    texts_per_device: int = 64  # rows of packed texts encoded at once, fewer if they are long

    def __post_init__(self) -> None:
        all_within(self, "evaluation.", "every texts_per_device", 1)
        all_within(self, "evaluation.", "max_queries max_test_queries", 0)
        directions = tuple(d for kind in GRAPH_KINDS for d in (f"skill_to_{kind}", f"{kind}_to_skill"))
        all_of("evaluation.skip", self.skip, directions)


@dataclass(frozen=True)
class DistributedSettings:
    """Discovery and timeouts of the processes of one training; see `uwe_jax.distributed`."""

    coordinator: str = ""  # HOST:PORT of the first process; empty: $JAX_COORDINATOR_ADDRESS, or detected
    processes: int = 0  # number of processes; 0: $JAX_NUM_PROCESSES, or detected from Slurm, Open MPI or a TPU
    process: int = -1  # index of this process, from 0; -1: $JAX_PROCESS_ID, or detected
    timeout_seconds: int = 60  # a process without a heartbeat for this long is lost

    def __post_init__(self) -> None:
        within("distributed.processes", self.processes, 0)
        within("distributed.process", self.process, -1)
        within("distributed.timeout_seconds", self.timeout_seconds, 2)


@dataclass(frozen=True)
class Config:
    """A whole training run."""

    workdir: str = "runs/uwe"  # all output of the run; re-run the same command to resume
    seed: int = 0  # batches and dropout
    steps: int = 1000
    log_every: int = 10  # steps between lines of metrics.jsonl
    checkpoint_every: int = 100  # steps between checkpoints, besides those after a validation
    wandb: str = ""  # project of Weights & Biases to log to; empty for none
    profile: bool = False  # trace a few steps into the workdir
    profile_steps: int = 3  # number of traced steps
    nan_hunt: bool = False  # keep the state before each step, and find the operation that gave the first NaN
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    source: SourceSettings = field(default_factory=SourceSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    lengths: LengthSettings = field(default_factory=LengthSettings)
    batch: BatchSettings = field(default_factory=BatchSettings)
    scorer: ScorerSettings = field(default_factory=ScorerSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    guide: GuideSettings = field(default_factory=GuideSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    distributed: DistributedSettings = field(default_factory=DistributedSettings)

    def __post_init__(self) -> None:
        all_within(self, "", "steps log_every checkpoint_every profile_steps", 1)
        within("seed", self.seed, 0, 2**31 - 1)
        if not self.workdir:
            raise UserError("workdir is empty; name a folder, for example --config.workdir=runs/mine.")

    @property
    def of_devices(self) -> dict[str, int]:
        """Settings that the number of devices must divide."""
        distilled = {"loss.distillation.queries": self.loss.distillation.queries} if self.loss.distillation.path else {}
        batch = {name: getattr(self.batch, name) for name in ("global_batch_size", "mined_negatives")}
        return {f"batch.{name}": value for name, value in batch.items()} | distilled

    @property
    def needs_guide(self) -> bool:
        """Tells whether a setting needs the guide."""
        return self.guide.mask != "none" or self.batch.field_share > 0 or self.batch.mined_negatives > 0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Reads the values of `to_dict`; missing settings, as in an older config.json, have their defaults.

        Raises UserError for an unknown key or an invalid value.
        """
        return from_mapping(cls, values)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, as in the workdir's config.json, with lists for tuples."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def default_config(settings: type = Config) -> ml_collections.ConfigDict:
    """Returns the defaults of `Config`, or of other settings, as a locked ConfigDict."""
    return section(dataclasses.asdict(settings())).lock()


def combine(**parts: Any) -> ml_collections.ConfigDict:
    """Makes the mixture of a config file: `config.source.parts = combine(onet={}, esco={"weight": 2.0})`.

    Args:
      parts: mappings of changed `PartSettings` by name.

    Raises:
      UserError: a part is not a mapping, or has an unknown setting or a value of another type.
    """
    # Converted first: a ConfigDict keeps the type of a value, so a weight of 2 has to become 2.0.
    read = from_mapping(SourceSettings, {"parts": parts}, "source.").parts
    return ml_collections.ConfigDict({name: dataclasses.asdict(part) for name, part in read.items()})
