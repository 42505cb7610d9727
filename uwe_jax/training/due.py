"""When a run measures and saves."""

from __future__ import annotations

from typing import NamedTuple

from uwe_jax.config import Config


class Due(NamedTuple):
    """What is to be done after a step, before the next one.

    Attributes:
      validate: whether to measure held-out nodes.
      save: whether to save a checkpoint, where there is something new to save.
    """

    validate: bool
    save: bool

    @classmethod
    def after(cls, step: int, config: Config, *, new: bool, stopping: bool, validated: bool = False) -> Due:
        """What is due after so many steps.

        Without validation nodes, test nodes alone are measured, before the first step and after the last.

        Args:
          new: whether this run took the step or began with it, instead of reading its checkpoint.
          stopping: whether there is only time left to save.
          validated: whether the checkpoint that was read holds its validation. One that was saved in haste does not.

        >>> config = Config(steps=100, checkpoint_every=30)
        >>> Due.after(30, config, new=True, stopping=False)
        Due(validate=False, save=True)
        >>> Due.after(100, config, new=True, stopping=True)
        Due(validate=False, save=True)
        >>> Due.after(100, config, new=False, stopping=False)
        Due(validate=True, save=True)
        """
        is_last = step == config.steps
        every = config.evaluation.every if config.split.validation else config.steps
        validate = (step % every == 0 or is_last) and not stopping and (new or not validated)
        saving = stopping or is_last or step % config.checkpoint_every == 0
        return cls(validate, step > 0 and (validate or (new and saving)))
