#!/usr/bin/env bash
# Runs one command on all workers of a TPU VM at once, in the checkout and environment that setup.sh made there. The
# command outlives the connection; its output is in ~/uwe_jax/log of each worker.
#
#   launch/tpu/run.sh --name=uwe-1 --zone=us-west4-a -- python -m uwe_jax.train --config=configs/uwe_mpnet.py
#   launch/tpu/run.sh --name=uwe-1 --zone=us-west4-a --stop
#
#   --project=ID --zone=ZONE --name=NAME  the TPU VM
#   --stop           stops what runs: SIGTERM, after which training saves; SIGKILL after --grace=SECONDS (300)
#   --pause=SECONDS --retries=N  how long and how often a TPU VM is tried that refuses ssh (30, 10)
#   --dry-run        shows what it would run, and changes nothing
#
# Variables for the command: ... -- env NAME=VALUE python -m uwe_jax.train ...
# Ends with 0 when the command was started, 2 where there is something to fix, or 1. status.sh tells how it goes.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "GRACE" "STOP" "$@"
check

if [[ -n ${STOP:-} ]]; then
  ssh_call all bash "$on_worker" stop "${GRACE:-300}"
  change --retry=255 "${call[@]}" || exit 1
  bill
  exit 0
fi
[[ ${#command[@]} -gt 0 ]] ||
  fail "What is to run? For example: $0 --name=$NAME -- python -m uwe_jax.train --config=configs/uwe_mpnet.py"
if [[ "${command[*]}" == *uwe_jax.train* && "${command[*]}" != *gs://* ]]; then
  say "No argument names a gs:// path. What stays on the TPU VM's own disk is gone with it, and several workers need a"
  say "workdir that all of them see: --config.workdir=gs://BUCKET/runs/NAME"
fi
ssh_call all bash "$on_worker" start "$(date -u +%Y%m%dT%H%M%SZ)-$$" "${command[@]}"
status=0
change --retry=255 "${call[@]}" || status=$?
case $status in
  0) ;;
  2) fail "It was not started on every worker, since something runs there: launch/tpu/run.sh --name=$NAME --stop" ;;
  127) fail "$NAME is not set up. Run: launch/tpu/setup.sh --name=$NAME" ;;
  *) exit 1 ;;
esac
[[ -n $DRY_RUN ]] || say "Started. launch/tpu/logs.sh --name=$NAME follows it, launch/tpu/status.sh tells how it goes."
