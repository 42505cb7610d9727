"""Indexes in memory and on disk: reading returns what was written, whatever happened in between."""

import errno
import hashlib
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import filelock
import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open

from uwe_jax.config import ScorerSettings
from uwe_jax.data.ragged import run_offsets
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.retrieval.store import folder as folders
from uwe_jax.retrieval.store import manifest as manifests
from uwe_jax.retrieval.store import quantise as formats
from uwe_jax.retrieval.store import writing
from uwe_jax.retrieval.store.folder import append, compact, load_index, remove, verify
from uwe_jax.retrieval.store.ids import target_ids
from uwe_jax.retrieval.store.quantise import DTYPES, quantise, restore
from uwe_jax.retrieval.store.searchable import Hit, Origin
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError

WIDTH = 8
SOFT = Origin("tiny", "0123456789abcdef", 64, ScorerSettings())


def random_tokens(number: int, seed: int = 0, least: int = 1) -> RaggedTokens:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(least, 6, number)
    lengths[:1] = 5  # so that spaces are compiled for few lengths
    return RaggedTokens(rng.standard_normal((lengths.sum(), WIDTH)).astype(np.float32), run_offsets(lengths))


def made(names: str, seed: int = 0, origin: Origin = SOFT, dtype: str = "float32") -> Index:
    """Builds an index with a target for every letter, which is its id."""
    return Index.from_tokens(random_tokens(len(names), seed), [f"text {n}" for n in names], list(names), origin, dtype)


def joined(*spaces: Index) -> Index:
    """Concatenates indexes, whose memory it shares."""
    first = spaces[0]
    return Index(first.origin, first.dtype, first.width, first.pooled, [part for each in spaces for part in each.parts])


def without(space: Index, ids: str) -> Index:
    """Returns an index without some targets, whose memory it shares."""
    parts = [part.without(set(ids)) for part in space.parts]
    return Index(space.origin, space.dtype, space.width, space.pooled, [part for part in parts if len(part)])


def rows(space: Index) -> list[tuple[str, str, bytes]]:
    tokens = space.tokens
    flat = [tokens.part(k, k + 1).flat.tobytes() for k in range(len(tokens))]
    return list(zip(space.ids, space.texts, flat, strict=True))


def segments(folder: Path) -> list[dict]:
    return json.loads((folder / "space.json").read_text())["segments"]


def edit(folder: Path, **values) -> None:
    """Changes a manifest and drops its checksum, as in the first versions."""
    path = folder / "space.json"
    content = json.loads(path.read_text()) | values
    content.pop("sha256", None)
    path.write_text(json.dumps(content))


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    """Skips fsync, which takes most of the time and matters only in a power cut."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def saved(tmp_path) -> Path:
    """An index of a to k without c: segments of 8 and 3 targets."""
    made("abcdefgh").save(tmp_path / "space")
    append(tmp_path / "space", made("ijk", 1))
    assert remove(tmp_path / "space", ["c"]) == 1
    return tmp_path / "space"


# In memory


def test_search_is_the_order_of_all_scores():
    targets, queries = random_tokens(8, 1), random_tokens(2, 2)
    space = Index.from_tokens(targets, [f"text {k}" for k in range(8)], None, SOFT, "float32")
    scorer = ScorerSettings(tau_a=0.2, learn_tau_a=True)
    scores = TargetSpace.build(targets, SOFT.scorer).scores(queries, scorer.temperatures)
    found = space.search(queries, 4, scorer)
    for hits, expected in zip(found, scores, strict=True):
        best = np.argsort(-expected, kind="stable")[:4]
        assert [hit.text for hit in hits] == [f"text {k}" for k in best]
        np.testing.assert_allclose([hit.score for hit in hits], expected[best], atol=1e-6)
    # Another temperature does not put the targets on the devices again.
    assert space.on_devices.all(scorer) is space.on_devices.all(SOFT.scorer)
    assert space.on_devices.all(scorer) is not space.on_devices.all(ScorerSettings(logits="dot"))


def test_equal_targets_come_in_their_order_and_top_k_ends_with_the_space():
    one = random_tokens(1)
    same = RaggedTokens(np.tile(one.flat, (4, 1)), run_offsets(np.tile(one.lengths, 4)))
    space = Index.from_tokens(same, ["same"] * 4, list("dbca"), SOFT)
    space = joined(without(space, "b"), Index.from_tokens(one, ["same"], ["b"], SOFT))
    hits, _ = space.search(random_tokens(2, 2), 100, SOFT.scorer)
    assert [hit.id for hit in hits] == list("dcab")
    assert isinstance(hits[0], Hit)
    assert isinstance(hits[0].score, float)


def test_a_space_without_targets_answers_nothing(tmp_path):
    space = without(without(made("ab"), "a"), "b")
    assert len(space) == 0
    assert space.search(random_tokens(2), 3, SOFT.scorer) == [[], []]
    space.save(tmp_path / "space")
    opened = load_index(tmp_path / "space")
    assert (len(opened), opened.tokens.width, list(opened.ids)) == (0, WIDTH, [])
    append(tmp_path / "space", made("xy"))
    assert rows(load_index(tmp_path / "space")) == rows(made("xy"))


def test_adding_and_removing_equal_rebuilding():
    whole, tokens = made("abcdef"), random_tokens(6)
    texts = list(whole.texts)
    first = Index.from_tokens(tokens.part(0, 2), texts[:2], list("ab"), SOFT, "float32")
    grown = joined(first, Index.from_tokens(tokens.part(2, 6), texts[2:], list("cdef"), SOFT, "float32"))
    assert rows(grown) == rows(whole)
    assert rows(without(grown, "be?")) == [row for row in rows(whole) if row[0] not in "be"]
    assert rows(grown) == rows(whole)  # what it was made from is as it was


def test_texts_are_lists_that_decode_what_is_asked_for():
    odd = ["", "d\u00e9j\u00e0", "\u4e16\u754c \U0001f600", "two words", "plain"]
    (part,) = Index.from_tokens(random_tokens(5), odd, None, SOFT).parts
    space = Index(SOFT, "float16", WIDTH, False, [part.without({odd[1]})])
    left = [odd[0], *odd[2:]]
    assert space.ids == space.texts == left
    assert list(space.texts) == left
    assert (space.texts[-1], space.texts[1:3], len(space.texts)) == (odd[-1], odd[2:4], 4)
    assert space.texts != left[:3]
    with pytest.raises(IndexError):
        space.texts[4]


@pytest.mark.parametrize(
    ("texts", "ids", "message"),
    [
        (["a", "b", "a"], None, "1 duplicate targets.*'a'.*its own id"),
        (["a", "b", "c"], ["1", "2", "1"], "1 duplicate ids.*'1'"),
        (["a", "b", "c"], ["1", "2"], "3 targets and 2 ids"),
        (["a", "b"], None, "2 targets and the token embeddings of 3"),
        (["a", "b", "c"], ["1", "2", "3\ud800"], r"'3.ud800' is not valid Unicode: character 2 is half of a pair"),
    ],
)
def test_every_target_has_one_unique_id(texts, ids, message):
    with pytest.raises(UserError, match=message):
        Index.from_tokens(random_tokens(3), texts, ids, SOFT)


def test_ids_are_strings():
    unchecked = inspect.unwrap(target_ids)  # as for those who do without the tests' type checks
    with pytest.raises(UserError, match="The id 0 is of type int; ids are strings: give '0'"):
        unchecked(["a", "b"], ["1", 0])


def test_duplicate_ids_are_named():
    names = [f"id {k}" for k in range(7)]
    with pytest.raises(UserError, match=r"7 duplicate targets.*'id 0'.*'id 4' and 2 more"):
        Index.from_tokens(random_tokens(14), names * 2, None, SOFT)
    space = made("ab")
    assert space.search(random_tokens(0), 3, SOFT.scorer) == []
    with pytest.raises(UserError, match="top_k is 0"):
        space.search(random_tokens(1), 0, SOFT.scorer)


# What is stored


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["soft", "mean_pool"])
def test_a_saved_index_is_opened(tmp_path, dtype, kind):
    origin = Origin("tiny", "0", 32, ScorerSettings(kind=kind, tau_a=0.21))
    space = Index.from_tokens(random_tokens(30, least=0), [f"text {k}" for k in range(30)], None, origin, dtype)
    space.save(tmp_path / "deep" / "space")
    opened = load_index(tmp_path / "deep" / "space")
    verify(tmp_path / "deep" / "space")
    assert (opened.origin, opened.dtype, opened.width, len(opened)) == (origin, dtype, WIDTH, 30)
    assert rows(opened) == rows(space)
    assert opened.tokens.flat.dtype == (np.float32 if dtype == "int8" else DTYPES[dtype])
    assert not opened.parts[0].segment.values.flags.owndata


def test_a_space_in_any_dtype_is_searched():
    queries = random_tokens(2, 2)
    (best, *_), _ = made("abcde").search(queries, 4, SOFT.scorer)
    for dtype, error in (("bfloat16", 1e-2), ("int8", 1e-2), ("float16", 1e-3)):
        (hit, *_), _ = made("abcde", dtype=dtype).search(queries, 4, SOFT.scorer)
        assert hit[:2] == best[:2]
        assert 0 < abs(hit.score - best.score) < error


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_are_stored_to_their_precision(dtype, monkeypatch, rng):
    flat = (rng.standard_normal((50, 24)) * rng.lognormal(0, 3, (50, 1))).astype(np.float32)
    flat[7] = 0
    values, scales = quantise(flat, dtype)
    found = restore(values, scales).astype(np.float32)
    if scales is not None:
        allowed = np.abs(flat).max(axis=1, keepdims=True) / 127 * 0.50001
        assert np.abs(values).max() == 127
    else:
        allowed = np.abs(flat) * float(ml_dtypes.finfo(DTYPES[dtype]).eps) / 2 + 1e-7
    assert (np.abs(found - flat) <= allowed).all()
    assert not found[7].any()
    monkeypatch.setattr(formats, "_ROWS", 7)
    for whole, chunked in zip((values, scales), quantise(flat, dtype), strict=True):
        np.testing.assert_array_equal(whole, chunked)


def test_embeddings_that_cannot_be_stored_are_refused():
    tokens = random_tokens(2)
    tokens.flat[1, 1] = 1e6
    Index.from_tokens(tokens, ["a", "b"], None, SOFT, "bfloat16")
    with pytest.raises(UserError, match=r"1e\+06, which is beyond float16"):
        Index.from_tokens(tokens, ["a", "b"], None, SOFT, "float16")
    tokens.flat[1, 1] = np.nan
    with pytest.raises(UserError, match="NaN or infinity"):
        Index.from_tokens(tokens, ["a", "b"], None, SOFT, "int8")
    with pytest.raises(UserError, match="dtype of an index is 'int4'; it must be one of 'float32'"):
        Index.from_tokens(tokens, ["a", "b"], None, SOFT, "int4")


def test_scorers_that_pool_targets_are_given_means_alone():
    pooled = Origin("tiny", "0", 64, ScorerSettings(kind="soft_pooled"))
    targets, queries = random_tokens(8), random_tokens(2, 1)
    space = Index.from_tokens(targets, [f"{k}" for k in range(8)], None, pooled, "float32")
    np.testing.assert_array_equal(space.tokens.flat, targets.pooled().flat)
    scores = TargetSpace.build(targets, pooled.scorer).scores(queries, pooled.scorer.temperatures)
    for hits, expected in zip(space.search(queries, 8, pooled.scorer), scores, strict=True):
        assert [hit.id for hit in hits] == [f"{k}" for k in np.argsort(-expected, kind="stable")]


def test_a_segment_is_a_safetensors_file(tmp_path):
    space = made("abc", dtype="int8")
    space.save(tmp_path / "space")
    (path,) = (tmp_path / "space" / "segments").iterdir()
    with safe_open(path, "np") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    np.testing.assert_array_equal(found["values"] * found["scales"][:, None], space.tokens.flat)
    np.testing.assert_array_equal(found["offsets"], space.tokens.offsets)
    assert found["texts"].tobytes() == b"text atext btext c"
    assert found["id_offsets"].tolist() == [0, 1, 2, 3]


# Changing a folder


def test_changes_of_a_folder_equal_those_in_memory(saved):
    memory = without(joined(made("abcdefgh"), made("ijk", 1)), "c")
    opened = load_index(saved)
    assert (rows(opened), len(segments(saved))) == (rows(memory), 2)
    queries = random_tokens(2, 2)
    assert opened.search(queries, 4, SOFT.scorer) == memory.search(queries, 4, SOFT.scorer)
    compact(saved)
    verify(saved)
    assert rows(load_index(saved)) == rows(memory)
    assert [each["targets"] for each in segments(saved)] == [10]
    assert len(list((saved / "segments").iterdir())) == 1
    assert rows(opened) == rows(memory)  # the files it maps are deleted, and there for those who opened them
    assert remove(saved, ["a", "a", "nobody"]) == 1
    assert remove(saved, "k") == 1
    assert rows(load_index(saved)) == rows(without(memory, "ak"))


def test_a_target_of_an_id_that_exists_is_replaced(saved):
    assert append(saved, made("bx", 9)) == 1
    opened = load_index(saved)
    assert list(opened.ids) == list("adefghijkbx")
    assert rows(opened)[-2:] == rows(made("bx", 9))
    assert json.loads((saved / "space.json").read_text())["targets"] == 11


def test_what_is_added_takes_the_dtype_of_the_folder(tmp_path):
    made("ab", dtype="int8").save(tmp_path / "space")
    append(tmp_path / "space", made("cd", 1, dtype="float16"))
    half = made("cd", 1, dtype="float16").tokens
    expected = Index.from_tokens(half, ["text c", "text d"], list("cd"), SOFT, "int8")
    assert rows(load_index(tmp_path / "space"))[2:] == rows(expected)


def test_a_space_that_grows_by_one_has_few_segments(tmp_path):
    made("a" * 0).save(tmp_path / "space")
    tokens = random_tokens(15)
    names = [f"t{k}" for k in range(15)]
    for k in range(15):
        append(tmp_path / "space", Index.from_tokens(tokens.part(k, k + 1), names[k : k + 1], None, SOFT, "float32"))
    sizes = [each["targets"] for each in segments(tmp_path / "space")]
    assert sum(sizes) == 15
    assert all(large > 2 * small for large, small in itertools.pairwise(sizes))
    assert rows(load_index(tmp_path / "space")) == rows(Index.from_tokens(tokens, names, None, SOFT, "float32"))


def test_a_segment_of_which_nothing_is_left_is_dropped(saved):
    remove(saved, list("ijk"))
    assert [each["targets"] for each in segments(saved)] == [8]
    assert len(list((saved / "segments").iterdir())) == 2  # until the next one writes
    remove(saved, "a")
    assert len(list((saved / "segments").iterdir())) == 1


def test_saving_replaces_a_space_also_the_one_that_it_was_opened_from(saved):
    opened = load_index(saved)
    before = rows(opened)
    without(opened, "a").save(saved)
    assert rows(load_index(saved)) == before[1:]
    made("xyz").save(saved)
    verify(saved)
    assert rows(load_index(saved)) == rows(made("xyz"))
    assert rows(opened) == before


def test_only_targets_of_the_same_model_are_added(saved):
    for origin, message in (
        (Origin("other", "ffff", 64, SOFT.scorer), r"encoded by tiny \(0123456789abcdef\).*by other \(ffff\)"),
        (Origin("tiny", SOFT.fingerprint, 32, SOFT.scorer), "up to 64 tokens.*up to 32"),
        (Origin("tiny", SOFT.fingerprint, 64, ScorerSettings(kind="mean_pool")), "scorer soft.*for mean_pool"),
    ):
        with pytest.raises(UserError, match=message):
            append(saved, made("xy", origin=origin))
    append(saved, made("xy", origin=Origin("tiny", SOFT.fingerprint, 64, ScorerSettings(kind="max_sim"))))


# What goes wrong


def test_an_index_saved_before_there_were_sides_has_the_querys(saved):
    origin = json.loads((saved / "space.json").read_text())["origin"]
    for name in ("side", "target_tau_a", "target_weight"):
        del origin["scorer"][name]
    edit(saved, origin=origin)
    assert load_index(saved).origin.scorer == ScorerSettings(side="query")


def test_a_newer_format_is_refused(saved):
    edit(saved, version=4)
    for use in (load_index, verify, compact, lambda path: made("z").save(path), lambda path: append(path, made("z"))):
        with pytest.raises(UserError, match="index of format 4, and this uwe_jax reads formats up to 3"):
            use(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not readable JSON"),
        (b"\xff", "is not readable JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "holds a list instead of an object"),
        (b"{}", "is not the manifest of an index"),
        (b'{"format": "other"}', "its format is 'other'"),
        (b'{"format": ["x"]}', "its format is"),
        (b'{"format": "uwe_jax space"}', "its version is None"),
        (b'{"format": "uwe_jax space", "version": "1"}', "its version is '1'"),
        (b'{"format": "uwe_jax space", "version": 1}', "is not the manifest of an index.*origin"),
    ],
)
def test_an_invalid_manifest_is_refused(saved, content, message):
    (saved / "space.json").write_bytes(content)
    with pytest.raises(UserError, match=rf"space\.json.*{message}.*Restore it from a copy"):
        load_index(saved)


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": 7},
        {"origin": {"model": 7}},
        {"origin": {"model": "m", "fingerprint": "f", "max_tokens": "64", "scorer": {}}},
        {"origin": {"model": "m", "fingerprint": "f", "max_tokens": 64, "scorer": {"kind": ["soft"]}}},
        {"origin": {"model": "m", "fingerprint": "f", "max_tokens": 64}},
        {"dtype": ["float32"]},
        {"dtype": "float64"},
        {"width": "8"},
        {"width": -8},
        {"pooled": "false"},
        {"segments": 3},
        {"segments": {}},
        {"segments": ["x"]},
        {"later": 1},
    ],
)
def test_a_manifest_of_wrong_types_is_refused(saved, wrong):
    edit(saved, **wrong)
    for use in (load_index, compact, lambda path: append(path, made("z"))):
        with pytest.raises(UserError, match=r"space\.json is not the manifest.*Restore it from a copy"):
            use(saved)


def test_a_manifest_with_wrong_entries_is_refused(saved):
    entries = segments(saved)
    wrongs = [{"file": each} for each in ("../x", "", "..", 7, None)] + [{"bytes": each} for each in ("1", -1, None)]
    wrongs += [{"removed": each} for each in ([8], 1, [-1], [2, 2], [3, 2], ["2"], [True], {"2": 2})]
    wrongs += [{"later": 1}, {"targets": 10**12, "tokens": -1}, {"sha256": "?"}, {"sha256": None}]
    for wrong in wrongs:
        edit(saved, segments=[entries[0] | wrong])
        with pytest.raises(UserError, match=r"space\.json is not the manifest"):
            load_index(saved)
    edit(saved, segments=[entries[0] | {"targets": 7, "removed": []}])
    with pytest.raises(UserError, match=r"holds 8 targets.*expected 7"):
        load_index(saved)
    edit(saved, segments=entries, width=4)
    with pytest.raises(UserError, match=r"embeddings .*; expected 8 and float32"):
        load_index(saved)


def test_damaged_files_are_named(saved):
    path = saved / "segments" / segments(saved)[1]["file"]
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(UserError, match=rf"it has {len(whole) - 5:,} bytes, expected {len(whole):,}"):
        load_index(saved)
    path.write_bytes(whole[:-1] + b"?")
    for use in (load_index, verify, compact, lambda path: append(path, made("z")), lambda path: remove(path, "a")):
        with pytest.raises(UserError, match=f"{path.name} is damaged: its sha256.*Restore it from a copy"):
            use(saved)
    path.write_bytes(b"?" * len(whole))
    with pytest.raises(UserError, match=f"{path.name} is damaged"):
        load_index(saved)
    path.unlink()
    with pytest.raises(UserError, match=f"{path.name} is missing"):
        load_index(saved)


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path):
    made("abcdef", dtype="int8").save(tmp_path / "space")
    append(tmp_path / "space", made("gh", 1, dtype="int8"))
    remove(tmp_path / "space", "b")

    def said() -> tuple:
        space = load_index(tmp_path / "space")
        return space.origin, space.dtype, space.pooled, rows(space)

    before, rng = said(), np.random.default_rng(0)
    refused: list[tuple[str, str]] = []
    for path in (tmp_path / "space").rglob("*.*"):
        whole = path.read_bytes()
        for bit in rng.choice(8 * len(whole), min(100, 8 * len(whole)), replace=False).tolist():
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            try:
                assert said() == before, (path.name, bit)
            except UserError as error:
                refused.append((path.name, str(error)))
        path.write_bytes(whole)
    assert len(refused) > 250  # spaces between the words of the manifest change nothing
    for name, message in refused:
        assert name in message or "Install a newer" in message
        assert re.search("Restore it from a copy|Install a newer", message)


def pack(folder: Path, space: Index, **tensors) -> None:
    """Writes a foreign segment: tensors that this package never writes, with the right checksum."""
    space.save(folder)
    (entry,) = segments(folder)
    path = folder / "segments" / entry["file"]
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8:start]), bytearray(content[start:])
    for name, value in tensors.items():
        if isinstance(value, dict):
            header[name] |= value
        else:
            first, last = header[name]["data_offsets"]
            assert len(value) == last - first
            data[first:last] = value
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + data
    path.write_bytes(content)
    edit(folder, segments=[entry | {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"offsets": np.array([0, 5, 1 << 60], np.int64).tobytes()}, "offsets that do not ascend from 0 to"),
        ({"offsets": np.array([0, -1, 10], np.int64).tobytes()}, "offsets that do not ascend from 0 to"),
        ({"text_offsets": np.array([0, 12, 8], np.int64).tobytes()}, "text_offsets that do not ascend"),
        ({"id_offsets": np.array([1, 1, 2], np.int64).tobytes()}, "id_offsets that do not ascend"),
        ({"values": {"shape": [1 << 40, WIDTH]}}, "cannot reshape"),
        ({"values": {"shape": [1 << 70, 1 << 70]}}, "(Value|Overflow)Error"),
        ({"values": {"shape": [-1, WIDTH]}}, "values of float32"),
        ({"values": {"shape": []}}, "values of float32"),
        ({"values": {"dtype": "I64"}}, "values of int64"),
        ({"values": {"dtype": "F64"}}, "KeyError"),
        ({"values": {"dtype": ["F32"]}}, "TypeError"),
        ({"values": {"data_offsets": [0, 1 << 60]}}, "values of float32"),
        ({"values": {"data_offsets": ["0", None]}}, "TypeError"),
        ({"values": {"data_offsets": 7}}, "TypeError"),
        ({"ids": "é".encode()}, "Invalid UTF8"),
        ({"ids": b"a\xff"}, "Invalid UTF8"),
    ],
)
def test_a_foreign_segment_that_cannot_be_searched_is_refused(tmp_path, tensors, message):
    pack(tmp_path / "space", made("ab"))
    load_index(tmp_path / "space")
    pack(tmp_path / "space", made("ab"), **tensors)
    with pytest.raises(UserError, match=rf"safetensors is damaged .*{message}.*Restore it from a copy"):
        load_index(tmp_path / "space")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_foreign_segment_with_numbers_that_are_not_finite_is_refused(tmp_path, dtype):
    space = made("ab", dtype=dtype)
    (part,) = space.parts
    stored = part.segment.values if part.segment.scales is None else part.segment.scales
    for number in (np.nan, np.inf, -np.inf):
        broken = stored.copy()
        broken.flat[-1] = number
        pack(tmp_path / "space", space, **{"values" if stored.ndim == 2 else "scales": broken.tobytes()})
        with pytest.raises(UserError, match="embeddings that are NaN or infinite"):
            load_index(tmp_path / "space")


def test_a_manifest_of_too_many_removed_targets_is_refused(saved, monkeypatch):
    monkeypatch.setattr(manifests, "_MOST_BYTES", (saved / "space.json").stat().st_size + 50)
    with pytest.raises(UserError, match=r"would have .* bytes; at most .*--compact"):
        remove(saved, list("abdefg"))
    assert list(load_index(saved).ids) == list("abdefghijk")


def test_a_folder_without_an_index_is_reported(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        load_index(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no space\.json"):
        remove(tmp_path, "a")
    assert not list(tmp_path.iterdir())
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UserError, match=r"holds 1 file outside of an index, such as thesis\.txt"):
        made("a").save(tmp_path)
    with pytest.raises(UserError, match="cannot be written"):
        made("a").save(tmp_path / "thesis.txt")
    with pytest.raises(UserError, match="cannot be written"):
        made("a").save(tmp_path / "thesis.txt" / "space")


def test_a_reader_retries_after_a_concurrent_compaction(saved, monkeypatch):
    before = rows(load_index(saved))
    read = folders.read_manifest

    def reads_before_a_compaction(path):
        monkeypatch.setattr(folders, "read_manifest", read)
        manifest = read(path)
        compact(saved)
        return manifest

    monkeypatch.setattr(folders, "read_manifest", reads_before_a_compaction)
    assert rows(load_index(saved)) == before


def test_a_second_writer_is_refused_and_readers_are_not_blocked(saved, monkeypatch):
    monkeypatch.setattr(writing, "QUIET", 0.05)
    before = rows(load_index(saved))
    with filelock.FileLock(saved / "space.lock"):
        for change in (compact, lambda path: remove(path, "a"), lambda path: made("z").save(path)):
            with pytest.raises(UserError, match=r"Another process is writing to .*try again"):
                change(saved)
        assert rows(load_index(saved)) == before
    assert remove(saved, "a") == 1


def test_a_full_disk_leaves_the_space_as_it_was(saved, monkeypatch):
    before = rows(load_index(saved))
    left = 0

    def full(file):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for moment in range(3):  # of the segment, of its name, of the manifest
        left = moment
        with pytest.raises(OSError, match="No space left"):
            append(saved, made("xyz"))
        left = 100
        assert rows(load_index(saved)) == before
        assert not list(saved.rglob("*.partial"))
    append(saved, made("xyz"))
    assert list(load_index(saved).ids) == list("abdefghijkxyz")
    manifest = folders.read_manifest(saved)
    (saved / "calibration.json").write_text("{}")
    for moment in range(3):
        left = moment
        with pytest.raises(OSError, match="No space left"):
            made("uvw").save(saved)
        assert (saved / "calibration.json").exists()
        assert folders.read_manifest(saved) == manifest
    left = 100
    made("uvw").save(saved)
    assert not (saved / "calibration.json").exists()


@pytest.fixture
def as_nobody(tmp_path, monkeypatch):
    """Enters a folder that this process may read and not write; root drops its rights meanwhile."""
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)


def test_an_index_is_readable_without_write_permission(saved, as_nobody):
    there = Path("space")
    assert len(load_index(there)) == 10
    verify(there)
    for change in (compact, lambda path: remove(path, "a"), made("z").save, lambda path: made("z").save(path / "new")):
        with pytest.raises(UserError, match=r"space.* cannot be written .*may write to"):
            change(there)


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills copies of a process")
def test_a_kill_at_any_moment_leaves_a_space_and_the_next_change_succeeds(tmp_path):
    targets = random_tokens(24)
    texts, ids = [f"text {k}" for k in range(24)], [f"t{k}" for k in range(24)]
    space = Index.from_tokens(targets.part(0, 19), texts[:19], ids[:19], SOFT)
    space.save(tmp_path / "there")
    append(tmp_path / "there", Index.from_tokens(targets.part(19, 24), texts[19:], ids[19:], SOFT))
    remove(tmp_path / "there", "t5")
    Index.from_tokens(targets.part(0, 4), texts[:4], ["t3", "n1", "n2", "n3"], SOFT).save(tmp_path / "more")
    command = [sys.executable, str(Path(__file__).parent / "killed_writer.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50
