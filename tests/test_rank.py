"""`uwe-jax rank`: queries from anywhere against spaces on disk, good and bad ones."""

import contextlib
import functools
import json
import os
import subprocess
import sys

import pytest
from tiny_encoder import with_nan, write_tiny_encoder
from vacancy_files import write_rows

from uwe_jax.__main__ import main as front_door
from uwe_jax.commands.index import main as index
from uwe_jax.commands.rank import main
from uwe_jax.retrieval import answering
from uwe_jax.retrieval.limits import MAX_CHARACTERS
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.options import parse_index
from uwe_jax.retrieval.queries_in import BATCH, batches, file_queries, line_queries
from uwe_jax.retrieval.store.folder import load_index
from uwe_jax.runtime.command import EXIT_UNREAD
from uwe_jax.runtime.errors import UserError

pytestmark = pytest.mark.usefixtures("loaded_once")
SKILLS = ("care for patients", "write code", "engineer software")
JOBS = ("nurse", "software engineer")


@pytest.fixture(scope="module")
def folder(loaded_once, tmp_path_factory):
    """A model, and two indexes that record its location."""
    folder = tmp_path_factory.mktemp("rank")
    write_tiny_encoder(folder / "tiny", layers=1)
    for name, texts in (("skills", SKILLS), ("jobs", JOBS)):
        rows = [{"id": f"{name}{number}", "text": text} for number, text in enumerate(texts)]
        targets = write_rows(folder / f"{name}.csv", rows)
        index(["--model", str(folder / "tiny"), "--targets", str(targets), "--out", str(folder / name)])
    return folder


@pytest.fixture
def piped(tmp_path, monkeypatch):
    """Puts bytes on standard input."""
    with contextlib.ExitStack() as opened:

        def put(content: bytes) -> None:
            (tmp_path / "in").write_bytes(content)
            monkeypatch.setattr(sys, "stdin", opened.enter_context((tmp_path / "in").open("rb")))

        yield put


def answers(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_queries_that_are_truncated_are_counted_over_all_batches(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(answering, "batches", functools.partial(batches, most=2))
    (tmp_path / "queries.txt").write_text("nurse\n" + f"{'code ' * 63}\n\n" * 2 + "code " * 62)
    with pytest.raises(UserError, match="2 of 6 queries were not answered"):
        main(["--index", str(folder / "skills"), "--queries", str(tmp_path / "queries.txt"), "--json"])
    assert "2 of 4 queries are truncated at 64 tokens, the longest has 65. --max-tokens" in capsys.readouterr().err
    main(["--index", str(folder / "skills"), "nurse"])
    told = capsys.readouterr().err
    assert "truncated" not in told
    assert "does not know" not in told


def test_queries_of_unknown_tokens_are_counted_over_all_batches(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(answering, "batches", functools.partial(batches, most=2))
    (tmp_path / "queries.txt").write_text("nurse\n\u770b\u8b77\u5e2b\ncode\n\u5e2b\n", encoding="utf-8")
    main(["--index", str(folder / "skills"), "--queries", str(tmp_path / "queries.txt"), "--json"])
    told = capsys.readouterr().err
    assert told.count("2 of 4 queries (50.0 %) have tokens that the encoder's tokeniser does not know") == 1


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (["  "], r"^Query 1 is empty; it must hold text\. Fill it or leave it out\.$"),
        (["", "\t"], r"^2 of 2 queries were not answered\. The first: Query 1 is empty"),
        (["nurse", ""], r"^1 of 2 queries was not answered; all others were\. The first: Query 2 is empty"),
    ],
)
def test_blank_queries_are_refused_in_a_sentence_that_fits_their_number(folder, queries, message, capsys):
    with pytest.raises(UserError, match=message):
        main(["--index", str(folder / "skills"), *queries])
    assert ("is empty" in capsys.readouterr().out) == (len(queries) > 1), "the error of a single query is told once"


def test_queries_with_html_are_counted_over_all_batches(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(answering, "batches", functools.partial(batches, most=2))
    (tmp_path / "queries.txt").write_text("nurse\nC++ &amp; SQL\ncode\n<b>cook</b>\nR&D\n")
    main(["--index", str(folder / "skills"), "--queries", str(tmp_path / "queries.txt"), "--json"])
    told = capsys.readouterr().err
    assert (
        "2 queries with HTML tags or entities read as written, such as 'C++ &amp; SQL'; convert to plain text" in told
    )


def test_answers_are_those_of_the_python_api(folder, capsys):
    main(
        [
            "nurse",
            "write  software",
            "--index",
            str(folder / "skills"),
            "--index",
            f"titles={folder / 'jobs'}",
            "--json",
        ]
    )
    told = answers(capsys)
    assert [(each["number"], each["query"]) for each in told] == [(1, "nurse"), (2, "write software")]
    ranker = load(folder / "tiny")
    for name, space in (("skills", "skills"), ("titles", "jobs")):
        expected = ranker.rank([each["query"] for each in told], load_index(folder / space))
        for each, hits in zip(told, expected, strict=True):
            found = each["hits"][name]
            assert [(hit["id"], hit["text"]) for hit in found] == [(hit.id, hit.text) for hit in hits]
            assert [hit["score"] for hit in found] == pytest.approx([hit.score for hit in hits], abs=1e-6)


def test_tables_and_explanations_for_people(folder, tmp_path, capsys):
    picture = tmp_path / "why.png"
    main(["nurse", "--index", str(folder / "jobs"), "--top_k", "1", "--explain", "--picture", str(picture)])
    told, err = capsys.readouterr()
    assert err.endswith(f"Wrote {picture}.\n")
    assert told.startswith('"nurse" in jobs: the best of 2\n')
    assert "1.0000 │ nurse" in told
    assert "jobs0" in told
    assert "software engineer" not in told
    assert "Why 'nurse' (exact name), the best of 2:\nScore 1.0000 (mean_pool)" in told
    assert picture.read_bytes().startswith(b"\x89PNG")
    main(["nurse", "--index", str(folder / "jobs"), "--explain", "--json"])
    (told,) = answers(capsys)
    expected = load(folder / "tiny").explain("nurse", "nurse").to_dict()
    assert told["explanations"]["jobs"] == {**expected, "hit": told["hits"]["jobs"][0], "rank": 1, "of": 2}


def test_the_caption_of_a_table_is_one_line(folder, capsys):
    query = "forklift driver on night shifts in a cold store " * 3
    main([query, "--index", str(folder / "jobs"), "--top_k", "1"])
    caption, border = capsys.readouterr().out.splitlines()[:2]
    assert caption.startswith('"forklift driver on night shifts in')
    assert caption.endswith('..." in jobs: the best of 2')
    assert len(caption) <= 80
    assert border[0] == "┏"


def test_queries_from_files(folder, tmp_path, capsys):
    texts = ["nurse", "write code", "nurse"]
    lines = tmp_path / "q.txt"
    lines.write_text("\ufeffnurse\r\nwrite\tcode\nnurse")
    assert list(file_queries(lines)) == texts
    rows = [{"n": n, "query": text} for n, text in enumerate(texts)]
    for name in ("q.jsonl", "q.parquet", "q.csv"):
        table = write_rows(tmp_path / name, rows)
        assert list(file_queries(table, "query")) == texts
    main(["--index", str(folder / "jobs"), "--queries", str(table), "--json", "--top_k", "1", "--column", "query"])
    told = answers(capsys)
    assert [each["query"] for each in told] == texts
    assert told[0]["hits"] == told[2]["hits"]


def test_broken_rows_are_reported_in_place(tmp_path):
    path = tmp_path / "q.jsonl"
    rows = ['{"text": "nurse"}', "{", '{"text": 3}', '{"text": null}', '{"text": "code"}', '["text"]']
    path.write_text("\n".join(rows))
    found = list(file_queries(path))
    assert [each if isinstance(each, str) else "" for each in found] == ["nurse", "", "", "", "code", ""]
    assert "Query 2 cannot be read: q.jsonl, line 2: found invalid JSON" in str(found[1])
    assert "line 3: found '3'; expected a text" in str(found[2])
    assert "Query 4 is empty" in str(found[3])
    assert "Query 6 cannot be read" in str(found[5])
    with pytest.raises(UserError, match="There is no file"):
        file_queries(tmp_path / "nowhere")
    write_tiny_encoder(tmp_path / "tiny")
    with pytest.raises(UserError, match="is not a table"):
        file_queries(tmp_path / "tiny" / "model.safetensors", "text")


def test_bad_queries_do_not_affect_others(folder, piped, capsys):
    lines = [
        b"nurse",
        b"",
        b"\xff\xfe",
        b"a" * (10 * 2**20),
        "é".encode() * (MAX_CHARACTERS + 1),
        b"\x1b[31mcode\x07",
        b"care",
    ]
    piped(b"\n".join(lines))
    with pytest.raises(
        UserError, match=r"4 of 7 queries were not answered; all others were. The first: Query 2 is empty"
    ):
        main(["--index", str(folder / "jobs"), "--json"])
    told = answers(capsys)
    assert [each["number"] for each in told] == [1, 2, 3, 4, 5, 6, 7]
    assert [each.get("query") for each in told] == ["nurse", None, None, None, None, "[31mcode", "care"]
    assert "byte 0xff at position 1" in told[2]["error"]
    assert "10,485,760 characters; at most 100,000" in told[3]["error"]
    assert "100,001 characters" in told[4]["error"]


def test_a_query_that_cannot_be_scored_does_not_affect_others(folder, piped, monkeypatch, capsys):
    piped(b"nurse\ncare quiz\n\nwrite code\n")
    broken = with_nan(load(folder / "tiny"), "q")
    monkeypatch.setattr(answering, "load", lambda *_, **__: broken)
    spaces = ["--index", str(folder / "jobs"), "--index", str(folder / "skills")]
    with pytest.raises(
        UserError, match=r"2 of 4 queries were not answered; all others were. The first: Query 2 cannot"
    ):
        main([*spaces, "--json", "--explain"])
    told = answers(capsys)
    assert [each["number"] for each in told] == [1, 2, 3, 4]
    assert told[0]["hits"]["jobs"][0]["text"] == "nurse"
    assert told[1].keys() == {"number", "error"}
    assert "Query 2 cannot be scored: the model's embedding of it has a component that is NaN" in told[1]["error"]
    assert told[3]["hits"]["skills"][0]["text"] == "write code"
    with pytest.raises(UserError, match="Query 1 cannot be scored"):
        main(["quiz", *spaces])
    assert capsys.readouterr().out == "", "the error says it"


def test_only_bad_queries_and_no_queries(folder, piped, capsys):
    piped(b"\n \n")
    with pytest.raises(UserError, match="2 of 2 queries"):
        main(["--index", str(folder / "jobs")])
    assert "Query 2 is empty" in capsys.readouterr().out
    piped(b"")
    main(["--index", str(folder / "jobs"), "--json"])
    assert answers(capsys) == []


def test_lines_of_a_pipe_end_as_those_of_files():
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        found = line_queries(reading)
        pipe.write(b"head chef\rdog trainer\r")
        assert next(found) == "head chef"  # not waiting for more
        assert [next(found), next(found)] == ["dog trainer", None]
        pipe.write(b"\nnurse\r\ncook")  # the line feed ends the same line
        assert [next(found), next(found)] == ["nurse", None]
    assert list(found) == ["cook"]
    os.close(reading)


def test_many_lines_are_read_in_batches():
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        found = batches(line_queries(reading))
        pipe.write(b"first\nsec")
        assert next(found) == ["first"]  # not waiting for the rest of the second
        pipe.write(b"ond\n" + b"x\n" * 2 * BATCH)
        sizes = [len(next(found)), len(next(found)), len(next(found))]
        assert sizes == [BATCH, BATCH, 1]
        pipe.write(b"last")
    assert list(found) == [["last"]]
    os.close(reading)


def test_a_closed_pipe_ends_the_command_quietly(folder, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        with pytest.raises(SystemExit) as end:
            front_door(["rank", "nurse", "--index", str(folder / "jobs")])
    assert end.value.code == EXIT_UNREAD


@pytest.mark.thorough
def test_a_pipe_is_answered_line_by_line(folder):
    command = [sys.executable, "-m", "uwe_jax", "rank", "--index", str(folder / "skills"), "--json", "--top_k", "1"]
    one_device = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1"
    environment = {**os.environ, "XLA_FLAGS": one_device, "LC_ALL": "C"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as asked:
        for line in ("write code", "", "engineer softwäre"):
            asked.stdin.write(f"{line}\n".encode())
            asked.stdin.flush()
            told = json.loads(asked.stdout.readline())
            assert told.get("query", "") == line
        assert told["hits"]["skills"][0]["text"] in SKILLS
        asked.stdin.close()
        assert asked.stdout.read() == b""
        errors = asked.stderr.read().decode()
    assert asked.returncode == 2
    (told,) = filter(None, errors.splitlines())  # nothing else stands among the answers
    assert told.startswith("Error: 1 of 3 queries was not answered")


def test_indexes_of_another_model_are_refused(folder, tmp_path):
    other = write_tiny_encoder(tmp_path / "other", seed=1, layers=1)
    with pytest.raises(UserError, match=r"jobs: The index was encoded by .* Load the model of the index"):
        main(["nurse", "--index", str(folder / "jobs"), "--model", str(other)])
    with pytest.raises(UserError, match="holds one mean per target"):
        main(["nurse", "--index", str(folder / "jobs"), "--model", f"{folder / 'tiny'}:soft"])
    load_index(folder / "jobs").save(tmp_path / "bare")
    with pytest.raises(UserError, match="bare does not say where its model was loaded from"):
        main(["nurse", "--index", str(folder / "skills"), "--index", str(tmp_path / "bare")])
    main(["nurse", "--index", str(tmp_path / "bare"), "--model", str(folder / "tiny")])
    (tmp_path / "bare" / "index.json").write_text('{"model": "somewhere/else", "targets": []}')
    with pytest.raises(UserError, match="2 models"):
        main(["nurse", "--index", str(folder / "skills"), "--index", str(tmp_path / "bare")])


def test_an_index_in_qdrant_gives_the_same_answers(folder, tmp_path, capsys):
    pytest.importorskip("qdrant_client")
    place = f"qdrant:{tmp_path / 'store'}#skills"
    index(["--out", str(folder / "skills"), "--upload", place])
    capsys.readouterr()
    with pytest.raises(UserError, match="does not say where its model"):
        main(["nurse", "--index", place])
    main(["nurse", "--index", f"there={place}", "--json", "--candidates", "3", "--model", str(folder / "tiny")])
    (there,) = answers(capsys)
    main(["nurse", "--index", f"there={folder / 'skills'}", "--json"])
    assert [there] == answers(capsys)


def test_an_index_that_is_ranked_by_another_scorer_now_is_named(folder, tmp_path, capsys):
    spec = f"{folder / 'tiny'}:soft"
    index(["--model", f"{spec},side=query", "--targets", str(folder / "skills.csv"), "--out", str(tmp_path / "old")])
    (tmp_path / "old" / "index.json").write_text(json.dumps({"model": spec, "targets": []}))
    capsys.readouterr()
    main(["nurse", "--index", str(tmp_path / "old")])
    assert "built with the scorer soft,side=query, and is ranked by soft, the scorer of" in capsys.readouterr().err
    main(["nurse", "--index", str(tmp_path / "old"), "--model", spec])
    assert "was built with the scorer" not in capsys.readouterr().err


def test_targets_without_an_index_are_encoded_once(folder, tmp_path, capsys):
    flags = ["nurse", "--targets", str(folder / "jobs.csv"), "--model", str(folder / "tiny"), "--json"]
    main([*flags, "--cache-dir", str(tmp_path)])
    first = capsys.readouterr()
    assert "Encoded 2 targets. Their index is kept in" in first.err
    main([*flags, "--cache_dir", str(tmp_path)])
    again = capsys.readouterr()
    assert "Encoded" not in again.err
    assert again.out == first.out
    (manifest,) = (tmp_path / "indexes").glob("*/space.json")
    manifest.write_text(manifest.read_text()[:40])
    main([*flags, "--cache-dir", str(tmp_path)])
    replaced = capsys.readouterr()
    assert "Encoded 2 targets" in replaced.err
    assert replaced.out == first.out
    main(["nurse", "--index", str(folder / "jobs"), "--json"])
    assert answers(capsys) == [json.loads(first.out)]


def test_an_index_whose_folder_holds_an_equals_sign_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_index("lr=0.5") == ("lr", "0.5")
    (tmp_path / "lr=0.5").mkdir()
    assert parse_index("lr=0.5") == ("lr=0.5", "lr=0.5")
    assert parse_index("best=lr=0.5") == ("best", "lr=0.5")


def test_a_former_option_is_accepted_with_a_warning(folder, capsys):
    main(["nurse", "--space", str(folder / "jobs"), "--json"])
    assert "Warning: --space is now --index" in capsys.readouterr().err


def test_the_command_line(capsys):
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 0
    assert "--top-k INT" in capsys.readouterr().out
    for flags, message in (
        (["nurse"], "--index or --targets is required"),
        (["nurse", "--index", "x"], "There is no folder x"),
        (["nurse", "--index", "x/a", "--index", "y/a"], "2 indexes under 1 names"),
        (["nurse", "--index", "x", "--queries", "y"], "give only one"),
        (["--index", "x", "--column", "text"], "--column names a column of the --queries file"),
        (["a", "b", "--index", "x", "--picture", "p.png"], "--picture needs exactly one query"),
        (["nurse", "--index", "x", "--top_k", "0"], "--top-k is 0"),
        (["nurse", "--index", "x", "--names", "aka"], "--names is of --targets; an index is ranked as it was built"),
        (["nurse", "--index", "x", "--no-target-names"], "--no-target-names is of .* alone, give --label-weight 1"),
        (["nurse", "--index", "x", "--language", "de"], "--language is of --targets"),
        (["nurse", "--targets", __file__, "--language", "de"], "--language is of ESCO's .*, and .* is a file of texts"),
    ):
        with pytest.raises(UserError, match=message):
            main(flags)
    with pytest.raises(SystemExit) as end:
        main(["nurse", "--indx", "x"])
    assert end.value.code == 2
    assert "--index" in capsys.readouterr().err
