"""Asks many requests at once, within rates and a budget, and keeps every answer before it is used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from uwe_jax.curation.enrich.answers import Unreadable, read_answer
from uwe_jax.curation.enrich.budget import Budget, Cost, NoRoom, Room, estimated_tokens
from uwe_jax.curation.enrich.endpoint import Completion, Endpoint, RequestFailed
from uwe_jax.curation.enrich.libraries import library
from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.response_cache import Answer, Ledger, key_of
from uwe_jax.curation.enrich.settings import EndpointSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import progress

LOG = logging.getLogger(__name__)

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
        found = ledger.answers.get(key_of(model, request.kind, request.prompt, attempt))
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
        self._broken: OSError | None = None  # of the file of answers
        self._halted = asyncio.Event()  # `stopped` says why
        self._settled = asyncio.Event()  # the next request under way has come to its end
        self.failed: list[str] = []
        self.stopped = ""
        self.tries_again = 0

    def run(self, requests: Sequence[Request], checkpoint: Callable[[], None], every: int) -> None:
        """Asks the requests, and calls `checkpoint` after every so many, with nothing under way, and at the end.

        Requests that are under way when it has to stop are waited for: they are paid for.

        Raises:
          UserError: the server is gone, or refuses every request; what was answered is kept.
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
                if self._broken is not None:
                    raise self._broken  # here and not above: there it would end the requests under way
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
                    self._stop("the server refuses")
                except OSError as error:
                    self._broken = self._broken or error
                    self._stop("an answer could not be written")
            if self.stopped:
                return
            next(bar, None)

    async def _ask(self, endpoint: Endpoint, limits: _Limits, request: Request) -> None:
        prompt = request.prompt
        assert prompt is not None
        reserved = self._budget.at_most(request, prompt)
        while lacking := self._budget.reserve(reserved):
            if not self._budget.under_way or self.stopped:
                self._stop(lacking)
                return
            await self._settled.wait()  # requests under way mostly cost less than was set aside for them
        room, spent = Room(self._budget, reserved), Cost()

        def lost(reason: str) -> None:
            room.settle(reserved)
            self._ledger.add(self._lost(request, reason, reserved))

        try:
            await self._unless_stopped(limits.wait(reserved))
            if self.stopped:
                return
            completion = await endpoint.complete(prompt, room.hold, lost)
            answer = self._answer(request, completion, reserved)
            spent = Cost.of([answer])
            self._ledger.add(answer)
            self._in_a_row = 0
        except NoRoom:
            return  # it is asked again when there is room, or not at all
        finally:
            room.settle(spent)
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

    def _lost(self, request: Request, reason: str, cost: Cost) -> Answer:
        """A try without an answer, at the most it may have cost."""
        assert request.prompt is not None
        model, number = self._settings.model, 0
        while (key := key_of(model, request.kind, request.prompt, number, lost=True)) in self._ledger.answers:
            number += 1
        return Answer(
            key=key,
            model=model,
            prompt=request.prompt.hash,
            kind=request.kind,
            skill=request.label,
            answer="",
            finish="lost",
            input_tokens=cost.input_tokens,
            output_tokens=cost.output_tokens,
            estimated=True,
            problem=reason,
            seconds=0.0,
        )

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
            key=key_of(model, request.kind, request.prompt, attempt),
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
        LOG.warning(f"No answer to one request, after {self._settings.retries} further tries at most: {reason}")
        if self._in_a_row >= GIVE_UP_AFTER and not self.stopped:
            self._stop("the server is gone")
            self._refusal = UserError(
                f"{self._in_a_row} requests in a row got no answer from {self._settings.base_url} (the last: "
                f"{reason}). What was answered is kept; look after the server and run the same command again."
            )


class _Limits:
    """Requests and tokens a minute, by the estimate, evenly: at most a second's worth, or one, goes at once."""

    def __init__(self, settings: EndpointSettings):
        self._limiters = [_limiter(settings.requests_per_minute), _limiter(settings.tokens_per_minute)]
        self._turn = asyncio.Lock()  # who is in the middle of taking is not overtaken

    async def wait(self, cost: Cost) -> None:
        """Returns when a request of this cost may be sent."""
        async with self._turn:
            for limiter, amount in zip(self._limiters, (cost.requests, cost.tokens), strict=True):
                while limiter and amount > 0:
                    part = min(amount, limiter.max_rate)
                    await limiter.acquire(part)
                    amount -= part


def _limiter(per_minute: int) -> Any:
    if not per_minute:
        return None
    # The library lets a whole period's worth through at once, so its period is as short as can be.
    at_once = max(1, per_minute // 60)
    return library("aiolimiter").AsyncLimiter(at_once, 60 * at_once / per_minute)
