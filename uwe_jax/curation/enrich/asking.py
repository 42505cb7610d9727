"""Concurrent requests within rate limits and a budget; every answer is stored before it is used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from uwe_jax.curation.enrich.answers import Unreadable, read_answer
from uwe_jax.curation.enrich.budget import Budget, Cost, OverBudget, Reservation, estimated_tokens
from uwe_jax.curation.enrich.endpoint import Completion, Endpoint, RequestFailed
from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.response_cache import Answer, ResponseCache, key_of
from uwe_jax.curation.enrich.settings import EndpointSettings, library
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import progress

LOG = logging.getLogger(__name__)

# So many requests in a row without an answer: the server is gone.
GIVE_UP_AFTER = 5


class Asking:
    """Sends requests that the response cache has no answer to, as long as the budget allows it."""

    def __init__(self, settings: EndpointSettings, responses: ResponseCache, budget: Budget):
        self._settings = settings
        self._responses = responses
        self._budget = budget
        self._in_a_row = 0
        self._refusal: UserError | None = None
        self._broken: OSError | None = None  # of the file of answers
        self._halted = asyncio.Event()  # `stopped` says why
        self._settled = asyncio.Event()  # the next pending request has ended
        self.failed: list[str] = []  # reasons of requests without an answer
        self.stopped = ""  # why no further request is sent
        self.tries_again = 0  # repeated tries

    def run(self, requests: Sequence[Request], checkpoint: Callable[[], None], every: int) -> None:
        """Sends requests; calls `checkpoint` after `every` of them, with none pending, and at the end.

        When it has to stop, it waits for pending requests: they are paid for.

        Raises:
          UserError: the server is gone, or refuses every request; answers so far are kept.
          OSError: an answer cannot be written, such as on a full disk; those before are kept.
        """
        endpoint = Endpoint(self._settings, stopping=lambda: bool(self._refusal or self._broken))
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
        self, endpoint: Endpoint, requests: Sequence[Request], checkpoint: Callable[[], None], every: int, bar: Iterator
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
                if self._broken is not None:
                    raise self._broken  # here and not above: there it would end the pending requests
                checkpoint()
                if self.stopped:
                    return

    async def _work(self, endpoint: Endpoint, limits: _Limits, waiting: Iterator[Request], bar: Iterator) -> None:
        for request in waiting:
            while not self.stopped and not self._responses.is_answered(request, self._settings):
                try:
                    await self._ask(endpoint, limits, request)
                except RequestFailed as error:
                    self._fail(str(error))
                    break
                except UserError as error:
                    self._refusal = self._refusal or error
                    self._stop("the server refuses")
                except OSError as error:
                    self._broken = self._broken or error
                    self._stop("an answer could not be written")
            if self.stopped:
                return
            next(bar, None)

    async def _ask(self, endpoint: Endpoint, limits: _Limits, request: Request) -> None:
        reserved = self._budget.at_most(request)
        while lacking := self._budget.reserve(reserved):
            if not self._budget.under_way or self.stopped:
                self._stop(lacking)
                return
            await self._settled.wait()  # pending requests mostly cost less than was reserved for them
        reservation, spent = Reservation(self._budget, reserved), Cost()

        def lost(reason: str) -> None:
            reservation.settle(reserved)
            self._responses.add(self._lost(request, reason, reserved))

        try:
            await self._unless_stopped(limits.wait(reserved))
            if self.stopped:
                return
            completion = await endpoint.complete(request.prompt, reservation.hold, lost)
            answer = self._answer(request, completion, reserved)
            spent = Cost.of([answer])
            self._responses.add(answer)
            self._in_a_row = 0
        except OverBudget:
            return  # it is sent again when the budget allows it, or not at all
        finally:
            reservation.settle(spent)
            self._settled.set()
            self._settled = asyncio.Event()

    async def _unless_stopped(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Waits for something, but no longer than until the run has to stop."""
        tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(self._halted.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                tasks[0].result()
        finally:
            for task in tasks:
                task.cancel()

    def _stop(self, reason: str) -> None:
        self.stopped = self.stopped or reason
        self._halted.set()

    def _entry(self, request: Request, attempt: int, **fields: Any) -> Answer:
        key = key_of(self._settings.model, request.kind, request.prompt, attempt, fields["finish"] == "lost")
        prompt, kind, skill = request.prompt.hash, request.kind, request.label
        return Answer(key=key, model=self._settings.model, prompt=prompt, kind=kind, skill=skill, **fields)

    def _lost(self, request: Request, reason: str, cost: Cost) -> Answer:
        """A try without an answer, at the most it may have cost."""
        model, attempt = self._settings.model, 0
        while key_of(model, request.kind, request.prompt, attempt, lost=True) in self._responses.answers:
            attempt += 1
        tokens = {"input_tokens": cost.input_tokens, "output_tokens": cost.output_tokens, "estimated": True}
        return self._entry(request, attempt, answer="", finish="lost", **tokens, problem=reason, seconds=0.0)

    def _answer(self, request: Request, completion: Completion, reserved: Cost) -> Answer:
        try:
            read_answer(completion.text, completion.finish)
            problem = ""
        except Unreadable as error:
            problem = str(error)
        asked, answered = completion.input_tokens, completion.output_tokens
        return self._entry(
            request,
            len(self._responses.answers_to(request, self._settings)),
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
        LOG.warning(f"No answer to one request, after {self._settings.retries} further tries at most: {reason}")
        if self._in_a_row >= GIVE_UP_AFTER and not self.stopped:
            self._stop("the server is gone")
            self._refusal = UserError(
                f"{self._in_a_row} requests in a row got no answer from {self._settings.base_url} (the last: "
                f"{reason}). Answers so far are kept; check the server and re-run the same command to resume."
            )


class _Limits:
    """Requests and estimated tokens per minute, evenly: at once at most a second's worth, or one."""

    def __init__(self, settings: EndpointSettings):
        self._limiters: list[Any] = [None, None]
        for place, per_minute in enumerate((settings.requests_per_minute, settings.tokens_per_minute)):
            if per_minute:
                # The library lets a whole period's worth through at once, so its period is as short as can be.
                at_once = max(1, per_minute // 60)
                limiter = library("aiolimiter").AsyncLimiter(at_once, 60 * at_once / per_minute)
                self._limiters[place] = limiter
        self._turn = asyncio.Lock()  # first come, first served

    async def wait(self, cost: Cost) -> None:
        """Waits until a request of this cost may be sent."""
        async with self._turn:
            for limiter, amount in zip(self._limiters, (cost.requests, cost.tokens), strict=True):
                while limiter and amount > 0:
                    part = min(amount, limiter.max_rate)
                    await limiter.acquire(part)
                    amount -= part
