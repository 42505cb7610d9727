"""PyTorch, where it is installed; tests that need it are skipped elsewhere."""

import importlib.util
from typing import Any

import pytest

INSTALLED = importlib.util.find_spec("torch") is not None
WHY = "needs PyTorch: pip install -e '.[test]'"
needs_torch = pytest.mark.skipif(not INSTALLED, reason=WHY)


class _Missing:
    """Skips the test that reads any attribute; pytest itself looks for some of its own while it collects."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "pytest")):
            raise AttributeError(name)
        pytest.skip(WHY)


if INSTALLED:
    import torch
else:
    torch = _Missing()
