#!/usr/bin/env bash
# torch 2.13.0: torch.export takes the length of a tensor, Python's `len(x)`, as a constant, and `x.shape[0]` as a size
# that may change.
#
# So a dynamic first dimension is refused with "your code specialized it to be a constant" and no hint at `len`, and
# `Dim.AUTO` exports a program without a word that takes the length of the example alone. Only the default,
# strict=False, does this: with strict=True `len(x)` stays dynamic.
#
# Output seen: "len, Dim: UserError", "len, Dim.AUTO: AssertionError: Guard failed: x.size()[0] == 3", "len, Dim, strict:
# works" and "shape, Dim: works".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5
"$folder/env/bin/python" -W ignore - <<'PY'
import logging

import torch
from torch.export import Dim, export

logging.disable(logging.WARNING)


class Mean(torch.nn.Module):
    """The mean of the rows, whose number is read with `count`."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def forward(self, x):
        return x.sum(0) / self.count(x)


def outcome(count, dim, strict=False):
    """Exports with three rows, and calls the program with five."""
    try:
        program = export(Mean(count), (torch.ones(3, 2),), dynamic_shapes={"x": {0: dim}}, strict=strict)
        mean = program.module()(torch.ones(5, 2))
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    assert mean.tolist() == [1, 1]
    return "works"


found = {
    "len, Dim": outcome(len, Dim("n")),
    "len, Dim.AUTO": outcome(len, Dim.AUTO),
    "len, Dim, strict": outcome(len, Dim("n"), strict=True),
    "shape, Dim": outcome(lambda x: x.shape[0], Dim("n")),
}
for name, what in found.items():
    print(f"{name}: {what}")
assert found["len, Dim"].startswith("UserError: Constraints violated (n)!"), "changed"
assert found["len, Dim.AUTO"] == "AssertionError: Guard failed: x.size()[0] == 3", "changed"
assert found["len, Dim, strict"] == found["shape, Dim"] == "works", "changed"
PY
