"""The vectors of a guide: computed once for the texts of every node kind, and cached on disk."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from uwe_jax.config import EncoderSettings, GuideSettings, ScorerSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.guide import Guide
from uwe_jax.distributed import parallel
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.loading import PretrainedEncoder, load_model
from uwe_jax.models.uwe import UweModel
from uwe_jax.ranking.encode import TextEncoder
from uwe_jax.runtime import remote_cache
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically
from uwe_jax.runtime.locks import exclusive
from uwe_jax.runtime.progress import duration, progress
from uwe_jax.scoring.softmax import TINY

LOG = logging.getLogger(__name__)
_TEXTS_AT_ONCE = 4096  # whose token embeddings are in memory


def load_guide(settings: GuideSettings, graphs: GraphSet, encoder: PretrainedEncoder, cache: Path) -> Guide:
    """Returns the guide of a training, with a vector for the label of every node.

    Every process must call it: if one of them lacks the vectors, they share the work.

    Args:
      encoder: of the training, as pretrained: the guide unless the settings name another model.
      cache: folder of prepared data; vectors are kept in `guides`, by the texts and the model.

    Raises:
      UserError: the model cannot be loaded, or a text has no vector.
    """
    loaded = load_model(settings.name, cache_dir=cache) if settings.name else _before_training(encoder, cache)
    vectors = {kind: _vectors(loaded, kind, texts, cache) for kind, texts in graphs.texts.items()}
    return Guide(vectors, settings, loaded.fingerprint)


def _before_training(encoder: PretrainedEncoder, cache: Path) -> LoadedModel:
    model = UweModel.create(encoder.config, EncoderSettings(), ScorerSettings(kind="mean_pool"))
    params = model.initial_params(encoder.params)
    return LoadedModel("", encoder.provenance, model, params, encoder.folder, cache)


def _vectors(loaded: LoadedModel, kind: str, texts: Sequence[str], cache: Path) -> np.ndarray:
    """Returns vectors of texts, of length 1, float16 [n, d], memory-mapped."""
    digest = hashlib.sha256(f"{loaded.fingerprint} {loaded.max_tokens}".encode())
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    path = cache / "guides" / f"{digest.hexdigest()[:32]}.npy"
    # Several processes of one training encode together; of several trainings one encodes, and the others wait.
    alone = jax.process_count() == 1
    lock = exclusive(path.with_suffix(".lock"), f"encoding {kind} nodes for a guide", patience=math.inf)
    with lock if alone else contextlib.nullcontext():
        known = parallel.of_all_processes(_checksum(path, len(texts)))
        if min(known) < 0 or len(set(known)) > 1:
            started = time.perf_counter()
            buffer = io.BytesIO()
            np.save(buffer, _encoded(loaded, kind, texts))
            write_atomically(path, buffer.getvalue())
            remote_cache.keep(path)
            LOG.info(f"Encoded {len(texts):,} {kind} nodes for the guide in {duration(time.perf_counter() - started)}.")
        return np.load(path, mmap_mode="r")


def _checksum(path: Path, count: int) -> int:
    """Returns a number that two equal files share; -1 for a missing or damaged one, or of another number of texts."""
    if not remote_cache.find(path):
        return -1
    try:
        vectors = np.load(path, mmap_mode="r")
    except (ValueError, OSError, EOFError):  # damaged: it is written again
        return -1
    return zlib.crc32(np.ascontiguousarray(vectors)) & 0x7FFFFFFF if len(vectors) == count else -1


def _encoded(loaded: LoadedModel, kind: str, texts: Sequence[str]) -> np.ndarray:
    side = loaded.sides[0] if loaded.sides else None  # as queries: no node is a target alone
    encode = TextEncoder(side.model if side else loaded.model, loaded.texts_per_device, shared=True)
    params = parallel.replicate(loaded.params)
    given = [side.text(text) for text in texts] if side else texts
    table = loaded.tokeniser.table(given, label=f"{kind} nodes for the guide")
    parts = []
    blocks = range(0, len(texts), _TEXTS_AT_ONCE)
    for start in progress(
        blocks, label=f"Guide: encoding {kind} nodes", unit=f" x {_TEXTS_AT_ONCE}", total=len(blocks)
    ):
        tokens = encode(params, table, np.arange(start, min(start + _TEXTS_AT_ONCE, len(texts))), loaded.max_tokens)
        if not tokens.scorable.all():
            text = texts[start + int(tokens.scorable.argmin())]
            raise UserError(
                f"The guide {loaded.description} has no finite embedding of the {kind} node {text!r}, so it cannot say "
                "what is near it: its weights are damaged or do not match its tokeniser. Name another guide.name."
            )
        means = tokens.pooled().flat
        parts.append((means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), TINY)).astype(np.float16))
    return np.concatenate(parts)
