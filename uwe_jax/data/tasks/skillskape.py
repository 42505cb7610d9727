"""SkillSkape: synthetic vacancy sentences with the ESCO skills in them, a task beside WorkBench."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.base.errors import UserError
from uwe_jax.data.delimited import read_table
from uwe_jax.data.esco.release import EscoRelease
from uwe_jax.data.problems import Problems, shorten
from uwe_jax.data.tasks.declare import TaskContent, declare
from uwe_jax.data.tasks.esco_labels import find_esco, labels_of
from uwe_jax.data.tasks.places import files_in, stated_split
from uwe_jax.data.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.data.tasks.tables import has_columns
from uwe_jax.data.tasks.text_lists import parse_texts

WHERE = "https://github.com/magantoine/skillskape, its dev.csv and test.csv, and the English zip of ESCO 1.1.0"
COLUMNS = {"sentence": "text", "skills": "text"}
NO_SKILL = "UNK"
# The sentences were written for the labels of this version.
ESCO_VERSION = "1.1.0"


def read_skillskape(sources: TaskSources, split: str) -> TaskContent:
    """Sentences and their skills, among all skills of ESCO. A sentence without a skill is left out.

    Targets are the labels of the release the sentences were written for, else of the newest there is. The lists of
    labels that go around with other annotated sentences lack the commas in them, so they are not used.
    """
    path = _find(sources, split)
    release = _release(sources)
    rows = read_annotated(path)
    pairs = [(sentence, skills) for sentence, skills in rows if skills]
    without = len(rows) - len(pairs)
    notes = [f"{without:,} sentences without a skill left out"] if without else []
    return TaskContent(
        pairs, list(labels_of(release, "skills").values()), f"SkillSkape {path.name}; skills of {release}", notes
    )


def read_annotated(path: Path) -> list[tuple[str, list[str]]]:
    """The sentences of a file, each with its skills: none for the label `UNK`.

    Raises:
      UserError: a missing column, or rows that cannot be read.
    """
    problems = Problems(str(path))
    rows = []
    for line, (sentence, cell) in read_table(
        path.read_bytes(), path.name, delimiter=",", required=tuple(COLUMNS), problems=problems
    ):
        skills = parse_texts(cell)
        if skills is None:
            expected = """a list of texts such as ['plan shifts', "manage a chef's team"]"""
            problems.add(f"{path.name}, line {line}", f"skills {shorten(cell)}", expected)
        else:
            rows.append((sentence, [skill for skill in skills if skill != NO_SKILL]))
    problems.check()
    return rows


def _find(sources: TaskSources, split: str) -> Path:
    for folder in sources.folders:
        found = [
            path
            for path in files_in(folder)
            if path.suffix.lower() == ".csv" and stated_split([path.stem]) == split and has_columns(path, COLUMNS)
        ]
        if not found:
            continue
        first, *others = found
        if any(other.read_bytes() != first.read_bytes() for other in others):
            raise UserError(
                f"{', '.join(str(path.relative_to(folder)) for path in found)} in {folder} all hold the {split} split "
                f"of SkillSkape, with different content. Expected one: move the others elsewhere."
            )
        return first
    name = "dev.csv" if split == "validation" else f"{split}.csv"
    folders = ", ".join(map(str, sources.folders)) or "any folder: none was named"
    raise TaskDataMissing(f"No {name} with the columns {', '.join(COLUMNS)} in {folders}. Get it from {WHERE}")


def _release(sources: TaskSources) -> EscoRelease:
    try:
        return find_esco(sources, ("skills",), version=ESCO_VERSION, language="en")
    except TaskDataMissing:
        return find_esco(sources, ("skills",), language="en")


SPECS = (
    declare(
        *("skillskape", "SkillSkape", "", ("vacancy", "skill")),
        ("validation", "test"),  # its train.csv is there to be trained on
        read_skillskape,
        WHERE,
    ),
)
