"""SkillSkape as a source: its sentences for training, and none of those for evaluation."""

import gzip
from pathlib import Path

import pytest

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.skillskape.source import SOURCE
from uwe_jax.sources.source import SourceEdges, SourceRequest

TRAIN = """,sentence,skills
0,"Weld,  and plan.","['weld metal', 'plan shifts, breaks']"
1,We are a bakery.,['UNK']
2,Cook.,"[""chef's art"", 'UNK']"
3,Nothing of note.,[]
"""
EDGES = [
    Edge("", "weld metal", "", "Weld, and plan."),
    Edge("", "plan shifts, breaks", "", "Weld, and plan."),
    Edge("", "chef's art", "", "Cook."),
]


def write(folder: Path, name: str = "train.csv", text: str = TRAIN) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def load(folder: Path, path: str | None = None) -> SourceEdges:
    path = str(folder) if path is None else path
    return SOURCE.read(SourceRequest("source.parts.skillskape", path, SOURCE.choose((), ""), folder / ".cache"))


def message(folder: Path, path: str | None = None) -> str:
    with pytest.raises(UserError) as raised:
        load(folder, path)
    return str(raised.value)


def test_edges_are_read_and_prepared_once(tmp_path, monkeypatch):
    path = write(tmp_path / "downloads" / "skillskape")
    first = load(tmp_path)
    assert first.edges == {"skill_vacancy": EDGES}
    assert first.notes == ("2 sentences without a skill left out",)
    assert first.origin == f"SkillSkape train.csv in {path.parent}"
    monkeypatch.setattr("uwe_jax.sources.skillskape.source.read_vacancy_edges", lambda path: pytest.fail("read again"))
    assert load(tmp_path) == first


def test_a_changed_file_is_prepared_again(tmp_path):
    path = write(tmp_path)
    load(tmp_path)
    path.write_text(TRAIN.replace("weld metal", "weld steel"))
    assert load(tmp_path).edges["skill_vacancy"][0].left_text == "weld steel"
    assert len(list((tmp_path / ".cache" / "tfds").iterdir())) == 2


def test_a_gzipped_file(tmp_path):
    tmp_path.joinpath("train.csv.gz").write_bytes(gzip.compress(TRAIN.encode()))
    assert load(tmp_path).edges["skill_vacancy"] == EDGES


def test_sentences_for_evaluation_are_never_read(tmp_path):
    for name in ("dev.csv", "test.csv", "skillskape.csv", "train_test.tsv"):
        write(tmp_path, name)
    write(tmp_path / "other", text="sentence,label\na,b\n")
    assert "holds no CSV with the columns sentence, skills whose name states train" in message(tmp_path)
    write(tmp_path / "one")
    write(tmp_path / "copy")
    assert load(tmp_path).edges["skill_vacancy"] == EDGES
    write(tmp_path / "rival", text=TRAIN.replace("bakery", "brewery"))
    assert "3 files in" in message(tmp_path)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("4,Stop.,weld metal", r"line 6: found skills 'weld metal'; expected a list of texts such as ["),
        ('4,Stop.,"[\'weld"', "line 6: found skills"),
        ("4,Stop.,[1]", "line 6: found skills '[1]'"),
        ("4,Stop.,['']", "line 6: found 'Stop.' with the skills \"['']\"; expected no empty text"),
        ("4, ,['weld metal']", "line 6: found ' ' with the skills"),
        ("4,Stop.", "line 6: found 2 fields"),
    ],
)
def test_broken_rows_are_counted_and_leave_nothing_behind(tmp_path, row, expected):
    write(tmp_path, text="\n".join([TRAIN.rstrip(), *[row] * 7]))
    text = message(tmp_path)
    assert text.startswith(f"7 broken rows in {tmp_path / 'train.csv'}:")
    assert expected in text
    assert "and 2 more" in text
    assert not list((tmp_path / ".cache").rglob("dataset_info.json"))


def test_missing_folders_and_empty_files_are_reported(tmp_path):
    assert "source.parts.skillskape.path is empty. Expected the folder of SkillSkape's train.csv" in message(
        tmp_path, ""
    )
    assert "does not exist. Expected the folder of SkillSkape's train.csv. Download" in message(
        tmp_path, str(tmp_path / "nowhere")
    )
    write(tmp_path, text="")
    assert "holds no CSV with the columns" in message(tmp_path)
    write(tmp_path, text=",sentence,skills\n0,We are a bakery.,['UNK']\n")
    assert "is empty: the files in" in message(tmp_path)
