"""ESCO from the portal's zips: choice of files, edges, and prepared data."""

import os
import subprocess
import sys
import threading
import time
import zipfile

import pytest
import tensorflow_datasets as tfds
from esco_downloads import (
    OCCUPATION,
    OCCUPATIONS,
    RELATIONS,
    SKILL,
    SKILLS,
    classification,
    relations,
    skill_relations,
    table,
    write_release,
    write_zip,
)

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco.reader import (
    read_alias_edges,
    read_description_edges,
    read_job_edges,
    read_skill_edges,
)
from uwe_jax.sources.esco.release import NEEDS, find_release
from uwe_jax.sources.esco.source import SOURCE, load_graph
from uwe_jax.sources.source import SourceRequest
from uwe_jax.sources.tfds_edges import EdgeBuilder

BOTH = ("skill_job", "skill_alias")
JOB_EDGES = [
    Edge(SKILL + "1", "weld metal", OCCUPATION + "a", "welder", "essential"),
    Edge(SKILL + "2", "plan shifts", OCCUPATION + "a", "welder", "optional"),
    Edge(SKILL + "2", "plan shifts", OCCUPATION + "b", "head chef", "essential"),
    Edge(SKILL + "3", "haute cuisine", OCCUPATION + "b", "head chef", "essential"),
]
ALIAS_EDGES = [
    Edge(SKILL + "1", "weld metal", "", "join metal", "alternative"),
    Edge(SKILL + "1", "weld metal", "", "metal joining", "alternative"),
    Edge(SKILL + "2", "plan shifts", "", "schedule staff", "alternative"),
]


def message(folder, graphs=BOTH, **kwargs) -> str:
    with pytest.raises(UserError) as raised:
        find_release(folder, graphs, **kwargs)
    return str(raised.value)


def load(release, cache, graph="skill_job", relations="both") -> list[Edge]:
    edges, _ = load_graph(release, graph, relations, cache)
    return edges


def ask(folder, *graphs, **changes) -> SourceRequest:
    request = {"setting": "source.parts.esco", "path": str(folder), "graphs": graphs, "cache_dir": folder / "cache"}
    return SourceRequest(**(request | changes))


# --- the files ---


@pytest.mark.parametrize(("wanted", "count"), [("essential", 3), ("optional", 1), ("both", 4)])
def test_relations_become_job_edges(tmp_path, wanted, count):
    write_release(tmp_path)
    read = read_job_edges(find_release(tmp_path, BOTH), wanted)
    assert read.edges == [edge for edge in JOB_EDGES if wanted in (edge.relation, "both")]
    assert len(read.edges) == count
    assert read.notes == []


def test_alternative_labels_become_aliases_without_the_label_itself(tmp_path):
    write_release(tmp_path)
    assert read_alias_edges(find_release(tmp_path, BOTH)).edges == ALIAS_EDGES


def test_alternative_labels_of_occupations_become_titles(tmp_path):
    write_release(tmp_path, occupations=[(OCCUPATION + "a", "welder", "metal worker\nWelder"), *OCCUPATIONS[1:]])
    assert read_alias_edges(find_release(tmp_path, ("job_title",)), "occupations").edges == [
        Edge(OCCUPATION + "a", "welder", "", "metal worker", "alternative")
    ]


def test_descriptions_are_one_text_each_and_empty_ones_are_counted(tmp_path):
    long = "It takes years. " * 1000
    rows = [
        (SKILL + "1", "weld metal", " Join\nmetal\u00a0parts. "),
        (SKILL + "2", "plan shifts", ""),
        (SKILL + "3", "haute cuisine", long),
        (SKILL + "4", "budget", "Budget"),
        (SKILL + "5", "", "A concept without a label in this language."),
    ]
    content = table(["conceptUri", "preferredLabel", "description"], rows)
    write_zip(tmp_path, "1.2.0", "en", {"skills_en.csv": content})
    release = find_release(tmp_path, ("skill_description",))
    read = read_description_edges(release)
    assert read.edges == [
        Edge(SKILL + "1", "weld metal", "", "Join metal parts.", "description"),
        Edge(SKILL + "3", "haute cuisine", "", long.strip(), "description"),
    ]
    assert read.notes == [
        "1 of 5 concepts in skills_en.csv without a preferred label",
        "2 of 5 concepts without a description other than the label",
    ]
    assert load(release, tmp_path / "cache", "skill_description") == read.edges
    members = {"occupations_en.csv": content.replace("/skill/", "/occupation/")}
    write_zip(tmp_path / "jobs", "1.2.0", "en", members)
    of_jobs = load(find_release(tmp_path / "jobs", ("job_description",)), tmp_path / "cache", "job_description")
    assert [edge[1:] for edge in of_jobs] == [edge[1:] for edge in read.edges]
    write_zip(tmp_path, "1.2.0", "en", {"skills_en.csv": "conceptUri,preferredLabel\na,b\n"})
    with pytest.raises(UserError, match="has no column 'description'"):
        read_description_edges(find_release(tmp_path, ("skill_description",)))


@pytest.mark.parametrize("relations", ["both", "essential", "optional"])
def test_skill_relations_are_read_in_one_direction(tmp_path, relations):
    expected = [
        Edge(SKILL + "1", "weld metal", SKILL + "2", "plan shifts", "essential"),
        Edge(SKILL + "3", "haute cuisine", SKILL + "2", "plan shifts", "optional"),
    ]
    expected = [edge for edge in expected if relations in (edge.relation, "both")]
    write_release(tmp_path / "old")
    members = classification() | skill_relations(name="skillSkillRelations_en.csv")
    write_zip(tmp_path / "new", "1.2.1", "en", members)
    for folder in (tmp_path / "old", tmp_path / "new"):
        release = find_release(folder, ("skill_skill",))
        assert read_skill_edges(release, relations).edges == expected
        assert load(release, tmp_path / "cache", "skill_skill", relations) == expected


def test_relations_of_unknown_skills_are_refused(tmp_path):
    rows = [(SKILL + "1", "essential", SKILL + "gone")]
    write_zip(tmp_path, "1.1.1", "en", classification() | skill_relations(rows))
    with pytest.raises(
        UserError, match=r"1 of 1 relations in .*skillSkillRelations\.csv name a concept that is not in"
    ):
        read_skill_edges(find_release(tmp_path, ("skill_skill",)))


def test_unzipped_and_renamed_downloads_are_found_by_their_contents(tmp_path):
    write_release(tmp_path)
    zipped = find_release(tmp_path, BOTH)
    digests = [zipped.digest(kind) for kind in BOTH]
    for path in list(tmp_path.glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path / path.stem)
        path.unlink()
    unzipped = find_release(tmp_path, BOTH)
    assert unzipped.version == "1.1.1"
    assert read_job_edges(unzipped).edges == JOB_EDGES
    # The same content, so what was prepared from the zips is still good.
    assert [unzipped.digest(kind) for kind in BOTH] == digests

    nameless = tmp_path / "nameless"
    write_release(nameless)
    for number, path in enumerate(list(nameless.glob("*.zip"))):
        path.rename(nameless / f"download{number}.ZIP")
    release = find_release(nameless, BOTH)
    assert release.version == ""
    assert read_alias_edges(release).edges == ALIAS_EDGES


def test_since_version_1_2_the_relations_come_with_the_language(tmp_path):
    members = classification() | relations(name="occupationSkillRelations_en.csv")
    write_zip(tmp_path, "1.2.0", "en", members | {"__MACOSX/._skills_en.csv": "\0"})
    assert read_job_edges(find_release(tmp_path, BOTH)).edges == JOB_EDGES


def test_other_languages(tmp_path):
    write_release(tmp_path)
    nameless = [(uri, "", "ohne Namen") for uri, _, _ in SKILLS[1:]]
    german = [(SKILL + "1", "Metall schweißen", "schweißen"), *nameless]
    write_zip(tmp_path, "1.1.1", "de", classification(german, language="de"))
    release = find_release(tmp_path, BOTH, language="de")
    read = read_job_edges(release)
    assert [edge.left_text for edge in read.edges] == ["Metall schweißen"]
    assert read.notes == [
        "2 of 3 concepts in skills_de.csv without a preferred label",
        "3 of 4 relations of a concept without a label in 'de'",
    ]
    assert [edge.right_text for edge in read_alias_edges(release).edges] == ["schweißen"]


def test_labels_in_a_further_language_are_alternatives(tmp_path):
    write_release(tmp_path)
    skills = [(SKILL + "1", "Metall schwei\u00dfen", "schwei\u00dfen"), *SKILLS[1:]]
    jobs = [(OCCUPATION + "a", "Schwei\u00dfer", "Schwei\u00dferin\nwelder")]
    write_zip(tmp_path, "1.1.1", "de", classification(skills, jobs, language="de"))
    release = find_release(tmp_path, BOTH, language=" en,DE ")
    assert str(release) == "ESCO v1.1.1 (en,de)"
    assert read_job_edges(release).edges == JOB_EDGES
    found = {(edge.left_text, edge.right_text) for edge in read_alias_edges(release).edges}
    english = {(edge.left_text, edge.right_text) for edge in ALIAS_EDGES}
    assert found - english == {("weld metal", "Metall schwei\u00dfen"), ("weld metal", "schwei\u00dfen")}
    titles = {edge.right_text for edge in read_alias_edges(release, "occupations").edges}
    assert titles == {"metal worker", "Schwei\u00dfer", "Schwei\u00dferin"}
    # Both orders are different graphs, also in the cache of prepared ones.
    german = find_release(tmp_path, ("skill_alias",), language="de,en")
    for each in (release, german):
        read, _ = load_graph(each, "skill_alias", "both", tmp_path / "cache")
        assert read == read_alias_edges(each).edges
    assert german.digest("skill_alias") != find_release(tmp_path, ("skill_alias",), language="de").digest("skill_alias")
    with pytest.raises(
        UserError,
        match=r"Expected skills_en.csv, skills_fr.csv, all of one version. Found ESCO v1.1.1 in",
    ):
        find_release(tmp_path, ("skill_alias",), language="en,fr")


def test_newest_complete_version_is_the_default(tmp_path):
    write_release(tmp_path, "1.0.9", skills=[(SKILL + "1", "old label", "older label"), *SKILLS[1:]])
    write_release(tmp_path, "1.0.10")
    write_zip(tmp_path, "1.1.0", "en", classification())  # newer, but its relations are not there
    assert find_release(tmp_path, BOTH).version == "1.0.10"
    assert find_release(tmp_path, ("skill_alias",)).version == "1.1.0"
    assert str(find_release(tmp_path, BOTH)) == "ESCO v1.0.10 (en)"
    for asked in ("1.0.9", "v1.0.9"):
        assert read_job_edges(find_release(tmp_path, BOTH, version=asked)).edges[0].left_text == "old label"
    text = message(tmp_path, version="1.1.0")
    assert "skills_en.csv, occupations_en.csv, occupationSkillRelations.csv, all of version 1.1.0" in text
    there = "v1.0.10 in en; v1.0.9 in en; v1.1.0: occupations_en.csv, skills_en.csv"
    assert f"Found ESCO {there}; choose one with --config.source.version=1.0.9. Download" in text


def test_missing_files_are_reported_with_those_found_and_the_download(tmp_path):
    assert "does not exist. Expected the folder of the ESCO zips" in message(tmp_path / "nowhere")
    text = message(tmp_path)
    assert "does not hold what skill_job and skill_alias need. Expected skills_en.csv" in text
    assert "Found no file of ESCO" in text
    assert "https://esco.ec.europa.eu/en/use-esco/download" in text
    write_zip(tmp_path, "1.1.1", "fr", classification(language="fr"))
    write_zip(tmp_path / "other", "9", "", {"sales.csv": "a\n"})
    text = message(tmp_path)
    assert "v1.1.1: occupations_fr.csv, skills_fr.csv" in text
    assert "sales" not in text
    assert "For skill_alias alone the skills are enough: set source.graphs to that." in text
    text = message(tmp_path, ("skill_skill", "skill_description"), setting="source.parts.esco")
    assert "Expected skills_en.csv, skillSkillRelations.csv, all of one version" in text
    assert "For skill_description alone the skills are enough: set source.parts.esco.graphs" in text


def test_two_different_copies_of_a_file_are_refused(tmp_path):
    write_release(tmp_path)
    write_release(tmp_path / "copy")
    assert find_release(tmp_path, BOTH).version == "1.1.1"  # the same content twice does no harm
    write_release(tmp_path / "copy", skills=SKILLS[:2])
    write_release(tmp_path, "1.1.0")
    assert find_release(tmp_path, BOTH, version="1.1.0").version == "1.1.0"
    assert "skills_en.csv of version 1.1.1 exists twice with different content" in message(tmp_path)


def test_damaged_zips_are_refused(tmp_path):
    write_release(tmp_path)
    path = next(tmp_path.glob("*- en -*.zip"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    expected = f"{path} ({len(whole) // 2} bytes) is not a readable zip file: File is not a zip file"
    assert expected in message(tmp_path)
    # One byte of the compressed members differs: only reading them shows it.
    path.write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:])
    with pytest.raises(UserError, match=r"is not a readable zip file: skills_en\.csv: .*download it again"):
        read_alias_edges(find_release(tmp_path, BOTH))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"skills_en.csv": "conceptUri,label\na,b\n"}, "skills_en.csv has no column 'preferredLabel'"),
        ({"skills_en.csv": "conceptUri,preferredLabel\na\n"}, "skills_en.csv, line 2: found 1 fields"),
        ({"occupations_en.csv": "conceptUri,preferredLabel\n,b\n"}, "line 2: found no conceptUri"),
        (
            {"skills_en.csv": "conceptUri,preferredLabel\nu1,weld\nu2,cook\nu1,weld\nu1,bake\n"},
            r"(?s)2 broken .*line 4: found conceptUri 'u1' again \(first in line 2\); .*line 5: found conceptUri 'u1'",
        ),
        (
            relations([*RELATIONS, (OCCUPATION + "a", "nice to have", SKILL + "1")]),
            "line 6: found relationType 'nice to have'; expected essential or optional",
        ),
        (
            relations([*RELATIONS, (OCCUPATION + "z", "optional", SKILL + "1")]),
            "1 of 5 relations in .* name a concept that is not in .*skills_en.csv or .*occupations_en.csv",
        ),
    ],
)
def test_broken_files_are_reported(tmp_path, members, expected):
    write_zip(tmp_path, "1.1.1", "en", classification() | relations() | members)
    with pytest.raises(UserError, match=expected):
        read_job_edges(find_release(tmp_path, BOTH))


def test_a_few_relations_of_withdrawn_concepts_are_counted(tmp_path):
    jobs = [*OCCUPATIONS, *((f"{OCCUPATION}{n}", f"job {n}", "") for n in range(20))]
    rows = [(f"{OCCUPATION}{n}", "essential", SKILL + "1") for n in range(20)]
    write_zip(tmp_path, "1.1.1", "en", classification(occupations=jobs))
    write_zip(tmp_path, "1.1.1", "", relations([*rows, (OCCUPATION + "gone", "optional", SKILL + "1")]))
    read = read_job_edges(find_release(tmp_path, ("skill_job",)))
    assert len(read.edges) == 20
    assert read.notes == ["1 of 21 relations of a concept that the classification does not hold"]


# --- prepared data ---


def test_prepared_edges_equal_those_read(tmp_path):
    write_release(tmp_path / "zips")
    release = find_release(tmp_path / "zips", BOTH)
    for graph, wanted, expected in (
        ("skill_job", "both", JOB_EDGES),
        ("skill_job", "essential", [edge for edge in JOB_EDGES if edge.relation == "essential"]),
        ("skill_alias", "both", ALIAS_EDGES),
    ):
        for _ in range(2):  # prepared, then read back
            assert load(release, tmp_path / "cache", graph, wanted) == expected
    names = sorted(path.parent.parent.name for path in (tmp_path / "cache").rglob("dataset_info.json"))
    assert names == ["skill_alias_en", "skill_job_en", "skill_job_essential_en"]


def test_prepared_data_keeps_its_notes(tmp_path):
    jobs = [*OCCUPATIONS, *((f"{OCCUPATION}{n}", f"job {n}", "") for n in range(20))]
    rows = [(f"{OCCUPATION}{n}", "essential", SKILL + "1") for n in range(20)]
    write_zip(tmp_path, "1.1.1", "en", classification(occupations=jobs))
    write_zip(tmp_path, "1.1.1", "", relations([*rows, (OCCUPATION + "gone", "optional", SKILL + "1")]))
    for _ in range(2):  # prepared, then read back
        read = SOURCE.read(ask(tmp_path, "skill_job", "skill_alias"))
        assert read.notes == ("skill_job: 1 of 21 relations of a concept that the classification does not hold",)
        assert {graph: len(edges) for graph, edges in read.edges.items()} == {"skill_job": 20, "skill_alias": 3}


def test_the_source_reads_the_requested_graphs(tmp_path):
    write_release(tmp_path / "taxonomies" / "esco")
    (german,) = [(SKILL + "1", "Metall schweißen", "schweißen")]
    write_zip(tmp_path / "taxonomies" / "esco", "1.0.9", "de", classification([german], language="de"))
    read = SOURCE.read(ask(tmp_path, "job_title", "skill_job", relations="optional"))
    assert list(read.edges) == ["job_title", "skill_job"]
    assert read.edges["skill_job"] == [JOB_EDGES[1]]
    assert [edge.right_text for edge in read.edges["job_title"]] == ["metal worker"]
    assert read.origin == f"ESCO v1.1.1 (en) in {tmp_path}"
    read = SOURCE.read(ask(tmp_path, "skill_alias", language="de", version="1.0.9"))
    assert read.edges == {"skill_alias": [Edge(SKILL + "1", "Metall schweißen", "", "schweißen", "alternative")]}
    with pytest.raises(UserError, match=r"source\.parts\.esco\.path is empty. Expected the folder of the ESCO zips"):
        SOURCE.read(ask(tmp_path, "skill_alias", path=""))
    assert set(SOURCE.offers) == set(NEEDS)
    assert SOURCE.choose((), "source") == ("skill_job", "skill_alias")


def test_prepared_edges_are_not_prepared_again(tmp_path, monkeypatch):
    write_release(tmp_path)
    release = find_release(tmp_path, BOTH)
    load(release, tmp_path / "cache")
    monkeypatch.setattr("uwe_jax.sources.esco.source._RELATED", {"skill_job": None})
    assert load(release, tmp_path / "cache") == JOB_EDGES


def test_changed_zips_are_prepared_again(tmp_path):
    write_release(tmp_path / "zips")
    load(find_release(tmp_path / "zips", BOTH), tmp_path / "cache")
    same_length = [(SKILL + "1", "WELD METAL", SKILLS[0][2]), *SKILLS[1:]]
    write_release(tmp_path / "zips", skills=same_length)
    edges = load(find_release(tmp_path / "zips", BOTH), tmp_path / "cache")
    assert edges[0].left_text == "WELD METAL"


def test_a_language_the_builder_does_not_list(tmp_path):
    write_zip(tmp_path, "1.1.1", "tlh", classification(language="tlh"))
    release = find_release(tmp_path, ("skill_alias",), language="tlh")
    assert load(release, tmp_path / "cache", "skill_alias") == ALIAS_EDGES


def test_tfds_itself_reads_the_same(tmp_path):
    write_release(tmp_path)
    load(find_release(tmp_path, BOTH), tmp_path / "cache", relations="optional")
    (folder,) = (tmp_path / "cache" / "tfds").glob("*/esco/skill_job_optional_en/1.0.0")
    builder = tfds.builder_from_directory(folder)
    (example,) = builder.as_data_source("train")
    assert {key: value.decode() for key, value in example.items()} == JOB_EDGES[1]._asdict()
    assert builder.info.full_name == "esco/skill_job_optional_en/1.0.0"


def test_interrupted_preparation_is_not_taken_as_complete(tmp_path, monkeypatch):
    write_release(tmp_path)
    release = find_release(tmp_path, BOTH)

    def interrupted(self, edges, total):
        yield 0, next(edges)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EdgeBuilder, "_generate_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load(release, tmp_path / "cache")
    assert load(release, tmp_path / "cache") == JOB_EDGES


def test_killed_preparation_is_not_taken_as_complete(tmp_path):
    write_release(tmp_path)
    # SIGKILL runs no clean-up: the half-written folder stays, under TFDS's name for it.
    program = f"""
import os, signal
from pathlib import Path
from uwe_jax.sources.esco.release import find_release
from uwe_jax.sources.esco.source import load_graph
from uwe_jax.sources.tfds_edges import EdgeBuilder
def killed(self, edges, total):
    yield 0, next(edges)
    os.kill(os.getpid(), signal.SIGKILL)
EdgeBuilder._generate_examples = killed
load_graph(find_release({str(tmp_path)!r}, ("skill_job",)), "skill_job", "both", Path({str(tmp_path / "cache")!r}))
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.returncode == -9, finished.stderr
    (left,) = (tmp_path / "cache").glob("tfds/*/esco/skill_job_en/[!.]*")
    assert left.name.startswith("incomplete.")
    release = find_release(tmp_path, ("skill_job",))
    assert load(release, tmp_path / "cache") == JOB_EDGES
    assert [path.name for path in left.parent.iterdir()] == ["1.0.0"]


def test_bad_input_leaves_nothing_prepared(tmp_path):
    write_zip(tmp_path, "1.1.1", "en", classification() | relations() | {"skills_en.csv": "conceptUri\n"})
    with pytest.raises(UserError, match="no column 'preferredLabel'"):
        load(find_release(tmp_path, ("skill_job",)), tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("dataset_info.json"))
    assert not list((tmp_path / "cache").rglob("incomplete*"))


def test_an_empty_graph_is_refused(tmp_path):
    write_zip(tmp_path, "1.1.1", "en", classification([(SKILL + "1", "weld metal", "WELD metal")]))
    with pytest.raises(UserError, match=r"esco/skill_alias_en/1.0.0 is empty: the files in .* give 0 edges"):
        load(find_release(tmp_path, ("skill_alias",)), tmp_path / "cache", "skill_alias")


def test_of_two_processes_one_prepares_and_the_other_waits(tmp_path, monkeypatch):
    write_release(tmp_path)
    release = find_release(tmp_path, BOTH)
    calls = []

    def slow(release, relations):
        calls.append(relations)
        time.sleep(0.3)
        return read_job_edges(release, relations)

    monkeypatch.setattr("uwe_jax.sources.esco.source._RELATED", {"skill_job": slow})
    results = []

    def prepare():
        results.append(load(release, tmp_path / "cache"))

    threads = [threading.Thread(target=prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [JOB_EDGES, JOB_EDGES]
    assert len(calls) == 1


def test_damaged_prepared_data_names_the_folder_to_remove(tmp_path):
    write_release(tmp_path)
    release = find_release(tmp_path, BOTH)
    load(release, tmp_path / "cache")
    (record,) = (tmp_path / "cache").rglob("*array_record*")
    whole = record.read_bytes()
    cuts = [lambda size=size: record.write_bytes(whole[:size]) for size in (len(whole) - 5000, 1 << 16, 0)]
    for damage in (*cuts, record.unlink):
        damage()
        with pytest.raises(UserError) as raised:
            load(release, tmp_path / "cache")
        assert f"The prepared edges in {record.parent} cannot be read" in str(raised.value)
    record.write_bytes(whole)
    info = record.parent / "dataset_info.json"
    whole = info.read_bytes()
    count = b'"4"'
    assert count in whole
    for damage in (b"", whole[:-20], b"\xff", b"[]", b"[" * 100_000, whole.replace(b"train", b"trein")):
        info.write_bytes(damage)
        with pytest.raises(UserError, match=r"The prepared edges in .* cannot be read") as raised:
            load(release, tmp_path / "cache")
        assert str(record.parent) in str(raised.value)
    for damage in (b'"3"', b'"5"'):
        info.write_bytes(whole.replace(count, damage))
        with pytest.raises(UserError, match=r"has 4 records, but dataset_info\.json says [35]"):
            load(release, tmp_path / "cache")
    info.unlink()
    with pytest.raises(UserError, match=r"its preparation is incomplete.*Remove that folder"):
        load(release, tmp_path / "cache")


def test_an_unwritable_cache_is_reported(tmp_path):
    write_release(tmp_path)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"cannot be written to .*set source\.cache_dir or \$UWE_JAX_CACHE"):
        load(find_release(tmp_path, BOTH), tmp_path / "cache")


def test_a_full_disk_is_reported_and_other_errors_pass_through(tmp_path, monkeypatch):
    write_release(tmp_path)
    for error, expected in (
        (RuntimeError("write() failed: No space left on device; writing esco-train"), UserError),
        (RuntimeError("an index is out of range"), RuntimeError),
    ):

        def failing(self, edges, total, error=error):
            yield 0, next(edges)
            raise error

        monkeypatch.setattr(EdgeBuilder, "_generate_examples", failing)
        with pytest.raises(expected, match=r"No space left on device\. Expected|an index is out of range"):
            load(find_release(tmp_path, BOTH), tmp_path / "cache")


@pytest.mark.thorough
def test_neither_tensorflow_nor_jax_is_imported(tmp_path):
    write_release(tmp_path / "zips")
    # A module of that name is on the path, so that an attempted import is seen as well.
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise SystemExit('tensorflow was imported')")
    program = f"""
import sys
from pathlib import Path
from uwe_jax.sources.esco.release import find_release
from uwe_jax.sources.esco.source import load_graph
release = find_release({str(tmp_path / "zips")!r}, ("skill_job",))
assert len(load_graph(release, "skill_job", "both", Path({str(tmp_path / "cache")!r}))[0]) == 4
assert not {{"tensorflow", "jax"}} & set(sys.modules), sys.modules
"""
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert finished.returncode == 0, finished.stderr


# --- the real thing ---

# Edges, texts on the left and texts on the right.
REAL = {
    ("skill_job", "both"): (123_788, 13_123, 3_007),
    ("skill_job", "essential"): (64_891, 10_949, 3_006),
    ("skill_job", "optional"): (58_897, 9_616, 2_799),
    ("skill_alias", "both"): (85_205, 13_310, 84_682),
    ("job_title", "both"): (30_084, 2_975, 29_199),
    ("skill_description", "both"): (13_895, 13_895, 13_891),
    ("skill_skill", "both"): (5_899, 3_813, 1_965),
}


@pytest.mark.slow
def test_real_release(tmp_path):
    """The portal's zips of ESCO 1.1.1, English, in the folder that UWE_JAX_ESCO_DIR names."""
    folder = os.environ.get("UWE_JAX_ESCO_DIR")
    if not folder:
        pytest.skip("UWE_JAX_ESCO_DIR does not name a folder with the portal's zips")
    release = find_release(folder, tuple(NEEDS), version="1.1.1")
    counts = {}
    for graph, wanted in REAL:
        edges = load(release, tmp_path, graph, wanted)
        assert load(release, tmp_path, graph, wanted) == edges
        counts[graph, wanted] = (
            len(edges),
            len({edge.left_text for edge in edges}),
            len({edge.right_text for edge in edges}),
        )
    assert counts == REAL
