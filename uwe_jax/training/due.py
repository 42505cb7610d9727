"""When a run measures and saves."""

from __future__ import annotations

from typing import NamedTuple

from uwe_jax.config import Config


class Due(NamedTuple):
    """What is to be done after a step, before the next one.

    Attributes:
      validate: whether to measure the validation nodes.
      save: whether to save a checkpoint, where there is something new to save.
    """

    validate: bool
    save: bool

    @classmethod
    def after(cls, step: int, config: Config, *, new: bool, stopping: bool, validated: bool = False) -> Due:
        """What is due after so many steps.

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
        on_time = step % config.evaluation.every == 0 or step == config.steps
        validate = on_time and not stopping and (new or not validated)
        return cls(validate, step > 0 and (validate or (new and (stopping or step % config.checkpoint_every == 0))))
