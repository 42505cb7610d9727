"""Concurrent requests within rate limits and a budget; every answer is stored before it is used."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from uwe_jax.curation.enrich.budget import Budget, estimated_tokens
from uwe_jax.curation.enrich.endpoint import Completion, Endpoint, RequestFailed
from uwe_jax.curation.enrich.generators import Unreadable, read_answer
from uwe_jax.curation.enrich.plan import Request
from uwe_jax.curation.enrich.response_cache import Answer, Cost, ResponseCache, key_of
from uwe_jax.curation.enrich.settings import EndpointSettings
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
        self._pace = Pace(settings)
        self._in_a_row = 0
        self._error: UserError | OSError | None = None
        self._halted = asyncio.Event()  # `stopped` says why
        self._settled = asyncio.Event()  # the next pending try has ended
        self.failed: list[str] = []  # reasons of requests without an answer
        self.stopped = ""  # why no further request is sent
        self.tries_again = 0  # repeated tries

    def run(self, requests: Sequence[Request], checkpoint: Callable[[], None], every: int) -> None:
        """Sends requests; calls `checkpoint` after `every` of them, with none pending, and at the end.

        When it has to stop, it waits for pending tries: they are paid for.

        Raises:
          UserError: the server is gone, or refuses every request; answers so far are kept.
          OSError: an answer cannot be written, such as on a full disk; those before are kept.
        """
        endpoint = Endpoint(self._settings)
        endpoint.check_there()
        bar: Any = progress(requests, label="Asking", unit="request", total=len(requests))
        with contextlib.closing(bar) as waiting:
            asyncio.run(self._run(endpoint, waiting, checkpoint, range(0, len(requests), every)))

    async def _run(
        self, endpoint: Endpoint, requests: Iterator[Request], checkpoint: Callable[[], None], batches: range
    ) -> None:
        async with endpoint:
            for _ in batches:
                waiting = itertools.islice(requests, batches.step)
                # TaskGroup: a bug in one worker ends the others and is shown.
                async with asyncio.TaskGroup() as workers:
                    for _ in range(self._settings.concurrency):
                        workers.create_task(self._work(endpoint, waiting))
                if isinstance(self._error, OSError):
                    break
                checkpoint()
                if self.stopped:
                    break
        if self._error:
            raise self._error  # here and not in a worker: there it would end the pending tries

    async def _work(self, endpoint: Endpoint, waiting: Iterator[Request]) -> None:
        for request in waiting:
            tries = 0
            while not self.stopped and not self._responses.is_answered(request, self._settings):
                try:
                    await self._try(endpoint, request)
                    tries = 0  # an answer that cannot be read, or none was sent
                except RequestFailed as error:
                    tries += 1
                    if not error.again or tries > self._settings.retries:
                        self._fail(str(error))
                        break
                    self.tries_again += 1
                    await self._sleep(max(error.wait, self._backoff(tries)))  # servers may ask for 0 s every time
                except UserError as error:
                    self._stop("the server refuses", error)
                except OSError as error:
                    self._stop("an answer could not be written", error)
            if self.stopped:
                return

    async def _try(self, endpoint: Endpoint, request: Request) -> None:
        most = self._budget.at_most(request)
        while lacking := self._budget.reserve(most):
            if not self._budget.under_way or self.stopped:
                self._stop(lacking)
                return
            await self._settled.wait()  # pending tries mostly cost less than was reserved for them
        spent = Cost()
        try:
            await self._sleep(self._pace.delay(most, asyncio.get_running_loop().time()))
            if self.stopped:
                return
            answer = self._record(request, most, await endpoint.send(request.prompt))
            spent = answer.cost
            self._responses.add(answer)
            self._in_a_row = 0
        except RequestFailed as error:
            if error.billed:
                spent = most
                self._responses.add(self._record(request, most, Completion(), lost=str(error)))
            raise
        finally:
            self._budget.settle(most, spent)
            self._settled.set()
            self._settled = asyncio.Event()

    async def _sleep(self, seconds: float) -> None:
        """Sleeps, but no longer than until the run has to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._halted.wait(), seconds)

    def _backoff(self, tries: int) -> float:
        first, longest = self._settings.first_wait, self._settings.longest_wait
        return min(first * 2.0 ** min(tries - 1, 100), longest) + random.uniform(0, first)

    def _stop(self, reason: str, error: UserError | OSError | None = None) -> None:
        self.stopped = self.stopped or reason
        self._error = self._error or error
        self._halted.set()

    def _record(self, request: Request, most: Cost, completion: Completion, lost: str | None = None) -> Answer:
        """The answer of a try; of a lost one, the reason at the most it may have cost."""
        model, answers, problem = self._settings.model, self._responses.answers, lost or ""
        if lost is None:
            try:
                read_answer(completion.text, completion.finish)
            except Unreadable as error:
                problem = str(error)
        keys = (key_of(model, request.kind, request.prompt, attempt, lost is not None) for attempt in itertools.count())
        asked, answered = completion.input_tokens, completion.output_tokens
        likely = estimated_tokens(completion.text) if lost is None else most.output_tokens
        return Answer(
            key=next(key for key in keys if key not in answers),
            model=model,
            prompt=request.prompt.hash,
            kind=request.kind,
            skill=request.label,
            answer=completion.text,
            finish=completion.finish,
            input_tokens=most.input_tokens if asked is None else asked,
            output_tokens=likely if answered is None else answered,
            estimated=asked is None or answered is None,
            problem=problem,
            seconds=round(completion.seconds, 3),
        )

    def _fail(self, reason: str) -> None:
        self.failed.append(reason)
        self._in_a_row += 1
        LOG.warning(f"No answer to one request, after {self._settings.retries} further tries at most: {reason}")
        if self._in_a_row >= GIVE_UP_AFTER and not self.stopped:
            gone = UserError(
                f"{self._in_a_row} requests in a row got no answer from {self._settings.base_url} (the last: "
                f"{reason}). Answers so far are kept; check the server and re-run the same command to resume."
            )
            self._stop("the server is gone", gone)


class Pace:
    """Spaces tries evenly within the requests and estimated tokens per minute, first come, first served."""

    def __init__(self, settings: EndpointSettings):
        self._limits = (settings.requests_per_minute, settings.tokens_per_minute)
        self._next = 0.0  # when the next try may be sent

    def delay(self, cost: Cost, now: float) -> float:
        """Returns in how many seconds a try of this cost may be sent; the next one may be sent after it."""
        start = max(now, self._next)
        amounts = zip((cost.requests, cost.tokens), self._limits, strict=True)
        self._next = start + max((60 * amount / limit for amount, limit in amounts if limit), default=0.0)
        return start - now
