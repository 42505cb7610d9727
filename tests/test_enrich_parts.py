"""Parts of enrichment: equivalences with plain loops, and the texts that each check rejects."""

import asyncio
import dataclasses
import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest
from graphs import build_graph_set

from uwe_jax.config import PerGraph
from uwe_jax.curation.enrich import asking, copies
from uwe_jax.curation.enrich.budget import Budget
from uwe_jax.curation.enrich.checks import Checker, LanguageCheck, SkillIndex
from uwe_jax.curation.enrich.copies import Texts, overlap, read_evaluation_texts
from uwe_jax.curation.enrich.generators import Candidate, Unreadable, read_answer
from uwe_jax.curation.enrich.grounding import Example, nearest, nearest_examples, real_texts
from uwe_jax.curation.enrich.plan import Request, degrees, rare_skills
from uwe_jax.curation.enrich.prompts import SHIPPED, Prompt, PromptFiles, read_templates
from uwe_jax.curation.enrich.response_cache import Answer, Cost, ResponseCache, key_of, open_cache
from uwe_jax.curation.enrich.settings import BudgetSettings, CheckSettings, CountPerGraph, EndpointSettings
from uwe_jax.data.graph import Edge
from uwe_jax.evaluation import measure
from uwe_jax.evaluation.lexical import Random, TfIdf
from uwe_jax.evaluation.tasks.task import TaskContent, TaskDataMissing, TaskSpec
from uwe_jax.runtime.errors import UserError

SENTENCE = "Every day you mix dough and bake bread for the whole town with our team"


def answer(number: int = 0, **changes) -> Answer:
    return Answer(
        **{
            **{"key": f"k{number}", "model": "m", "prompt": "p", "kind": "job", "skill": "s", "answer": "ä\n\u2028"},
            **{"finish": "stop", "input_tokens": 3, "output_tokens": 2, "estimated": False, "problem": ""},
            "seconds": 0.1,
            **changes,
        }
    )


def test_rare_skills_have_the_fewest_edges_and_a_larger_count_only_adds():
    edges = [Edge("", f"skill {s}", "", f"job {n}") for s in range(30) for n in range(s % 5)]
    graphs = build_graph_set({"job": edges, "alias": [Edge("", f"skill {s}", "", f"alias {s}") for s in range(30)]})
    degree = degrees(graphs, "job")
    found = rare_skills(graphs, "job", 2, 0, seed=0)
    assert set(found) == set(np.flatnonzero(degree <= 2))
    assert (np.diff(degree[found]) >= 0).all()
    for count in (1, 7, 12):
        np.testing.assert_array_equal(rare_skills(graphs, "job", 2, count, seed=0), found[:count])
    assert rare_skills(graphs, "job", 2, 0, seed=1).tolist() != found.tolist()
    assert len(rare_skills(graphs, "vacancy", 0, 0, seed=0)) == 30


def test_nearest_equals_a_sort_for_any_chunk_size(monkeypatch):
    texts, queries = [f"text {n}" for n in range(50)], [f"query {n}" for n in range(9)]
    scores = Random().index(texts)(queries)
    found = nearest(Random(), queries, texts, 6)
    assert [[n for n, _ in row] for row in found] == np.argsort(-scores, axis=1)[:, :6].tolist()
    monkeypatch.setattr(measure, "_SCORES", 100)
    assert nearest(Random(), queries, texts, 6) == found
    assert [len(row) for row in nearest(Random(), queries, texts[:4], 6)] == [4] * 9
    # Ties are not all broken in favour of the first texts.
    alike = nearest(TfIdf(), queries, [f"other{n}" for n in range(50)], 3)
    assert len({row[0] for row in alike}) > 4


def test_examples_are_a_skills_own_texts_first(tmp_path):
    edges = [Edge("", "bake bread", "u1", "baker"), Edge("", "weld steel", "u2", "steel welder")]
    graphs = build_graph_set({"job": edges})
    (tmp_path / "more.txt").write_text("bread shop\n\nsecret bread title\nbaker\n")
    texts, left_out = real_texts(graphs, "job", (str(tmp_path / "more.txt"),), "", {"secret bread title"})
    assert left_out == 1
    assert [(each.text, each.id) for each in texts] == [
        ("baker", "u1"), ("steel welder", "u2"), ("bread shop", "more.txt, line 1"),
    ]  # fmt: skip
    (row,) = nearest_examples(TfIdf(), graphs, "job", [0], texts, 3)
    assert [(each.text, each.own, each.score > 0) for each in row] == [
        ("baker", True, False), ("bread shop", False, True), ("steel welder", False, False),
    ]  # fmt: skip


def test_the_skill_index_measures_as_a_loop_does(monkeypatch):
    skills = [f"skill {n}" for n in range(20)]
    texts, own = [f"text {n}" for n in range(11)], [n % 5 for n in range(11)]
    scores = Random().index(skills)(texts)
    expected = []
    for row, s in zip(scores, own, strict=True):
        others = [float(value) for n, value in enumerate(row) if n != s]
        expected.append((float(row[s]), max(others), 1 + sum(value > row[s] for value in others)))
    for size in (2**24, 40):
        monkeypatch.setattr(measure, "_SCORES", size)
        found = SkillIndex(Random(), skills).measure(texts, own)
        assert [(each.score_skill, each.score_sibling, each.rank) for each in found] == expected
        assert all(scores[k, each.sibling] == np.float32(each.score_sibling) for k, each in enumerate(found))


@pytest.mark.parametrize(
    ("text", "finish", "problem"),
    [
        ('{"texts": ["a", "b"]}', "stop", ""),
        ('```json\n{"texts": ["a", "b"]}\n```', "stop", ""),
        ('Sure: {"texts": ["a"]}', "stop", "not valid JSON"),
        ('{"texts": ["a"]} Enjoy!', "stop", "not valid JSON"),
        ('{"texts": ["a", "b', "stop", "not valid JSON"),
        ('{"texts": ["a"]}', "length", "truncated at the maximum length"),
        ("", "content_filter", "empty (finish_reason content_filter)"),
        ('["a"]', "stop", "JSON list instead of an object"),
        ('{"texts": "a"}', "stop", "texts is not a list"),
        ('{"texts": []}', "stop", "empty list"),
        ('{"texts": ["a", 3]}', "stop", "entry 2 of texts is int"),
        ('{"texts": ["a", " \\n"]}', "stop", "entry 2 of texts is empty"),
        ('{"texts": ["\\ud83d"]}', "stop", "half a surrogate"),
        ('{"texts": ["a"], "note": ""}', "stop", "the keys texts, note"),
        ('{"texts": ["a"], "texts": ["b"]}', "stop", "duplicate key"),
    ],
)
def test_answers_are_read_strictly(text, finish, problem):
    if not problem:
        assert read_answer(text, finish) == ["a", "b"]
        return
    with pytest.raises(Unreadable, match=re.escape(problem)):
        read_answer(text, finish)


def test_copies_are_found_by_words():
    known = Texts([SENTENCE, "C++"], run=5)
    assert known.copied(SENTENCE.upper() + "!") == "equal to one"
    assert known.copied(f"Here {' '.join(SENTENCE.split()[3:8])} daily") == "5 words in a row"
    assert not known.copied(f"Here {' '.join(SENTENCE.split()[3:7])} daily")
    assert "c++" in known
    assert "C#" not in known
    assert overlap(SENTENCE, SENTENCE.replace("dough", "clay")) == pytest.approx(14 / 15)
    assert overlap("bake bread", "bake bread") == 0  # too short to tell by its words


def test_languages_of_long_enough_texts_are_identified():
    check = LanguageCheck("en", 0.5)
    assert not check.wrong(SENTENCE)
    assert check.wrong("Wir suchen für unsere Station eine erfahrene Pflegekraft.").startswith("de at ")
    assert not check.wrong("Pflegekraft gesucht")
    assert not LanguageCheck("de", 0.5).wrong("Wir suchen für unsere Station eine erfahrene Pflegekraft.")


def test_the_response_cache_keeps_complete_lines_and_drops_an_incomplete_one(tmp_path):
    path = tmp_path / "answers.jsonl"
    with open_cache(path) as responses:
        responses.add(answer(0))
        responses.add(answer(1, skill="\ud83d"))
        with (
            pytest.raises(UserError, match=r"Another process is enriching in .*folder with out"),
            open_cache(path),
        ):
            pass
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key": "k2", "mod')
    assert list(ResponseCache(path).answers) == ["k0", "k1"]
    with open_cache(path) as responses:
        assert responses.torn == 18
        assert responses.answers == {"k0": answer(0), "k1": answer(1, skill="\ud83d")}
        responses.add(answer(2))
    assert path.read_bytes().startswith(whole)
    assert list(ResponseCache(path).answers) == ["k0", "k1", "k2"]
    path.write_bytes(b"oops\n" + whole)
    with pytest.raises(UserError, match=r"answers.jsonl, line 1 is not a valid answer"):
        ResponseCache(path)


def test_keys_depend_on_model_graph_prompt_and_try():
    prompt = Prompt("system", "user")
    asked = (("m", "job", prompt, 0), ("m", "job", prompt, 1), ("n", "job", prompt, 0), ("m", "alias", prompt, 0),
             ("m", "job", Prompt("syste", "muser"), 0), ("m", "job", prompt, 0, True))  # fmt: skip
    keys = {key_of(*each) for each in asked}
    assert len(keys) == 6


def test_an_answer_that_cannot_be_written_leaves_no_half_line(tmp_path, monkeypatch):
    path, write = tmp_path / "answers.jsonl", os.write

    def full(file, content):
        if len(content) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, content[:-10])

    with open_cache(path) as responses:
        responses.add(answer(0))
        whole = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space left"):
                responses.add(answer(1))
        assert path.read_bytes() == whole
        assert list(responses.answers) == ["k0"]
        responses.add(answer(2))
    assert list(ResponseCache(path).answers) == ["k0", "k2"]


def test_a_budget_counts_pending_requests():
    budget = Budget(BudgetSettings(tokens=100), EndpointSettings(max_tokens=30), Cost(1, 10, 10))
    assert not budget.reserve(Cost(1, 20, 30))
    assert "could bring it to 101" in budget.reserve(Cost(1, 1, 30))
    budget.settle(Cost(1, 20, 30), Cost(1, 15, 5))
    assert not budget.under_way
    assert not budget.reserve(Cost(1, 30, 30))
    assert budget.spent == Cost(2, 25, 15)


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({"max_tokens": 30}, 30),
        ({"max_tokens": 0, "extra_body": '{"max_completion_tokens": 900}'}, 900),
        ({"max_tokens": 0}, 20),  # the likely answer
    ],
)
def test_the_maximum_answer_is_reserved(settings, tokens):
    request = Request("job", 0, "s", 1, (), ())
    assert Budget(BudgetSettings(), EndpointSettings(**settings), Cost()).at_most(request).output_tokens == tokens


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://localhost:80a/v1", "not a valid address"),
        ("http://", "not a valid address"),
        ("http://local host/v1", "not a valid address"),
        ("http://[::1/v1", "not a valid address"),
        ("https://me:secret@host/v1", "has a user, a password or a query"),
        ("https://host/v1?key=secret", "has a user, a password or a query"),
    ],
)
def test_addresses_are_checked_without_showing_secrets(address, message):
    with pytest.raises(UserError, match=message) as raised:
        EndpointSettings(base_url=address)
    assert "secret" not in str(raised.value)
    assert EndpointSettings(base_url="http://[::1]:8000/v1").base_url


def test_rate_limits_hold_for_requests_and_tokens():
    pace = asking.Pace(EndpointSettings(requests_per_minute=6, tokens_per_minute=600))
    costs = [Cost(1, 15, 10), Cost(1, 150, 50), Cost(1, 15, 10), Cost(1, 15, 10), Cost(1, 15, 10)]
    # One request in ten seconds, and ten tokens in a second; a pause of the sender allows no burst.
    delays = [pace.delay(cost, now) for cost, now in zip(costs, (100, 100, 102, 150, 150), strict=True)]
    assert delays == [0, 10, 28, 0, 10]
    assert asking.Pace(EndpointSettings()).delay(costs[0], 100) == 0


def test_a_request_that_waits_for_its_turn_ends_with_the_run():
    async def stopped():
        work = asking.Asking(
            EndpointSettings(), ResponseCache(Path("none")), Budget(BudgetSettings(), EndpointSettings(), Cost())
        )
        waiting = asyncio.ensure_future(work._sleep(600))
        await asyncio.sleep(0)
        assert not waiting.done()
        work._stop("refused")
        await asyncio.wait_for(waiting, 30)

    asyncio.run(stopped())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("vacancy.txt", "Write $count about $skil.", "has the unknown placeholder $skil. Known are $skill, $count"),
        ("vacancy.txt", "Write $count.", "lacks $skill"),
        ("vacancy.txt", "Write $count about $skill for 5 $.", "write a dollar sign as $$"),
        ("template_vacancy.txt", "We need $skill\nWe need you", "template_vacancy.txt, line 2 lacks $skill"),
        ("template_vacancy.txt", "# none", "has no template"),
    ],
)
def test_prompt_files_are_checked(name, text, message, tmp_path):
    for path in SHIPPED.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=re.escape(message)):
        (read_templates if name.startswith("template") else PromptFiles)(str(tmp_path), ("vacancy",))


def test_prompts_contain_texts_unchanged(tmp_path):
    (tmp_path / "system.txt").write_text("Answer.")
    (tmp_path / "job.txt").write_text("$count for $skill in $language\n$titles\n$aliases\n$sentences $siblings")
    values = {"skill": "R$skill", "count": 2, "language": "en", "titles": ["a $5 job", "b"], "aliases": []}
    prompt = PromptFiles(str(tmp_path), ("job",)).render("job", {**values, "sentences": [], "siblings": []})
    assert prompt.user == "2 for R$skill in en\n- a $5 job\n- b\n(none)\n(none) (none)"


def test_evaluation_texts_are_the_queries_of_every_available_split(tmp_path, monkeypatch, capsys):
    def load_sentences(sources, split):
        return TaskContent([(SENTENCE, ["bake bread"])], ["bake bread", "weld"], "o")

    def load(sources, split):
        assert sources.offline
        if split == "test":
            raise TaskDataMissing("not there")
        pairs = [("bakers wanted at five in the morning", ["bake bread"]), ("welders wanted", ["weld"])]
        return TaskContent(pairs, ["bake bread", "weld"], "o")

    spec = TaskSpec("t", "T", "", ("job", "skill"), ("validation", "test"), load, "nowhere")
    other = dataclasses.replace(spec, name="s", kinds=("vacancy", "skill"), splits=("all",), read=load_sentences)
    for known in ("CATALOGUE", "EVERY"):
        monkeypatch.setattr(copies, known, {"t": spec, "s": other})
    texts, guarded = read_evaluation_texts((str(tmp_path),), run=5, cache_dir=tmp_path)
    assert len(texts) == 3
    assert texts.copied("BAKERS  wanted at five in the morning")
    # A sentence may contain the name of a job; a run of words of a sentence is a copy.
    assert not texts.copied("bakers wanted at five in the morning in town")
    assert texts.copied("you mix dough and bake bread") == "5 words in a row"
    assert guarded == {"count": 3, "found": ["t (validation)", "s (all)"], "missing": ["t (test)"]}
    assert "Guarding 3 queries" in capsys.readouterr().err


def check(*texts, skill="bake bread", kind="vacancy", evaluation=(), settings=None, count=9):
    """Reasons why texts are rejected; empty for accepted ones."""
    skills = ("bake bread", "bake fresh bread daily", "weld steel")
    edges = {each: [Edge("", s, "", f"{s} {each}") for s in skills] for each in ("job", "vacancy", "alias")}
    graphs = build_graph_set(edges)
    shown = (Example("We bake fine bread for the old town and its many guests", "x", False, 1.0),)
    request = Request(kind, graphs.skills.index(skill), skill, count, shown, ())
    candidates = [
        Candidate(request, text, "language_model", "", "", (), surplus=n >= count) for n, text in enumerate(texts)
    ]
    settings = settings or CheckSettings(max_lead=PerGraph(1.0, 1.0, 1.0))
    checker = Checker(settings, graphs, Texts(evaluation, 8), TfIdf(), LanguageCheck("en", 0.5))
    accepted, rejected = checker.check(candidates)
    reasons = {each.text: each.reason for each in rejected}
    assert len(accepted) + len(rejected) == len(texts)
    assert [candidate.text for candidate, _ in accepted] == [text for text in texts if text not in reasons]
    return [reasons.get(text, "") for text in texts]


def test_each_check_rejects_its_texts():
    good = "You will bake bread for schools and hospitals"
    assert check(good) == [""]
    assert check("bake bread") == ["length"]
    assert check("bake bread", kind="alias") == ["label of a skill"]
    assert check("Wir backen jeden Morgen frisches Brot für die ganze Stadt") == ["language"]
    assert check("bake bread alias", kind="alias") == ["in the graph already"]
    assert check("We bake fine bread for the old town and its many friends") == ["copy of an example"]
    assert check("We bake fine bread for the young town and our many guests") == ["copy of an example"]
    assert check(good, evaluation=[good.upper()]) == ["copy of an evaluation text"]
    long = "At night you bake bread and rolls for three schools nearby"
    assert check(long, evaluation=[f"{long} and more"]) == ["copy of an evaluation text"]
    assert check(good, good.replace("schools", "colleges"), "The bakery needs people who bake bread") == [
        "", "taken before", "",
    ]  # fmt: skip
    assert check(good, "Our ovens bake bread around the clock", count=1) == ["", "more texts than asked for"]


def test_nearness_is_checked_by_score_rank_and_lead():
    text = "You bake fresh bread every day in our shop"
    wide = CheckSettings(max_rank=CountPerGraph(9, 9, 9), max_lead=PerGraph(1.0, 1.0, 1.0))
    assert check(text, settings=wide) == [""]
    assert check(text, settings=dataclasses.replace(wide, max_rank=CountPerGraph(9, 1, 9))) == [
        "nearer to other skills"
    ]
    lead = dataclasses.replace(wide, max_lead=PerGraph(1.0, 0.05, 1.0))
    assert check(text, settings=lead) == ["nearer to other skills"]
    assert check(text, skill="bake fresh bread daily", settings=lead) == [""]
    assert check("You paint the walls of our shop", settings=wide) == ["not near enough to its skill"]
