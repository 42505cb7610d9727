"""Annotated tasks: skills in sentences and related skills of WorkBench, and Skill-XL and SkillSkape outside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from uwe_jax.data.text import normalise
from uwe_jax.evaluation.tasks.collection import Collection, read_collection
from uwe_jax.evaluation.tasks.esco_tasks import find_esco, in_language, labels_of, targets_of
from uwe_jax.evaluation.tasks.languages import ANY
from uwe_jax.evaluation.tasks.task import TaskContent, TaskDataMissing, TaskSources, TaskSpec
from uwe_jax.sources.esco.release import plain_languages
from uwe_jax.sources.hub.dataset import HubDataset
from uwe_jax.sources.notes import noted
from uwe_jax.sources.skillskape.source import COLUMNS, NO_SKILL, PAGE, find_sentences, read_sentences
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.reading import table_rows

# The annotators chose among the English labels of this version; other versions lack some of them.
ANNOTATED_VERSION = "1.1.0"
_SKILLSKAPE_DATA = f"{PAGE}, its dev.csv and test.csv, and the English zip of ESCO {ANNOTATED_VERSION}"
VOCABULARY = "skills_en_label.txt"  # these labels as the annotations' authors publish them, one per line

# The published splits of each set; techwolf is not split.
SETS = {"tech": ("validation", "test"), "house": ("validation", "test"), "techwolf": ("test",)}
SKILL_PAIRS = Collection(
    HubDataset("TechWolf/SkillMatch-1K", {"skill_a": "text", "skill_b": "text", "related": "int"}), split="test"
)

SKILL_XL_ROWS = Collection(HubDataset("TechWolf/Skill-XL", {"sentence": "text", "skill": "text", "relevant": "int"}))
# A row per sentence and skill, as WorkRB 0.6 reads them; the authors' own CSVs have a row per sentence.
SKILLSKAPE_ROWS = Collection(
    HubDataset("jjzha/skillskape", {"sentence": "text", "label": "text"}), words=("skillskape",), word="skillskape"
)


def read_extraction(name: str, sources: TaskSources, split: str) -> TaskContent:
    """Reads sentences of one of `SETS` and their skills. Labels for "no fitting skill in ESCO" are not targets."""
    dataset = HubDataset(f"TechWolf/skill-extraction-{name}", {"sentence": "text", "label": "text"})
    # All sets have the same columns: the file's name tells them apart.
    unsplit = "test" if name == "techwolf" else ""
    read = read_collection(Collection(dataset, words=tuple(SETS), word=name, split=unsplit), split, sources)
    vocabulary, translated, origin = _vocabulary(read.path, sources)
    labels: dict[str, list[str]] = {}
    for row in read.rows:
        labels.setdefault(row["sentence"], []).append(translated(row["label"]))
    return TaskContent(labels.items(), **vocabulary, origin=f"{read.origin}; {origin}")


def read_skill_xl(sources: TaskSources, split: str) -> TaskContent:
    """Reads sentences and their skills. Those that are not about the job are left out."""
    read = read_collection(SKILL_XL_ROWS, split, sources)
    vocabulary, translated, origin = _vocabulary(read.path, sources)
    labels: dict[str, list[str]] = {}
    for row in read.rows:
        if row["relevant"] == 1:
            labels.setdefault(row["sentence"], []).append(translated(row["skill"]))
    notes = noted(sum(row["relevant"] != 1 for row in read.rows), "row", "judged not relevant left out")
    return TaskContent(labels.items(), **vocabulary, origin=f"{read.origin}; {origin}", notes=notes)


def read_similarity(sources: TaskSources, split: str) -> TaskContent:
    """Reads skills and the skill that each is related to, among the skills of all pairs.

    All related pairs are queries: there is one published split, and the tenth that the paper tuned on follows from
    another library's random numbers. A pair is a query; WorkRB 0.6 joins the pairs of one skill.
    """
    read = read_collection(SKILL_PAIRS, split, sources)
    skills = {row[side] for row in read.rows for side in ("skill_a", "skill_b")}
    pairs = [(row["skill_a"], [row["skill_b"]]) for row in read.rows if row["related"] == 1]
    notes = noted(len(read.rows) - len(pairs), "unrelated pair", "used for targets only")
    return TaskContent(pairs, skills, read.origin, notes, merge_queries=False)


def read_skillskape(sources: TaskSources, split: str) -> TaskContent:
    """Reads synthetic sentences and their skills, among all skills of ESCO. Sentences without a skill are left out.

    Targets are the labels of the version for which the sentences were written, else of the newest release. The
    published list of labels is not used, as it lacks the commas in labels.
    """
    sentences, origin = _skillskape_sentences(sources, split)
    try:
        skills, translated, release = _esco_skills(sources, ANNOTATED_VERSION)
    except TaskDataMissing:
        skills, translated, release = _esco_skills(sources)
    asked = [(sentence, [*map(translated, labels)]) for sentence, labels in sentences if labels]
    notes = noted(len(sentences) - len(asked), "sentence", "without a skill left out")
    return TaskContent(asked, **skills, origin=f"{origin}; {release}", notes=notes)


def _skillskape_sentences(sources: TaskSources, split: str) -> tuple[list[tuple[str, list[str]]], str]:
    """Returns sentences with their skills and the origin: the authors' CSV in a folder, else rows as on the hub."""
    path = next((path for folder in sources.folders if (path := find_sentences(folder, split))), None)
    if path is not None:
        problems = Problems(str(path))
        sentences = [(sentence, labels) for _, sentence, labels in read_sentences(path, problems)]
        problems.check()
        return sentences, f"SkillSkape {path.name}"
    try:
        read = read_collection(SKILLSKAPE_ROWS, split, sources)
    except TaskDataMissing as error:
        name = "dev.csv" if split == "validation" else f"{split}.csv"
        none = f"No {name} with the columns {', '.join(COLUMNS)} in {sources.listed}"
        raise TaskDataMissing(f"{none}. {error}") from error
    labels: dict[str, list[str]] = {}
    for row in read.rows:
        labels.setdefault(row["sentence"], []).extend({row["label"]} - {NO_SKILL})
    return [*labels.items()], f"SkillSkape {read.origin}"


_Skills = tuple[dict[str, Any], Callable[[str], str], str]


def _esco_skills(sources: TaskSources, version: str | None = None) -> _Skills:
    """Returns `targets_of` in the targets' language, what turns an English label into it, and the targets' origin.

    A skill without a label in that language is "".
    """
    english = find_esco(sources, ("skills",), version=version, language="en")
    release = in_language(sources, english, ("skills",), sources.language)
    content, origin = targets_of(release, "skills", sources), f"skills of {release}"
    if release is english:
        return content, str, origin
    labels = labels_of(release, "skills")
    translation = {label: labels.get(uri, "") for uri, label in labels_of(english, "skills").items()}
    return content, lambda label: translation.get(normalise(label), ""), origin


def _vocabulary(path: Path | None, sources: TaskSources) -> _Skills:
    """Returns the same of `ANNOTATED_VERSION`, else, in English, of the list beside the annotations.

    The published list comes second, since it lacks the commas of some thirty labels. It has no names and
    descriptions of its own: those of another release are taken, by label.
    """
    try:
        return _esco_skills(sources, ANNOTATED_VERSION)
    except TaskDataMissing:
        beside = path.with_name(VOCABULARY) if path else None
        if not (beside and beside.is_file()) or plain_languages(sources.language)[0] != "en":
            raise
    problems = Problems(str(beside))
    labels = [row["text"] for _, row in table_rows(beside, ["text"], problems)]
    problems.check()
    try:
        more = _esco_skills(sources, "")[0] if sources.names or sources.descriptions else {}
    except TaskDataMissing:
        more = {}
    return {**more, "targets": labels}, str, VOCABULARY


SPECS = (
    *(
        TaskSpec(
            f"skill_extraction_{name}",
            f"Skill extraction {name.upper()}",
            "skill_extraction",
            ("vacancy", "skill"),
            splits,
            partial(read_extraction, name),
            f"a file such as {name}_test_annotations.csv with sentence and label, or "
            f"TechWolf/skill-extraction-{name} on the hub; labels from the English zip of ESCO "
            f"{ANNOTATED_VERSION} or {VOCABULARY} beside it",
            ("en", ANY),
        )
        for name, splits in SETS.items()
    ),
    TaskSpec(
        "skill_similarity",
        "Skill similarity",
        "skill_similarity",
        ("skill", "skill"),
        ("test",),
        read_similarity,
        "a file with skill_a, skill_b and related, or TechWolf/SkillMatch-1K on the hub",
        ("en", "en"),
    ),
)
SKILL_XL = TaskSpec(
    "skill_extraction_xl",
    "Skill extraction XL",
    "",
    ("vacancy", "skill"),
    ("validation", "test"),
    read_skill_xl,
    "a file with sentence, skill and relevant, or TechWolf/Skill-XL on the hub; labels from the English zip of ESCO "
    f"{ANNOTATED_VERSION}",
    ("en", ANY),
)
# Its train.csv is for training.
SKILLSKAPE = TaskSpec(
    "skillskape",
    "SkillSkape",
    "",
    ("vacancy", "skill"),
    ("validation", "test"),
    read_skillskape,
    _SKILLSKAPE_DATA,
    ("en", ANY),
)
