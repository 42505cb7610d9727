#!/usr/bin/env bash
# What the launcher asks of a TPU VM. It runs there, on every worker, and keeps all it has in ~/uwe_jax.
#
#   on_worker.sh install KEY PYTHON EXTRAS  makes ~/uwe_jax/new the checkout, with an environment of pinned versions
#   on_worker.sh start ID COMMAND...        runs the command in the checkout, on its own: it outlives the connection
#   on_worker.sh status                     a line: none, running or ended STATUS, and the last line of the log
#   on_worker.sh stop SECONDS               SIGTERM, and SIGKILL when it has not ended after so many seconds
set -euo pipefail
base=$HOME/uwe_jax
uv=$base/bin/uv
uv_version=0.13.9

state() {
  if [[ ! -e $base/run/id ]]; then
    echo none
  elif [[ -e $base/run/status ]]; then
    echo "ended $(cat "$base/run/status")"
  elif [[ $(cat "$base/run/boot") != "$(cat /proc/sys/kernel/random/boot_id)" ]]; then
    echo "ended 75" # the machine was started anew meanwhile, as in a maintenance
  elif kill -0 "$(cat "$base/run/pid")" 2>/dev/null; then
    echo running
  else # it may have ended since the first look; otherwise even its supervisor was killed
    echo "ended $(cat "$base/run/status" 2>/dev/null || echo 137)"
  fi
}

install() { # KEY PYTHON EXTRAS
  if [[ $(state) == running ]]; then
    echo "Training runs on $(hostname); stop it first: launch/tpu/run.sh --stop" >&2
    exit 2
  fi
  rm -rf "$base/src" "$base/installed"
  mv "$base/new" "$base/src"
  if [[ ! -x $uv ]]; then
    curl -LsSf --retry 5 "https://astral.sh/uv/$uv_version/install.sh" | UV_UNMANAGED_INSTALL=$base/bin sh >&2
  fi
  local has='import platform; print(platform.python_version())'
  if [[ $("$base/venv/bin/python" -c "$has" 2>/dev/null) != "$2" ]]; then
    "$uv" venv --quiet --clear --python "$2" "$base/venv" ||
      "$uv" venv --quiet --clear --python "${2%.*}" "$base/venv"
  fi
  "$uv" pip install --quiet --python "$base/venv/bin/python" -c "$base/constraints.txt" -e "$base/src[$3]"
  "$base/venv/bin/python" -c 'import jax, uwe_jax'
  echo "$(hostname): Python $("$base/venv/bin/python" -c "$has") (wanted: $2), environment ready"
  echo "$1" >"$base/installed"
}

start() { # ID COMMAND...
  # The same start comes again where ssh failed for another worker.
  if [[ $(cat "$base/run/id" 2>/dev/null) == "$1" ]]; then exit 0; fi
  if [[ $(state) == running ]]; then
    echo "Training runs already on $(hostname)." >&2
    exit 2
  fi
  rm -rf "$base/run" && mkdir "$base/run"
  cat /proc/sys/kernel/random/boot_id >"$base/run/boot"
  setsid nohup bash "$0" supervise "${@:2}" </dev/null >>"$base/log" 2>&1 &
  echo $! >"$base/run/pid"
  echo "$1" >"$base/run/id"
}

supervise() { # COMMAND...
  local child='' status=0 again
  printf '=== %s on %s: %s\n' "$(date -u +%FT%TZ)" "$(hostname)" "$*"
  cd "$base/src"
  export PATH="$base/venv/bin:$PATH"
  trap 'stopped=1; kill -TERM $child 2>/dev/null || true' TERM
  "$@" &
  child=$!
  wait "$child" || status=$?
  while [[ -n ${stopped:-} ]]; do # a signal ends `wait` early; it knows no child (127) that it told of
    again=0
    wait "$child" 2>/dev/null || again=$?
    ((again == 127)) || status=$again
    kill -0 "$child" 2>/dev/null || break
  done
  printf '=== %s ended with status %s\n' "$(date -u +%FT%TZ)" "$status"
  echo "$status" >"$base/run/status.new"
  mv "$base/run/status.new" "$base/run/status"
}

stop() { # SECONDS
  [[ $(state) == running ]] || exit 0
  local pid deadline=$((SECONDS + $1))
  pid=$(cat "$base/run/pid")
  kill -TERM "$pid"
  while [[ $(state) == running ]] && ((SECONDS < deadline)); do sleep 0.2; done
  [[ $(state) != running ]] || kill -KILL -- "-$pid"
}

case ${1:-} in
  install | start | supervise | stop) "$@" ;;
  status)
    line=$(tail -n 1 "$base/log" 2>/dev/null | tr -cd '[:print:]') || true
    printf 'worker %s: %s | %.200s\n' "$(hostname)" "$(state)" "$line"
    ;;
  *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0" && exit 2 ;;
esac
