#!/usr/bin/env bash
# Builds the fuzz programs with clang and runs each for some seconds from its seeds, new inputs kept in
# build/fuzz/corpus.
#   tests/fuzz/run.sh [SECONDS each, default 15]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-15}
[ -e build/fuzz/build.ninja ] ||
  cmake -S tests/fuzz -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++-19 >build/fuzz.configure.log 2>&1 ||
  { cat build/fuzz.configure.log; exit 1; }
cmake --build build/fuzz --parallel "${POLYSOME_JOBS:-$(scripts/jobs.sh)}"
status=0
for program in build/fuzz/fuzz_*; do
  [ -x "$program" ] && [ -f "$program" ] || continue
  name=$(basename "$program")
  mkdir -p "build/fuzz/corpus/$name"
  if ! "$program" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2000 -verbosity=0 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/$name." "build/fuzz/corpus/$name" "tests/fuzz/seeds/$name" \
    >"build/fuzz/$name.log" 2>&1; then
    tail -n 40 "build/fuzz/$name.log"
    status=1
  fi
  printf '%s: %s inputs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$name.log")"
done
exit $status
