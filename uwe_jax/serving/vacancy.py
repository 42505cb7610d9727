"""Skills of a vacancy: its sentences, and the best targets over all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.sources.vacancies.sentences import cut_sentences, plain_text

_LETTER = re.compile(r"[^\W\d_]")


class Found(NamedTuple):
    """A skill of a vacancy.

    Attributes:
      hit: with the score of the sentence that supports it best.
      sentence: position of that sentence.
      support: number of sentences that have it among their hits.
    """

    hit: Hit
    sentence: int
    support: int


def vacancy_sentences(text: str) -> list[str]:
    """Cuts a vacancy, plain text or HTML, into its distinct sentences.

    Headings, which end in a colon, and lines without a letter are left out; single words, as in lists of skills, count.

    >>> vacancy_sentences("You have:\\n- Python\\n- R&D experience\\n2024\\nPython")
    ['Python', 'R&D experience']
    """
    found = cut_sentences(plain_text(text))
    return list(dict.fromkeys(each for each in found if not each.endswith(":") and _LETTER.search(each)))


def gather(hits: Sequence[Sequence[Hit]], top_k: int) -> list[Found]:
    """Merges the hits of every sentence into the `top_k` best targets of the vacancy, best first.

    >>> one, two = Hit("1", "welding", 0.5), Hit("2", "drilling", 0.4)
    >>> [(found.hit.text, found.sentence, found.support) for found in gather([[two], [one, two]], 5)]
    [('welding', 1, 1), ('drilling', 0, 2)]
    """
    best: dict[str, Found] = {}
    for sentence, row in enumerate(hits):
        for hit in row:
            before = best.get(hit.id, Found(hit, sentence, 0))
            top = Found(hit, sentence, 0) if _key(hit) > _key(before.hit) else before
            best[hit.id] = top._replace(support=before.support + 1)
    return sorted(best.values(), key=lambda found: _key(found.hit), reverse=True)[:top_k]


def _key(hit: Hit) -> tuple[bool, float]:
    return hit.exact, hit.score
