"""The former place of `uwe_jax.config`, for config files that import it from here; removed in the next release."""

import logging

from uwe_jax.config import *  # noqa: F403

logging.getLogger(__name__).warning("uwe_jax.base.config is now uwe_jax.config: change the import in your config file.")
