#!/usr/bin/env bash
# jax 0.10.2: an entry of the persistent compilation cache that was cut short, as by a full disk or a kill during its
# write, stays: each later process warns, compiles the program again, and does not write it.
#
# Without a limit on the cache's size entries are written in place, and an entry whose file exists is not written again
# (jax/_src/lru_cache.py). Deleting the file by hand ends it.
#
# Output seen: "whole: 0 warnings", then twice "cut: 1 warnings, 100 bytes".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
cat > "$folder/program.py" <<'PY'
import sys
import warnings

import jax

jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    assert jax.jit(lambda x: (x @ x).sum())(jax.numpy.ones((4, 4))) == 64
print(sum("Error reading persistent compilation cache entry" in str(each.message) for each in found))
PY
program() { JAX_PLATFORMS=cpu "$folder/env/bin/python" "$folder/program.py" "$folder/cache"; }
[ "$(program)" = 0 ] && [ "$(program)" = 0 ] || { echo changed; exit 1; }
echo "whole: 0 warnings"
entry=$(ls "$folder"/cache/jit__lambda-*-cache)
truncate --size=100 "$entry"
for _ in 1 2; do
  warned=$(program)
  echo "cut: $warned warnings, $(stat --format=%s "$entry") bytes"
  [ "$warned" = 1 ] && [ "$(stat --format=%s "$entry")" = 100 ] || { echo changed; exit 1; }
done
