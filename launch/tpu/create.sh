#!/usr/bin/env bash
# Asks Google Cloud for a TPU VM through a queued resource, and waits until it is there. It costs from then on.
#
#   launch/tpu/create.sh --name=uwe-1 --zone=us-west4-a --accelerator=v5litepod-8 --spot
#
#   --project=ID --zone=ZONE   default: those of gcloud's configuration
#   --name=NAME                of the queued resource and of its TPU VM
#   --accelerator=TYPE         v5litepod-8, v5litepod-32, v6e-8, v5p-8, v4-8 ...
#   --runtime-version=VERSION  default: the one for JAX on that type
#   --spot                     costs less, and may be taken away at any time; without it: on demand
#   --service-account=EMAIL    whom the VM acts as, to read and write buckets; default: Compute Engine's account
#   --create-flags='FLAGS'     more flags for gcloud, such as '--reserved' or '--network=NET --subnetwork=SUBNET'
#   --pause=SECONDS            between looks at the state (30)
#   --dry-run                  shows what it would run, and changes nothing
#
# Every setting is also an environment variable: PROJECT, ZONE, NAME, ACCELERATOR, SPOT=1 ...
# Ends with 0 when the TPU VM is there, 2 where there is something to fix, 75 when it was taken away again, or 1.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "ACCELERATOR RUNTIME_VERSION SERVICE_ACCOUNT CREATE_FLAGS" "SPOT" "$@"
check

accelerator=${ACCELERATOR:-}
case $accelerator in
  v5litepod-[0-9]*) runtime=v2-alpha-tpuv5-lite ;;
  v5p-[0-9]*) runtime=v2-alpha-tpuv5 ;;
  v6e-[0-9]*) runtime=v2-alpha-tpuv6e ;;
  v[234]-[0-9]*) runtime=tpu-ubuntu2204-base ;;
  "") fail "Which TPU? Give --accelerator=TYPE, such as v5litepod-8. What the zone has: gcloud compute tpus" \
    "accelerator-types list --project=$PROJECT --zone=$ZONE" ;;
  tpu7x*) fail "$accelerator is not to be had as a queued resource; Google has it on Compute Engine and Kubernetes." ;;
  *) runtime=${RUNTIME_VERSION:-} ;;
esac
runtime=${RUNTIME_VERSION:-$runtime}
[[ -n $runtime ]] || fail "No runtime version is known for '$accelerator'. Give --runtime-version=VERSION;" \
  "https://cloud.google.com/tpu/docs/runtimes lists them."

if services=$(gcloud services list --enabled --project="$PROJECT" --filter=config.name=tpu.googleapis.com \
  '--format=value(config.name)' 2>/dev/null) && [[ -z $services ]]; then
  fail "The Cloud TPU API is not enabled in $PROJECT. Run: gcloud services enable tpu.googleapis.com --project=$PROJECT"
fi
state=$(tpu_state)
case $state in
  ABSENT) ;;
  UNKNOWN) exit 1 ;;
  *) fail "$NAME is there already ($state). Use it, give another --name, or: launch/tpu/delete.sh --name=$NAME" ;;
esac

flags=(--accelerator-type="$accelerator" --runtime-version="$runtime")
[[ -z ${SPOT:-} ]] || flags+=(--spot)
[[ -z ${SERVICE_ACCOUNT:-} ]] || flags+=(--service-account="$SERVICE_ACCOUNT")
read -ra more <<<"${CREATE_FLAGS:-}" || true
kind=$([[ -n ${SPOT:-} ]] && echo spot || echo "on demand")
if [[ $accelerator =~ -([0-9]+)$ ]]; then
  chips=$(chips "$accelerator")
  say "$accelerator, $kind: $chips chips, so $chips chip-hours for every hour that it is there."
fi
bill

status=0
change gcloud compute tpus queued-resources create "$NAME" --project="$PROJECT" --zone="$ZONE" --node-id="$NAME" \
  "${flags[@]}" ${more[@]+"${more[@]}"} 2>"$scratch/create" || status=$?
cat "$scratch/create" >&2 2>/dev/null || true
if ((status)); then
  case $(cat "$scratch/create") in
    *RESOURCE_EXHAUSTED* | *[Qq]uota*) fail "The project's quota does not allow it. Spot and on demand, each TPU" \
      "version and zone, have a quota of their own: https://console.cloud.google.com/iam-admin/quotas?project=$PROJECT" ;;
    *PERMISSION_DENIED*) fail "You may not. It takes the role roles/tpu.admin in $PROJECT, and" \
      "roles/iam.serviceAccountUser on the service account." ;;
    *INVALID_ARGUMENT*) fail "Has $ZONE got this type? gcloud compute tpus accelerator-types list --zone=$ZONE" ;;
  esac
  exit 1
fi
[[ -z $DRY_RUN ]] || exit 0

trap 'say "The request stays in the queue and costs as soon as it is granted."; bill; exit 130' INT TERM
status=0
wait_ready || status=$?
case $status in
  0) say "$NAME is there, with $(field tpu-vm 'networkEndpoints.len()') worker(s). Next: launch/tpu/setup.sh" ;;
  75) say "$NAME was taken away again. launch/tpu/delete.sh removes what is left of it; then ask again." ;;
  *) say "$NAME will not come. launch/tpu/delete.sh removes the request; then ask again, in another zone perhaps." ;;
esac
exit "$status"
