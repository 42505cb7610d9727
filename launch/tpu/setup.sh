#!/usr/bin/env bash
# Copies this checkout's last commit to all workers of a TPU VM and installs pinned versions there. What is already
# there is not done again.
#
#   launch/tpu/setup.sh --name=uwe-1 --zone=us-west4-a
#
#   --project=ID --zone=ZONE --name=NAME  the TPU VM
#   --python-version=X.Y.Z  default: that of PYTHON here (python3); the nearest X.Y where that patch is not to be had
#   --constraints=FILE      the versions to install (launch/constraints.txt)
#   --extras=NAMES          extras of uwe_jax, with commas between (tpu)
#   --allow-changes         continues although files differ from the commit; they are not copied
#   --pause=SECONDS --retries=N  how long and how often a new TPU VM is tried that refuses ssh (30, 10)
#   --dry-run               shows what it would run, and changes nothing
#
# Every setting is also an environment variable. Ends with 0, 2 where there is something to fix, or 1.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "PYTHON_VERSION CONSTRAINTS EXTRAS" "ALLOW_CHANGES" "$@"
check

constraints=${CONSTRAINTS:-$root/launch/constraints.txt}
extras=${EXTRAS:-tpu}
[[ -f $constraints ]] || fail "There is no file $constraints."
version=${PYTHON_VERSION:-$("${PYTHON:-python3}" -c 'import platform; print(platform.python_version())')}
[[ $version =~ ^3\.(1[1-9]|[2-9][0-9])\.[0-9]+$ ]] ||
  fail "Python $version is not 3.11 or newer. Give --python-version=X.Y.Z, or name another interpreter in PYTHON."
commit=$(git -C "$root" rev-parse --verify --quiet HEAD) ||
  fail "$root is no git checkout with a commit; what runs on the TPU is a commit. Clone the project."
changes=$(git -C "$root" status --porcelain)
if [[ -n $changes ]]; then
  say "Not in commit ${commit:0:12}, and so not copied:"
  printf '%s\n' "$changes" >&2
  [[ -n ${ALLOW_CHANGES:-} || -n $DRY_RUN ]] || fail "Commit what is to run, or give --allow-changes."
fi
key="$commit $version $extras $(git hash-object --no-filters "$constraints")"

if [[ -z $DRY_RUN ]]; then
  state=$(tpu_state)
  if [[ $state != READY ]]; then
    say "$NAME in $ZONE is not ready ($state). Make it: launch/tpu/create.sh"
    exit 1
  fi
  ssh_call all grep -qxF "$key" uwe_jax/installed
  status=0
  retried 255 "${call[@]}" 2>"$scratch/ssh" || status=$?
  ((status != 255)) || exit 1
  if ((status == 0)); then
    say "All workers have commit ${commit:0:12} and its environment."
    exit 0
  fi
fi

say "Copying commit ${commit:0:12} to all workers; installing $(grep -c == "$constraints") pinned versions (minutes)."
git -C "$root" archive --format=tar.gz --output="$scratch/uwe_jax.tar.gz" "$commit"
cp "$constraints" "$scratch/uwe_jax_constraints.txt"
change --retry=1,255 gcloud compute tpus tpu-vm scp "$scratch/uwe_jax.tar.gz" "$scratch/uwe_jax_constraints.txt" \
  "$NAME:" --project="$PROJECT" --zone="$ZONE" --worker=all --quiet || exit 1
unpack='rm -rf uwe_jax/new && mkdir -p uwe_jax/new && tar -xzf uwe_jax.tar.gz -C uwe_jax/new &&'
unpack+=' cp uwe_jax_constraints.txt uwe_jax/constraints.txt && bash uwe_jax/new/launch/tpu/on_worker.sh install "$@"'
ssh_call all bash -c "$unpack" setup "$key" "$version" "$extras"
status=0
change --retry=255 "${call[@]}" || status=$?
case $status in
  0) [[ -n $DRY_RUN ]] || say "All workers are ready. Next: launch/tpu/run.sh -- python -m uwe_jax.train ..." ;;
  2) exit 2 ;;
  *) say "Setting up failed on a worker (status $status); the same command resumes." && exit 1 ;;
esac
