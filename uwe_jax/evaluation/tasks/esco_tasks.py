"""The four tasks of WorkBench whose targets are the labels of an ESCO release."""

from __future__ import annotations

from collections.abc import Iterator

from uwe_jax.data.text import normalise
from uwe_jax.evaluation.tasks.collection import Collection, Rows, read_collection
from uwe_jax.evaluation.tasks.declare import TaskContent, declare
from uwe_jax.evaluation.tasks.esco_labels import find_esco, labels_of, relations_of
from uwe_jax.evaluation.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.sources.esco.reader import read_concepts
from uwe_jax.sources.esco.release import NEEDS, EscoRelease, plain_language
from uwe_jax.sources.hub.declaration import HubDataset
from uwe_jax.sources.notes import counted
from uwe_jax.sources.techwolf.source import TAGGED_VACANCIES

VACANCY_SKILLS = Collection(TAGGED_VACANCIES)
# The authors' own file has other columns than the hub, and holds the validation half.
JOBBERT_TITLES = Collection(
    HubDataset(
        "TechWolf/JobBERT-evaluation-dataset",
        {"vacancy_job_title": "text", "esco_URI": "text", "esco_job_title": "text"},
    ),
    layout={"vacancyTitle": "vacancy_job_title", "conceptUri": "esco_URI"},
    split="validation",
)


def read_job_to_skill(sources: TaskSources, split: str) -> TaskContent:
    """Test: occupations and the skills they need. Validation: vacancy titles and the skills of the vacancy."""
    if split == "validation":
        rows, release = _vacancy_skills(sources)
        skills = list(labels_of(release, "skills").values())
        return TaskContent(list(_tagged(rows)), skills, f"{rows.origin}; skills of {release}", merge_queries=False)
    return _relations(sources, asked="occupations", ranked="skills")


def read_skill_to_job(sources: TaskSources, split: str) -> TaskContent:
    """The same relations as of `read_job_to_skill`, asked from the other side.

    Validation ranks the vacancy titles themselves: its rows name no occupation.
    """
    if split == "validation":
        rows, release = _vacancy_skills(sources)
        skills = set(labels_of(release, "skills").values())
        titles: dict[str, list[str]] = {}
        for title, tagged in _tagged(rows):
            for skill in tagged:
                titles.setdefault(skill, []).append(title)
        known = [(skill, asked) for skill, asked in titles.items() if skill in skills]
        return TaskContent(
            known,
            sorted({title for title, _ in _tagged(rows)}),
            f"{rows.origin}; skills of {release}",
            counted(len(titles) - len(known), f"labels that are no skill of {release} left out"),
        )
    return _relations(sources, asked="skills", ranked="occupations")


def read_job_normalisation(sources: TaskSources, split: str) -> TaskContent:
    """Vacancy titles and the occupation that each was filed under, by URI, else by label.

    A row is a query. WorkRB 0.6 joins rows of equal titles: 270 of the 15,463 of the validation half.
    """
    release = find_esco(sources, ("occupations",))
    read = read_collection(JOBBERT_TITLES, split, sources)
    occupations = labels_of(release, "occupations")
    pairs = []
    for row in read.rows:
        label = occupations.get(row["esco_URI"].strip(), row["esco_job_title"])
        pairs.append((row["vacancy_job_title"], [label] if label else []))
    origin = f"{read.origin}; occupations of {release}"
    return TaskContent(pairs, list(occupations.values()), origin, merge_queries=False)


def read_skill_normalisation(sources: TaskSources, split: str) -> TaskContent:
    """Alternative labels and the skills that carry them.

    In the release's order, an alternative with a skill that has had none so far is one for validation, so that every
    skill with alternatives has one there; the others are for test. An alternative that equals the preferred label of
    its skill is none.

    Raises:
      TaskDataMissing: no alternative is left for the split, as in the languages that have none.
    """
    release = find_esco(sources, ("skills",))
    concepts = read_concepts(release.files["skills"], alternatives=True)
    labels = labels_of(release, "skills")
    carriers: dict[str, list[str]] = {}
    for uri, label in labels.items():
        for alternative in concepts.alternatives_of(uri):
            if alternative != label:
                carriers.setdefault(alternative, []).append(label)
    seen: set[str] = set()
    halves: dict[str, list[tuple[str, list[str]]]] = {"validation": [], "test": []}
    for alternative, skills in carriers.items():
        halves["test" if seen.issuperset(skills) else "validation"].append((alternative, skills))
        seen.update(skills)
    if not halves[split]:
        raise TaskDataMissing(
            f"{release} has {len(carriers):,} alternative labels, none of them for the {split} split: take a language "
            "that has more."
        )
    return TaskContent(halves[split], list(labels.values()), str(release), concepts.notes)


def _relations(sources: TaskSources, *, asked: str, ranked: str) -> TaskContent:
    """All concepts of one role, and those of the other that a relation joins them with."""
    release = find_esco(sources, NEEDS["skill_job"])
    edges = relations_of(release)
    related: dict[str, list[str]] = {}
    for edge in edges.edges:
        if asked == "skills":
            related.setdefault(edge.left_id, []).append(edge.right_text)
        else:
            related.setdefault(edge.right_id, []).append(edge.left_text)
    pairs = [(label, related.get(uri, [])) for uri, label in labels_of(release, asked).items()]
    return TaskContent(pairs, list(labels_of(release, ranked).values()), str(release), edges.notes)


def _vacancy_skills(sources: TaskSources) -> tuple[Rows, EscoRelease]:
    if plain_language(sources.language) != "en":
        raise TaskDataMissing(
            f"{VACANCY_SKILLS.hub.repo}, the validation split, has English labels only; the language is "
            f"{sources.language!r}. Take language 'en', or the test split."
        )
    return read_collection(VACANCY_SKILLS, "validation", sources), find_esco(sources, ("skills",))


def _tagged(rows: Rows) -> Iterator[tuple[str, list[str]]]:
    for row in rows.rows:
        yield row["vacancy_job_title"], [normalise(skill) for skill in row["tagged_esco_skills"]]


_ESCO = "https://esco.ec.europa.eu/en/use-esco/download (classification, csv)"
_WHERE = f"{_ESCO}: skills, occupations and relations; validation: {VACANCY_SKILLS.hub.repo} on the hub"

SPECS = (
    declare(
        name="job_to_skill",
        title="Job2Skill",
        group="job_to_skill",
        kinds=("job", "skill"),
        splits=("validation", "test"),
        read=read_job_to_skill,
        where=_WHERE,
    ),
    declare(
        name="skill_to_job",
        title="Skill2Job",
        group="skill_to_job",
        kinds=("skill", "job"),
        splits=("validation", "test"),
        read=read_skill_to_job,
        where=_WHERE,
    ),
    declare(
        name="job_normalisation",
        title="Job normalisation",
        group="job_normalisation",
        kinds=("job", "job"),
        splits=("validation", "test"),
        read=read_job_normalisation,
        where=f"titles.csv of JobBERT, or {JOBBERT_TITLES.hub.repo} on the hub; occupations from {_ESCO}",
    ),
    declare(
        name="skill_normalisation",
        title="Skill normalisation",
        group="skill_normalisation",
        kinds=("alias", "skill"),
        splits=("validation", "test"),
        read=read_skill_normalisation,
        where=f"{_ESCO}: skills",
    ),
)
