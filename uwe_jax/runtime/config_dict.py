"""Settings as `ml_collections.ConfigDict`, as config files change them."""

from __future__ import annotations

from typing import Any

import ml_collections

from uwe_jax.runtime.settings import current_setting, warn_of_former


class _Section(ml_collections.ConfigDict):
    """Settings of a config file, which may set them by their former names."""

    def __setitem__(self, key: str, value: Any) -> None:
        name, value = current_setting(self, key, value)
        if name != key:
            warn_of_former(key, f"{name}={value}")
        if type(value) is ml_collections.ConfigDict and isinstance(self.get(name), _Section):
            value = _Section(value)  # else refused as of another type
        super().__setitem__(name, value)


def section(values: dict[str, Any]) -> ml_collections.ConfigDict:
    """Returns plain values as a ConfigDict of sections, whose settings may be set by their former names."""
    # Nested here: a ConfigDict makes plain ones of nested dictionaries, as it shall of an empty source.parts.
    return _Section({name: section(each) if each and isinstance(each, dict) else each for name, each in values.items()})
