"""WorkBench's tasks that people annotated: skills in vacancy sentences, and skills that are related."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from uwe_jax.evaluation.tasks.collection import Collection, read_collection
from uwe_jax.evaluation.tasks.declare import TaskContent, declare
from uwe_jax.evaluation.tasks.esco_labels import find_esco, labels_of
from uwe_jax.evaluation.tasks.spec import TaskDataMissing, TaskSources, TaskSpec
from uwe_jax.sources.hub.declaration import HubDataset
from uwe_jax.sources.notes import counted
from uwe_jax.sources.tables.chunks import table_rows
from uwe_jax.sources.tables.problems import Problems

# The annotators chose among the English labels of this version; another one lacks some of their labels.
ANNOTATED_VERSION = "1.1.0"
VOCABULARY = "skills_en_label.txt"  # these labels as the annotations' authors publish them, one a line

SETS = ("tech", "house", "techwolf")
SKILL_PAIRS = Collection(
    HubDataset("TechWolf/SkillMatch-1K", {"skill_a": "text", "skill_b": "text", "related": "int"}), split="test"
)


def sentences(name: str) -> Collection:
    """Annotated sentences of one of `SETS`. They have the same columns, so that a file's name tells them apart."""
    return Collection(
        HubDataset(f"TechWolf/skill-extraction-{name}", {"sentence": "text", "label": "text"}),
        words=SETS,
        word=name,
        # The third set is not split.
        split="test" if name == "techwolf" else "",
    )


def read_extraction(name: str, sources: TaskSources, split: str) -> TaskContent:
    """Sentences and the skills in them. The labels that say that ESCO has no fitting skill are no targets."""
    read = read_collection(sentences(name), split, sources)
    vocabulary, origin = _vocabulary(read.path, sources)
    labels: dict[str, list[str]] = {}
    for row in read.rows:
        labels.setdefault(row["sentence"], []).append(row["label"])
    return TaskContent(list(labels.items()), vocabulary, f"{read.origin}; {origin}")


def read_similarity(sources: TaskSources, split: str) -> TaskContent:
    """Skills and the one that each is related to, among the skills of all pairs.

    All related pairs are asked: the publisher has one split, and which tenth of them the paper tuned on follows
    from another library's random numbers. A pair is a query; WorkRB 0.6 joins the pairs of one skill.
    """
    read = read_collection(SKILL_PAIRS, split, sources)
    skills = [row[side] for row in read.rows for side in ("skill_a", "skill_b")]
    pairs = [(row["skill_a"], [row["skill_b"]]) for row in read.rows if row["related"] == 1]
    notes = counted(len(read.rows) - len(pairs), "pairs that are not related give targets only")
    # A set: that a skill stands in several pairs is nothing to report.
    return TaskContent(pairs, sorted(set(skills)), read.origin, notes, merge_queries=False)


def _vocabulary(path: Path | None, sources: TaskSources) -> tuple[list[str], str]:
    """The labels, and where they are from: the release, else the list beside the annotations.

    The published list comes second, since it lacks the commas of some thirty labels.
    """
    try:
        release = find_esco(sources, ("skills",), version=ANNOTATED_VERSION, language="en")
    except TaskDataMissing:
        beside = path.with_name(VOCABULARY) if path else None
        if not (beside and beside.is_file()):
            raise
        problems = Problems(str(beside))
        labels = [row["text"] for _, row in table_rows(beside, ["text"], problems)]
        problems.check()
        return labels, VOCABULARY
    return list(labels_of(release, "skills").values()), f"skills of {release}"


def _extraction_spec(name: str) -> TaskSpec:
    return declare(
        name=f"skill_extraction_{name}",
        title=f"Skill extraction {name.upper()}",
        group="skill_extraction",
        kinds=("vacancy", "skill"),
        splits=("test",) if name == "techwolf" else ("validation", "test"),
        read=partial(read_extraction, name),
        where=f"a file such as {name}_test_annotations.csv with sentence and label, or "
        f"TechWolf/skill-extraction-{name} on the hub; labels from the English zip of ESCO "
        f"{ANNOTATED_VERSION} or {VOCABULARY} beside it",
    )


SPECS = (
    *map(_extraction_spec, SETS),
    declare(
        name="skill_similarity",
        title="Skill similarity",
        group="skill_similarity",
        kinds=("skill", "skill"),
        splits=("test",),
        read=read_similarity,
        where="a file with skill_a, skill_b and related, or TechWolf/SkillMatch-1K on the hub",
    ),
)
