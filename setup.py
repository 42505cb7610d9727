"""Ships the config files inside the package, as uwe_jax/configs; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["uwe_jax*"]), "uwe_jax.configs"], package_dir={"uwe_jax.configs": "configs"})
