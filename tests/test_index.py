"""`uwe-jax index`: from a file or taxonomy to a space, and what changes one."""

import functools
import json
import os
import re
import sys
from pathlib import Path

import filelock
import numpy as np
import pytest
from esco_downloads import OCCUPATION, SKILL, SKILLS, classification, write_release, write_zip
from onet_download import write_onet
from tiny_encoder import write_tiny_encoder
from vacancy_files import write_rows

from uwe_jax.commands.index import main
from uwe_jax.retrieval import indexing
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.location import record, recorded
from uwe_jax.retrieval.store.folder import load_index
from uwe_jax.retrieval.table_targets import read_ids
from uwe_jax.retrieval.texts_in import read_targets
from uwe_jax.runtime import locks
from uwe_jax.runtime.errors import UserError

ROWS = [
    {"id": "s1", "label": "care for  patients"},
    {"id": "s2", "label": "write code"},
    {"id": "s3", "label": "engineer software"},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return f"{write_tiny_encoder(tmp_path_factory.mktemp('tiny'), layers=1)}"


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """Calls of one model share what it has compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexing, "load", functools.cache(load))
        yield


@pytest.fixture(scope="module")
def built(model, loaded_once, tmp_path_factory) -> tuple:
    """A file of targets and the space of it, not to be changed."""
    folder = tmp_path_factory.mktemp("built")
    path = write_rows(folder / "skills.csv", ROWS)
    main(["--model", model, "--targets", str(path), "--out", str(folder / "skills")])
    return path, folder / "skills"


def contents(folder) -> dict[str, str]:
    space = load_index(folder)
    return dict(zip(space.ids, space.texts, strict=True))


def test_a_space_is_what_the_python_api_makes(built, model):
    path, out = built
    assert contents(out) == {"s1": "care for patients", "s2": "write code", "s3": "engineer software"}
    ranker, space = load(model), load_index(out)
    assert space.origin == ranker.origin
    same = ranker.encode_targets(list(space.texts), list(space.ids), progress=False)
    np.testing.assert_array_equal(space.tokens.flat, same.tokens.flat)
    assert json.loads((out / "index.json").read_text()) == {"model": model, "targets": [f"{path}, column label"]}


@pytest.mark.parametrize(("language", "names"), [("de", []), ("DE,en", ["weld metal", "join metal"])])
def test_esco_in_german_is_one_command(model, tmp_path, language, names):
    write_release(tmp_path / "esco")
    german = [(SKILL + "1", "Metall schwei\u00dfen", "schwei\u00dfen"), *SKILLS[1:]]
    path = write_zip(tmp_path / "esco", "1.1.1", "de", classification(german, language="de"))
    where = str(path if language == "de" else path.parent)
    main(["--model", model, "--targets", where, "--language", language, "--out", str(tmp_path / "index")])
    index = load_index(tmp_path / "index")
    assert index.texts[0] == "Metall schwei\u00dfen"
    assert [name.text for name in index.names_of(0)][1:4] == ["schwei\u00dfen", *names]


def test_targets_of_unknown_tokens_are_counted(model, tmp_path, capsys):
    targets = tmp_path / "targets.txt"
    targets.write_text("nurse\n\u770b\u8b77\u5e2b\n\u6599\u7406\u9577\n", encoding="utf-8")
    main(["--model", model, "--targets", str(targets), "--out", str(tmp_path / "space")])
    told = capsys.readouterr().err
    assert told.count("2 of 3 targets (66.7 %) have tokens that the encoder's tokeniser does not know, 2 of them") == 1


def test_targets_that_are_truncated_are_counted(model, tmp_path, capsys, monkeypatch):
    out, more = tmp_path / "space", tmp_path / "more.csv"
    targets = write_rows(tmp_path / "targets.csv", [{"text": "code " * count} for count in (4, 5, 9)])
    with monkeypatch.context() as patch:
        patch.setattr(indexing, "report", lambda text: print(text, file=sys.stderr))
        main(["--model", model, "--targets", str(targets), "--out", str(out), "--max_tokens", "6"])
    told = capsys.readouterr().err
    assert "2 of 3 targets are truncated at 6 tokens, the longest has 11. " in told
    assert re.search(r"stored as +float16, [\d.]+ bytes in 1 segment\n", told.split("Next:\n")[0])
    write_rows(more, [{"text": "write code"}, {"text": "nurse " * 5}])
    main(["--out", str(out), "--add", str(more)])
    assert "1 of 2 targets is truncated at 6 tokens, the longest has 7. " in capsys.readouterr().err
    write_rows(more, [{"text": "nurse"}])
    main(["--out", str(out), "--add", str(more)])
    assert "truncated" not in capsys.readouterr().err


def test_the_model_of_an_index_is_found_from_every_folder(built, model, tmp_path, monkeypatch):
    path, _ = built
    folder = Path(model)
    monkeypatch.chdir(folder.parent)
    main(["--model", f"{folder.name}:soft", "--targets", str(path), "--out", str(tmp_path / "space")])
    monkeypatch.chdir(tmp_path)
    assert recorded(tmp_path / "space").model == f"{folder.resolve()}:soft"
    (tmp_path / "more.txt").write_text("nurse\n")
    main(["--out", "space", "--add", "more.txt"])
    assert "nurse" in contents("space")
    for name in ("all-MiniLM-L6-v2:soft", "gs://bucket/folder:soft"):
        record(tmp_path / "space", name, ())
        assert recorded(tmp_path / "space").model == name


def test_targets_are_added_and_removed_without_encoding_the_others(built, model, tmp_path, capsys, monkeypatch):
    path, _ = built
    out = tmp_path / "space"
    main(["--model", model, "--targets", str(path), "--out", str(out), "--dtype", "float32", "--max_tokens", "20"])
    first = load_index(out)

    encoded = []
    real = indexing.load

    def watched(*args, **kwargs):
        ranker = real(*args, **kwargs)
        encode = ranker.encode_targets
        monkeypatch.setattr(
            ranker, "encode_targets", lambda texts, *a, **k: encoded.extend(texts) or encode(texts, *a, **k)
        )
        return ranker

    monkeypatch.setattr(indexing, "load", watched)
    rows = [ROWS[0], {"id": "s2", "label": "write software"}, {"id": "s4", "label": "nurse"}]
    more = write_rows(tmp_path / "more.jsonl", rows)
    (tmp_path / "old.txt").write_text("s3\nnowhere\n")
    # The model, its tokens and the dtype are those of the space.
    main(["--out", str(out), "--add", str(more), "--remove", str(tmp_path / "old.txt")])
    assert contents(out) == {"s1": "care for patients", "s2": "write software", "s4": "nurse"}
    assert encoded == ["write software", "nurse"]
    told = capsys.readouterr()
    assert "Removed 1 target; 1 of the ids were not there." in told.err
    assert "Added 1 target, and replaced 1." in told.err
    changed = load_index(out)
    assert (changed.dtype, changed.origin) == ("float32", first.origin)
    lengths = first.tokens.lengths
    np.testing.assert_array_equal(changed.tokens.flat[: lengths[0]], first.tokens.flat[: lengths[0]])

    main(["--out", str(out), "--add", str(more)])
    assert len(encoded) == 2  # all there already
    main(["--out", str(out), "--compact", "--verify"])
    assert contents(out) == {"s1": "care for patients", "s2": "write software", "s4": "nurse"}
    told = capsys.readouterr()
    assert "is intact" in told.err
    assert "targets        3\n" in told.out
    assert "float32" in told.out
    assert "in 1 segment\n" in told.out

    main(["--model", model, "--targets", str(path), "--out", str(out)])
    assert f"{out} holds an index of 3 texts, which this one replaces." in capsys.readouterr().err


def test_another_model_cannot_add(built, tmp_path):
    out = tmp_path / "space"
    _, space = built
    load_index(space).save(out)  # without the note of where its model lies
    (tmp_path / "more.txt").write_text("nurse\n")
    with pytest.raises(UserError, match="does not say where its model"):
        main(["--out", str(out), "--add", str(tmp_path / "more.txt")])
    other = write_tiny_encoder(tmp_path / "other", seed=1, layers=1)
    with pytest.raises(UserError, match="The index was encoded by"):
        main(["--out", str(out), "--add", str(tmp_path / "more.txt"), "--model", str(other)])
    assert contents(out) == contents(space)


def test_bad_targets_leave_the_index_unchanged(built, model, tmp_path):
    path, out = built
    before = contents(out)
    bad = tmp_path / "bad.csv"
    bad.write_text("id,label\na,nurse\na,care\n")
    with pytest.raises(UserError, match="the id 'a' has two texts, 'nurse' and 'care'"):
        main(["--model", model, "--targets", str(bad), "--out", str(out), "--no-target-names"])
    bad.write_text("id,label\na,nurse\nb,  \n")
    with pytest.raises(UserError, match=r"(?s)1 broken row .*bad.csv, line 3: found label '  '; expected a text"):
        main(["--out", str(out), "--remove", str(path), "--add", str(bad)])
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "letter.doc").touch()
    with pytest.raises(UserError, match="1 file outside of an index"):
        main(["--model", "no such model", "--targets", str(path), "--out", str(tmp_path / "foreign")])
    assert contents(out) == before


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.csv.gz", "a.parquet"])
def test_tables(tmp_path, name):
    rows = [{"code": 7, "titel": "Pfleger\u00a0in", "title": "nurse"}, {"code": 8, "titel": "Koch", "title": "cook"}]
    path = write_rows(tmp_path / name, rows)
    found = read_targets(path)
    assert (found.texts, found.ids) == (("nurse", "cook"), ("7", "8"))
    assert read_targets(path, column="titel", id_column="title").texts == ("Pfleger in", "Koch")
    assert read_ids(path) == ["7", "8"]
    assert read_ids(path, "titel") == ["Pfleger\u00a0in", "Koch"]
    with pytest.raises(UserError, match=r"no column 'name'. Its columns: code, titel, title"):
        read_targets(path, column="name")


def test_texts_with_html_are_counted(tmp_path):
    rows = [{"label": "C++ &amp; SQL", "aliases": "<b>code</b>"}, {"label": "R&D; <5 years", "aliases": "research"}]
    (note,) = read_targets(write_rows(tmp_path / "skills.csv", rows), names="aliases").notes
    assert note.startswith("2 texts with HTML tags or entities read as written, such as 'C++ &amp; SQL'; convert to")


def test_texts_without_ids_are_their_own(tmp_path):
    path = tmp_path / "skills.txt"
    path.write_text("weld metal\n\n  plan   shifts \nweld metal\n", encoding="utf-8-sig")
    found = read_targets(path)
    assert found.ids == found.texts == ("weld metal", "plan shifts")
    assert found.notes == ("1 duplicate row left out",)
    for name, options in (("odd.jsonl", {}), ("odd.csv", {"column": "Anything"})):
        assert read_targets(write_rows(tmp_path / name, [{"anything": "cook"}]), **options).ids == ("cook",)
    two = write_rows(tmp_path / "two.csv", [{"a": "cook", "b": "bake"}])
    with pytest.raises(UserError, match=r"no column called text or .* Its columns: a, b. Use --column"):
        read_targets(two)
    with pytest.raises(UserError, match=r"no column called id or .* Use --id-column"):
        read_ids(two)
    path.write_bytes("Pflege für Ältere".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        read_targets(path)
    path.write_text(" \n")
    for read in (read_targets, read_ids):
        with pytest.raises(UserError, match="holds no"):
            read(path)
        with pytest.raises(UserError, match="There is no"):
            read(tmp_path / "nowhere.csv")
        with pytest.raises(UserError, match="in no supported format"):
            read(write_tiny_encoder(tmp_path / "tiny") / "model.safetensors")
    two.write_text("label,id\n")
    with pytest.raises(UserError, match="has the columns label, id and no row below them"):
        read_targets(two)
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(UserError, match="is a pipe or a device"):
        read_targets(tmp_path / "pipe.txt")


def test_taxonomies(tmp_path):
    write_release(tmp_path / "esco")
    onet = write_onet(tmp_path / "onet")
    skills = read_targets(tmp_path)  # skills are ESCO's alone
    assert skills.texts == ("weld metal", "plan shifts", "haute cuisine")
    assert skills.ids == (SKILL + "1", SKILL + "2", SKILL + "3")
    assert "ESCO v1.1.1 (en)" in skills.origin
    assert skills.notes[0].startswith("skills by default, --kind also takes occupations, activities, tasks, techno")
    assert not read_targets(tmp_path / "esco", kind="skills").notes
    assert read_targets(tmp_path / "esco", kind="occupations").ids == (OCCUPATION + "a", OCCUPATION + "b")
    assert read_targets(onet, kind="occupations").ids == ("11-1011.00", "35-1011.00", "51-4121.00")
    assert read_targets(onet, kind="activities", version="29.3").ids == ("D01", "D02", "D03", "D04")
    tools = read_targets(tmp_path / "onet", kind="technologies")
    assert tools.ids == tools.texts == ("AdSense Tracker", "Point of sale software")
    with pytest.raises(UserError, match=r"the occupations of ESCO v1.1.1 \(en\) and of O\*NET 29.3. Expected one"):
        read_targets(tmp_path, kind="occupations")
    with pytest.raises(UserError, match=r"holds no skills. It holds O\*NET 29.3: occupations, .*--kind"):
        read_targets(onet)
    with pytest.raises(UserError, match=r"holds no version 1.2 of ESCO"):
        read_targets(tmp_path / "esco", version="1.2")
    with pytest.raises(UserError, match="not a table"):
        read_targets(tmp_path, column="label")
    with pytest.raises(UserError, match="--kind skills is for folders"):
        read_targets(write_rows(tmp_path / "a.csv", ROWS), kind="skills")


def test_the_command_line(capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 0
    assert "--targets PATH" in capsys.readouterr().out
    for flags, message in (
        (["--info"], "--out is required"),
        (["--out", "x"], "Nothing to do with x"),
        (["--out", "x", "--targets", "y", "--add", "z"], "Give only one of them"),
        (["--out", str(tmp_path / "x"), "--info"], "There is no folder"),
        (["--out", str(tmp_path / "x"), "--remove", "nowhere.txt"], "There is no nowhere.txt"),
        (["--out", "x", "--upload", "y"], "not a location in Qdrant"),
        (["--out", "x", "--dtype", "int4"], "--dtype is 'int4'; .*'float16'"),
    ):
        with pytest.raises(UserError, match=message):
            main(flags)
    assert not (tmp_path / "x").exists()


def test_options_that_nothing_would_read_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "more.csv", ROWS)
    for flags, option in (
        (["--targets", "more.csv", "--out", "qdrant:store#x"], "qdrant:store#x is a location in Qdrant. Name a folder"),
        (["--add", "more.csv", "--max-tokens", "5"], "--max-tokens is of an index that is built"),
        (["--add", "more.csv", "--dtype", "int8"], "--dtype is of an index that is built"),
        (["--info", "--dtype", "int8"], "--dtype is of an index that is built"),
        (["--info", "--model", "m"], "--model is of targets that are read"),
        (["--info", "--kind", "skills"], "--kind is of targets that are read"),
        (["--compact", "--keep", "zz"], "--keep is of targets that are read"),
        (["--verify", "--no-target-names"], "--no-target-names is of targets that are read"),
        (["--remove", "old.txt", "--version", "1.2"], "--version is of targets that are read"),
        (["--info", "--id-column", "code"], "--id-column is of targets that are read"),
        (["--remove", "old.csv", "--id-column", "code"], "There is no old.csv"),  # read
        (["--add", "more.csv", "--language", "de"], "--language is of ESCO's and O.NET's .* more.csv"),
        (["--targets", "more.csv", "--version", "1.2"], "--version is of ESCO's and O.NET's .* more.csv"),
    ):
        with pytest.raises(UserError, match=option):
            main(["--out", "idx", *flags] if "--out" not in flags else flags)


def test_encoded_targets_wait_for_another_writer(built, model, tmp_path, monkeypatch):
    path, _ = built
    out = tmp_path / "space"
    main(["--model", model, "--targets", str(path), "--out", str(out)])
    note = json.loads((out / "index.json").read_text())
    monkeypatch.setattr(locks, "QUIET", 0.05)
    lock = filelock.FileLock(out / "space.lock")
    real, told = indexing.load, []

    def another_begins_to_write(*args, **kwargs):
        lock.acquire()
        (out / "index.json").write_text(json.dumps({**note, "targets": [*note["targets"], "theirs"]}))
        return real(*args, **kwargs)

    def until_it_is_waited_for(message):
        told.append(message)
        lock.release()

    monkeypatch.setattr(indexing, "load", another_begins_to_write)
    monkeypatch.setattr(locks.LOG, "info", until_it_is_waited_for)
    (tmp_path / "more.txt").write_text("nurse\n")
    main(["--out", str(out), "--add", str(tmp_path / "more.txt")])
    assert contents(out)["nurse"] == "nurse"
    assert json.loads((out / "index.json").read_text())["targets"][1:] == ["theirs", f"{tmp_path / 'more.txt'}"]
    main(["--model", model, "--targets", str(path), "--out", str(out)])
    assert len(load_index(out)) == len(ROWS)
    assert [message.startswith("Another process is writing to") for message in told] == [True, True]
