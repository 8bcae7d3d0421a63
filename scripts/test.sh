#!/usr/bin/env bash
# Installs what tests need, builds and runs all of them, layer by layer, and prints what each took and
# may take. Goes on after a failed layer; ends with non-zero when any failed or took too long.
#
#   scripts/test.sh [--long] [--only LAYER[,LAYER…]]
#     --long   clang-tidy on every file, service tests at full size, 200,000 simulated lives
#     --only   of: setup release unit check fuzz service asan tsan
#   POLYSOME_BUDGET_SCALE   multiplies the time a layer may take (default 2: machines are shared)
#   POLYSOME_TEST_DATA      folder of real data sets (default ../shared/data; absent: those tests skip)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

long=0 only=
while [ $# -gt 0 ]; do
  case "$1" in
    --long) long=1 ;;
    --only) only=${2:?--only needs a list of layers}; shift ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "test.sh: unknown option $1 (known: --long, --only)" >&2; exit 2 ;;
  esac
  shift
done

scale=${POLYSOME_BUDGET_SCALE:-2}
if [ -z "${POLYSOME_TEST_DATA:-}" ] && [ -d ../shared/data ]; then
  POLYSOME_TEST_DATA=$(cd ../shared/data && pwd)
  export POLYSOME_TEST_DATA
fi
logs=$PWD/build/test-logs
mkdir -p "$logs"
rows=() failed=()
began=$(date +%s)

layer() {  # name, budget in minutes of a cold run, function
  local name=$1 minutes=$2 body=$3 log=$logs/$1.log start seconds budget state=ok
  case ",${only:-$name}," in *",$name,"*) ;; *) return 0 ;; esac
  printf '== %s\n' "$name"
  start=$(date +%s)
  # A file in place of a pipe: a process left behind by a test must not keep this script waiting.
  ("$body") >"$log" 2>&1 </dev/null || state=FAILED
  seconds=$(($(date +%s) - start))
  budget=$(awk -v m="$minutes" -v s="$scale" 'BEGIN {printf "%d", m * 60 * s}')
  if [ "$state" = ok ] && [ "$seconds" -gt "$budget" ]; then state="TOO SLOW"; fi
  if [ "$state" = ok ]; then
    tail -n 2 "$log"
  else
    tail -n "${POLYSOME_LOG_LINES:-200}" "$log"
    printf -- '-- %s: %s, whole log: %s\n' "$name" "$state" "$log"
    failed+=("$name")
  fi
  rows+=("$(printf '%-10s %8d %8d  %s' "$name" "$seconds" "$budget" "$state")")
  [ "$state" != FAILED ]
}

summary() {
  printf '\n%-10s %8s %8s\n' layer seconds budget
  printf '%s\n' "${rows[@]}"
  printf '%-10s %8d\n' total "$(($(date +%s) - began))"
  if [ "${#failed[@]}" -gt 0 ]; then
    echo "FAILED: ${failed[*]} (logs: $logs)"
    exit 1
  fi
  echo "All tests passed."
  exit 0
}

jobs() { echo "${POLYSOME_JOBS:-$(scripts/jobs.sh)}"; }
build() { cmake --build "build/$1" --parallel "$(jobs)" --target "${@:2}"; }
configure() {
  cmake --preset "$1" -DDUCKDB_ROOT="${DUCKDB_ROOT:-$PWD/.deps/duckdb}" -DARROW_ROOT="${ARROW_ROOT:-$PWD/.deps/arrow}"
}
unit() {  # preset: its built test programs; those of rooms that were not built don't count
  # Only what failed or was skipped is worth a line.
  ctest --test-dir "build/$1" --parallel "$(nproc)" --output-on-failure --no-tests=error --timeout 600 \
    --exclude-regex '_NOT_BUILT$' | grep -vE '^ +Start +[0-9]+:|  Passed  '
}
pytests() { .venv/bin/python -m pytest -p no:cacheprovider --durations=10 -ra "$@"; }

setup_layer() { scripts/setup.sh --tests --no-build; }
release_layer() { configure release && build release polysome polysome-worker unit_tests && scripts/setup.sh; }
unit_layer() {
  if [ "$long" = 1 ]; then export POLYSOME_SIMULATION_SEEDS=200000; fi
  unit release && (cd python && ../.venv/bin/python -m pytest -p no:cacheprovider -ra)
}
check_layer() { if [ "$long" = 1 ]; then scripts/check.sh --long; else scripts/check.sh; fi; }
# Fifteen seconds of any bytes each (--long: ten minutes); what once failed stays in the corpus folder.
fuzz_layer() {
  local folder=build/fuzz seconds=15
  [ "$long" = 1 ] && seconds=600
  tests/fuzz/run.sh "$seconds" || return 1
  mkdir -p "$folder/text" "$folder/found"
  clang++-19 -std=c++23 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    $(pkg-config --cflags libhwy) -Isrc tests/fuzz/text_fuzz.cc src/data/row_cutter.cc \
    src/data/row_scanner.cc src/kernels/text_marks.cc $(pkg-config --libs libhwy) -o "$folder/text_fuzz" || return 1
  "$folder/text_fuzz" -max_total_time="$seconds" -max_len=600 -print_final_stats=1 \
    -artifact_prefix="$folder/found/" "$folder/text" 2>&1 | grep -vE '^#[0-9]' | tail -n 40
}
service_layer() { POLYSOME_LONG=$long POLYSOME_BUILD=$PWD/build/release pytests tests/service; }
asan_layer() {
  export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
  export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
  export LSAN_OPTIONS=suppressions=$PWD/tests/sanitizers/lsan.supp:print_suppressions=0
  configure dev && build dev polysome polysome-worker unit_tests && unit dev &&
    POLYSOME_BUILD=$PWD/build/dev POLYSOME_TEST_PATIENCE=6 pytests -m smoke tests/service
}
tsan_layer() {
  local rooms=(core store executor worker api daemon) fixed=()
  export TSAN_OPTIONS=suppressions=$PWD/tests/sanitizers/tsan.supp:ignore_noninstrumented_modules=1:second_deadlock_stack=1
  # ThreadSanitizer of GCC 12 can't place its shadow when addresses are random over more than 28 bits.
  if setarch "$(uname -m)" -R true 2>/dev/null; then fixed=(setarch "$(uname -m)" -R); fi
  configure tsan && build tsan polysome polysome-worker "${rooms[@]/%/_test}" || return 1
  "${fixed[@]}" bash -c "$(declare -f unit); set -o pipefail; unit tsan" || return 1
  POLYSOME_BUILD=$PWD/build/tsan POLYSOME_TEST_PATIENCE=10 \
    "${fixed[@]}" .venv/bin/python -m pytest -p no:cacheprovider -ra -m smoke tests/service
}

layer setup 7 setup_layer || summary
layer release 10 release_layer || summary
layer unit $((3 + 5 * long)) unit_layer
layer check 5 check_layer
layer fuzz $((6 + 55 * long)) fuzz_layer
layer service 10 service_layer
layer asan 14 asan_layer
layer tsan 11 tsan_layer
summary
