"""`python -m uwe_jax.train --config=...`, the same as `uwe-jax train --config=...`."""

import sys

from uwe_jax.__main__ import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
