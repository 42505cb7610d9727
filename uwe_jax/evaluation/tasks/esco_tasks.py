"""The four tasks of WorkBench whose targets are the labels of an ESCO release."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from uwe_jax.data.text import normalise
from uwe_jax.evaluation.tasks.collection import Collection, read_collection
from uwe_jax.evaluation.tasks.languages import ANY
from uwe_jax.evaluation.tasks.task import TaskContent, TaskDataMissing, TaskSources, TaskSpec
from uwe_jax.sources.esco.reader import EscoEdges, read_concepts, read_job_edges
from uwe_jax.sources.esco.release import (
    DOWNLOAD,
    NEEDS,
    EscoFile,
    EscoRelease,
    choose_release,
    expected_files,
    find_files,
    found_instead,
    plain_languages,
    plain_version,
)
from uwe_jax.sources.folders import DEPTH
from uwe_jax.sources.hub.dataset import HubDataset
from uwe_jax.sources.notes import noted
from uwe_jax.sources.tables.reading import stamp
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
    """Reads occupations and the skills they need; for validation, vacancy titles and the skills of the vacancy."""
    if split != "validation":
        return _relations(sources, asked="occupations", ranked="skills")
    pairs, release, origin = _tagged_vacancies(sources)
    return TaskContent(pairs, **targets_of(release, "skills", sources), origin=origin, merge_queries=False)


def read_skill_to_job(sources: TaskSources, split: str) -> TaskContent:
    """Reads the relations of `read_job_to_skill` the other way round.

    Validation ranks the vacancy titles themselves, since its rows name no occupations.
    """
    if split != "validation":
        return _relations(sources, asked="skills", ranked="occupations")
    pairs, release, origin = _tagged_vacancies(sources)
    skills = set(labels_of(release, "skills").values())
    titles: dict[str, list[str]] = {}
    for title, tagged in pairs:
        for skill in tagged:
            titles.setdefault(skill, []).append(title)
    known = [(skill, asked) for skill, asked in titles.items() if skill in skills]
    notes = noted(len(titles) - len(known), "label", f"not among the skills of {release} left out")
    return TaskContent(known, {title for title, _ in pairs}, origin, notes)


def read_job_normalisation(sources: TaskSources, split: str) -> TaskContent:
    """Reads vacancy titles and the occupation of each, by URI, else by label.

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
    targets = targets_of(release, "occupations", sources)
    return TaskContent(pairs, **targets, origin=origin, merge_queries=False)


def read_skill_normalisation(sources: TaskSources, split: str) -> TaskContent:
    """Reads alternative labels and the skills that carry them.

    The first alternative of every skill, in the release's order, is for validation, the others are for test. An
    alternative that equals the preferred label of its skill does not count.

    In another language than the targets', the queries are its alternatives, and no names of theirs.

    Raises:
      TaskDataMissing: the split has no alternatives, as in languages without any.
    """
    release = find_esco(sources, ("skills",))
    asked = in_language(sources, release, ("skills",), sources.asked_in)
    concepts = read_concepts(asked, "skills", alternatives=True)
    labels = labels_of(release, "skills")
    carriers: dict[str, list[str]] = {}
    for uri, label in labels.items():
        for alternative in concepts.alternatives_of(uri) if uri in concepts.labels else ():
            if alternative != label:
                carriers.setdefault(alternative, []).append(label)
    seen: set[str] = set()
    halves: dict[str, list[tuple[str, list[str]]]] = {"validation": [], "test": []}
    for alternative, skills in carriers.items():
        halves["test" if seen.issuperset(skills) else "validation"].append((alternative, skills))
        seen.update(skills)
    if not halves[split]:
        raise TaskDataMissing(
            f"{asked} has {len(carriers):,} alternative labels, none of them for the {split} split: take a language "
            "that has more."
        )
    targets = targets_of(release, "skills", sources)
    same = asked.language == release.language
    origin = str(release) if same else f"{release}; alternatives of {asked}"
    return TaskContent(halves[split], **targets, origin=origin, notes=concepts.notes, queries_are_names=same)


def _relations(sources: TaskSources, *, asked: str, ranked: str) -> TaskContent:
    """Returns all concepts of one role, each with the related ones of the other role."""
    release = find_esco(sources, NEEDS["skill_job"])
    other = in_language(sources, release, (asked,), sources.asked_in)
    if other.language != release.language:
        both = f"{other.language}-{release.language}"
        release = EscoRelease(release.version, both, {**release.files, asked: other.files[asked]})
    files = tuple((role, file, stamp(file.path)) for role, file in release.files.items())
    edges = _read_relations(release.version, release.language, files)
    related: dict[str, list[str]] = {}
    for edge in edges.edges:
        skill_to_job = asked == "skills"
        uri, label = (edge.left_id, edge.right_text) if skill_to_job else (edge.right_id, edge.left_text)
        related.setdefault(uri, []).append(label)
    pairs = [(label, related.get(uri, [])) for uri, label in labels_of(release, asked).items()]
    return TaskContent(pairs, **targets_of(release, ranked, sources), origin=str(release), notes=edges.notes)


def _tagged_vacancies(sources: TaskSources) -> tuple[list[tuple[str, list[str]]], EscoRelease, str]:
    """Returns vacancy titles with the skills of each vacancy, the release of the skills, and the origin of both."""
    languages = {plain_languages(each)[0] for each in (sources.asked_in, sources.language)}
    if languages != {"en"}:
        raise TaskDataMissing(
            f"{VACANCY_SKILLS.hub.repo}, the validation split, has English labels only; the language is "
            f"{' and '.join(map(repr, sorted(languages - {'en'})))}. Take language 'en', or the test split."
        )
    read, release = read_collection(VACANCY_SKILLS, "validation", sources), find_esco(sources, ("skills",))
    pairs = [(row["vacancy_job_title"], list(map(normalise, row["tagged_esco_skills"]))) for row in read.rows]
    return pairs, release, f"{read.origin}; skills of {release}"


def find_esco(
    sources: TaskSources, roles: Sequence[str], *, version: str | None = None, language: str | None = None
) -> EscoRelease:
    """Finds the files of some roles, in the first folder that holds them all in one version.

    Args:
      sources: its version and language are the defaults.
      roles: of skills, occupations and relations.

    Raises:
      TaskDataMissing: not found in any folder.
      UserError: a damaged zip, or two different files of one name and version.
    """
    fixed = version is not None or language is not None
    version = plain_version(sources.esco_version if version is None else version)
    language = sources.language if language is None else language
    instead = ""
    for folder in sources.folders:
        found = find_files(folder, DEPTH)
        release = choose_release(found, roles, language, version)
        if release is not None:
            return release
        instead = instead or found_instead(found, roles, language, version, () if fixed else sources.flags)
    wanted = expected_files(language, roles)
    raise TaskDataMissing(
        f"No ESCO{' v' + version if version else ''} with {wanted} in {sources.listed}.{instead} {DOWNLOAD}"
    )


def in_language(sources: TaskSources, release: EscoRelease, roles: Sequence[str], language: str) -> EscoRelease:
    """Finds the files of some roles of the same version in a language; errors are those of `find_esco`."""
    if plain_languages(language)[0] == release.language:
        return release
    return find_esco(sources, roles, version=release.version, language=language)


def labels_of(release: EscoRelease, role: str) -> dict[str, str]:
    """Returns the preferred label by URI of all skills or occupations that have one in the release's language."""
    return {uri: label for uri, label in read_concepts(release, role).labels.items() if label}


def targets_of(release: EscoRelease, role: str, sources: TaskSources) -> dict[str, Any]:
    """Returns `targets` of `TaskContent`, and alternative labels and descriptions of these where the sources ask."""
    labels, concepts = labels_of(release, role), read_concepts(release, role)
    found: dict[str, Any] = {"targets": labels.values()}
    if sources.names:
        found["names"] = [(label, concepts.alternatives_of(uri)) for uri, label in labels.items()]
    if sources.descriptions:
        about = read_concepts(release, role, descriptions=True).descriptions
        found["descriptions"] = [(label, [about[uri]]) for uri, label in labels.items()]
    return found


@lru_cache(maxsize=2)  # the stamps are a part of its key: changed files are read again
def _read_relations(version: str, language: str, files: tuple[tuple[str, EscoFile, tuple[int, int]], ...]) -> EscoEdges:
    return read_job_edges(EscoRelease(version, language, {role: file for role, file, _ in files}))


_ESCO = "https://esco.ec.europa.eu/en/use-esco/download (classification, csv)"
_RELATIONS = f"{_ESCO}: skills, occupations and relations; validation: {VACANCY_SKILLS.hub.repo} on the hub"
_SKILLS = f"{_ESCO}: skills"
_TITLES = f"titles.csv of JobBERT, or {JOBBERT_TITLES.hub.repo} on the hub; occupations from {_ESCO}"

SPECS = tuple(
    TaskSpec(name, title, name, kinds, ("validation", "test"), read, where, (asked_in, ANY))
    for name, title, kinds, read, where, asked_in in (
        ("job_to_skill", "Job2Skill", ("job", "skill"), read_job_to_skill, _RELATIONS, ANY),
        ("skill_to_job", "Skill2Job", ("skill", "job"), read_skill_to_job, _RELATIONS, ANY),
        ("job_normalisation", "Job normalisation", ("job", "job"), read_job_normalisation, _TITLES, "en"),
        ("skill_normalisation", "Skill normalisation", ("alias", "skill"), read_skill_normalisation, _SKILLS, ANY),
    )
)
