# shellcheck shell=bash
# What the scripts of this folder share: settings, checks, states, and calls of gcloud. It is sourced, never run.

# shellcheck disable=SC2034 # used by the scripts
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
on_worker=uwe_jax/src/launch/tpu/on_worker.sh
PROJECT=${PROJECT:-} ZONE=${ZONE:-} NAME=${NAME:-} PAUSE=${PAUSE:-30} RETRIES=${RETRIES:-10} DRY_RUN=${DRY_RUN:-}
pricing=https://cloud.google.com/tpu/pricing
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
fail() { # something to fix
  printf '%s\n' "$*" >&2
  exit 2
}

# ---- Settings ----------------------------------------------------------------------------------------------------
# parse "SETTINGS" "SWITCHES" ARGUMENT...: --some-flag=VALUE sets SOME_FLAG, a switch sets it to 1. What follows -- is
# `command`, other words are `words`. --help answers with the comment at the top of the script.
# shellcheck disable=SC2034
parse() {
  local settings=" PROJECT ZONE NAME PAUSE RETRIES $1 " switches=" DRY_RUN $2 " flag name
  shift 2
  command=() words=()
  while (($#)); do
    flag=${1%%=*}
    name=$(tr 'a-z-' 'A-Z_' <<<"${flag#--}")
    case $1 in
      -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0" && exit 0 ;;
      --) shift && command=("$@") && break ;;
      --*=*) [[ $settings == *" $name "* ]] || fail "There is no setting $flag; see $0 --help." ;;
      --*) [[ $switches == *" $name "* ]] || fail "There is no switch $flag, or it needs =VALUE; see $0 --help." ;;
      *) words+=("$1") ;;
    esac
    case $1 in
      --*=*) export "$name=${1#*=}" ;;
      --*) export "$name=1" ;;
    esac
    shift
  done
}

# ---- Checks ------------------------------------------------------------------------------------------------------
check() { # gcloud is there and logged in; project, zone and name are known
  if [[ -n ${CHECKED:-} ]]; then return; fi # by the script that called this one
  command -v gcloud >/dev/null ||
    fail "gcloud is not on the PATH. Install the Google Cloud CLI: https://cloud.google.com/sdk/docs/install"
  [[ -n $(gcloud auth list --filter=status:ACTIVE '--format=value(account)' 2>/dev/null) ]] ||
    fail "gcloud is not logged in. Run: gcloud auth login"
  PROJECT=${PROJECT:-$(gcloud config get-value project 2>/dev/null || true)}
  [[ -n $PROJECT ]] || fail "No project is set. Give --project=ID, or run: gcloud config set project ID"
  ZONE=${ZONE:-$(gcloud config get-value compute/zone 2>/dev/null || true)}
  [[ -n $ZONE ]] || fail "No zone is set. Give --zone=ZONE; https://cloud.google.com/tpu/docs/regions-zones lists them."
  [[ $NAME =~ ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$ ]] ||
    fail "The TPU's name is '$NAME'. Give --name=NAME of lower-case letters, digits and hyphens, such as uwe-1."
  export PROJECT ZONE NAME PAUSE RETRIES DRY_RUN CHECKED=1
}

chips() { # of an accelerator type: the number in its name counts chips from v5e on, cores before and for v5p
  case $1 in
    v5litepod-* | v6e-*) echo "${1##*-}" ;;
    *) echo "$((${1##*-} / 2))" ;;
  esac
}

# ---- What is there -----------------------------------------------------------------------------------------------
field() { # KIND FIELD: of the queued resource or of the TPU VM; NOT_FOUND without one, UNKNOWN without an answer
  if gcloud compute tpus "$1" describe "$NAME" --project="$PROJECT" --zone="$ZONE" --format="value($2)" \
    2>"$scratch/describe"; then
    return
  elif grep -qiE 'NOT_FOUND|was not found' "$scratch/describe"; then
    echo NOT_FOUND
  else
    say "Google Cloud did not say how $NAME is: $(grep -m 1 . "$scratch/describe")"
    echo UNKNOWN
  fi
}

tpu_state() { # ABSENT, WAITING WHY, READY, LOST WHY, FAILED or UNKNOWN
  local queued vm
  queued=$(field queued-resources state.state)
  case $queued in
    SUSPENDING | SUSPENDED) echo "LOST $queued" && return ;;
    FAILED | UNKNOWN) echo "$queued" && return ;;
    ACTIVE | NOT_FOUND) vm=$(field tpu-vm state) ;;
    *) echo "WAITING $queued" && return ;;
  esac
  case $queued/$vm in
    */READY) echo READY ;;
    NOT_FOUND/NOT_FOUND) echo ABSENT ;;
    */NOT_FOUND | */PREEMPTED | */TERMINATED) echo "LOST $vm" ;;
    */UNKNOWN) echo UNKNOWN ;;
    *) echo "WAITING $vm" ;;
  esac
}

wait_ready() { # returns 0 when the TPU VM is there, 75 when it was taken away again, 1 when it will not come
  local state before=
  while :; do
    state=$(tpu_state)
    [[ $state == "$before" ]] || say "$NAME: $state"
    before=$state
    case $state in
      READY) return 0 ;;
      LOST*) return 75 ;;
      FAILED) say "Google Cloud: $(field queued-resources state.failedData.error.message)" && return 1 ;;
      ABSENT) return 1 ;;
    esac
    sleep "$PAUSE"
  done
}

bill() { # says what costs money as long as it is there
  say "$NAME in $ZONE is billed from the moment it is there until it is deleted, whether it works or not ($pricing)."
  say "Delete it: launch/tpu/delete.sh --project=$PROJECT --zone=$ZONE --name=$NAME"
}

# ---- Calls of gcloud ---------------------------------------------------------------------------------------------
# change [--retry=STATUSES] COMMAND...: shows what changes something and, unless this is a dry run, runs it.
change() {
  local again=none
  if [[ $1 == --retry=* ]]; then again=${1#*=} && shift; fi
  printf '+' && printf ' %q' "$@" && printf '\n'
  [[ -n $DRY_RUN ]] || retried "$again" "$@"
}

# retried STATUSES COMMAND...: a TPU VM refuses connections for a while after its creation; ssh then ends with 255.
retried() {
  local statuses=",$1," status try
  shift
  for ((try = 1; ; try++)); do
    status=0
    "$@" </dev/null || status=$?
    [[ $statuses == *",$status,"* ]] || return "$status"
    ((try < RETRIES)) || break
    say "$NAME does not answer yet (status $status, try $try of $RETRIES); again in $PAUSE seconds."
    sleep "$PAUSE"
  done
  say "$NAME cannot be reached. Does a firewall let ssh (port 22) through? Of a TPU with several workers: is the key in"
  say "the agent (ssh-add ~/.ssh/google_compute_engine)? See docs/tpu.md, What goes wrong."
  return "$status"
}

ssh_call() { # WORKER WORD...: sets `call` to what runs the words there
  local worker=$1 line
  shift
  printf -v line '%q ' "$@"
  call=(gcloud compute tpus tpu-vm ssh "$NAME" --project="$PROJECT" --zone="$ZONE" --worker="$worker" --quiet
    --command="${line% }")
}

# What the run is at on all workers together: none, running, ended STATUS, or mixed STATUS where some ended and others
# still run. 2 and 130 win over a crash, a crash over 75 (the other workers say that when one is lost), 75 over 0.
# Returns ssh's status where the workers cannot be asked. The lines of the workers are in $scratch/workers.
run_state() {
  ssh_call all bash "$on_worker" status
  retried 255 "${call[@]}" >"$scratch/workers" 2>"$scratch/ssh" || return
  awk '
    function rank(n) { return n == 2 ? 5 : n == 130 ? 4 : n == 75 ? 2 : n == 0 ? 1 : 3 }
    $1 == "worker" { workers++; states[$3]++ }
    $3 == "ended" && rank($4) > best { best = rank($4); status = $4 }
    END {
      if (!workers || states["none"] == workers) print "none"
      else if (states["running"] == workers) print "running"
      else if (states["ended"] == workers) print "ended " status
      else print "mixed " (states["none"] && best < 3 ? 137 : status)
    }' "$scratch/workers"
}
