"""A handful of vacancies in every format that is read, and the skills to tag them with."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from uwe_jax.sources.taxonomy import Skill, Taxonomy

TAXONOMY = Taxonomy(
    "four skills",
    (
        Skill("s1", "weld metal", ("metal joining",)),
        Skill("s2", "plan shifts", ("schedule staff",)),
        Skill("s3", "Python (computer programming)"),
        Skill("s4", "haute cuisine"),
    ),
)
ROWS = [
    {
        "id": 1,
        "title": "Welder",
        "description": "<p>You weld metal &amp; more.</p><ul><li>Schedule staff on two sites</li><li>Fun</li></ul>",
    },
    {
        "id": 2,
        "title": "Head chef",
        "description": "We love haute cuisine. Hi!\nYou plan shifts, e.g. at night.",
    },
    {"id": 3, "title": "Developer", "description": "• know Python well\n• weld metal with Python"},
    {"id": 4, "title": "Clerk", "description": "Nothing that has a name here."},
]


def write_rows(path: Path, rows=ROWS, **parquet) -> Path:
    """The rows in the format that the name of the file says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if ".jsonl" in path.suffixes:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, **parquet)
    else:
        mode = {"mode": "wt", "newline": "", "encoding": "utf-8"}
        with gzip.open(path, **mode) if path.suffix == ".gz" else path.open(**mode | {"mode": "w"}) as file:
            writer = csv.DictWriter(file, columns, delimiter="\t" if ".tsv" in path.suffixes else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def write_taxonomy(path: Path) -> Path:
    """`TAXONOMY` as a user has it."""
    skills = [{"id": skill.id, "label": skill.label, "aliases": "; ".join(skill.aliases)} for skill in TAXONOMY.skills]
    return write_rows(path, skills)


def many(count: int) -> list[dict]:
    """Different vacancies, so that none repeats another's edges."""
    return [
        {"id": n, "title": f"Job {n}", "description": f"Day {n}: plan shifts.\nTask {n}: you weld metal in team {n}."}
        for n in range(count)
    ]
