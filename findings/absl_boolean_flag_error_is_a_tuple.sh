#!/usr/bin/env bash
# absl-py 2.5.1: the error of a boolean flag with another value reads as a Python tuple.
#
# `--profile=abc` for a boolean flag raises IllegalFlagValueError, whose text ends in the tuple of message and value,
# parentheses and quotes included, where other flags give a sentence. A program that shows absl's text to its users, as
# `app.run` does, shows the tuple.
#
# Output seen: "flag --profile=abc: ('Non-boolean argument to boolean flag', 'abc')" and
# "flag --steps=abc: invalid literal for int() with base 10: 'abc'".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check absl-py==2.5.1
"$folder/env/bin/python" - <<'PY'
from absl import flags

values = flags.FlagValues()
flags.DEFINE_bool("profile", False, "whether to trace", flag_values=values)
flags.DEFINE_integer("steps", 1, "number of steps", flag_values=values)


def refused(argument):
    try:
        values(["program", argument])
    except flags.IllegalFlagValueError as error:
        return str(error)
    raise AssertionError(f"changed: {argument} is accepted")


boolean, whole = refused("--profile=abc"), refused("--steps=abc")
print(boolean)
print(whole)
assert boolean == "flag --profile=abc: ('Non-boolean argument to boolean flag', 'abc')", "changed"
assert whole == "flag --steps=abc: invalid literal for int() with base 10: 'abc'", "changed"
PY
