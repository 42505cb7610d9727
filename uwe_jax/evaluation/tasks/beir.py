"""Reads and writes ranking tasks as BEIR folders.

| file | content |
|---|---|
| corpus.jsonl | `_id`, `title`, `text` of every target; `names` holds further names, `description` a description |
| queries.jsonl | `_id`, `text`, of all splits |
| qrels/SPLIT.tsv | `query-id`, `corpus-id`, `score`, the grade: a judgement per row |

Each may be a table of any supported format, and qrels a TREC file too. A target's text is its title and text;
`task.json` may choose one of them, as `corpus_text`, beside the settings of `uwe_jax.evaluation.tasks.folder`.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from uwe_jax.data.text import normalise
from uwe_jax.evaluation.tasks.folder import (
    DEFAULTS,
    Further,
    further_if_asked,
    read_settings,
    read_texts,
    stem_of,
    task_file,
)
from uwe_jax.evaluation.tasks.qrels import Qrels, read_qrels
from uwe_jax.evaluation.tasks.task import RankingTask, TaskContent, TaskSources, TaskSpec
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import json_bytes, write_atomically
from uwe_jax.runtime.printable import json_text
from uwe_jax.runtime.settings import one_of
from uwe_jax.sources.folders import check_folder, files_in, stated_split
from uwe_jax.sources.notes import noted
from uwe_jax.sources.tables.problems import Problems

_PARTS = {"title and text": ("title", "text"), "title": ("title",), "text": ("text",)}
_EXPECTED = "corpus and queries, such as corpus.jsonl with _id, title and text, and a folder qrels with SPLIT.tsv"
_TREC = re.compile(r"(.+)\.(?:qrels|trec|txt)(?:\.gz)?")


def is_beir(folder: Path) -> bool:
    """Returns whether a folder has a corpus or a folder of qrels, and neither file of another task folder."""
    stems = set(map(stem_of, folder.iterdir())) if folder.is_dir() else set()
    return not stems & {"targets", "relevant"} and ("corpus" in stems or (folder / "qrels").is_dir())


def beir_task(folder: Path, only: Path | None = None) -> TaskSpec:
    """Reads the task in a BEIR folder; it has the folder's name, and a split for each of the qrels.

    The names dev and validation mean one split. Corpus and queries are read at once, qrels when a split is. Queries
    without a judgement in a split are not part of it.

    Args:
      only: one of the qrels, which is then the only split; the task has its name, too.

    Raises:
      UserError: a missing file or column, rows without an id or a text, a repeated id, or no qrels; of the read split,
        a grade that is not a whole number, or an id that no query or no target has.
    """
    check_folder(folder, f"Expected a BEIR folder: {_EXPECTED}.")
    settings = read_settings(folder, DEFAULTS | {"corpus_text": "title and text"})
    one_of(f"corpus_text in {folder / 'task.json'}", settings["corpus_text"], tuple(_PARTS))
    files = {stated_split([_split_name(only)]) or _split_name(only): only} if only else _splits(folder)
    problems = Problems(str(folder))
    queries = read_texts(task_file(folder, "queries", _EXPECTED), "query", problems)
    further = Further({}, {})
    parts = _PARTS[settings["corpus_text"]]
    targets = read_texts(task_file(folder, "corpus", _EXPECTED), "target", problems, further, parts)
    problems.check()

    def read(sources: TaskSources, split: str) -> TaskContent:
        path = files[split]
        found, negative, label = Problems(str(folder)), 0, f"{folder.name}/qrels/{path.name}"
        qrels = Qrels(queries, targets, found)
        for place, query, target, grade in read_qrels(path, label, found):
            negative += grade < 0
            if qrels.knows(place, query, target):
                qrels.add(query, target, max(grade, 0))
        found.check()
        content = qrels.content(judged_alone=True)
        notes = [
            *noted(negative, "judgement", "below 0 taken as not relevant"),
            *noted(len(queries) - len(content["pairs"]), "query", f"without a judgement in {path.name}"),
        ]
        threshold, origin = settings["threshold"], f"{folder}, {path.name}"
        whole = TaskContent(
            **content,
            targets=targets.values(),
            origin=origin,
            notes=notes,
            merge_queries=False,
            **further.of(targets),
            threshold=threshold,
        )
        return further_if_asked(whole, sources)

    name = f"{folder.name}_{_split_name(only)}" if only else folder.name
    kinds = (settings["query_kind"], settings["target_kind"])
    return TaskSpec(name, normalise(settings["title"]) or name, "", kinds, tuple(files), read, str(only or folder))


def _splits(folder: Path) -> dict[str, Path]:
    """Returns the qrels of a folder by their split, as it is called here."""
    found = [path for path in files_in(folder / "qrels", 0) if _split_name(path)]
    names = [_split_name(path) for path in found]
    stated = [stated_split([name]) or name for name in names]
    several = {split for split, count in Counter(stated).items() if count > 1}
    splits = [name if split in several else split for name, split in zip(names, stated, strict=True)]
    if not found or len(set(splits)) < len(splits):
        holds = ", ".join(path.name for path in found) or "nothing of the kind"
        raise UserError(
            f"{folder / 'qrels'} has {holds}. Expected one file of qrels per split, such as test.tsv with the columns "
            "query-id, corpus-id and score, or test.qrels as in TREC."
        )
    return dict(zip(splits, found, strict=True))


def _split_name(path: Path) -> str:
    trec = _TREC.fullmatch(path.name)
    return trec[1] if trec else stem_of(path)


def write_beir(folder: Path, task: RankingTask) -> None:
    """Writes a task as a BEIR folder, with a task.json, and its qrels as a TREC file beside them.

    Targets that were joined have the first of their ids, and the queries of the task are all.
    """
    corpus: list[dict[str, Any]] = []
    for number, text in zip(task.corpus_ids, task.targets, strict=True):
        corpus.append({"_id": number, "title": text, "text": ""})
        if text in task.names:
            corpus[-1]["names"] = list(task.names[text])
        if text in task.descriptions:
            corpus[-1]["description"] = " ".join(task.descriptions[text])
    queries = [{"_id": number, "text": text} for number, text in zip(task.query_ids, task.queries, strict=True)]
    settings = {key: getattr(task, key) for key in DEFAULTS}
    relevant = task.relevant
    asked = np.repeat(np.arange(len(task.queries)), np.diff(relevant.indptr))
    columns = (each.tolist() for each in (asked, relevant.indices, relevant.data))
    judged = [
        (task.query_ids[query], task.corpus_ids[target], int(grade))
        for query, target, grade in zip(*columns, strict=True)
    ]
    for name, lines in (("corpus", corpus), ("queries", queries)):
        write_atomically(folder / f"{name}.jsonl", "".join(json_text(line) + "\n" for line in lines).encode())
    write_atomically(folder / "task.json", json_bytes(settings))
    table = io.StringIO()
    csv.writer(table, delimiter="\t", lineterminator="\n").writerows([("query-id", "corpus-id", "score"), *judged])
    write_atomically(folder / "qrels" / f"{task.split}.tsv", table.getvalue().encode())
    trec = "".join(f"{query}\t0\t{target}\t{grade}\n" for query, target, grade in judged)
    write_atomically(folder / f"{task.split}.qrels", trec.encode())
