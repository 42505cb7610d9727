"""Token tables: the tokeniser's own ids, kept and cached."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_batches import plain_row
from tiny_encoder import write_tiny_encoder
from transformers import AutoTokenizer

from uwe_jax.data.tokens import SpecialTokens, Tokeniser, TokenTable
from uwe_jax.runtime.errors import UserError

TEXTS = ["nurse care for patients", "", "write  code", "zzz unknown Nurse", "code " * 40]


@pytest.mark.parametrize("architecture", ["bert", "mpnet"])
def test_rows_equal_the_tokeniser_with_padding_and_truncation(tmp_path, architecture):
    folder = write_tiny_encoder(tmp_path / "encoder", architecture=architecture)
    table = Tokeniser(folder, tmp_path / "cache").table(TEXTS, label="texts")
    expected = AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding="max_length", truncation=True, max_length=12, return_tensors="np"
    )
    token_ids, mask = table.rows(np.arange(len(TEXTS)), 12)
    np.testing.assert_array_equal(token_ids, expected["input_ids"])
    np.testing.assert_array_equal(mask, expected["attention_mask"].astype(bool))
    assert table.lengths.tolist()[1] == 2  # an empty text keeps its special tokens
    assert table.lengths.max() == 42


few = st.lists(st.integers(1000, 1009), max_size=2)


@given(st.lists(st.lists(st.integers(1, 999), max_size=9), min_size=1, max_size=6), few, few, st.data())
def test_rows_equal_a_plain_loop(texts, before, after, data):
    special = SpecialTokens(tuple(before), tuple(after), pad=7)
    flat = np.array([token for text in texts for token in text], np.int32)
    table = TokenTable(flat, np.cumsum([0, *map(len, texts)]), special)
    length = special.count + data.draw(st.integers(0, 14), label="room")
    index = st.integers(-1, len(texts) - 1)
    drawn = data.draw(st.lists(st.tuples(index, index, st.booleans()), max_size=8), label="rows")
    own, other, first = np.array(drawn, np.int64).reshape(-1, 3).T
    text = dict(enumerate(texts)).get  # none for -1

    alone = [plain_row(text(a), None, False, length, special) for a, _, _ in drawn]
    joined = [plain_row(text(a), text(b), other_first, length, special) for a, b, other_first in drawn]
    for made, expected in (
        (table.rows(own, length), alone),
        (table.joined_rows(own, other, first.astype(bool), length), joined),
    ):
        token_ids, mask = made
        assert (token_ids.dtype, mask.dtype) == (np.int32, bool)
        assert token_ids.shape == mask.shape == (len(drawn), length)
        assert token_ids.tolist() == [row for row, _ in expected]
        assert mask.tolist() == [row for _, row in expected]


def test_what_does_not_fit_is_cut_from_what_is_joined_on():
    table = TokenTable(np.arange(1, 10, dtype=np.int32), np.array([0, 3, 9]), SpecialTokens((90,), (91, 92), 0))
    own, other, first = (
        np.array([0, 0, 1, -1, 0]),
        np.array([1, 1, 0, 1, -1]),
        np.array([True, False, True, True, True]),
    )
    token_ids, mask = table.joined_rows(own, other, first, 8)
    assert token_ids.tolist() == [
        [90, 4, 5, 1, 2, 3, 91, 92],
        [90, 1, 2, 3, 4, 5, 91, 92],
        [90, 4, 5, 6, 7, 8, 91, 92],
        [0] * 8,
        [90, 1, 2, 3, 91, 92, 0, 0],
    ]
    assert mask.sum(axis=1).tolist() == [8, 8, 8, 0, 6]


def test_a_second_run_reads_the_cache_and_a_damaged_one_is_made_anew(tmp_path, monkeypatch):
    folder = write_tiny_encoder(tmp_path / "encoder")
    first = Tokeniser(folder, tmp_path / "cache").table(TEXTS, label="texts")
    again = Tokeniser(folder, tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(again, "_ids", lambda _: pytest.fail("tokenised again"))
        np.testing.assert_array_equal(again.table(TEXTS, label="texts").flat, first.flat)
    (cached,) = (tmp_path / "cache").glob("*.npz")
    cached.write_bytes(cached.read_bytes()[:100])
    np.testing.assert_array_equal(again.table(TEXTS, label="texts").flat, first.flat)


def test_other_texts_and_other_tokenisers_have_their_own_cache(tmp_path):
    one = write_tiny_encoder(tmp_path / "one")
    two = write_tiny_encoder(tmp_path / "two", words=("code", "nurse"))
    for folder, texts in ((one, TEXTS), (one, TEXTS[:2]), (two, TEXTS)):
        Tokeniser(folder, tmp_path / "cache").table(texts, label="texts")
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 3


def test_a_folder_without_tokeniser_is_an_error(tmp_path):
    with pytest.raises(UserError, match="No usable tokeniser"):
        Tokeniser(tmp_path, tmp_path / "cache")
