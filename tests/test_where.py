"""Further columns of targets: kept with an index, shown with hits, and filters of what is ranked."""

import csv
import inspect
import json

import jax
import numpy as np
import pytest
from service_stand_in import running
from test_spaces import SOFT, made, pack, random_tokens, segments
from tiny_encoder import write_tiny_encoder
from vacancy_files import write_rows

from uwe_jax.commands.index import main as index
from uwe_jax.commands.rank import main as rank
from uwe_jax.config import ScorerSettings
from uwe_jax.ranking import blocks as layout
from uwe_jax.ranking import target_space as spaces
from uwe_jax.retrieval import table_targets
from uwe_jax.retrieval.answers import Answer, answer_file
from uwe_jax.retrieval.hits import Hits
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.store.columns import FilterError, Strings, alternatives, joined, matching, packed, taken
from uwe_jax.retrieval.store.folder import append, compact, load_index, remove, verify
from uwe_jax.retrieval.store.quantise import DTYPES
from uwe_jax.retrieval.store.searchable import Hit, Origin
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.retrieval.texts_in import read_targets
from uwe_jax.runtime.errors import UserError
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.tasks import load_served

N = 30
FAMILIES = tuple(("logistics", "food", "care", "rare")[k % 3 if k else 3] for k in range(N))
LEVELS = tuple(str(k % 2) for k in range(N))
COLUMNS = {"family": FAMILIES, "level": LEVELS}
FILTERS = (
    {"family": "logistics"},
    {"family": ["logistics", "food"]},
    {"family": ["logistics", "rare"], "level": "0"},
    {"family": "rare"},
)


def fits(k: int, where: dict) -> bool:
    """The definition."""
    return all(COLUMNS[name][k] in ([values] if isinstance(values, str) else values) for name, values in where.items())


def with_columns(scorer: ScorerSettings = SOFT.scorer, dtype: str = "float32", few: range = range(N)) -> Index:
    """Targets 0 to 29, or a few of them."""
    origin = Origin("tiny", SOFT.fingerprint, 64, scorer)
    tokens = random_tokens(N).take(np.array(few))
    columns = {name: [values[k] for k in few] for name, values in COLUMNS.items()}
    return Index.from_tokens(tokens, [f"text {k}" for k in few], [f"{k}" for k in few], origin, dtype, columns=columns)


def assert_same(found: list[list[Hit]], expected: list[list[Hit]]) -> None:
    assert [[(hit.id, hit.columns) for hit in row] for row in found] == [
        [(hit.id, hit.columns) for hit in row] for row in expected
    ]
    for row, right in zip(found, expected, strict=True):
        np.testing.assert_allclose([hit.score for hit in row], [hit.score for hit in right], atol=2e-6)


# Ranking


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("blocks", ["whole", "chunked"])
@pytest.mark.parametrize("kind", ["soft", "max_sim", "mean_pool", "soft_pooled"])
def test_a_filtered_ranking_is_that_of_the_matching_targets_alone(kind, blocks, monkeypatch):
    assert jax.local_device_count() == 8
    if blocks == "chunked":
        monkeypatch.setattr(spaces, "_QUERY_TOKENS", 8)
        for name, value in {"_BLOCK_TOKENS": {"cpu": 1}, "_SPAN_BLOCKS": 2, "_SMALL_BLOCK_TOKENS": 4}.items():
            monkeypatch.setattr(layout, name, value)
    scorer = ScorerSettings(kind=kind, tau_a=0.3)
    space, queries = with_columns(scorer), random_tokens(4, 2)
    assert (len(space.on_devices.all(scorer).spans) > 1) == (blocks == "chunked")
    for where in FILTERS:
        alone = with_columns(scorer, few=[k for k in range(N) if fits(k, where)])
        assert space.count(where) == len(alone)
        for top_k in (3, N):
            found = space.search(queries, top_k, scorer, where)
            assert_same(found, alone.search(queries, top_k, scorer))
            assert {len(row) for row in found} == {min(top_k, len(alone))}
            whole = [[hit for hit in row if fits(int(hit.id), where)] for row in space.search(queries, N, scorer)]
            assert found == [row[:top_k] for row in whole]  # to the last digit


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_filter_fits_every_encoding(dtype):
    queries, where = random_tokens(2, 2), FILTERS[2]
    few = [k for k in range(N) if fits(k, where)]
    found = with_columns(dtype=dtype).search(queries, 5, SOFT.scorer, where)
    assert_same(found, with_columns(dtype=dtype, few=few).search(queries, 5, SOFT.scorer))


def test_no_filter_is_compiled(caplog):
    space, queries, scorer = with_columns(), random_tokens(2, 2), ScorerSettings(logits="dot", tau_a=2.0)
    with jax.log_compiles():
        space.search(queries, 4, scorer)
        assert any("Compiling" in record.message for record in caplog.records)
        caplog.clear()
        for where in (*FILTERS, {"family": "rare", "level": "1"}):
            space.search(queries, 4, scorer, where)
        assert not caplog.records


def test_targets_that_fit_no_column_together_leave_an_empty_answer():
    space = with_columns()
    assert space.count({"family": "rare", "level": "1"}) == 0
    assert space.search(random_tokens(2, 2), 3, SOFT.scorer, {"family": "rare", "level": "1"}) == [[], []]


def test_an_unknown_column_or_value_is_refused():
    space = with_columns()
    for where, message in (
        ({"famly": "food"}, "no column 'famly'. Did you mean 'family'. Further columns: family, level"),
        (
            {"family": "fod"},
            r"No target has 'fod' as its family. Did you mean 'food'. .*: 'food' \(10\), 'care' \(10\)",
        ),
        ({"family": ["food", "LOGISTICS"]}, "No target has 'LOGISTICS' as its family. Did you mean 'logistics'"),
        ({"family": "log"}, "Did you mean 'logistics'"),
        ({"family": ""}, r"No target has '' as its family\. The most frequent values"),
        ({"x" * 10_000: "food"}, r"no column 'x{60}\.\.\.'\. Further columns"),
        ({"family": []}, r"The filter of 'family' is '\[\]'. Give one or more strings"),
        ({"family": 7}, r"The filter of 'family' is '7'. Give one or more strings"),
        ({1: "food"}, r"The filter names the column '1'. Give the name of a column as a string"),
        ("family=food", r"The filter is \"'family=food'\". Give values by column, such as {'family': 'food'}"),
        ({"family": "food\ud800"}, r"The filter of 'family' is .*food.*ud800.*, which is not valid Unicode"),
        ({"family": "x" * 10_000}, "No target has 'x{60}...' as its family"),
    ):
        for use in (space.count, lambda where: space.search(random_tokens(0), 3, SOFT.scorer, where)):
            with pytest.raises(FilterError, match=message):
                use(where)
    with pytest.raises(FilterError, match="the targets have only text and id"):
        made("ab").count({"family": "food"})


def test_values_are_compared_exactly_after_normalisation():
    columns = {"c": Strings(packed({"c": ["caf\u00e9", " a  b ", "A b", "", "1"]}, 5)["c"])}
    assert alternatives({"c": ["a  b", "a b"]}) == {"c": ("a b",)}
    for value, expected in (("cafe\u0301", 0), ("a b", 1), ("A b", 2), ("", 3), ("1", 4)):
        assert np.flatnonzero(matching(columns, {"c": value}, 5)).tolist() == [expected]
    with pytest.raises(FilterError):
        matching(columns, {"c": "1.0"}, 5)


def test_columns_that_do_not_fit_are_refused():
    unchecked = inspect.unwrap(packed)  # as for those who do without the tests' type checks
    for columns, message in (
        ({"c": ["a"]}, "1 values for 2 targets"),
        ({"c": "ab"}, "values for 2 targets"),
        ({"c": ["a", 1]}, "column c holds 1, a int; values must be text"),
        ({"": ["a", "b"]}, "must have 1 to 100 characters"),
        ({"c" * 101: ["a", "b"]}, "must have 1 to 100 characters"),
        ({f"c{k}": ["a", "b"] for k in range(33)}, "33 further columns; at most 32"),
    ):
        with pytest.raises(UserError, match=message):
            unchecked(columns, 2)


# Indexes on disk


def columns_of(space: Index) -> dict[str, list[str]]:
    return {name: list(values) for name, values in space.columns.items()}


def test_columns_survive_every_change_of_a_folder(tmp_path):
    folder = tmp_path / "space"
    with_columns(few=range(20)).save(folder)
    assert columns_of(load_index(folder)) == {name: list(values[:20]) for name, values in COLUMNS.items()}
    more = Index.from_tokens(
        random_tokens(2, 3), ["x", "y"], None, SOFT, "float32", columns={"level": ["7", "8"], "new": ["p", "q"]}
    )
    append(folder, more)
    remove(folder, ["3", "4"])
    append(folder, made("z"))  # without columns
    left = [k for k in range(20) if k not in (3, 4)]
    expected = {
        "family": [FAMILIES[k] for k in left] + [""] * 3,
        "level": [LEVELS[k] for k in left] + ["7", "8", ""],
        "new": [""] * len(left) + ["p", "q", ""],
    }
    assert columns_of(load_index(folder)) == expected
    assert len(segments(folder)) == 2
    compact(folder)
    verify(folder)
    opened = load_index(folder)
    assert (columns_of(opened), len(segments(folder))) == (expected, 1)
    assert segments(folder)[0]["columns"] == ["family", "level", "new"]
    found = opened.search(random_tokens(1, 2), 9, SOFT.scorer, {"level": ["8", ""]})
    assert {hit.id: dict(hit.columns) for hit in found[0]} == {
        "y": {"family": "", "level": "8", "new": "q"},
        "z": {"family": "", "level": "", "new": ""},
    }
    remove(folder, "y")
    with pytest.raises(FilterError, match="No target has '8' as its level"):
        load_index(folder).count({"level": "8"})  # none that counts has it


def test_an_index_of_the_first_format_is_read_and_changed(tmp_path):
    folder = tmp_path / "space"
    made("abc").save(folder)
    content = json.loads((folder / "space.json").read_text()) | {"version": 1}
    del content["sha256"], content["segments"][0]["columns"]
    (folder / "space.json").write_text(json.dumps(content))
    assert (list(load_index(folder).ids), columns_of(load_index(folder))) == (list("abc"), {})
    append(folder, with_columns(few=range(1)))
    assert columns_of(load_index(folder)) == {"family": ["", "", "", "rare"], "level": ["", "", "", "0"]}


def test_each_distinct_value_is_stored_once(tmp_path):
    long = [f"{'long ' * 200}{k % 2}" for k in range(N)]
    Index.from_tokens(random_tokens(N), [f"{k}" for k in range(N)], None, SOFT, columns={"c": long}).save(
        tmp_path / "s"
    )
    assert segments(tmp_path / "s")[0]["bytes"] < 6000 < sum(map(len, long))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"column_0_codes": np.array([0, 9], np.int32).tobytes()}, "codes of the column 'c' that are not one of 2"),
        ({"column_0_codes": np.array([-1, 0], np.int32).tobytes()}, "codes of the column 'c' that are not one of 2"),
        ({"column_0_codes": {"dtype": "F32"}}, "column_0_codes of float32"),
        ({"column_0_offsets": np.array([0, 9, 2], np.int64).tobytes()}, "column_0_offsets that do not ascend"),
        ({"column_0": b"\xff\xfe"}, "Invalid UTF8"),
        ({"column_0": b"pp"}, "values of the column 'c' that occur twice"),
        ({"__metadata__": {"columns": "["}}, "Expecting value"),
        ({"__metadata__": {"columns": "7"}}, "not iterable"),
        ({"__metadata__": {"columns": '["c", "d"]'}}, "column_1"),
    ],
)
def test_invalid_columns_of_a_foreign_segment_are_refused(tmp_path, tensors, message):
    space = Index.from_tokens(random_tokens(2), ["a", "b"], None, SOFT, columns={"c": ["p", "q"]})
    pack(tmp_path / "space", space)
    assert columns_of(load_index(tmp_path / "space")) == {"c": ["p", "q"]}
    pack(tmp_path / "space", space, **tensors)
    with pytest.raises(UserError, match=rf"safetensors is damaged .*{message}"):
        load_index(tmp_path / "space")


def test_a_column_is_a_list_of_texts():
    first, second = (packed({"c": list(each)}, len(each))["c"] for each in ("abca", "xa"))
    column = Strings(joined([first, taken(second, np.array([1]))]))
    assert list(column) == column == list("abcaa")
    assert {each.as_py() for chunk in column.array.chunks for each in chunk.dictionary} == set("abc")


# Files of targets

ROWS = [
    {"id": "s1", "label": "care for patients", "family": "care", "hours": 8, "tags": ["a"], "night": True},
    {"id": "s2", "label": "write code", "family": "it", "hours": 7.5, "tags": [], "night": False},
    {"id": "s3", "label": "engineer software", "family": "it", "hours": None, "tags": None, "night": None},
]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_all_scalar_columns_of_a_table_are_kept(tmp_path, ending):
    found = read_targets(write_rows(tmp_path / f"t.{ending}", ROWS))
    hours = ("8.0", "7.5", "") if ending == "parquet" else ("8", "7.5", "")
    assert found.columns == {"family": ("care", "it", "it"), "hours": hours, "night": ("true", "false", "")}
    assert found.notes == ("1 column of lists or objects left out (tags)",)


def test_columns_are_chosen_and_bounded(tmp_path, monkeypatch):
    path = write_rows(tmp_path / "t.csv", [{"text": "nurse", **{f"c{k}": str(k) for k in range(33)}}])
    with pytest.raises(UserError, match=r"33 columns besides those of text and id; at most 32.* --keep"):
        read_targets(path)
    assert read_targets(path, keep=["c3"]).columns == {"c3": ("3",)}
    assert read_targets(path, keep=[""]).columns == {}
    with pytest.raises(UserError, match="no column 'c99'"):
        read_targets(path, keep=["c99"])
    monkeypatch.setattr(table_targets, "_MOST_CHARACTERS", 100)
    write_rows(path, [{"text": f"text {k}", "same": "x" * 60, "note": f"{k:090}"} for k in range(3)])
    with pytest.raises(UserError, match="more than 100 characters, most of them in note"):
        read_targets(path)
    assert read_targets(path, keep=["same"]).columns == {"same": ("x" * 60,) * 3}


def test_of_rows_that_repeat_the_first_counts(tmp_path):
    rows = [
        {"text": "nurse", "family": "care"},
        {"text": "nurse", "family": "health"},
        {"text": "nurse", "family": "care"},
    ]
    found = read_targets(write_rows(tmp_path / "t.csv", rows))
    assert (found.texts, found.columns) == (("nurse",), {"family": ("care",)})
    assert found.notes == (
        "no column of ids: the texts are the ids (--id-column names one)",
        "2 duplicate rows left out",
        "1 row of an earlier id with other values in further columns, which do not count",
    )


# Commands and service


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a table and its index."""
    folder = tmp_path_factory.mktemp("where")
    write_tiny_encoder(folder / "tiny", layers=1)
    rows = [{"id": row["id"], "label": row["label"], "family": row["family"]} for row in ROWS]
    write_rows(folder / "skills.csv", rows)
    flags = ["--model", str(folder / "tiny"), "--targets", str(folder / "skills.csv")]
    index([*flags, "--out", str(folder / "skills")])
    index([*flags, "--out", str(folder / "bare"), "--keep", ""])
    return folder


def answered(capsys) -> dict[str, dict]:
    (line,) = capsys.readouterr().out.splitlines()
    (hits,) = json.loads(line)["hits"].values()
    return {hit["id"]: hit["columns"] for hit in hits}


def test_an_index_and_its_table_are_ranked_by_a_filter(folder, tmp_path, capsys):
    for flags in (
        ["--index", str(folder / "skills")],
        ["--targets", str(folder / "skills.csv"), "--model", str(folder / "tiny"), "--cache-dir", str(tmp_path)],
    ):
        rank(["nurse", *flags, "--json", "--where", "family=it"])
        assert answered(capsys) == {"s2": {"family": "it"}, "s3": {"family": "it"}}
        rank(["nurse", *flags, "--json", "--where", "family=it", "--where", "family=care"])
        assert set(answered(capsys)) == {"s1", "s2", "s3"}
    rank(["nurse", *flags, "--keep", "", "--json"])  # the cache holds another index for other columns
    assert answered(capsys) == {"s1": {}, "s2": {}, "s3": {}}


def test_columns_are_shown_to_people_where_they_are_asked_for(folder, capsys):
    flags = ["nurse", "--index", str(folder / "skills"), "--index", str(folder / "bare")]
    rank(flags)
    assert "family" not in capsys.readouterr().out
    rank([*flags, "--show", "family"])
    told = capsys.readouterr().out
    assert "family" in told
    assert "care" in told.split("s1")[1].splitlines()[0]
    with pytest.raises(UserError, match=r"no column 'famly'\. Did you mean 'family'"):
        rank([*flags, "--show", "famly"])
    index(["--out", str(folder / "skills"), "--info"])
    index(["--out", str(folder / "bare"), "--info"])
    told = capsys.readouterr().out
    assert "columns        family\n" in told
    assert "columns        only text and id\n" in told


def test_answers_are_written_to_files_with_their_columns(folder, tmp_path, capsys):
    flags = ["--index", str(folder / "skills"), "--index", str(folder / "bare"), "--top_k", "2"]
    (tmp_path / "q.txt").write_text("nurse\n\nwrite code\n")
    queries = ["--queries", str(tmp_path / "q.txt")]
    with pytest.raises(UserError, match="1 of 3 queries was not answered"):
        rank([*flags, *queries, "--json"])
    printed = capsys.readouterr().out
    for name in ("a.jsonl", "a.csv"):
        with pytest.raises(UserError, match="1 of 3 queries was not answered"):
            rank([*flags, *queries, "--out", str(tmp_path / name)])
    told = capsys.readouterr()
    assert (told.out, told.err.count("Wrote the answers to 3 queries")) == ("", 2)
    assert (tmp_path / "a.jsonl").read_text() == printed
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [row for row in rows if not row["error"]] == [
        {
            "number": str(line["number"]),
            "query": line["query"],
            "index": name,
            "rank": str(place),
            "id": hit["id"],
            "text": hit["text"],
            "score": str(hit["score"]),
            "name": hit["name"],
            "exact": str(hit["exact"]).lower(),
            "role": hit["role"],
            "words": str(hit["words"]),
            "probability": "",
            "of": str(line["of"][name]),
            "family": hit["columns"].get("family", ""),
            "none": "",
            "error": "",
        }
        for line in lines
        for name, hits in line.get("hits", {}).items()
        for place, hit in enumerate(hits, 1)
    ]
    (error,) = [row for row in rows if row["error"]]
    assert (error["number"], error["query"], error["error"]) == ("2", "", lines[1]["error"])
    rank(["nurse", *flags, "--out", str(tmp_path / "a.csv")])  # replaces it
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl", "q.txt"]


def test_queries_without_a_hit_have_a_row_in_a_csv(folder, tmp_path, capsys):
    flags = ["--index", str(folder / "skills"), "--out", str(tmp_path / "a.csv"), "--min-score", "2"]
    rank([*flags, "nurse", "write code"])
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["number"], row["query"], row["index"], row["id"], row["error"]) for row in rows] == [
        ("1", "nurse", "skills", "", ""),
        ("2", "write code", "skills", "", ""),
    ]
    assert all(row["none"].startswith("0 of 3 hits reach score 2; the best, ") for row in rows)
    assert "Wrote the answers to 2 queries (2 without a hit) to " in capsys.readouterr().err
    rank([*flags[:2], "--min-score", "2", "--picture", str(tmp_path / "p.png"), "nurse"])
    assert "There is no hit to explain, so" in capsys.readouterr().err
    assert not (tmp_path / "p.png").exists()


def test_an_invalid_output_file_is_refused(folder, tmp_path):
    flags = ["nurse", "--index", str(folder / "skills")]
    (tmp_path / "folder.csv").mkdir()
    for more, message in (
        (["--out", "a.txt"], r"--out a\.txt does not end in \.jsonl or \.csv"),
        (["--out", "a.csv", "--explain"], r"does not end in \.jsonl, which takes explanations"),
        (["--out", str(tmp_path / "folder.csv")], r"folder\.csv is a folder\. Name a file"),
    ):
        with pytest.raises(UserError, match=message):
            rank([*flags, *more])


def test_a_column_called_as_one_of_the_answers_is_told_from_it(tmp_path):
    hit = Hit("s1", "code", 0.5, {"text": "further", "id": "7"})
    with answer_file(tmp_path / "a.csv", ["text", "id"]) as write:
        write(Answer(1, "nurse", {"skills": Hits([hit], total=60)}))
    header, row = (tmp_path / "a.csv").read_text().splitlines()
    named = "number,query,index,rank,id,text,score,name,exact,role,words,probability,of"
    assert header == f"{named},columns.text,columns.id,none,error"
    assert row == "1,nurse,skills,1,s1,code,0.5,,false,,0.0,,60,further,7,,"


def test_invalid_filters_are_refused_before_queries_are_read(folder):
    skills, bare = ["--index", str(folder / "skills")], ["--index", str(folder / "bare")]
    for flags, message in (
        ([*skills, "--where", "family"], "--where 'family' does not name a column and a value. Write COLUMN=VALUE"),
        ([*skills, "--where", "=it"], "does not name a column"),
        ([*skills, "--where", "family=iT"], "skills: No target has 'iT' as its family. Did you mean 'it'"),
        ([*skills, *bare, "--where", "family=it"], "bare: There is no column 'family'"),
    ):
        with pytest.raises(UserError, match=message):
            rank(["nurse", *flags])


def test_a_target_added_with_another_value_is_replaced(folder, tmp_path, capsys):
    load_index(folder / "skills").save(tmp_path / "skills")
    rows = [
        {"id": "s1", "label": "care for patients", "family": "health"},
        {"id": "s2", "label": "write code", "family": "it"},
    ]
    more = write_rows(tmp_path / "more.csv", rows)
    flags = ["--model", str(folder / "tiny"), "--out", str(tmp_path / "skills")]
    index([*flags, "--add", str(more)])
    assert "Added 0 targets, and replaced 1." in capsys.readouterr().err
    write_rows(more, [{"id": "s1", "label": "care for patients"}])  # says nothing of the family
    index([*flags, "--add", str(more), "--compact"])
    space = load_index(tmp_path / "skills")
    assert dict(zip(space.ids, space.columns["family"], strict=True)) == {"s1": "health", "s2": "it", "s3": "it"}


def test_the_python_api_takes_columns_and_filters(folder, monkeypatch):
    ranker = load(folder / "tiny")
    texts, families = [row["label"] for row in ROWS], [row["family"] for row in ROWS]
    monkeypatch.setattr("uwe_jax.retrieval.encoding._PART", 2)
    space = ranker.encode_targets(texts, progress=False, columns={"family": families})
    assert list(space.columns["family"]) == families
    hits = ranker.rank("nurse", space, where={"family": "it"})
    assert {(hit.text, hit.columns["family"]) for hit in hits} == {(text, "it") for text in texts[1:]}
    assert ranker.rank(["nurse"], space, where={"family": ["it"]}) == [hits]
    assert list(ranker.rank_stream(["nurse"], space, where={"family": ["it"]})) == [hits]
    for refused in (ranker.rank, ranker.rank_stream, ranker.rank_each):
        with pytest.raises(UserError, match="no column 'famly'"):
            refused(["nurse"], space, where={"famly": "it"})
    with pytest.raises(UserError, match="The column family has 1 values for 3 targets"):
        ranker.encode_targets(texts, columns={"family": ["it"]})


@pytest.mark.thorough
def test_a_service_filters_and_shows_columns(folder):
    options = ServiceOptions((str(folder / "skills"), str(folder / "bare")))
    with running(load=lambda _: load_served(options)) as client:
        told = client.ask("GET", "/v1/indexes").json["indexes"]
        assert [(each["name"], each["columns"]) for each in told] == [("skills", ["family"]), ("bare", [])]
        (answer,) = client.rank("nurse", where={"family": ["it"]}).json["results"]
        assert {hit["id"]: hit["columns"] for hit in answer["hits"]} == {"s2": {"family": "it"}, "s3": {"family": "it"}}
        (answer,) = client.rank("nurse", index="bare").json["results"]
        assert [hit["columns"] for hit in answer["hits"]] == [{}, {}, {}]
        vacancy = {"text": "care for patients\nwrite code", "where": {"family": ["care"]}}
        hits = client.ask("POST", "/v1/vacancy", vacancy).json["hits"]
        assert [(hit["id"], hit["columns"], hit["support"]) for hit in hits] == [("s1", {"family": "care"}, 2)]
        for where, message in (
            ({"famly": ["it"]}, "There is no column 'famly'. Did you mean 'family'?"),
            ({"family": ["iT"]}, "No target has 'iT' as its family. Did you mean 'it'?"),
            ({"family": []}, "The filter of 'family' is '[]'. Give one or more strings."),
            ({"family": [1]}, "where.family"),
        ):
            for reply in (
                client.rank("nurse", where=where),
                client.ask("POST", "/v1/vacancy", {"text": "write code", "where": where}),
            ):
                assert reply.status == 422
                assert message in reply.json["detail"]


def test_requests_of_two_filters_are_not_mixed():
    with running() as client:
        first, second = (
            client.rank("code", where={"family": [word]}).json["results"][0]["hits"] for word in ("test", "weld")
        )
    assert [hit["text"] for hit in (*first, *second)] == ["test code", "weld metal"]
