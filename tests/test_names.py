"""Targets with several names: from sources through an index to hits, explanations and answers."""

import csv
import json
import os

import numpy as np
import pytest
from esco_downloads import OCCUPATION, SKILL, write_release
from onet_download import write_onet
from tiny_encoder import write_tiny_encoder
from vacancy_files import write_rows

from uwe_jax.commands.index import main as index
from uwe_jax.commands.rank import main as rank
from uwe_jax.data.text import name_key
from uwe_jax.retrieval import encoding
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.qdrant.qdrant_space import QdrantIndex
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.retrieval.store.folder import append, compact, load_index, remove, verify
from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.retrieval.texts_in import read_targets
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.names import LABEL_WEIGHT, name_shares
from uwe_jax.serving.routes import gather

pytestmark = pytest.mark.usefixtures("loaded_once")
TEXTS = ["care for patients", "software engineer", "nurse"]
IDS = ["s1", "s2", "s3"]
NAMES = [["patients care", "nurse patients"], ["write code", "Write Code", " ", "code writer"], []]
KEPT = [["patients care", "nurse patients"], ["write code", "code writer"], []]
QUERIES = ["write software code", "patients", "for nurse"]


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    return f"{write_tiny_encoder(tmp_path_factory.mktemp('names') / 'tiny', layers=1)}:soft"


@pytest.fixture(scope="module")
def model(encoder) -> Ranker:
    return load(encoder)


def named(model: Ranker, **options) -> Index:
    return model.encode_targets(TEXTS, IDS, names=NAMES, dtype="float32", progress=False, **options)


def texts_of(space: Index, target: int) -> list[str]:
    return [name.text for name in space.names_of(target)]


@pytest.fixture(scope="module")
def space(model) -> Index:
    return named(model, columns={"family": ["care", "it", "care"]})


def test_the_score_of_a_target_is_that_of_its_label_and_its_best_name(model, space):
    assert (len(space), space.count({"family": "care"}), len(space.names)) == (3, 2, 7)
    assert [texts_of(space, k) for k in range(3)] == [[text, *more] for text, more in zip(TEXTS, KEPT, strict=True)]
    assert (space.ids, space.texts, list(space.columns["family"])) == (IDS, TEXTS, ["care", "it", "care"])
    for label_weight in (LABEL_WEIGHT, 0.8):
        ranker = Ranker(model.loaded, RankSettings(label_weight))
        for query, hits in zip(QUERIES, ranker.rank(QUERIES, space), strict=True):
            expected = {}
            for target, text, more in zip(IDS, TEXTS, KEPT, strict=True):
                scores = model.scores([query], [text, *more])[0]
                matched = [text, *more][scores.argmax()]
                score = label_weight * scores[0] + (1 - label_weight) * scores.max()
                expected[target] = (score, "" if matched == text else matched)
            assert [hit.id for hit in hits] == sorted(expected, key=lambda target: -expected[target][0])
            assert [hit.name for hit in hits] == [expected[hit.id][1] for hit in hits]
            assert {hit.text for hit in hits} == set(TEXTS)
            np.testing.assert_allclose([hit.score for hit in hits], [expected[hit.id][0] for hit in hits], atol=1e-5)
    whole = model.rank(QUERIES, space)
    assert model.rank(QUERIES, space, top_k=1) == [hits[:1] for hits in whole]
    for hits, all_hits in zip(model.rank(QUERIES, space, where={"family": "care"}), whole, strict=True):
        assert hits == [hit for hit in all_hits if hit.columns["family"] == "care"]
    with pytest.raises(UserError, match=r"label_weight is 1.5; it must be between 0 and 1"):
        RankSettings(label_weight=1.5)


def test_equal_targets_with_names_come_in_their_order(model):
    space = model.encode_targets(["nurse"] * 4, list("dbca"), names=[["code"]] * 4, progress=False)
    assert [hit.id for hit in model.rank("for patients", space, top_k=3)] == list("dbc")


def test_parts_are_cut_between_targets(model, space, monkeypatch):
    monkeypatch.setattr(encoding, "_PART", 2)
    parts = named(model, columns={"family": ["care", "it", "care"]})
    assert len(parts.parts) == 3
    assert parts.names == space.names
    found, expected = (model.rank(QUERIES, each) for each in (parts, space))
    assert [[hit[:2] for hit in hits] for hits in found] == [[hit[:2] for hit in hits] for hits in expected]


def test_an_index_with_names_is_changed_by_whole_targets(model, space, tmp_path):
    folder = tmp_path / "index"
    model.encode_targets(TEXTS[2:], IDS[2:], progress=False).save(folder)
    assert json.loads((folder / "space.json").read_text())["version"] == 2  # as before there were names
    assert append(folder, space) == 1
    assert json.loads((folder / "space.json").read_text())["version"] == 3  # older programs refuse it
    opened = load_index(folder)
    assert (opened.ids, opened.names, opened.starts.tolist()) == (IDS, space.names, space.starts.tolist())
    for found, hits in zip(model.rank(QUERIES, opened), model.rank(QUERIES, space), strict=True):
        assert [(hit.id, hit.name, dict(hit.columns)) for hit in found] == [
            (hit.id, hit.name, dict(hit.columns)) for hit in hits
        ]
    verify(folder)
    more = model.encode_targets(["write code", "a"], ["s1", "s4"], names=[["code"], []], progress=False)
    assert append(folder, more) == 1  # and all former names of s1 are gone
    opened = load_index(folder)
    assert {opened.ids[k]: texts_of(opened, k) for k in range(len(opened))} == {
        "s1": ["write code", "code"],
        "s2": [TEXTS[1], *KEPT[1]],
        "s3": ["nurse"],
        "s4": ["a"],
    }
    assert remove(folder, ["s2", "nowhere"]) == 1
    compact(folder)
    verify(folder)
    assert list(load_index(folder).names) == ["nurse", "write code", "code", "a"]


def test_names_that_do_not_follow_their_label_are_damage(space):
    whole = space.parts[0]
    for kept in ([1, 2, 3], [0, 4, 5]):  # without a label
        part = whole.__class__(whole.segment, np.array(kept))
        with pytest.raises(UserError, match="holds names that do not follow the label of their target"):
            Index(space.origin, space.dtype, space.width, False, [part])


def test_exact_names_come_first(model, space):
    hits = model.rank("code-WRITERS", space)
    assert (hits[0].id, hits[0].name, hits[0].exact) == ("s2", "code writer", True)
    assert not any(hit.exact for hit in hits[1:])
    hits = model.rank("Nurses", space, top_k=1)
    assert (hits[0].id, hits[0].name, hits[0].exact) == ("s3", "", True)
    assert not any(hit.exact for hit in model.rank("nurses", space, where={"family": "it"}))
    # Whatever the scores, and also without names.
    texts = ["write code", "patients", "a zebra", "software engineer"]
    last = model.rank("nurse", texts)[-1]
    space = model.encode_targets(texts, list("abcd"), dtype="float32", progress=False)
    tokens = model.encode_tokens("nurse")
    found = space.search(tokens, 2, model.scorer, texts=[last.text])[0]
    assert [hit.exact for hit in found] == [True, False]
    assert (found[0].text, found[0].score) == (last.text, pytest.approx(last.score, abs=1e-6))
    assert found[1] == space.search(tokens, 1, model.scorer)[0][0]
    both = model.rank("nurses", ["patients", "Nurse", "care", "nurses"], top_k=3)
    assert [hit.exact for hit in both] == [True, True, False]


@pytest.mark.parametrize(
    ("query", "name"), [("Front-end  Developers", "frontend developer"), ("CO\u2011WORKERS", "co worker"), ("C#", "c#")]
)
def test_a_name_is_exact_up_to_case_hyphens_and_plural(query, name):
    assert name_key(query) == name_key(name)


def test_different_names_are_not_exact():
    different = ["C", "C++", "C#", "class", "clas", "nurse", "nursing", "gas", "ga", "-"]
    assert len(set(map(name_key, different))) == len(different)


def test_an_exact_name_is_the_first_of_a_vacancy():
    one, two = Hit("1", "welding", 0.5, {}, "weld", True), Hit("2", "drilling", 0.9)
    found = gather([[two, one._replace(score=0.7, name="", exact=False)], [one, two]], 5)
    assert found == [(one, 1, 2), (two, 0, 2)]


# Sources


def plain(targets) -> tuple:
    return tuple(tuple(name.text for name in names) for names in targets.names)


def test_esco_and_onet_have_further_names(tmp_path):
    write_release(tmp_path / "esco")
    skills = read_targets(tmp_path / "esco")
    assert dict(zip(skills.ids, plain(skills), strict=True)) == {
        SKILL + "1": ("join metal", "metal joining"),
        SKILL + "2": ("schedule staff",),
        SKILL + "3": (),
    }
    jobs = read_targets(tmp_path / "esco", kind="occupations")
    assert (jobs.ids[0], plain(jobs)) == (OCCUPATION + "a", (("metal worker",), ()))
    onet = write_onet(tmp_path / "onet")
    jobs = read_targets(onet, kind="occupations")
    assert jobs.texts == ("Chief Executives", "Head Cooks", "Welders")
    assert plain(jobs) == (("President", "Manager", "Welders"), ("Sous Chef", "Executive Chef", "Manager"), ())
    assert jobs.notes[-1] == "2 names of several targets, kept for each, such as 'manager'"
    for path, options in ((tmp_path / "esco", {}), (onet, {"kind": "occupations"})):
        assert read_targets(path, target_names=False, **options).names == ()


def test_names_in_tables(tmp_path):
    rows = [
        {"id": "1", "label": "nurse", "other": "carer|Nurse\nward  nurse", "level": "2"},
        {"id": "2", "label": "cook", "other": "", "level": "1"},
        {"id": "1", "label": "care worker", "other": "carer", "level": "3"},
        {"id": "2", "label": "cook", "other": "carer", "level": "1"},
    ]
    for ending in ("csv", "jsonl", "parquet"):
        found = read_targets(write_rows(tmp_path / f"t.{ending}", rows), names="other")
        assert (found.ids, found.texts) == (("1", "2"), ("nurse", "cook"))
        assert plain(found) == (("carer", "ward nurse", "care worker"), ("carer",))
        assert found.columns == {"level": ("2", "1")}
        assert found.notes == (
            "1 duplicate row left out",
            "1 row with the id of an earlier one taken as further names of its target, such as 'care worker' of "
            "'nurse'",
            "1 row of an earlier id with other values in further columns, which do not count",
            "1 name of several targets, kept for each, such as 'carer'",
        )
    alike = write_rows(tmp_path / "alike.csv", [{"label": "nurse", "Alt labels": "carer"}])
    ids = "no column of ids: the texts are the ids (--id-column names one)"
    unread = "the column Alt labels is not read as further names (--names 'Alt labels' does)"
    assert read_targets(alike, keep=("",)).notes == (ids, unread)
    assert read_targets(alike, target_names=False).notes == (ids,)
    assert read_targets(alike, names="Alt labels").notes == ()
    lists = [{"id": 1, "label": "nurse", "other": ["carer", "nurse; ward"]}, {"id": 2, "label": "cook", "other": None}]
    found = read_targets(write_rows(tmp_path / "l.jsonl", lists), names="other")
    assert plain(found) == (("carer", "nurse; ward"), ())
    with pytest.raises(UserError, match="the id '1' has two texts, 'nurse' and 'care worker'"):
        read_targets(tmp_path / "t.csv", names="other", target_names=False)
    with pytest.raises(UserError, match=r"has no column 'names'. Its columns: id, label, other, level"):
        read_targets(tmp_path / "t.csv", names="names")
    with pytest.raises(UserError, match=r"has no column 'othr'\. Did you mean 'other'\? Its columns: id"):
        read_targets(tmp_path / "t.csv", names="othr")
    for row, message in (
        ({"id": "3", "label": " ", "other": "x"}, "line 2: found label ' '; expected a text"),
        ({"id": "3", "label": "x", "other": 7}, "line 2: found other '7'; expected texts separated by"),
    ):
        with pytest.raises(UserError, match=message):
            read_targets(write_rows(tmp_path / "bad.jsonl", [rows[0], row]), names="other")
    with pytest.raises(UserError, match="is not a table, so it has no column 'other'"):
        read_targets(tmp_path, names="other")
    for columns, message in (
        ({"names": "label"}, "--names names the column 'label', which is that of texts already. Name another column"),
        ({"names": "id"}, "--names names the column 'id', which is that of ids already"),
        ({"names": "other", "descriptions": "other"}, "--descriptions names .* 'other', which is that of --names"),
    ):
        with pytest.raises(UserError, match=message):
            read_targets(tmp_path / "t.csv", **columns)


def test_bad_names_are_refused(model):
    for names, message in (
        ([["code"]], "3 targets and 1 lists of names. Give every target one"),
        (["code", "", ""], "The names of target 1 are the text 'code'. Give a list of texts"),
        ([[], ["x" * 100_001], []], "Target 2, name 1 has 100,001 characters"),
    ):
        with pytest.raises(UserError, match=message):
            model.encode_targets(TEXTS, IDS, names=names)


# Commands


@pytest.fixture(scope="module")
def folder(encoder, loaded_once, tmp_path_factory):
    """An index of a table with names."""
    folder = tmp_path_factory.mktemp("commands")
    rows = [{"id": i, "label": t, "aka": "|".join(n)} for i, t, n in zip(IDS, TEXTS, NAMES, strict=True)]
    table = write_rows(folder / "t.csv", rows)
    index(["--model", encoder, "--targets", str(table), "--names", "aka", "--out", str(folder / "jobs")])
    return folder


def test_answers_say_which_name_matched(folder, encoder, tmp_path, capsys):
    flags = ["--index", str(folder / "jobs"), "--top-k", "2"]
    rank(["code writers", *flags, "--explain"])
    told = capsys.readouterr().out
    assert "code writer (exact name)" in told
    assert "Why 'software engineer', by its name 'code writer' (exact name), the best of 3:" in told
    rank(["code writers", *flags, "--explain", "--json"])
    answer = json.loads(capsys.readouterr().out)
    hit = answer["hits"]["jobs"][0]
    assert (hit["id"], hit["text"], hit["name"], hit["exact"]) == ("s2", "software engineer", "code writer", True)
    explained = load(encoder).explain("code writers", Hit(**hit))
    assert answer["explanations"]["jobs"] == {**explained.to_dict(), "rank": 1, "of": 3}
    assert f"of this name, {hit['score']:.4f} of the target" in told
    rank(["code writers", *flags, "--out", str(tmp_path / "a.csv")])
    with (tmp_path / "a.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["text"], first["name"], first["exact"]) == ("software engineer", "code writer", "true")
    assert second["exact"] == "false"
    assert first["role"] == "alternative"


def test_the_label_weight_and_the_names_of_unindexed_targets(folder, encoder, tmp_path, capsys):
    flags = ["--targets", str(folder / "t.csv"), "--names", "aka", "--json", "--cache-dir", str(tmp_path)]
    scores = []
    for more in ([], ["--label-weight", "1"]):
        rank(["patients", *flags, *more, "--model", encoder])
        told = json.loads(capsys.readouterr().out)["hits"]["t"]
        scores.append({hit["id"]: hit["score"] for hit in told})
    assert not any(hit["name"] for hit in told if not hit["exact"])  # where labels alone count, no other name is shown
    plain = load(encoder).rank("patients", TEXTS)
    assert scores[1] == pytest.approx({IDS[TEXTS.index(hit.text)]: hit.score for hit in plain}, abs=1e-3)
    assert scores[0]["s1"] > scores[1]["s1"]
    with pytest.raises(UserError, match=r"--label-weight is 2.0; it must be between 0 and 1"):
        rank(["patients", *flags, "--label-weight", "2"])


def test_targets_with_other_names_are_added_again(folder, tmp_path, capsys):
    load_index(folder / "jobs").save(tmp_path / "jobs")
    (tmp_path / "jobs" / "index.json").write_text((folder / "jobs" / "index.json").read_text())
    out = ["--out", str(tmp_path / "jobs")]
    index([*out, "--add", str(folder / "t.csv"), "--names", "aka"])
    assert "3 targets already in the index left out" in capsys.readouterr().err
    rows = [{"id": "s2", "label": TEXTS[1], "aka": "write code"}, {"id": "s3", "label": "nurse", "aka": ""}]
    index([*out, "--add", str(write_rows(tmp_path / "more.csv", rows)), "--names", "aka", "--verify"])
    told = capsys.readouterr()
    assert "Added 0 targets, and replaced 1." in told.err
    assert "targets        3 with 6 names\ncolumns        only text and id" in told.out
    assert "the targets that are replaced lose 1 further name, such as 'code writer'. To keep them" in told.err
    assert texts_of(load_index(tmp_path / "jobs"), 2) == [TEXTS[1], "write code"]
    index([*out, "--add", str(write_rows(tmp_path / "more.csv", [{"id": "s1", "label": TEXTS[0]}]))])
    assert "lose 2 further names, such as 'patients care'" in capsys.readouterr().err


def test_qdrant_ranks_by_names(model, space):
    with QdrantIndex.create(":memory:", "jobs", space) as held:
        queries = [*QUERIES, "code-WRITERS", "Nurses"]
        for where in (None, {"family": "care"}):
            for found, expected in zip(
                model.rank(queries, held, where=where), model.rank(queries, space, where=where), strict=True
            ):
                assert [hit._replace(score=0) for hit in found] == [hit._replace(score=0) for hit in expected]
                np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], atol=1e-5)
        assert held.count() == len(held) == 3
        assert held.names_of("s2") == space.names_of("s2")
        assert model.explain("code", id="s2", space=held).hit == model.explain("code", id="s2", space=space).hit
        with pytest.raises(UserError, match="no target with the id 's9'"):
            held.names_of("s9")


def test_an_explanation_says_which_name_matched(model, space):
    hit = model.rank("code-WRITERS", space)[0]
    of_hit, of_id = model.explain("code-WRITERS", hit), model.explain("code-WRITERS", id="s2", space=space)
    assert of_hit.target_tokens == of_id.target_tokens == model.explain("code-WRITERS", "code writer").target_tokens
    told = of_id.to_dict()["hit"]
    assert told["columns"] == {"family": "it"} == of_hit.to_dict()["hit"]["columns"]
    assert (told["id"], told["text"], told["name"], told["role"], told["exact"]) == (
        "s2",
        "software engineer",
        "code writer",
        "alternative",
        True,
    )
    label = model.scores("code-WRITERS", "software engineer")[0, 0]
    assert told["score"] == pytest.approx(LABEL_WEIGHT * label + (1 - LABEL_WEIGHT) * of_id.score, abs=1e-5)
    assert model.explain("code", "nurse").to_dict()["hit"] is None
    with pytest.raises(UserError, match="no target with the id 'code writer'"):
        model.explain("code", id="code writer", space=space)


def test_descriptions_are_names_of_their_own_role(model, tmp_path):
    space = model.encode_targets(
        ["nurse", "cook"], ["1", "2"], names=[["carer", ("care for patients", "description")], []], progress=False
    )
    space.save(tmp_path / "index")
    opened = load_index(tmp_path / "index")
    assert opened.names_of("1") == [("nurse", ""), ("carer", "alternative"), ("care for patients", "description")]
    hit = model.rank("care for patients", opened)[0]
    assert (hit.name, hit.role, hit.exact) == ("care for patients", "description", True)
    assert (
        "care for patients (description, exact name)"
        in model.rank("care for patients", opened).table().columns[3]._cells[0]
    )
    with pytest.raises(UserError, match=r"A name of target 1 has the role 'title'\. Expected 'alternative' or"):
        model.encode_targets(["nurse"], names=[[("carer", "title")]])


@pytest.fixture(scope="module")
def described(model) -> Index:
    """Two targets with descriptions, one of them with several, and one without."""
    names = [
        ["carer", ("care for the ill", "description"), ("patients in hospitals", "description")],
        [("write software", "description")],
        ["developer"],
    ]
    return model.encode_targets(
        ["nurse", "coder", "engineer"], list("123"), names=names, dtype="float32", progress=False
    )


def expected_score(model, query, names, how):
    """The definition, in Python, of one target."""
    of = {role: [] for role in ("", "alternative", "description")}
    for text, role in names:
        of[role].append(model.scores([query], [text])[0, 0])
    by_names = how.label_weight * of[""][0] + (1 - how.label_weight) * max(of[""] + of["alternative"])
    if not of["description"]:
        return by_names
    return (1 - how.description_weight) * by_names + how.description_weight * max(of["description"])


@pytest.mark.thorough_after(2)
@pytest.mark.parametrize("how", [RankSettings(), RankSettings(0.8, 0.6), RankSettings(1, 1), RankSettings(0, 0)])
def test_a_description_adds_its_share_and_never_matches(model, described, how):
    ranker = Ranker(model.loaded, how)
    for query in ("care for the ill patients", "write code"):
        expected = {described.ids[k]: expected_score(model, query, described.names_of(k), how) for k in range(3)}
        hits = ranker.rank(query, described)
        assert [hit.id for hit in hits] == sorted(expected, key=lambda id: -expected[id])
        np.testing.assert_allclose([hit.score for hit in hits], [expected[hit.id] for hit in hits], atol=1e-5)
        assert {hit.role for hit in hits} <= {"", "alternative"}
    with pytest.raises(UserError, match=r"description_weight is -1; it must be between 0 and 1"):
        RankSettings(description_weight=-1)


def test_words_of_a_description_count_with_its_share(model, described):
    plain, lexical = (Ranker(model.loaded, RankSettings(words=words)) for words in (0, 0.5))
    query = "care for patients in hospitals and write software"
    before = {hit.id: hit for hit in plain.rank(query, described)}
    after = {hit.id: hit for hit in lexical.rank(query, described)}
    assert min(after["1"].words, after["2"].words) > 0 == after["3"].words
    for id, hit in after.items():
        if hit.name == before[id].name:
            assert hit.score - hit.words == pytest.approx(before[id].score, abs=1e-5)
    weights, mask = RankSettings().weights, np.array([False, True, True])
    shares = name_shares(np.array([0.5, 0.25, 0.75]), weights, mask)
    np.testing.assert_allclose(shares.shares, [1 - weights.description, 0, weights.description])


def test_qdrant_and_candidates_rank_by_descriptions(model, described):
    queries = ["care for the ill patients", "write code", "carer"]
    expected = model.rank(queries, described)
    with QdrantIndex.create(":memory:", "described", described) as held:
        assert held.described
        found = model.rank(queries, held)
    chosen = Ranker(model.loaded, RankSettings(candidates=2)).rank(queries, described, top_k=1)
    for hits, of_store, first in zip(expected, found, chosen, strict=True):
        assert [hit[:2] for hit in of_store] == [hit[:2] for hit in hits]
        np.testing.assert_allclose([hit.score for hit in of_store], [hit.score for hit in hits], atol=1e-5)
        assert first[0].id == hits[0].id


def test_an_explanation_tells_the_score_of_a_label_from_that_of_its_target(model, described):
    found = model.explain("write software for nurses", id="2", space=described)
    assert found.hit.name == ""
    assert f"of the label, {found.hit.score:.4f} of the target" in str(found)


def test_descriptions_are_read_on_request(tmp_path):
    rows = [
        {"id": "1", "label": "nurse", "aka": "carer", "about": "Cares  for people."},
        {"id": "2", "label": "cook", "aka": "", "about": ""},
    ]
    found = read_targets(write_rows(tmp_path / "t.csv", rows), names="aka", descriptions="about")
    assert found.names == ((("carer", "alternative"), ("Cares for people.", "description")), ())
    assert found.columns == {}
    write_release(tmp_path / "esco")
    skills = read_targets(tmp_path / "esco", descriptions="description")
    assert skills.names[1] == (("schedule staff", "alternative"), ("Text, over two lines.", "description"))
    onet = read_targets(
        write_onet(tmp_path / "onet"), kind="occupations", descriptions="description", target_names=False
    )
    assert {name.role for names in onet.names for name in names} == {"description"}
    for path, options, message in (
        (tmp_path / "esco", {"descriptions": "about"}, "its descriptions are 'description', not 'about'"),
        (tmp_path / "onet", {"kind": "tasks", "descriptions": "description"}, "descriptions of occupations alone"),
        (tmp_path / "t.csv", {"descriptions": "more"}, "has no column 'more'"),
    ):
        with pytest.raises(UserError, match=message):
            read_targets(path, **options)
