"""Reads grades of relevance, and stores them beside the relevant targets of each query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.ranking_metrics import positives
from uwe_jax.sources.notes import noted

MAX_GRADE = 255  # a byte; the gain 2^grade - 1 is exact only below 2^53, and finite below 2^1024
EXPECTED_GRADE = f"a whole number from 0 to {MAX_GRADE}"


def read_grade(value: Any) -> int | None:
    """Converts a grade, a number or its text; None for what is not a whole number, or above `MAX_GRADE`.

    >>> read_grade("2"), read_grade(" 3.0 "), read_grade(-1), read_grade("1.5"), read_grade("nan"), read_grade(256)
    (2, 3, -1, None, None, None)
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() and number <= MAX_GRADE and not isinstance(value, bool) else None


def grade_matrix(
    rows: Sequence[int], columns: Sequence[int], grades: Sequence[int], shape: tuple[int, int]
) -> tuple[csr_array, list[str]]:
    """Returns the matrix of the grades above 0, of repeated pairs the first one, and notes on what is left out.

    It holds a byte per relevant pair, and is of type bool where no grade is above 1.
    """
    _, first = np.unique(np.array(rows, np.int64) * shape[1] + np.array(columns, np.int64), return_index=True)
    places = (np.array(each, int)[first] for each in (rows, columns))
    matrix = csr_array((np.array(grades, np.uint8)[first], tuple(places)), shape=shape)
    irrelevant = int(np.count_nonzero(matrix.data == 0))
    matrix.eliminate_zeros()
    repeated = noted(len(rows) - len(first), "repeated judgement", "left out, the first one counts")
    notes = [*repeated, *noted(irrelevant, "judgement", "that a target is not relevant")]
    return matrix if matrix.nnz and matrix.data.max() > 1 else matrix.astype(bool), notes


def notes_on_grades(relevant: csr_array, threshold: int, title: str) -> list[str]:
    """Returns notes on the grades of a task; UserError if binary metrics have nothing to count."""
    values, counts = np.unique(relevant.data, return_counts=True)
    if (highest := int(values[-1])) < threshold:
        raise UserError(
            f"{title} has a threshold of grade {threshold}, and its highest grade is {highest}: binary metrics have no "
            f"relevant target. Expected a threshold from 1 to {highest}."
        )
    if relevant.dtype == bool:
        return []
    grades = ", ".join(f"{count:,} of grade {value}" for value, count in zip(values, counts, strict=True))
    below = relevant.shape[0] - np.count_nonzero(positives(relevant.indptr, relevant.data, threshold).queries)
    return [
        f"graded relevance: {grades}; binary metrics count grades from {threshold} on",
        *noted(int(below), "query", f"without a target of grade {threshold}, which binary metrics leave out"),
    ]
