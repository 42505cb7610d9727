#!/usr/bin/env bash
# Trains a zero-shot model from public downloads, as uwe-minilm was: the training on graphs, the scores of teachers, two
# trainings with them, and the export. Re-run the same command to resume an interrupted one: from the last checkpoint of
# a training, else from the last complete file.
#
#   launch/zero_shot.sh DOWNLOADS [WORK]
#
#   DOWNLOADS  folder with esco/ (both zips of version 1.1.1), onet/ (the text zip of 29.3), skillskape/train.csv,
#              skillspan/train.json and usajobs/; WorkBench's files, if present, are decontaminated against
#   WORK       folder of the runs and scores (default: runs/zero_shot); the model is its export/
#
# Environment:
#   PYTHON    the interpreter to start (default: python); see launch/local.sh for ATTEMPTS and PAUSE
#   ENCODER   what to train (default: sentence-transformers/all-MiniLM-L6-v2)
#   SETTINGS  further settings of the trainings, with spaces between, such as --config.encoder.dtype=bfloat16 on a GPU
set -euo pipefail

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  exit 0
fi
if (($# < 1 || $# > 2)); then
  echo "Got $# arguments; expected launch/zero_shot.sh DOWNLOADS [WORK], see --help." >&2
  exit 2
fi
for part in esco onet skillskape/train.csv skillspan/train.json usajobs; do
  if [[ ! -e $1/$part ]]; then
    echo "Found no $part in $1. See --help for the expected files and docs/data.md for where to download them." >&2
    exit 2
  fi
done
mkdir -p "${2:-runs/zero_shot}"
downloads=$(realpath "$1")
work=$(realpath "${2:-runs/zero_shot}")
if [[ $work == *,* ]]; then
  echo "$work has a comma, which separates the paths of score files; use a folder without one." >&2
  exit 2
fi
python=${PYTHON:-python}
read -ra settings <<<"${SETTINGS:-}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}

# Runs the command in the arguments unless an earlier start has written its result: commands write it last, or atomically.
once() {
  local result=$1
  shift
  if [[ -e $work/$result ]]; then
    echo "$(date +%T) $result exists, skipped"
  else
    echo "$(date +%T) $result"
    "$@"
  fi
}
uwe() { "$python" -m uwe_jax "$@"; }
train() {
  local run=$1 variant=$2
  shift 2
  once "$run/summary.json" launch/local.sh --config="zero_shot_minilm:$variant" --config.source.path="$downloads" \
    --config.workdir="$work/$run" "$@" ${settings[@]+"${settings[@]}"}
}
teach() {
  local scores=$1
  shift
  once "$scores.npz" uwe teach --model "$work/first" --targets "$downloads/esco" --version 1.1.1 --out "$work/$scores.npz" "$@"
}

# Tasks measure the model afterwards, so all nodes are trained on.
train first_run job_names --config.split.validation=0 \
  --config.encoder.name="${ENCODER:-sentence-transformers/all-MiniLM-L6-v2}"
once first uwe export --model "$work/first_run" --out "$work/first"
# Titles by all names, and by frozen MPNet too; sentences by words in common too.
teach occupations --queries "$downloads/esco" --query-kind occupations --target-kind skills
teach titles --model all-mpnet-base-v2:soft --model-weights 2,1 --queries "$downloads/onet" --query-kind titles \
  --query-version 29.3 --query-descriptions "" --max-queries 4000 --target-kind occupations --target-names
once spans uwe combine --config=zero_shot_minilm:skillspan --config.source.path="$downloads" --out="$work/spans"
teach sentences --words 0.15 --queries "$downloads/skillskape/train.csv" --query-column sentence \
  --query-descriptions "" --max-queries 900 --target-kind skills --target-names
teach vacancies --words 0.15 --queries "$work/spans/skill_vacancy.parquet" --query-column right \
  --query-descriptions "" --target-kind skills --target-names
occupations=$work/occupations.npz
titles=$work/titles.npz
vacancies=$work/vacancies.npz
sentences=$work/sentences.npz
train taught_run taught --config.encoder.name="$work/first" \
  --config.loss.distillation.path="$occupations,$titles,$vacancies,$sentences"
once taught uwe export --model "$work/taught_run" --out "$work/taught"
train taught_again_run taught_again --config.encoder.name="$work/taught" \
  --config.loss.distillation.path="$occupations,$titles,$vacancies,$occupations,$titles,$sentences"
once export uwe export --model "$work/taught_again_run" --bits 3 --out "$work/export"
echo "The model is $work/export. Try: $python -m uwe_jax rank --model $work/export --targets skills.txt 'nurse'"
