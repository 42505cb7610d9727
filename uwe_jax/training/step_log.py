"""Log of the steps: a check of the loss, a line of metrics.jsonl and the progress bar."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from uwe_jax.config import Config
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.memory import gibibytes
from uwe_jax.runtime.progress import StepClock, duration, without_bars
from uwe_jax.training.fit import memory_errors_as_sentence, peak
from uwe_jax.training.metric_writer import MetricWriter

LOG = logging.getLogger(__name__)
_STEPS_BEFORE_AN_ESTIMATE = 5
# Advice on losses that are not finite.
WHAT_HELPS = (
    "Start over in another --config.workdir with a lower --config.optimiser.learning_rate, a longer "
    "--config.optimiser.warmup_fraction or a larger --config.scorer.tau_a."
)


class StepLog:
    """Reads the metrics of a step only after the next one was dispatched, so that devices never wait for the host.

    The writer gets a line every `log_every` steps, with the learning `rate` and further `facts`. `first` counts the
    steps taken before; `remedy` returns a sentence on checkpoints, for the error about a loss that is not finite.
    """

    def __init__(
        self,
        config: Config,
        writer: MetricWriter,
        rate: Callable[[int], Any],
        first: int,
        remedy: Callable[[], str],
        facts: Callable[[], dict[str, float]] = dict,
    ):
        self._config, self._writer, self._rate, self._first = config, writer, rate, first
        self._remedy, self._facts = remedy, facts
        self._pending: tuple[int, dict[str, jax.Array]] | None = None
        self._previous = "it was the first step of this run"
        self.clock = StepClock(first, config.steps)
        self._bar = tqdm(
            total=config.steps,
            initial=first,
            desc="Training",
            mininterval=1.0,
            dynamic_ncols=True,
            disable=without_bars(),
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {postfix}",
        )

    def taken(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Takes the metrics of step `step`, counted from 1, which was dispatched; settles the previous one."""
        self.settle()
        self._pending = step, metrics

    def settle(self) -> None:
        """Waits for the latest step, checks and logs it; raises UserError if its loss or gradient is not finite."""
        if self._pending is None:
            return
        step, metrics = self._pending
        self._pending = None
        # Devices work asynchronously: their errors are raised where a result is waited for.
        with memory_errors_as_sentence(self._config.batch):
            values = {name: float(np.asarray(value)[0]) for name, value in metrics.items()}
        self.clock.step_done()
        loss, norm = values["loss"], values["gradient_norm"]
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.close()
            raise UserError(
                f"Step {step} has loss {loss} and gradient norm {norm}; {self._previous}. {self._remedy()} Re-run the "
                f"same command with --config.nan_hunt=True to resume and to find its origin. {WHAT_HELPS}"
            )
        self._previous = f"the loss before was {loss:.4g}, its gradient norm {norm:.4g}"
        self._show(step, values)

    def close(self) -> None:
        """Removes the progress bar."""
        self._bar.close()

    def _show(self, step: int, values: dict[str, float]) -> None:
        seconds, left = self.clock.step_seconds, self.clock.seconds_left
        pace = self._config.batch.global_batch_size / seconds if seconds else None
        if seconds and left is not None:
            self._bar.set_postfix_str(
                f"loss {values['loss']:.3f}, {pace:.0f} examples/s, {duration(left)} left", refresh=False
            )
            if step - self._first == _STEPS_BEFORE_AN_ESTIMATE:
                so_far = "".join(f"; peak memory so far {gibibytes(size)}" for size in peak().values())
                LOG.info(f"About {duration(left)} left, at {seconds:.2f} s per step{so_far}.")
        self._bar.update()
        if step % self._config.log_every == 0 or step == self._config.steps:
            extra = {"learning_rate": float(self._rate(step - 1)), "examples_per_second": pace}
            self._writer.write(step, {**values, **extra, **self._facts()})
