#!/usr/bin/env bash
# From a bare Debian 12 to answers: installs and builds what is missing, starts the service on port 8001,
# makes a seeded study with planted effects, runs the usage example with live progress, then looks for the
# planted genes. The service it started ends with it.
#
#   scripts/demo.sh [--data FILE] [--port 8001] [--keep]
#     --data FILE   describe and aggregate this file in place of the made-up study
#     --port N      another port, when 8001 is taken
#     --keep        leave the service running
set -euo pipefail
from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

data= port=8001 keep=0
while [ $# -gt 0 ]; do
  case "$1" in
    --data) data=${2:?--data needs a file}; shift ;;
    --port) port=${2:?--port needs a number}; shift ;;
    --keep) keep=1 ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "demo.sh: unknown option $1 (known: --data, --port, --keep)" >&2; exit 2 ;;
  esac
  shift
done
if [ -n "$data" ]; then
  case "$data" in /*) ;; *) data=$from/$data ;; esac
  [ -e "$data" ] || { echo "demo: there is no file $data" >&2; exit 2; }
  data=$(realpath "$data")
fi

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold= plain=; fi
title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
show() {  # prints a command as one would type it, and runs it
  printf '%s$ polysome' "$bold"
  local word
  for word in "$@"; do
    case "$word" in
      *[!A-Za-z0-9_.,:=/-]*) printf ' "%s"' "$word" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
  printf '%s\n' "$plain"
  bin/polysome "$@"
}

title "Set-up"
scripts/setup.sh

demo=$root/build/demo
mkdir -p "$demo/data"
export POLYSOME_URL=http://localhost:$port

if .venv/bin/python - "$port" <<'PYTHON'
import socket, sys
with socket.socket() as s:
    s.settimeout(2)
    sys.exit(s.connect_ex(("127.0.0.1", int(sys.argv[1]))))
PYTHON
then
  echo "demo: port $port is taken already. End what listens there, or: scripts/demo.sh --port $((port + 1))" >&2
  exit 1
fi

folder=$demo/data
if [ -z "$data" ]; then
  title "A study with planted effects"
  show demo --out build/demo/data
else
  folder=$data
  [ -d "$data" ] || folder=$(dirname "$data")
fi

title "The service"
bin/polysome serve --port "$port" --dashboard-port 0 --data-dir "$folder" --state-dir "$demo/state" \
  >"$demo/service.log" 2>&1 </dev/null &
service=$!
finish() {
  local code=$?
  trap - EXIT
  if [ "$keep" = 1 ] && [ "$code" = 0 ]; then
    echo "The service goes on at $POLYSOME_URL (pid $service). End it: kill $service"
  else
    kill "$service" 2>/dev/null && wait "$service" 2>/dev/null || true
  fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM
answered=0
for _ in $(seq 300); do
  kill -0 "$service" 2>/dev/null || { cat "$demo/service.log" >&2; echo "demo: the service did not start" >&2; exit 1; }
  if bin/polysome cluster status -o id >/dev/null 2>&1; then answered=1; break; fi
  sleep 0.1
done
[ "$answered" = 1 ] || { bin/polysome cluster status >&2 || true; echo "demo: no answer at $POLYSOME_URL" >&2; exit 1; }
cat "$demo/service.log"

if [ -n "$data" ]; then
  title "What is in $(basename "$data")?"
  show cluster start
  show submit describe "$data" --wait
  show result last -o table
  title "Statistics of its numeric columns"
  show submit aggregate "$data" "columns=*" operation=count,mean,std,min,median,max --wait
  show result last -o table
  title "Go on"
  cat <<TEXT
  bin/polysome run aggregate $data column=COLUMN operation=mean,std group_by=GROUP
  bin/polysome run filter $data where="COLUMN > 0" --out some.parquet
  bin/polysome run sql $data query="SELECT * FROM {table} LIMIT 10"
TEXT
  exit 0
fi

title "The usage example (scripts/usage_example.py)"
cat scripts/usage_example.py
echo
sed "s#localhost:8001#localhost:$port#" scripts/usage_example.py | .venv/bin/python -
show watch last
show result last -o table

title "Which genes differ between the conditions?"
show submit aggregate my_dataset column=expression operation=mean,count group_by=gene,condition --wait
means=$(bin/polysome list -n 1 -o id)
# Differences of the means, beside what was planted (truth.tsv).
query="WITH m AS (SELECT gene, max(expression_mean) FILTER (condition = 'treated') AS treated,
  max(expression_mean) FILTER (condition = 'control') AS control FROM {table} GROUP BY gene)
  SELECT gene, round(control, 2) AS control, round(treated, 2) AS treated,
  round(log2((treated + 1) / (control + 1)), 2) AS found, truth.log2_fold_change AS planted
  FROM m LEFT JOIN truth USING (gene) ORDER BY abs(log2((treated + 1) / (control + 1))) DESC, gene LIMIT 15"
show submit sql "job:$means" truth "query=$query" --wait
show result last -o table

title "Go on"
cat <<TEXT
  scripts/demo.sh --keep                       # leaves the service running at $POLYSOME_URL
  export PATH="$root/bin:\$PATH"
  polysome list                                # the jobs so far; status, result, watch JOB
  polysome run describe build/demo/data/my_dataset.csv
  scripts/demo.sh --data YOUR_FILE             # the same on a file of yours
TEXT
