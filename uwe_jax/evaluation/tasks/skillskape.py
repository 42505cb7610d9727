"""SkillSkape: synthetic vacancy sentences with the ESCO skills in them, a task outside WorkBench."""

from __future__ import annotations

from uwe_jax.evaluation.tasks.esco_labels import find_esco, labels_of
from uwe_jax.evaluation.tasks.spec import TaskContent, TaskDataMissing, TaskSources, declare
from uwe_jax.sources.notes import counted
from uwe_jax.sources.skillskape.reader import COLUMNS, PAGE, find_sentences, read_sentences
from uwe_jax.sources.tables.problems import Problems

WHERE = f"{PAGE}, its dev.csv and test.csv, and the English zip of ESCO 1.1.0"


def read_skillskape(sources: TaskSources, split: str) -> TaskContent:
    """Reads sentences and their skills, among all skills of ESCO. Sentences without a skill are left out.

    Targets are the labels of ESCO 1.1.0, for which the sentences were written, else of the newest release. The lists
    of labels published with other annotated sentences are not used, as they lack the commas in labels.
    """
    path = next((path for folder in sources.folders if (path := find_sentences(folder, split))), None)
    if path is None:
        name = "dev.csv" if split == "validation" else f"{split}.csv"
        raise TaskDataMissing(
            f"No {name} with the columns {', '.join(COLUMNS)} in {sources.listed}. Get it from {WHERE}"
        )
    try:
        release = find_esco(sources, ("skills",), version="1.1.0", language="en")
    except TaskDataMissing:
        release = find_esco(sources, ("skills",), language="en")
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


# Its train.csv is for training.
SPECS = (declare("skillskape", "SkillSkape", "", ("vacancy", "skill"), ("validation", "test"), read_skillskape, WHERE),)
