"""Reading of every source: graphs, log lines, and rejected settings."""

from pathlib import Path

import pytest
from esco_downloads import write_release

from uwe_jax.config import SourceSettings
from uwe_jax.evaluation.decontamination import load_training_graphs
from uwe_jax.runtime.errors import UserError


def message(**settings) -> str:
    with pytest.raises(UserError) as raised:
        load_training_graphs(SourceSettings(**settings))
    return str(raised.value)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "skill_vacancy.csv").write_text("left,right\nweld,You weld.\nplan,You plan shifts.\n")
    (tmp_path / "skill_alias.csv").write_text("left,right\nweld,join metal\n")
    (tmp_path / "skill_job.csv").write_text("left,right\nweld,welder\ncook,chef\n")
    return tmp_path


def test_edge_folder(folder, capsys):
    graphs = load_training_graphs(SourceSettings(source="edges", path=str(folder)))
    assert list(graphs.graphs) == ["job", "vacancy", "alias"]
    assert graphs.skills == ("cook", "plan", "weld")
    *files, line = capsys.readouterr().err.splitlines()
    assert [Path(each.partition(", columns")[0]).name for each in files] == [
        f"skill_{kind}.csv: separated by commas" for kind in ("alias", "job", "vacancy")
    ]
    assert line.startswith(
        f"Read {folder}: 3 skills; skill-job 2 edges between 2 skills and 2 job titles; skill-vacancy 2 "
        "edges between 2 skills and 2 vacancy sentences; skill-alias 1 edge between 1 skill and 1 alias, "
        "in "
    )
    assert line.endswith(" s")


def test_kinds_choose_and_order_the_graphs(folder):
    graphs = load_training_graphs(SourceSettings(source="edges", path=str(folder), kinds=("alias", "job")))
    assert list(graphs.graphs) == ["alias", "job"]
    assert graphs.skills == ("cook", "weld")  # a skill of the vacancy graph alone is no node here


def test_order_of_rows_does_not_change_what_is_trained_on(folder):
    settings = SourceSettings(source="edges", path=str(folder))
    before = load_training_graphs(settings)
    for path in folder.iterdir():
        header, *rows = path.read_text().splitlines()
        path.write_text("\n".join([header, *rows[::-1], rows[0]]))
    after = load_training_graphs(settings)
    assert after.fingerprints() == before.fingerprints()
    assert after.skills == before.skills


def test_esco(tmp_path, capsys):
    write_release(tmp_path / "zips")
    settings = SourceSettings(source="esco", path=str(tmp_path / "zips"), cache_dir=str(tmp_path / "cache"))
    graphs = load_training_graphs(settings)
    assert list(graphs.graphs) == ["job", "alias"]
    assert {kind: graph.num_edges for kind, graph in graphs.graphs.items()} == {"job": 4, "alias": 3}
    said = capsys.readouterr().err
    assert f"Read ESCO v1.1.1 (en) in {tmp_path / 'zips'}: 3 skills; skill-job 4 edges" in said
    again = load_training_graphs(settings)
    assert again.fingerprints() == graphs.fingerprints()
    optional = SourceSettings(**{**vars(settings), "relations": "optional", "kinds": ("job",)})
    assert load_training_graphs(optional).graphs["job"].num_edges == 1


def test_sample():
    graphs = load_training_graphs(SourceSettings())
    assert list(graphs.graphs) == ["job", "vacancy", "alias"]
    assert list(load_training_graphs(SourceSettings(kinds=("alias",))).graphs) == ["alias"]


def test_wrong_settings_name_what_is_allowed(tmp_path, folder):
    assert "source.source is 'escoo'; it must be one of 'combined', 'sample'" in message(source="escoo")
    assert "source.path is empty. Expected the folder of your edge files" in message(source="edges")
    assert "source.path is empty. Expected the folder of the ESCO zips" in message(source="esco")
    # a forgotten source.source must not train on the sample in silence
    assert "which is embedded and takes no path" in message(path=str(tmp_path))
    text = message(source="esco", path=str(tmp_path), kinds=("job", "vacancy"))
    assert "source.kinds holds 'vacancy', of which esco has no graph that is read; it has 'job'" in text
    (folder / "skill_course.csv").write_text("left,right\nweld,welding 101\n")
    text = message(source="edges", path=str(folder))
    assert "has edges for 'course'; a model is trained on 'job', 'vacancy', 'alias'" in text
