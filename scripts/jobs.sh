#!/usr/bin/env bash
# Prints how many compilers to run at once: one a CPU, at most one for each 2 GB of memory.
set -euo pipefail
cpus=$(nproc)
memory=$(awk '/^MemAvailable:/ {print int($2 / 2000000)}' /proc/meminfo)
jobs=$((memory < cpus ? memory : cpus))
echo $((jobs < 1 ? 1 : jobs))
