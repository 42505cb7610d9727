"""Batching of requests: one thread owns the model and answers compatible requests of a bounded queue together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from uwe_jax.serving.metrics import Metrics
from uwe_jax.serving.options import Limits
from uwe_jax.serving.refusals import Refusal
from uwe_jax.serving.tasks import ServedModel, Task


@dataclass(eq=False)
class _Waiting:
    task: Task
    deadline: float
    answer: Future = field(default_factory=Future)

    @property
    def expired(self) -> bool:
        return self.answer.cancelled() or time.monotonic() >= self.deadline


def _texts(waiting: deque[_Waiting] | list[_Waiting]) -> int:
    return sum(len(each.task.texts) for each in waiting)


class Batcher:
    """The thread that loads a model and then answers tasks with it.

    Under load, tasks queue up while the model works. A batch waits a moment for more tasks only if the previous one
    joined several requests, so that a single client is never delayed.

    Args:
      load: returns the model; called in the thread.
      limits: of the service.
      metrics: to count in.
      failed: called in the thread if loading fails.
    """

    def __init__(self, load: Callable[[], ServedModel], limits: Limits, metrics: Metrics, failed: Callable[[], None]):
        self._load, self._failed = load, failed
        self._limits, self._metrics = limits, metrics
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._seconds_per_text = 0.0
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self.model: ServedModel | None = None
        self.failure: BaseException | None = None

    @property
    def alive(self) -> bool:
        """Returns whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Starts to load the model."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Stops answering; returns whether the thread ended within `timeout` seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self.alive

    async def ask(self, task: Task, deadline: float) -> Any:
        """Returns the model's answer to a task before a deadline of `time.monotonic`, or raises the model's error.

        Raises:
          Refusal: 503 if too many texts wait, 504 after the deadline.
        """
        waiting = _Waiting(task, deadline)
        self._admit(waiting)
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await asyncio.wrap_future(waiting.answer)
        except TimeoutError:
            waiting.answer.cancel()
            raise Refusal(504, "The deadline of the request has passed. Send fewer texts, or try later.") from None

    def _admit(self, waiting: _Waiting) -> None:
        new = len(waiting.task.texts)
        with self._changed:
            if _texts(self._queue) + new > self._limits.max_waiting:
                self._queue = deque(each for each in self._queue if not each.expired)
            texts = _texts(self._queue)
            if texts + new > self._limits.max_waiting:
                raise Refusal(
                    503,
                    f"The service is busy: {texts} texts wait. Try again in a moment.",
                    retry_after=min(30.0, texts * self._seconds_per_text),
                )
            self._queue.append(waiting)
            self._metrics.waiting.set(texts + new)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            self.model = model = self._load()
        except BaseException as error:
            self.failure = error
            self._failed()
            return
        self._metrics.ready.set(1)
        joined = 1
        while batch := self._next(patient=joined > 1):
            joined = len(batch)
            self._answer(model, batch)

    def _next(self, patient: bool) -> list[_Waiting]:
        """Waits for tasks and returns those of one group; empty once the batcher stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            if not self._queue:
                return []
            if patient:
                self._changed.wait_for(lambda: _texts(self._queue) >= self._limits.max_batch, self._limits.batch_wait)
            batch = [self._queue.popleft()]
            group, texts = batch[0].task.group, _texts(batch)
            for each in list(self._queue) if group is not None else ():
                if each.task.group == group and texts + len(each.task.texts) <= self._limits.max_batch:
                    self._queue.remove(each)
                    batch.append(each)
                    texts += len(each.task.texts)
            self._metrics.waiting.set(_texts(self._queue))
            return batch

    def _answer(self, model: ServedModel, batch: list[_Waiting]) -> None:
        wanted = [each for each in batch if not each.expired and each.answer.set_running_or_notify_cancel()]
        if not wanted:
            return
        start = time.monotonic()
        try:
            answers = model.answer([each.task for each in wanted])
        except Exception as error:
            if len(wanted) == 1:
                wanted[0].answer.set_exception(error)
                return
            for each in wanted:  # the error of one request must not fail the others
                try:
                    each.answer.set_result(model.answer([each.task])[0])
                except Exception as own:
                    each.answer.set_exception(own)
            return
        seconds, texts = time.monotonic() - start, _texts(wanted)
        self._seconds_per_text += 0.2 * (seconds / texts - self._seconds_per_text)
        self._metrics.batches.observe(texts)
        self._metrics.batch_seconds.observe(seconds)
        for each, answer in zip(wanted, answers, strict=True):
            each.answer.set_result(answer)
