#!/usr/bin/env bash
# A `gcloud` for tests of launch/tpu: records its calls, plays a scenario, and is itself the cloud.
#
# The folder STAND_IN has the scenario in files: `account`, `api`, `workers` and the state of the TPU VM in `vm`; and
# lists, of which every use takes a line: states of the queued resource (`queued`, whose last line stays), those of the
# next one that is created (`grants`, words), errors of `create`, `delete` and `describe`, statuses of `ssh`. `calls`
# takes the calls, an argument a line and an empty line after each. A worker of the TPU VM is a folder, in which the
# commands that come by ssh really run. Flags that the real commands do not have are refused.
set -euo pipefail
shopt -s nullglob
cd "$STAND_IN"
PATH=${PATH#"$STAND_IN/bin:"}
printf '%s\n' "$@" "" >>calls

fail() {
  echo "ERROR: $2" >&2
  exit "$1"
}
take() { # FILE: sets `line` to its first line, which is gone then; empty where there is none
  line=
  [[ -s $1 ]] || return 0
  local lines
  mapfile -t lines <"$1"
  line=${lines[0]}
  printf '%s\n' "${lines[@]:1}" >"$1"
  ((${#lines[@]} > 1)) || : >"$1"
}
setting() { # FILE DEFAULT
  if [[ -e $1 ]]; then echo "$(<"$1")"; else echo "$2"; fi
}
make_workers() {
  local count worker
  count=$(setting workers 1)
  for ((worker = 0; worker < count; worker++)); do
    [[ -d worker-$worker ]] || { mkdir -p "worker-$worker/uwe_jax/bin" && cp tools/* "worker-$worker/uwe_jax/bin"; }
  done
}
vm() { # its state, or nothing
  local workers=(worker-*)
  if [[ -e vanished || ${#workers[@]} -eq 0 ]]; then return; fi
  if [[ -e preempted ]]; then echo PREEMPTED; else setting vm READY; fi
}
connect() { # sets `folders` to those of the workers that are called
  case $(vm) in
    "") fail 1 "(gcloud) NOT_FOUND: Resource 'nodes/uwe-1' was not found" ;;
    PREEMPTED) fail 1 'This TPU has terminal state "PREEMPTED", so it cannot be used anymore.' ;;
  esac
  take ssh
  ((${line:-0} == 0)) || fail "$line" "[/usr/bin/ssh] exited with return code [$line]."
  folders=(worker-*)
  [[ $worker == all ]] || folders=("worker-$worker")
}

words=() flags=' ' worker=0 command='' format=''
for argument in "$@"; do
  case $argument in
    --*)
      name=${argument%%=*}
      flags+="${name#--} "
      case $argument in
        --worker=*) worker=${argument#*=} ;;
        --command=*) command=${argument#*=} ;;
        --format=*) format=${argument#*=} ;;
      esac
      ;;
    *) words+=("$argument") ;;
  esac
done
[[ ${words[0]} != compute ]] || words=("${words[@]:2}")
what="${words[0]} ${words[1]}" words=("${words[@]:2}")
case $what in
  "auth list" | "config get-value") known= ;;
  "services list") known=enabled ;;
  "storage rsync") known=recursive ;;
  "queued-resources create") known="zone node-id accelerator-type runtime-version spot service-account labels network" ;;
  "queued-resources delete") known="zone force" ;;
  "queued-resources describe" | "tpu-vm describe" | "tpu-vm delete" | "tpu-vm list") known=zone ;;
  "tpu-vm ssh") known="zone worker command" ;;
  "tpu-vm scp") known="zone worker recurse" ;;
  *) fail 2 "Invalid choice: $what" ;;
esac
for flag in $flags; do
  [[ " $known project format quiet filter " == *" $flag "* ]] || fail 2 "unrecognized arguments: --$flag"
done

case $what in
  "auth list") setting account me@example.org ;;
  "config get-value") ;;
  "services list") setting api tpu.googleapis.com ;;
  *" describe")
    take describe
    [[ -z $line ]] || fail 1 "$line"
    state=
    if [[ $what == tpu-vm* ]]; then
      state=$(vm)
    elif [[ -s queued && ! -e vanished ]]; then
      read -r state <queued
      [[ ! -e preempted ]] || state=SUSPENDED
      mapfile -t lines <queued
      ((${#lines[@]} == 1)) || take queued
      [[ $state != ACTIVE ]] || make_workers
    fi
    [[ -n $state ]] || fail 1 "(gcloud.describe) NOT_FOUND: Resource '${words[0]}' was not found."
    case $format in
      *networkEndpoints*) setting workers 1 ;;
      *failedData*) echo "no capacity in this zone" ;;
      *) echo "$state" ;;
    esac
    ;;
  "queued-resources create")
    rm -f vanished
    take create
    [[ -z $line ]] || fail 1 "$line"
    take grants
    read -ra states <<<"${line:-WAITING_FOR_RESOURCES ACTIVE}"
    printf '%s\n' "${states[@]}" >queued
    ;;
  *" delete")
    take delete
    [[ -z $line ]] || fail 1 "$line"
    [[ $what != queued* || $flags == *" force "* || -z $(vm) ]] || fail 1 "FAILED_PRECONDITION: it has nodes"
    rm -rf worker-* preempted vanished queued
    ;;
  "tpu-vm ssh")
    connect
    pids=() status=0
    for folder in "${folders[@]}"; do
      (
        cd "$folder"
        export HOME=$PWD WORKER=${folder##*-} PATH=$PWD/uwe_jax/bin:$PATH
        exec bash -c "$command"
      ) &
      pids+=($!)
    done
    for pid in "${pids[@]}"; do
      ended=0
      wait "$pid" || ended=$?
      ((status)) || status=$ended
    done
    exit "$status"
    ;;
  "tpu-vm scp")
    connect
    target=${words[-1]}
    unset 'words[-1]'
    for folder in "${folders[@]}"; do
      for source in "${words[@]}"; do
        if [[ $source == *:* ]]; then
          (cd "$OLDPWD" && mkdir -p "$(dirname "$target")" && cp -r "$STAND_IN/$folder/${source#*:}" "$target")
        else
          cp "$source" "$folder/${target#*:}"
        fi
      done
    done
    ;;
esac
