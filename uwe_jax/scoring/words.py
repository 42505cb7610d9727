"""The lexical part of a score: words that a query and a name have in common, whatever the model makes of them.

    s'(q, n) = s(q, n) + w l(q, n)

where l is the cosine of TF-IDF vectors, between 0 and 1, for a query of at least `LEAST_WORDS` words, and 0 for shorter
ones: a sentence names the skill among words of its own, while a title is met as a whole (docs/results.md). The weight w
is on the scale of s for all queries, so a score needs no others to be computed, and its parts add up. scikit-learn is
imported where it is used: it takes a second.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float

LEAST_WORDS = 7  # of a query
_WORD = re.compile(r"\w+")


class Words:
    """TF-IDF vectors of n names over lower-cased words, with document frequencies of these names.

    >>> Words(["code code", "Java", "nurse"]).scores(["JAVA! JAVA, or Java: Java, JAVA. Java?", "java"]).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def __init__(self, names: Sequence[str]):
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectoriser = TfidfVectorizer(token_pattern=_WORD.pattern, dtype=np.float32)
        try:
            self._vectoriser.fit(names)
        except ValueError:  # of scikit-learn, where no name has a word
            self._vectoriser.fit(["a"])
        self._names = self._vectoriser.transform(names).T.tocsr()

    def part(self, names: slice) -> Words:
        """Returns the vectors of some of the names, with document frequencies of all."""
        few = copy.copy(self)
        few._names = self._names[:, names]
        return few

    def scores(self, queries: Sequence[str]) -> Float[np.ndarray, "q n"]:
        """Returns l of every query with every name; 0 where they have no word in common, or the query is short."""
        found: np.ndarray = (self._vectoriser.transform(queries) @ self._names).toarray()
        found[[not _is_long(query) for query in queries]] = 0
        return found

    def parts(self, query: str, name: str) -> dict[str, float]:
        """Returns what each word in common adds to l of a query and a name.

        >>> parts = Words(["java code", "Java", "nurse"]).parts("You are coding in Java, or Java code", "java code")
        >>> {word: round(part, 2) for word, part in parts.items()}
        {'code': 0.44, 'java': 0.51}
        """
        if not _is_long(query):
            return {}
        vectors = self._vectoriser.transform([query, name])
        product = vectors[[0]].multiply(vectors[[1]]).tocoo()
        return {str(self._terms[term]): float(part) for term, part in zip(product.col, product.data, strict=True)}

    @cached_property
    def _terms(self) -> np.ndarray:
        terms: np.ndarray = self._vectoriser.get_feature_names_out()
        return terms


def _is_long(query: str) -> bool:
    return len(_WORD.findall(query)) >= LEAST_WORDS
