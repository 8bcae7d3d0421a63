#!/usr/bin/env bash
# The quick rules: shell syntax, the rules of check_sources.py (rooms, sizes, words), format, clang-tidy
# on the files changed since the last commit's parent, and that the service does not link DuckDB.
#
#   scripts/check.sh [--long] [--fix]
#     --long   clang-tidy on every file
#     --fix    apply the format in place of checking it
# Needs a configured build/release (scripts/setup.sh --tests makes it).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

long=0 fix=0
for argument in "$@"; do
  case "$argument" in
    --long) long=1 ;;
    --fix) fix=1 ;;
    *) echo "check.sh: unknown option $argument (known: --long, --fix)" >&2; exit 2 ;;
  esac
done

failures=0
failed() { echo "check: $*" >&2; failures=$((failures + 1)); }

for file in scripts/*.sh .ci/run; do
  bash -n "$file" || failed "$file does not parse"
done

/usr/bin/env python3 scripts/check_sources.py || failed "rules of the source tree (above)"

mapfile -t sources < <(find src tests/simulation bench -name '*.cc' -o -name '*.h' | sort)
if [ "$fix" = 1 ]; then
  clang-format-19 -i "${sources[@]}" || failed "clang-format could not run"
else
  unformatted=$(printf '%s\0' "${sources[@]}" | xargs -0 -n 1 -P "$(nproc)" sh -c \
    'clang-format-19 --dry-run -Werror "$0" >/dev/null 2>&1 || echo "  $0"')
  [ -z "$unformatted" ] || failed "not formatted (scripts/check.sh --fix):" "$unformatted"
fi

places=('src/*.cc' 'src/*.h' 'tests/simulation/*.cc' 'tests/simulation/*.h' 'bench/*.cc' 'bench/*.h')
# Files to look at: all, or those that differ from the last commit's parent (a header: its source).
changed() {
  if [ "$long" = 1 ] || ! git rev-parse -q --verify HEAD~ >/dev/null 2>&1; then
    printf '%s\n' "${sources[@]}"
  else
    { git diff --name-only --diff-filter=d HEAD~ -- "${places[@]}"
      git ls-files -o --exclude-standard -- "${places[@]}"; } | sort -u
  fi
}
if [ -e build/release/compile_commands.json ]; then
  tidy=()
  while IFS= read -r file; do
    source=${file%.h}
    source=${source%.cc}.cc
    if [ -e "$source" ] && grep -qF "/$source\"" build/release/compile_commands.json; then
      tidy+=("$source")
    fi
  done < <(changed)
  if [ "${#tidy[@]}" -gt 0 ]; then
    mapfile -t tidy < <(printf '%s\n' "${tidy[@]}" | sort -u)
    echo "check: clang-tidy on ${#tidy[@]} files"
    # Without GCC's precompiled headers, which Clang does not read.
    mkdir -p build/tidy
    sed -E 's# -include [^ ]*cmake_pch\.hxx##; s# -Winvalid-pch##; s# -fpch-preprocess##' \
      build/release/compile_commands.json > build/tidy/compile_commands.json
    printf '%s\0' "${tidy[@]}" | xargs -0 -n 4 -P "$(scripts/jobs.sh)" sh -c '
      out=$(clang-tidy-19 --quiet -p build/tidy "$@" 2>&1) || { printf "%s\n" "$out" | grep -v "warnings generated"; exit 1; }' tidy ||
      failed "clang-tidy (above)"
  fi
else
  failed "build/release is not configured; run scripts/setup.sh --tests"
fi

if [ -e build/release/polysome ]; then
  if readelf -d build/release/polysome | grep -q 'NEEDED.*duckdb'; then
    failed "the service (build/release/polysome) links DuckDB; only polysome-worker may"
  fi
fi

if [ "$failures" -gt 0 ]; then
  echo "check: $failures kinds of errors" >&2
  exit 1
fi
echo "check: all good"
