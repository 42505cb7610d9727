"""The rankings that a model went wrong on, as a plain sort has them and as a reader sees them."""

import json

import numpy as np
import pytest
from rendered import NASTY, shown
from task_data import make_task

from uwe_jax.evaluation import error_analysis, measure
from uwe_jax.evaluation.error_analysis import FLAGS
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.ranking_metrics import ranking_metrics


def dump_rankings(folder, task, *arguments, **settings):
    """Writes the files of a task; returns their paths."""
    error_analysis.dump_rankings(folder, task, *arguments, **settings)
    return folder / f"{task.name}.jsonl", folder / f"{task.name}.md"


def random_task(rng, queries=40, targets=30):
    words = [f"{NASTY[k % len(NASTY)]} target {k}" for k in range(targets)]
    pairs = [
        (
            f"query {k} {NASTY[k % len(NASTY)]}",
            [words[p] for p in rng.choice(targets, rng.integers(1, 25), replace=False)],
        )
        for k in range(queries)
    ]
    return make_task("a_task", "A *task*", split="test", kinds=("job", "skill"), pairs=pairs, targets=words, origin="x")


def brute_force(row):
    """Positions from the best to the worst, equal scores by position."""
    return sorted(range(len(row)), key=lambda position: (-row[position], position))


def test_rankings_are_those_of_a_plain_sort(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "_SCORES", 16 * 30)
    made = random_task(rng)
    scores = rng.integers(0, 6, (40, 30)) / 4  # many ties
    place = {query: k for k, query in enumerate(made.queries)}
    right = [set(made.relevant[[k]].indices.tolist()) for k in range(40)]
    orders = [brute_force(row) for row in scores]
    ranks = [[1 + order.index(p) for p in sorted(found)] for order, found in zip(orders, right, strict=True)]
    offsets = np.cumsum([0, *map(len, ranks)])
    precision = ranking_metrics(np.concatenate([np.array(each) for each in ranks]), offsets, ("map",))["map"]
    precision[[7, 3]] = precision[[11, 11]]  # equal ones stand by position
    asked = []

    def score(queries):
        asked.append(len(queries))
        return scores[[place[query] for query in queries]].astype(np.float32)

    jsonl, _ = dump_rankings(tmp_path, made, "m", precision, score, worst=35, top=7)
    entries = [json.loads(line) for line in jsonl.read_text().splitlines()]
    worst = sorted(range(40), key=lambda k: (precision[k], k))[:35]
    assert [entry["position"] for entry in entries] == worst
    assert sum(asked) == 35
    assert max(asked) < 35
    for k, entry in zip(worst, entries, strict=True):
        assert (entry["model"], entry["task"], entry["query"]) == ("m", "a_task", made.queries[k])
        assert entry["average_precision"] == 100 * precision[k]
        assert entry["relevant"] == [
            {"target": made.targets[p], "rank": rank, "score": scores[k, p]}
            for rank, p in enumerate(orders[k], 1)
            if p in right[k]
        ]
        assert entry["top"] == [
            {"target": made.targets[p], "rank": rank, "score": scores[k, p], "relevant": p in right[k]}
            for rank, p in enumerate(orders[k][:7], 1)
        ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_task.jsonl", "a_task.md"]


def test_the_page_shows_the_texts_unchanged(rng, tmp_path):
    made = random_task(rng)
    scores = rng.normal(size=(40, 30))
    precision = rng.random(40)
    jsonl, page = dump_rankings(
        tmp_path, made, NASTY[0], precision, lambda queries: scores[: len(queries)], worst=9, top=5
    )
    texts = shown(page.read_text())
    assert texts[0] == f"A *task*: what {NASTY[0]} ranked worst"
    entries = [json.loads(line) for line in jsonl.read_text().splitlines()]
    for number, entry in enumerate(entries, 1):
        start = texts.index(f"{number}. {entry['query']}")
        assert texts[start + 1].startswith(f"Average precision {entry['average_precision']:.2f} %.")
        cells = iter(texts[start + 2 :])
        assert [next(cells) for _ in range(3)] == ["right answer", "rank", "score"]
        relevant = entry["relevant"]
        for found in relevant[:20]:
            assert [next(cells) for _ in range(3)] == [found["target"], str(found["rank"]), f"{found['score']:.4f}"]
        if len(relevant) > 20:
            assert next(cells) == f"{len(relevant) - 20} more, down to rank {relevant[-1]['rank']}."
        assert [next(cells) for _ in range(4)] == ["top 5", "rank", "score", ""]
        for found in entry["top"]:
            mark = "right" if found["relevant"] else ""
            assert [next(cells) for _ in range(4)] == [
                found["target"], str(found["rank"]), f"{found['score']:.4f}", mark
            ]  # fmt: skip
    assert any(len(entry["relevant"]) > 20 for entry in entries)


@pytest.mark.parametrize(
    ("flag", "scores"),
    [
        (None, [0.9, 0.1, 0.2, 0.3]),
        ("nothing_right_on_top", [0.1, 0.05, 0.7, 0.6]),
        ("query_is_wrong_target", [0.9, 0.1, 0.2, 0.3]),
        ("same_words_above", [0.5, 0.6, 0.2, 0.3]),
        ("tied", [0.5, 0.1, 0.2, 0.5]),
    ],
)
def test_flags(flag, scores, tmp_path):
    query = "Welder" if flag == "query_is_wrong_target" else "joins metal"
    targets = ["Data, manage", "manage data", "sort", "welder"]  # in code point order
    made = make_task(
        "t", "T", split="all", kinds=("job", "skill"), pairs=[(query, targets[:1])], targets=targets, origin="x"
    )
    jsonl, page = dump_rankings(tmp_path, made, "m", np.ones(1), lambda _: np.array([scores]), top=2)
    assert json.loads(jsonl.read_text())["flags"] == ([flag] if flag else [])
    for name, meaning in FLAGS.items():
        assert (f"- 1 of 1: {meaning}" in page.read_text()) == (name == flag)


def test_scores_of_infinity_are_null(tmp_path):
    made = make_task(
        "t", "T", split="all", kinds=("job", "skill"), pairs=[("q", ["a"])], targets=["a", "b"], origin="x"
    )
    jsonl, page = dump_rankings(tmp_path, made, "m", np.ones(1), lambda _: np.array([[-np.inf, 3]]))
    entry = json.loads(jsonl.read_text(), parse_constant=pytest.fail)
    assert entry["relevant"] == [{"target": "a", "rank": 2, "score": None}]
    assert "| a | 2 | - |" in page.read_text()


def test_shapes_are_checked(rng, tmp_path):
    made = random_task(rng)
    with pytest.raises(UserError, match=r"m on A \*task\*: scores of shape \(40, 29\) for 40 queries and 30 targets"):
        dump_rankings(tmp_path, made, "m", np.ones(40), lambda queries: np.ones((len(queries), 29)))
    assert not list(tmp_path.iterdir())
