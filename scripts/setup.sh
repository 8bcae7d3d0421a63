#!/usr/bin/env bash
# Puts everything in place to run Polysome on Debian 12 (root or sudo): Debian packages, DuckDB's
# library, a Python environment with the client, the optimised programs and bin/polysome. Does only what is missing, so
# a second run takes a second or two.
#
#   scripts/setup.sh [--tests] [--no-build]
#     --tests      also what scripts/test.sh needs (clang-format, clang-tidy, pytest, pandas …)
#     --no-build   stop before the build
#   DUCKDB_ROOT    a folder with include/duckdb.h and lib/libduckdb.so to use in place of the download
#   ARROW_ROOT     a folder with include/ and lib/ of Arrow 26 (libarrow.so.2600, libparquet.so.2600), likewise
#   POLYSOME_JOBS  compilers at once (default: CPUs, at most one for 2 GB of memory)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

tests=0 build=1
for argument in "$@"; do
  case "$argument" in
    --tests) tests=1 ;;
    --no-build) build=0 ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "setup.sh: unknown option $argument (known: --tests, --no-build)" >&2; exit 2 ;;
  esac
done

say() { printf '%s\n' "setup: $*"; }
die() { printf '%s\n' "setup: $*" >&2; exit 1; }

# ---- Debian packages ----
packages=(
  ca-certificates g++ cmake ninja-build ccache pkg-config python3 python3-venv
  libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev nlohmann-json3-dev libspdlog-dev
  libfmt-dev libcli11-dev libtomlplusplus-dev libsqlite3-dev libpq-dev libxxhash-dev libzstd-dev zlib1g-dev libisal-dev
  libhwy-dev libgtest-dev libgmock-dev
)
if [ "$tests" = 1 ]; then
  packages+=(clang-format-19 clang-tidy-19 clang-19 libclang-rt-19-dev librapidcheck-dev git procps
    postgresql)
fi

duckdb=${DUCKDB_ROOT:-$root/.deps/duckdb}
if [ -z "${DUCKDB_ROOT:-}" ] && [ ! -e "$duckdb/lib/libduckdb.so" ] && ! command -v npm >/dev/null; then
  packages+=(npm)
fi

command -v dpkg-query >/dev/null ||
  die "this script installs on Debian 12. Elsewhere install what these packages hold: ${packages[*]}"
installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
  grep -qxF "ii  $package" <<<"$installed" || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
      die "missing packages: ${missing[*]}. Run as root (or install sudo): apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
  "${as_root[@]}" "${apt[@]}" update </dev/null || die "apt-get update failed; see above"
  "${as_root[@]}" "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null ||
    die "apt-get could not install ${missing[*]}; see above"
fi

# ---- DuckDB: library and C header, from its own npm packages ----
library_sha=fc23f12e376c47be520f75221288281906e7942e8fd6f6ce4849198ba60d0405
header_sha=cbe6a827284375c5a646b8f27dbd3a00808ce8738b5bbb49c190cb1e08540281

check_sha() {  # file, expected, what to do
  local found
  found=$(sha256sum <"$1")
  [ "${found%% *}" = "$2" ] || die "$1 is not the file it should be: sha256 ${found%% *}, expected $2. $3"
}

fetch_npm() {  # package@version, member of its archive, destination
  local folder
  folder=$(mktemp -d "$root/.deps/fetch.XXXXXX")
  (cd "$folder" && npm pack --silent "$1" >/dev/null </dev/null) ||
    { rm -rf "$folder"; die "npm pack $1 failed. Is the npm registry reachable? Or set DUCKDB_ROOT."; }
  tar -xzf "$folder"/*.tgz -C "$folder" "$2" || { rm -rf "$folder"; die "$1 holds no $2"; }
  mkdir -p "$(dirname "$3")"
  mv "$folder/$2" "$3.new"
  rm -rf "$folder"
}

if [ -n "${DUCKDB_ROOT:-}" ]; then
  for file in include/duckdb.h lib/libduckdb.so; do
    [ -e "$DUCKDB_ROOT/$file" ] || die "DUCKDB_ROOT=$DUCKDB_ROOT has no $file"
  done
else
  mkdir -p "$root/.deps"
  if [ ! -e "$duckdb/lib/libduckdb.so" ]; then
    [ "$(uname -m)" = x86_64 ] ||
      die "libduckdb.so is fetched for x86_64 only, this is $(uname -m). Set DUCKDB_ROOT to an unpacked DuckDB 1.5 release."
    say "fetching DuckDB's library (28 MB)"
    fetch_npm @duckdb/node-bindings-linux-x64@1.5.5-r.4 package/libduckdb.so "$duckdb/lib/libduckdb.so"
    check_sha "$duckdb/lib/libduckdb.so.new" "$library_sha" "It was not installed; try again, or set DUCKDB_ROOT."
    mv "$duckdb/lib/libduckdb.so.new" "$duckdb/lib/libduckdb.so"
  fi
  if [ ! -e "$duckdb/include/duckdb.h" ]; then
    say "fetching DuckDB's C header"
    fetch_npm duckdb@1.4.4 package/src/duckdb/src/include/duckdb.h "$duckdb/include/duckdb.h"
    check_sha "$duckdb/include/duckdb.h.new" "$header_sha" "It was not installed; try again, or set DUCKDB_ROOT."
    mv "$duckdb/include/duckdb.h.new" "$duckdb/include/duckdb.h"
  fi
  again="Remove $duckdb and run scripts/setup.sh again."
  check_sha "$duckdb/lib/libduckdb.so" "$library_sha" "$again"
  check_sha "$duckdb/include/duckdb.h" "$header_sha" "$again"
fi

# ---- Python environment: requests to run the examples, the rest for tests ----
requirements=scripts/requirements.txt
[ "$tests" = 0 ] || requirements=scripts/requirements-tests.txt
wanted=$(cat scripts/requirements.txt scripts/requirements-tests.txt | sha256sum)
wanted=${wanted%% *}
has_python() { # the environment works and holds this list, or the longer one
  .venv/bin/python -c '' 2>/dev/null || return 1
  [ "$(cat ".venv/$(basename scripts/requirements-tests.txt).done" 2>/dev/null)" = "$wanted" ] ||
    [ "$(cat ".venv/$(basename "$requirements").done" 2>/dev/null)" = "$wanted" ]
}
if ! has_python; then
  # Debian's own interpreter: a shim of a version manager would tie .venv to another folder's python.
  python=/usr/bin/python3
  [ -x "$python" ] || python=python3
  say "making .venv with $(basename "$requirements")"
  .venv/bin/python -c '' 2>/dev/null || "$python" -m venv --clear .venv || die "python3 -m venv failed; see above"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements" </dev/null ||
    die "pip could not install $requirements; see above"
  printf '%s\n' "$wanted" >".venv/$(basename "$requirements").done"
fi

# The client of this folder: what is changed here is used at once.
has_client() {
  .venv/bin/python -I -c 'import os, sys, polysome
sys.exit(not os.path.samefile(os.path.dirname(polysome.__file__), sys.argv[1]))' python/polysome 2>/dev/null
}
if ! has_client; then
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable python </dev/null ||
    die "pip could not install the Python client of python/; see above"
fi

# ---- Arrow and Parquet: libraries and headers, from PyPI's pyarrow ----
arrow=${ARROW_ROOT:-$root/.deps/arrow}
arrow_version=26.0.1
arrow_wheel_sha=39cb0f2418282c24bea6ceda77b03e5a8f0a5766b63a8bf194d4e2a2c423548c

fetch_arrow() {  # leaves include/ and lib/ in $arrow
  local folder wheel
  mkdir -p "$root/.deps"
  folder=$(mktemp -d "$root/.deps/fetch.XXXXXX")
  .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$folder" \
    --implementation cp --python-version 3.11 --platform manylinux_2_28_x86_64 "pyarrow==$arrow_version" </dev/null ||
    { rm -rf "$folder"; die "pip download pyarrow failed. Is the package index reachable? Or set ARROW_ROOT."; }
  wheel=$(echo "$folder"/*.whl)
  check_sha "$wheel" "$arrow_wheel_sha" "It was not installed; try again, or set ARROW_ROOT."
  .venv/bin/python - "$wheel" "$folder/arrow" <<'PYTHON' || { rm -rf "$folder"; die "the wheel of pyarrow could not be unpacked"; }
import pathlib, sys, zipfile
wheel, target = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
for name in wheel.namelist():
    if name.startswith("pyarrow/include/") and not name.endswith("/"):
        path = target / name.removeprefix("pyarrow/")
    elif name in ("pyarrow/libarrow.so.2600", "pyarrow/libparquet.so.2600"):
        path = target / "lib" / name.removeprefix("pyarrow/")
    else:
        continue
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wheel.read(name))
PYTHON
  rm -rf "$arrow"
  mv "$folder/arrow" "$arrow"
  rm -rf "$folder"
}

if [ -n "${ARROW_ROOT:-}" ]; then
  for file in include/parquet/file_reader.h lib/libarrow.so.2600 lib/libparquet.so.2600; do
    [ -e "$ARROW_ROOT/$file" ] || die "ARROW_ROOT=$ARROW_ROOT has no $file"
  done
elif [ ! -e "$arrow/lib/libparquet.so.2600" ]; then
  [ "$(uname -m)" = x86_64 ] ||
    die "Arrow's libraries are fetched for x86_64 only, this is $(uname -m). Set ARROW_ROOT to include/ and lib/ of Arrow 26."
  say "fetching Arrow's and Parquet's libraries (55 MB)"
  fetch_arrow
fi

[ "$build" = 1 ] || exit 0

# ---- the programs ----
configured=$(sed -n 's/^\(DUCKDB\|ARROW\)_ROOT:PATH=//p' build/release/CMakeCache.txt 2>/dev/null | sort || true)
if [ ! -e build/release/build.ninja ] || [ "$configured" != "$(printf '%s\n' "$arrow" "$duckdb" | sort)" ]; then
  output=$(cmake --preset release -DDUCKDB_ROOT="$duckdb" -DARROW_ROOT="$arrow" 2>&1 </dev/null) ||
    { printf '%s\n' "$output" >&2; die "cmake could not configure build/release; see above"; }
fi
[ -e build/release/polysome ] || say "building (about 10 minutes on 2 cores the first time)"
compile=(cmake --build build/release --parallel "${POLYSOME_JOBS:-$(scripts/jobs.sh)}" --target polysome polysome-worker)
if [ -t 1 ]; then
  "${compile[@]}" </dev/null || die "the build failed; see above"
else
  "${compile[@]}" </dev/null >build/release/build.log 2>&1 ||
    { tail -n 60 build/release/build.log >&2; die "the build failed; whole log: build/release/build.log"; }
fi
mkdir -p bin
ln -sfn ../build/release/polysome bin/polysome
say "ready: $(bin/polysome version -o id 2>/dev/null || echo bin/polysome)"
echo "export PATH=\"$root/bin:\$PATH\""
