#!/usr/bin/env python3
"""The core alone, without processes, network or disk: no-op tasks a second, microseconds a decision
with 100,000 tasks or jobs queued, bytes of a queued task, a million of them held and drained; and how
long users wait under fair sharing against plain FIFO on the same load (in virtual time: exact).

    cmake --build build/release --target core_bench && bench/core_rates.py"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

from service import ROOT, report

PROGRAM = pathlib.Path(os.environ.get("POLYSOME_BUILD", ROOT / "build" / "release")) / "core_bench"


def main():
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    if not PROGRAM.exists():
        raise SystemExit(f"{PROGRAM} is not built: cmake --build {PROGRAM.parent} --target core_bench")
    figures = json.loads(subprocess.run([PROGRAM], check=True, stdout=subprocess.PIPE).stdout)
    report("core_rates", figures["rates"])
    print(file=sys.stderr)
    report("core_fairness", figures["fairness"])


if __name__ == "__main__":
    main()
