#!/usr/bin/env bash
# Trains on this machine and goes on after interruptions: the same command is run again until it ends well.
#
#   launch/local.sh --config=configs/quickstart.py [--config.key=value ...]
#
# A run that stops on bad input (exit status 2) or by Ctrl-C (130) is not repeated. ATTEMPTS (default 10) bounds how
# often a run that was killed, or that failed otherwise, is started again.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python}
attempts=${ATTEMPTS:-10}

if ! "$python" -c 'import uwe_jax' 2>/dev/null; then
  echo "uwe_jax is not installed for '$python'. Run: $python -m pip install -e ." >&2
  exit 2
fi

for ((attempt = 1; attempt <= attempts; attempt++)); do
  status=0
  "$python" -m uwe_jax.train "$@" || status=$?
  case $status in
    0 | 2 | 130) exit "$status" ;;
  esac
  echo "Attempt $attempt of $attempts ended with status $status; starting again from the last checkpoint." >&2
  sleep "${PAUSE:-5}"
done
echo "Gave up after $attempts attempts." >&2
exit 1
