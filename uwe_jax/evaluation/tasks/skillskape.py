"""SkillSkape: synthetic vacancy sentences with the ESCO skills in them, a task beside WorkBench."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.evaluation.tasks.declare import TaskContent, declare
from uwe_jax.evaluation.tasks.esco_labels import find_esco, labels_of
from uwe_jax.evaluation.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.sources.esco.release import EscoRelease
from uwe_jax.sources.notes import counted
from uwe_jax.sources.skillskape.reader import COLUMNS, PAGE, find_sentences, read_sentences
from uwe_jax.sources.tables.problems import Problems

WHERE = f"{PAGE}, its dev.csv and test.csv, and the English zip of ESCO 1.1.0"
# The sentences were written for the labels of this version.
ESCO_VERSION = "1.1.0"


def read_skillskape(sources: TaskSources, split: str) -> TaskContent:
    """Sentences and their skills, among all skills of ESCO. A sentence without a skill is left out.

    Targets are the labels of the release the sentences were written for, else of the newest there is. The lists of
    labels that go around with other annotated sentences lack the commas in them, so they are not used.
    """
    path = _find(sources, split)
    release = _release(sources)
    problems = Problems(str(path))
    pairs = [(sentence, skills) for _, sentence, skills in read_sentences(path, problems)]
    problems.check()
    asked = [(sentence, skills) for sentence, skills in pairs if skills]
    return TaskContent(
        asked,
        list(labels_of(release, "skills").values()),
        f"SkillSkape {path.name}; skills of {release}",
        counted(len(pairs) - len(asked), "sentences without a skill left out"),
    )


def _find(sources: TaskSources, split: str) -> Path:
    for folder in sources.folders:
        path = find_sentences(folder, split)
        if path is not None:
            return path
    name = "dev.csv" if split == "validation" else f"{split}.csv"
    raise TaskDataMissing(f"No {name} with the columns {', '.join(COLUMNS)} in {sources.listed}. Get it from {WHERE}")


def _release(sources: TaskSources) -> EscoRelease:
    try:
        return find_esco(sources, ("skills",), version=ESCO_VERSION, language="en")
    except TaskDataMissing:
        return find_esco(sources, ("skills",), language="en")


SPECS = (
    declare(
        name="skillskape",
        title="SkillSkape",
        group="",
        kinds=("vacancy", "skill"),
        splits=("validation", "test"),  # its train.csv is there to be trained on
        read=read_skillskape,
        where=WHERE,
    ),
)
