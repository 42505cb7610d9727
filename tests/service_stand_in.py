"""A service around a model that can be held up, called over real HTTP; as a program, one that a signal can stop.

    python service_stand_in.py SECONDS

takes so many seconds for every answer, and prints its port.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from uwe_jax.config import ScorerSettings
from uwe_jax.data.truncation import Truncation
from uwe_jax.retrieval.hits import Hits
from uwe_jax.retrieval.settings import DEFAULT
from uwe_jax.retrieval.store.columns import Strings, matching, packed
from uwe_jax.retrieval.store.names import Name
from uwe_jax.retrieval.store.searchable import Hit, Origin
from uwe_jax.serving.options import VARIABLE, Limits, ServiceOptions
from uwe_jax.serving.server import Server, serve
from uwe_jax.serving.tasks import ServedModel

SKILLS = ("care for patients", "write code", "weld metal", "plan shifts", "test code", "keep records")
ORIGIN = Origin("stand-in", "0123456789abcdef", 64, ScorerSettings())


class StandInIndex:
    """Targets by their words alone."""

    origin = ORIGIN
    columns = ("family",)

    def __init__(self, texts: Sequence[str] = SKILLS):
        self.texts = tuple(texts)

    def __len__(self) -> int:
        return len(self.texts)

    def count(self, where: Any = None) -> int:
        raise NotImplementedError("A stand-in is counted by its model.")

    def names_of(self, target: str) -> list[Name]:
        raise NotImplementedError("A stand-in has no names.")

    def columns_of(self, target: str) -> dict[str, str]:
        raise NotImplementedError("A stand-in has no columns.")

    def search(self, queries: Any, top_k: int, scorer: ScorerSettings, where: Any = None) -> list[list[Hit]]:
        raise NotImplementedError("A stand-in is searched by its model.")


class StandInLoaded:
    """Reads words up to a limit."""

    sides = ()  # its scores have parts to explain

    def truncation(self, texts: Iterable[str]) -> Truncation:
        return Truncation.of(np.array([len(text.split()) for text in texts]), ORIGIN.max_tokens)


class StandInExplanation:
    """One number, in the form of an explanation."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "query_tokens": ["[start]", "code", "now", "!", "[end]"],
            "target_tokens": ["write", "code", "[end]"],
            "shares": [0.25, 0.5, 0.125, 0.0, 0.125],
            "weights": [[0.5, 0.5, 0.0], [0.1, 0.9, 0.0], [0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [0.5, 0.5, 0.0]],
            "cosines": [[0.1, 0.1, 0.0], [0.3, 1.0, 0.0], [-0.2, -0.2, 0.0], [0.0, 0.0, 0.0], [0.0, -0.2, 0.0]],
            "contributions": [0.025, 0.465, -0.019, 0.0, -0.012],
            "words": {},
            "score": 0.459,
            "scorer": "soft",
        }


class StandIn:
    """Ranks by the share of common words, one batch at a time, and only while `open` is set."""

    name = "stand-in"
    origin = ORIGIN
    loaded = StandInLoaded()
    how = DEFAULT

    def __init__(self, seconds: float = 0.0):
        self.open = threading.Event()
        self.open.set()
        self.seconds = seconds
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()

    def rank_each(self, queries: Sequence[str], index: Any, top_k: int, *, batch: int, where: Any = None) -> list[Hits]:
        self.threads.add(threading.get_ident())
        self.batches.append(list(queries))
        self.open.wait()
        time.sleep(self.seconds)
        if any("boom" in query for query in queries):
            raise RuntimeError("a secret of the inside")
        families = {text: {"family": text.split()[0]} for text in index.texts}
        columns = packed({"family": [text.split()[0] for text in index.texts]}, len(index))
        fit = matching({name: Strings(column) for name, column in columns.items()}, where, len(index))
        texts = [text for text, fits in zip(index.texts, fit, strict=True) if fits]
        found = [[Hit(f"id of {t}", t, common(query, t), families[t]) for t in texts] for query in queries]
        return [Hits(sorted(row, key=lambda hit: -hit.score)[:top_k], total=len(texts)) for row in found]

    def scores(self, queries: Sequence[str], targets: Sequence[str]) -> np.ndarray:
        return np.array([[common(query, target) for target in targets] for query in queries], np.float32)

    def explain(self, query: str, target: str = "", *, id: str = "", space: Any = None) -> StandInExplanation:
        return StandInExplanation()

    def warm_up(self, index: Any, top_k: int) -> None:
        pass


def common(query: str, text: str) -> float:
    """The share of a text's words that are in a query."""
    words = set(query.lower().split())
    return sum(word in words for word in text.split()) / len(text.split())


class Client:
    """Asks a service, every time over a connection of its own."""

    def __init__(self, port: int, server: Server | None = None, model: StandIn | None = None):
        self.port, self.server, self.model = port, server, model

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """Sends a request; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes | Iterator):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **headers}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Reply(response.status, response.read(), {k.lower(): v for k, v in response.getheaders()})
        finally:
            connection.close()

    def rank(self, *queries: str, **more: Any) -> Reply:
        """Asks /v1/rank."""
        return self.ask("POST", "/v1/rank", {"queries": list(queries), **more})


class Reply:
    """Status, body and headers (in lower case) of an answer."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]):
        self.status, self.body, self.headers = status, body, headers

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def wait_for(condition: Any) -> None:
    """Returns once a condition holds; fails after a minute, which only a machine in trouble takes."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited a minute"
        time.sleep(0.005)


@contextmanager
def running(
    keys: Sequence[str] = (), *, load: Any = None, limits: Limits | None = None, wait: bool = True, **options: Any
) -> Iterator[Client]:
    """A service in a thread, ready to be asked and stopped in the end.

    Args:
      keys: of the service.
      load: gives the model to serve; None serves a `StandIn` on two indexes.
      limits: of the service.
      wait: until it is ready.
      options: others of `ServiceOptions`.
    """
    model = StandIn()
    indexes = {"skills": StandInIndex(), "jobs": StandInIndex(["nurse", "welder"])}
    with mock.patch.dict(os.environ, {VARIABLE: ",".join(keys)}):
        chosen = ServiceOptions(port=0, limits=limits or Limits(), **options)
    started: list[Any] = []
    thread = threading.Thread(
        target=serve,
        args=(chosen,),
        kwargs={
            "load": load or (lambda options: ServedModel(model, indexes)),
            "listening": lambda server, port: started.append(Client(port, server, model)),
        },
    )
    thread.start()
    wait_for(lambda: started and started[0].server.started)
    client = started[0]
    try:
        if wait:
            wait_for(lambda: client.ask("GET", "/readyz").status == 200)
        yield client
    finally:
        model.open.set()
        client.server.stop()
        thread.join(60)
        assert not thread.is_alive()


if __name__ == "__main__":
    serve(
        ServiceOptions(port=0),
        load=lambda options: ServedModel(StandIn(float(sys.argv[1])), {"skills": StandInIndex()}),
        listening=lambda server, port: print(port, flush=True),
    )
