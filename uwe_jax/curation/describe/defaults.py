"""The config file of a description that names none: the defaults of all settings."""

from __future__ import annotations

from ml_collections import ConfigDict

from uwe_jax.config import default_config


def get_config() -> ConfigDict:
    """The defaults, for overrides to change."""
    return default_config()
