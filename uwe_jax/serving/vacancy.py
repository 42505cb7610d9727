"""From the text of a vacancy to its skills: its sentences are ranked one by one, and what they find is gathered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.sources.vacancies.cleaning import plain_text
from uwe_jax.sources.vacancies.sentences import cut_sentences

_LETTER = re.compile(r"[^\W\d_]")


class Found(NamedTuple):
    """A skill of a vacancy.

    Attributes:
      hit: with the score of the sentence that supports it best.
      sentence: position of that sentence.
      support: number of sentences among whose best it is.
    """

    hit: Hit
    sentence: int
    support: int


def vacancy_sentences(text: str) -> list[str]:
    """The sentences of a vacancy in plain text or HTML, each once, in its order.

    Headings, which end in a colon, and what has no letter are left out. One word counts: lists of skills have such.

    >>> vacancy_sentences("You have:\\n- Python\\n- R&D experience\\n2024\\nPython")
    ['Python', 'R&D experience']
    """
    found = cut_sentences(plain_text(text))
    return list(dict.fromkeys(each for each in found if not each.endswith(":") and _LETTER.search(each)))


def gather(hits: Sequence[Sequence[Hit]], top_k: int) -> list[Found]:
    """The best targets of a vacancy: each with its best sentence, best first.

    Args:
      hits: of every sentence, best first.
      top_k: at most so many.

    >>> one, two = Hit("1", "welding", 0.5), Hit("2", "drilling", 0.4)
    >>> [(found.hit.text, found.sentence, found.support) for found in gather([[two], [one, two]], 5)]
    [('welding', 1, 1), ('drilling', 0, 2)]
    """
    best: dict[str, Found] = {}
    for sentence, row in enumerate(hits):
        for hit in row:
            before = best.get(hit.id)
            support = before.support + 1 if before else 1
            if before is None or hit.score > before.hit.score:
                best[hit.id] = Found(hit, sentence, support)
            else:
                best[hit.id] = before._replace(support=support)
    return sorted(best.values(), key=lambda found: -found.hit.score)[:top_k]
