"""`benchmark names`: ranking from both sides of a score, and by all names of targets or those of candidates alone."""

from __future__ import annotations

import dataclasses
import functools
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.data.ragged import run_offsets
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.retrieval.store.names import Name
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.options import NumberList
from uwe_jax.runtime.settings import all_within, one_of, within
from uwe_jax.studies.benchmarks import outcome, synthetic
from uwe_jax.studies.benchmarks.encoders import ENCODERS, text_of, write_model
from uwe_jax.studies.benchmarks.measure import interleaved
from uwe_jax.studies.benchmarks.outcome import BenchmarkOptions, Column, Outcome, Row, facts
from uwe_jax.studies.benchmarks.ranking import FORWARD, PRODUCT, bare_work
from uwe_jax.studies.benchmarks.scoring import check_top_k, random_tokens

LOG = logging.getLogger(__name__)
ONE_SIDE, BOTH_SIDES, ALL, CANDIDATES = "from one side", "from both sides", "by all names", "by candidates"
_TAU_A = 0.1  # of both sides, as by default

LABELS = (Column("what", "contender"), Column("queries", "queries", outcome.whole))
COLUMNS = (
    Column("ms (min..max)", "seconds", outcome.milliseconds),
    Column("/ one\nside", "ratio_to_one_side", outcome.times),
    Column("/ both\nbare", "ratio_to_bare", outcome.times),
    Column("/ bare\nproduct", "ratio_to_product", outcome.times),
)


@dataclass(frozen=True)
class NamesOptions(BenchmarkOptions):
    """Options of `benchmark names`. Targets and names are as many and as long as those of ESCO's skills."""

    encoder: str = "minilm"
    targets: int = 13896
    names: int = 99074  # of all targets, labels included
    candidates: int = 300  # targets whose names are scored exactly
    top_k: int = 10  # targets returned per query
    queries: NumberList = (1, 32)  # ranked in one call, from one side and from both
    query_tokens: int = 8  # of the query that is ranked by names, special ones included
    runs: int = 21  # timed runs of every contender

    def __post_init__(self) -> None:
        one_of("--encoder", self.encoder, tuple(ENCODERS))
        within("--queries", min(self.queries, default=1), 1)
        within("--query-tokens", self.query_tokens, 3, 64)
        all_within(self, "--", "targets candidates top_k runs", 1)
        within("--names", self.names, self.targets)
        within("--seed", self.seed, 0)
        check_top_k(self.top_k, self.targets)


def _side_rows(options: NamesOptions, labels: RaggedTokens) -> Iterator[Row]:
    """Times queries as long as job titles against the labels."""
    one = TargetSpace.build(labels, ScorerSettings(tau_a=_TAU_A))
    both = dataclasses.replace(one, settings=ScorerSettings(tau_a=_TAU_A, target_tau_a=_TAU_A, side="both"))
    for number in options.queries:
        LOG.info(f"Ranking {number:,} queries from one side and from both")
        queries = random_tokens(synthetic.JOBS, number, labels.width, (options.seed, number))
        contenders = {
            name: functools.partial(space.top_k, queries, options.top_k, _TAU_A)
            for name, space in ((ONE_SIDE, one), (BOTH_SIDES, both))
        }
        times = interleaved(contenders, options.runs, warmups=2)
        ratio = times[BOTH_SIDES]["median"] / times[ONE_SIDE]["median"]
        for name, seconds in times.items():
            shown = ratio if name == BOTH_SIDES else None
            yield {"contender": name, "queries": number, "seconds": seconds, "ratio_to_one_side": shown}


def _name_rows(options: NamesOptions, labels: RaggedTokens, folder: Path) -> Iterator[Row]:
    """Times a query, from its text to its hits, against all names."""
    config, rng = ENCODERS[options.encoder], np.random.default_rng(options.seed)
    write_model(config, folder / "encoder", options.seed)
    model = f"{folder / 'encoder'}:soft,tau_a={_TAU_A},target_tau_a={_TAU_A},side=both"
    ranker = load(model, cache_dir=folder / "cache")
    further = options.names - options.targets
    counts = np.bincount(rng.integers(options.targets, size=further), minlength=options.targets)
    more = random_tokens(synthetic.ALIASES, further, config.width, (options.seed, 1))
    tokens = _together(labels, more, counts)
    index = Index.from_tokens(
        tokens,
        [f"target {k}" for k in range(options.targets)],
        None,
        ranker.origin,
        names=[[Name(f"name {k} {n}") for n in range(count)] for k, count in enumerate(counts.tolist())],
    )
    # An index keeps on the devices what it needs for one way of ranking.
    same = Index(index.origin, index.dtype, index.width, index.pooled, index.parts)
    few = Ranker(ranker.loaded, RankSettings(candidates=options.candidates))
    text = text_of(options.query_tokens, rng, config)
    contenders = {
        ALL: lambda: ranker.rank(text, index, options.top_k),
        CANDIDATES: lambda: few.rank(text, same, options.top_k),
        **bare_work(ranker, text, tokens),
    }
    LOG.info(f"Ranking by {len(tokens):,} names of {options.targets:,} targets")
    times = interleaved(contenders, options.runs, warmups=2)
    product = times[PRODUCT]["median"]
    for name, seconds in times.items():
        row = {"contender": name, "queries": 1, "seconds": seconds, "name_tokens": len(tokens.flat)}
        if name in (ALL, CANDIDATES):
            row["ratio_to_bare"] = seconds["median"] / (times[FORWARD]["median"] + product)
            row["ratio_to_product"] = seconds["median"] / product
        yield row


def _together(labels: RaggedTokens, more: RaggedTokens, counts: np.ndarray) -> RaggedTokens:
    """Puts the label of every target before its `counts` further names."""
    both = RaggedTokens(np.concatenate([labels.flat, more.flat]), run_offsets(np.append(labels.lengths, more.lengths)))
    target = np.append(np.arange(len(labels)), np.repeat(np.arange(len(labels)), counts))
    return both.take(np.argsort(target, kind="stable"))


def run(options: NamesOptions) -> Outcome:
    """Measures both sides beside one, and both ways of ranking by names beside their bare work."""
    about = facts("float32")
    labels = random_tokens(synthetic.SKILLS, options.targets, ENCODERS[options.encoder].width, (options.seed, 0))
    rows = list(_side_rows(options, labels))
    with tempfile.TemporaryDirectory(prefix="uwe_jax_names_") as temporary:
        rows += _name_rows(options, labels, Path(temporary))
    notes = [
        f"Median and range of {options.runs} runs, taken in turn. Sides: soft late interaction of both temperatures "
        f"{_TAU_A}, from query tokens in host memory to the best targets in host memory; one side is the query's.",
        f"Names: a query of {options.query_tokens} tokens, from its text to its hits, by all {options.names:,} names "
        f"({rows[-1]['name_tokens']:,} tokens), or by those of {options.candidates:,} candidates. The bare forward "
        "pass and the bare product with all tokens of all names have exactly the query's tokens; / both bare divides "
        "by their sum, / bare product by the product alone.",
    ]
    title = f"Ranking {options.targets:,} targets with {options.encoder}, top {options.top_k}, by sides and names"
    return Outcome(title, about, options.settings(), LABELS, COLUMNS, rows, notes)
