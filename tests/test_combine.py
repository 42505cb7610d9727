"""`uwe-jax combine`: from a config and downloads to a folder that trains, without evaluation queries."""

import json

import pytest
from task_data import write

from uwe_jax.commands.combine import combine
from uwe_jax.config import SourceSettings
from uwe_jax.evaluation.decontamination import load_training_composition
from uwe_jax.runtime.errors import UserError

CONFIG = """
from uwe_jax.config import combine, default_config

def get_config():
    config = default_config()
    config.source.source = "combined"
    config.source.path = {folder!r}
    config.source.cache_dir = {folder!r} + "/cache"
    config.source.parts = combine(
        onet={{"source": "edges", "path": {folder!r} + "/mine", "weight": 2.0}},
        skillskape={{}},
    )
    return config
"""
LABELS = "weld metal\nplan shifts\nbake bread\n"


@pytest.fixture
def config(tmp_path):
    """Edge files and SkillSkape, beside two halves of an evaluation that some of their texts belong to."""
    rows = [
        ("weld metal", "You weld."),
        ("plan shifts", "You plan  SHIFTS."),  # a query of the test half, but for case and spaces
        ("bake bread", "You bake."),  # of the validation half
    ]
    write(tmp_path / "mine" / "skill_vacancy.csv", "left,right\n" + "".join(f"{a},{b}\n" for a, b in rows))
    row = "0,You weld and plan.,\"['weld metal', 'plan shifts']\""
    write(tmp_path / "skape" / "train.csv", f",sentence,skills\n{row}\n")
    queries = (("test", "you plan shifts.", "plan shifts"), ("validation", "You bake.", "bake bread"))
    for half, sentence, label in queries:
        name = f"tech_{half}_annotations.csv"
        write(tmp_path / "annotated" / name, f"sentence,span,sub_span,label\n{sentence},x,,{label}\n")
    write(tmp_path / "annotated" / "skills_en_label.txt", LABELS)
    path = write(tmp_path / "config.py", CONFIG.format(folder=str(tmp_path)))
    return f"--config={path}"


def sentences(folder):
    return set(
        load_training_composition(SourceSettings(source="edges", path=str(folder))).graphs.graphs["vacancy"].neighbours
    )


def test_a_folder_that_trains(config, tmp_path, capsys):
    out = tmp_path / "graphs" / "all"
    combine([config, f"--out={out}"])
    assert sentences(out) == {"You weld.", "You bake.", "You weld and plan."}
    captured = capsys.readouterr()
    assert "1 text of skill-vacancy excluded" in captured.err
    assert "Not decontaminated against (data not found): Job2Skill (validation)" not in captured.err
    assert "SkillSkape (test)" in captured.err.split("Not decontaminated against")[1]
    table = [line.replace("│", " ").split() for line in captured.out.splitlines()]
    assert ["onet", "skill-vacancy", "2", "2", "2", "2"] in table
    assert ["skillskape", "skill-vacancy", "1", "2", "2", "2"] in table
    written = json.loads((out / "graphs.json").read_text())
    assert written["settings"]["parts"]["onet"]["weight"] == 2.0
    assert [part["name"] for part in written["parts"]] == ["onet", "skillskape"]


def test_the_user_chooses_the_excluded_splits(config, tmp_path):
    both, none = tmp_path / "both", tmp_path / "none"
    combine([config, "--config.source.decontaminate=('test','validation')", f"--out={both}"])
    assert sentences(both) == {"You weld.", "You weld and plan."}
    combine([config, "--config.source.decontaminate=()", f"--out={none}"])
    assert sentences(none) == {"You weld.", "You plan SHIFTS.", "You bake.", "You weld and plan."}


def test_a_part_without_weight_is_left_out(config, tmp_path):
    combine([config, "--config.source.parts.skillskape.weight=0", f"--out={tmp_path / 'mine_alone'}"])
    assert sentences(tmp_path / "mine_alone") == {"You weld.", "You bake."}


def test_an_unwritable_output_is_reported_before_reading(config, tmp_path, capsys):
    with pytest.raises(UserError, match="has other files than combined graphs"):
        combine([config, f"--out={tmp_path / 'mine'}"])
    assert "Read " not in capsys.readouterr().err
    with pytest.raises(UserError, match=r"Unknown setting source\.parts\.onet\.wight\. Did you mean"):
        combine([config, "--config.source.parts.onet.wight=3"])


def test_queries_in_the_language_of_the_source_are_excluded(tmp_path, capsys):
    write(tmp_path / "de" / "queries.tsv", "q1\tKrankenpfleger\nq2\tBäcker\n")
    write(tmp_path / "de" / "corpus_documents.tsv", "c1\tPflegefachkraft\nc2\tKonditor\n")
    write(tmp_path / "de" / "annotations.tsv", "q1\t0\tc1\t1\nq2\t0\tc2\t1\n")
    write(tmp_path / "skill_job.csv", "left,right\npflegen,Krankenpfleger\nbacken,Bäcker\nbacken,Koch\n")
    settings = SourceSettings(source="edges", path=str(tmp_path), language="de")
    assert list(load_training_composition(settings).graphs.graphs["job"].neighbours) == ["Koch"]
    said = capsys.readouterr().err
    assert "2 texts of skill-job excluded" in said
    assert "Job title similarity (test), " in said.split("Not decontaminated against")[1]


def test_evaluations_are_excluded_from_combined_graphs(config, tmp_path, capsys):
    out = tmp_path / "graphs"
    combine([config, "--config.source.decontaminate=()", f"--out={out}"])
    settings = SourceSettings(source="edges", path=str(out), tasks_path=str(tmp_path / "annotated"))
    read = load_training_composition(settings).graphs.graphs["vacancy"].neighbours
    assert set(read) == {"You weld.", "You bake.", "You weld and plan."}
    said = capsys.readouterr().err
    assert "1 text of skill-vacancy excluded" in said
    assert "Not decontaminated against (data not found): " in said
    with pytest.raises(UserError, match=r"nowhere does not exist. .*set source.tasks_path"):
        load_training_composition(SourceSettings(source="edges", path=str(out), tasks_path=str(tmp_path / "nowhere")))


def test_evaluations_are_found_in_the_folder_of_every_source(config, tmp_path):
    (tmp_path / "annotated").rename(tmp_path / "skape" / "annotated")
    none = ["--config.source.path=", f"--config.source.parts.skillskape.path={tmp_path / 'skape'}"]
    combine([config, *none, f"--out={tmp_path / 'graphs'}"])
    assert sentences(tmp_path / "graphs") == {"You weld.", "You bake.", "You weld and plan."}
