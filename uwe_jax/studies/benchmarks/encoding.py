"""`benchmark encoding`: lists of texts to token embeddings, packed, padded and by sentence-transformers."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from uwe_jax.models.loaded import LoadedModel
from uwe_jax.retrieval.embedding import Embedder
from uwe_jax.retrieval.loading import load
from uwe_jax.runtime.settings import all_within, one_of, within
from uwe_jax.scoring.softmax import TINY
from uwe_jax.studies.benchmarks import outcome, synthetic, torch_peers
from uwe_jax.studies.benchmarks.encoders import ENCODERS, text_of, write_model
from uwe_jax.studies.benchmarks.measure import interleaved
from uwe_jax.studies.benchmarks.outcome import BenchmarkOptions, Column, Outcome, Row, facts

LOG = logging.getLogger(__name__)
PACKED, PADDED, PEER = "uwe_jax, packed", "uwe_jax, padded", "sentence-transformers"
_BATCH = 64  # texts
_COMPARED = 256

LABELS = (Column("texts", "texts"), Column("contender", "contender"))
COLUMNS = (
    Column("ms (min..max)", "seconds", outcome.milliseconds),
    Column("x as fast\nas padded", "speed_to_padded", outcome.times),
    Column("x as fast\nas s-t", "speed_to_peer", outcome.times),
    Column("by the\nleast", "least_speed_to_peer", outcome.times),
    Column("texts\n/s", "texts_per_second", outcome.scaled),
    Column("tokens\n/s", "tokens_per_second", outcome.scaled),
)


@dataclass(frozen=True)
class EncodingOptions(BenchmarkOptions):
    """Options of `benchmark encoding`. Texts are as long as ESCO's skills and SkillSkape's vacancy sentences."""

    encoder: str = "minilm"
    skills: int = 13896  # texts of the first list; 0 leaves it out
    sentences: int = 1191  # texts of the second list; 0 leaves it out
    runs: int = 5  # timed runs of every contender
    peers: bool = True  # compare with sentence-transformers where it is installed

    def __post_init__(self) -> None:
        one_of("--encoder", self.encoder, tuple(ENCODERS))
        all_within(self, "--", "skills sentences seed", 0)
        within("--skills + --sentences", self.skills + self.sentences, 1)
        within("--runs", self.runs, 1)


class Padded:
    """Encodes texts of similar length together, each in a row padded to the batch's longest, as one would at first."""

    def __init__(self, loaded: LoadedModel):
        self._loaded, self._params = loaded, jax.device_put(loaded.params)
        self._encode = jax.jit(lambda params, *rows: loaded.model.encode(params, *rows).embeddings)

    def __call__(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns token embeddings [tokens, d] of each text, in their order."""
        limit = self._loaded.max_tokens
        table = self._loaded.tokeniser.tokenise(texts)
        lengths = np.minimum(table.lengths, limit)
        order = np.argsort(lengths, kind="stable")
        found: list[np.ndarray] = [np.empty(0)] * len(texts)
        for start in range(0, len(order), _BATCH):
            members = order[start : start + _BATCH]
            # Lengths rounded up and the last batch filled, so that few programs are compiled.
            filled = np.pad(members, (0, _BATCH - len(members)), constant_values=-1)
            token_ids, mask = table.rows(filled, min(limit, -(-int(lengths[members[-1]]) // 8) * 8))
            for k, rows in zip(members, np.asarray(self._encode(self._params, token_ids, mask)), strict=False):
                found[k] = rows[: lengths[k]]
        return found


def _peer(folder: Path, device: str, max_tokens: int) -> Callable[[Sequence[str]], np.ndarray]:
    from sentence_transformers import SentenceTransformer

    model: Any = SentenceTransformer(str(folder), device=device)
    model.max_seq_length = max_tokens
    return lambda texts: model.encode(list(texts), batch_size=_BATCH, show_progress_bar=False)


def _rows(
    name: str,
    texts: Sequence[str],
    contenders: dict[str, Callable[[Sequence[str]], object]],
    embed: Embedder,
    runs: int,
) -> Iterator[Row]:
    """Times every contender on one list of texts."""
    LOG.info(f"Encoding {len(texts):,} {name} {runs} times with each of {', '.join(contenders)}")
    tokens, some = len(embed(texts).flat), texts[:_COMPARED]
    times = interleaved({key: partial(encode, texts) for key, encode in contenders.items()}, runs)
    for key, seconds in times.items():
        row = {"texts": f"{len(texts):,} {name}", "contender": key, "seconds": seconds, "tokens": tokens}
        row["texts_per_second"] = len(texts) / seconds["median"]
        row["tokens_per_second"] = tokens / seconds["median"]
        row["speed_to_padded"] = times[PADDED]["median"] / seconds["median"]
        if PEER in times:
            row["speed_to_peer"] = times[PEER]["median"] / seconds["median"]
            row["least_speed_to_peer"] = times[PEER]["low"] / seconds["low"]
        if key == PEER:
            means: Any = contenders[PEER](some)
            units = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), TINY)
            row["difference"] = float(np.abs(units - embed.unit_means(some)).max())
        yield row


def run(options: EncodingOptions) -> Outcome:
    """Measures both lists of texts."""
    about = facts("float32")
    device, about_peers = torch_peers.choose_device(options.peers, jax.default_backend())
    if device and importlib.util.find_spec("sentence_transformers") is None:
        device, about_peers = None, "sentence-transformers was left out: it is not installed."
    config, rng = ENCODERS[options.encoder], np.random.default_rng(options.seed)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="uwe_jax_encoding_") as temporary:
        folder = Path(temporary) / "encoder"
        write_model(config, folder, options.seed)
        loaded = load(f"{folder}:mean_pool", cache_dir=Path(temporary) / "cache").loaded
        embed = Embedder(loaded)
        with torch_peers.equal_terms(tf32=True) if device else contextlib.nullcontext():
            contenders: dict[str, Callable[[Sequence[str]], object]] = {PACKED: embed, PADDED: Padded(loaded)}
            if device:
                contenders[PEER] = _peer(folder, device, loaded.max_tokens)
            for name, count, histogram in (
                ("skills", options.skills, synthetic.SKILLS),
                ("sentences", options.sentences, synthetic.VACANCIES),
            ):
                if count:
                    lengths = synthetic.draw(histogram, count, rng).tolist()
                    texts = [text_of(tokens, rng, config) for tokens in lengths]
                    rows += _rows(name, texts, contenders, embed, options.runs)
    differences = [row["difference"] for row in rows if "difference" in row]
    notes = [
        f"Median and range of {options.runs} runs, taken in turn, from texts to embeddings in host memory, of all "
        f"tokens in ours, of whole texts in sentence-transformers'. Texts have at most {loaded.max_tokens} tokens; "
        "tokens/s counts real ones.",
        f"Padded: {_BATCH} texts of similar length at once, padded to a multiple of 8 tokens. sentence-transformers "
        f"takes {_BATCH} of similar length at once as well, padded to the longest. By the least: the ratio of the "
        "fastest runs.",
        about_peers
        + (f" Its embeddings at length 1 differ from ours by at most {max(differences):.1e}." if differences else ""),
    ]
    title = f"Encoding texts with {options.encoder}"
    return Outcome(title, about, options.settings(), LABELS, COLUMNS, rows, notes)
