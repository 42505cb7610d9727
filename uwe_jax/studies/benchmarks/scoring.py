"""`benchmark scoring`: ranking queries against a cached target space, beside the bare product of all token pairs."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import numpy as np

from uwe_jax.config import SIDED, ScorerSettings
from uwe_jax.data.ragged import run_offsets
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.options import NumberList
from uwe_jax.runtime.settings import all_within, one_of, within
from uwe_jax.scoring.ragged import is_pooled
from uwe_jax.studies.benchmarks import outcome, synthetic, torch_peers, torch_scoring
from uwe_jax.studies.benchmarks.measure import (
    METHODS,
    Peak,
    Spread,
    bare_product,
    dispatch_seconds,
    interleaved,
    peak_of,
)
from uwe_jax.studies.benchmarks.outcome import BenchmarkOptions, Column, Outcome, Row, facts

LOG = logging.getLogger(__name__)
OURS, PRODUCT = "uwe_jax", "bare product"
_TOKEN_SCALE = 0.5  # keeps raw dot products of normal tokens, which grow with the width, from being extreme
_COMPARED = 4  # queries whose scores are compared with the peer's
_WARM_QUERIES = 512

LABELS = (
    Column("width", "width", outcome.whole),
    Column("queries", "queries", outcome.whole),
    Column("contender", "contender"),
)
COLUMNS = (
    Column("ms (min..max)", "seconds", outcome.milliseconds),
    Column("/ product", "ratio_to_product", outcome.times),
    Column("FLOP/s", "flops_per_second", outcome.scaled),
    Column("B/s", "bytes_per_second", outcome.scaled),
    Column("queries\n/s", "queries_per_second", outcome.significant),
    Column("peak\nMiB", "peak_memory", outcome.peak),
)


@dataclass(frozen=True)
class ScoringOptions(BenchmarkOptions):
    """Options of `benchmark scoring`. Targets are as long as ESCO's skills, queries as its occupations."""

    queries: NumberList = (1, 32)  # queries ranked in one call
    targets: int = 13896  # texts in the target space
    widths: NumberList = (768, 384)  # components of a token embedding
    dtype: str = "float32"  # of the products: float32 or bfloat16
    scorer: str = "soft"
    logits: str = "cosine"  # attention logits: cosine, or dot as the paper has them
    tau_a: float = 0.1  # attention temperature of either side, the paper's
    side: str = "both"  # texts whose tokens soft and max_sim sum over: query (the paper's), target or both
    top_k: int = 100  # targets returned per query
    runs: int = 9  # timed runs of every contender
    peers: bool = True  # compare with PyTorch where it is installed
    many: int = 0  # queries of a run that shows peak memory; 0 leaves it out

    def __post_init__(self) -> None:
        for name in ("queries", "widths"):
            within(f"--{name}", min(getattr(self, name), default=1), 1)
        all_within(self, "--", "targets top_k runs", 1)
        all_within(self, "--", "seed many", 0)
        one_of("--dtype", self.dtype, ("float32", "bfloat16"))
        self.formula()
        check_top_k(self.top_k, self.targets)

    def formula(self) -> ScorerSettings:
        """Returns the settings of the scorer; raises UserError for an invalid one."""
        return ScorerSettings(self.scorer, self.logits, self.tau_a, self.side, target_tau_a=self.tau_a)


def check_top_k(top_k: int, targets: int) -> None:
    """Raises UserError if there are fewer targets than are returned."""
    if top_k > targets:
        raise UserError(f"--top-k {top_k} is more than the {targets} targets. Lower --top-k or raise --targets.")


def random_tokens(histogram: tuple[int, ...], texts: int, width: int, seed: tuple[int, ...]) -> RaggedTokens:
    """Draws token embeddings of texts whose lengths follow a histogram; normal with standard deviation 0.5."""
    rng = np.random.default_rng(seed)
    offsets = run_offsets(synthetic.draw(histogram, texts, rng))
    return RaggedTokens(_TOKEN_SCALE * rng.standard_normal((offsets[-1], width), np.float32), offsets)


def multiplied(scorer: str, queries: RaggedTokens, targets: RaggedTokens) -> tuple[RaggedTokens, RaggedTokens]:
    """Returns queries and targets as a scorer multiplies them: pooled texts are one token."""
    return (
        queries.pooled() if is_pooled(scorer, query=True) else queries,
        targets.pooled() if is_pooled(scorer, query=False) else targets,
    )


class _Width:
    """All of one width: queries, the target space, and the peer's."""

    def __init__(self, options: ScoringOptions, width: int, device: str | None):
        self._options, self._width, self._device = options, width, device
        self._settings = options.formula()
        self._targets = random_tokens(synthetic.SKILLS, options.targets, width, (options.seed, width, 0))
        self._space = TargetSpace.build(self._targets, self._settings, dtype=options.dtype)

    def _queries(self, number: int) -> RaggedTokens:
        return random_tokens(synthetic.JOBS, number, self._width, (self._options.seed, self._width, number))

    def _rank(self, queries: RaggedTokens) -> Callable[[], object]:
        return lambda: self._space.top_k(queries, self._options.top_k, self._settings.temperatures)

    def rows(self) -> Iterator[Row]:
        """Measures every contender on every number of queries, and ours on `many`.

        Our peaks are taken before anything else runs and from few to many: an accelerator keeps the highest peak of
        the process.
        """
        options = self._options
        peaks = {number: peak_of(self._rank(self._queries(number))) for number in sorted(set(options.queries))}
        last = [self._many_row(options.many)] if options.many else []
        device, peer = self._device, None
        if device:
            peer = torch_scoring.PaddedScoring(self._targets, self._settings, options.dtype, device)
        for number in options.queries:
            LOG.info(f"Scoring {number:,} queries against {options.targets:,} targets of width {self._width}")
            queries = self._queries(number)
            a, b = multiplied(options.scorer, queries, self._targets)
            contenders = {OURS: self._rank(queries), PRODUCT: bare_product(a.flat, b.flat, dtype=options.dtype)}
            found = {OURS: peaks[number], PRODUCT: peak_of(contenders[PRODUCT])}
            differences: dict[str, float] = {}
            if device and peer:
                some = queries.part(0, min(_COMPARED, number))
                difference = np.abs(peer.scores(some) - self._space.scores(some, self._settings.temperatures)).max()
                contenders[peer.name] = functools.partial(peer.top_k, queries, options.top_k)
                found[peer.name] = torch_peers.peer_peak(contenders[peer.name], device)
                differences[peer.name] = float(difference)
            times = interleaved(contenders, options.runs)
            product = times[PRODUCT]["median"]
            for name in contenders:
                row = self._row(queries, name, times[name], product, found[name])
                yield row | {"max_score_difference": differences.get(name)}
        yield from last

    def _many_row(self, number: int) -> Row:
        """Measures our peak memory and time on many queries, in one run."""
        LOG.info(f"Scoring {number:,} queries of width {self._width} for their peak memory")
        queries = self._queries(number)
        times: dict[str, Spread] = {}
        # Queries come in chunks of few shapes: some hundreds compile all that thousands need.
        self._rank(queries.part(0, min(number, _WARM_QUERIES)))()
        peak = peak_of(lambda: times.update(interleaved({OURS: self._rank(queries)}, 1, warmups=0)), warm=True)
        return self._row(queries, OURS, times[OURS], None, peak)

    def _row(self, queries: RaggedTokens, contender: str, times: Spread, product: float | None, peak: Peak) -> Row:
        """Makes a row, with the operations and bytes of the bare product: each token and score is moved once."""
        s, t = (int(side.offsets[-1]) for side in multiplied(self._options.scorer, queries, self._targets))
        flops = 2 * s * t * self._width
        size = 4 if self._options.dtype == "float32" else 2
        moved = (s + t) * self._width * size + len(queries) * len(self._targets) * 4
        seconds = times["median"]
        return {
            "width": self._width,
            "queries": len(queries),
            "query_tokens": s,
            "targets": self._options.targets,
            "target_tokens": t,
            "target_space_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(self._space.spans)),
            "contender": contender,
            "seconds": times,
            "ratio_to_product": seconds / product if product else None,
            "flops": flops,
            "flops_per_second": flops / seconds,
            "bytes": moved,
            "bytes_per_second": moved / seconds,
            "peak_memory": peak,
            "queries_per_second": None if contender == PRODUCT else len(queries) / seconds,
        }


def run(options: ScoringOptions) -> Outcome:
    """Measures every width and number of queries."""
    about = facts(options.dtype) | {"dispatch_seconds": dispatch_seconds()}
    platform = jax.default_backend()
    device, about_peers = torch_peers.choose_device(options.peers, platform)
    with torch_peers.equal_terms(tf32=False) if device else contextlib.nullcontext():
        rows = [row for width in options.widths for row in _Width(options, width, device).rows()]
    attends = options.scorer in ("soft", "soft_pooled")
    scorer = options.scorer + f" (side {options.side})" * (options.scorer in SIDED)
    scorer += f" over {options.logits} logits at tau_a {options.tau_a:g}" * attends
    notes = [
        *_notes(options, rows, about_peers, platform),
        f"A program that does nothing takes {1e3 * about['dispatch_seconds']:.3f} ms from its call to its result.",
    ]
    title = f"Ranking {options.targets:,} targets, top {options.top_k}, {scorer}"
    return Outcome(title, about, options.settings(), LABELS, COLUMNS, rows, notes)


def _notes(options: ScoringOptions, rows: list[Row], about_peers: str, platform: str) -> list[str]:
    spaces = {row["width"]: row["target_space_bytes"] for row in rows}
    differences = [row["max_score_difference"] for row in rows if row.get("max_score_difference") is not None]
    agreement = f" Its scores differ from ours by at most {max(differences):.1e}." if differences else ""
    space = ", ".join(f"{outcome.in_mebibytes(size)} MiB at width {width}" for width, size in spaces.items())
    return [
        f"Median and range of {options.runs} runs, taken in turn. Ours and PyTorch's run from query tokens in host "
        "memory to the best targets in host memory; the bare product's operands and result stay on the device.",
        "The bare product multiplies all real query tokens with all real target tokens, without padding, in the same "
        "dtype and precision. FLOP/s are its 2 T N d operations over the time of each contender; B/s target tokens, "
        "query tokens and scores, each moved once.",
        about_peers + (f" It scores one query at a time.{agreement}" if differences else ""),
        f"Peak memory on top of the target space, which takes {space}: "
        f"{METHODS['host' if platform == 'cpu' else 'device']}"
        + (f"; of PyTorch, {METHODS['cuda']}." if differences and platform != "cpu" else "."),
    ]
