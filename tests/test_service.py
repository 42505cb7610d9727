"""The service over real HTTP: answers, batches, limits, bad input, keys, and stopping."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from service_stand_in import SKILLS, Client, StandIn, StandInIndex, common, running, wait_for
from tiny_encoder import with_nan, write_tiny_encoder

from uwe_jax.commands import serve as command
from uwe_jax.retrieval.calibration import RAW_SCORE
from uwe_jax.retrieval.hits import Hits
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.store.folder import remove
from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.logging_setup import with_times
from uwe_jax.serving import server
from uwe_jax.serving.gate import TokenBuckets
from uwe_jax.serving.options import Limits, ServiceOptions, read_keys
from uwe_jax.serving.routes import vacancy_sentences
from uwe_jax.serving.tasks import RankTask, ServedModel, load_served

PAGE = Path(server.__file__).parent / "page"
KEY = "0123456789abcdef-key"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def served():
    limits = Limits(
        max_body_bytes=20_000,
        max_queries=40,
        max_characters=200,
        max_vacancy_characters=2_000,
        max_top_k=20,
        max_waiting=80,
    )
    with running(limits=limits) as client:
        yield client


def test_rank_answers_every_query_with_its_best_targets(served):
    reply = served.rank("test code", " weld\tthe metal ", top_k=2)
    assert reply.status == 200
    assert (reply.json["index"], reply.json["space"]) == ("skills", "skills")
    assert [each["query"] for each in reply.json["results"]] == ["test code", " weld\tthe metal "]
    hits = [[hit["text"] for hit in each["hits"]] for each in reply.json["results"]]
    assert hits == [["test code", "write code"], ["weld metal", "care for patients"]]
    hit = {"id": "id of write code", "text": "write code", "score": 0.5, "columns": {"family": "write"}}
    hit |= {"name": "", "exact": False, "role": "", "words": 0.0, "probability": None}
    assert reply.json["results"][0]["hits"][1] == hit
    assert [hit["text"] for hit in served.rank("nurse", index="jobs").json["results"][0]["hits"]] == ["nurse", "welder"]


def test_what_is_served(served):
    told = served.ask("GET", "/v1/indexes").json
    (skills, jobs), columns = told["indexes"], {"calibration": "", "columns": ["family"]}
    assert (skills, jobs) == ({"name": "skills", "targets": 6} | columns, {"name": "jobs", "targets": 2} | columns)
    model = {"name": "stand-in", "scorer": "soft", "fingerprint": "0123456789abcdef", "tokens": 64}
    assert told["model"] == model
    assert told["limits"]["top_k"] == 20


def test_the_former_words_for_an_index_work_for_one_release(served):
    told, former = (served.ask("GET", f"/v1/{path}").json for path in ("indexes", "spaces"))
    assert former == {"spaces" if key == "indexes" else key: value for key, value in told.items()}
    asked = served.rank("nurse", space="jobs")
    assert (asked.json, asked.json["space"]) == (served.rank("nurse", index="jobs").json, "jobs")
    found = served.ask("POST", "/v1/vacancy", {"text": "nurse", "space": "jobs"}).json
    assert (found["index"], found["space"]) == ("jobs", "jobs")
    assert served.rank("nurse", index="jobs", space="skills").status == 422


def test_a_vacancy_names_the_sentence_behind_every_skill(served):
    text = "You will:\n• write code\n• weld metal and test code\n2024\nwrite code"
    reply = served.ask("POST", "/v1/vacancy", {"text": text, "top_k": 3})
    assert reply.json["sentences"] == ["write code", "weld metal and test code"]
    found = {hit["text"]: (hit["sentence"], hit["score"]) for hit in reply.json["hits"]}
    assert found == {"write code": (0, 1.0), "weld metal": (1, 1.0), "test code": (1, 1.0)}
    assert reply.json["omitted"] == 0
    assert vacancy_sentences("<ul><li>Python</li><li>Duties:</li></ul>") == ["Python"]


def test_a_vacancy_of_too_much_is_ranked_as_far_as_it_may_and_says_so(served):
    lines = ["weld metal", "a" * 200 + ".", *(f"write code {number}" for number in range(43))]
    reply = served.ask("POST", "/v1/vacancy", {"text": "\n".join(lines), "top_k": 20})
    assert reply.status == 200
    # Of 45 sentences 40 are allowed, of 200 characters each.
    assert reply.json["sentences"] == [lines[0], *lines[2:41]]
    assert reply.json["omitted"] == 5
    support = {hit["text"]: hit["support"] for hit in reply.json["hits"]}
    assert (support["weld metal"], support["write code"]) == (40, 40)
    blob = served.ask("POST", "/v1/vacancy", {"text": "a" * 201}).json["detail"]
    assert blob == "The vacancy has no sentence of at most 200 characters. Send text with line breaks or full stops."


def test_scores_and_explanations(served):
    asked = {"queries": ["write code", "weld"], "targets": ["write", "weld code", "x"]}
    scores = [[1.0, 0.5, 0.0], [0.0, 0.5, 0.0]]
    assert served.ask("POST", "/v1/scores", asked).json == {"scores": scores, "truncated": 0}
    reply = served.ask("POST", "/v1/explain", {"query": "code", "target": "write code"})
    assert reply.json["score"] == 0.459


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """Options of a service of a tiny encoder with an index on disk, and the ranker and the index themselves."""
    place = tmp_path_factory.mktemp("trained")
    folder = write_tiny_encoder(place / "encoder")
    ranker = load(f"{folder}:soft", cache_dir=place)
    texts, columns = ["write code", "care for patients", "engineer software"], {"family": ["it", "care", "it"]}
    names = [["code writing"], [], []]
    index = ranker.encode_targets(texts, progress=False, columns=columns, names=names)
    index.save(place / "skills")
    options = ServiceOptions((f"skills={place / 'skills'}",), f"{folder}:soft", cache_dir=str(place))
    return options, ranker, index


@pytest.fixture
def trained(trained_once, monkeypatch):
    """As `trained_once`; served without the warm-up, which compiles two dozen programs."""
    monkeypatch.setattr(ServedModel, "warm_up", lambda self, batch: None)
    return trained_once


@pytest.fixture
def own_index(trained, tmp_path):
    """Options as `trained`, of a copy of the index."""
    shutil.copytree(trained[0].indexes["skills"], tmp_path / "skills")
    return replace(trained[0], index=(f"skills={tmp_path / 'skills'}",))


@pytest.mark.thorough
def test_a_real_model_answers_as_from_python(trained):
    options, ranker, index = trained
    queries, skills = ["nurse", "software engineer", "code"], list(index.texts)
    with running(load=lambda _: load_served(options)) as client:
        answers = client.rank(*queries).json["results"]
        scores = client.ask("POST", "/v1/scores", {"queries": queries, "targets": skills}).json["scores"]
        explained = client.ask("POST", "/v1/explain", {"query": "nurse", "target": "write code"}).json
        of_id, unknown = (
            client.ask("POST", "/v1/explain", {"query": "Code writings", "id": each, "index": "skills"})
            for each in ("write code", "code writing")
        )
    for answer, expected in zip(answers, ranker.rank(queries, index), strict=True):
        assert [hit["id"] for hit in answer["hits"]] == [hit.id for hit in expected]
        np.testing.assert_allclose([hit["score"] for hit in answer["hits"]], [hit.score for hit in expected], atol=2e-6)
    np.testing.assert_allclose(scores, ranker.scores(queries, skills), atol=1e-6)
    assert explained["query_tokens"] == list(ranker.explain("nurse", "write code").query_tokens)
    assert explained["hit"] is None
    hit = ranker.explain("Code writings", id="write code", space=index).to_dict()["hit"]
    assert (hit["name"], hit["role"], hit["exact"]) == ("code writing", "alternative", True)
    assert of_id.json["hit"] == hit
    assert of_id.json["target_tokens"] == list(ranker.explain("nurse", "code writing").target_tokens)
    assert (unknown.status, "no target with the id 'code writing'" in unknown.json["detail"]) == (422, True)


@pytest.mark.thorough
def test_a_text_that_cannot_be_scored_is_refused_alone(trained):
    """Its embedding holds NaN, as where the weights of a model are damaged."""
    _, ranker, index = trained
    model = ServedModel(with_nan(ranker, "q"), {"skills": index})
    tasks = [RankTask(queries, "skills", 2) for queries in (("nurse",), ("write code", "quiz"), ("software",))]
    (nurse,), (code, refused), (software,) = (found for found, _ in model.answer(tasks))
    assert isinstance(refused, UserError)
    for found, query in ((nurse, "nurse"), (code, "write code"), (software, "software")):
        expected = ranker.rank(query, index, 2)
        assert [hit.text for hit in found] == [hit.text for hit in expected]
        np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], atol=2e-6)
    with running(load=lambda _: model) as client:
        assert client.rank("nurse").status == 200

        def detail(path: str, **asked) -> str:
            reply = client.ask("POST", f"/v1/{path}", asked)
            assert reply.status == 422
            return reply.json["detail"]

        assert detail("rank", queries=["nurse", "quiz", "care"]).startswith("Query 2 cannot be scored: ")
        assert detail("scores", queries=["nurse"], targets=["care", "quiz"]).startswith("Target 2 cannot be scored: ")
        assert detail("explain", query="quiz", target="care").startswith("Query 1 cannot be scored: ")
        vacancy = client.ask("POST", "/v1/vacancy", {"text": "quiz\nWrite code"}).json
        assert (vacancy["sentences"], vacancy["omitted"]) == (["Write code"], 1)
        assert {hit["sentence"] for hit in vacancy["hits"]} == {0}


@pytest.mark.thorough
def test_texts_that_are_truncated_are_counted(trained):
    options, ranker, _ = trained
    whole, longer = "code " * (ranker.loaded.max_tokens - 2), "code " * (ranker.loaded.max_tokens - 1)
    with running(load=lambda _: load_served(options)) as client:
        assert client.ask("GET", "/v1/indexes").json["model"]["tokens"] == ranker.loaded.max_tokens
        for path, asked, truncated in (
            ("rank", {"queries": [whole, longer, longer, "nurse"]}, 2),
            ("vacancy", {"text": f"{whole}.\n{longer}.\nnurse"}, 2),  # a full stop is one more token
            ("scores", {"queries": [longer, whole], "targets": ["nurse", longer, longer]}, 3),
            ("explain", {"query": whole, "target": longer}, 1),
            ("rank", {"queries": ["nurse"]}, 0),
        ):
            assert client.ask("POST", f"/v1/{path}", asked).json["truncated"] == truncated


@pytest.mark.thorough
def test_what_happens_to_an_index_on_disk_does_not_reach_who_is_served(trained, own_index):
    options, (_, ranker, index) = own_index, trained
    expected = [hit.text for hit in ranker.rank(["nurse"], index)[0]]
    with running(load=lambda _: load_served(options)) as client:
        assert client.rank("as when it was warmed up").status == 200
        for path in Path(options.indexes["skills"]).glob("segments/*"):
            # In place, as a copy over it does; cut short, it would end a process that reads on from it.
            with path.open("r+b") as file:
                file.write(b"x" * path.stat().st_size)
        assert [hit["text"] for hit in client.rank("nurse").json["results"][0]["hits"]] == expected
        (answer,) = client.rank("nurse", where={"family": ["it"]}).json["results"]
        assert [(hit["text"], hit["columns"]) for hit in answer["hits"]] == [
            (text, {"family": "it"}) for text in expected if text != "care for patients"
        ]
        assert client.rank("nurse", where={"family": "it"}).json["results"] == [answer]


def test_what_cannot_be_served_is_told_before_it_is_asked(trained, own_index, tmp_path):
    options, index = own_index, trained[2]
    other = write_tiny_encoder(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="was encoded by"):
        load_served(replace(options, model=f"{other}:soft"))
    with pytest.raises(UserError, match="Name the model with --model"):
        load_served(replace(options, model=""))
    remove(tmp_path / "skills", list(index.ids))
    with pytest.raises(UserError, match="is empty"):
        load_served(options)


def test_it_is_warm_when_it_is_ready():
    model = StandIn()
    ServedModel(model, {"skills": StandInIndex(), "jobs": StandInIndex()}).warm_up(8)
    assert {len(batch) for batch in model.batches} == {2, 4, 8}


def in_queue(client: Client) -> int:
    """Texts that wait, as the service tells."""
    return int(float(re.search(rb"^uwe_waiting_texts (.*)$", client.ask("GET", "/metrics").body, re.MULTILINE)[1]))


def at_once(client: Client, queries: list[str], **more) -> list:
    """Asks one query a request, all requests at the same time."""
    with ThreadPoolExecutor(len(queries)) as pool:
        return list(pool.map(lambda query: client.rank(query, **more), queries))


def test_concurrent_requests_share_batches_and_each_gets_its_own_answer():
    queries = [f"{word} {number}" for number in range(5) for word in ("write code", "weld metal", "plan shifts")]
    with running(limits=Limits(max_batch=8)) as client:
        client.model.open.clear()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(at_once, client, queries, top_k=1)
            wait_for(lambda: client.model.batches)
            wait_for(lambda: in_queue(client) == len(queries) - len(client.model.batches[0]))
            client.model.open.set()
            replies = waiting.result()
        sizes = [len(batch) for batch in client.model.batches]
        assert sum(sizes) == len(queries)
        assert max(sizes) == 8
        assert len(sizes) <= 3
        assert len(client.model.threads) == 1
    for query, reply in zip(queries, replies, strict=True):
        assert reply.json["results"][0]["hits"][0]["text"] == query.rpartition(" ")[0]


def test_requests_of_two_indexes_are_not_mixed():
    with running() as client:
        client.model.open.clear()
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(client.rank, "nurse", index=index, top_k=1) for index in ("jobs", "skills") * 3]
            wait_for(lambda: client.model.batches and in_queue(client) == 6 - len(client.model.batches[0]))
            client.model.open.set()
            found = [each.result().json["results"][0]["hits"][0]["text"] for each in asked]
    assert found == ["nurse", SKILLS[0]] * 3


def test_an_error_costs_its_own_request_alone_and_shows_nothing(caplog):
    with running() as client:
        client.model.open.clear()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(at_once, client, ["write code", "boom", "weld metal", "test code"])
            wait_for(lambda: client.model.batches and in_queue(client) == 4 - len(client.model.batches[0]))
            client.model.open.set()
            good, bad, *others = waiting.result()
        assert [each.status for each in (good, *others)] == [200] * 3
        assert bad.status == 500
        assert set(bad.json) == {"detail", "id"}
        assert b"secret" not in bad.body
        assert b"Traceback" not in bad.body
        assert bad.json["id"] == bad.headers["x-request-id"]
        wait_for(lambda: any(record.exc_info for record in caplog.records))
        failures = [record for record in caplog.records if record.exc_info]
        assert [bad.json["id"] in record.getMessage() for record in failures] == [True]
        assert "a secret of the inside" in caplog.text
        assert "weld metal" not in caplog.text
        assert client.rank("write code").status == 200


def test_a_full_queue_refuses_and_recovers():
    with running(limits=Limits(max_queries=2, max_waiting=4)) as client:
        client.model.open.clear()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(client.rank, "write code")
            wait_for(lambda: client.model.batches)
            second = pool.submit(client.ask, "POST", "/v1/scores", {"queries": ["a", "b"], "targets": ["c"]})
            wait_for(lambda: in_queue(client) == 3)
            refused = client.rank("c", "d")
            assert refused.status == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert "busy" in refused.json["detail"]
            client.model.open.set()
            assert [first.result().status, second.result().status] == [200, 200]
        assert client.rank("c", "d").status == 200


def test_the_largest_request_of_any_kind_is_answered_by_an_idle_service():
    with pytest.raises(UserError, match=r"max_waiting is 5 and max_queries 3: .* 6 texts"):
        Limits(max_queries=3, max_waiting=5)
    limits = Limits(max_queries=3, max_waiting=6)
    with running(limits=limits) as client:
        three = ["a", "b", "c"]
        for path, asked in (("rank", {}), ("scores", {"targets": three})):
            assert client.ask("POST", f"/v1/{path}", {"queries": three, **asked}).status == 200
        assert client.ask("POST", "/v1/vacancy", {"text": "a\nb\nc"}).status == 200


def test_a_late_answer_is_given_up_and_its_question_never_asked():
    with running(limits=Limits(deadline=0.3)) as client:
        client.model.open.clear()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(client.rank, "held up")
            wait_for(lambda: client.model.batches)
            second = pool.submit(client.rank, "too late")
            assert [first.result().status, second.result().status] == [504, 504]
        client.model.open.set()
        assert client.rank("write code").status == 200
        assert ["too late"] not in client.model.batches


RANK = "/v1/rank"
DEEP = b'{"queries": ' + b"[" * 9000 + b"]" * 9000 + b"}"
MALFORMED = {
    "no JSON": ("POST", RANK, b"{queries: nurse", JSON, 400),
    "cut JSON": ("POST", RANK, b'{"queries": ["nurse"', JSON, 400),
    "no UTF-8": ("POST", RANK, b'{"queries": ["\xff\xfe"]}', JSON, 400),
    "nothing": ("POST", RANK, b"", JSON, 422),
    "deep": ("POST", RANK, DEEP, JSON, (400, 422)),
    "many digits": ("POST", RANK, b'{"queries": ["a"], "top_k": ' + b"9" * 9000 + b"}", JSON, (400, 422)),
    "a list": ("POST", RANK, b"[]", JSON, 422),
    "null": ("POST", RANK, b"null", JSON, 422),
    "no queries": ("POST", RANK, b"{}", JSON, 422),
    "empty list": ("POST", RANK, b'{"queries": []}', JSON, 422),
    "empty query": ("POST", RANK, b'{"queries": ["nurse", ""]}', JSON, 422),
    "blank query": ("POST", RANK, b'{"queries": [" \\u0000\\t\\u200b "]}', JSON, 422),
    "half a character": ("POST", RANK, b'{"queries": ["\\ud800"]}', JSON, 422),
    "a text": ("POST", RANK, b'{"queries": "nurse"}', JSON, 422),
    "numbers": ("POST", RANK, b'{"queries": [1, 2]}', JSON, 422),
    "nulls": ("POST", RANK, b'{"queries": [null]}', JSON, 422),
    "NaN": ("POST", RANK, b'{"queries": ["a"], "top_k": NaN}', JSON, (400, 422)),
    "infinite": ("POST", RANK, b'{"queries": ["a"], "top_k": Infinity}', JSON, (400, 422)),
    "true": ("POST", RANK, b'{"queries": ["a"], "top_k": true}', JSON, 422),
    "fraction": ("POST", RANK, b'{"queries": ["a"], "top_k": 2.5}', JSON, 422),
    "top_k 0": ("POST", RANK, b'{"queries": ["a"], "top_k": 0}', JSON, 422),
    "top_k -1": ("POST", RANK, b'{"queries": ["a"], "top_k": -1}', JSON, 422),
    "top_k 21": ("POST", RANK, b'{"queries": ["a"], "top_k": 21}', JSON, 422),
    "unknown index": ("POST", RANK, b'{"queries": ["a"], "index": "../etc"}', JSON, 422),
    "unknown key": ("POST", RANK, b'{"queries": ["a"], "topk": 3}', JSON, 422),
    "too many": ("POST", RANK, json.dumps({"queries": ["a"] * 41}).encode(), JSON, 422),
    "too long": ("POST", RANK, json.dumps({"queries": ["a" * 201]}).encode(), JSON, 422),
    "huge": ("POST", RANK, json.dumps({"queries": ["a"] * 30_000}).encode(), JSON, 413),
    "vacancy too long": ("POST", "/v1/vacancy", json.dumps({"text": "word. " * 400}).encode(), JSON, 422),
    "vacancy of one blob": ("POST", "/v1/vacancy", json.dumps({"text": "a" * 201}).encode(), JSON, 422),
    "vacancy of nothing": ("POST", "/v1/vacancy", b'{"text": " :\\n 12 "}', JSON, 422),
    "no target": ("POST", "/v1/scores", b'{"queries": ["a"], "targets": []}', JSON, 422),
    "empty target": ("POST", "/v1/explain", b'{"query": "a", "target": " "}', JSON, 422),
    "target and id": ("POST", "/v1/explain", b'{"query": "a", "target": "b", "id": "c"}', JSON, 422),
    "neither": ("POST", "/v1/explain", b'{"query": "a"}', JSON, 422),
    "explained in no index": ("POST", "/v1/explain", b'{"query": "a", "id": "c", "index": "x"}', JSON, 422),
    "no content type": ("POST", RANK, b'{"queries": ["a"]}', {}, 415),
    "a form": ("POST", RANK, b"queries=a", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "plain text": ("POST", RANK, b'{"queries": ["a"]}', {"Content-Type": "text/plain"}, 415),
    "GET": ("GET", RANK, None, {}, 405),
    "PUT": ("PUT", RANK, b"{}", JSON, 405),
    "BREW": ("BREW", RANK, None, {}, 405),
    "POST to the page": ("POST", "/", b"{}", JSON, 405),
    "no such path": ("GET", "/v1/nothing", None, {}, 404),
    "no such path, of any type": ("POST", "/v1/nothing", b"queries=a", {"Content-Type": "text/plain"}, 404),
    "above the page": ("GET", "/page/..%2f..%2foptions.py", None, {}, 404),
    "foreign host": ("GET", "/v1/indexes", None, {"Host": "evil.example"}, 421),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_refused_with_a_sentence(served, name):
    method, path, body, headers, status = MALFORMED[name]
    reply = served.ask(method, path, body, headers)
    assert reply.status in (status if isinstance(status, tuple) else (status,)), reply.body
    assert set(reply.json) == {"detail", "id"}
    assert len(reply.json["detail"]) < 400
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert "server" not in reply.headers
    assert served.rank("write code").status == 200


def test_refusals_say_what_to_fix(served):
    def detail(**asked) -> str:
        return served.ask("POST", RANK, asked).json["detail"]

    assert detail(queries=["a", "b" * 201]) == "Query 2 has 201 characters; at most 200 are allowed."
    assert detail(queries=["a", " "]) == "Query 2 is empty; it must hold text. Fill it or leave it out."
    assert detail(queries=["a"], top_k=99) == "top_k is 99; it must be 1 to 20."
    assert detail(queries=["a"], index="x") == "Unknown index 'x'. Name one of: skills, jobs."
    assert detail(queries=["a"], index="job") == "Unknown index 'job'. Did you mean 'jobs'? Name one of: skills, jobs."
    assert detail(query=["a"]) == "Unknown key 'query'. Did you mean 'queries'?"
    assert (
        detail(queries=["a"], zzz=1)
        == "Unknown key 'zzz'. The keys are index, top_k, where, min_score, min_probability, queries."
    )
    unknown = "There is no column 'famly'. Did you mean 'family'? Further columns: family."
    assert detail(queries=["a"], where={"famly": "write"}) == unknown
    assert detail(queries=["a"], top_k="3") == "top_k: Input should be a valid integer."
    neither = served.ask("POST", "/v1/explain", {"query": "a"}).json["detail"]
    assert neither == "Got neither target nor id. Give target, a text, or id, that of a target of an index."
    assert detail(queries=["a"] * 41) == "Got 41 queries; 1 to 40 are allowed per request."


def test_control_characters_are_dropped(served):
    plain, odd = served.rank("write code"), served.rank("\x00write\x1b\u200b code\x07")
    assert plain.json["results"][0]["hits"] == odd.json["results"][0]["hits"]


def test_a_body_that_tells_no_length_is_counted_while_it_comes(served):
    def endless():
        for _ in range(400):
            yield b'{"queries": ["' + b"a" * 1000

    reply = served.ask("POST", RANK, endless(), JSON)
    assert (reply.status, reply.headers["connection"]) == (413, "close")
    assert "20,000 bytes" in reply.json["detail"]


def raw(port: int, *sent: bytes, half_closed: bool = False) -> bytes:
    """What a service answers to bytes on a connection until it closes that.

    Args:
      port: of the service.
      sent: one after another.
      half_closed: the client sends nothing more, and says so.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for part in sent:
            connection.sendall(part)
        if half_closed:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


def test_a_body_that_never_comes_is_given_up():
    with running(limits=Limits(deadline=1.0)) as client:
        head = b"POST /v1/rank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        assert raw(client.port, head + b"Content-Length: 50\r\n\r\n{").startswith(b"HTTP/1.1 408 ")
        assert raw(client.port, b"\x16\x03\x01 no HTTP at all\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        assert client.rank("write code").status == 200


def post(body: bytes, *headers: str) -> bytes:
    """The bytes of a request to rank, with its length unless other headers tell it."""
    framing = headers or (f"Content-Length: {len(body)}",)
    lines = ("POST /v1/rank HTTP/1.1", "Host: localhost", "Content-Type: application/json", *framing)
    return "\r\n".join((*lines, "", "")).encode() + body


def statuses(answer: bytes) -> list[int]:
    """Of the answers on one connection."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


def test_a_client_that_closes_its_sending_side_gets_all_answers():
    body = b'{"queries": ["write code"], "top_k": 1}'
    with running() as client:
        client.model.seconds = 0.05  # so that the end has come before the answer
        answer = raw(client.port, post(body), half_closed=True)
        assert statuses(answer) == [200]
        assert answer.endswith(
            b'"columns": {"family": "write"}, "name": "", "exact": false, "role": "", "words": 0.0, '
            b'"probability": null}], "of": 6, "none": ""}], "note": "' + RAW_SCORE.encode() + b'", "truncated": 0}'
        )
        assert statuses(raw(client.port, post(body) * 3, half_closed=True)) == [200] * 3
        # The last one lost its end: there is nothing to answer.
        assert statuses(raw(client.port, post(body), post(body)[:-3], half_closed=True)) == [200]
        for unfinished in (b"", post(body)[:40], post(body)[:-3]):
            assert raw(client.port, unfinished, half_closed=True) == b""
        wait_for(lambda: not client.server.server_state.connections)
        assert client.rank("write code").status == 200


@pytest.mark.thorough
def test_a_client_that_closes_its_sending_side_and_takes_nothing_is_let_go():
    limits = Limits(deadline=1.0, max_body_bytes=1 << 23, max_queries=800, max_waiting=1600)
    with running(limits=limits) as client, socket.socket() as connection:
        assert client.rank("a first one, which imports what the others need").status in (200, 504)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", client.port))
        connection.sendall(post(json.dumps({"queries": ["a" * 9_999] * 800, "top_k": 1}).encode()))
        connection.shutdown(socket.SHUT_WR)
        wait_for(lambda: client.server.server_state.connections)
        wait_for(lambda: not client.server.server_state.connections)


@pytest.mark.parametrize("keys", [(), (KEY,)], ids=["open", "keyed"])
def test_a_request_with_two_lengths_is_refused_and_its_connection_closed(keys):
    chunked = b"5\r\n[1,2]\r\n0\r\n\r\n"
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running(keys) as client:
        for length in (0, 4, len(chunked)):
            for order in (1, -1):
                headers = [f"Content-Length: {length}", "Transfer-Encoding: chunked"][::order]
                answer = raw(client.port, post(chunked, *headers) + smuggled)
                assert statuses(answer) == [400], answer
                assert b"connection: close" in answer
                assert b"Content-Length" in answer
        assert statuses(raw(client.port, post(chunked, "Transfer-Encoding: chunked", "Connection: close"))) == [
            401 if keys else 422
        ]


@pytest.mark.parametrize("keys", [(), (KEY,)], ids=["open", "keyed"])
def test_no_answer_sends_a_client_to_the_host_that_it_named(keys):
    with running(keys) as client:
        for method, path in (("GET", "/docs/"), ("GET", "/page"), ("POST", "/v1/rank/"), ("GET", "//evil.example/..")):
            reply = client.ask(method, path, b"{}", {**JSON, "Host": "evil.example", "X-API-Key": KEY})
            assert reply.status == (404 if keys else 421)
            assert "location" not in reply.headers
            assert b"evil" not in reply.body


@pytest.mark.thorough
def test_clients_that_send_or_take_nothing_do_not_keep_others_out():
    with running(limits=Limits(deadline=2.0, max_connections=4)) as client, ExitStack() as opened:
        assert client.ask("GET", "/openapi.json").status == 200  # made once
        # Answers of more bytes than a system holds for a client that does not read them.
        many = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000
        for sent in (b"", b"GET /healthz HTTP/1.1\r\nHost: loc", many):
            connection = opened.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", client.port))
            connection.sendall(sent)
        connections = client.server.server_state.connections
        wait_for(lambda: sorted(each.transport.get_write_buffer_size() > 0 for each in connections) == [0, 0, 1])
        assert client.ask("GET", "/healthz").status == 503
        wait_for(lambda: not connections)
        assert client.rank("write code").status in (200, 504)  # the first one imports much


def test_a_key_is_asked_for_where_there_is_one():
    with running((KEY, KEY[::-1])) as client:
        assert client.ask("GET", "/").status == 200
        assert client.ask("GET", "/healthz").status == 200
        for path in ("/v1/indexes", "/metrics"):
            refused = client.ask("GET", path)
            assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
            for wrong in ("", "Bearer", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", "Bearer \xe9"):
                assert client.ask("GET", path, headers={"Authorization": wrong}).status == 401
            for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}, {"X-API-Key": KEY[::-1]}):
                assert client.ask("GET", path, headers=headers).status == 200
        # A wrong key is refused before a body is read.
        assert client.ask("POST", RANK, b"x" * 3_000_000).status == 401
        schema = client.ask("GET", "/openapi.json").json
        assert schema["paths"]["/v1/rank"]["post"]["security"] == [{"key": []}]


def test_keys_come_from_a_file_and_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "keys"
    path.write_text(f"# ours\n{KEY}\n\n")
    monkeypatch.setenv("UWE_JAX_API_KEY", KEY[::-1])
    assert read_keys(path) == (KEY[::-1], KEY)
    for bad in ("", "short", "with a space in it, which is none", "naïve" * 5):
        path.write_text(bad)
        with pytest.raises(UserError, match="key"):
            read_keys(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_keys(tmp_path / "none")


def test_one_client_asks_so_often_and_not_more():
    with running(limits=Limits(rate=0.5)) as client:
        assert client.rank("write code").status == 200
        refused = client.rank("write code")
        assert (refused.status, refused.headers["retry-after"]) == (429, "2")
        assert client.ask("GET", "/healthz").status == 200


def test_tokens_come_back_at_the_rate():
    now = 0.0
    buckets = TokenBuckets(2.0, 4.0, clock=lambda: now)
    assert [buckets.wait("a") for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert buckets.wait("b") == 0
    now = 0.5
    assert [buckets.wait("a"), buckets.wait("a")] == [0, 0.5]
    now = 100.0
    assert [buckets.wait("a") for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert TokenBuckets(0.0, 1.0).wait("a") == 0


def test_it_is_alive_while_it_loads_and_ready_when_it_has(monkeypatch):
    monkeypatch.delitem(sys.modules, "uwe_jax.retrieval.limits", raising=False)
    go = threading.Event()

    def load(options):
        go.wait()
        return ServedModel(StandIn(), {"skills": StandInIndex()})

    with running(load=load, wait=False) as client:
        assert client.ask("GET", "/healthz").status == 200
        for reply in (client.ask("GET", "/readyz"), client.rank("a"), client.ask("GET", "/v1/indexes")):
            assert (reply.status, reply.headers["retry-after"]) == (503, "5")
        assert client.ask("POST", "/v1/scores", {"queries": ["a"], "targets": ["b"]}).status == 503
        assert client.ask("POST", "/v1/explain", {"query": "a", "target": "b"}).status == 503
        # It imports jax, which must not be imported by two threads at once.
        assert "uwe_jax.retrieval.limits" not in sys.modules
        assert b"uwe_ready 0.0" in client.ask("GET", "/metrics").body
        go.set()
        wait_for(lambda: client.ask("GET", "/readyz").status == 200)
        assert client.ask("HEAD", "/readyz").status == 200
        assert b"uwe_ready 1.0" in client.ask("GET", "/metrics").body


def test_a_model_that_cannot_be_loaded_ends_the_service():
    def load(options):
        raise UserError("There is no such model.")

    with pytest.raises(UserError, match="no such model"):
        server.serve(ServiceOptions(port=0), load=load)


@pytest.mark.thorough
def test_a_signal_stops_it_when_all_is_answered():
    program = [sys.executable, str(Path(__file__).parent / "service_stand_in.py"), "1.5"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        client = Client(int(process.stdout.readline()))
        wait_for(lambda: client.ask("GET", "/readyz").status == 200)
        with ThreadPoolExecutor(1) as pool:
            in_flight = pool.submit(client.rank, "write code")
            wait_for(lambda: b"uwe_requests_in_flight 2.0" in client.ask("GET", "/metrics").body)
            process.send_signal(signal.SIGTERM)
            wait_for(lambda: client.ask("GET", "/readyz").status == 503)
            refused = client.rank("weld metal")
            assert (refused.status, refused.json["detail"]) == (503, "The service is stopping.")
            assert refused.headers["connection"] == "close"
            assert in_flight.result().json["results"][0]["hits"][0]["text"] == "write code"
        assert process.wait(10) == 0


def test_everything_is_counted_and_nothing_of_a_client_becomes_a_label(served):
    served.rank("write code")
    served.ask("GET", "/secret-path")
    text = served.ask("GET", "/metrics").body.decode()
    assert re.search(r'uwe_requests_total\{method="POST",route="/v1/rank",status="200"\} [1-9]', text)
    assert 'method="GET",route="other",status="404"' in text
    assert "secret-path" not in text


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_an_opening_of_a_page_is_one_line_of_the_log(path, caplog):
    caplog.set_level(logging.INFO, "uwe_jax.serving")
    with running() as client:
        caplog.clear()
        loaded = [path, *(f"/page/{file.name}" for file in PAGE.iterdir()), "/v1/indexes", "/openapi.json"]
        assert {client.ask("GET", each).status for each in loaded} == {200}
        wait_for(lambda: [f"GET {path} 200" in record.getMessage() for record in caplog.records] == [True])
        caplog.clear()
        assert client.ask("GET", "/page/missing.js").status == 404
        assert client.rank("nurse").status == 200
        wait_for(lambda: len(caplog.records) == 2)


def test_the_log_drives_no_terminal(capsys):
    with_times()
    log = logging.getLogger("uwe_jax.serving")
    with running(trusted_proxy=("127.0.0.1",)) as client:
        # U+009B is to terminals what ESC [ is; latin-1 is how headers travel.
        assert client.ask("GET", "/", headers={"X-Forwarded-For": "192.0.2.7\x9b2J"}).status == 200
        log.info("Index %s: 3 targets of %s", "skills\u202e", "indexes/\x1b[2J")
        try:
            raise ValueError("of a file \x1b]0;title\x07")
        except ValueError:
            log.exception("failed")
    told = capsys.readouterr().err
    assert re.search(r"^20\d\d-.* INFO Index", told, re.MULTILINE)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", told)
    for escaped in (r"192.0.2.7\x9b2J GET", r"skills\u202e: 3 targets of indexes/\x1b[2J", r"file \x1b]0;title\x07"):
        assert escaped in told


def test_an_answer_is_json_that_drives_no_terminal():
    class Infinite:
        def to_dict(self):
            return {"score": float("inf")}

    class Odd(StandIn):
        def rank_each(self, queries, index, top_k, *, batch, where):
            return [Hits([Hit("id\x9b2J", "na\xefve\u202e", float(query))]) for query in queries]

        def explain(self, query, target, *, space):
            return Infinite()

    with running(load=lambda options: ServedModel(Odd(), {"sk\x1bills": StandInIndex()})) as client:
        told = client.rank("0.5").body.decode() + client.ask("GET", "/v1/indexes").body.decode()
        hit = (
            '{"id": "id\\u009b2J", "text": "na\xefve\\u202e", "score": 0.5, "columns": {}, "name": "", "exact": false, '
        )
        assert hit + '"role": "", "words": 0.0, "probability": null}' in told
        assert r"sk\u001bills" in told
        assert not re.search("[\x1b\x9b\u202e]", told)
        for reply in (client.rank("nan"), client.ask("POST", "/v1/explain", {"query": "a", "target": "b"})):
            assert (reply.status, set(reply.json)) == (500, {"detail", "id"})


def test_the_page_is_made_of_its_own_files_alone(served):
    for path, kind in (("/", "text/html"), ("/docs", "text/html"), ("/page/page.css", "text/css")):
        reply = served.ask("GET", path)
        assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (200, kind)
        assert reply.headers["cache-control"] == "no-cache"
    files = {path.name: path.read_text() for path in PAGE.iterdir()}
    for name, text in files.items():
        assert not re.search(r"(?:src|href|url|from|import|fetch)\W{1,3}(?:https?:)?//", text), name
    for name in ("index.html", "docs.html"):
        assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", files[name]), name
        for linked in re.findall(r'(?:src|href)="(page/[^"]+)"', files[name]):
            assert served.ask("GET", f"/{linked}").status == 200
    assert not any("innerHTML" in text for text in files.values())


def test_the_schema_tells_of_every_path(served):
    schema = served.ask("GET", "/openapi.json").json
    assert {
        "/v1/rank",
        "/v1/vacancy",
        "/v1/scores",
        "/v1/explain",
        "/v1/indexes",
        "/healthz",
        "/readyz",
        "/metrics",
    } == set(schema["paths"])
    problem = schema["paths"]["/v1/rank"]["post"]["responses"]["422"]["content"]["application/json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}


def test_the_command_line_becomes_options(tmp_path, monkeypatch):
    monkeypatch.delenv("UWE_JAX_API_KEY", raising=False)
    flags = ["--index", "a=x/y", "--index", "x/z", "--model", "m", "--rate", "2.5", "--max_batch", "7"]
    read = functools.partial(command.read_options, ServiceOptions, command="serve", about="")
    chosen = read([*flags, "--cache_dir", "c"])
    assert chosen.indexes == {"a": "x/y", "z": "x/z"}
    assert (chosen.limits.rate, chosen.limits.max_batch, chosen.host) == (2.5, 7, "127.0.0.1")
    assert "localhost" in chosen.allowed_hosts
    for arguments, complaint in (
        (["--model", "m"], "--index is required"),
        (["--index", "x/a", "--index", "y/a"], "its own name"),
        (["--index", "x="], "does not name an index"),
        (["--index", "a", "--max_batch", "0"], "max_batch is 0"),
        (["--index", "a", "--deadline", "nan"], "deadline is nan"),
        (["--index", "a", "--max_waiting", "3"], "max_waiting is 3"),
        (["--index", "a", "--api_key_file", str(tmp_path)], "cannot be read"),
    ):
        with pytest.raises(UserError, match=complaint):
            command.main(arguments)


def test_an_address_that_is_taken_or_open_to_all_is_told(caplog, monkeypatch):
    with running() as client, pytest.raises(UserError, match=r"^Port \d+ on 127\.0\.0\.1 is in use; choose another"):
        server.serve(ServiceOptions(port=client.port), load=lambda options: None)
    for keys, warned in (("", True), (KEY, False)):
        monkeypatch.setenv("UWE_JAX_API_KEY", keys)
        options = ServiceOptions(host="0.0.0.0")
        caplog.clear()
        server._announce(options, 80)
        assert ("no API key" in caplog.text) == warned
        assert options.allowed_hosts == ()


@pytest.mark.parametrize("key", ["", KEY])
def test_the_first_lines_of_the_log_hold_a_request_to_type(key, caplog, monkeypatch):
    monkeypatch.setenv("UWE_JAX_API_KEY", key)
    with running() as client, caplog.at_level("INFO"):
        caplog.clear()
        server._announce(ServiceOptions(), client.port)
        typed = os.path.expandvars(re.search("curl (.*)", caplog.text)[1])
        url, *headers, _, body = shlex.split(typed)
        assert url == f"http://127.0.0.1:{client.port}/v1/rank"
        given = dict(each.split(": ") for each in headers[1:] if each != "-H")
        assert client.ask("POST", "/v1/rank", body.encode(), given).json["index"] == "skills"


def test_the_stand_in_ranks_by_words():
    assert common("test the code", "write code") == 0.5


# What the page's scripts need of a browser's document to make elements.
_DOCUMENT = """
class Element {
  constructor() { Object.assign(this, { attributes: {}, children: [], dataset: {} });
    this.style = { setProperty: (name, value) => { this.attributes[name] = value; } }; }
  setAttribute(name, value) { this.attributes[name] = value; }
  addEventListener() {}
  append(...children) { this.children.push(...children); }
  get text() { return this.children.map((child) => child.text ?? child).join(" "); }
  get bars() { return this.children.flatMap((child) => child.bars ?? [])
    .concat(this.className === "bar" ? this.attributes["--share"] : []); }
}
globalThis.document = { createElement: () => new Element() };
const { bestOf, shown } = await import("./hits.js");
const found = JSON.parse(process.argv[2]);
const elements = shown(found, "");
console.log(JSON.stringify({ of: bestOf(found), text: elements.map((each) => each.text).join(" "),
  bars: elements.flatMap((each) => each.bars) }));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed")
def test_the_page_draws_bars_for_probabilities_alone(tmp_path):
    shutil.copytree(PAGE, tmp_path / "page")
    (tmp_path / "page" / "package.json").write_text('{"type": "module"}')
    (tmp_path / "page" / "try.js").write_text(_DOCUMENT)

    def show(found: Hits, of: int) -> dict[str, object]:
        listed = [hit.to_dict() for hit in found]
        told = {"query": "q", "index": "skills", "hits": listed, "of": of, "note": found.note, "none": found.none}
        script = ["node", tmp_path / "page" / "try.js", json.dumps(told)]
        return json.loads(subprocess.run(script, capture_output=True, text=True, timeout=60, check=True).stdout)

    raw = Hits([Hit("s1", "weld metal", 0.61), Hit("s2", "plan shifts", 0.5)], "q", total=13_896)
    page = show(raw, raw.total)
    assert (page["of"], page["bars"]) == ("the 2 best of 13,896", [])
    assert RAW_SCORE in page["text"]
    sure = show(Hits([hit._replace(probability=p) for hit, p in zip(raw, (0.42, 0.0), strict=True)]), 2)
    assert (sure["of"], sure["bars"]) == ("all 2, best first", ["0.420", "0.000"])
    assert "42 %" in sure["text"]
    none = show(raw.reaching(0.9), raw.total)
    assert "None of these. 0 of 2 hits reach score 0.9" in none["text"]
    assert none["bars"] == []
