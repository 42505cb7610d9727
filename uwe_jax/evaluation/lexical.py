"""Baseline rankers without a model: by words, by letters, and at random.

bm25s and scikit-learn are imported where they are used: together they take seconds, and bm25s starts JAX's devices.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csc_array

from uwe_jax.evaluation.ranker import Score
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.process_state import quiet


def words(text: str) -> list[str]:
    """Returns lower-cased runs of letters, digits and underscores.

    >>> words("Front-end developer (R/C++)")
    ['front', 'end', 'developer', 'r', 'c']
    """
    return re.findall(r"\w+", text.lower())


class Bm25:
    """Okapi BM25 over words as in Lucene (k1 1.5, b 0.75); repeated words of a query count repeatedly."""

    name = "bm25"
    description = "BM25 over lower-cased words"

    def index(self, targets: Sequence[str]) -> Score:
        """See `Ranker.index`. Raises UserError where no target has a word."""
        import bm25s
        from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(analyzer=words, dtype=np.float32)
        _fit(self.name, counter, targets)
        place = {word: int(column) for word, column in counter.vocabulary_.items()}
        corpus = [[place[word] for word in words(text)] for text in targets]
        with quiet(bm25s=logging.WARNING):  # it logs at debug level and enables that itself
            index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
            index.index((corpus, place), create_empty_token=False, show_progress=False)
        columns = (index.scores[part] for part in ("data", "indices", "indptr"))
        return _products(counter, csc_array(tuple(columns), shape=(len(targets), len(place))))


class TfIdf:
    """Cosine of TF-IDF vectors of words or of runs of 1 to 3 characters, with document frequencies of the targets."""

    def __init__(self, *, characters: bool = False):
        self.name = "tfidf_char" if characters else "tfidf"
        of = "1 to 3 lower-cased characters" if characters else "lower-cased words"
        self.description = f"cosine of TF-IDF over {of}"
        self._analysis = {"analyzer": "char", "ngram_range": (1, 3)} if characters else {"analyzer": words}

    def index(self, targets: Sequence[str]) -> Score:
        """See `Ranker.index`. Raises UserError where no target has a word, or a character."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectoriser = TfidfVectorizer(dtype=np.float32, **self._analysis)
        _fit(self.name, vectoriser, targets)
        return _products(vectoriser, vectoriser.transform(targets))


class Random:
    """Random scores from 0 to 1 that depend on the two texts alone, so they are the same in every run and chunk."""

    name = "random"
    description = "a hash of query and target"

    def index(self, targets: Sequence[str]) -> Score:
        """See `Ranker.index`."""
        of_targets = _hashes(targets, b"target")

        def score(queries: Sequence[str]) -> np.ndarray:
            return np.stack([_mixed(of_targets ^ each) for each in _hashes(queries, b"query")])

        return score


def _fit(name: str, vectoriser: Any, targets: Sequence[str]) -> None:
    try:
        vectoriser.fit(targets)
    except ValueError as error:  # of scikit-learn, for an empty vocabulary
        raise UserError(f"{name} finds nothing to compare in the {len(targets)} targets: {error}.") from error


def _products(vectoriser: Any, weights: Any) -> Score:
    """Scores by sparse products of the queries' vectors [q, terms] with the targets' weights [n, terms]."""
    columns = weights.T.tocsr()
    return lambda queries: (vectoriser.transform(queries) @ columns).toarray()


def _hashes(texts: Sequence[str], side: bytes) -> np.ndarray:
    """Hashes texts to uint64 [k], differently on each side, so that equal texts are a pair like any other."""
    digests = [hashlib.blake2b(text.encode(), digest_size=8, person=side).digest() for text in texts]
    return np.frombuffer(b"".join(digests), np.uint64)


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Returns numbers from 0 to 1 by the finaliser of splitmix64, which spreads similar hashes."""
    bits = (bits ^ (bits >> 30)) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> 27)) * np.uint64(0x94D049BB133111EB)
    return ((bits ^ (bits >> 31)) >> 40).astype(np.float32) * np.float32(2**-24)
