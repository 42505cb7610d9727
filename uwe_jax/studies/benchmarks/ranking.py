"""`benchmark rank`: a query from its text to its hits, alone, under load, and after a start of the command."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.options import NumberList
from uwe_jax.runtime.settings import all_within, one_of, within
from uwe_jax.scoring.scorer_text import SCORER_OPTIONS
from uwe_jax.studies.benchmarks import outcome, synthetic
from uwe_jax.studies.benchmarks.encoders import ENCODERS, text_of, write_model
from uwe_jax.studies.benchmarks.measure import bare_product, interleaved, latencies, percentiles, spread
from uwe_jax.studies.benchmarks.outcome import BenchmarkOptions, Column, Outcome, Row, facts
from uwe_jax.studies.benchmarks.scoring import check_top_k, multiplied, random_tokens

LOG = logging.getLogger(__name__)
RANK, FORWARD, PRODUCT = "text to hits", "bare encoder forward", "bare product"
COLD, WARM = "command, empty cache", "command, warm cache"

LABELS = (
    Column("what", "contender"),
    Column("query\ntokens", "query_tokens", outcome.whole),
    Column("clients", "clients", outcome.whole),
)
COLUMNS = (
    Column("ms (min..max)", "seconds", outcome.milliseconds),
    Column("/ bare", "ratio_to_bare", outcome.times),
    *(Column(f"{p}\nms", p, lambda seconds: outcome.significant(1e3 * seconds)) for p in ("p50", "p90", "p99")),
    Column("queries\n/s", "queries_per_second", outcome.significant),
)


@dataclass(frozen=True)
class RankingOptions(BenchmarkOptions):
    """Options of `benchmark rank`. Targets are as long as ESCO's skills, queries of clients as its occupations."""

    encoder: str = "minilm"
    targets: int = 13896  # texts in the target space
    scorer: str = "soft"
    top_k: int = 10  # targets returned per query
    query_tokens: NumberList = (4, 8, 16, 32)  # tokens of single queries, special ones included
    clients: NumberList = (1, 2, 4, 8)  # clients that ask at once
    requests: int = 200  # queries of all clients together
    starts: int = 3  # of the command with a warm cache; 0 leaves them out
    runs: int = 21  # timed runs of every contender

    def __post_init__(self) -> None:
        one_of("--encoder", self.encoder, tuple(ENCODERS))
        one_of("--scorer", self.scorer, tuple(SCORER_OPTIONS))
        for number in self.query_tokens:
            within("--query-tokens", number, 3, 64)
        within("--clients", min(self.clients, default=1), 1)
        all_within(self, "--", "targets top_k requests runs", 1)
        all_within(self, "--", "starts seed", 0)
        check_top_k(self.top_k, self.targets)


def bare_work(ranker: Ranker, text: str, targets: RaggedTokens) -> dict[str, Callable[[], object]]:
    """Prepares the forward pass of a text and its product with all target tokens, compiled without padding."""
    loaded = ranker.loaded
    table = loaded.tokeniser.tokenise([text])
    token_ids, mask = table.rows(np.zeros(1, np.int64), int(table.lengths[0]))
    params = jax.device_put(loaded.params)
    forward = jax.jit(lambda params, *rows: loaded.model.encode(params, *rows).embeddings)
    queries, rows = multiplied(ranker.scorer.kind, ranker.encode_tokens(text), targets)
    return {
        FORWARD: lambda: jax.block_until_ready(forward(params, token_ids, mask)),
        PRODUCT: bare_product(queries.flat, rows.flat, dtype="float32"),
    }


class _Bench:
    """A random model and index in a folder, loaded as a user would."""

    def __init__(self, options: RankingOptions, folder: Path):
        self._options, self._folder = options, folder
        self._config = ENCODERS[options.encoder]
        self._rng = np.random.default_rng(options.seed)
        write_model(self._config, folder / "encoder", options.seed)
        self.ranker: Ranker = load(f"{folder / 'encoder'}:{options.scorer}", cache_dir=folder / "cache")
        self._targets = random_tokens(synthetic.SKILLS, options.targets, self._config.width, (options.seed,))
        texts = [f"target {k}" for k in range(options.targets)]
        self.space = Index.from_tokens(self._targets, texts, None, self.ranker.origin)
        self.space.save(folder / "space")

    def _text(self, tokens: int) -> str:
        return text_of(tokens, self._rng, self._config)

    def _ask(self, text: str) -> object:
        return self.ranker.rank(text, self.space, self._options.top_k)

    def single_rows(self, tokens: int) -> list[Row]:
        """Times a query of so many tokens, beside the bare forward pass and product."""
        text = self._text(tokens)
        contenders = {RANK: lambda: self._ask(text)} | bare_work(self.ranker, text, self._targets)
        times = interleaved(contenders, self._options.runs, warmups=2)
        bare = times[FORWARD]["median"] + times[PRODUCT]["median"]
        ratio = {RANK: times[RANK]["median"] / bare}
        return [
            {"contender": name, "query_tokens": tokens, "seconds": each, "ratio_to_bare": ratio.get(name)}
            for name, each in times.items()
        ]

    def crowd_rows(self) -> Iterator[Row]:
        """Times clients that ask at once, with queries as long as job titles."""
        drawn = synthetic.draw(synthetic.JOBS, self._options.requests, self._rng)
        questions = [self._text(int(tokens)) for tokens in drawn]
        for tokens in np.unique(drawn).tolist():
            self._ask(self._text(tokens))  # compiles for its length
        for clients in self._options.clients:
            seconds, together = latencies(self._ask, questions, clients)
            rate = len(questions) / together
            yield {"contender": RANK, "clients": clients, **percentiles(seconds), "queries_per_second": rate}

    def start_rows(self) -> Iterator[Row]:
        """Times the command from its start to its first answer, with a cold and a warm cache."""
        if not self._options.starts:
            return
        cold, *warm = (self._start() for _ in range(self._options.starts + 1))
        for name, seconds in ((COLD, [cold]), (WARM, warm)):
            yield {"contender": name, "clients": 1, "seconds": spread(seconds)}

    def _start(self) -> float:
        command = [sys.executable, "-m", "uwe_jax", "rank", "--index", str(self._folder / "space"), "--json"]
        command += ["--model", f"{self._folder / 'encoder'}:{self._options.scorer}"]
        command += ["--top-k", str(self._options.top_k), self._text(6)]
        inherited = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
        environment = inherited | {"UWE_JAX_CACHE": str(self._folder / "cache")}
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            answer = process.stdout.readline()
            seconds = time.perf_counter() - started
            _, stderr = process.communicate()
        if process.returncode or not answer:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {stderr.decode()}")
        return seconds


def run(options: RankingOptions) -> Outcome:
    """Measures single queries, concurrent clients, and starts of the command."""
    about = facts("float32")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="uwe_jax_rank_") as temporary:
        LOG.info(f"Making up a {options.encoder} encoder and {options.targets:,} targets")
        bench = _Bench(options, Path(temporary))
        for tokens in options.query_tokens:
            LOG.info(f"Ranking a query of {tokens} tokens")
            rows += bench.single_rows(tokens)
        LOG.info(f"Ranking {options.requests:,} queries of several clients")
        rows += bench.crowd_rows()
        LOG.info("Starting the command")
        rows += bench.start_rows()
    notes = [
        f"Single queries: median and range of {options.runs} runs, taken in turn, from a query's text to ids, "
        "texts and scores of its hits. The bare forward pass and the bare product have exactly the query's tokens; "
        "their operands and results stay on the device; / bare divides by the sum of both.",
        f"Clients: {options.requests:,} queries as long as ESCO's occupations, in one process; each client asks its "
        "next as soon as it has its answer, without batching.",
    ]
    if options.starts:
        notes.append(
            "Command: `uwe-jax rank` from its start to its first answer, once with an empty cache folder and "
            f"{options.starts} times with a warm one."
        )
    title = f"Ranking {options.targets:,} targets with {options.encoder}, {options.scorer}, top {options.top_k}"
    return Outcome(title, about, options.settings(), LABELS, COLUMNS, rows, notes)
