"""Cache of responses, one JSON object per line, on disk before they are used: no request is paid for twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.prompts import Prompt
from uwe_jax.curation.enrich.settings import EndpointSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.locks import exclusive


@dataclass(frozen=True)
class Cost:
    """Requests and tokens."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    @property
    def tokens(self) -> int:
        """Tokens of questions and answers."""
        return self.input_tokens + self.output_tokens

    def money(self, endpoint: EndpointSettings) -> float:
        """Returns the cost at the prices of an endpoint."""
        return (self.input_tokens * endpoint.input_price + self.output_tokens * endpoint.output_price) / 1e6


@dataclass(frozen=True)
class Answer:
    """A finished request, or a try without an answer that may have been billed (`finish` is lost)."""

    key: str  # see `key_of`
    model: str  # as the server calls it
    prompt: str  # hash
    kind: str  # of the graph
    skill: str  # label
    answer: str  # text of the model, unchanged
    finish: str  # why the server ended the answer, such as stop or length
    input_tokens: int
    output_tokens: int
    estimated: bool  # the server did not count the tokens
    problem: str  # why the answer cannot be read; empty where it can
    seconds: float  # of the last try

    @property
    def cost(self) -> Cost:
        """One request and its tokens."""
        return Cost(1, self.input_tokens, self.output_tokens)


def key_of(model: str, kind: str, prompt: Prompt, attempt: int, lost: bool = False) -> str:
    """Returns the SHA-256 of model, graph, prompt and number of the try; lost tries are counted separately."""
    name = f"{model}\0{kind}\0{prompt.hash}\0{'lost ' if lost else ''}{attempt}"
    return hashlib.sha256(name.encode()).hexdigest()


class ResponseCache:
    """Answers of a file, in the order they came; empty where there is no file. Use `open_cache` to add to it.

    Raises:
      UserError: a complete line is damaged; an incomplete last one is ignored.
    """

    def __init__(self, path: Path):
        content = path.read_bytes() if path.exists() else b""
        whole, _, rest = content.rpartition(b"\n")
        self.path = path
        self.torn = len(rest)  # bytes of an incomplete last line, left by a kill
        self.answers: dict[str, Answer] = {}
        self._file: int | None = None
        for number, line in enumerate(whole.split(b"\n") if whole else (), 1):
            try:
                answer = Answer(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"{path}, line {number} is not a valid answer ({error}). Every line records a request that was "
                    "paid for: fix the line, or remove it to send that request again."
                ) from error
            self.answers.setdefault(answer.key, answer)

    @property
    def spent(self) -> Cost:
        """Cost of all answers."""
        return sum((each.cost for each in self.answers.values()), Cost())

    def add(self, answer: Answer) -> None:
        """Writes an answer; it is on disk on return."""
        assert self._file is not None
        content, size = (json.dumps(dataclasses.asdict(answer)) + "\n").encode(), os.fstat(self._file).st_size
        try:
            while content:
                content = content[os.write(self._file, content) :]
            os.fsync(self._file)
        except OSError:
            with suppress(OSError):  # half a line would make the next one unreadable
                os.ftruncate(self._file, size)
            raise
        self.answers[answer.key] = answer

    def answers_to(self, request: Request, endpoint: EndpointSettings) -> list[Answer]:
        """Returns the answers to a request, of which only the last one may be readable."""
        tries = range(endpoint.tries_to_read)
        keys = (key_of(endpoint.model, request.kind, request.prompt, attempt) for attempt in tries)
        return [self.answers[key] for key in takewhile(self.answers.__contains__, keys)]

    def is_answered(self, request: Request, endpoint: EndpointSettings) -> bool:
        """Returns whether a request has an answer that can be read, or all the tries that are allowed."""
        found = self.answers_to(request, endpoint)
        return len(found) == endpoint.tries_to_read or bool(found and not found[-1].problem)


@contextmanager
def open_cache(path: Path) -> Iterator[ResponseCache]:
    """Opens a cache to add to, locked against other processes; an incomplete last line is removed.

    Raises:
      UserError: another process has it open, or a complete line is damaged.
    """
    doing = f"enriching in {path.parent}"
    with exclusive(path.with_name(".lock"), doing, advice="name another folder with out"):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            responses = ResponseCache(path)
            if responses.torn:
                os.ftruncate(file, os.fstat(file).st_size - responses.torn)
                os.fsync(file)
            responses._file = file
            yield responses
        finally:
            os.close(file)
