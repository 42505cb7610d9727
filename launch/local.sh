#!/usr/bin/env bash
# Trains on this machine and resumes after interruptions: the same command is run again until it succeeds.
#
#   launch/local.sh --config=configs/quickstart.py [--config.key=value ...]
#
# Environment:
#   PYTHON    the interpreter to start (default: python)
#   ATTEMPTS  how often a training that was killed, or that failed otherwise, is run in all (default: 10)
#   PAUSE     seconds in between (default: 5)
#
# A run that ends with 2 (something to fix) or 130 (Ctrl-C) is not repeated. One that ends with 75 was stopped from
# outside and has saved: it is repeated and does not count. SIGTERM and SIGINT to this script go on to the training,
# whose status is then this script's.
set -euo pipefail

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  exit 0
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python}
attempts=${ATTEMPTS:-10}
# Every step on a CPU allocates gigabytes, which costs less in huge pages; see docs/performance.md.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}

if ! "$python" -c 'import uwe_jax' 2>/dev/null; then
  echo "uwe_jax is not installed for '$python'. Run: $python -m pip install -e ." >&2
  exit 2
fi

child=
stopped=
pass_on() {
  stopped=$1
  [[ -z $child ]] || kill -s "$1" "$child" 2>/dev/null || true
}
trap 'pass_on TERM' TERM
trap 'pass_on INT' INT

# Sets `status` to the command's.
run() {
  local again
  # A process group for the training: Ctrl-C reaches it once, through this script, and is not ignored as it is by what
  # a script runs in the background. Without -m again, `wait` does not take a training that is paused for one that ended.
  set -m
  "$@" </dev/null &
  child=$!
  set +m
  # A signal may have come before there was anything to pass it on to.
  [[ -z $stopped ]] || pass_on "$stopped"
  status=0
  wait "$child" || status=$?
  # A signal that is passed on ends `wait` before the training has ended; `wait` knows no child (127) that it told of.
  while [[ -n $stopped ]]; do
    again=0
    wait "$child" 2>/dev/null || again=$?
    ((again == 127)) || status=$again
    kill -0 "$child" 2>/dev/null || break
  done
  child=
}

failed=0
while ((failed < attempts)); do
  run "$python" -m uwe_jax.train "$@"
  case $status in
    0 | 2 | 130) exit "$status" ;;
    75) message="Training was stopped and has saved" ;;
    *)
      failed=$((failed + 1))
      message="Attempt $failed of $attempts ended with status $status"
      ;;
  esac
  [[ -z $stopped ]] || exit "$status"
  ((failed < attempts)) || break
  echo "$message; going on from the last checkpoint." >&2
  run sleep "${PAUSE:-5}"
  [[ -z $stopped ]] || exit 75
done
echo "Gave up after $attempts attempts." >&2
exit 1
