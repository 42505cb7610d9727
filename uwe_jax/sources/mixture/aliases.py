"""Skills of several sources that are one: a skill whose text is an alias of another one joins it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def joined_by_alias(skills: Sequence[str], left: np.ndarray, aliases: Sequence[str], right: np.ndarray) -> np.ndarray:
    """Which skill each skill becomes, int32 [skills].

    A skill with aliases stays as it is. Any other one becomes the skill whose text or alias it has, without regard to
    case, where exactly one skill has it: a word that two skills go by says neither.

    >>> joined_by_alias(["Python", "Python (programming)", "python"], np.array([1]), ["Python"], np.array([0])).tolist()
    [1, 1, 1]

    Args:
      skills: texts.
      left: int [e], positions of skills.
      aliases: texts.
      right: int [e], positions of the alias that each of `left` has.
    """
    named = np.unique(left)
    owners: dict[str, set[int]] = {}
    for skill in named.tolist():
        owners.setdefault(skills[skill].casefold(), set()).add(skill)
    folded = [text.casefold() for text in aliases]
    for skill, alias in zip(left.tolist(), right.tolist(), strict=True):
        owners.setdefault(folded[alias], set()).add(skill)
    becomes = np.arange(len(skills), dtype=np.int32)
    has_aliases = np.zeros(len(skills), bool)
    has_aliases[named] = True
    for skill in np.flatnonzero(~has_aliases).tolist():
        found = owners.get(skills[skill].casefold(), ())
        if len(found) == 1:
            (becomes[skill],) = found
    return becomes
