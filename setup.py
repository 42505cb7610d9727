"""Ships the config files inside the package, as uwe_jax/configs; everything else is in pyproject.toml."""

from setuptools import find_namespace_packages, setup

# Folders of data count as packages without a module, which keeps the build from warning of each.
packages = [*find_namespace_packages(include=["uwe_jax*"], exclude=["*__pycache__*"]), "uwe_jax.configs"]
setup(packages=packages, package_dir={"uwe_jax.configs": "configs"})
