"""Config file of a description that names none: the defaults of all settings."""

from uwe_jax.config import default_config as get_config

__all__ = ["get_config"]
