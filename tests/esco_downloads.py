"""A small ESCO in the portal's layout: the same files, columns and quoting, a handful of concepts."""

import csv
import io
import zipfile
from pathlib import Path

SKILL = "http://data.europa.eu/esco/skill/"
OCCUPATION = "http://data.europa.eu/esco/occupation/"

SKILLS = [
    (SKILL + "1", "weld metal", "join metal\nmetal joining\nWeld  Metal\n\njoin metal"),
    (SKILL + "2", "plan shifts ", "schedule staff"),
    (SKILL + "3", "haute cuisine", ""),
]
OCCUPATIONS = [(OCCUPATION + "a", "welder", "metal worker"), (OCCUPATION + "b", "head chef", "")]
RELATIONS = [
    (OCCUPATION + "a", "essential", SKILL + "1"),
    (OCCUPATION + "a", "optional", SKILL + "2"),
    (OCCUPATION + "b", "essential", SKILL + "2"),
    (OCCUPATION + "b", "essential", SKILL + "3"),
]
SKILL_RELATIONS = [(SKILL + "1", "essential", SKILL + "2"), (SKILL + "3", "optional", SKILL + "2")]


def table(header: list[str], rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def concepts(kind: str, rows: list[tuple[str, str, str]]) -> str:
    header = ["conceptType", "conceptUri", "preferredLabel", "altLabels", "status", "description"]
    return table(header, [(kind, *row, "released", "Text,\nover two lines.") for row in rows])


def classification(skills=SKILLS, occupations=OCCUPATIONS, language="en") -> dict[str, str]:
    """Member files of a language's zip."""
    return {
        f"skills_{language}.csv": concepts("KnowledgeSkillCompetence", skills),
        f"occupations_{language}.csv": concepts("Occupation", occupations),
        f"conceptSchemes_{language}.csv": "conceptType\n",
    }


def relations(rows=RELATIONS, name="occupationSkillRelations.csv") -> dict[str, str]:
    """Member files of the zip without a language."""
    header = ["occupationUri", "relationType", "skillType", "skillUri"]
    return {name: table(header, [(job, kind, "knowledge", skill) for job, kind, skill in rows])}


def skill_relations(rows=SKILL_RELATIONS, name="skillSkillRelations.csv") -> dict[str, str]:
    """One more member file of the zip without a language."""
    header = ["originalSkillUri", "originalSkillType", "relationType", "relatedSkillType", "relatedSkillUri"]
    return {name: table(header, [(skill, "knowledge", kind, "knowledge", other) for skill, kind, other in rows])}


def write_zip(folder: Path, version: str, language: str, members: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"ESCO dataset - v{version} - classification - {language} - csv.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_release(folder: Path, version: str = "1.1.1", **kwargs) -> None:
    """Both zips of a version."""
    write_zip(folder, version, "en", classification(**kwargs))
    write_zip(folder, version, "", relations() | skill_relations())
