"""Freelancers ranked for projects and for search queries, which are in English; profiles are in five languages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from uwe_jax.evaluation.tasks.languages import ANY, SEVERAL
from uwe_jax.evaluation.tasks.publications import read_tables
from uwe_jax.evaluation.tasks.task import TaskContent, TaskDataMissing, TaskSources, TaskSpec
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.hub.dataset import HubDataset
from uwe_jax.sources.notes import noted
from uwe_jax.sources.tables.chunk import Row
from uwe_jax.sources.tables.problems import shorten

REPO = "MaltCompany/Freelancer-Project-Matching"
LANGUAGES = ("en", "de", "es", "fr", "nl")
MATCH = 0.8  # least score of a relevant profile, as in WorkRB

_PROFILES = {
    **dict.fromkeys(("profile_id", "language"), "id"),
    **dict.fromkeys(("headline", "description"), "text"),
    **dict.fromkeys(("skills", "soft_skills"), "texts"),
    "experiences": "json",
}
# Of each task: the table of its queries, their id and the columns of their text, and the table of scores.
_TASKS: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "project_to_freelancer": ("briefs", "brief_id", ("title", "description"), "brief_scores"),
    "search_to_freelancer": ("queries", "query_id", ("value",), "query_scores"),
}


def read_freelancers(name: str, whole: bool, sources: TaskSources, split: str) -> TaskContent:
    """Reads projects or search queries, and the profiles in one language, or in all of them.

    Profiles that score `MATCH` or more for a query are relevant. Queries without one are left out.
    """
    if not whole and sources.language not in LANGUAGES:
        raise TaskDataMissing(f"{REPO} has profiles in {', '.join(LANGUAGES)}, and {sources.language!r} was asked for.")
    table, number, texts, scores = _TASKS[name]
    datasets = {
        "queries": (HubDataset(REPO, {number: "id", **dict.fromkeys(texts, "text")}, table), ""),
        "profiles": (HubDataset(REPO, _PROFILES, "profiles"), ""),
        "scores": (
            HubDataset(REPO, {number: "id", "profile_id": "id", "score": "float"}, scores, (("score", MATCH),)),
            "",
        ),
    }
    rows, origin = read_tables(datasets, sources)
    every = {row["profile_id"] for row in rows["profiles"]}
    ranked = (row for row in rows["profiles"] if whole or row["language"].casefold() == sources.language)
    profiles = {row["profile_id"]: _text(row) for row in ranked}
    relevant: dict[str, list[str]] = {row[number]: [] for row in rows["queries"]}
    unknown = 0
    for row in rows["scores"]:
        if row[number] not in relevant or row["profile_id"] not in every:
            unknown += 1
        elif row["profile_id"] in profiles:
            relevant[row[number]].append(row["profile_id"])
    asked = [("\n\n".join(row[column] for column in texts), row[number]) for row in rows["queries"]]
    return TaskContent(
        [(text, [profiles[profile] for profile in relevant[query]]) for text, query in asked],
        profiles.values(),
        origin,
        noted(unknown, "score", "of unknown queries or profiles left out"),
        query_ids=[query for _, query in asked],
        target_ids=[*profiles],
    )


def _text(profile: Row) -> str:
    """Returns a profile as one text, with its parts in the order in which WorkRB joins them."""
    experiences = json.loads(profile["experiences"]) or []
    if not isinstance(experiences, list) or not all(isinstance(each, Mapping) for each in experiences):
        raise UserError(
            f"{REPO}: the profile {profile['profile_id']} has experiences {shorten(profile['experiences'])}. Expected "
            "a list of objects with title, description and skills."
        )
    parts = [
        profile["headline"],
        f"Bio:\n{profile['description']}",
        f"Skills:\n{','.join([*profile['skills'], *profile['soft_skills']])}",
        "Experiences:\n" + "\n\n".join(map(_experience, experiences)),
    ]
    return "\n\n".join(parts)


def _experience(of: Mapping[str, Any]) -> str:
    return f"{of.get('title') or ''}\n{of.get('description') or ''}\n{', '.join(of.get('skills') or ())}"


SPECS = tuple(
    TaskSpec(
        f"{name}_multilingual" if whole else name,
        f"{title} (all languages)" if whole else title,
        "",
        ("vacancy", "job"),
        ("test",),
        partial(read_freelancers, name, whole),
        f"{REPO} on the hub, or its tables in a folder: {', '.join((*_TASKS[name][::3], 'profiles'))}",
        ("en", SEVERAL if whole else ANY),
        name if whole else "",
    )
    for name, title in (
        ("project_to_freelancer", "Project to freelancer"),
        ("search_to_freelancer", "Search to freelancer"),
    )
    for whole in (False, True)
)
