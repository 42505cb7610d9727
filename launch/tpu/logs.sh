#!/usr/bin/env bash
# Follows the log of a worker of a TPU VM. Ctrl-C ends the following, not the training.
#
#   launch/tpu/logs.sh --name=uwe-1 --zone=us-west4-a
#
#   --project=ID --zone=ZONE --name=NAME  the TPU VM
#   --worker=N   which one (0, which alone writes the course of a training)
#   --tail=N     how many lines to begin with (100)
#   --no-follow  prints them and ends
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "WORKER TAIL" "NO_FOLLOW" "$@"
check

follow=(-F)
[[ -z ${NO_FOLLOW:-} ]] || follow=()
ssh_call "${WORKER:-0}" tail -n "${TAIL:-100}" ${follow[@]+"${follow[@]}"} uwe_jax/log
"${call[@]}"
