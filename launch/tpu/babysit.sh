#!/usr/bin/env bash
# Brings a command to its end on a TPU VM, whatever happens to the VM: creates it, sets it up, runs the command,
# watches, and begins again when the VM was taken away. The same line resumes watching after an interruption.
#
#   launch/tpu/babysit.sh --name=uwe-1 --zone=us-west4-a --accelerator=v5litepod-8 --spot --delete-when-done -- \
#       python -m uwe_jax.train --config=configs/uwe_mpnet.py --config.workdir=gs://BUCKET/runs/mpnet
#
#   settings of create.sh, setup.sh and watch.sh, and
#   --attempts=N        how often a command that crashes, or a VM that fails, is tried in all (10)
#   --delete-when-done  deletes the TPU VM when the command ended with 0; the logs are copied to NAME-logs/ first
#   --delete-always     ... however it ended
#   --no-bucket         continues although no argument names a gs:// path
#   --dry-run           shows what a first round would run, and changes nothing
#
# A command that ends with 75, or whose VM is lost, is run again and does not count; 2 (something to fix) and 130 end
# it all; what ends otherwise is run again and counts. Ends with 0, 2, 130, or 1 when all attempts were used up.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "ACCELERATOR RUNTIME_VERSION SERVICE_ACCOUNT CREATE_FLAGS PYTHON_VERSION CONSTRAINTS EXTRAS ATTEMPTS GRACE" \
  "SPOT ALLOW_CHANGES DELETE_WHEN_DONE DELETE_ALWAYS NO_BUCKET" "$@"
check
[[ ${#command[@]} -gt 0 ]] || fail "What is to run? See $0 --help."
[[ -n ${NO_BUCKET:-} || "${command[*]}" == *gs://* ]] || fail "No argument names a gs:// path, and a lost VM's disk" \
  "is lost with it. Give --config.workdir=gs://BUCKET/runs/NAME, or --no-bucket if nothing is to be kept."
attempts=${ATTEMPTS:-10} failed=0 created=''

if [[ -n $DRY_RUN ]]; then
  if [[ $(tpu_state) == ABSENT ]]; then "$root/launch/tpu/create.sh"; fi
  "$root/launch/tpu/setup.sh" && "$root/launch/tpu/run.sh" -- "${command[@]}"
  end=${DELETE_WHEN_DONE:-}${DELETE_ALWAYS:-}
  say "Then launch/tpu/watch.sh${end:+, fetch.sh --logs $NAME-logs and delete.sh --yes}."
  exit 0
fi

step() { # SCRIPT ARGUMENT...: in the background, so that a signal need not wait for its end
  local status=0
  "$root/launch/tpu/$1" "${@:2}" &
  wait $! || status=$?
  return "$status"
}
interrupted() {
  local steps
  steps=$(jobs -p)
  [[ -z $steps ]] || kill "$steps" 2>/dev/null || true
  say "Watching ends; what runs on the TPU VM continues. The same command watches again."
  bill
  exit 130
}
trap interrupted INT TERM

finish() { # STATUS MESSAGE
  say "$2"
  if [[ -n ${DELETE_ALWAYS:-} || ($1 -eq 0 && -n ${DELETE_WHEN_DONE:-}) ]]; then
    step fetch.sh --logs "$NAME-logs" || say "The logs could not be copied."
    step delete.sh --yes || say "It was not deleted, and costs money."
  else
    bill
  fi
  exit "$1"
}
count() { # WHAT: went wrong, which counts unless the TPU VM went as well
  case $(tpu_state) in LOST* | WAITING*) return ;; esac
  failed=$((failed + 1))
  ((failed < attempts)) || finish 1 "$1. Gave up after $attempts attempts."
  say "$1: attempt $failed of $attempts. Again."
  sleep "$PAUSE"
}

while :; do
  state=$(tpu_state)
  status=0
  case $state in
    READY) ;;
    LOST*)
      say "$NAME is lost ($state). What is left of it is deleted, and it is asked for anew; this does not count."
      step delete.sh --yes || sleep "$PAUSE"
      continue
      ;;
    FAILED)
      step delete.sh --yes || true
      count "Google Cloud could not provide $NAME"
      continue
      ;;
    ABSENT)
      step create.sh || status=$?
      if ((status == 2)) && [[ -z $created ]]; then exit 2; fi
      if ((status == 0 || status == 75)); then created=1; else count "$NAME could not be created"; fi
      continue
      ;;
    *)
      wait_ready || sleep "$PAUSE"
      continue
      ;;
  esac

  run=$(run_state) || run=none
  if [[ $run == running || $run == mixed* ]]; then
    say "A command runs on $NAME already; watching that one."
  else
    step setup.sh || status=$?
    ((status != 2)) || finish 2 "$NAME cannot be set up."
    if ((status)); then count "Setting up $NAME failed" && continue; fi
    if ! step run.sh -- "${command[@]}"; then count "The command could not be started" && continue; fi
  fi
  step watch.sh || status=$?
  case $status in
    0) finish 0 "Done." ;;
    2) finish 2 "The command ended with status 2: something to fix. See launch/tpu/logs.sh --name=$NAME" ;;
    130) finish 130 "The command was interrupted (status 130)." ;;
    75)
      say "Stopped from outside (status 75); going on from the last checkpoint. This does not count."
      sleep "$PAUSE"
      ;;
    69)
      step delete.sh --yes || true
      count "$NAME was READY but did not answer, and was deleted"
      ;;
    *) count "The command ended with status $status" ;;
  esac
done
