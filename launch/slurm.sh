#!/usr/bin/env bash
#SBATCH --job-name=uwe
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=uwe-%j.log
# Trains on the nodes of a Slurm job, and resumes in a new one where time ran out or the job was preempted.
#
#   export PYTHON=/shared/venv/bin/python
#   sbatch --nodes=2 --gpus-per-node=8 launch/slurm.sh --config=FILE [--config.key=value ...]
#
# Run it from the folder that relative paths such as runs/mine are meant from; nodes share that folder. Flags of sbatch
# before the script override its own: a task for each node, 24 hours, SIGTERM five minutes before they end.
# A task drives all GPUs of its node; --ntasks-per-node with the number of GPUs gives each task one of them. GPUs are
# asked for with --gpus-per-node, not --gpus-per-task, which hides a task's GPUs from the others.
#
# Environment:
#   PYTHON    the interpreter, at the same path on all nodes (default: python)
#   ATTEMPTS  how often a training that crashed is started again in one job (default: 3)
#   PAUSE     seconds in between (default: 5)
#   GRACE     seconds the other tasks have once one ended (default: 120)
#
# Ends with 0 when done, 2 where there is something to fix, 130 when interrupted, and puts itself back into the queue
# where training ended with 75: what was trained is saved.
set -euo pipefail

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '/^# Trains/,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
fail() {
  echo "$1" >&2
  exit 2
}

# ---- Checks ----------------------------------------------------------------------------------------------------
[[ -n ${SLURM_JOB_ID:-} ]] || fail "This is a script for Slurm. Submit it: sbatch launch/slurm.sh --config=FILE"
[[ $# -gt 0 ]] || fail "What is to be trained? sbatch launch/slurm.sh --config=FILE [--config.key=value ...]"
for tool in srun scontrol; do
  command -v "$tool" >/dev/null || fail "There is no $tool on this node's PATH, which ought to be with Slurm."
done
python=${PYTHON:-python}
nodes=$SLURM_JOB_NUM_NODES
tasks=${SLURM_NTASKS:-$nodes}
gpus=${SLURM_GPUS_ON_NODE:-0}
((tasks % nodes == 0)) || fail "$tasks tasks cannot be spread evenly over $nodes nodes; give --ntasks-per-node."
[[ -z ${SLURM_GPUS_PER_TASK:-} ]] || fail "Ask for GPUs with --gpus-per-node instead of --gpus-per-task."
if ((gpus > 1)); then
  case $((tasks / nodes)) in
    # By itself a task takes the one GPU that has its number on the node.
    1) JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 $((gpus - 1))) && export JAX_LOCAL_DEVICE_IDS ;;
    "$gpus") ;;
    *) fail "$((tasks / nodes)) tasks on a node of $gpus GPUs; give --ntasks-per-node=1 or --ntasks-per-node=$gpus." ;;
  esac
fi
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1} # huge pages for the steps of a CPU
# Since Slurm 22.05 srun no longer takes this over from sbatch.
[[ -z ${SLURM_CPUS_PER_TASK:-} ]] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

read_workdir='import sys; from uwe_jax.config import Config; from uwe_jax.runtime.config_file import read_command_line; print(read_command_line(sys.argv[1:], Config, "train").workdir)'
workdir=$("$python" -c "$read_workdir" "$@" 2>&1) ||
  fail "The config cannot be read with '$python' on $(hostname): ${workdir##*$'\n'}"
workdir=${workdir##*$'\n'} # below what libraries may have warned of
token=
if [[ $workdir != *://* ]]; then
  { mkdir -p "$workdir" && token=$(mktemp "$workdir/.job-$SLURM_JOB_ID-XXXXXX"); } ||
    fail "Nothing can be written to the workdir $workdir from $(hostname)."
  trap 'rm -f "$token"' EXIT
fi
# One task a node, each in the folder that this script runs in.
# shellcheck disable=SC2016 # the variables of the nodes, not of this script
srun --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 bash -c '
  "$1" -c "import uwe_jax" || { echo "$(hostname): $1 cannot import uwe_jax." >&2; exit 2; }
  [[ -z $2 || -e $2 ]] || { echo "$(hostname): does not see $2; the workdir has to be shared." >&2; exit 2; }
' check "$python" "$token" || fail "Not every node can train; see above."
rm -f "$token"

# ---- Training --------------------------------------------------------------------------------------------------
# srun ends with the highest status of its tasks. Those that must win over the others are therefore raised above them
# by each task, and lowered again here. The trap lets a task's shell outlive the SIGTERM that its training answers.
# shellcheck disable=SC2016
task='trap : TERM INT
"$@"
status=$?
case $status in
  130) exit 251 ;;
  2) exit 252 ;;
  0 | 75) exit "$status" ;;
  *) exit $((status < 75 ? 250 : status)) ;; # a crash, which the other tasks answer with 75
esac'

attempts=${ATTEMPTS:-3}
for ((attempt = 1; attempt <= attempts; attempt++)); do
  status=0
  srun --nodes="$nodes" --ntasks="$tasks" --kill-on-bad-exit=0 --wait="${GRACE:-120}" \
    bash -c "$task" task "$python" -m uwe_jax.train "$@" || status=$?
  case $status in
    0) exit 0 ;;
    250) status=1 ;;
    251) exit 130 ;;
    252) exit 2 ;;
    75)
      # A job that somebody cancelled, or that Slurm requeues itself after preemption, is no longer running.
      if scontrol show job "$SLURM_JOB_ID" | grep -q 'JobState=RUNNING'; then
        echo "Training was stopped and has saved; putting job $SLURM_JOB_ID back into the queue." >&2
        scontrol requeue "$SLURM_JOB_ID" || echo "Slurm did not take it back; submit the same command again." >&2
      fi
      exit 75
      ;;
  esac
  echo "Attempt $attempt of $attempts ended with status $status." >&2
  ((attempt == attempts)) || sleep "${PAUSE:-5}"
done
echo "Gave up after $attempts attempts." >&2
exit 1
