#!/usr/bin/env bash
# Tells how a TPU VM is, what runs on its workers, and what costs money.
#
#   launch/tpu/status.sh --name=uwe-1 --zone=us-west4-a
#
# Ends with 0 while a command runs, or with the status that it ended with; with 1 where there is nothing to tell.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "" "" "$@"
check

state=$(tpu_state)
echo "$NAME in $ZONE: $state"
case $state in
  ABSENT) echo "Nothing of this name costs money." && exit 1 ;;
  READY) ;;
  *) bill && exit 1 ;;
esac
status=1
if run=$(run_state); then
  cat "$scratch/workers"
  echo "All together: $run"
  case $run in
    running | mixed*) status=0 ;;
    ended*) status=${run#ended } ;;
  esac
else
  say "The workers do not answer: $(grep -m 1 . "$scratch/ssh")"
fi
bill
exit "$status"
