"""Packing of texts into rows: nothing lost, nothing twice, little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwe_jax.data.packing import most_rows, pack
from uwe_jax.studies.benchmarks import synthetic


def plain(lengths, length):
    """Best fit, longest first, by a search through all rows."""
    rows, starts = [], [0] * len(lengths)
    for text in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        if not lengths[text]:
            continue
        fitting = [row for row, used in enumerate(rows) if used + lengths[text] <= length]
        if fitting:
            row = max(fitting, key=lambda row: rows[row])
        else:
            row = len(rows)
            rows.append(0)
        starts[text] = row * length + rows[row]
        rows[row] += lengths[text]
    return sorted(rows), starts


@given(st.integers(1, 40), st.data())
def test_every_text_has_a_place_of_its_own_in_one_row(length, data):
    lengths = np.array(data.draw(st.lists(st.integers(0, length), max_size=60)), np.int64)
    packing = pack(lengths, length)
    places = [np.arange(start, start + n) for start, n in zip(packing.starts, lengths, strict=True)]
    places = np.concatenate([np.arange(0), *places])
    assert len(np.unique(places)) == lengths.sum()
    real = lengths > 0
    rows = packing.starts[real] // length
    np.testing.assert_array_equal(rows, (packing.starts + lengths - 1)[real] // length)
    used = np.bincount(rows, lengths[real], len(packing.rows))
    assert packing.rows == [length] * len(used)
    expected, _ = plain(lengths.tolist(), length)
    assert sorted(used.tolist()) == expected
    assert packing.rows == pack(lengths, length).rows  # a pure function

    shorter = np.minimum(lengths, data.draw(st.integers(0, length)))
    assert len(pack(shorter, length).rows) <= most_rows(lengths, length)
    assert len(expected) <= most_rows(lengths, length) <= max(len(lengths), 0)


@pytest.mark.parametrize("texts", [64, 512])
@pytest.mark.parametrize("kinds", [("skill", "job", "vacancy", "alias"), ("skill", "alias"), ("skill", "job")])
def test_rows_of_real_lengths_are_full(texts, kinds, rng):
    longest = max(len(synthetic.BY_KIND[kind]) for kind in kinds)
    lengths = np.concatenate([synthetic.draw(synthetic.BY_KIND[kind], texts, rng) for kind in kinds])
    lengths = np.minimum(lengths, 64)
    length = min(64, -(-longest // 8) * 8)
    assert lengths.sum() / (len(pack(lengths, length).rows) * length) > 0.95


def test_rows_of_random_lengths_are_full(rng):
    for length in (24, 64, 250):
        lengths = rng.integers(3, length // 2, 256)
        assert lengths.sum() / (len(pack(lengths, length).rows) * length) > 0.95


@given(st.data())
def test_a_new_row_has_the_least_length_that_holds_its_first_text(data):
    lengths = np.array(data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=60)), np.int64)
    packing = pack(lengths, 8, 12, 40)
    ends = np.cumsum(packing.rows)
    places = np.concatenate([np.arange(start, start + n) for start, n in zip(packing.starts, lengths, strict=True)])
    assert len(np.unique(places)) == lengths.sum()
    row = np.searchsorted(ends, packing.starts, side="right")
    assert (packing.starts + lengths <= ends[row]).all()
    for number, size in enumerate(packing.rows):
        first = lengths[row == number].max()
        assert size == next(n for n in (8, 12, 40) if n >= first)
    assert packing.rows == sorted(packing.rows, reverse=True)
