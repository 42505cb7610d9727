#!/usr/bin/env bash
# Copies results here: a folder of a bucket, a folder of worker 0, or the logs of all workers.
#
#   launch/tpu/fetch.sh --name=uwe-1 gs://BUCKET/runs/mpnet runs/mpnet     a workdir in a bucket; only what is new
#   launch/tpu/fetch.sh --name=uwe-1 runs/mpnet runs                       runs/mpnet of worker 0's checkout, into runs/
#   launch/tpu/fetch.sh --name=uwe-1 --logs logs                           logs/worker-0.log, logs/worker-1.log ...
#
#   --project=ID --zone=ZONE --name=NAME  the TPU VM
#   --dry-run    shows what it would run, and copies nothing
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "" "LOGS" "$@"
check

if [[ -n ${LOGS:-} ]]; then
  [[ ${#words[@]} -eq 1 ]] || fail "One folder is needed, for the logs; see $0 --help."
  workers=$(field tpu-vm 'networkEndpoints.len()')
  [[ $workers =~ ^[0-9]+$ ]] || fail "There is no TPU VM $NAME in $ZONE."
  change mkdir -p "${words[0]}"
  for ((worker = 0; worker < workers; worker++)); do
    change --retry=255 gcloud compute tpus tpu-vm scp "$NAME:uwe_jax/log" "${words[0]}/worker-$worker.log" \
      --project="$PROJECT" --zone="$ZONE" --worker="$worker" --quiet
  done
  exit 0
fi
[[ ${#words[@]} -eq 2 ]] || fail "Two paths are needed: what to copy, and where to; see $0 --help."
change mkdir -p "${words[1]}"
case ${words[0]} in
  gs://*) change gcloud storage rsync --recursive "${words[0]}" "${words[1]}" ;;
  *)
    path=${words[0]}
    [[ $path == /* ]] || path=uwe_jax/src/$path
    change --retry=255 gcloud compute tpus tpu-vm scp "$NAME:$path" "${words[1]}" --recurse \
      --project="$PROJECT" --zone="$ZONE" --worker=0 --quiet
    ;;
esac
