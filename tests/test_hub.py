"""Datasets of the hub, from a local server with the protocol of the hub, through its own client."""

import csv
import io
import json
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_hub import REPO, SHA, only_hub
from huggingface_hub import HfApi, constants

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.hub import builder as hub_builder
from uwe_jax.sources.hub import download as hub_download
from uwe_jax.sources.hub.dataset import DataMissing, HubDataset, load_hub_rows

DATASET = HubDataset(REPO, {"title": "text", "skills": "texts", "related": "int"})
ROWS = [
    {"title": "head chef, pastry", "skills": ["plan menus", "C#"], "related": 1},
    {"title": 'café "owner"', "skills": [], "related": 0},
    {"title": "2024", "skills": ["manage a chef's team"], "related": -3},
    {"title": "", "skills": ["a, b"], "related": 1},
]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub of this test alone, with an empty cache."""
    with only_hub(tmp_path, monkeypatch) as fake:
        yield fake


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def content(suffix: str, rows: list[dict] = ROWS) -> bytes:
    """The rows in one of the formats."""
    if suffix == ".parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        return sink.getvalue()
    if suffix == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, ["id", *rows[0]])
        writer.writeheader()
        writer.writerows({"id": number, **row} for number, row in enumerate(rows))
        return text.getvalue().encode()
    lines = [json.dumps(row) for row in rows]
    return ("\n".join(lines) if suffix == ".jsonl" else f"[{','.join(lines)}]").encode()


def rows_of(*arguments, **options) -> list[dict]:
    return load_hub_rows(*arguments, **options)[0]


def missing(dataset: HubDataset, split: str, cache: Path, offline: bool = False) -> str:
    with pytest.raises(DataMissing) as raised:
        rows_of(dataset, split, cache, offline)
    message = str(raised.value)
    assert "\n" not in message
    assert f"put a copy of https://huggingface.co/datasets/{dataset.repo} into" in message
    return message


# --- what is read


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".json"])
def test_rows_are_downloaded_prepared_and_from_then_on_read_without_the_hub(hub, cache, suffix):
    hub.publish({"README.md": b"", f"test{suffix}": content(suffix)})
    assert rows_of(DATASET, "test", cache) == ROWS
    assert any(path.endswith(f"/resolve/{SHA}/test{suffix}") for path in hub.asked)
    assert not any("README" in path for path in hub.asked)
    hub.asked.clear()
    assert rows_of(DATASET, "test", cache) == rows_of(DATASET, "test", cache, offline=True) == ROWS
    assert hub.asked == []


def test_a_json_file_may_have_json_lines(hub, cache):
    hub.publish({"test.json": content(".jsonl")})
    assert rows_of(DATASET, "test", cache) == ROWS


def test_the_files_of_a_split_are_joined_in_order_and_other_splits_are_left_alone(hub, cache):
    parts = {
        "data/validation-00001-of-00002.parquet": content(".parquet", ROWS[2:]),
        "data/validation-00000-of-00002.parquet": content(".parquet", ROWS[:2]),
        "data/test-00000-of-00001.parquet": content(".parquet", ROWS[1:2]),
    }
    hub.publish(parts)
    assert rows_of(DATASET, "validation", cache) == ROWS
    assert not any("test-0" in path for path in hub.asked)
    assert rows_of(DATASET, "test", cache) == ROWS[1:2]
    assert rows_of(DATASET, "validation", cache) == ROWS


@pytest.mark.parametrize(
    ("names", "split", "expected"),
    [
        (["tech_validation_annotations.csv", "tech_test_annotations.csv"], "validation", [0]),
        (["eval.jsonl", "train.jsonl"], "test", [0]),
        (["dev/a.csv", "dev/b.csv", "test/a.csv"], "validation", [0, 1]),
        (["en/test/part.csv", "train/test.csv"], "test", [0, 1]),  # a file's own name counts first
        (["test.csv", "test.parquet", "README.md"], "test", [1]),  # the same rows twice
        (["dataset.csv"], "train", [0]),
        (["dataset.csv"], "test", []),
        (["latest.csv", "test.csv"], "train", []),
    ],
)
def test_a_file_belongs_to_the_split_that_its_name_or_folder_says(names, split, expected):
    assert hub_download.files_of_split(names, split) == [names[place] for place in expected]


def test_only_declared_columns_are_kept_and_other_columns_are_another_preparation(hub, cache):
    hub.publish({"test.parquet": content(".parquet")})
    titles = HubDataset(REPO, {"title": "text"})
    assert rows_of(titles, "test", cache) == [{"title": row["title"]} for row in ROWS]
    assert rows_of(DATASET, "test", cache) == ROWS
    assert rows_of(titles, "test", cache) == [{"title": row["title"]} for row in ROWS]


def test_tables_of_a_repository_are_prepared_each_with_the_rows_that_count(hub, cache):
    rows = [{"id": 7, "labels": [0, 2], "score": 0.5, "more": [{"a": "b"}]}, {"id": 8, "labels": [], "score": 0.75}]
    files = {"de/queries-00000-of-00001.parquet": rows, "de/corpus.jsonl": [{"text": "a"}], "fr/queries.json": rows[:1]}
    hub.publish({name: content(Path(name).suffix, each) for name, each in files.items()})
    columns = {"id": "id", "labels": "ints", "score": "float", "more": "json"}
    table = HubDataset(REPO, columns, "de/queries", (("score", 0.7),))
    assert rows_of(table, "queries", cache) == [{"id": "8", "labels": [], "score": 0.75, "more": "null"}]
    every = HubDataset(REPO, columns, "de/queries")
    for offline in (False, True):  # as downloaded, then as prepared
        first, _ = rows_of(every, "queries", cache, offline)
        assert first == {"id": "7", "labels": [0, 2], "score": 0.5, "more": '[{"a": "b"}]'}
    assert rows_of(HubDataset(REPO, {"text": "text"}, "de/corpus"), "corpus", cache) == [{"text": "a"}]
    assert "no file of the split 'corpus' of the table 'fr/corpus'" in missing(
        HubDataset(REPO, {"text": "text"}, "fr/corpus"), "corpus", cache
    )


def test_repositories_with_a_common_prefix_are_separate(hub, cache):
    longer = HubDataset(f"{REPO}-tech", DATASET.columns)
    hub.publish({"test.csv": content(".csv", ROWS[:1])}, repo=longer.repo)
    hub.publish({"test.csv": content(".csv")})
    assert rows_of(longer, "test", cache) == ROWS[:1]
    assert rows_of(DATASET, "test", cache) == ROWS
    assert rows_of(longer, "test", cache) == ROWS[:1]


# --- the commit


def test_the_commit_is_recorded_and_a_later_one_is_not_noticed(hub, cache):
    hub.publish({"test.csv": content(".csv")})
    rows_of(DATASET, "test", cache)
    (folder,) = (cache / "tfds").iterdir()
    assert folder.name.endswith(SHA)
    (info,) = folder.rglob("dataset_info.json")
    assert json.loads(info.read_text())["location"]["urls"] == [f"https://huggingface.co/datasets/{REPO}/tree/{SHA}"]
    assert load_hub_rows(DATASET, "test", cache)[1] == f"{REPO} at {SHA[:12]}"

    later = "b" * 40
    hub.publish({"test.csv": content(".csv", ROWS[:1]), "train.csv": content(".csv", ROWS[:2])}, later)
    assert rows_of(DATASET, "test", cache) == ROWS
    assert rows_of(DATASET, "train", cache) == ROWS[:2]  # of the later commit, as it was not there before
    assert load_hub_rows(DATASET, "test", cache)[1] == f"{REPO} at {SHA[:12]}"
    assert load_hub_rows(DATASET, "train", cache)[1] == f"{REPO} at {later[:12]}"


def test_tfds_itself_reads_the_same(hub, cache):
    hub.publish({"test.csv": content(".csv")})
    rows_of(DATASET, "test", cache)
    builder = hub_builder.find_prepared(DATASET, "test", cache / "tfds")
    examples = list(builder.as_data_source("test"))
    assert [example["title"].decode() for example in examples] == [row["title"] for row in ROWS]
    assert [[text.decode() for text in example["skills"]] for example in examples] == [row["skills"] for row in ROWS]
    assert [int(example["related"]) for example in examples] == [row["related"] for row in ROWS]


# --- files that are not as declared


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_missing_column_is_named_with_those_there_are(hub, cache, suffix):
    hub.publish({f"test{suffix}": content(suffix, [{"title": "a", "abilities": ["b"], "related": 1}])})
    with pytest.raises(UserError, match=r"(?s)test.*skills.*abilities") as raised:
        rows_of(DATASET, "test", cache)
    assert not isinstance(raised.value, DataMissing)  # that would pass for data that is not there
    assert not (cache / "tfds").exists()


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("test.csv", b"title,skills,related\na,[],1\nb,[],maybe\n", "line 3: found related 'maybe'"),
        ("test.csv", b"title,skills,related\na,plan menus,1\n", "line 2: found skills 'plan menus'"),
        ("test.csv", b"title,skills,related\n", "has 0 rows in test.csv"),
        ("test.json", b"[{", "is not valid JSON"),
        ("test.parquet", b"PAR1", "cannot be read as Parquet"),
    ],
)
def test_broken_files_are_named_and_leave_nothing_prepared(hub, cache, name, data, expected):
    hub.publish({name: data})
    with pytest.raises(UserError) as raised:
        rows_of(DATASET, "test", cache)
    assert expected in str(raised.value)
    assert REPO in str(raised.value)
    assert not (cache / "tfds").exists()
    hub.publish({"test.csv": content(".csv")}, "c" * 40)
    assert rows_of(DATASET, "test", cache) == ROWS


# --- a hub that does not give


def test_offline_the_hub_is_not_asked(hub, cache, monkeypatch):
    assert f"{REPO} (test) is not prepared in {cache}" in missing(DATASET, "test", cache, offline=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in missing(DATASET, "test", cache)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (None, "no such dataset"),
        ((401, "RepoNotFound"), "no such dataset, or none that you may see without setting HF_TOKEN"),
        ((403, "GatedRepo"), "gated: accept its terms on its page and set HF_TOKEN"),
        ((503, ""), "503"),
    ],
)
def test_refusals_of_the_hub_are_reported_in_one_line(hub, cache, refusal, expected):
    hub.refusal = refusal
    message = missing(DATASET, "test", cache)
    assert expected in message
    assert constants.ENDPOINT in message
    assert len(hub.asked) == 1


def test_a_gated_dataset_shows_its_files_and_refuses_them(hub, cache):
    hub.publish({"test.csv": content(".csv")})
    hub.refusal, hub.refused = (403, "GatedRepo"), "/datasets/"
    assert "gated: accept its terms on its page and set HF_TOKEN" in missing(DATASET, "test", cache)


def test_a_missing_split_lists_the_available_files(hub, cache):
    hub.publish({"README.md": b"", "test.csv": content(".csv"), "train.csv": content(".csv")})
    message = missing(DATASET, "validation", cache)
    assert "no file of the split 'validation' among its data files (test.csv, train.csv)" in message


def test_an_unreachable_hub_is_reported(cache, monkeypatch, hub):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1: Connect" in missing(DATASET, "test", cache)


def test_a_hub_that_does_not_answer_is_waited_for_once(hub, cache, monkeypatch):
    hub.publish({"test.csv": content(".csv")})
    hub.seconds = 1.0
    assert hub_download.CONTACT_SECONDS < 10
    monkeypatch.setattr(hub_download, "ANSWER_SECONDS", 0.2)
    assert "Timeout" in missing(DATASET, "test", cache)
    assert "before, so it was not asked again" in missing(HubDataset("Org/other", {"a": "text"}), "test", cache)
    assert len(hub.asked) <= 1


def test_a_hanging_dns_look_up_times_out(hub, cache, monkeypatch):
    monkeypatch.setattr(HfApi, "dataset_info", lambda *_, **__: time.sleep(30))
    monkeypatch.setattr(hub_download, "CONTACT_SECONDS", 0.2)
    assert "no answer within 0.2 seconds" in missing(DATASET, "test", cache)


def test_a_stalled_download_times_out(hub, cache, monkeypatch):
    hub.publish({"test.csv": content(".csv")})
    monkeypatch.setattr(HfApi, "hf_hub_download", lambda *_, **__: time.sleep(30))
    monkeypatch.setattr(hub_download, "FILE_SECONDS", 0.2)
    assert "no answer within 0.2 seconds" in missing(DATASET, "test", cache)
    assert not (cache / "tfds").exists()


# --- the cache


def test_an_unwritable_cache_is_reported(hub, cache):
    hub.publish({"test.csv": content(".csv")})
    cache.write_text("a file")
    with pytest.raises(UserError, match=r"Prepared rows cannot be written to .*with about 20 MB.*set \$UWE_JAX_CACHE"):
        rows_of(DATASET, "test", cache)


def test_damaged_rows_name_the_folder_to_remove(hub, cache):
    hub.publish({"test.csv": content(".csv")})
    rows_of(DATASET, "test", cache)
    (record,) = cache.rglob("*array_record*")
    record.write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot be read.*they are prepared again from the hub") as raised:
        rows_of(DATASET, "test", cache)
    assert f"The prepared rows in {Path(record).parent}" in str(raised.value)
