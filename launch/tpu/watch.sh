#!/usr/bin/env bash
# Watches what runs on a TPU VM until it has ended on all workers. Ctrl-C ends the watching, not the training.
#
#   launch/tpu/watch.sh --name=uwe-1 --zone=us-west4-a
#
#   --project=ID --zone=ZONE --name=NAME  the TPU VM
#   --grace=SECONDS    that other workers have when one ended badly; then they are stopped (300)
#   --pause=SECONDS    between looks (30)
#   --retries=N        looks in vain until a TPU VM is given up that is READY and does not answer (10)
#
# Ends with the status of the command; 75 when the TPU VM was lost, 69 when it does not answer, 1 when nothing runs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "GRACE" "" "$@"
check

silent=0 since='' last=''
while :; do
  status=0
  run=$(run_state) || status=$?
  if ((status == 0)); then
    silent=0
    # Worker 0 comes first; it writes the course of a training.
    line="$run: $(sort "$scratch/workers" | sed -n '1s/^[^|]*| //p')"
    [[ $line == "$last" ]] || say "$line"
    last=$line
    case $run in
      running | "mixed 0") since= ;;
      ended*) exit "${run#ended }" ;;
      none) exit 1 ;;
      mixed*)
        since=${since:-$SECONDS}
        if ((SECONDS - since >= ${GRACE:-300})); then
          say "A worker ended with status ${run#mixed }, and others run on; they are stopped."
          "$root/launch/tpu/run.sh" --stop || true
        fi
        ;;
    esac
  else
    state=$(tpu_state)
    case $state in
      LOST* | ABSENT | FAILED) say "$NAME is lost ($state)." && exit 75 ;;
      READY) silent=$((silent + 1)) ;;
    esac
    # 255 was tried often enough already.
    if ((silent >= RETRIES)) || [[ $state/$status == READY/255 ]]; then exit 69; fi
  fi
  sleep "$PAUSE"
done
