"""The tasks that people annotated: skills in vacancy sentences, and skills that are related."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from esco_downloads import SKILL, table, write_release
from task_data import load, missing, relevant, write

from uwe_jax.runtime.errors import UserError

OTHER_SKILLS = [(SKILL + "2", "plan shifts", ""), (SKILL + "3", "haute cuisine", "")]
ANNOTATED = """sentence,span,sub_span,label
We weld,weld,,weld metal
We weld,weld,,LABEL NOT PRESENT
"We weld, and plan",plan,,plan shifts
"We weld, and plan",weld,,weld metal
"We weld, and plan",weld,,weld metal
We smile,smile,,UNDERSPECIFIED
"""


@pytest.mark.parametrize("zipped", [False, True])
def test_sentences_are_grouped_and_keep_the_labels_of_the_vocabulary(tmp_path, zipped):
    if zipped:  # comes before the list that its authors publish, which lacks commas
        write_release(tmp_path, "1.1.0")
    write_release(tmp_path, "1.1.1", skills=[(SKILL + "1", "no label of the annotators", ""), *OTHER_SKILLS])
    path = write(tmp_path / "workbench" / "extraction" / "tech_validation_annotations.csv", ANNOTATED)
    write(path.with_name("skills_en_label.txt"), "weld metal\nplan shifts\nplan shifts \n")
    task = load("skill_extraction_tech", tmp_path, "validation")
    assert relevant(task) == {
        ("We weld", "weld metal"),
        ("We weld, and plan", "weld metal"),
        ("We weld, and plan", "plan shifts"),
    }
    origin = "skills of ESCO v1.1.0 (en)" if zipped else "skills_en_label.txt"
    assert task.origin == f"workbench/extraction/tech_validation_annotations.csv; {origin}"
    assert task.targets == (("haute cuisine", "plan shifts", "weld metal") if zipped else ("plan shifts", "weld metal"))
    left_out = ("2 labels not among the targets left out", "1 query without a relevant target left out")
    assert task.notes == (() if zipped else ("1 equal target joined",)) + left_out


def test_sets_are_distinguished_by_name(tmp_path):
    write_release(tmp_path, "1.1.0")
    names = {"tech": "tech_test.csv", "house": "TechWolf--skill-extraction-house/test.csv", "techwolf": "techwolf.csv"}
    for name, file in names.items():
        write(tmp_path / file, f"sentence,label\n{name},weld metal\n")
    for name in names:
        assert load(f"skill_extraction_{name}", tmp_path).queries == (name,)
    assert "whose name says 'tech' holds the validation split" in missing(
        "skill_extraction_tech", tmp_path, "validation"
    )


def test_annotations_without_their_vocabulary(tmp_path):
    write(tmp_path / "tech_test.csv", ANNOTATED)
    write_release(tmp_path, "1.1.1")
    # No other version or language would do.
    text = missing("skill_extraction_tech", tmp_path)
    assert text.startswith(f"No ESCO v1.1.0 with skills_en.csv in {tmp_path}. Found ESCO v1.1.1 in en. Download from ")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_related_skills_are_ranked_among_all(tmp_path, suffix):
    rows = [("weld", "solder", 1), ("weld", "sing", 0), ("solder", "join", 1), ("weld", "join", 1)]
    columns = {name: [row[k] for row in rows] for k, name in enumerate(("skill_a", "skill_b", "related"))}
    path = tmp_path / f"skillmatch{suffix}"
    if suffix == ".csv":
        write(path, table(list(columns), [(a, b, str(related)) for a, b, related in rows]))
    elif suffix == ".jsonl":
        lines = [f'{{"skill_a": "{a}", "skill_b": "{b}", "related": {str(bool(r)).lower()}}}\n' for a, b, r in rows]
        write(path, "".join(lines))
    else:
        pq.write_table(pa.table(columns), path)
    task = load("skill_similarity", tmp_path)
    assert task.queries == ("weld", "solder", "weld")
    assert [task.targets[y] for y in task.relevant.indices] == ["solder", "join", "join"]
    assert task.targets == ("join", "sing", "solder", "weld")
    assert task.notes == ("1 unrelated pair used for targets only",)


def test_a_relation_that_is_not_a_number_is_reported(tmp_path):
    write(tmp_path / "pairs.csv", "skill_a,skill_b,related\na,b,1\na,c,maybe\n")
    with pytest.raises(UserError, match=r"pairs.csv, line 3: found related 'maybe'; expected an integer"):
        load("skill_similarity", tmp_path)
