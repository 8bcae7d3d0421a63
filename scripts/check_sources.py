#!/usr/bin/env python3
"""Rules of the source tree that no compiler checks: the arrows between rooms, who may touch DuckDB,
file sizes and names, words that mean unfinished work. Prints `file:line: what is wrong` and fails."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# room: the rooms whose headers it may include, beside its own (ARCHITECTURE.md).
ARROWS = {
    "base": set(),
    "model": {"base"},
    "core": {"base", "model"},
    "store": {"base", "model"},
    "executor": {"base", "model"},
    "api": {"base", "model"},
    "kernels": {"base"},
    "columnar": {"base", "kernels"},
    "data": {"base", "model", "kernels"},
    "plan": {"base", "model", "data", "kernels"},
    "operations": {"base", "model", "kernels", "data", "plan"},
    "worker": {"base", "model", "kernels", "data", "plan", "operations"},
    "daemon": {"base", "model", "core", "executor", "store", "api"},
    "cli": {"base", "model", "daemon"},
}
DUCKDB_ROOMS = {"kernels", "data", "plan", "operations", "worker"}
# The core takes time, ids and seeds as arguments: these headers would let something else in.
IMPURE = re.compile(
    r"^(thread|mutex|shared_mutex|condition_variable|future|fstream|iostream|filesystem"
    r"|unistd\.h|sys/.*|boost/asio.*|spdlog/.*|base/(log|files)\.h)$"
)
IMPURE_CALL = re.compile(r"_clock::now\b|\brandom_device\b|\bwall_now\b|\bmono_now\b")
MOST_LINES, SOFT_SOURCE, SOFT_HEADER = 600, 400, 200
BAD_STEMS = {"utils", "util", "common", "helpers", "helper", "types", "misc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
# Written with brackets so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|HAC[K])\b|not (yet )?implemente[d]|\bfor no[w]\b", re.I)

errors, warnings = [], []


def check_source(path):
    room = path.relative_to(SRC).parts[0]
    where = path.relative_to(ROOT)
    if room not in ARROWS:
        errors.append(f"{where}: no room \"{room}\"; the rooms are {', '.join(ARROWS)}")
        return
    if path.stem in BAD_STEMS:
        errors.append(f'{where}: name the file after what it holds, not "{path.stem}"')
    lines = path.read_text(encoding="utf-8").splitlines()
    header = path.suffix == ".h"
    if len(lines) > MOST_LINES:
        errors.append(f"{where}: {len(lines)} lines, at most {MOST_LINES}; split it")
    elif len(lines) > (SOFT_HEADER if header else SOFT_SOURCE):
        warnings.append(f"{where}: {len(lines)} lines, better under {SOFT_HEADER if header else SOFT_SOURCE}")
    if header and not any(line.strip() == "#pragma once" for line in lines):
        errors.append(f"{where}: no #pragma once")
    pure = room == "core" and not path.stem.endswith("_test")
    for number, line in enumerate(lines, 1):
        if pure and IMPURE_CALL.search(line):
            errors.append(f"{where}:{number}: the core is pure: time and seeds are passed in")
        match = INCLUDE.match(line)
        if not match:
            continue
        name = match.group(1)
        target = name.split("/")[0]
        if target in ARROWS and "/" in name and target != room and target not in ARROWS[room]:
            allowed = ", ".join(sorted(ARROWS[room])) or "no other room"
            errors.append(f"{where}:{number}: {room} may not include {name} (it may include {allowed})")
        if name.startswith("duckdb") and room not in DUCKDB_ROOMS:
            errors.append(f"{where}:{number}: only {', '.join(sorted(DUCKDB_ROOMS))} may touch DuckDB")
        if pure and IMPURE.match(name):
            errors.append(f"{where}:{number}: the core is pure (no thread, file or log): {name}")


def check_words(path):
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match = UNFINISHED.search(line)
        if match:
            errors.append(
                f'{path.relative_to(ROOT)}:{number}: "{match.group(0)}": finish it, or say it in a document'
            )


def main():
    sources = sorted(p for p in SRC.rglob("*") if p.suffix in {".h", ".cc"})
    for path in sources:
        check_source(path)
    others = [
        p
        for folder in ("scripts", "bench", "tests", "cmake", "python", ".ci")
        for p in (ROOT / folder).rglob("*")
        if p.is_file() and not {"__pycache__", ".mypy_cache", "polysome.egg-info"} & set(p.parts)
    ]
    for path in sources + sorted(others):
        check_words(path)
    for text in warnings:
        print(f"warning: {text}")
    for text in errors:
        print(text)
    print(f"sources: {len(sources)} files, {len(errors)} errors, {len(warnings)} warnings")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
