"""Token tables: the tokeniser's own ids, kept and cached."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from graphs import build_graph_set
from hypothesis import given
from hypothesis import strategies as st
from test_batches import plain_row
from tiny_encoder import write_tiny_encoder
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from uwe_jax import load
from uwe_jax.commands.train import train
from uwe_jax.config import Config, LengthSettings
from uwe_jax.data import tokeniser_file
from uwe_jax.data.graph import Edge
from uwe_jax.data.tokens import SpecialTokens, Tokeniser, TokenTable
from uwe_jax.models.families.registry import FAMILIES
from uwe_jax.runtime.config_file import read_command_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.training.node_tokens import tokenise_nodes

read_config = functools.partial(read_command_line, settings=Config, command="train")

TEXTS = ["nurse care for patients", "", "write  code", "zzz unknown Nurse", "code " * 40]


@pytest.mark.parametrize("architecture", FAMILIES)
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
    assert table.lengths.max() == (44 if architecture in ("roberta", "modernbert") else 42)  # bytes have the last space


@pytest.mark.parametrize("architecture", FAMILIES)
def test_texts_with_unknown_tokens_are_counted(tmp_path, architecture):
    tokeniser = Tokeniser(write_tiny_encoder(tmp_path / architecture, architecture), tmp_path / "cache")
    texts = ["write code", "", "\u770b\u8b77\u5e2b", "write \u8b77", "nurse"]
    counts = tokeniser.truncation(texts, 12)
    if architecture in ("roberta", "modernbert"):  # of bytes
        assert (counts.unknown, counts.unknown_notes()) == (0, [])
        return
    assert (counts.texts, counts.unknown, counts.truncated) == (5, 2, 0)
    assert counts == tokeniser.truncation_of(tokeniser.table(texts, label="texts"), texts, 12)
    (note,) = (counts + tokeniser.truncation(["code"] * 3, 12)).unknown_notes("target")
    assert note.startswith("2 of 8 targets (25.0 %) have tokens that the encoder's tokeniser does not know")
    assert "such as '\u770b\u8b77\u5e2b'." in note
    if architecture == "bert":
        assert ", 1 of them no other," in note
    # Read from the cache, the tokeniser counts the same.
    assert Tokeniser(tmp_path / architecture, tmp_path / "cache").truncation(texts, 12) == counts


def test_texts_of_the_graphs_with_unknown_tokens_are_reported_once(tmp_path, caplog):
    tokeniser = Tokeniser(write_tiny_encoder(tmp_path / "encoder"), tmp_path / "cache")
    job = [Edge("", "nurse", "", "code"), Edge("", "\u770b\u8b77\u5e2b", "", "write code")]
    graphs = build_graph_set({"job": job, "alias": [Edge("", "nurse", "", "\u5e2b code")]})
    tokenise_nodes(graphs, tokeniser, LengthSettings())
    (said,) = [each for each in caplog.messages if "does not know" in each]
    assert said.startswith("2 of 5 graph texts (40.0 %) have tokens")


few = st.lists(st.integers(1000, 1009), max_size=2)


@given(st.lists(st.lists(st.integers(1, 999), max_size=9), min_size=1, max_size=6), few, few, st.data())
def test_rows_and_tokens_equal_a_plain_loop(texts, before, after, data):
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
    token_ids, mask = table.rows(own, length)
    assert (token_ids.dtype, mask.dtype) == (np.int32, bool)
    assert token_ids.shape == mask.shape == (len(drawn), length)
    assert token_ids.tolist() == [row for row, _ in alone]
    assert mask.tolist() == [row for _, row in alone]
    for spans, expected in (
        (table.spans(own, length), alone),
        (table.joined_spans(own, other, first.astype(bool), length), joined),
    ):
        assert spans.lengths.tolist() == [sum(real) for _, real in expected]
        tokens = table.tokens(spans)
        assert tokens.dtype == np.int32
        assert tokens.tolist() == [token for row, real in expected for token in row[: sum(real)]]


def test_the_joined_text_is_truncated_first():
    table = TokenTable(np.arange(1, 10, dtype=np.int32), np.array([0, 3, 9]), SpecialTokens((90,), (91, 92), 0))
    own, other, first = (
        np.array([0, 0, 1, -1, 0]),
        np.array([1, 1, 0, 1, -1]),
        np.array([True, False, True, True, True]),
    )
    spans = table.joined_spans(own, other, first, 8)
    assert [each.tolist() for each in np.split(table.tokens(spans), np.cumsum(spans.lengths))] == [
        [90, 4, 5, 1, 2, 3, 91, 92],
        [90, 1, 2, 3, 4, 5, 91, 92],
        [90, 4, 5, 6, 7, 8, 91, 92],
        [],
        [90, 1, 2, 3, 91, 92],
        [],
    ]


def test_a_second_run_reads_the_cache_and_re_creates_a_damaged_one(tmp_path, monkeypatch):
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


def write(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def change(**values):
    """Replaces parts of tokenizer.json."""
    return lambda folder: rewrite(folder / "tokenizer.json", values)


def rewrite(path, values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


DEEP = b"[" * 100_000  # deeper than Python recurses; refused, not followed


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: write("tokenizer.json", (folder / "tokenizer.json").read_bytes()[:900])(folder), "JSONDecode"),
        (write("tokenizer.json", DEEP), "RecursionError"),
        (write("tokenizer.json", b"[]"), "TypeError"),
        (write("tokenizer.json", b"{}"), "KeyError: 'added_tokens'"),
        (write("tokenizer.json", b"3"), "AttributeError"),
        (change(model=None), "Exception: data did not match any variant"),
        (change(added_tokens=[3]), "AttributeError"),
        (write("tokenizer_config.json", b"[]"), "AttributeError"),
        (write("tokenizer_config.json", b'{"tokenizer_class": 3}'), "AttributeError"),
        (write("tokenizer_config.json", b'{"tokenizer_class": "PreTrainedTokenizerFast"}'), "it has no padding token"),
        (write("special_tokens_map.json", b"[]"), "AttributeError"),
    ],
)
def test_a_damaged_tokeniser_is_refused_with_its_folder_and_reason(tmp_path, damage, message):
    folder = write_tiny_encoder(tmp_path / "encoder")
    damage(folder)
    with pytest.raises(UserError, match=rf"^No usable tokeniser in {folder}: .*{message}"):
        Tokeniser(folder, tmp_path / "cache")


def test_a_tokeniser_file_that_may_not_be_read_or_is_too_large_is_refused(tmp_path, monkeypatch):
    folder = write_tiny_encoder(tmp_path / "encoder")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: (path / "x").open())  # as the disk answers: it is no folder
        with pytest.raises(UserError, match=r"No usable tokeniser in .*: NotADirectoryError"):
            Tokeniser(folder, tmp_path / "cache")
    monkeypatch.setattr(tokeniser_file, "_MOST_BYTES", 1000)
    with pytest.raises(UserError, match=r"tokenizer\.json has [\d,]+ bytes; at most 1,000 are read"):
        Tokeniser(folder, tmp_path / "cache")


def add_token(folder) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["kubernetes"])
    tokenizer.save(str(folder / "tokenizer.json"))


def vocabulary_of(folder) -> int:
    return json.loads((folder / "config.json").read_text())["vocab_size"]


@pytest.mark.parametrize("kept", [False, True])
def test_ids_beyond_the_embedding_are_refused_with_both_numbers(tmp_path, kept):
    folder = write_tiny_encoder(tmp_path / "encoder")
    size = vocabulary_of(folder)
    add_token(folder)
    if kept:
        Tokeniser(folder, tmp_path / "cache")
    named = rf"{size + 1:,} entries, .* embeddings for {size:,} .*: 1 id, such as {size:,} of 'kubernetes'"
    with pytest.raises(UserError, match=named):
        Tokeniser(folder, tmp_path / "cache", size)
    assert Tokeniser(folder, tmp_path / "cache", size + 1).special.count == 2


def test_vocabulary_entries_with_wrong_ids_are_refused(tmp_path, monkeypatch):
    folder = write_tiny_encoder(tmp_path / "encoder")
    path = folder / "tokenizer.json"
    model = json.loads(path.read_text())["model"]
    rewrite(path, {"model": model | {"vocab": model["vocab"] | {"nurse": 9_999}}})
    with pytest.raises(UserError, match=r"without one: 1 id, such as 9,999 of 'nurse'"):
        Tokeniser(folder, tmp_path / "cache", vocabulary_of(folder))

    monkeypatch.setattr(tokeniser_file, "_MOST_IDS", 5_000)
    with pytest.raises(UserError, match=r"No usable tokeniser in .*: its highest id is 9,999; at most 5,000 is read"):
        Tokeniser(folder, tmp_path / "another")


@pytest.mark.parametrize("use", [load, lambda folder: load(f"{folder}:soft")])
def test_a_model_whose_tokeniser_is_larger_than_its_encoder_is_not_loaded(tmp_path, monkeypatch, use):
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path / "cache"))
    folder = write_tiny_encoder(tmp_path / "encoder")
    add_token(folder)
    with pytest.raises(UserError, match="without one: 1 id"):
        use(folder)


def test_training_refuses_a_tokeniser_that_is_larger_than_its_encoder(tmp_path, small_run):
    folder = write_tiny_encoder(tmp_path / "encoder")
    add_token(folder)
    with pytest.raises(UserError, match="without one: 1 id"):
        train(read_config([*small_run, f"--config.encoder.name={folder}"]))
