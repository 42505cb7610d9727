#!/usr/bin/env bash
# Deletes a TPU VM and its queued resource, and looks whether anything is left.
#
#   launch/tpu/delete.sh --name=uwe-1 --zone=us-west4-a
#
#   --project=ID --zone=ZONE --name=NAME  the TPU VM
#   --yes      does not ask
#   --dry-run  shows what it would run, and changes nothing
#
# Ends with 0 when nothing of the name is left, 2 where there is something to fix, or 1. Buckets are left alone.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "" "YES" "$@"
check

look() {
  queued=$(field queued-resources state.state)
  vm=$(field tpu-vm state)
  [[ $queued != UNKNOWN && $vm != UNKNOWN ]] || exit 1
}
look
if [[ $queued/$vm != NOT_FOUND/NOT_FOUND ]]; then
  say "$NAME in $ZONE: queued resource $queued, TPU VM $vm. Its disk is deleted with it."
  if [[ -z ${YES:-} && -z $DRY_RUN ]]; then
    [[ -t 0 ]] || fail "Standard input is not a terminal, so the question cannot be asked. Give --yes."
    read -r -p "Delete it? [y/N] " answer
    [[ $answer == [yY]* ]] || fail "Nothing was deleted; it still costs money."
  fi
fi
where=("$NAME" --project="$PROJECT" --zone="$ZONE" --quiet)
for ((try = 1; try <= RETRIES; try++)); do
  # With --force the TPU VM goes first; one without a queued resource, or left by it, is deleted by itself.
  case $queued/$vm in
    NOT_FOUND/NOT_FOUND) break ;;
    NOT_FOUND/DELETING | DELETING/*) ;;
    NOT_FOUND/*) change gcloud compute tpus tpu-vm delete "${where[@]}" || true ;;
    *) change gcloud compute tpus queued-resources delete "${where[@]}" --force || true ;;
  esac
  [[ -z $DRY_RUN ]] || exit 0
  look
  [[ $queued/$vm == NOT_FOUND/NOT_FOUND ]] || sleep "$PAUSE"
done
if [[ $queued/$vm != NOT_FOUND/NOT_FOUND ]]; then
  say "Still there: queued resource $queued, TPU VM $vm. It may cost money; the same command tries again."
  exit 1
fi
say "Nothing is left of $NAME in $ZONE. Buckets are left as they are, and cost for what they hold."
rest=$(gcloud compute tpus tpu-vm list --project="$PROJECT" --zone="$ZONE" 2>/dev/null || true)
[[ -z $rest ]] || say "Other TPU VMs in $ZONE: $rest"
