"""The former place of `uwe_jax.config`, for config files that import it from here; removed in the next release."""

import warnings

from uwe_jax.config import *  # noqa: F403

warnings.warn(
    "uwe_jax.base.config is now uwe_jax.config: change the import in your config file.", FutureWarning, stacklevel=2
)
