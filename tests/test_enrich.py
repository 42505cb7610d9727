"""Enrichment from command line to edges, against a real server on loopback that also misbehaves."""

import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from compositions import pairs, part
from language_model_server import CONTENTS, TROUBLES, UNREADABLE, LanguageModelServer

from uwe_jax.commands import enrich
from uwe_jax.config import SourceSettings
from uwe_jax.curation.enrich import asking
from uwe_jax.curation.enrich import run as enrich_run
from uwe_jax.curation.enrich.response_cache import ResponseCache
from uwe_jax.evaluation.decontamination import load_training_graphs
from uwe_jax.runtime import optional_imports as extras
from uwe_jax.runtime.command import answer_errors
from uwe_jax.sources.edge_files import read_edge_folder
from uwe_jax.sources.mixture.compose import compose
from uwe_jax.sources.mixture.saved import save

ROOT = Path(__file__).parents[1]
KINDS = ("job", "vacancy", "alias")
# Skills with a job, a sentence and an alias each; those of the first four are fewer.
SKILLS = {
    "weld steel frames": ("welder", "Frames of ships are joined by you with a steady torch.", "steel welding"),
    "brew lager beer": ("brewer", "Our cellar needs hands that watch the lager ripen.", "lager brewing"),
    "repair bicycle brakes": ("bicycle mechanic", "Every brake that leaves the shop has gone past you.", "fix brakes"),
    "teach swimming": ("swimming teacher", "Children learn crawl and breaststroke from you.", "swimming lessons"),
    "tune grand pianos": ("piano tuner", "Before each concert you set the strings of our pianos.", "piano tuning"),
    "prune apple trees": ("orchard worker", "In winter you cut back the orchard row by row.", "apple pruning"),
    "audit annual accounts": ("auditor", "You test the ledgers of our clients before they publish.", "accounts audit"),
    "drive forklift trucks": ("forklift driver", "Pallets move from dock to rack at your hands.", "forklift driving"),
    "bake sourdough bread": ("baker", "At four in the morning the loaves wait for you.", "sourdough baking"),
    "shear sheep": ("shepherd", "In June the flock comes to you for its fleece.", "sheep shearing"),
}
COLUMNS = ["left", "right", "relation", "left_id", "grounding", "score_skill", "rank"]


def run(*flags):
    """Runs the command in this process; returns its exit status."""
    try:
        answer_errors(lambda: enrich.main([str(flag) for flag in flags]))
    except SystemExit as stop:
        return stop.code
    return 0


def write_source(folder):
    """Real edges; skills after the fourth have a second one of every kind."""
    folder.mkdir()
    for place, kind in enumerate(KINDS):
        rows = [(skill, texts[place]) for skill, texts in SKILLS.items()]
        rows += [(skill, f"{texts[place]} too") for skill, texts in list(SKILLS.items())[4:]]
        with (folder / f"skill_{kind}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("left", "right"), *rows])


def flags_of(server, out, **changes):
    """Twelve requests about four skills, without an encoder."""
    settings = {
        "out": out,
        "rare.skills": 4,
        "endpoint.base_url": server if isinstance(server, str) else server.base_url,
        "endpoint.model": "loopback",
        "endpoint.first_wait": 0.001,
        "grounding.ranker": "tfidf",
        "checks.ranker": "tfidf",
        **{name.replace("__", "."): value for name, value in changes.items()},
    }
    if "source.source" not in settings:
        settings |= {"source.source": "edges", "source.path": Path(out).parent / "real"}
    config = f"--config={ROOT / 'configs/enrich.py'}"
    return [config, *(f"--config.{name}={value}" for name, value in settings.items())]


def edges(out, columns=COLUMNS):
    """New edges by kind, as rows."""
    found = {}
    for kind in KINDS:
        path = Path(out) / f"skill_{kind}.parquet"
        rows = pq.read_table(path).to_pylist() if path.exists() else []
        found[kind] = [tuple(str(row[name]) for name in columns) for row in rows if row["relation"] != "source"]
    return found


def report_of(out):
    return json.loads((Path(out) / "enrichment.json").read_text())


def answers_of(out):
    return [json.loads(line) for line in (Path(out) / "answers.jsonl").read_text().splitlines()]


@pytest.fixture
def out(tmp_path):
    """A folder to enrich into, beside the real edges."""
    write_source(tmp_path / "real")
    return tmp_path / "out"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The folder of a run that nothing went wrong in."""
    folder = tmp_path_factory.mktemp("plain")
    write_source(folder / "real")
    out = folder / "out"
    with LanguageModelServer() as server:
        assert run(*flags_of(server, out)) == 0
        assert len(server.asked) == len(set(server.asked)) == 12
    return out


@pytest.mark.thorough
def test_new_edges_are_added_to_those_of_the_source_with_their_provenance(plain):
    found = report_of(plain)
    assert found["complete"]
    assert found["spent"]["requests"] == 12 == len(answers_of(plain))
    assert set(found["source_fingerprints"]) == set(KINDS)
    source = load_training_graphs(SourceSettings(source="edges", path=str(plain.parent / "real")))
    enriched = load_training_graphs(SourceSettings(source="edges", path=str(plain)))
    for kind, counts in found["counts"].items():
        assert counts["asked"] == counts["answered"] == counts["enriched"] == 4
        before, after = source.graphs[kind], enriched.graphs[kind]
        assert after.num_edges == before.num_edges + counts["taken"]
        assert set(before.neighbours) < set(after.neighbours)
    assert sum(map(len, edges(plain).values())) == sum(each["taken"] for each in found["counts"].values())
    prompts = {each["key"]: each["prompt"] for each in answers_of(plain)}
    for row in pq.read_table(plain / "skill_vacancy.parquet").to_pylist():
        if row["relation"] == "generated":
            assert (row["generator"], row["model"]) == ("language_model", "loopback")
            assert prompts[row["answer_key"]] == row["prompt_hash"]
            assert row["rank"] <= 20
            assert row["score_skill"] >= 0.35
            assert len(row["grounding"]) == 8
            assert row["sibling"] in source.skills


@pytest.mark.thorough
def test_server_errors_do_not_change_the_result(plain, out, capsys):
    modes = [*TROUBLES, "503", "slow", "fence", *TROUBLES]
    with LanguageModelServer(lambda number, prompt: modes[number] if number < len(modes) else "") as server:
        assert run(*flags_of(server, out, endpoint__timeout=1.0)) == 0
        assert server.most_at_once > 1
        # The fence is an answer; all else came to nothing.
        assert len(server.asked) >= 12 + len(modes) - 1
    assert int(re.search(r"Repeated (\d+) tries", capsys.readouterr().err)[1]) >= len(modes) - 1
    assert edges(out) == edges(plain)


def test_unreadable_answers_are_requested_again(plain, out):
    lock, waiting, seen = threading.Lock(), list(UNREADABLE[:3]), set()

    def mode(number, prompt):
        """Three prompts are answered badly once each: asked for again, one may come before another's first time."""
        with lock:
            first = prompt not in seen
            seen.add(prompt)
            return waiting.pop() if first and waiting else ""

    with LanguageModelServer(mode) as server:
        assert run(*flags_of(server, out)) == 0
        assert len(server.asked) == 15
    assert edges(out) == edges(plain)
    problems = [each["problem"] for each in answers_of(out) if each["problem"]]
    assert len(problems) == 3
    assert any("truncated" in each for each in problems)
    assert any("keys sentences, note instead of texts only" in each for each in problems)
    assert any("not valid JSON" in each for each in problems)


def test_an_answer_that_is_never_readable_is_rejected_once(out):
    first = []

    def mode(number, prompt):
        first.append(prompt)
        return "prose" if prompt == first[0] else ""

    with LanguageModelServer(mode) as server:
        assert run(*flags_of(server, out)) == 0
        assert server.asked.count(first[0]) == 2
        assert run(*flags_of(server, out)) == 0
        assert len(server.asked) == 13
    rejected = sum(each["rejected"].get("answer cannot be read", 0) for each in report_of(out)["counts"].values())
    assert rejected == 1
    assert report_of(out)["complete"]


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        ("copy", "vacancy", "copy of an example"),
        ("german", "vacancy", "language"),
        ("twice", "vacancy", "taken before"),
        ("label", "alias", "label of a skill"),
    ],
)
def test_bad_texts_are_rejected_and_the_others_accepted(content, kind, reason, plain, out):
    assert content in CONTENTS
    with LanguageModelServer(lambda number, prompt: content) as server:
        assert run(*flags_of(server, out, kinds=f"('{kind}',)")) == 0
    rejected = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert [each["reason"] for each in rejected] == 4 * [reason]
    good = {row[1] for row in edges(plain)[kind]}
    taken = {row[1] for row in edges(out)[kind]}
    # The first text of each answer was spoilt; of two equal ones the first is taken.
    assert len(taken) == len(good) - 4
    assert taken <= good


def test_a_budget_stops_the_run_and_a_larger_one_resumes_it(plain, out, capsys):
    with LanguageModelServer() as server:
        assert run(*flags_of(server, out, budget__requests=5)) == 0
        assert len(server.asked) == 5
        err = capsys.readouterr().err
        assert "Stopped: budget.requests is 5" in err
        assert not report_of(out)["complete"]
        assert 0 < sum(map(len, edges(out).values())) < sum(map(len, edges(plain).values()))
        assert run(*flags_of(server, out)) == 0
        assert len(server.asked) == len(set(server.asked)) == 12
    assert edges(out) == edges(plain)


@pytest.mark.parametrize("budget", [
    {"budget__tokens": 2500}, {"budget__money": 0.25, "endpoint__input_price": 100.0, "endpoint__output_price": 100.0},
])  # fmt: skip
def test_tokens_and_money_are_never_exceeded(budget, out, capsys):
    with LanguageModelServer() as server:
        assert run(*flags_of(server, out, **budget)) == 0
        asked = len(server.asked)
    spent = report_of(out)["spent"]
    assert 2 < asked < 12
    assert 1500 < spent["input_tokens"] + spent["output_tokens"] <= 2500
    printed = capsys.readouterr()
    assert "Stopped: budget." in printed.err
    assert "12 requests" in printed.out


def test_lost_tries_count_in_every_run(out, capsys):
    with LanguageModelServer(lambda number, prompt: "" if number % 2 else "malformed") as server:
        for _ in range(2):
            assert run(*flags_of(server, out, budget__requests=5)) == 0
            assert len(server.asked) == 5
    assert report_of(out)["spent"]["requests"] == 5
    assert sum(each["finish"] == "lost" for each in answers_of(out)) == 3
    assert "Stopped: budget.requests is 5" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_full_disk_gives_an_error_message_and_pending_answers_are_kept(plain, out, monkeypatch, capsys):
    add, calls = ResponseCache.add, []

    def full(self, answer):
        calls.append(answer)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(self, answer)

    with LanguageModelServer(delay=0.05) as server:
        with monkeypatch.context() as patch:
            patch.setattr(ResponseCache, "add", full)
            assert run(*flags_of(server, out, endpoint__concurrency=4)) == 2
        err = capsys.readouterr().err
        assert "No space left on device" in err
        assert "Traceback" not in err
        assert 4 <= len(server.asked) < 12
        assert len(answers_of(out)) == len(server.asked) - 1
        assert run(*flags_of(server, out)) == 0
        assert len(server.asked) == 13
    assert edges(out) == edges(plain)


def test_a_run_killed_between_two_edge_files_can_be_resumed(plain, out):
    shutil.copytree(plain, out)
    (out / "enrichment.json").unlink()
    assert run(*flags_of("http://127.0.0.1:9/v1", out)) == 0
    assert edges(out) == edges(plain)


def test_a_report_is_incomplete_while_edges_are_written(plain, out, monkeypatch):
    shutil.copytree(plain, out)

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(enrich_run, "write_edges", killed)
    assert run(*flags_of("http://127.0.0.1:9/v1", out)) == 130
    assert not report_of(out)["complete"]


def test_out_must_not_be_a_file(out, monkeypatch, capsys):
    monkeypatch.setattr(enrich_run, "load_training_graphs", lambda _: pytest.fail("too late"))
    out.write_text("mine")
    for where in (out, out / "below"):
        assert run(*flags_of("http://127.0.0.1:9/v1", where, source__source="edges", source__path="x")) == 2
        assert f"Cannot write to {where}: " in capsys.readouterr().err


def test_a_dry_run_shows_prompts_and_sends_nothing(out, capsys):
    with LanguageModelServer() as server:
        assert run(*flags_of(server, out), "--dry_run=1") == 0
        assert not server.asked
    assert not out.exists()
    printed = capsys.readouterr().out
    assert printed.count("[system]") == 3
    assert "Pending, by estimate (a token is 4 characters): 12 requests" in printed
    assert re.search(r"Skill: .+\n", printed)


@pytest.mark.slow
def test_a_killed_run_resumes_without_losing_or_repeating_answers(plain, out):
    with LanguageModelServer(delay=0.1) as server:
        flags = flags_of(server, out, endpoint__concurrency=2)
        command = [sys.executable, "-m", "uwe_jax", "enrich", *map(str, flags)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        path = out / "answers.jsonl"
        until = time.monotonic() + 60
        while not path.exists() or path.read_bytes().count(b"\n") < 4:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < until, "it sent nothing"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        before = answers_of(out)
        kept = path.read_bytes()
        with path.open("ab") as file:
            file.write(b'{"key": "torn')  # as a kill in the middle of a write leaves it
        answered = {each["prompt"] for each in before}
        server.delay = 0.0
        asked = len(server.asked)
        assert run(*flags) == 0
        again = server.asked[asked:]
    assert 4 <= len(before) < 12
    assert path.read_bytes().startswith(kept)
    after = answers_of(out)
    assert len(after) == len({each["key"] for each in after}) == 12
    # Requests that were pending at the kill are sent again; answered ones are not.
    assert len(again) == 12 - len(before)
    assert answered.isdisjoint(each["prompt"] for each in after[len(before) :])
    assert edges(out) == edges(plain)


def test_other_thresholds_need_no_requests(plain, out, capsys):
    out.mkdir()
    (out / "answers.jsonl").write_bytes((plain / "answers.jsonl").read_bytes())
    nowhere = "http://127.0.0.1:9/v1"
    assert run(*flags_of(nowhere, out)) == 0
    assert edges(out) == edges(plain)
    assert run(*flags_of(nowhere, out, checks__min_score__vacancy=1.01, with_source=False)) == 0
    assert "12 of 12 requests are answered already" in capsys.readouterr().err
    assert not (out / "skill_vacancy.parquet").exists()
    assert edges(out)["job"] == edges(plain)["job"]
    assert set(read_edge_folder(out)) == {"job", "alias"}


def test_without_a_server_there_is_an_error_message(out, capsys):
    with LanguageModelServer() as server:
        gone = server.base_url
    assert run(*flags_of(gone, out)) == 2
    err = capsys.readouterr().err
    assert f"No server responds at endpoint.base_url {gone}" in err
    assert "Traceback" not in err


@pytest.mark.thorough
def test_answers_are_kept_when_the_server_goes_away(plain, out, capsys):
    with LanguageModelServer(lambda number, prompt: "" if number < 3 else "500") as server:
        flags = flags_of(server, out, endpoint__retries=1, endpoint__concurrency=1)
        assert run(*flags) == 2
        assert len(server.asked) == 3 + 2 * asking.GIVE_UP_AFTER
        assert "5 requests in a row got no answer" in capsys.readouterr().err
        assert len(answers_of(out)) == 3
        assert not report_of(out)["complete"]
        server.mode = lambda number, prompt: ""
        assert run(*flags) == 0
    assert edges(out) == edges(plain)


def test_a_request_without_an_answer_sets_the_exit_status(out, capsys):
    with LanguageModelServer(lambda number, prompt: "400" if number == 2 else "") as server:
        flags = flags_of(server, out)
        assert run(*flags) == 1
        assert "1 request got no answer" in capsys.readouterr().err
        assert run(*flags) == 0
        assert len(server.asked) == 13


@pytest.mark.thorough
def test_the_key_is_sent_and_never_written(out, monkeypatch, capsys):
    monkeypatch.setenv("MY_KEY", "sk-very-secret\n")  # as a file ends
    with LanguageModelServer(key="sk-very-secret") as server:
        assert run(*flags_of(server, out, endpoint__api_key_variable="MY_KEY")) == 0
        server.key = "another"
        other = out.parent / "other"
        assert run(*flags_of(server, other, endpoint__api_key_variable="MY_KEY")) == 2
        assert run(*flags_of(server, other, endpoint__api_key_variable="NO_KEY")) == 2
        monkeypatch.setenv("MY_KEY", "sk-very-secret\nsk-very-secret")
        assert run(*flags_of(server, other, endpoint__api_key_variable="MY_KEY")) == 2
    printed = capsys.readouterr()
    assert "MY_KEY, which is set" in printed.err
    assert "NO_KEY, which is not set" in printed.err
    assert "MY_KEY is not a valid key: its 29 characters" in printed.err
    assert "sk-very-secret" not in printed.err + printed.out
    assert all(b"sk-very-secret" not in path.read_bytes() for path in out.parent.rglob("*") if path.is_file())


def test_a_server_that_asks_for_too_long_a_wait_ends_the_run(out, capsys):
    with LanguageModelServer(lambda number, prompt: "wait" if number == 4 else "") as server:
        assert run(*flags_of(server, out, endpoint__concurrency=1)) == 2
        assert len(server.asked) == 5
    assert "asks to wait 86,400 seconds" in capsys.readouterr().err
    assert len(answers_of(out)) == 4


def test_templates_need_neither_a_server_nor_its_libraries(out, monkeypatch, capsys):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(extras, "importlib", SimpleNamespace(import_module=missing))
    flags = flags_of("http://127.0.0.1:9/v1", out.parent / "a", generator="template")
    assert run(*flags) == 0
    assert run(*flags_of("http://127.0.0.1:9/v1", out.parent / "b", generator="template", rare__skills=6)) == 0
    assert run(*flags_of("http://127.0.0.1:9/v1", out.parent / "c")) == 2
    assert re.search(r"-m pip install .*\[enrich\]' or fill templates offline", capsys.readouterr().err)
    first, more = edges(out.parent / "a"), edges(out.parent / "b")
    for kind in KINDS:
        assert {row[2] for row in first[kind]} == {"template"}
        assert len({row[0] for row in first[kind]}) == 4
        # More skills leave the texts of the others as they are.
        assert set(first[kind]) < set(more[kind])
    assert {row[0] for row in edges(out.parent / "a", ["generator"])["job"]} == {"template"}


def test_foreign_files_are_not_overwritten_and_results_are_not_a_source(plain, out, capsys):
    out.mkdir()
    (out / "skill_job.csv").write_text("left,right\ncook,chef\n")
    assert run(*flags_of("http://127.0.0.1:9/v1", out)) == 2
    assert "not written by an enrichment" in capsys.readouterr().err
    assert run(*flags_of("http://127.0.0.1:9/v1", out.parent / "x", source__source="edges", source__path=plain)) == 2
    assert "is the result of an enrichment" in capsys.readouterr().err
    files = {"grounding__title_files": f"('{plain}',)"}
    assert run(*flags_of("http://127.0.0.1:9/v1", out.parent / "x", **files)) == 2
    assert "is the result of an enrichment" in capsys.readouterr().err


def test_a_mixture_is_enriched_without_its_own_edges(out, capsys):
    parts = [
        part(name, weight, skill_job=pairs([(skill, texts[0]) for skill, texts in rows]))
        for name, weight, rows in (("one", 9.0, [*SKILLS.items()][:5]), ("two", 1.0, [*SKILLS.items()][5:]))
    ]
    save(compose(parts), out.parent / "mixture", {})
    flags = flags_of("http://127.0.0.1:9/v1", out, source__source="edges", source__path=out.parent / "mixture")
    assert run(*flags) == 2
    assert "a mixture of 2 sources (one, two), whose weights and further names would" in capsys.readouterr().err
    template = ["--config.generator=template", "--config.with_source=False", "--config.kinds=('job',)"]
    assert run(*(flag for flag in flags if "endpoint" not in flag), *template) == 0
    rows = pq.read_table(out / "skill_job.parquet").to_pylist()
    assert {row["relation"] for row in rows} == {"template"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": "gpt"}, "generator is 'gpt'; it must be one of 'endpoint', 'template'"),
        ({"endpoint__model": ""}, "endpoint.model is empty"),
        ({"endpoint__base_url": "localhost:8000"}, "must begin with http"),
        ({"endpoint__base_url": "http://localhost:80a/v1"}, "not a valid address"),
        ({"endpoint__extra_body": "[1]"}, "expected an object"),
        ({"endpoint__concurency": 2}, "Did you mean endpoint.concurrency?"),
        ({"kinds": "('title',)"}, "kinds is 'title'"),
        ({"budget__money": 1.0}, "it would never be reached"),
        ({"checks__max_rank__job": 0}, "checks.max_rank.job is 0"),
        ({"rare__most_edges": 0, "kinds": "('job',)"}, "None of 10 skills has at most 0 edges"),
        ({"source__kinds": "('alias',)"}, "no real sentence and no real title"),
        ({"grounding__title_files": "('/none.txt',)"}, "grounding.title_files names /none.txt"),
        ({"prompts": "/nowhere"}, "/nowhere/system.txt cannot be read"),
        ({"language": "xx"}, "language is 'xx'"),
        ({"data": "('/nowhere',)"}, "--config.data /nowhere is not a folder"),
        ({"checks__ranker": "no-such"}, "Model 'no-such'"),
    ],
)
def test_wrong_settings_give_an_error_message(changes, message, out, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert run(*flags_of("http://127.0.0.1:9/v1", out, **changes)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


@pytest.mark.thorough
def test_a_lexical_ranker_starts_without_jax():
    code = (
        "import sys, pathlib, uwe_jax.commands.enrich; from uwe_jax.evaluation.specs import load_ranker; "
        "load_ranker('tfidf', cache_dir=pathlib.Path()); sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_its_config_is_listed_and_the_others_are_not(capsys):
    assert run() == 0
    listed = capsys.readouterr().out
    assert "--config=enrich" in listed
    assert "quickstart" not in listed
