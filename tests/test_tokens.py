"""Token tables: the tokeniser's own ids, kept and cached."""

import numpy as np
import pytest
from tiny_encoder import write_tiny_encoder
from transformers import AutoTokenizer

from uwe_jax.base.errors import UserError
from uwe_jax.data.tokens import Tokeniser

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


def test_a_second_run_reads_the_cache_and_a_damaged_one_is_made_anew(tmp_path, monkeypatch):
    folder = write_tiny_encoder(tmp_path / "encoder")
    first = Tokeniser(folder, tmp_path / "cache").table(TEXTS, label="texts")
    again = Tokeniser(folder, tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(again, "_ids", lambda _: pytest.fail("tokenised again"))
        np.testing.assert_array_equal(again.table(TEXTS, label="texts").flat, first.flat)
    (cached,) = (tmp_path / "cache").iterdir()
    cached.write_bytes(cached.read_bytes()[:100])
    np.testing.assert_array_equal(again.table(TEXTS, label="texts").flat, first.flat)


def test_other_texts_and_other_tokenisers_have_their_own_cache(tmp_path):
    one = write_tiny_encoder(tmp_path / "one")
    two = write_tiny_encoder(tmp_path / "two", words=("code", "nurse"))
    for folder, texts in ((one, TEXTS), (one, TEXTS[:2]), (two, TEXTS)):
        Tokeniser(folder, tmp_path / "cache").table(texts, label="texts")
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_a_folder_without_tokeniser_is_an_error(tmp_path):
    with pytest.raises(UserError, match="No usable tokeniser"):
        Tokeniser(tmp_path, tmp_path / "cache")
