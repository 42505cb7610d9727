"""Asks many requests at once, within rates and a budget, and keeps every answer before it is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from uwe_jax.base.errors import UserError
from uwe_jax.base.progress import progress, say
from uwe_jax.enrichment.answers import Unreadable, read_answer
from uwe_jax.enrichment.budget import Budget, Cost, estimated_tokens
from uwe_jax.enrichment.endpoint import Completion, Endpoint, RequestFailed
from uwe_jax.enrichment.ledger import Answer, Ledger, key_of
from uwe_jax.enrichment.libraries import library
from uwe_jax.enrichment.plan import Request
from uwe_jax.enrichment.settings import EndpointSettings

# So many requests in a row without an answer: the server is gone.
GIVE_UP_AFTER = 5


def answer_to(request: Request, model: str, ledger: Ledger, tries_to_read: int) -> tuple[Answer | None, int]:
    """What the ledger holds on a request.

    Returns:
      The first answer that can be read, else the last one there is, else None; and how many there are.
    """
    assert request.prompt is not None
    last = None
    for attempt in range(tries_to_read):
        found = ledger.answers.get(key_of(model, request.prompt, attempt))
        if found is None:
            return last, attempt
        last = found
        if not found.problem:
            return found, attempt + 1
    return last, tries_to_read


def is_answered(request: Request, model: str, ledger: Ledger, tries_to_read: int) -> bool:
    """Whether there is nothing left to ask: an answer that can be read, or as many tries as are allowed."""
    answer, tried = answer_to(request, model, ledger, tries_to_read)
    return tried == tries_to_read or (answer is not None and not answer.problem)


class Asking:
    """Asks what the ledger does not answer.

    Args:
      settings: of the endpoint.
      ledger: takes the answers.
      budget: stops it.

    Attributes:
      failed: reasons of requests that got no answer; the same command asks them again.
      stopped: why no further request is asked; empty while there is no reason.
      tries_again: how often a try was repeated.
    """

    def __init__(self, settings: EndpointSettings, ledger: Ledger, budget: Budget):
        self._settings = settings
        self._ledger = ledger
        self._budget = budget
        self._in_a_row = 0
        self._refusal: UserError | None = None
        self._settled = asyncio.Event()  # the next request under way has come to its end
        self.failed: list[str] = []
        self.stopped = ""
        self.tries_again = 0

    def run(self, requests: Sequence[Request], checkpoint: Callable[[], None], every: int) -> None:
        """Asks the requests, and calls `checkpoint` after every so many, with nothing under way, and at the end.

        Requests that are under way when it has to stop are waited for: they are paid for.

        Raises:
          UserError: the server is gone, or refuses every request; what was answered is kept.
        """
        endpoint = Endpoint(self._settings, stopping=lambda: self._refusal is not None)
        endpoint.check_there()
        bar = progress(range(len(requests) + 1), label="Asking", unit="request", total=len(requests))
        try:
            asyncio.run(self._run(endpoint, requests, checkpoint, every, bar))
        finally:
            self.tries_again = endpoint.tries_again
            bar.close()  # type: ignore[attr-defined]
        if self._refusal is not None:
            raise self._refusal

    async def _run(
        self,
        endpoint: Endpoint,
        requests: Sequence[Request],
        checkpoint: Callable[[], None],
        every: int,
        bar: Iterator[int],
    ) -> None:
        limits = _Limits(self._settings)
        next(bar)
        async with endpoint:
            for start in range(0, len(requests), every):
                waiting = iter(requests[start : start + every])
                # TaskGroup: a bug in one worker ends the others and is shown.
                async with asyncio.TaskGroup() as workers:
                    for _ in range(self._settings.concurrency):
                        workers.create_task(self._work(endpoint, limits, waiting, bar))
                checkpoint()
                if self.stopped:
                    return

    async def _work(self, endpoint: Endpoint, limits: _Limits, waiting: Iterator[Request], bar: Iterator[int]) -> None:
        for request in waiting:
            while not self.stopped and not is_answered(
                request, self._settings.model, self._ledger, self._settings.tries_to_read
            ):
                try:
                    await self._ask(endpoint, limits, request)
                except RequestFailed as error:
                    self._fail(str(error))
                    break
                except UserError as error:
                    self._refusal = self._refusal or error
                    self.stopped = self.stopped or "the server refuses"
            if self.stopped:
                return
            next(bar, None)

    async def _ask(self, endpoint: Endpoint, limits: _Limits, request: Request) -> None:
        prompt = request.prompt
        assert prompt is not None
        reserved = self._budget.at_most(request, prompt)
        while lacking := self._budget.reserve(reserved):
            if not self._budget.under_way or self.stopped:
                self.stopped = self.stopped or lacking
                return
            await self._settled.wait()  # requests under way mostly cost less than was set aside for them
        spent = Cost()
        try:
            await limits.wait(reserved)
            if self.stopped:
                return
            completion = await endpoint.complete(prompt)
            answer = self._answer(request, completion, reserved)
            self._ledger.add(answer)
            spent = Cost.of([answer])
            self._in_a_row = 0
        finally:
            self._budget.settle(reserved, spent)
            self._settled.set()
            self._settled = asyncio.Event()

    def _answer(self, request: Request, completion: Completion, reserved: Cost) -> Answer:
        assert request.prompt is not None
        model = self._settings.model
        _, attempt = answer_to(request, model, self._ledger, self._settings.tries_to_read)
        try:
            read_answer(completion.text, completion.finish)
            problem = ""
        except Unreadable as error:
            problem = str(error)
        asked, answered = completion.input_tokens, completion.output_tokens
        return Answer(
            key=key_of(model, request.prompt, attempt),
            model=model,
            prompt=request.prompt.hash,
            kind=request.kind,
            skill=request.label,
            answer=completion.text,
            finish=completion.finish,
            input_tokens=reserved.input_tokens if asked is None else asked,
            output_tokens=estimated_tokens(completion.text) if answered is None else answered,
            estimated=asked is None or answered is None,
            problem=problem,
            seconds=round(completion.seconds, 3),
        )

    def _fail(self, reason: str) -> None:
        self.failed.append(reason)
        self._in_a_row += 1
        say(f"No answer to one request, after {self._settings.retries} further tries at most: {reason}")
        if self._in_a_row >= GIVE_UP_AFTER and not self.stopped:
            self.stopped = "the server is gone"
            self._refusal = UserError(
                f"{self._in_a_row} requests in a row got no answer from {self._settings.base_url} (the last: "
                f"{reason}). What was answered is kept; look after the server and run the same command again."
            )


class _Limits:
    """Requests and tokens a minute, by the estimate; bursts of a minute's worth are let through."""

    def __init__(self, settings: EndpointSettings):
        self._requests = _limiter(settings.requests_per_minute)
        self._tokens = _limiter(settings.tokens_per_minute)

    async def wait(self, cost: Cost) -> None:
        """Returns when a request of this cost may be sent."""
        if self._requests:
            await self._requests.acquire(cost.requests)
        if self._tokens:
            # A request of more than a minute's worth takes all of one: it could never be sent otherwise.
            await self._tokens.acquire(min(cost.tokens, self._tokens.max_rate))


def _limiter(per_minute: int) -> Any:
    return library("aiolimiter").AsyncLimiter(per_minute, 60) if per_minute else None
