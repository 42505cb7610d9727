#!/usr/bin/env bash
# Starts N processes of one training on this machine, joined over loopback.
#
#   launch/processes.sh N --config=configs/quickstart.py [--config.key=value ...]
#
# One process sees all GPUs of a machine, so that more are needed only to try out several hosts, or on CPUs.
# The first process writes as it would alone; lines of process K begin with "[K] ".
#
# Environment:
#   PYTHON  the interpreter to start (default: python)
#   GPUS    such as 0,1,2,3: process K gets the K-th of them alone; otherwise each process sees what this shell sees
#   PORT    where the processes meet on 127.0.0.1 (default: a free one)
#   GRACE   seconds the others have once one ended badly, before SIGTERM, and again before SIGKILL (default: 120)
#
# SIGTERM and SIGINT are passed on. Ends with 2 where a process did (something to fix), else 130 (Ctrl-C), else the
# status of a crash, else 75 (stopped from outside; the same command resumes), else the first that is not 0.
set -euo pipefail

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
fail() {
  echo "$1" >&2
  exit 2
}

count=${1:-}
[[ $count =~ ^[1-9][0-9]*$ ]] || fail "The first argument is the number of processes, not '$count'. See $0 --help."
shift
[[ $# -gt 0 ]] || fail "What is to be trained? For example: $0 $count --config=configs/quickstart.py"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python}
"$python" -c 'import uwe_jax' 2>/dev/null ||
  fail "uwe_jax is not installed for '$python'. Run: $python -m pip install -e ."
IFS=, read -ra gpus <<<"${GPUS:-}"
[[ -z ${GPUS:-} || ${#gpus[@]} -eq $count ]] ||
  fail "GPUS=$GPUS names ${#gpus[@]} GPUs for $count processes; name as many as there are processes."
grace=${GRACE:-120}
# Every step on a CPU allocates gigabytes, which costs less in huge pages; see docs/performance.md.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
port=${PORT:-$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
# Left to itself, the meeting point would listen on all interfaces of the machine.
export JAX_COORDINATOR_BIND_ADDRESS=127.0.0.1:$port

pipes=$(mktemp -d)
trap 'rm -rf "$pipes"' EXIT
# A process group for each process: Ctrl-C then reaches it once, through this script, and is not ignored.
set -m
pids=() statuses=() readers=()

# SIGTERM is passed on by each process to what it started itself; the others have to reach all of a process group.
pass_on() {
  local signal=$1 k whom
  for k in "${!pids[@]}"; do
    [[ $signal == TERM ]] && whom=${pids[k]} || whom=-${pids[k]}
    [[ -n ${statuses[k]:-} ]] || kill -s "$signal" -- "$whom" 2>/dev/null || true
  done
}

received=
trap 'received=TERM' TERM
trap 'received=INT' INT

for ((k = 0; k < count; k++)); do
  command=("$python" -m uwe_jax.train "$@" --config.distributed.coordinator="127.0.0.1:$port"
    --config.distributed.processes="$count" --config.distributed.process="$k")
  [[ -z ${GPUS:-} ]] || command=(env CUDA_VISIBLE_DEVICES="${gpus[k]}" "${command[@]}")
  if ((k == 0)); then
    "${command[@]}" </dev/null &
    pids+=($!)
    continue
  fi
  mkfifo "$pipes/$k"
  sed -u "s/^/[$k] /" <"$pipes/$k" &
  readers+=($!)
  "${command[@]}" </dev/null >"$pipes/$k" 2>&1 &
  pids+=($!)
done

set +m

deadline=
next=TERM
ended=0
while ((ended < count)); do
  if [[ -n $received ]]; then
    pass_on "$received"
    received=
    next=KILL
  fi
  for k in "${!pids[@]}"; do
    if [[ -z ${statuses[k]:-} ]] && ! kill -0 "${pids[k]}" 2>/dev/null; then
      statuses[k]=0
      wait "${pids[k]}" 2>/dev/null || statuses[k]=$?
      ended=$((ended + 1))
      if ((statuses[k] != 0 && ended < count)) && [[ -z $deadline ]]; then
        echo "Process $k ended with status ${statuses[k]}; the others have $grace seconds to notice." >&2
        deadline=$((SECONDS + grace))
      fi
    fi
  done
  if [[ -n $deadline && -n $next ]] && ((ended < count && SECONDS >= deadline)); then
    echo "Sending SIG$next to the processes that are left." >&2
    pass_on "$next"
    [[ $next == TERM ]] && next=KILL || next=
    deadline=$((SECONDS + grace))
  fi
  ((ended == count)) || sleep 0.1 || true # Ctrl-C ends the sleep as well
done
# The last lines of their output. What still holds it open is no process of the training, and is not waited for.
for ((tries = 0; tries < 20; tries++)); do
  kill -0 "${readers[@]}" 2>/dev/null || break
  sleep 0.1
done

# The others answer the crash of one, and its death by a signal, with 75; to start again helps after the latter alone.
rank() {
  case $1 in 2) echo 5 ;; 130) echo 4 ;; 75) echo 2 ;; 0) echo 0 ;; *) echo $(($1 < 128 ? 3 : 1)) ;; esac
}
verdict=0
for k in "${!statuses[@]}"; do
  ((statuses[k] == 0)) || echo "Process $k ended with status ${statuses[k]}." >&2
  (($(rank "${statuses[k]}") <= $(rank "$verdict"))) || verdict=${statuses[k]}
done
exit "$verdict"
