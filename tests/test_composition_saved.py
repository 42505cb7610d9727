"""Combined graphs as a folder: written atomically, read back unchanged, and never overwriting other files."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from compositions import edge_weights, pairs, part

from uwe_jax.config import COMBINED, PartSettings, SourceSettings
from uwe_jax.data.decontamination import ExcludedTexts
from uwe_jax.data.graph import Edge
from uwe_jax.data.training_hashes import text_hashes
from uwe_jax.evaluation.decontamination import load_training_composition, load_training_graphs
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.mixture.compose import compose
from uwe_jax.sources.mixture.saved import read_saved, save


def example():
    return compose(
        [
            part(
                "one",
                2.0,
                skill_job=[Edge("u1", "weld", "j1", "welder", "essential")],
                skill_alias=pairs([("weld", "w")]),
            ),
            part("two", skill_job=pairs([("weld", "welder"), ("cook", "chef")], "given")),
        ]
    )


def test_saved_graphs_come_back_with_their_provenance(tmp_path):
    composition = example()
    save(composition, tmp_path / "graphs", {"source": "combined"})
    again = load_training_composition(SourceSettings(source="edges", path=str(tmp_path / "graphs")))
    assert again.graphs.fingerprints() == composition.graphs.fingerprints()
    assert again.graphs.skill_ids == composition.graphs.skill_ids == ("cook", "u1")
    assert again.graphs.graphs["job"].neighbour_ids == ("chef", "j1")
    assert (again.parts, again.counts()) == (composition.parts, composition.counts())
    for kind, stated in composition.statements.items():
        relations = [again.relations[code] for code in again.statements[kind].relation]
        assert relations == [composition.relations[code] for code in stated.relation]
    only = SourceSettings(source="edges", path=str(tmp_path / "graphs"), kinds=("alias",))
    assert list(load_training_graphs(only).graphs) == ["alias"]


def test_saved_graphs_are_edge_files_without_their_manifest(tmp_path):
    composition = compose([part(skill_job=pairs([("weld", "welder"), ("cook", "chef")]))])
    save(composition, tmp_path / "graphs", {})
    (tmp_path / "graphs" / "graphs.json").unlink()
    graphs = load_training_graphs(SourceSettings(source="edges", path=str(tmp_path / "graphs")))
    assert graphs.fingerprints() == composition.graphs.fingerprints()


def test_rows_in_several_groups_and_weights_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr("uwe_jax.sources.mixture.saved._ROWS", 2)
    composition, folder = example(), tmp_path / "graphs"
    save(composition, folder, {})
    file = pq.ParquetFile(path := folder / "skill_job.parquet")
    assert [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)] == [2, 1]
    again = read_saved(folder)
    assert again.graphs.fingerprints() == composition.graphs.fingerprints()
    for name in ("left", "right", "part"):
        stated = (getattr(each.statements["job"], name).tolist() for each in (again, composition))
        assert len(set(map(tuple, stated))) == 1
    table = file.read()
    place = table.column_names.index("weight")
    pq.write_table(table.set_column(place, "weight", pa.array([2.0, 2.0, 2.0], pa.float32())), path)
    with pytest.raises(UserError, match="are not those that were combined"):
        read_saved(folder)


def test_jobs_in_the_place_of_skills_are_excluded_as_jobs_when_read(tmp_path):
    mixed = part(
        job_alias=pairs([("nurse", "RN"), ("cook", "chef")], "alternative"),
        skill_alias=pairs([("nurse", "care for patients"), ("weld", "join metal")], "alternative"),
    )
    excluded = ExcludedTexts({"job": np.unique(text_hashes(["Nurse"]))}, np.empty(0, np.uint64), ("a task (test)",))
    save(compose([mixed]), tmp_path / "graphs", {})
    read, expected = read_saved(tmp_path / "graphs", excluded=excluded), compose([mixed], excluded=excluded)
    assert edge_weights(read.graphs.graphs["alias"]) == edge_weights(expected.graphs.graphs["alias"])
    assert ("nurse", "RN") not in edge_weights(read.graphs.graphs["alias"])
    assert ("nurse", "care for patients") in edge_weights(read.graphs.graphs["alias"]), "a skill of a job's name"


def test_a_changed_or_damaged_folder_is_refused(tmp_path):
    folder = tmp_path / "graphs"
    save(example(), folder, {})
    other = tmp_path / "other"
    save(compose([part("one", skill_job=pairs([("weld", "smith")]))]), other, {})
    (folder / "skill_job.parquet").write_bytes((other / "skill_job.parquet").read_bytes())
    for kinds in ((), ("alias",)):
        with pytest.raises(UserError, match="are not those that were combined"):
            read_saved(folder, kinds)
    numbers = pq.read_table(other / "skill_job.parquet")
    column = numbers.column_names.index("relation")
    pq.write_table(numbers.set_column(column, "relation", pa.array([1])), folder / "skill_job.parquet")
    with pytest.raises(
        UserError, match=r"skill_job.parquet cannot be read: column 'relation' has values that are not texts"
    ):
        read_saved(folder)
    (folder / "skill_job.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(UserError, match=r"skill_job.parquet cannot be read"):
        read_saved(folder)
    with pytest.raises(UserError, match="no edges for 'vacancy'"):
        read_saved(folder, ("vacancy",))
    manifest = json.loads((folder / "graphs.json").read_text())
    (folder / "graphs.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(UserError, match="of format 99"):
        read_saved(folder)
    wrong = [{**each, "wight": 1.0} for each in manifest["parts"]]
    (folder / "graphs.json").write_text(json.dumps({**manifest, "parts": wrong}))
    with pytest.raises(UserError, match=r"is damaged .*wight"):
        read_saved(folder)
    wrongs = [
        *("{", "[]", "[" * 100_000, b"\xff".decode("latin-1")),
        *(json.dumps({**manifest, key: value}) for key in ("parts", "fingerprints", "notes") for value in (7, None)),
        *(
            json.dumps({**manifest, "parts": [{**manifest["parts"][0], key: []}]})
            for key in ("name", "weight", "origin")
        ),
        json.dumps({**manifest, "parts": [7]}),
    ]
    for content in wrongs:
        (folder / "graphs.json").write_text(content, encoding="latin-1")
        with pytest.raises(
            UserError, match=r"(?s)graphs.json (is damaged|is not readable|holds).*Combine the graphs again"
        ):
            read_saved(folder)


def test_saving_replaces_its_own_folder_and_no_other(tmp_path, monkeypatch):
    folder = tmp_path / "graphs"
    save(example(), folder, {})
    smaller = compose([part("one", skill_job=pairs([("weld", "welder")]))])
    with monkeypatch.context() as patched:
        patched.setattr("uwe_jax.sources.mixture.saved.write_json", lambda *_: os.kill(0, 99))  # any failure
        with pytest.raises(OSError, match="Invalid argument"):
            save(smaller, folder, {})
    assert read_saved(folder).counts() == example().counts()  # the old one is untouched
    save(smaller, folder, {})
    assert sorted(path.name for path in folder.iterdir()) == ["graphs.json", "skill_job.parquet"]
    assert [path.name for path in tmp_path.iterdir()] == ["graphs"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(UserError, match="has other files than combined graphs"):
        save(smaller, tmp_path / "mine", {})
    (tmp_path / "mine" / "graphs.json").write_text('{"nodes": 3}')  # of another program
    with pytest.raises(UserError, match=r"has other files .*: graphs.json, notes.txt"):
        save(smaller, tmp_path / "mine", {})
    (folder / "notes.txt").write_text("keep")
    with pytest.raises(UserError, match=r"combined graphs: notes.txt\. Choose another"):
        save(smaller, folder, {})


def test_saving_into_the_current_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(example(), Path(), {})
    assert read_saved(tmp_path).counts() == example().counts()


def test_a_failed_save_restores_the_old_folder(tmp_path, monkeypatch):
    folder, rename = tmp_path / "graphs", Path.rename
    save(example(), folder, {})

    def fails(path, target):
        if path.name == "new":
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="no"):
        save(compose([part("one", skill_job=pairs([("weld", "welder")]))]), folder, {})
    assert [path.name for path in tmp_path.iterdir()] == ["graphs"]
    assert read_saved(folder).counts() == example().counts()


def test_saved_graphs_take_part_in_settings(tmp_path):
    save(example(), tmp_path / "graphs", {})
    path = str(tmp_path / "graphs")
    assert list(load_training_graphs(SourceSettings(source="edges", path=path, graphs=("skill_alias",))).graphs) == [
        "alias"
    ]
    alias = load_training_composition(SourceSettings(source="edges", path=path, kinds=("alias",)))
    assert [info.name for info in alias.parts] == list(alias.graphs.part_weights) == ["one"]
    with pytest.raises(UserError, match=r"source.graphs holds 'skill_jobs', which this source does not offer"):
        load_training_graphs(SourceSettings(source="edges", path=path, graphs=("skill_jobs",)))
    parts = {"mine": PartSettings(source="edges", path=path)}
    with pytest.raises(UserError, match=r"source.parts.mine.path is .* which holds combined graphs"):
        load_training_graphs(SourceSettings(source=COMBINED, parts=parts))
