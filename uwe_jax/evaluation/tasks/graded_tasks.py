"""The five sets of graded relevance: sentences and terms, and ESCO's skills with grades from 0 to 4.

Each is a repository of the hub in BEIR's layout, with a table per folder: `queries`, `corpus` and `qrels`. The
validation split has all grades, the test split, so far, binary relevance.
"""

from __future__ import annotations

from functools import partial

from uwe_jax.data.text import normalise
from uwe_jax.evaluation.tasks.grades import EXPECTED_GRADE, read_grade
from uwe_jax.evaluation.tasks.publications import read_tables
from uwe_jax.evaluation.tasks.qrels import Qrels
from uwe_jax.evaluation.tasks.task import TaskContent, TaskSources, TaskSpec
from uwe_jax.sources.hub.dataset import HubDataset
from uwe_jax.sources.notes import noted
from uwe_jax.sources.tables.problems import Problems, shorten


def read_graded(repo: str, sources: TaskSources, split: str) -> TaskContent:
    """Reads a set, without its judgements of grade 0, which are nearly all. Targets are the titles of the corpus."""
    datasets = {
        "queries": (HubDataset(repo, {"_id": "id", "text": "text"}, "queries"), split),
        "corpus": (HubDataset(repo, {"_id": "id", "title": "text"}, "corpus"), ""),
        "qrels": (
            HubDataset(repo, {"query-id": "id", "corpus-id": "id", "score": "float"}, "qrels", (("score", 1e-9),)),
            split,
        ),
    }
    name = repo.rpartition("/")[2].casefold()
    rows, origin = read_tables(datasets, sources, lambda root: root.casefold().endswith(name))
    problems = Problems(f"{origin} ({split})")
    # Equal queries are joined before their judgements are read, as in WorkRB: of equal targets the first in the corpus
    # counts.
    first: dict[str, str] = {}
    same = {row["_id"]: first.setdefault(normalise(row["text"]), row["_id"]) for row in rows["queries"]}
    qrels = Qrels(
        {query: text for text, query in first.items()}, {row["_id"]: row["title"] for row in rows["corpus"]}, problems
    )
    for number, row in enumerate(rows["qrels"], 1):
        query = same[row["query-id"]] if row["query-id"] in same else row["query-id"]
        place = f"qrels, judgement {number} above 0"
        if (grade := read_grade(row["score"])) is None:
            problems.add(place, f"score {shorten(str(row['score']))}", EXPECTED_GRADE)
        elif qrels.knows(place, query, row["corpus-id"]):
            qrels.add(query, row["corpus-id"], grade)
    problems.check()
    targets = [row["title"] for row in rows["corpus"]]
    notes = noted(len(same) - len(first), "equal query", "joined")
    return TaskContent(**qrels.content(judged_alone=True), targets=targets, origin=origin, notes=notes)


SPECS = tuple(
    TaskSpec(
        name,
        title,
        "",
        (kind, "skill"),
        splits,
        partial(read_graded, f"TechWolf/{repo}"),
        f"TechWolf/{repo} on the hub, or a copy in a folder of its name",
        ("en", "en"),
    )
    for name, title, kind, splits, repo in (
        *(
            (
                f"skill_extraction_{name.casefold()}_graded",
                f"Skill extraction {name if name == 'SkillSkape' else name.upper()} graded",
                "vacancy",
                ("test",) if name == "TechWolf" else ("validation", "test"),
                f"Skill-extraction-{name}-graded",
            )
            for name in ("House", "Tech", "SkillSkape", "TechWolf")
        ),
        (
            "skill_normalisation_graded",
            "Skill normalisation graded",
            "alias",
            ("validation", "test"),
            "Skill-normalisation-ESCO-graded",
        ),
    )
)
