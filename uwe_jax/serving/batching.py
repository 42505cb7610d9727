"""One thread owns the model: requests wait in a bounded queue, and those that can be answered together are."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from uwe_jax.serving.metrics import Metrics
from uwe_jax.serving.options import Limits
from uwe_jax.serving.refusals import Refusal


@runtime_checkable
class Task(Protocol):
    """Something to ask the model."""

    @property
    def texts(self) -> Sequence[str]:
        """Texts that are to be encoded."""
        ...

    @property
    def group(self) -> Hashable:
        """Tasks of equal groups are answered together; None stands alone."""
        ...


@runtime_checkable
class Model(Protocol):
    """What answers tasks; called from one thread alone."""

    def answer(self, tasks: Sequence[Any]) -> list[Any]:
        """The answers to tasks of one group, in their order."""
        ...


@dataclass(eq=False)
class _Waiting:
    task: Task
    deadline: float
    answer: Future = field(default_factory=Future)

    @property
    def over(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.answer.cancelled() or time.monotonic() >= self.deadline


class Batcher:
    """The thread that loads a model and then answers tasks with it.

    Under load, tasks gather while the model works on those before. A batch waits a moment for more only where the one
    before it joined several requests, so that who asks alone waits for nobody.

    Args:
      load: gives the model; called in the thread.
      limits: `batch`, `batch_wait` and `waiting` count here.
      metrics: to count in.
      failed: called in the thread when the model could not be loaded.
    """

    def __init__(self, load: Callable[[], Model], limits: Limits, metrics: Metrics, failed: Callable[[], None]):
        self._load, self._failed = load, failed
        self._limits, self._metrics = limits, metrics
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._seconds_per_text = 0.0
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self.model: Model | None = None
        self.failure: BaseException | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Starts to load the model."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Answers nothing more; returns whether the thread has ended in so many seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self.alive

    async def ask(self, task: Task, deadline: float) -> Any:
        """The answer to a task.

        Args:
          task: as the model takes it.
          deadline: of `time.monotonic`.

        Raises:
          Refusal: 503 where too many texts wait, 504 where the deadline has passed.
          Exception: whatever the model raises.
        """
        waiting = _Waiting(task, deadline)
        self._admit(waiting)
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await asyncio.wrap_future(waiting.answer)
        except TimeoutError:
            waiting.answer.cancel()
            raise Refusal(504, "The answer took longer than a request may. Ask for less at once, or later.") from None

    def _admit(self, waiting: _Waiting) -> None:
        with self._changed:
            texts = self._texts()
            if texts + len(waiting.task.texts) > self._limits.waiting:
                self._queue = deque(each for each in self._queue if not each.over)
                texts = self._texts()
            if texts + len(waiting.task.texts) > self._limits.waiting:
                raise Refusal(
                    503,
                    f"The service is busy: {texts} texts wait. Try again in a moment.",
                    retry_after=min(30.0, texts * self._seconds_per_text),
                )
            self._queue.append(waiting)
            self._metrics.waiting.set(texts + len(waiting.task.texts))
            self._changed.notify_all()

    def _texts(self) -> int:
        return sum(len(each.task.texts) for each in self._queue)

    def _run(self) -> None:
        try:
            self.model = self._load()
        except BaseException as error:
            self.failure = error
            self._failed()
            return
        self._metrics.ready.set(1)
        joined = 1
        while batch := self._next(patient=joined > 1):
            joined = len(batch)
            self._answer(self.model, batch)

    def _next(self, patient: bool) -> list[_Waiting]:
        """The next tasks of one group, waiting for the first; nothing when there will be none."""
        with self._changed:
            while not self._queue:
                if self._stopping:
                    return []
                self._changed.wait()
            if patient:
                until = time.monotonic() + self._limits.batch_wait
                while self._texts() < self._limits.batch and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
            batch, texts = [self._queue.popleft()], 0
            texts += len(batch[0].task.texts)
            for each in list(self._queue) if batch[0].task.group is not None else ():
                if each.task.group == batch[0].task.group and texts + len(each.task.texts) <= self._limits.batch:
                    self._queue.remove(each)
                    batch.append(each)
                    texts += len(each.task.texts)
            self._metrics.waiting.set(self._texts())
            return batch

    def _answer(self, model: Model, batch: list[_Waiting]) -> None:
        wanted = [each for each in batch if not each.over and each.answer.set_running_or_notify_cancel()]
        if not wanted:
            return
        start = time.monotonic()
        try:
            answers = model.answer([each.task for each in wanted])
        except Exception as error:
            # What one request brought must not fail the others.
            if len(wanted) == 1:
                wanted[0].answer.set_exception(error)
            else:
                for each in wanted:
                    self._answer_alone(model, each)
            return
        seconds, texts = time.monotonic() - start, sum(len(each.task.texts) for each in wanted)
        self._seconds_per_text += 0.2 * (seconds / texts - self._seconds_per_text)
        self._metrics.batches.observe(texts)
        self._metrics.batch_seconds.observe(seconds)
        for each, answer in zip(wanted, answers, strict=True):
            each.answer.set_result(answer)

    def _answer_alone(self, model: Model, waiting: _Waiting) -> None:
        try:
            waiting.answer.set_result(model.answer([waiting.task])[0])
        except Exception as error:
            waiting.answer.set_exception(error)
